//! Section `[guard]`: how many users a run may disable without approval (rules.md, section 11).

use std::time::Duration;

use serde::Deserialize;

use super::Issue;
use super::value::{DAY, HOUR, Parsed, SECOND, within};

/// Section `[guard]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Disables per environment and day that need no approval.
    pub max_disables: u32,
    /// The same as a percentage of the enabled rows, 0 to 100.
    pub max_disable_percent: f64,
    /// How long a held set waits before it is re-evaluated.
    pub hold_expiry: Duration,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGuard {
    max_disables: u32,
    max_disable_percent: f64,
    hold_expiry: Parsed<Duration>,
}

impl Default for RawGuard {
    fn default() -> Self {
        Self {
            max_disables: 100,
            max_disable_percent: 10.0,
            hold_expiry: Parsed(72 * HOUR),
        }
    }
}

impl RawGuard {
    pub(super) fn validate(self) -> Result<Guard, Issue> {
        if !(0.0..=100.0).contains(&self.max_disable_percent) {
            return Err(Issue::new(
                "guard.max_disable_percent",
                "out of bounds; expected 0 to 100",
            ));
        }
        let hold_expiry = within("guard.hold_expiry", self.hold_expiry.0, &(SECOND..=365 * DAY))?;
        Ok(Guard {
            max_disables: self.max_disables,
            max_disable_percent: self.max_disable_percent,
            hold_expiry,
        })
    }
}
