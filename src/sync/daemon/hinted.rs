//! When a hint of the directory begins a run earlier.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::notifications;
use crate::sync::{Base, Failure};

/// Changes come in bursts: a run begins this long after the first hint.
const DEBOUNCE: Duration = Duration::from_secs(3);

/// The shortest time between two runs that hints have begun.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);

/// What a leader knows of hints.
#[derive(Debug, Default)]
pub struct Hinted {
    seen_at: Option<DateTime<Utc>>,
    ran_at: Option<DateTime<Utc>>,
}

impl Hinted {
    /// Whether a run is to begin for a hint now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_due(&mut self, base: &Base) -> Result<bool, Failure> {
        let now = base.clock.now();
        if !notifications::has_hint(&mut base.store.read().await?).await? {
            self.seen_at = None;
            return Ok(false);
        }
        let seen_at = *self.seen_at.get_or_insert(now);
        let is_over = |since: DateTime<Utc>, time: Duration| {
            // A clock that was set back does not make a hint wait for hours.
            now < since || now - since >= TimeDelta::from_std(time).unwrap_or_default()
        };
        let is_due = is_over(seen_at, DEBOUNCE) && self.ran_at.is_none_or(|at| is_over(at, AT_MOST_EVERY));
        if is_due {
            self.ran_at = Some(now);
        }
        Ok(is_due)
    }

    /// A run begins: it finds what was hinted at so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(&mut self, base: &Base) -> Result<(), Failure> {
        self.seen_at = None;
        Ok(notifications::take_hint(&mut base.store.read().await?).await?)
    }
}
