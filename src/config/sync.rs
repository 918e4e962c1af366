//! Section `[sync]`: the interval of cycles, and the freshness of on-demand answers.

use std::time::Duration;

use serde::Deserialize;

use super::Issue;
use super::secret::Surroundings;
use super::value::{DAY, HOUR, MINUTE, Parsed, SECOND, within};

/// Section `[sync]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The time between two incremental cycles.
    pub interval: Duration,
    /// The time between two full reconciles.
    pub full_interval: Duration,
    /// The maximum age of directory data for on-demand evaluation; zero fetches every time.
    pub access_freshness: Duration,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSync {
    interval: Parsed<Duration>,
    full_interval: Parsed<Duration>,
    access_freshness: Parsed<Duration>,
}

impl Default for RawSync {
    fn default() -> Self {
        Self {
            interval: Parsed(15 * MINUTE),
            full_interval: Parsed(24 * HOUR),
            access_freshness: Parsed(60 * SECOND),
        }
    }
}

impl RawSync {
    pub(super) fn validate(self, surroundings: &mut Surroundings<'_>) -> Result<Sync, Issue> {
        // Seven days: the directory drops delta tokens after that, so a longer pause makes every cycle a resync.
        let interval = within("sync.interval", self.interval.0, &(SECOND..=7 * DAY))?;
        let full_interval = within("sync.full_interval", self.full_interval.0, &(SECOND..=30 * DAY))?;
        let access_freshness = within(
            "sync.access_freshness",
            self.access_freshness.0,
            &(Duration::ZERO..=DAY),
        )?;
        if full_interval < interval {
            surroundings.warnings.push(
                "sync.full_interval: shorter than sync.interval, so every cycle is a complete reconcile".to_owned(),
            );
        }
        Ok(Sync {
            interval,
            full_interval,
            access_freshness,
        })
    }
}
