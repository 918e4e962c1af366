//! How one call repeats itself: `Retry-After` where the service names a time, else exponential backoff with full
//! jitter, within bounds on attempts and on waiting; and, where somebody waits, within an end of the whole call.
//! Never a wait that a stop cannot end.

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

/// What every wait needs: the bounds, the clock, the stop, the dice. Cheap to clone; clones share the dice.
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
    /// Whether somebody waits for the calls.
    hurried: bool,
    /// When the call must have ended; nothing before it began and where nobody waits.
    until: Option<DateTime<Utc>>,
}

/// A failure that is worth repeating.
#[derive(Debug)]
pub(super) struct Retry {
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

    /// The patience of somebody who waits: every call has an end.
    pub fn hurried(&self) -> Self {
        Self {
            hurried: true,
            until: None,
            ..self.clone()
        }
    }

    /// A call begins, and its time runs. Within a call that has begun this changes nothing.
    pub fn begun(&self) -> Self {
        let limit = TimeDelta::from_std(self.on_demand_limit).unwrap_or(TimeDelta::MAX);
        let ends = || self.clock.now().checked_add_signed(limit);
        Self {
            until: self.until.or_else(|| self.hurried.then(ends).flatten()),
            ..self.clone()
        }
    }

    /// What is left of the call's time; nothing where it may take as long as it takes.
    pub fn left(&self) -> Option<Duration> {
        self.until
            .map(|until| (until - self.clock.now()).to_std().unwrap_or_default())
    }

    /// How long the next request may take, where that is less than any other: half of what is left, so that one
    /// that hangs can be repeated.
    pub fn request_timeout(&self) -> Option<Duration> {
        self.left().map(|left| (left / 2).min(self.request_timeout))
    }

    /// Takes in what time it is for whoever answered.
    pub fn note_date(&self, answer: &HttpResponse) {
        if let Some(date) = answer.header("date") {
            self.skew.note(date, self.clock.now());
        }
    }

    /// Runs something that a stop may interrupt.
    pub async fn unless_cancelled<F: Future>(&self, future: F) -> Result<F::Output, GraphError> {
        self.cancel
            .run_until_cancelled(future)
            .await
            .ok_or(GraphError::Cancelled)
    }

    /// Runs something that a stop may interrupt and that must not outlast the call; nothing if it would. For what
    /// passes in the machine's time, whatever the clock says.
    pub async fn in_time<F: Future>(&self, future: F) -> Result<Option<F::Output>, GraphError> {
        let future = self.unless_cancelled(future);
        match self.left() {
            None => future.await.map(Some),
            Some(left) => tokio::time::timeout(left, future).await.ok().transpose(),
        }
    }

    /// Waits before the next attempt, or says why there is none.
    pub async fn pause(&self, so_far: &mut Repetitions, again: Retry) -> Result<(), GraphError> {
        match self.allow(so_far, again.wanted, again.at_least) {
            Some(wait) => self.wait(again.reason, wait).await,
            None => Err(again.error),
        }
    }

    /// How long to wait before the next attempt; nothing if there is to be none. Counts the wait as taken.
    pub fn allow(&self, so_far: &mut Repetitions, wanted: Option<Duration>, at_least: Duration) -> Option<Duration> {
        so_far.made += 1;
        let bound = self.bounds.total_wait.saturating_sub(so_far.waited);
        let left = self.left().unwrap_or(Duration::MAX);
        let wait = wanted.unwrap_or_else(|| self.backoff(so_far.made)).max(at_least);
        // At the very end there would be no time for an answer.
        if so_far.made >= self.bounds.attempts || wait > bound || wait >= left {
            return None;
        }
        so_far.waited += wait;
        Some(wait)
    }

    /// Waits as long as was allowed; `reason` is the metric label.
    pub async fn wait(&self, reason: &'static str, wait: Duration) -> Result<(), GraphError> {
        self.metrics.graph_retry(reason);
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
