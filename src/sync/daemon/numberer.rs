//! Gives the lines of the change log their positions in the change feed, beside the cycles. Only the leader does this,
//! but any number of processes may: they wait for each other, and a killed one leaves nothing half done.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::{AFTER_FAILURE, Configured, TICK};
use crate::error::chain;
use crate::store::{Store, StoreResult, feed};
use crate::telemetry::metrics::Metrics;

/// The number of lines of one transaction: it takes some tenths of a second.
const NUMBERED_AT_ONCE: i64 = 5_000;

/// Numbers lines each second until the handle is dropped.
pub fn keep_numbering(configured: watch::Receiver<Arc<Configured>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let base = configured.borrow().engine.base();
            match number_all(&base.store).await {
                Ok(()) => base.clock.sleep(TICK).await,
                Err(error) => {
                    warn!(error = %chain(&error), "changes could not be added to the change feed; trying again");
                    base.clock.sleep(AFTER_FAILURE).await;
                }
            }
        }
    }))
}

/// Numbers the lines that wait.
///
/// # Errors
/// When the database fails.
pub async fn number_all(store: &Store) -> StoreResult<()> {
    loop {
        let waiting = feed::backlog(&mut store.read().await?).await?;
        Metrics.change_feed_backlog(waiting);
        if waiting == 0 {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        feed::number(&mut tx, NUMBERED_AT_ONCE).await?;
        tx.commit().await?;
    }
}
