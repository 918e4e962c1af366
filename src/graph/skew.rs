//! Whether this machine's clock and the directory's agree: every answer of Graph and of its token service carries its
//! time. Only tells; nothing is decided by it, and nothing is ever dated by the directory's clock.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// From here on it matters: so long does Entra take the assertion of a certificate, and so early is a token replaced.
pub const ALARMING_SKEW: TimeDelta = TimeDelta::minutes(5);

/// The difference that the latest answer told.
#[derive(Debug, Default)]
pub(super) struct Skew(Mutex<Option<TimeDelta>>);

impl Skew {
    /// Takes in the `Date` of an answer that has just come; says so in the log when the clocks part or meet again.
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

    /// What was told last.
    pub fn told(&self) -> Option<TimeDelta> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alarming(ahead: TimeDelta) -> bool {
    ahead.abs() >= ALARMING_SKEW
}
