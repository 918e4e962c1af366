//! What a batch will write, and what became of it: from verdicts to attempts, from attempts to findings.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::batch::Judged;
use super::case::Case;
use super::write::{Write, Written, signature};
use crate::domain::reason::Code;
use crate::plan::{RoleChange, RolePlan, RowPlan};
use crate::rules::{Outcome, Verdict};
use crate::store::Fault;
use crate::store::findings::Seen;
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

    /// What there is to try. What was refused as it is now is not tried again.
    pub fn attempts(&mut self, known: &HashMap<Uuid, Refused>) -> Vec<Attempt> {
        let mut roles: HashMap<Uuid, Vec<&RoleChange>> = HashMap::new();
        for change in &self.judged.roles {
            roles.entry(change.systemuserid).or_default().push(change);
        }
        let mut attempts = Vec::new();
        let mut withheld = HashSet::new();
        let mut still = Vec::new();
        for (case, plan) in std::mem::take(&mut self.decided) {
            let refused = known.get(&case.id);
            let made = plan.change.as_ref().map(|change| change.after.systemuserid);
            let row = case.row.as_ref().map(|row| row.systemuserid).or(made);
            let roles = row.and_then(|row| roles.get(&row)).map_or(&[][..], Vec::as_slice);
            let Some(row) = row.filter(|_| plan.change.is_some() || !roles.is_empty()) else {
                // A removal that the guard has yet to decide is no success.
                still.extend(
                    refused
                        .filter(|_| plan.removal.is_some())
                        .map(|refused| (case.id, refused)),
                );
                continue;
            };
            let signature = signature(plan.change.as_ref(), roles);
            if let Some(refused) = refused.filter(|refused| refused.plan.as_ref() == Some(&signature)) {
                withheld.insert(row);
                still.push((case.id, refused));
                continue;
            }
            attempts.push(Attempt {
                id: case.id,
                row,
                plan: signature,
                write: plan.change.map(|change| (case.row, change)),
            });
        }
        self.judged
            .roles
            .retain(|change| !withheld.contains(&change.systemuserid));
        for (id, refused) in still {
            self.note_unwritten(id, refused.detail.clone());
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

/// One sentence about a row that cannot be written.
pub(super) fn told(fault: &Fault) -> String {
    format!("The database does not take the row: {fault}")
}
