//! The daemon's loop: take the lease, run on the interval or on request, hand over.
//!
//! One process leads; the others wait for the lease. Runs never overlap, because one loop starts them all.

pub mod asked;
pub mod gauges;
pub mod hinted;
pub mod lead;
pub mod numberer;
pub mod retention;
pub mod subscription;
pub mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;
use tokio::sync::watch;
use tracing::{info, warn};

use self::hinted::Hinted;
pub use self::lead::{Led, announce, keep_announcing, run_once, serve_nothing, with_lease};
use super::cycle::{Report, Request};
use super::{CycleError, Engine, Failure, UnknownEnvironment};
use crate::domain::notifications::Notifications;
use crate::domain::retention::Retention;
use crate::domain::webhook::Webhook;
use crate::error::chain;
use crate::store::lease::Lease;
pub use crate::store::serving::BELIEVED_FOR;
use crate::store::{StoreError, runs};
use crate::telemetry::metrics::Metrics;

/// How often the loop checks for requests and for the lease.
const TICK: Duration = Duration::from_secs(1);

/// If the lease expires within a tick, the loop checks again this long after it expires.
const JUST_AFTER: Duration = Duration::from_millis(20);

/// The pause after a database failure: short enough to take over soon after the lease of a crashed leader expires, and
/// long enough that the log does not fill up.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// The pause after any other failure. It rarely clears sooner, and each run sends requests to the directory.
const AFTER_ANOTHER: Duration = Duration::from_secs(30);

/// The interval varies by up to this share, so that many daemons do not send requests at the same time.
const JITTER: f64 = 0.1;

/// The daemon's loop with the settings that a reload may change.
#[derive(Debug)]
pub struct Schedule {
    /// The name of this process in the lease.
    pub holder: String,
    /// The engine and the interval, as currently configured.
    pub configured: watch::Receiver<Arc<Configured>>,
}

/// The settings that a reload may change.
pub struct Configured {
    /// The engine.
    pub engine: Engine,
    /// The time between the starts of two cycles.
    pub interval: Duration,
    /// How long what is over is kept.
    pub retention: Retention,
    /// Programs that are told of changes.
    pub webhooks: Vec<Webhook>,
    /// Where the directory tells of changes, if it is asked to.
    pub notifications: Option<Notifications>,
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Schedule {
    /// Runs until the engine's token is cancelled.
    pub async fn run(self) {
        Metrics.leader(false);
        loop {
            let configured = self.configured.borrow().clone();
            let engine = &configured.engine;
            if engine.cancel.is_cancelled() {
                return;
            }
            let mut wait = TICK;
            let base = engine.base();
            let leading = async |lease: Lease| {
                info!("this process leads");
                Metrics.leader(true);
                let beside = (
                    numberer::keep_numbering(self.configured.clone()),
                    retention::keep_purging(self.configured.clone()),
                    webhooks::keep_delivering(self.configured.clone()),
                    subscription::keep_subscribed(self.configured.clone()),
                    gauges::keep_counting_roles(self.configured.clone()),
                );
                self.lead(&lease).await;
                drop(beside);
                Metrics.leader(false);
            };
            match with_lease(&base, &self.holder, true, leading).await {
                Ok(Led::Done(())) => {}
                Ok(Led::Elsewhere { runs_out_in, .. }) => wait = wait.min(runs_out_in + JUST_AFTER),
                Err(error) => {
                    warn!(error = %chain(&error), remedy = error.remedy(), "the database does not answer");
                    base.pause(AFTER_FAILURE).await;
                }
            }
            base.pause(wait).await;
        }
    }

    /// Leads until the token is cancelled or the lease is lost.
    async fn lead(&self, lease: &Lease) {
        let mut due: Option<DateTime<Utc>> = None;
        let mut hinted = Hinted::default();
        loop {
            let configured = self.configured.borrow().clone();
            let engine = &configured.engine;
            if engine.cancel.is_cancelled() {
                return;
            }
            // Best effort: if the database is unavailable, the run reports it.
            let _ = gauges::refresh_held(engine).await;
            let result = self.run_once(&configured, lease, &mut due, &mut hinted).await;
            match result {
                Ok(()) => {}
                Err(CycleError::Failed(Failure::Cancelled)) => return,
                Err(CycleError::Failed(Failure::Store(StoreError::LeaseLost))) => {
                    warn!("another process leads now");
                    return;
                }
                Err(CycleError::Failed(Failure::Store(StoreError::ServerReplaced))) => {
                    warn!("another server has taken the database's place; beginning anew there");
                    return;
                }
                Err(error) => {
                    due = None;
                    warn!(error = %chain(&error), "trying again soon");
                    let is_away = matches!(&error, CycleError::Failed(Failure::Store(error)) if error.is_unavailable());
                    let wait = if is_away { AFTER_FAILURE } else { AFTER_ANOTHER };
                    engine.base().pause(wait).await;
                }
            }
            engine.base().pause(TICK).await;
        }
    }

    /// Carries out a request if there is one, then a cycle if one is due or hinted at: neither can block the other.
    async fn run_once(
        &self,
        configured: &Configured,
        lease: &Lease,
        due: &mut Option<DateTime<Utc>>,
        hinted: &mut Hinted,
    ) -> Result<(), CycleError> {
        let engine = &configured.engine;
        self.answer_request(engine, lease).await?;
        let now = engine.clock.now();
        let hears = configured.notifications.is_some();
        let trigger = if is_due(*due, now, configured.interval) {
            *due = Some(next_due(now, configured.interval));
            "interval"
        } else if hears && hinted.is_due(&engine.base()).await? {
            "notification"
        } else {
            return Ok(());
        };
        if hears {
            hinted.take(&engine.base()).await?;
        }
        let request = Request {
            trigger: trigger.to_owned(),
            ..Request::default()
        };
        timed(engine, lease, &request, None).await
    }

    /// Carries out a request of `rollcall sync`, if there is one.
    async fn answer_request(&self, engine: &Engine, lease: &Lease) -> Result<(), CycleError> {
        let request = {
            let mut db = engine.store.read().await?;
            runs::next_request(&mut db).await?
        };
        let Some(asked) = request else { return Ok(()) };
        let request = Request {
            trigger: "sync".to_owned(),
            environments: asked.environments,
            full: asked.is_full,
            dry_run: asked.dry_run,
        };
        match timed(engine, lease, &request, Some(asked.id)).await {
            Err(CycleError::UnknownEnvironment(UnknownEnvironment(name))) => {
                // Withdrawn, so that the client is informed and the next request gets its turn.
                warn!(
                    environment = name,
                    "a run was asked for an environment that this daemon does not have"
                );
                let mut db = engine.store.read().await?;
                Ok(runs::withdraw_request(&mut db, asked.id).await?)
            }
            result => result,
        }
    }
}

async fn timed(engine: &Engine, lease: &Lease, request: &Request, asked: Option<i64>) -> Result<(), CycleError> {
    let started = engine.clock.now();
    let store = engine.store.clone();
    let result = engine
        .cycle()
        .run(lease, request, async |run| {
            if let Some(asked) = asked
                && let Ok(mut db) = store.read().await
            {
                let _ = runs::answer_request(&mut db, asked, run).await;
            }
        })
        .await;
    let elapsed = (engine.clock.now() - started).to_std().unwrap_or_default();
    match &result {
        Ok(report) => {
            Metrics.cycle(report.outcome.as_str(), elapsed);
            observe(engine, report).await;
        }
        Err(_) => Metrics.cycle("failed", elapsed),
    }
    result.map(|_| ())
}

/// Updates the gauges after a run.
async fn observe(engine: &Engine, report: &Report) {
    for counts in &report.environments {
        Metrics.changes(
            &counts.environment,
            counts.created,
            counts.updated,
            counts.enabled,
            counts.disabled,
        );
        for (reason, count) in &counts.skipped {
            Metrics.skips(&counts.environment, reason, *count);
        }
    }
    if let Err(error) = gauges::refresh(engine).await {
        warn!(error = %chain(&error), "the gauges could not be brought up to date");
    }
}

/// Whether the next cycle is due. A time further away than any wait comes from a clock that was ahead and has since
/// been corrected; it is ignored.
fn is_due(due: Option<DateTime<Utc>>, now: DateTime<Utc>, interval: Duration) -> bool {
    let longest = chrono::Duration::from_std(interval.mul_f64(1.0 + JITTER)).unwrap_or(chrono::Duration::MAX);
    due.is_none_or(|due| due <= now || due - now > longest)
}

fn next_due(now: DateTime<Utc>, interval: Duration) -> DateTime<Utc> {
    let factor = rand::rng().random_range(1.0 - JITTER..=1.0 + JITTER);
    after(now, interval.mul_f64(factor))
}

fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    chrono::Duration::from_std(wait)
        .ok()
        .and_then(|wait| now.checked_add_signed(wait))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn a_cycle_is_due_at_its_time_and_at_once_after_the_clock_was_set_back() {
        let interval = Duration::from_mins(15);
        let now = Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap();
        assert!(is_due(None, now, interval), "the first");
        for _ in 0..50 {
            let due = next_due(now, interval);
            assert!(!is_due(Some(due), now, interval));
            assert!(is_due(Some(due), due, interval));
            let set_back = now - chrono::Duration::hours(5);
            assert!(is_due(Some(due), set_back, interval), "not five hours later");
        }
    }
}
