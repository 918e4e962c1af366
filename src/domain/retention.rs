//! How long what is over is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::word::words;

words! {
    /// What is deleted once it is old; named as in the configuration, section `[retention]`.
    pub enum Kept {
        /// Lines of the change log.
        Changes "changes"
        /// Runs that have ended, with their decided sets of removals.
        Runs "runs"
        /// Closed findings.
        Findings "findings"
        /// Requests for runs.
        Requests "requests"
        /// Users of the mirror who are gone and have no row.
        GoneUsers "gone_users"
        /// Memberships of the mirror that are over.
        Memberships "memberships"
    }
}

/// How long each is kept, and how often old ones are deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The time between two rounds.
    pub every: Duration,
    /// The age at which each is deleted; what is missing is kept for ever.
    pub ages: BTreeMap<Kept, Duration>,
}

impl Retention {
    /// The time before which something is deleted; none if it is kept for ever.
    #[must_use]
    pub fn deleted_before(&self, what: Kept, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let age = chrono::Duration::from_std(*self.ages.get(&what)?).ok()?;
        now.checked_sub_signed(age)
    }
}
