//! Removals that wait for the guard, or for a person (rules.md, section 11).

use super::word::words;
use serde::Serialize;

/// Where a removal stands that was not carried out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalState {
    /// A run has found it, and nobody has decided yet.
    Collected,
    /// It waits for a person.
    Held,
    /// A person has rejected it: the row stays enabled until the cause changes.
    Rejected,
}

impl RemovalState {
    /// The state of that name: what is no other is collected.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "held" => Self::Held,
            "rejected" => Self::Rejected,
            _ => Self::Collected,
        }
    }
}

words! {
    /// What a person decides about a held set.
    pub enum Decision {
        /// Carry it out.
        Approve "approved"
        /// Leave the rows enabled until their cause changes.
        Reject "rejected"
    }
}
