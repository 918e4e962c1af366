//! One batch of users in one environment: lock their rows, judge, plan, write, commit.
//!
//! The one place where verdicts become rows. Everything happens in one transaction that waits for nothing but
//! the database; a dry run does the same and rolls it back.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::case::{Case, View, blocked_names, held_name};
use super::cycle::{chain, held_subject};
use super::{Engine, SyncError};
use crate::domain::reason::Code;
use crate::domain::system_user::{SYNC_ACTOR, SystemUser};
use crate::plan::{Change, Finding, Operation, Removals, RoleChange, RolePlan, RowPlan, Writer};
use crate::rules::{Outcome, Trigger, Verdict};
use crate::store::changes::Author;
use crate::store::findings::Seen;
use crate::store::lease::Lease;
use crate::store::pending::Pending;
use crate::store::removals::Removal;
use crate::store::{StoreError, StoreResult, Transaction, changes, findings, pending, quota, removals, roles, rows};

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

    /// Two halves, in order.
    fn split(&self) -> [Self; 2] {
        fn halves<T: Clone>(list: &[T]) -> [Vec<T>; 2] {
            let (first, rest) = list.split_at(list.len() / 2);
            [first.to_vec(), rest.to_vec()]
        }
        match self {
            Self::Pending(list) => halves(list).map(Self::Pending),
            Self::Walk(ids) => halves(ids).map(Self::Walk),
            Self::Removals(ids) => halves(ids).map(Self::Removals),
            Self::Approved(ids) => halves(ids).map(Self::Approved),
            Self::Held(ids) => halves(ids).map(Self::Held),
            Self::Slots { list, freed } => halves(list).map(|list| Self::Slots { list, freed: *freed }),
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
    /// Judges a batch and writes what follows. A row that the database does not take is looked for by halves: it
    /// keeps nobody else from being written.
    pub(super) async fn judge_batch(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
    ) -> Result<Judged, SyncError> {
        let mut judged = Judged::default();
        let mut open = vec![Cow::Borrowed(scope)];
        while let Some(part) = open.pop() {
            match self.retry(|| self.try_batch(view, run, &part)).await {
                Ok(done) => judged.append(done),
                Err(error) if error.is_about_a_row() => match part.ids()[..] {
                    [] => return Err(error.into()),
                    [one] => self.note_unwritten(view, run, one, &error).await?,
                    _ => {
                        self.check_cancelled()?;
                        let [first, rest] = part.split();
                        open.extend([Cow::Owned(rest), Cow::Owned(first)]);
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(judged)
    }

    /// Somebody whose row the database does not take, alone: a finding until it does, and judged again in each run.
    async fn note_unwritten(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        object_id: Uuid,
        error: &StoreError,
    ) -> Result<(), SyncError> {
        let detail = format!("The database does not take the row: {}", chain(error));
        tracing::warn!(user = %object_id, error = %chain(error), "the row of one user cannot be written");
        if run.dry_run {
            return Ok(());
        }
        let name = &view.environment.name;
        let seen = Seen {
            object_id: Some(object_id),
            code: findings::ROW_NOT_WRITTEN.to_owned(),
            subject: String::new(),
            detail,
        };
        let mut tx = self.begin(run.lease).await?;
        findings::reconcile_users(&mut tx, name, &[object_id], &[seen], Some(run.run_id), run.now).await?;
        pending::mark(&mut tx, std::slice::from_ref(name), &[object_id]).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn try_batch(&self, view: &View<'_>, run: RunInfo<'_>, scope: &Scope) -> StoreResult<Judged> {
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
        let decided = std::mem::take(&mut draft.decided).into_iter();
        let writes = decided.filter_map(|(case, plan)| Some((case.row, plan.change?)));
        (draft.judged.changes, draft.judged.woken) = write_changes(&mut tx, name, writes.collect(), author).await?;
        roles::apply(&mut tx, name, &draft.judged.roles, author).await?;
        let about: Vec<Uuid> = draft.settled.iter().chain(&draft.undecided).copied().collect();
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

/// What a batch will write.
#[derive(Default)]
struct Draft {
    decided: Vec<(Case, RowPlan)>,
    seen: Vec<Seen>,
    settled: Vec<Uuid>,
    undecided: Vec<Uuid>,
    /// Rows that need not go.
    staying: Vec<Uuid>,
    judged: Judged,
}

impl Draft {
    fn add(&mut self, case: Case, verdict: &Verdict, plan: RowPlan, roles: RolePlan, waits: bool) {
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

/// A row to write, with the row that was locked where there is one.
pub(super) type Write = (Option<SystemUser>, Change);

/// Writes the changes of a batch, in an order in which names can pass from row to row. Also answers who waited for
/// a name that is free now.
pub(super) async fn write_changes(
    tx: &mut Transaction,
    name: &str,
    writes: Vec<Write>,
    author: Author<'_>,
) -> StoreResult<(Vec<Change>, Vec<Uuid>)> {
    let mut written = Vec::with_capacity(writes.len());
    let mut released = Vec::new();
    let mut freed = Vec::new();
    for (before, mut change) in writes {
        change.after.upn_key = change.after.upn_key_after(before.as_ref());
        if let Some(before) = before {
            // Whatever the clocks of other writers said, a row's time does not go back.
            if !change.fields.is_empty() {
                change.after.modifiedon = author.at.max(before.modifiedon);
            }
            let old = held_name(&before);
            if old.is_some() && old != held_name(&change.after) {
                released.push(before.systemuserid);
                freed.extend(old);
            }
        } else {
            change.after.createdon = author.at;
            change.after.modifiedon = author.at;
        }
        written.push(change);
    }
    let (new, known): (Vec<&Change>, Vec<&Change>) =
        written.iter().partition(|change| change.operation == Operation::Create);
    let known: Vec<&SystemUser> = known.into_iter().map(|change| &change.after).collect();
    let new: Vec<&SystemUser> = new.into_iter().map(|change| &change.after).collect();
    rows::release_names(&mut *tx, name, &released).await?;
    rows::update(&mut *tx, name, &known).await?;
    rows::insert(&mut *tx, name, &new).await?;
    let woken = findings::wake_waiting(&mut *tx, name, &freed).await?;
    let logged: Vec<&Change> = written.iter().filter(|change| !change.fields.is_empty()).collect();
    changes::record(&mut *tx, name, &logged, author).await?;
    changes::note_enabled(&mut *tx, name, &logged).await?;
    written.retain(|change| !change.fields.is_empty());
    Ok((written, woken))
}
