//! One batch of users in one environment: lock their rows, judge, plan, write, commit.
//!
//! The one place where verdicts become rows. Everything happens in one transaction that waits for nothing but
//! the database; a dry run does the same and rolls it back.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::case::{Case, View, blocked_names, held_name};
use super::cycle::held_subject;
use super::draft::Draft;
use super::write::{Care, Written, write};
use super::{Engine, SyncError};
use crate::domain::reason::Code;
use crate::domain::system_user::SYNC_ACTOR;
use crate::plan::{Change, Finding, Removals, RoleChange, RowPlan, Writer};
use crate::rules::{Outcome, Trigger};
use crate::store::changes::Author;
use crate::store::lease::Lease;
use crate::store::pending::Pending;
use crate::store::removals::Removal;
use crate::store::{Fault, StoreError, StoreResult, Transaction, findings, pending, quota, refusals, removals};

/// A batch that somebody in it makes wait too long is cut into so many: each part may wait as long again.
const PARTS: usize = 8;

/// Which run writes, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunInfo<'a> {
    /// None where a person asked: row locks are enough.
    pub lease: Option<&'a Lease>,
    pub run_id: i64,
    pub now: DateTime<Utc>,
    pub dry_run: bool,
    /// Who is recorded: the sync, or the person who approved.
    pub actor: &'a str,
}

/// Which users are judged, and what is noted when they have been.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Those on the list of pending users.
    Pending(Vec<Pending>),
    /// The next ones of a walk over everybody; whoever walks notes how far.
    Walk(Vec<Uuid>),
    /// Those whose removal was let through.
    Removals(Vec<Uuid>),
    /// The same of a held set that a person has approved: with the last of them the set is decided, so that nobody
    /// finds it empty and undecided.
    Approved(Vec<Uuid>),
    /// Those whose removal is held: everything else about them is written.
    Held(Vec<Uuid>),
    /// Non-interactive users who want a free slot, in order; a dry run has freed some.
    Slots { list: Vec<Pending>, freed: i64 },
}

impl Scope {
    fn ids(&self) -> Vec<Uuid> {
        match self {
            Self::Pending(list) | Self::Slots { list, .. } => list.iter().map(|pending| pending.object_id).collect(),
            Self::Walk(ids) | Self::Removals(ids) | Self::Approved(ids) | Self::Held(ids) => ids.clone(),
        }
    }

    /// Some parts, in order.
    fn split(&self) -> Vec<Self> {
        fn parts<T: Clone, S>(list: &[T], scope: impl Fn(Vec<T>) -> S) -> Vec<S> {
            let size = list.len().div_ceil(PARTS);
            list.chunks(size.max(1)).map(|part| scope(part.to_vec())).collect()
        }
        match self {
            Self::Pending(list) => parts(list, Self::Pending),
            Self::Walk(ids) => parts(ids, Self::Walk),
            Self::Removals(ids) => parts(ids, Self::Removals),
            Self::Approved(ids) => parts(ids, Self::Approved),
            Self::Held(ids) => parts(ids, Self::Held),
            Self::Slots { list, freed } => parts(list, |list| Self::Slots { list, freed: *freed }),
        }
    }
}

/// What the environment has few of, counted while it is locked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scarce {
    /// Non-interactive users who may still be enabled.
    pub slots: i64,
    /// Enabled System Administrators.
    pub administrators: i64,
}

/// What a batch did.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub changes: Vec<Change>,
    pub skipped: Vec<Code>,
    /// Removals that the guard has to decide.
    pub removals: Vec<Removal>,
    /// Non-interactive users whose turn comes after the removals.
    pub late: Vec<Uuid>,
    /// Users who waited for a name that the batch has given free.
    pub woken: Vec<Uuid>,
    /// Security roles given and taken.
    pub roles: Vec<RoleChange>,
}

impl Judged {
    fn append(&mut self, mut other: Self) {
        self.changes.append(&mut other.changes);
        self.skipped.append(&mut other.skipped);
        self.removals.append(&mut other.removals);
        self.late.append(&mut other.late);
        self.woken.append(&mut other.woken);
        self.roles.append(&mut other.roles);
    }
}

impl Engine {
    /// Judges a batch and writes what follows. A row that the database does not take keeps nobody else from being
    /// written: where it cannot be told within the batch, it is looked for in ever smaller ones.
    pub(super) async fn judge_batch(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
    ) -> Result<Judged, SyncError> {
        let mut judged = Judged::default();
        let mut open = vec![Cow::Borrowed(scope)];
        while let Some(part) = open.pop() {
            let tried = self
                .with_care(|care| self.try_batch(view, run, &part, Effort::Write(care)))
                .await;
            let fault = tried.as_ref().err().and_then(StoreError::fault);
            let Some(fault) = fault.filter(|_| !part.ids().is_empty()) else {
                judged.append(tried?);
                continue;
            };
            if part.ids().len() == 1 {
                let given_up = self.retry(|| self.try_batch(view, run, &part, Effort::GiveUp(&fault)));
                judged.append(given_up.await?);
            } else {
                self.check_cancelled()?;
                open.extend(part.split().into_iter().rev().map(Cow::Owned));
            }
        }
        Ok(judged)
    }

    async fn try_batch(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
        effort: Effort<'_>,
    ) -> StoreResult<Judged> {
        let mut tx = self.begin(run.lease).await?;
        let name = &view.environment.name;
        let (cases, taken_names) = self.load_cases(&mut tx, view, scope.ids()).await?;
        let scarce = self.lock_scarce(&mut tx, view, scope, &cases).await?;
        let mut draft = self.judge_cases(view, run, scope, cases, &taken_names, scarce);

        if !matches!(scope, Scope::Held(_)) {
            wait_for_guard(&mut tx, name, &mut draft.decided, &draft.judged.removals).await?;
        }
        let author = Author {
            actor: run.actor,
            run_id: Some(run.run_id),
            by_rule: run.actor == SYNC_ACTOR,
            at: self.clock.now(),
        };
        let about: Vec<Uuid> = draft.settled.iter().chain(&draft.undecided).copied().collect();
        let known = refusals::among(&mut tx, name, &about).await?;
        let mut attempts = draft.attempts(&known, effort.is_careful());
        let written = match effort {
            Effort::Write(care) => {
                let writes = attempts.iter_mut().filter_map(|attempt| attempt.write.take()).collect();
                write(&mut tx, name, writes, &draft.judged.roles, author, run.actor, care).await?
            }
            Effort::GiveUp(fault) => Written {
                refused: attempts.iter().map(|attempt| (attempt.row, fault.clone())).collect(),
                ..Written::default()
            },
        };
        let refused = draft.take_refused(&attempts, written);
        refusals::note(&mut tx, name, &refused, run.now).await?;
        let over: Vec<Uuid> = known
            .keys()
            .filter(|id| !draft.unwritten.contains(id))
            .copied()
            .collect();
        refusals::settle(&mut tx, name, &over).await?;
        findings::reconcile_users(&mut tx, name, &about, &draft.seen, Some(run.run_id), run.now).await?;
        removals::collect(
            &mut tx,
            name,
            run.run_id,
            &draft.judged.removals,
            &draft.staying,
            run.now,
        )
        .await?;
        settle(&mut tx, name, scope, &draft).await?;
        if matches!(scope, Scope::Approved(_))
            && removals::note_approved(&mut tx, name, run.run_id, run.actor, run.now).await?
        {
            let subject = held_subject(run.run_id);
            findings::close_subject(&mut tx, name, findings::REMOVALS_HELD, &subject, run.now).await?;
        }
        if run.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(draft.judged)
    }

    /// Counts what is scarce, and keeps others from counting on it, where somebody in the batch does.
    async fn lock_scarce(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        scope: &Scope,
        cases: &[Case],
    ) -> StoreResult<Scarce> {
        let environment = view.environment;
        let freed = match scope {
            // What a dry run has freed is not free in the database: for this transaction there is as much more.
            Scope::Slots { freed, .. } => u32::try_from(*freed).unwrap_or(0),
            _ if cases.iter().any(Case::is_administrator) => 0,
            _ => return Ok(Scarce::default()),
        };
        let cap = environment.non_interactive_cap.saturating_add(freed);
        Ok(Scarce {
            slots: quota::lock(&mut *tx, &environment.name, cap).await?,
            administrators: self.count_administrators(tx, view, cases).await?,
        })
    }

    /// Verdicts and plans for a batch: pure, between reading and writing.
    fn judge_cases(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
        cases: Vec<Case>,
        taken_names: &BTreeSet<String>,
        mut scarce: Scarce,
    ) -> Draft {
        let mut draft = Draft::default();
        let handling = if matches!(scope, Scope::Removals(_) | Scope::Approved(_)) {
            Removals::Apply
        } else {
            Removals::Collect
        };
        let slots_are_open = matches!(scope, Scope::Slots { .. });
        let blocked = blocked_names(&cases, taken_names, |case| {
            case.judge(self, view, Trigger::Background, run.now).outcome == Outcome::Create
        });
        let wanted: HashSet<String> = cases.iter().filter_map(Case::wish).collect();
        for mut case in cases {
            let is_late = case.wants_slot() && !slots_are_open;
            if is_late {
                draft.judged.late.push(case.id);
                // Its name cannot wait if somebody else in the batch takes it.
                if case.held_name().is_none_or(|name| !wanted.contains(&name)) {
                    continue;
                }
            }
            case.name_is_taken = blocked.contains(&case.id);
            case.slot_is_free = scarce.slots > 0 && !is_late;
            case.is_last_administrator = scarce.administrators == 1 && case.is_enabled_administrator();
            let verdict = case.judge(self, view, Trigger::Background, run.now);
            let writer = Writer {
                actor: run.actor,
                now: run.now,
                new_id: Uuid::now_v7(),
            };
            let mut plan = case.plan(view.environment, &verdict, handling, writer);
            let roles = case.plan_roles(view.environment, &plan);
            if verdict.outcome == Outcome::Enable && case.wants_slot() {
                scarce.slots -= 1;
            }
            scarce.administrators -= i64::from(case.stops_being_administrator(&plan, &roles));
            let lacks_administrator = scarce.administrators == 0 && case.is_lost_administrator(&plan);
            if lacks_administrator {
                plan.findings.push(Finding {
                    code: Code::LastSystemAdministrator,
                    detail: Code::LastSystemAdministrator.sentence().to_owned(),
                });
            }
            draft.add(case, &verdict, plan, roles, is_late || lacks_administrator);
        }
        draft
    }
}

/// How a batch is tried.
#[derive(Clone, Copy, Debug)]
enum Effort<'f> {
    Write(Care),
    /// The one user in it cannot be written, for this reason.
    GiveUp(&'f Fault),
}

impl Effort<'_> {
    /// Whether somebody may be refused and the others written.
    fn is_careful(self) -> bool {
        !matches!(self, Self::Write(Care::Together))
    }
}

/// Notes who has been judged, and who has to be judged again.
async fn settle(tx: &mut Transaction, name: &String, scope: &Scope, draft: &Draft) -> StoreResult<()> {
    let environment = std::slice::from_ref(name);
    match scope {
        Scope::Pending(list) | Scope::Slots { list, .. } => {
            let settled: HashSet<&Uuid> = draft.settled.iter().collect();
            let is_done = |pending: &&Pending| settled.contains(&pending.object_id);
            let done: Vec<Pending> = list.iter().filter(is_done).copied().collect();
            pending::settle(&mut *tx, name, &done).await
        }
        Scope::Walk(_) => {
            let again: Vec<Uuid> = draft.undecided.iter().chain(&draft.judged.late).copied().collect();
            pending::mark(&mut *tx, environment, &again).await
        }
        // A removal that turned out to be in doubt is not forgotten.
        Scope::Removals(_) | Scope::Approved(_) | Scope::Held(_) => {
            pending::mark(&mut *tx, environment, &draft.undecided).await
        }
    }
}

/// A row whose removal the guard has yet to decide is written once, when that is done; unless somebody else in
/// the batch wants its name, or the guard has decided already in an earlier run.
async fn wait_for_guard(
    tx: &mut Transaction,
    name: &str,
    decided: &mut [(Case, RowPlan)],
    removals_found: &[Removal],
) -> StoreResult<()> {
    if removals_found.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = removals_found.iter().map(|removal| removal.systemuserid).collect();
    let standing: HashSet<Uuid> = removals::states(&mut *tx, name, &ids)
        .await?
        .into_iter()
        .filter(|(_, state)| state != "collected")
        .map(|(id, _)| id)
        .collect();
    let wanted: HashSet<String> = decided.iter().filter_map(|(case, _)| case.wish()).collect();
    for (case, plan) in decided {
        let Some(row) = case.row.as_ref().filter(|_| plan.removal.is_some()) else {
            continue;
        };
        let name_is_wanted = held_name(row).is_some_and(|name| wanted.contains(&name));
        if !name_is_wanted && !standing.contains(&row.systemuserid) {
            plan.change = None;
        }
    }
    Ok(())
}
