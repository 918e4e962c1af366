//! Compares this machine's clock with the directory's: every answer of Graph and of its token service carries the time.
//! It only reports; it decides nothing, and no date comes from the directory's clock.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The difference from which it matters: Entra accepts a certificate's assertion for this long, and a token is replaced
/// this early.
pub const ALARMING_SKEW: TimeDelta = TimeDelta::minutes(5);

/// The difference in the latest answer.
#[derive(Debug, Default)]
pub(super) struct Skew(Mutex<Option<TimeDelta>>);

impl Skew {
    /// Records the `Date` of an answer that has just come; logs when the clocks diverge or agree again.
    pub fn note(&self, date: &str, now: DateTime<Utc>) {
        let Ok(date) = httpdate::parse_http_date(date) else {
            return;
        };
        let ahead = now - DateTime::<Utc>::from(date);
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(ahead);
        let was_alarming = before.is_some_and(is_alarming);
        if is_alarming(ahead) && !was_alarming {
            tracing::warn!(
                ahead_s = ahead.num_seconds(),
                "this machine's clock is not the directory's: set it, or let NTP do so; tokens and dates depend on it"
            );
        } else if was_alarming && !is_alarming(ahead) {
            tracing::info!("this machine's clock agrees with the directory's again");
        }
    }

    /// The latest difference.
    pub fn told(&self) -> Option<TimeDelta> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alarming(ahead: TimeDelta) -> bool {
    ahead.abs() >= ALARMING_SKEW
}
