//! Deletes what is older than the configuration says, beside the cycles. Only the leader does this. Each step is short
//! and repeatable, so a round that is cut off leaves nothing half done, and the next begins anew.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{AFTER_ANOTHER, Configured};
use crate::domain::retention::{Kept, Retention};
use crate::error::chain;
use crate::store::retention::{self, Place};
use crate::sync::{Base, Failure};
use crate::telemetry::metrics::Metrics;

/// The number of rows that one step looks at: it takes some hundredths of a second.
const WALKED_AT_ONCE: i32 = 1_000;

/// The pause between two steps, in which others get the server.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Deletes what is old, now and then, until the handle is dropped.
pub fn keep_purging(configured: watch::Receiver<Arc<Configured>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = configured.borrow().clone();
            let base = now.engine.base();
            let wait = match purge_all(&base, &now.retention).await {
                Ok(()) | Err(Failure::Cancelled) => now.retention.every,
                Err(error) => {
                    warn!(error = %chain(&error), "old records could not be deleted; trying again");
                    AFTER_ANOTHER
                }
            };
            base.pause(wait).await;
        }
    }))
}

/// One round over every table.
///
/// # Errors
/// When the database fails, or the daemon is stopping.
pub async fn purge_all(base: &Base, kept: &Retention) -> Result<(), Failure> {
    let now = base.clock.now();
    let moment = base.store.next_moment().await?;
    retention::note_moment(&mut base.store.read().await?, moment, now).await?;
    for what in Kept::ALL {
        if let Some(before) = kept.deleted_before(what, now) {
            let deleted = purge(base, what, before).await?;
            if deleted > 0 {
                info!(table = %what, deleted, "old records are deleted");
            }
        }
    }
    forget_moments(base, kept, now).await
}

/// Walks one table. Returns the number of deleted rows.
async fn purge(base: &Base, what: Kept, before: chrono::DateTime<chrono::Utc>) -> Result<i64, Failure> {
    let mut place = Some(Place::default());
    let mut deleted = 0;
    while let Some(after) = place {
        base.check_cancelled()?;
        let part = retention::purge(&mut base.store.read().await?, what, before, after, WALKED_AT_ONCE).await?;
        Metrics.retention_deleted(what.as_str(), part.deleted.unsigned_abs());
        deleted += part.deleted;
        place = part.next;
        if place.is_some() {
            base.clock.sleep(PAUSE).await;
        }
    }
    Ok(deleted)
}

/// Forgets the moments that no later round needs: those before the ones that this round has used.
async fn forget_moments(base: &Base, kept: &Retention, now: chrono::DateTime<chrono::Utc>) -> Result<(), Failure> {
    let ages = [Kept::GoneUsers, Kept::Memberships];
    let oldest = ages.iter().filter_map(|what| kept.deleted_before(*what, now)).min();
    let mut db = base.store.read().await?;
    if let Some(moment) = retention::moment_before(&mut db, oldest.unwrap_or(now)).await? {
        retention::forget_moments(&mut db, moment).await?;
    }
    Ok(())
}
