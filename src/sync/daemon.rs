//! The daemon's loop: lead, run on the interval or when asked, hand over.
//!
//! One process leads; the others wait for the lease. Runs never overlap, because one loop makes them all.

pub mod asked;
pub mod gauges;
pub mod lead;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;
use tokio::sync::watch;
use tracing::{info, warn};

pub use self::lead::{Led, announce, keep_announcing, run_once, serve_nothing, with_lease};
use super::cycle::{Report, Request};
use super::{CycleError, Engine, Failure, UnknownEnvironment};
use crate::error::chain;
use crate::store::lease::Lease;
pub use crate::store::serving::BELIEVED_FOR;
use crate::store::{StoreError, runs};
use crate::telemetry::metrics::Metrics;

/// How often the loop looks for requests, and for the lease.
const TICK: Duration = Duration::from_secs(1);

/// A lease that runs out within a tick is looked for this much after it has.
const JUST_AFTER: Duration = Duration::from_millis(20);

/// When the database has failed, the loop looks again this much later: often enough to lead before the lease of a
/// crashed leader is long over, and not so often that the log fills up.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// What else breaks a run off will hardly be over so soon, and each run asks the directory.
const AFTER_ANOTHER: Duration = Duration::from_secs(30);

/// The loop waits up to this share of the interval longer or shorter, so that many daemons do not call at once.
const JITTER: f64 = 0.1;

/// The daemon's loop with what a reload may change.
#[derive(Debug)]
pub struct Schedule {
    /// Who this process is, for the lease.
    pub holder: String,
    /// The engine and the interval, as configured now.
    pub configured: watch::Receiver<Arc<Configured>>,
}

/// What a reload may change.
pub struct Configured {
    /// The engine.
    pub engine: Engine,
    /// Between the starts of two cycles.
    pub interval: Duration,
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
                self.lead(&lease).await;
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
        loop {
            let configured = self.configured.borrow().clone();
            let engine = &configured.engine;
            if engine.cancel.is_cancelled() {
                return;
            }
            // Best effort: where the database is away, the run says so.
            let _ = gauges::refresh_held(engine).await;
            let result = self.run_once(&configured, lease, &mut due).await;
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

    /// What somebody asked for, then what is due: neither can keep the other from its turn.
    async fn run_once(
        &self,
        configured: &Configured,
        lease: &Lease,
        due: &mut Option<DateTime<Utc>>,
    ) -> Result<(), CycleError> {
        let engine = &configured.engine;
        self.answer_request(engine, lease).await?;
        let now = engine.clock.now();
        if !is_due(*due, now, configured.interval) {
            return Ok(());
        }
        *due = Some(next_due(now, configured.interval));
        let request = Request {
            trigger: "interval".to_owned(),
            ..Request::default()
        };
        timed(engine, lease, &request, None).await
    }

    /// Takes up a request of `rollcall sync`, if there is one.
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
                // Withdrawn, so that whoever asked is told and the next request has its turn.
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

/// Brings the gauges up to date after a run.
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

/// Whether the next cycle begins. A time further off than any wait was set by a clock that ran ahead then, and has been
/// set right since: nobody waits for that.
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
