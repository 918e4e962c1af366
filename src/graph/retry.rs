//! Retries within one call. The wait is the service's `Retry-After` if given, else exponential backoff with full
//! jitter. Attempts and total wait are limited; if a caller waits, so is the whole call. A stop ends every wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::error::GraphError;
use super::http::HttpResponse;
use super::settings::{GraphSettings, RetryBounds};
use super::skew::Skew;
use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// What every wait needs: the limits, the clock, the stop, the random source. Cheap to clone; clones share the random
/// source.
#[derive(Clone, Debug)]
pub(super) struct RetryPolicy {
    pub bounds: RetryBounds,
    pub clock: Clock,
    pub cancel: CancellationToken,
    pub metrics: Metrics,
    pub skew: Arc<Skew>,
    dice: Arc<Mutex<StdRng>>,
    request_timeout: Duration,
    on_demand_limit: Duration,
    /// Whether a caller waits for the calls.
    hurried: bool,
    /// The deadline of the call; none before it begins and if no caller waits.
    until: Option<DateTime<Utc>>,
}

/// The reasons for a retry, as metric labels.
pub const REASONS: [&str; 5] = ["throttled", "unavailable", "broken_body", "network", "unauthorized"];

/// A failure to retry.
#[derive(Debug)]
pub(super) struct Retry {
    /// The metric label.
    pub reason: &'static str,
    /// The requested `Retry-After`.
    pub wanted: Option<Duration>,
    /// The minimum wait, whatever the jitter.
    pub at_least: Duration,
    /// The call's error if this was the last attempt; its `retry_after` is set from `wanted`.
    pub error: GraphError,
}

/// The retries of one call so far.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    made: u32,
    waited: Duration,
}

impl RetryPolicy {
    pub fn new(settings: &GraphSettings, clock: Clock, cancel: CancellationToken) -> Self {
        let dice = settings.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        Self {
            bounds: settings.retry,
            clock,
            cancel,
            metrics: Metrics,
            skew: Arc::default(),
            dice: Arc::new(Mutex::new(dice)),
            request_timeout: settings.request_timeout,
            on_demand_limit: settings.on_demand_limit,
            hurried: false,
            until: None,
        }
    }

    /// The policy for a waiting caller: every call has a deadline.
    pub fn hurried(&self) -> Self {
        Self {
            hurried: true,
            until: None,
            ..self.clone()
        }
    }

    /// Starts the time of a call. Changes nothing within a call that has begun.
    pub fn begun(&self) -> Self {
        let limit = TimeDelta::from_std(self.on_demand_limit).unwrap_or(TimeDelta::MAX);
        let ends = || self.clock.now().checked_add_signed(limit);
        Self {
            until: self.until.or_else(|| self.hurried.then(ends).flatten()),
            ..self.clone()
        }
    }

    /// The remaining time of the call; none if it has no limit.
    pub fn left(&self) -> Option<Duration> {
        self.until
            .map(|until| (until - self.clock.now()).to_std().unwrap_or_default())
    }

    /// The timeout of the next request, if below the usual one: half of the remaining time, so that a hanging request
    /// can be retried.
    pub fn request_timeout(&self) -> Option<Duration> {
        self.left().map(|left| (left / 2).min(self.request_timeout))
    }

    /// Records the clock of the server that answered.
    pub fn note_date(&self, answer: &HttpResponse) {
        if let Some(date) = answer.header("date") {
            self.skew.note(date, self.clock.now());
        }
    }

    /// Runs a future until a stop interrupts it.
    pub async fn unless_cancelled<F: Future>(&self, future: F) -> Result<F::Output, GraphError> {
        self.cancel
            .run_until_cancelled(future)
            .await
            .ok_or(GraphError::Cancelled)
    }

    /// Runs a future until a stop interrupts it or the call's time ends; none in that case. For waits in real time,
    /// whatever the clock says.
    pub async fn in_time<F: Future>(&self, future: F) -> Result<Option<F::Output>, GraphError> {
        let future = self.unless_cancelled(future);
        match self.left() {
            None => future.await.map(Some),
            Some(left) => tokio::time::timeout(left, future).await.ok().transpose(),
        }
    }

    /// Waits before the next attempt, or returns why there is none.
    pub async fn pause(&self, so_far: &mut Repetitions, again: Retry) -> Result<(), GraphError> {
        match self.allow(so_far, again.wanted, again.at_least) {
            Some(wait) => self.wait(again.reason, wait).await,
            None => Err(again.error),
        }
    }

    /// The wait before the next attempt; none if there is to be none. Counts the wait as taken.
    pub fn allow(&self, so_far: &mut Repetitions, wanted: Option<Duration>, at_least: Duration) -> Option<Duration> {
        so_far.made += 1;
        let bound = self.bounds.total_wait.saturating_sub(so_far.waited);
        let left = self.left().unwrap_or(Duration::MAX);
        let wait = wanted.unwrap_or_else(|| self.backoff(so_far.made)).max(at_least);
        // At the very end no time is left for an answer.
        if so_far.made >= self.bounds.attempts || wait > bound || wait >= left {
            return None;
        }
        so_far.waited += wait;
        Some(wait)
    }

    /// Waits for the allowed time; `reason` is the metric label.
    pub async fn wait(&self, reason: &'static str, wait: Duration) -> Result<(), GraphError> {
        self.metrics.graph_retry(reason);
        self.unless_cancelled(self.clock.sleep(wait)).await
    }

    /// Full jitter: a random wait between zero and a ceiling that doubles.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.bounds.first_backoff.saturating_mul(1 << (attempt - 1).min(20));
        let ceiling = doubled.min(self.bounds.longest_backoff);
        let share: f64 = self.dice.lock().unwrap_or_else(PoisonError::into_inner).random();
        ceiling.mul_f64(share)
    }
}

/// Reads `Retry-After`: seconds, a fraction of seconds (as in Microsoft's own examples), or an HTTP date. None if it is
/// zero, past or invalid: then backoff applies.
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
