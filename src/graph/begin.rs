//! How a round begins: the link from which the changes follow, the plain listing of the users, and their number.

use super::client::{Expected, Graph};
use super::endpoint::{self, Endpoint};
use super::error::GraphError;
use super::fault::LinkKind;
use super::pages::RESTARTS;
use super::wire::relation::RawGroup;
use super::wire::user::{RawUser, SELECTION};
use super::wire::{self, Raw};
use crate::domain::feed::{Entry, Link, Next, Page, Trail, UserChange};
use uuid::Uuid;

/// The page size to request for a listing. The service may choose a smaller one.
const LARGEST_PAGE: u32 = 999;

/// The page sizes to request where the service refuses the largest.
const SMALLER_PAGES: [u32; 2] = [500, 120];

/// The answer to a request for the link of the changes.
#[derive(Debug)]
pub enum Latest<T> {
    /// The link.
    Link(Link),
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
        let first = || format!("users/delta?$select={SELECTION}&$deltatoken=latest");
        let has_data = |page: &Page<UserChange>| !page.items.is_empty() || !page.unreadable.is_empty();
        match self
            .fetch_latest::<RawUser>(endpoint::USERS_DELTA, first, has_data)
            .await
        {
            Ok(page) => Ok(match page.next {
                Next::Delta(link) if page.items.is_empty() && page.unreadable.is_empty() => Latest::Link(link),
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
    pub async fn group_delta_latest(&self, group: Uuid) -> Result<Link, GraphError> {
        let first = || format!("groups/delta?$select=members&$filter=id%20eq%20'{group}'&$deltatoken=latest");
        let page = self
            .fetch_latest::<RawGroup>(endpoint::GROUPS_DELTA, first, |_| false)
            .await?;
        match page.next {
            Next::Delta(link) => Ok(link),
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
            match call.fetch_delta::<R>(endpoint, &first, at.as_ref()).await {
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
        let call = self.begun();
        let listing = async |size| {
            call.fetch_plain::<RawUser>(endpoint::USERS, || users_by(size), at)
                .await
        };
        let mut page = listing(LARGEST_PAGE).await;
        for size in SMALLER_PAGES {
            match page {
                Err(error) if error.is_refusal() => page = listing(size).await,
                page => return page,
            }
        }
        page
    }

    /// The number of users by the service's index, which may lag; `None` if it refuses to count.
    ///
    /// # Errors
    ///
    /// As any call; never a refusal of any kind.
    pub async fn users_count(&self) -> Result<Option<u64>, GraphError> {
        let call = self.call(
            endpoint::USERS_COUNT,
            || "users/$count".to_owned(),
            None,
            LinkKind::Nothing,
        )?;
        let call = call.expecting(Expected::Count);
        match self.fetch(&call, wire::decode_count).await {
            Ok(count) => Ok(Some(count.value)),
            Err(GraphError::BadRequest { .. } | GraphError::Forbidden { .. } | GraphError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The path of the plain listing of users.
fn users_by(page_size: u32) -> String {
    format!("users?$select={SELECTION}&$top={page_size}")
}
