//! Listings that are read in full: page after page, and from the beginning again if a page link expires.

use super::client::Graph;
use super::endpoint::Endpoint;
use super::error::GraphError;
use super::fault::LinkKind;
use super::wire::{self, Raw};
use crate::domain::feed::{Asked, Entry, Link, Listed, Next, Page, Trail};

/// How often a read of all pages starts again after an expired page link.
pub(super) const RESTARTS: u32 = 2;

impl Graph {
    /// All pages of a plain listing; starts again if a page link expires. If an entry is unreadable, a missing entry
    /// does not mean that the object is gone.
    pub(super) async fn fetch_all<R: Raw<Item: Entry>>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
    ) -> Result<Asked<Listed<R::Item>>, GraphError> {
        self.begun().fetch_pages::<R>(endpoint, first, None).await
    }

    /// The remaining pages of a plain listing whose first page was read in another way.
    pub(super) async fn fetch_rest<R: Raw<Item: Entry>>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        first_page: Asked<&[u8]>,
    ) -> Result<Asked<Listed<R::Item>>, GraphError> {
        let call = self.call(endpoint, &first, None, LinkKind::Nothing)?;
        let listing = wire::decode_listing::<R>(first_page.value).map_err(|why| GraphError::unusable(endpoint, why))?;
        let listing = Asked {
            at: first_page.at,
            value: listing,
        };
        let page = self.plain_page(&call, listing)?;
        self.fetch_pages::<R>(endpoint, first, Some(page)).await
    }

    async fn fetch_pages<R: Raw<Item: Entry>>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        mut first_page: Option<Page<R::Item>>,
    ) -> Result<Asked<Listed<R::Item>>, GraphError> {
        let mut restarts = 0;
        'listing: loop {
            let mut asked = None;
            let mut listed = Listed {
                items: Vec::new(),
                unreadable: 0,
            };
            let mut trail = Trail::new(self.shared.listing);
            let mut at: Option<Link> = None;
            loop {
                let page = match first_page.take() {
                    Some(page) => Ok(page),
                    None => self.fetch_plain::<R>(endpoint, &first, at.as_ref()).await,
                };
                let page = match page {
                    Err(GraphError::LinkExpired { .. }) if restarts < RESTARTS => {
                        restarts += 1;
                        continue 'listing;
                    }
                    Err(GraphError::LinkExpired { .. }) => return Err(GraphError::endless(endpoint)),
                    page => page?,
                };
                trail.step(&page).map_err(|what| GraphError::protocol(endpoint, what))?;
                let first_asked = *asked.get_or_insert(page.asked);
                listed.items.extend(page.items);
                listed.unreadable += page.unreadable.len();
                let Next::Page(link) = page.next else {
                    return Ok(Asked {
                        at: first_asked,
                        value: listed,
                    });
                };
                at = Some(link);
            }
        }
    }
}

/// A listing that must be complete.
pub(super) fn whole<T>(endpoint: Endpoint, listed: Asked<Listed<T>>) -> Result<Asked<Vec<T>>, GraphError> {
    match listed.value.unreadable {
        0 => Ok(listed.map(|listed| listed.items)),
        1 => Err(GraphError::protocol(endpoint, "an entry cannot be read")),
        count => Err(GraphError::protocol(
            endpoint,
            format!("{count} entries cannot be read"),
        )),
    }
}
