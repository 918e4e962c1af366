//! What a round, or the changes after it, contained so far.

use serde::{Deserialize, Serialize};

use crate::domain::doubt::Doubt;
use crate::domain::feed::{Patch, UserChange};

/// From this many users on, a property missing from all of them is not a coincidence.
const ALL_MISSING_COUNTS_FROM: u64 = 20;

/// Statistics of a round, or of the changes after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageStats {
    /// Entries that exist.
    #[serde(alias = "members")]
    pub present: u64,
    /// Users whose account state could be read.
    pub with_account: u64,
    /// Users whose plans could be read.
    pub with_plans: u64,
    /// Whether any user had a plan when the round began.
    pub had_plans: bool,
    /// Entries that could not be read.
    pub unreadable: u64,
    /// The number of users before the round, once its sweep has begun.
    pub had: Option<u64>,
    /// The round was a plain listing, which has no mark at its end.
    pub is_listing: bool,
    /// The number of entries that the directory counts, if it was asked at the end of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The number of entries that the last complete listing had.
    pub last_listing: Option<u64>,
    /// Changes since the last round could not be read: only another round would report them again.
    pub missed: bool,
}

impl PageStats {
    /// Adds an entry of the users' feed.
    pub fn add(&mut self, change: &UserChange, is_round: bool) {
        if let UserChange::Present(patch) = change {
            self.present += 1;
            self.with_account += u64::from(is_readable(&patch.account_enabled, is_round));
            self.with_plans += u64::from(is_readable(&patch.usable_plans, is_round));
        }
    }

    /// The statistics with which a round begins.
    #[must_use]
    pub(super) fn at_beginning(self) -> Self {
        Self {
            // An interrupted round has overwritten part of what it is compared with.
            had_plans: self.had_plans,
            last_listing: self.last_listing,
            ..Self::default()
        }
    }

    /// The statistics with which the changes after a round begin. What the round could not read counts until the
    /// source is swept.
    #[must_use]
    pub(super) fn at_changes(self, unswept: bool) -> Self {
        Self {
            missed: self.missed,
            unreadable: if unswept { self.unreadable } else { 0 },
            had: self.had.filter(|_| unswept),
            is_listing: self.is_listing && unswept,
            last_listing: self.last_listing,
            ..Self::default()
        }
    }

    /// Adds those of further pages.
    pub(super) fn add_pages(&mut self, pages: Self, is_round: bool) {
        self.present += pages.present;
        self.with_account += pages.with_account;
        self.with_plans += pages.with_plans;
        self.had_plans |= pages.had_plans;
        self.unreadable += pages.unreadable;
        self.missed |= !is_round && pages.unreadable > 0;
        self.count = pages.count.or(self.count);
    }

    /// The doubt under which users with these statistics are not evidence.
    #[must_use]
    pub fn doubt(self, is_round: bool) -> Option<Doubt> {
        // The plans of all users vanished at once: that indicates a withdrawn permission, not a change of licences.
        let enough = if is_round {
            self.had_plans
        } else {
            self.present >= ALL_MISSING_COUNTS_FROM
        };
        if self.present > 0 && self.with_account == 0 {
            Some(Doubt::NoAccountStates {})
        } else if enough && self.present > 0 && self.with_plans == 0 {
            Some(Doubt::NoPlans {})
        } else {
            None
        }
    }
}

/// Whether a property that every user has was sent, or is known from before.
fn is_readable<T>(patch: &Patch<T>, is_round: bool) -> bool {
    match patch {
        // The user's own finding reports a single value that cannot be decoded.
        Patch::Value(_) | Patch::Undecodable => true,
        Patch::Null => false,
        Patch::Absent => !is_round,
    }
}

/// Whether a listing has less than 99 % of what was expected.
pub(super) fn is_short(listed: u64, expected: u64) -> bool {
    u128::from(listed) * 100 < u128::from(expected) * 99
}
