//! Leadership: one process at a time makes runs, the others wait for its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::Configured;
use crate::domain::retention::Retention;
use crate::error::chain;
use crate::store::lease::{self, LeadAttempt, Lease};
use crate::store::{Store, StoreError, planned, serving, units};
use crate::sync::cycle::{Report, Request};
use crate::sync::{Base, CycleError, Engine};

/// How often a process announces the environments it serves; one announcement may be missed.
const ANNOUNCE: Duration = Duration::from_secs(10);

/// How often the progress of a run is written.
const REPORTED_EVERY: Duration = Duration::from_secs(1);

/// How many rows get their business unit at once, the pause before the next ones, and the pause when all have one.
const FILLED_AT_ONCE: i64 = 1000;
const FILL_PAUSE: Duration = Duration::from_millis(100);
const FILLED_EVERY: Duration = Duration::from_mins(1);

/// The result of an attempt to lead.
#[derive(Debug)]
pub enum Led<T> {
    /// This process led; the result of its work.
    Done(T),
    /// Another process leads.
    Elsewhere {
        /// The leader is a daemon, which accepts requests.
        by_daemon: bool,
        /// The time until its lease expires, unless it renews it.
        runs_out_in: Duration,
    },
}

/// Leads while `work` runs. Acquires the lease, renews it on a separate connection (all connections of the pool may be
/// waiting for locks), and releases it at the end, best effort.
///
/// # Errors
/// When the database fails before any work is done.
pub async fn with_lease<T, F>(
    base: &Base,
    holder: &str,
    is_daemon: bool,
    work: impl FnOnce(Lease) -> F,
) -> Result<Led<T>, StoreError>
where
    F: Future<Output = T>,
{
    let attempt = {
        let mut db = base.store.read().await?;
        lease::acquire(&mut db, holder, is_daemon).await?
    };
    let lease = match attempt {
        LeadAttempt::Leading(lease) => lease,
        LeadAttempt::Held { by_daemon, runs_out_in } => return Ok(Led::Elsewhere { by_daemon, runs_out_in }),
    };
    let renewal = keep_renewing(base, &lease);
    let reports = keep_reporting(base);
    let units = keep_filling_units(base);
    let done = work(lease.clone()).await;
    drop((renewal, reports, units));
    if let Ok(mut db) = base.store.read().await {
        let _ = lease::release(&mut db, &lease).await;
    }
    Ok(Led::Done(done))
}

/// Makes one run in the foreground, unless another process leads.
///
/// # Errors
/// When the run ends early.
pub async fn run_once(engine: &Engine, holder: &str, request: &Request) -> Result<Led<Report>, CycleError> {
    let base = engine.base();
    let led = with_lease(&base, holder, false, async |lease| {
        announce(&base, holder).await?;
        let (_unchanged, configured) = watch::channel(Arc::new(Configured {
            engine: engine.clone(),
            interval: Duration::ZERO,
            retention: Retention::default(),
            webhooks: Vec::new(),
            notifications: None,
        }));
        let announcing = keep_announcing(configured, holder.to_owned());
        let result = engine.cycle().run(&lease, request, async |_| {}).await;
        drop(announcing);
        serve_nothing(&base, holder).await;
        result
    });
    match led.await? {
        Led::Done(result) => result.map(Led::Done),
        Led::Elsewhere { by_daemon, runs_out_in } => Ok(Led::Elsewhere { by_daemon, runs_out_in }),
    }
}

/// Renews a lease until the handle is dropped.
pub fn keep_renewing(base: &Base, lease: &Lease) -> AbortOnDropHandle<()> {
    let (store, clock, lease) = (base.store.apart(), base.clock.clone(), lease.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            clock.sleep(lease.renewed_every()).await;
            if let Err(error) = renew(&store, &lease).await {
                warn!(error = %chain(&error), "the lease could not be renewed");
                if matches!(error, StoreError::LeaseLost) {
                    return;
                }
            }
        }
    }))
}

/// Writes how far the run is until the handle is dropped, best effort.
fn keep_reporting(base: &Base) -> AbortOnDropHandle<()> {
    let (store, clock, progress) = (base.store.clone(), base.clock.clone(), base.progress.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            clock.sleep(REPORTED_EVERY).await;
            if let Some((run_id, progress)) = progress.at(clock.now())
                && let Ok(mut db) = store.read().await
                && let Err(error) = planned::note_progress(&mut db, run_id, &progress).await
            {
                debug!(error = %chain(&error), "the progress of the run could not be written");
            }
        }
    }))
}

/// Gives rows without a business unit the root until the handle is dropped, best effort: rows of an earlier version, or
/// of another program.
fn keep_filling_units(base: &Base) -> AbortOnDropHandle<()> {
    let base = base.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let names = base.settings.names();
        loop {
            let filled = fill_units(&base.store, &names).await.unwrap_or_else(|error| {
                debug!(error = %chain(&error), "rows without a business unit could not be given the root");
                0
            });
            let is_done = filled < FILLED_AT_ONCE.unsigned_abs();
            base.clock.sleep(if is_done { FILLED_EVERY } else { FILL_PAUSE }).await;
        }
    }))
}

async fn fill_units(store: &Store, names: &[String]) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let filled = units::fill_in(&mut tx, names, FILLED_AT_ONCE).await?;
    tx.commit().await?;
    Ok(filled)
}

async fn renew(store: &Store, lease: &Lease) -> Result<(), StoreError> {
    let mut db = store.read().await?;
    lease::renew(&mut db, lease).await
}

/// Announces the environments that a process serves: these cannot be retired.
///
/// # Errors
/// When the database fails.
pub async fn announce(base: &Base, holder: &str) -> Result<(), StoreError> {
    let mut db = base.store.read().await?;
    serving::announce(&mut db, holder, &base.settings.names()).await
}

/// Repeats the announcement until the handle is dropped, and immediately after the configuration changes.
pub fn keep_announcing(configured: watch::Receiver<Arc<Configured>>, holder: String) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut configured = configured;
        loop {
            let base = configured.borrow_and_update().engine.base();
            if let Err(error) = announce(&base, &holder).await {
                debug!(error = %chain(&error), "the environments that are served could not be announced");
            }
            tokio::select! {
                () = base.clock.sleep(ANNOUNCE) => {}
                changed = configured.changed() => if changed.is_err() { base.clock.sleep(ANNOUNCE).await; },
            }
        }
    }))
}

/// Withdraws the announcement, best effort: it would expire anyway.
pub async fn serve_nothing(base: &Base, holder: &str) {
    if let Ok(mut db) = base.store.read().await {
        let _ = serving::announce(&mut db, holder, &[]).await;
    }
}
