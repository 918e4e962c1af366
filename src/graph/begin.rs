//! How a round begins: the link from which the changes follow, the plain listing of the users, and their number.

use super::client::{Expected, Graph};
use super::endpoint::{self, Endpoint};
use super::error::GraphError;
use super::fault::LinkKind;
use super::pages::RESTARTS;
use super::wire::relation::RawGroup;
use super::wire::user::RawUser;
use super::wire::{self, Raw};
use crate::domain::feed::{Asked, Entry, Kept, Link, Next, Page, Trail, UserChange};
use uuid::Uuid;

/// The page size to request for a listing. The service may choose a smaller one.
const LARGEST_PAGE: u32 = 999;

/// The page size to request where the service refuses one; none after the smallest.
const fn smaller_page(refused: u32) -> Option<u32> {
    match refused {
        999 => Some(500),
        500 => Some(120),
        _ => None,
    }
}

/// The answer to a request for the link of the changes.
#[derive(Debug)]
pub enum Latest<T> {
    /// The link.
    Link(Asked<Link>),
    /// The service ignores `latest`: a page with data, with which a walk through the feed has begun.
    Walk(Page<T>),
    /// The service refuses the request.
    Refused(GraphError),
}

impl Graph {
    /// The link that the users' changes follow from, without reading any user. Get it before the plain listing, or
    /// changes in between are lost.
    ///
    /// # Errors
    ///
    /// As any call; never [`GraphError::LinkExpired`] or [`GraphError::BadRequest`].
    pub async fn users_delta_latest(&self) -> Result<Latest<UserChange>, GraphError> {
        let first = || format!("users/delta?$select={}&$deltatoken=latest", self.selection());
        let has_data = |page: &Page<UserChange>| !page.items.is_empty() || !page.unreadable.is_empty();
        match self
            .fetch_latest::<RawUser>(endpoint::USERS_DELTA, first, has_data)
            .await
        {
            Ok(page) => Ok(match page.next {
                Next::Delta(link) if page.items.is_empty() && page.unreadable.is_empty() => Latest::Link(Asked {
                    at: page.asked,
                    value: link,
                }),
                _ => Latest::Walk(page),
            }),
            Err(error) if error.is_refusal() => Ok(Latest::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// The link that a group's membership changes follow from, without reading any member. Get it before the plain
    /// listing, or changes in between are lost.
    ///
    /// # Errors
    ///
    /// As any call; never [`GraphError::LinkExpired`].
    pub async fn group_delta_latest(&self, group: Uuid) -> Result<Asked<Link>, GraphError> {
        let first = || format!("groups/delta?$select=members&$filter=id%20eq%20'{group}'&$deltatoken=latest");
        let page = self
            .fetch_latest::<RawGroup>(endpoint::GROUPS_DELTA, first, |_| false)
            .await?;
        match page.next {
            Next::Delta(link) => Ok(Asked {
                at: page.asked,
                value: link,
            }),
            Next::Page(_) | Next::End => Err(GraphError::endless(endpoint::GROUPS_DELTA)),
        }
    }

    /// The page with the link of the changes, or the first before it that `is_enough`.
    async fn fetch_latest<R: Raw<Item: Entry>>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        is_enough: impl Fn(&Page<R::Item>) -> bool,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.begun();
        let mut restarts = 0;
        let mut at: Option<Link> = None;
        let mut trail = Trail::new(self.shared.listing);
        loop {
            match call.fetch_delta::<R>(endpoint, &first, at.as_ref(), &Kept::All).await {
                Ok(page) => {
                    let Next::Page(link) = &page.next else { return Ok(page) };
                    if is_enough(&page) {
                        return Ok(page);
                    }
                    let goes_on = trail.step(&page);
                    goes_on.map_err(|what| GraphError::protocol(endpoint, what))?;
                    at = Some(link.clone());
                }
                Err(GraphError::LinkExpired { .. }) if restarts < RESTARTS => {
                    restarts += 1;
                    at = None;
                    trail = Trail::new(self.shared.listing);
                }
                Err(GraphError::LinkExpired { .. }) => return Err(GraphError::endless(endpoint)),
                Err(error) => return Err(error),
            }
        }
    }

    /// One page of the plain listing of users; `None` begins it. Where the service refuses a page size, a smaller one
    /// is requested.
    ///
    /// # Errors
    ///
    /// [`GraphError::LinkExpired`] when the listing must begin again; [`GraphError::is_refusal`] when the service
    /// refuses to list users.
    pub async fn users_listing(&self, at: Option<&Link>) -> Result<Page<UserChange>, GraphError> {
        let first = |size| format!("users?$select={}&$top={size}", self.selection());
        self.fetch_sized::<RawUser>(endpoint::USERS, first, at).await
    }

    /// One page of a plain listing; `None` begins it, with the largest page that the service does not refuse.
    pub(super) async fn fetch_sized<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn(u32) -> String,
        at: Option<&Link>,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.begun();
        let mut size = LARGEST_PAGE;
        loop {
            let page = call.fetch_plain::<R>(endpoint, || first(size), at);
            match (page.await, smaller_page(size)) {
                (Err(error), Some(smaller)) if at.is_none() && error.is_refusal() => size = smaller,
                (page, _) => return page,
            }
        }
    }

    /// One page of the users among a group's direct members; `None` begins the listing. The answer may lag behind the
    /// plain listing of the members, so it says nothing about membership. `from_index`: accepts an answer from the
    /// service's index, without which some services refuse this listing.
    ///
    /// # Errors
    ///
    /// [`GraphError::LinkExpired`] when the listing must begin again; [`GraphError::is_refusal`] when the service
    /// refuses to list users in this way; [`GraphError::NotFound`] when the group is gone.
    pub async fn group_users(
        &self,
        group: Uuid,
        at: Option<&Link>,
        from_index: bool,
    ) -> Result<Page<UserChange>, GraphError> {
        let graph = self.begun();
        let (count, expected) = if from_index {
            ("&$count=true", Expected::Indexed)
        } else {
            ("", Expected::Json)
        };
        let mut size = LARGEST_PAGE;
        loop {
            let selection = self.selection();
            let first =
                || format!("groups/{group}/members/microsoft.graph.user?$select={selection}&$top={size}{count}");
            let call = graph.call(endpoint::GROUP_USERS, first, at, LinkKind::PageLink)?;
            let call = call.expecting(expected);
            // Without the index, a refusal is about the request as a whole and not about its page size.
            match (
                graph.fetch(&call, wire::decode_listing::<RawUser>).await,
                smaller_page(size),
            ) {
                (Err(error), Some(smaller)) if from_index && at.is_none() && error.is_refusal() => size = smaller,
                (listing, _) => return graph.plain_page(&call, listing?),
            }
        }
    }

    /// The number of users by the service's index, which may lag; `None` if it refuses to count.
    ///
    /// # Errors
    ///
    /// As any call; never a refusal of any kind.
    pub async fn users_count(&self) -> Result<Option<u64>, GraphError> {
        self.count(endpoint::USERS_COUNT, "users/$count".to_owned()).await
    }

    /// The number of a group's direct members by the service's index; `None` if it refuses to count.
    ///
    /// # Errors
    ///
    /// As any call; never a refusal of any kind, and never [`GraphError::NotFound`].
    pub async fn group_members_count(&self, group: Uuid) -> Result<Option<u64>, GraphError> {
        self.count(endpoint::GROUP_MEMBERS_COUNT, format!("groups/{group}/members/$count"))
            .await
    }

    async fn count(&self, endpoint: Endpoint, rest: String) -> Result<Option<u64>, GraphError> {
        let call = self.call(endpoint, || rest.clone(), None, LinkKind::Nothing)?;
        let call = call.expecting(Expected::Count);
        match self.fetch(&call, wire::decode_count).await {
            Ok(count) => Ok(Some(count.value)),
            Err(GraphError::BadRequest { .. } | GraphError::Forbidden { .. } | GraphError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
