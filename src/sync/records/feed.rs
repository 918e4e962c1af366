//! The change feed as programs read it.

use std::time::Duration;

use super::Records;
use crate::domain::change_feed::{FeedCursor, FeedFilter, FeedPage};
use crate::store::{Connection, feed};
use crate::sync::FeedError;

/// The number of positions that one statement reads, so that a filter that nothing matches does not keep it long.
const READ_AT_ONCE: i64 = 20_000;

/// How often a reader that waits looks for a line.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Records {
    /// The lines of the feed after a cursor, or the oldest lines. If there is none, waits for one. Only a known
    /// environment can be requested.
    pub async fn feed(
        &self,
        after: Option<FeedCursor>,
        filter: &FeedFilter,
        limit: i64,
        wait: Duration,
    ) -> Result<FeedPage, FeedError> {
        if let Some(name) = &filter.environment
            && let Some(unknown) = self.unknown(name).await?
        {
            return Err(unknown.into());
        }
        let mut from = check(&mut self.db().await?, after).await?;
        let clock = &self.base.clock;
        let began = clock.now();
        loop {
            let page = read_from(&mut self.db().await?, from, filter, limit).await?;
            let waited = (clock.now() - began).to_std().unwrap_or_default();
            if !page.items.is_empty() || waited >= wait || self.base.cancel.is_cancelled() {
                return Ok(page);
            }
            from = page.next;
            self.base.pause(LOOK_AGAIN.min(wait.saturating_sub(waited))).await;
        }
    }
}

/// Where reading begins: at the cursor, if nothing after it is missing, or at the oldest line.
async fn check(db: &mut Connection, after: Option<FeedCursor>) -> Result<FeedCursor, FeedError> {
    let head = feed::head(db).await?;
    let Some(after) = after else {
        return Ok(FeedCursor::after(head.purged, None));
    };
    if after.position < head.purged {
        return Err(FeedError::TooOld);
    }
    let here = feed::written_at(db, after.position).await?;
    let is_here = here.is_none_or(|at| FeedCursor::after(after.position, Some(at)) == after);
    if after.position > head.position || !is_here {
        return Err(FeedError::NotHere);
    }
    Ok(after)
}

/// The lines after a cursor, as far as there are any.
async fn read_from(
    db: &mut Connection,
    mut from: FeedCursor,
    filter: &FeedFilter,
    limit: i64,
) -> Result<FeedPage, FeedError> {
    let end = feed::head(db).await?.position;
    while from.position < end {
        let until = end.min(from.position + READ_AT_ONCE);
        let items = feed::read(db, from.position, until, filter, limit).await?;
        // Retention may have deleted lines since the cursor was checked.
        if feed::head(db).await?.purged > from.position {
            return Err(FeedError::TooOld);
        }
        let is_full = items.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        from = match items.last() {
            Some(last) if is_full || last.position == until => FeedCursor::after(last.position, Some(last.at)),
            _ => FeedCursor::after(until, feed::written_at(db, until).await?),
        };
        if !items.is_empty() {
            return Ok(FeedPage { items, next: from });
        }
    }
    Ok(FeedPage {
        items: Vec::new(),
        next: from,
    })
}
