//! What the daemons have acknowledged, and what somebody asked for without hearing how it ended.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// A row as callers name it: environment and object id.
pub type Whose = (String, Uuid);

/// What was asked of a row by hand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// A column and its value, which nobody else ever writes.
    Column(&'static str, String),
    Hold(String),
    Release,
    Disable,
    Enable,
    Mode(i16),
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// Acknowledged, in this order.
    pub kept: Vec<(Whose, Wish)>,
    /// Everything ever asked for, whatever the answer was.
    pub asked: BTreeMap<Whose, BTreeSet<Wish>>,
    /// Asked for, and perhaps carried out, now or later.
    pub unsure: BTreeSet<(Whose, Wish)>,
    /// Rows that answers have shown: environment, row id.
    pub rows: BTreeSet<(String, Uuid)>,
}

impl Ledger {
    /// The last acknowledged wish of those that are wanted, by whose row it was.
    pub fn last<T>(&self, wanted: impl Fn(&Wish) -> Option<T>) -> BTreeMap<Whose, T> {
        let kept = self.kept.iter();
        kept.filter_map(|(whose, wish)| Some((whose.clone(), wanted(wish)?)))
            .collect()
    }

    /// Whether anything like that was ever asked for.
    pub fn was_asked(&self, whose: &Whose, what: impl Fn(&Wish) -> bool) -> bool {
        self.asked.get(whose).is_some_and(|wishes| wishes.iter().any(what))
    }
}
