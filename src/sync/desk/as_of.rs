//! Facts that were not read from the directory just now, and as of when they are known. Every verdict that rests on
//! such a fact says so.

use chrono::{DateTime, Utc};

use super::Desk;
use crate::domain::environment::Environment;
use crate::domain::source::Source;
use crate::plan::Unasked;
use crate::rules::explain::Words;
use crate::rules::{Gate, Verdict};
use crate::store::{Connection, StoreResult, checkpoints};

/// A fact that is as old as the last reading of its source.
#[derive(Clone, Debug)]
pub(in crate::sync) struct AsOf {
    what: &'static str,
    /// None if it was never read.
    at: Option<DateTime<Utc>>,
    /// The gates that use it.
    gates: &'static [Gate],
}

impl AsOf {
    /// `groups in groups as of 2026-03-02 08:00:00 UTC`.
    pub fn text(&self) -> String {
        format!("{} {}", self.what, since(self.at))
    }
}

/// `as of 2026-03-02 08:00:00 UTC`.
pub(in crate::sync) fn since(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "not known".to_owned(),
        |at| format!("as of {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
    )
}

/// Adds to a verdict's texts which facts are known only as of a time.
pub(in crate::sync) fn note(words: &mut [Words], verdict: &Verdict, facts: &[AsOf]) {
    for (words, check) in words.iter_mut().zip(&verdict.checks) {
        let concerning: Vec<String> = facts
            .iter()
            .filter(|fact| fact.gates.contains(&check.gate))
            .map(AsOf::text)
            .collect();
        if !concerning.is_empty() {
            words.detail = format!("{} ({})", words.detail, concerning.join(", "));
        }
    }
}

impl Desk {
    /// The facts that were not read now and count as last known.
    pub(in crate::sync) async fn as_of(
        &self,
        db: &mut Connection,
        environment: &Environment,
        unasked: Unasked,
    ) -> StoreResult<Vec<AsOf>> {
        let mut facts = Vec::new();
        if unasked.roles {
            let at = checkpoints::read(&mut *db, Source::Roles).await?.reached_at;
            let gates = &[Gate::SecurityGroup, Gate::Licence];
            facts.push(AsOf {
                what: "administrator roles",
                at,
                gates,
            });
        }
        let of_group = [
            (unasked.owners, "owners of the group"),
            (unasked.nesting, "groups in groups"),
            (unasked.group, "the group"),
        ];
        if let (Some(group), true) = (environment.security_group, of_group.iter().any(|(is_so, _)| *is_so)) {
            let at = checkpoints::read(db, Source::Group(group)).await?.reached_at;
            let known = of_group.into_iter().filter(|(is_so, _)| *is_so);
            facts.extend(known.map(|(_, what)| AsOf {
                what,
                at,
                gates: &[Gate::SecurityGroup],
            }));
        }
        Ok(facts)
    }
}
