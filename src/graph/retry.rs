//! How one call repeats itself: `Retry-After` where the service names a time, else exponential backoff with full
//! jitter, within bounds on attempts and on waiting. Never a wait that a stop cannot end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::error::GraphError;
use super::settings::RetryBounds;
use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// What every wait needs: the bounds, the clock, the stop, the dice.
#[derive(Debug)]
pub(super) struct Patience {
    pub bounds: RetryBounds,
    pub clock: Clock,
    pub cancel: CancellationToken,
    pub metrics: Metrics,
    dice: Mutex<StdRng>,
}

/// A failure that is worth repeating.
#[derive(Debug)]
pub(super) struct Again {
    /// The metric label.
    pub reason: &'static str,
    /// What `Retry-After` asked for.
    pub wanted: Option<Duration>,
    /// The least wait, whatever the dice say.
    pub at_least: Duration,
    /// The call's error if this was the last attempt; `retry_after` is filled in from `wanted`.
    pub error: GraphError,
}

/// One call's repetitions so far.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    made: u32,
    waited: Duration,
}

impl Patience {
    pub fn new(bounds: RetryBounds, clock: Clock, cancel: CancellationToken, seed: Option<u64>) -> Self {
        let dice = seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        Self {
            bounds,
            clock,
            cancel,
            metrics: Metrics,
            dice: Mutex::new(dice),
        }
    }

    /// Runs something that a stop may interrupt.
    pub async fn unless_cancelled<F: Future>(&self, future: F) -> Result<F::Output, GraphError> {
        self.cancel
            .run_until_cancelled(future)
            .await
            .ok_or(GraphError::Cancelled)
    }

    /// Waits before the next attempt, or says why there is none.
    pub async fn pause(&self, so_far: &mut Repetitions, again: Again) -> Result<(), GraphError> {
        so_far.made += 1;
        let left = self.bounds.total_wait.saturating_sub(so_far.waited);
        let wait = again
            .wanted
            .unwrap_or_else(|| self.backoff(so_far.made))
            .max(again.at_least);
        if so_far.made >= self.bounds.attempts || wait > left {
            return Err(again.error);
        }
        so_far.waited += wait;
        self.metrics.graph_retry(again.reason);
        self.unless_cancelled(self.clock.sleep(wait)).await
    }

    /// Full jitter: anything between nothing and a ceiling that doubles.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.bounds.first_backoff.saturating_mul(1 << (attempt - 1).min(20));
        let ceiling = doubled.min(self.bounds.longest_backoff);
        let share: f64 = self.dice.lock().unwrap_or_else(PoisonError::into_inner).random();
        ceiling.mul_f64(share)
    }
}

/// Reads `Retry-After`: seconds, a fraction of seconds (seen in Microsoft's own examples), or an HTTP date.
/// Nothing where it is zero, past or not understood: backoff then decides.
pub(super) fn read_retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = header.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        Duration::try_from_secs_f64(text.parse().ok()?).ok()?
    } else {
        let date = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
        (date - now).to_std().ok()?
    };
    (!wait.is_zero()).then_some(wait)
}
