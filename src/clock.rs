//! The one place that reads the machine's clock and waits on it.
//!
//! Everything that needs the time or a pause takes a [`Clock`]. A simulated clock stands still until
//! somebody sleeps on it or turns it forward, and sleeping on it takes no real time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The time of day and the ability to wait.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Simulated(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands at `start`; clones share it.
    #[must_use]
    pub fn simulated(start: DateTime<Utc>) -> Self {
        Self(Kind::Simulated(Arc::new(Mutex::new(start))))
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            Kind::System => Utc::now(),
            Kind::Simulated(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits. On a simulated clock the time jumps forward and other tasks get a turn.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            Kind::System => tokio::time::sleep(duration).await,
            Kind::Simulated(_) => {
                self.advance(duration);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Turns a simulated clock back, as whoever sets a clock does; the machine's clock cannot be turned.
    pub fn set_back(&self, duration: Duration) {
        if let Kind::Simulated(now) = &self.0 {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now -= chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX);
        }
    }

    /// Turns a simulated clock forward; the machine's clock cannot be turned.
    pub fn advance(&self, duration: Duration) {
        if let Kind::Simulated(now) = &self.0 {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now += chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX);
        }
    }
}
