//! Applies a draft to the database and reports what it rejected. This is the only applier.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::parts::WriteAttempt;
use super::write::{Write, WriteMode, chains, hash, signature, write, write_removals};
use crate::plan::RoleChange;
use crate::plan::batch::{Decision, Draft};
use crate::store::changes::Author;
use crate::store::refusals::Refused;
use crate::store::{Fault, StoreResult, Transaction};

/// The result of applying a draft. The draft keeps what was written; a refused row and its roles are removed from it. If
/// the rest of a row that has to be disabled is refused, the draft keeps the removal alone.
#[derive(Debug, Default)]
pub(in crate::sync) struct Applied {
    /// Users who waited for a name that is now free.
    pub woken: Vec<Uuid>,
    /// Users whose row the database rejects, and why.
    pub refused: HashMap<Uuid, NotTaken>,
}

/// A row that the database rejects.
#[derive(Clone, Debug)]
pub(in crate::sync) struct NotTaken {
    /// One sentence.
    pub detail: String,
    /// A hash of the attempt and its fault; none if it was not retried.
    pub tried: Option<(String, Fault)>,
}

/// The draft of one environment in a batch.
#[derive(Debug)]
pub(in crate::sync) struct Share<'a> {
    pub environment: &'a str,
    pub draft: &'a mut Draft,
    /// The refusals of its users that are recorded.
    pub known: HashMap<Uuid, Refused>,
}

/// Writes the drafts of a batch, in the same statements. An attempt that is known to be refused and has not changed is
/// not repeated. The rows' author signs their lines in the change log, `roles_by` those of the roles.
pub(in crate::sync) async fn apply(
    tx: &mut Transaction,
    shares: &mut [Share<'_>],
    author: Author<'_>,
    roles_by: &str,
    effort: &WriteAttempt,
) -> StoreResult<Vec<Applied>> {
    let is_careful = !matches!(effort, WriteAttempt::Write(WriteMode::Together));
    let mut applied = Vec::new();
    let mut all: Vec<Vec<Attempt<'_>>> = Vec::new();
    let mut writes: Vec<Write<'_>> = Vec::new();
    let mut given: Vec<(&str, &RoleChange)> = Vec::new();
    let mut names = Vec::new();
    for share in &mut *shares {
        let mut of_share = Applied::default();
        let mut attempts = attempts(
            share.environment,
            &mut share.draft.decisions,
            &share.known,
            is_careful,
            &mut of_share,
        );
        writes.extend(attempts.iter_mut().filter_map(|attempt| attempt.write.take()));
        given.extend(
            attempts
                .iter()
                .flat_map(|it| it.roles)
                .map(|role| (share.environment, role)),
        );
        applied.push(of_share);
        names.push(share.environment);
        all.push(attempts);
    }
    let (mut woken, refused, removed) = match effort {
        WriteAttempt::Write(care) => {
            let written = write(tx, &mut writes, &given, author, roles_by, *care).await?;
            (written.woken, written.refused, written.removed)
        }
        WriteAttempt::GiveUp(fault) => {
            let rows = names
                .iter()
                .zip(&all)
                .flat_map(|(name, attempts)| attempts.iter().map(|attempt| ((*name).to_owned(), attempt.row)));
            let refused = rows.map(|row| (row, fault.clone())).collect();
            let removed = write_removals(tx, &mut writes, &refused, author).await?;
            (HashMap::new(), refused, removed)
        }
    };
    for ((name, attempts), applied) in names.into_iter().zip(all).zip(&mut applied) {
        applied.woken = woken.remove(name).unwrap_or_default();
        for attempt in attempts {
            if let Some(fault) = refused.get(&(name.to_owned(), attempt.row)) {
                let not_taken = NotTaken {
                    detail: sentence(fault),
                    tried: Some((attempt.plan, fault.clone())),
                };
                applied.refused.insert(attempt.id, not_taken);
            }
        }
    }
    for (share, applied) in shares.iter_mut().zip(&applied) {
        for decision in &mut share.draft.decisions {
            if applied.refused.contains_key(&decision.candidate.id) {
                let row = decision.row_id().map(|row| (share.environment.to_owned(), row));
                if row.is_none_or(|row| !removed.contains(&row)) {
                    decision.plan.change = None;
                }
                decision.roles.changes.clear();
            }
        }
    }
    Ok(applied)
}

/// The attempted write of one user.
struct Attempt<'d> {
    id: Uuid,
    row: Uuid,
    plan: String,
    write: Option<Write<'d>>,
    roles: &'d [RoleChange],
}

/// The attempts of a draft. One that was refused and has not changed is not repeated; of rows that exchange a name,
/// all must be unchanged. A careful attempt contains its plan, to be recorded.
fn attempts<'d>(
    environment: &'d str,
    decisions: &'d mut [Decision],
    known: &HashMap<Uuid, Refused>,
    is_careful: bool,
    applied: &mut Applied,
) -> Vec<Attempt<'d>> {
    let compares = is_careful || !known.is_empty();
    let mut still = |id: Uuid| {
        let detail = known.get(&id).map(|refused| refused.detail.clone());
        let not_taken = detail.map(|detail| NotTaken { detail, tried: None });
        applied.refused.extend(not_taken.map(|not_taken| (id, not_taken)));
    };
    let mut attempts = Vec::new();
    for decision in decisions {
        let row = decision.row_id();
        let Decision {
            candidate, plan, roles, ..
        } = decision;
        let Some(row) = row.filter(|_| plan.change.is_some() || !roles.changes.is_empty()) else {
            // A removal that the guard has not decided yet is not a success.
            if plan.removal.is_some() {
                still(candidate.id);
            }
            continue;
        };
        let signature = || signature(plan.change.as_ref(), &roles.changes);
        attempts.push(Attempt {
            id: candidate.id,
            row,
            plan: if compares { signature() } else { String::new() },
            write: plan.change.as_mut().map(|change| Write {
                environment,
                before: candidate.row.as_ref(),
                change,
            }),
            roles: &roles.changes,
        });
    }
    if compares {
        link(&mut attempts);
        let is_known = |attempt: &Attempt<'_>| {
            let refused = known.get(&attempt.id).and_then(|refused| refused.plan.as_ref());
            refused == Some(&attempt.plan)
        };
        let withheld: HashSet<Uuid> = attempts.iter().filter(|it| is_known(it)).map(|it| it.row).collect();
        attempts.iter().filter(|it| is_known(it)).for_each(|it| still(it.id));
        attempts.retain(|attempt| !withheld.contains(&attempt.row));
    }
    attempts
}

/// Joins the attempts of rows that exchange names into one plan.
fn link(attempts: &mut [Attempt<'_>]) {
    let (at, writes): (Vec<usize>, Vec<&Write<'_>>) = attempts
        .iter()
        .enumerate()
        .filter_map(|(at, attempt)| Some((at, attempt.write.as_ref()?)))
        .unzip();
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    for (chain, at) in chains(&writes).into_iter().zip(at) {
        members.entry(chain).or_default().push(at);
    }
    for members in members.into_values().filter(|members| members.len() > 1) {
        let mut plans: Vec<&str> = members.iter().map(|at| attempts[*at].plan.as_str()).collect();
        plans.sort_unstable();
        let plan = hash(&plans.concat());
        for at in members {
            attempts[at].plan.clone_from(&plan);
        }
    }
}

/// One sentence about a row that cannot be written.
pub(in crate::sync) fn sentence(fault: &Fault) -> String {
    format!("The database does not take the row: {fault}")
}
