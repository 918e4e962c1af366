//! Section `[sync]`: the intervals of cycles and verifications, the freshness of on-demand answers, and the scope of the mirror.

use std::time::Duration;

use serde::Deserialize;

use super::Issue;
use super::secret::Surroundings;
use super::value::{DAY, HOUR, MINUTE, Parsed, SECOND, within};
use crate::domain::environment::Environment;
use crate::domain::feed::checkpoint::Verifications;
use crate::domain::scope::{ScopeSetting, needs_everybody};

/// Section `[sync]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The time between two incremental cycles.
    pub interval: Duration,
    /// The time between two full reconciles.
    pub full_interval: Duration,
    /// The time between two verifications of the mirror; zero is never.
    pub verify_interval: Duration,
    /// The maximum age of directory data for on-demand evaluation; zero fetches every time.
    pub access_freshness: Duration,
    /// Which users the mirror holds.
    pub scope: ScopeSetting,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSync {
    interval: Parsed<Duration>,
    full_interval: Parsed<Duration>,
    verify_interval: Parsed<Duration>,
    access_freshness: Parsed<Duration>,
    scope: Parsed<ScopeSetting>,
}

impl Default for RawSync {
    fn default() -> Self {
        Self {
            interval: Parsed(15 * MINUTE),
            full_interval: Parsed(24 * HOUR),
            verify_interval: Parsed(7 * DAY),
            access_freshness: Parsed(60 * SECOND),
            scope: Parsed(ScopeSetting::Auto),
        }
    }
}

impl RawSync {
    pub(super) fn validate(self, surroundings: &mut Surroundings<'_>) -> Result<Sync, Issue> {
        // Seven days: the directory drops delta tokens after that, so a longer pause makes every cycle a resync.
        let interval = within("sync.interval", self.interval.0, &(SECOND..=7 * DAY))?;
        let full_interval = within("sync.full_interval", self.full_interval.0, &(SECOND..=30 * DAY))?;
        let verify_interval = within(
            "sync.verify_interval",
            self.verify_interval.0,
            &(Duration::ZERO..=90 * DAY),
        )?;
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
            verify_interval,
            access_freshness,
            scope: self.scope.0,
        })
    }
}

impl Sync {
    /// When the mirror is verified; none if never.
    #[must_use]
    pub fn verifications(&self) -> Option<Verifications> {
        (!self.verify_interval.is_zero()).then_some(Verifications {
            first: self.interval.min(HOUR),
            every: self.verify_interval,
        })
    }

    /// Refuses a scope that leaves out users whom an environment needs.
    pub(super) fn check_scope(&self, environments: &[Environment]) -> Result<(), Issue> {
        let open = environments.iter().find(|environment| needs_everybody(environment));
        match (self.scope, open) {
            (ScopeSetting::Groups, Some(open)) => Err(Issue::new(
                "sync.scope",
                format!(
                    "\"groups\" leaves out users whom the environment `{}` needs: it has a database and no security \
                     group, so everyone may have access; give it a security_group, or use \"auto\"",
                    open.name
                ),
            )),
            _ => Ok(()),
        }
    }
}
