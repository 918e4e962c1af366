//! One batch of users in one environment: lock their rows, judge, plan, write, commit.
//!
//! The one place where verdicts become rows. Everything happens in one transaction that waits for nothing but
//! the database; a dry run does the same and rolls it back.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Engine, SyncError};
use crate::domain::directory_user::{DirectoryState, DirectoryUser, upn_key};
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::system_user::access_mode::NON_INTERACTIVE;
use crate::plan::upn::{Claim, blocked};
use crate::plan::{Change, Operation, Removals, RowPlan, Writer, plan_row};
use crate::rules::{Answer, GroupRelation, Outcome, Subject, Trigger, Verdict, evaluate};
use crate::store::changes::Author;
use crate::store::findings::Seen;
use crate::store::lease::Lease;
use crate::store::pending::Pending;
use crate::store::removals::Removal;
use crate::store::subjects::Standing;
use crate::store::{
    Connection, StoreError, StoreResult, Transaction, changes, environments, findings, mirror, pending, removals, rows,
    subjects,
};

/// What a run knows of an environment while it judges.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    pub environment: &'a Environment,
    /// The groups nested in the security group that count.
    pub nested: Vec<Uuid>,
    /// The security group itself cannot be read.
    pub group_unreadable: bool,
    /// A nested group cannot be read: who is no direct member is in doubt.
    pub nested_unreadable: bool,
    pub tenant_marketing: bool,
    /// Roles or SKUs could not be read in this run.
    pub stale: bool,
}

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
    /// The next ones of a walk over everybody; `last` says that nobody follows.
    Walk { ids: Vec<Uuid>, epoch: i64, last: bool },
    /// Those whose removal was let through.
    Removals(Vec<Uuid>),
    /// Those whose removal is held: everything else about them is written.
    Held(Vec<Uuid>),
    /// Non-interactive users who want a free slot, in order; a dry run has freed some.
    Slots { list: Vec<Pending>, freed: i64 },
}

impl Scope {
    fn ids(&self) -> Vec<Uuid> {
        match self {
            Self::Pending(list) | Self::Slots { list, .. } => list.iter().map(|pending| pending.object_id).collect(),
            Self::Walk { ids, .. } | Self::Removals(ids) | Self::Held(ids) => ids.clone(),
        }
    }
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
}

/// One user with everything that is known, before the verdict.
pub(super) struct Case {
    id: Uuid,
    user: Option<DirectoryUser>,
    row: Option<SystemUser>,
    standing: Standing,
    name_is_taken: bool,
    slot_is_free: bool,
}

impl Case {
    pub(super) fn directory_user(&self) -> Option<DirectoryUser> {
        self.user.clone()
    }

    pub(super) fn row(&self) -> Option<SystemUser> {
        self.row.clone()
    }

    /// The verdict for a trigger.
    pub(super) fn judge(&self, engine: &Engine, view: &View<'_>, trigger: Trigger, now: DateTime<Utc>) -> Verdict {
        self.with_subject(engine, view, now, |subject| {
            evaluate(view.environment, subject, trigger)
        })
    }

    /// Puts together what the rules look at.
    pub(super) fn with_subject<T>(
        &self,
        engine: &Engine,
        view: &View<'_>,
        now: DateTime<Utc>,
        look: impl FnOnce(&Subject<'_>) -> T,
    ) -> T {
        let mut relation = self.standing.relation;
        let in_doubt = view.group_unreadable
            || (view.nested_unreadable && !matches!(relation, GroupRelation::Member | GroupRelation::NestedOnly));
        if in_doubt {
            relation = GroupRelation::Unreadable;
        }
        let plans = self.user.as_ref().map_or(&[][..], |user| user.usable_plans.as_slice());
        look(&Subject {
            answer: self.user.as_ref().map_or(Answer::Unknown, Answer::Known),
            licences: engine.settings.catalogue.judge(plans, engine.settings.viral_counts_as),
            roles: self.standing.roles,
            relation,
            row: self.row.as_ref(),
            upn_blocked: self.name_is_taken,
            tenant_marketing: view.tenant_marketing,
            non_interactive_slot: self.slot_is_free,
            last_system_administrator: false,
            stale_sources: view.stale,
            now,
        })
    }

    /// The name the directory wants for the user; none unless the user exists.
    fn wanted_name(&self) -> Option<String> {
        self.user
            .as_ref()
            .filter(|user| user.state == DirectoryState::Present)
            .and_then(DirectoryUser::upn_key)
    }

    /// The name its row holds.
    fn held_name(&self) -> Option<String> {
        self.row.as_ref().and_then(held_name)
    }
}

fn held_name(row: &SystemUser) -> Option<String> {
    row.domainname.as_deref().filter(|_| row.is_live()).map(upn_key)
}

impl Engine {
    /// Judges a batch and writes what follows.
    pub(super) async fn judge_batch(
        &self,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
    ) -> Result<Judged, SyncError> {
        Ok(self.retry(|| self.try_batch(view, run, scope)).await?)
    }

    async fn try_batch(&self, view: &View<'_>, run: RunInfo<'_>, scope: &Scope) -> StoreResult<Judged> {
        let mut tx = self.begin(run.lease).await?;
        let name = &view.environment.name;
        let (cases, keepers) = self.load_cases(&mut tx, view, scope.ids()).await?;
        let mut free_slots = self.free_slots(&mut tx, view).await?;
        if let Scope::Slots { freed, .. } = scope {
            free_slots += freed;
        }
        let mut judged = Judged::default();
        let mut seen = Vec::new();
        let mut settled = Vec::new();
        let mut undecided = Vec::new();
        let mut without_removal = Vec::new();
        let mut decided: Vec<(Case, Verdict, RowPlan)> = Vec::with_capacity(cases.len());

        let late: HashSet<Uuid> = match scope {
            Scope::Slots { .. } => HashSet::new(),
            _ => cases
                .iter()
                .filter(|case| wants_slot(case))
                .map(|case| case.id)
                .collect(),
        };
        let blocked = blocked_names(&cases, &keepers);
        for mut case in cases {
            if late.contains(&case.id) {
                judged.late.push(case.id);
                continue;
            }
            case.name_is_taken = blocked.contains(&case.id);
            case.slot_is_free = free_slots > 0;
            let verdict = case.judge(self, view, Trigger::Background, run.now);
            let handling = if matches!(scope, Scope::Removals(_)) {
                Removals::Apply
            } else {
                Removals::Collect
            };
            let writer = Writer {
                actor: run.actor,
                now: run.now,
                new_id: Uuid::now_v7(),
            };
            let (user, row) = (case.user.as_ref(), case.row.as_ref());
            let plan = plan_row(
                view.environment,
                user,
                row,
                &verdict,
                case.name_is_taken,
                handling,
                writer,
            );
            if verdict.outcome == Outcome::Enable && wants_slot(&case) {
                free_slots -= 1;
            }
            seen.extend(plan.findings.iter().map(|finding| Seen {
                object_id: Some(case.id),
                code: finding.code.as_str().to_owned(),
                subject: if finding.code == Code::UpnConflict {
                    case.wanted_name().unwrap_or_default()
                } else {
                    String::new()
                },
                detail: finding.detail.clone(),
            }));
            if verdict.undecided {
                undecided.push(case.id);
            } else {
                settled.push(case.id);
            }
            if let (Outcome::Skip, Some(code)) = (verdict.outcome, verdict.code)
                && !matches!(code, Code::UserNotFound | Code::UserSoftDeleted)
            {
                judged.skipped.push(code);
            }
            match (plan.removal, &case.row) {
                (Some(code), Some(row)) => judged.removals.push(Removal {
                    systemuserid: row.systemuserid,
                    object_id: case.id,
                    reason: code.as_str().to_owned(),
                }),
                (None, Some(row)) => without_removal.push(row.systemuserid),
                (_, None) => {}
            }
            decided.push((case, verdict, plan));
        }

        if !matches!(scope, Scope::Held(_)) {
            wait_for_guard(&mut tx, name, &mut decided, &judged.removals).await?;
        }
        let author = Author {
            actor: run.actor,
            run_id: Some(run.run_id),
            by_rule: run.actor == crate::domain::system_user::SYNC_ACTOR,
            at: run.now,
        };
        judged.changes = write_changes(&mut tx, name, decided, author).await?;
        let about: Vec<Uuid> = settled.iter().chain(&undecided).copied().collect();
        findings::reconcile_users(&mut tx, name, &about, &seen, Some(run.run_id), run.now).await?;
        removals::collect(&mut tx, name, run.run_id, &judged.removals, &without_removal, run.now).await?;
        self.settle(&mut tx, view, run, scope, &settled, undecided, &judged.late)
            .await?;
        if run.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(judged)
    }

    /// One user as `explain` looks at it: locked and read like any other, with the verdict's neighbours.
    pub(super) async fn look_at(&self, tx: &mut Transaction, view: &View<'_>, id: Uuid) -> StoreResult<Case> {
        let slots = self.free_slots(tx, view).await?;
        let (cases, keepers) = self.load_cases(tx, view, vec![id]).await?;
        let blocked = blocked_names(&cases, &keepers);
        let mut case = cases
            .into_iter()
            .find(|case| case.id == id)
            .ok_or(StoreError::Conflict)?;
        case.name_is_taken = blocked.contains(&id);
        case.slot_is_free = slots > 0;
        Ok(case)
    }

    /// How many non-interactive users may still be enabled.
    pub(super) async fn free_slots(&self, db: &mut Connection, view: &View<'_>) -> StoreResult<i64> {
        let taken = rows::count_non_interactive(db, &view.environment.name).await?;
        Ok(i64::from(view.environment.non_interactive_cap) - taken)
    }

    /// Locks the rows of some users and reads what is known of them. Whoever holds a name that one of them wants,
    /// and moves on, joins the batch, so that a name passes within one transaction. Also answers the names that
    /// nobody in the batch can have.
    async fn load_cases(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        mut ids: Vec<Uuid>,
    ) -> StoreResult<(Vec<Case>, HashSet<String>)> {
        let name = &view.environment.name;
        let mut cases: Vec<Case> = Vec::with_capacity(ids.len());
        let mut present: HashSet<Uuid> = HashSet::new();
        let mut asked: HashSet<String> = HashSet::new();
        let mut keepers: HashSet<String> = HashSet::new();
        while !ids.is_empty() {
            let mut found: HashMap<Uuid, SystemUser> = rows::lock_by_object_ids(&mut *tx, name, &ids)
                .await?
                .into_iter()
                .filter_map(|row| Some((row.azureactivedirectoryobjectid?, row)))
                .collect();
            let mut users = mirror::read_users(&mut *tx, &ids).await?;
            let nested_first = view.environment.group_nesting == GroupNesting::Full;
            let standings = subjects::read(
                &mut *tx,
                &ids,
                view.environment.security_group,
                &view.nested,
                nested_first,
            )
            .await?;
            for id in ids.drain(..).filter(|id| present.insert(*id)) {
                cases.push(Case {
                    id,
                    user: users.remove(&id),
                    row: found.remove(&id),
                    standing: standings.get(&id).copied().unwrap_or_default(),
                    name_is_taken: false,
                    slot_is_free: false,
                });
            }
            let wanted: Vec<String> = cases
                .iter()
                .filter(|case| case.wanted_name() != case.held_name())
                .filter_map(Case::wanted_name)
                .filter(|key| asked.insert(key.clone()))
                .collect();
            if wanted.is_empty() {
                break;
            }
            let holders = rows::lock_by_upn_keys(&mut *tx, name, &wanted).await?;
            let holder_ids: Vec<Uuid> = holders
                .iter()
                .filter_map(|row| row.azureactivedirectoryobjectid)
                .collect();
            let holder_users = mirror::read_users(&mut *tx, &holder_ids).await?;
            for holder in holders {
                let user = holder.azureactivedirectoryobjectid.and_then(|id| holder_users.get(&id));
                let moves = user
                    .is_some_and(|user| user.state != DirectoryState::Present || user.upn_key() != held_name(&holder));
                match (holder.azureactivedirectoryobjectid, held_name(&holder)) {
                    (Some(id), _) if present.contains(&id) => {}
                    (Some(id), _) if moves => ids.push(id),
                    (_, Some(name)) => {
                        keepers.insert(name);
                    }
                    (_, None) => {}
                }
            }
        }
        Ok((cases, keepers))
    }

    #[expect(clippy::too_many_arguments, reason = "the ends of one batch")]
    async fn settle(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        run: RunInfo<'_>,
        scope: &Scope,
        settled: &[Uuid],
        undecided: Vec<Uuid>,
        late: &[Uuid],
    ) -> StoreResult<()> {
        let name = &view.environment.name;
        match scope {
            Scope::Pending(list) | Scope::Slots { list, .. } => {
                let settled: HashSet<&Uuid> = settled.iter().collect();
                let done: Vec<Pending> = list
                    .iter()
                    .filter(|pending| settled.contains(&pending.object_id))
                    .copied()
                    .collect();
                pending::settle(&mut *tx, name, &done).await
            }
            Scope::Walk { ids, epoch, last } => {
                let again: Vec<Uuid> = undecided.into_iter().chain(late.iter().copied()).collect();
                pending::mark(&mut *tx, std::slice::from_ref(name), &again).await?;
                let after = if *last { None } else { ids.last().copied() };
                environments::note_walk(&mut *tx, name, *epoch, after, run.now).await
            }
            // A removal that turned out to be in doubt is not forgotten.
            Scope::Removals(_) | Scope::Held(_) => {
                pending::mark(&mut *tx, std::slice::from_ref(name), &undecided).await
            }
        }
    }
}

/// A disabled non-interactive user would take one of the few slots if it is enabled.
fn wants_slot(case: &Case) -> bool {
    case.row
        .as_ref()
        .is_some_and(|row| row.isdisabled && row.accessmode == NON_INTERACTIVE && row.applicationid.is_none())
}

/// Whose name is taken by somebody who keeps it.
fn blocked_names(cases: &[Case], keepers: &HashSet<String>) -> HashSet<Uuid> {
    let mut keepers = keepers.clone();
    let mut claims = Vec::new();
    for case in cases {
        let follows = case
            .row
            .as_ref()
            .is_none_or(|row| row.deletedstate == 0 && row.applicationid.is_none())
            && case.user.as_ref().is_some_and(|user| {
                user.state != DirectoryState::Present || (user.account_enabled.is_some() && user.upn_key().is_some())
            });
        match case.wanted_name() {
            Some(wanted) if follows => claims.push(Claim {
                object_id: case.id,
                wanted,
                held: case.held_name(),
                has_row: case.row.is_some(),
            }),
            _ if follows => {}
            _ => keepers.extend(case.held_name()),
        }
    }
    blocked(&claims, &keepers)
}

/// A row whose removal the guard has yet to decide is written once, when that is done; unless somebody else in
/// the batch wants its name, or the guard has decided already in an earlier run.
async fn wait_for_guard(
    tx: &mut Transaction,
    name: &str,
    decided: &mut [(Case, Verdict, RowPlan)],
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
    let wanted: HashSet<String> = decided
        .iter()
        .filter(|(case, ..)| case.wanted_name() != case.held_name())
        .filter_map(|(case, ..)| case.wanted_name())
        .collect();
    for (case, _, plan) in decided {
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

/// Writes the changes of a batch, in an order in which names can pass from row to row.
async fn write_changes(
    tx: &mut Transaction,
    name: &str,
    decided: Vec<(Case, Verdict, RowPlan)>,
    author: Author<'_>,
) -> StoreResult<Vec<Change>> {
    let mut written = Vec::new();
    let mut released = Vec::new();
    let mut freed = Vec::new();
    for (case, _, plan) in decided {
        let Some(change) = plan.change else { continue };
        if let Some(before) = &case.row {
            let old = held_name(before);
            if old.is_some() && old != held_name(&change.after) {
                released.push(before.systemuserid);
                freed.extend(old);
            }
        }
        written.push(change);
    }
    let (new, known): (Vec<&Change>, Vec<&Change>) =
        written.iter().partition(|change| change.operation == Operation::Create);
    rows::release_names(&mut *tx, name, &released).await?;
    rows::update(
        &mut *tx,
        name,
        &known.iter().map(|change| &change.after).collect::<Vec<_>>(),
    )
    .await?;
    rows::insert(
        &mut *tx,
        name,
        &new.iter().map(|change| &change.after).collect::<Vec<_>>(),
    )
    .await?;
    findings::wake_waiting(&mut *tx, name, &freed).await?;
    let logged: Vec<&Change> = written.iter().filter(|change| !change.fields.is_empty()).collect();
    changes::record(&mut *tx, name, &logged, author).await?;
    changes::note_enabled(&mut *tx, name, &logged).await?;
    written.retain(|change| !change.fields.is_empty());
    Ok(written)
}
