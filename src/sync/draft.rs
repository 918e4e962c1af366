//! What a batch will write, and what became of it: from verdicts to attempts, from attempts to findings.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::batch::Judged;
use super::case::Case;
use super::write::{Write, Written, chains, hash, signature};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::reason::Code;
use crate::plan::{RoleChange, RolePlan, RowPlan};
use crate::rules::{Outcome, Verdict};
use crate::store::Fault;
use crate::store::findings::{self, Seen};
use crate::store::refusals::Refused;
use crate::store::removals::Removal;

/// What a batch will write.
#[derive(Default)]
pub(super) struct Draft {
    pub decided: Vec<(Case, RowPlan)>,
    pub seen: Vec<Seen>,
    pub settled: Vec<Uuid>,
    pub undecided: Vec<Uuid>,
    /// Rows that need not go.
    pub staying: Vec<Uuid>,
    /// Users whose row the database does not take, now or as it was tried before.
    pub unwritten: HashSet<Uuid>,
    pub judged: Judged,
}

/// What is tried of one user.
pub(super) struct Attempt {
    pub id: Uuid,
    pub row: Uuid,
    pub plan: String,
    pub write: Option<Write>,
}

impl Draft {
    pub fn add(&mut self, case: Case, verdict: &Verdict, plan: RowPlan, roles: RolePlan, waits: bool) {
        self.seen.extend(plan.findings.iter().map(|finding| Seen {
            object_id: Some(case.id),
            code: finding.code.as_str().to_owned(),
            subject: match finding.code {
                Code::UpnConflict => case.wanted_name().unwrap_or_default(),
                _ => String::new(),
            },
            detail: finding.detail.clone(),
        }));
        self.seen.extend(case.user.iter().flat_map(undecodable));
        if roles.keeps_last_administrator {
            self.seen.push(Seen {
                object_id: Some(case.id),
                code: Code::LastSystemAdministrator.as_str().to_owned(),
                subject: "role".to_owned(),
                detail: "A licence no longer gives System Administrator, but no other enabled row has it.".to_owned(),
            });
        }
        self.judged.roles.extend(roles.changes);
        if verdict.undecided || roles.keeps_last_administrator || waits {
            self.undecided.push(case.id);
        } else {
            self.settled.push(case.id);
        }
        if let (Outcome::Skip, Some(code)) = (verdict.outcome, verdict.code)
            && !matches!(code, Code::UserNotFound | Code::UserSoftDeleted)
        {
            self.judged.skipped.push(code);
        }
        match (plan.removal, &case.row) {
            (Some(code), Some(row)) => self.judged.removals.push(Removal {
                systemuserid: row.systemuserid,
                object_id: case.id,
                reason: code.as_str().to_owned(),
            }),
            (None, Some(row)) => self.staying.push(row.systemuserid),
            (_, None) => {}
        }
        self.decided.push((case, plan));
    }

    /// What there is to try. What was refused as it is now is not tried again; among rows between which a name passes
    /// all have to be as they were. A careful attempt knows its plan, to be remembered.
    pub fn attempts(&mut self, known: &HashMap<Uuid, Refused>, careful: bool) -> Vec<Attempt> {
        let compares = careful || !known.is_empty();
        let mut roles: HashMap<Uuid, Vec<&RoleChange>> = HashMap::new();
        for change in &self.judged.roles {
            roles.entry(change.systemuserid).or_default().push(change);
        }
        let mut attempts = Vec::new();
        let mut still = Vec::new();
        for (case, plan) in std::mem::take(&mut self.decided) {
            let made = plan.change.as_ref().map(|change| change.after.systemuserid);
            let row = case.row.as_ref().map(|row| row.systemuserid).or(made);
            let roles = row.and_then(|row| roles.get(&row)).map_or(&[][..], Vec::as_slice);
            let Some(row) = row.filter(|_| plan.change.is_some() || !roles.is_empty()) else {
                // A removal that the guard has yet to decide is no success.
                still.extend(known.get(&case.id).filter(|_| plan.removal.is_some()).map(|_| case.id));
                continue;
            };
            attempts.push(Attempt {
                id: case.id,
                row,
                plan: if compares {
                    signature(plan.change.as_ref(), roles)
                } else {
                    String::new()
                },
                write: plan.change.map(|change| (case.row, change)),
            });
        }
        if compares {
            link(&mut attempts);
            let is_known = |attempt: &Attempt| {
                let refused = known.get(&attempt.id).and_then(|refused| refused.plan.as_ref());
                refused == Some(&attempt.plan)
            };
            let withheld: HashSet<Uuid> = attempts.iter().filter(|it| is_known(it)).map(|it| it.row).collect();
            still.extend(attempts.iter().filter(|it| is_known(it)).map(|it| it.id));
            attempts.retain(|attempt| !withheld.contains(&attempt.row));
            self.judged
                .roles
                .retain(|change| !withheld.contains(&change.systemuserid));
        }
        for id in still {
            self.note_unwritten(id, known[&id].detail.clone());
        }
        attempts
    }

    /// Takes in what was written, and answers what was refused.
    pub fn take_refused(&mut self, attempts: &[Attempt], written: Written) -> Vec<(Uuid, Refused)> {
        let Written {
            changes,
            woken,
            refused,
        } = written;
        (self.judged.changes, self.judged.woken) = (changes, woken);
        self.judged
            .roles
            .retain(|change| !refused.contains_key(&change.systemuserid));
        let mut noted = Vec::with_capacity(refused.len());
        for attempt in attempts {
            let Some(fault) = refused.get(&attempt.row) else {
                continue;
            };
            let detail = told(fault);
            self.note_unwritten(attempt.id, detail.clone());
            let plan = Some(attempt.plan.clone());
            noted.push((attempt.id, Refused { plan, detail }));
        }
        if let Some((id, refused)) = noted.first() {
            let rows = noted.len();
            tracing::warn!(rows, first = %id, detail = refused.detail, "the database does not take every row");
        }
        noted
    }

    fn note_unwritten(&mut self, id: Uuid, detail: String) {
        self.unwritten.insert(id);
        self.judged.skipped.push(Code::RowNotWritten);
        self.seen.push(Seen {
            object_id: Some(id),
            code: Code::RowNotWritten.as_str().to_owned(),
            subject: String::new(),
            detail,
        });
    }
}

/// What is tried of a row, and of those with which it exchanges names, is one plan.
fn link(attempts: &mut [Attempt]) {
    let (at, writes): (Vec<usize>, Vec<&Write>) = attempts
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
pub(super) fn told(fault: &Fault) -> String {
    format!("The database does not take the row: {fault}")
}

/// What cannot be decoded of a user who is there: a finding for each property until it can be.
fn undecodable(user: &DirectoryUser) -> impl Iterator<Item = Seen> {
    let properties = user.undecodable.properties();
    let is_present = user.state == DirectoryState::Present;
    properties.filter(move |_| is_present).map(|property| Seen {
        object_id: Some(user.id),
        code: findings::VALUE_UNDECODABLE.to_owned(),
        subject: property.as_str().to_owned(),
        detail: format!(
            "The directory's value of `{}` cannot be decoded; what was known before stands until it can.",
            property.as_str()
        ),
    })
}
