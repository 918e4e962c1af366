//! The limits of one caller: concurrent requests, and requests a second.
//!
//! Callers share the pool of database connections, which serves in order of arrival. The limit on a caller's concurrent
//! requests keeps a runaway client from starving the others: the queue is never longer than the sum of the callers'
//! limits. The rate limit is for an operator who grants a client less than the machine can do; its default is above
//! that. All callers without valid credentials share one rate; a valid token is never refused because of them.
//!
//! A token bucket and a counter are enough; the available crates (governor, tower's limits) bring their own clock or do
//! not distinguish callers. Never looks at the content of a request, and never reads the machine's clock.

use crate::domain::word::words;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// The time to fill a bucket, so that a second's worth may come at once.
const WINDOW: TimeDelta = TimeDelta::seconds(1);

/// The number of requests a second without valid credentials that get a full answer. A client with a wrong token sees
/// one of these; nobody needs more.
const STRANGERS_PER_SECOND: u32 = 100;

/// The number of callers kept before idle ones are dropped. The tenant may know many more.
const MOST_CALLERS: usize = 1024;

/// The minimum time between two log lines about the same refused caller.
const WARN_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// The limits of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second, above zero.
    pub per_second: u32,
    /// Concurrent requests, above zero.
    pub at_once: u32,
}

words! {
    /// The limit that was exceeded.
    pub enum Bound {
        /// Requests a second.
        Rate "rate"
        /// Concurrent requests.
        AtOnce "at_once"
        /// Requests a second of all callers without valid credentials.
        Strangers "strangers"
    }
}

/// A request over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The limit that was exceeded.
    pub bound: Bound,
    /// Whole seconds to wait, at least one.
    pub retry_after: u16,
}

/// The permission to serve one request; dropping it ends it.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "counted, never read")] Arc<()>);

/// Counts the requests of callers. Cheap to clone; clones share their counts.
#[derive(Clone)]
pub struct Limits(Arc<Counted>);

struct Counted {
    allowance: Allowance,
    clock: Clock,
    callers: Mutex<HashMap<String, Usage>>,
    strangers: Mutex<Usage>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// Grants every caller the same limits.
    #[must_use]
    pub fn new(allowance: Allowance, clock: Clock) -> Self {
        Self(Arc::new(Counted {
            allowance,
            clock,
            callers: Mutex::default(),
            strangers: Mutex::default(),
        }))
    }

    /// Admits a caller's request, or refuses it.
    ///
    /// # Errors
    /// [`TooMany`], with the time after which it may be sent again.
    pub fn admit(&self, caller: &str) -> Result<Permit, TooMany> {
        let now = self.0.clock.now();
        let mut callers = self.0.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_CALLERS && !callers.contains_key(caller) {
            callers.retain(|_, usage| usage.is_busy(now));
        }
        let usage = callers.entry(caller.to_owned()).or_default();
        usage
            .admit(self.0.allowance, now)
            .map_err(|too_many| usage.told(too_many, caller, now))
    }

    /// Counts a request without valid credentials.
    ///
    /// # Errors
    /// [`TooMany`], when all of these callers together exceed the rate.
    pub fn note_stranger(&self) -> Result<(), TooMany> {
        let now = self.0.clock.now();
        let mut strangers = self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers
            .take(STRANGERS_PER_SECOND, Bound::Strangers, now)
            .map_err(|too_many| strangers.told(too_many, "(unknown)", now))
    }
}

/// The recent requests of one caller.
#[derive(Default)]
struct Usage {
    /// When the bucket is full again; it is full if this is past.
    full_at: DateTime<Utc>,
    /// Has one additional owner for each request under way.
    under_way: Arc<()>,
    warned_at: Option<DateTime<Utc>>,
}

impl Usage {
    fn admit(&mut self, allowance: Allowance, now: DateTime<Utc>) -> Result<Permit, TooMany> {
        let under_way = Arc::strong_count(&self.under_way) - 1;
        if under_way >= usize::try_from(allowance.at_once).unwrap_or(usize::MAX) {
            return Err(TooMany {
                bound: Bound::AtOnce,
                retry_after: 1,
            });
        }
        self.take(allowance.per_second, Bound::Rate, now)?;
        Ok(Permit(Arc::clone(&self.under_way)))
    }

    /// Takes one token from the bucket.
    fn take(&mut self, per_second: u32, bound: Bound, now: DateTime<Utc>) -> Result<(), TooMany> {
        let one = WINDOW / i32::try_from(per_second).unwrap_or(i32::MAX).max(1);
        // A clock that was set back must not lock anybody out.
        self.full_at = self.full_at.clamp(now, now + WINDOW);
        let full_at = self.full_at + one;
        let wait = full_at - WINDOW - now;
        if wait > TimeDelta::zero() {
            let seconds = (wait.num_milliseconds() + 999) / 1000;
            return Err(TooMany {
                bound,
                retry_after: u16::try_from(seconds).unwrap_or(u16::MAX).max(1),
            });
        }
        self.full_at = full_at;
        Ok(())
    }

    fn is_busy(&self, now: DateTime<Utc>) -> bool {
        Arc::strong_count(&self.under_way) > 1 || self.full_at > now
    }

    /// Counts a refusal, and occasionally logs the caller.
    fn told(&mut self, too_many: TooMany, actor: &str, now: DateTime<Utc>) -> TooMany {
        let bound = too_many.bound.as_str();
        Metrics.api_limited(bound);
        if self.warned_at.is_none_or(|at| now - at >= WARN_AGAIN || now < at) {
            self.warned_at = Some(now);
            warn!(
                actor,
                bound, "a caller asks too much; what is too much is answered with 429"
            );
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(per_second: u32, at_once: u32) -> (Limits, Clock) {
        let clock = Clock::simulated(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        (Limits::new(Allowance { per_second, at_once }, clock.clone()), clock)
    }

    fn refused(limits: &Limits, caller: &str) -> Option<Bound> {
        limits.admit(caller).err().map(|too_many| too_many.bound)
    }

    #[test]
    fn a_caller_may_ask_a_second_s_worth_at_once_and_then_waits() {
        let (limits, clock) = limits(10, 100);
        for _ in 0..10 {
            limits.admit("a").unwrap();
        }
        let too_many = limits.admit("a").unwrap_err();
        assert_eq!((too_many.bound, too_many.retry_after), (Bound::Rate, 1));
        clock.advance(Duration::from_millis(99));
        assert_eq!(refused(&limits, "a"), Some(Bound::Rate));
        clock.advance(Duration::from_millis(1));
        limits.admit("a").unwrap();
        assert_eq!(refused(&limits, "a"), Some(Bound::Rate));
        clock.advance(Duration::from_hours(1));
        let again = (0..20).filter(|_| limits.admit("a").is_ok()).count();
        assert_eq!(again, 10, "what was not used does not add up");
    }

    #[test]
    fn one_caller_s_requests_under_way_are_bounded_and_nobody_else_s() {
        let (limits, _) = limits(1_000_000, 2);
        let first = limits.admit("a").unwrap();
        let _second = limits.admit("a").unwrap();
        assert_eq!(refused(&limits, "a"), Some(Bound::AtOnce));
        limits.admit("b").unwrap();
        drop(first);
        limits.admit("a").unwrap();
    }

    #[test]
    fn a_clock_that_is_turned_back_locks_nobody_out() {
        let (limits, clock) = limits(1, 100);
        limits.admit("a").unwrap();
        let back = Clock::simulated(clock.now() - TimeDelta::days(300));
        let turned = Limits(Arc::new(Counted {
            allowance: limits.0.allowance,
            clock: back.clone(),
            callers: Mutex::new(std::mem::take(&mut *limits.0.callers.lock().unwrap())),
            strangers: Mutex::default(),
        }));
        assert_eq!(refused(&turned, "a"), Some(Bound::Rate));
        back.advance(Duration::from_secs(1));
        turned.admit("a").unwrap();
    }

    #[test]
    fn idle_callers_are_forgotten_and_busy_ones_are_not() {
        let (limits, clock) = limits(1_000_000, 1);
        let _under_way = limits.admit("busy").unwrap();
        clock.advance(Duration::from_secs(2));
        for caller in 0..3 * MOST_CALLERS {
            limits.admit(&caller.to_string()).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        assert!(limits.0.callers.lock().unwrap().len() <= MOST_CALLERS);
        assert_eq!(refused(&limits, "busy"), Some(Bound::AtOnce));
    }

    #[test]
    fn strangers_share_one_rate() {
        let (limits, clock) = limits(1, 1);
        let good = (0..1000).filter(|_| limits.note_stranger().is_ok()).count();
        assert_eq!(good, STRANGERS_PER_SECOND as usize);
        limits.admit("a").unwrap();
        clock.advance(Duration::from_secs(1));
        limits.note_stranger().unwrap();
    }
}
