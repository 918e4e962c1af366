//! One user with everything that is known of it, as the rules want to look at it.
//!
//! Rows are locked here and read after that, so that nobody changes what a verdict rests on.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Engine;
use super::on_demand::Unasked;
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::reason::Code;
use crate::domain::role::{Assignment, SYSTEM_ADMINISTRATOR};
use crate::domain::system_user::{SystemUser, is_reserved};
use crate::plan::roles::is_administrator;
use crate::plan::upn::{Claim, blocked};
use crate::plan::{Removals, RoleChange, RolePlan, RowPlan, Writer, plan_roles, plan_row};
use crate::rules::{Answer, GroupRelation, Subject, Trigger, Verdict, evaluate};
use crate::store::subjects::Standing;
use crate::store::{StoreError, StoreResult, Transaction, mirror, quota, roles, rows, subjects};

/// What a run knows of an environment while it judges.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
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

impl View<'_> {
    /// Takes in what the directory did not say when it was asked just now.
    pub(super) fn doubt(&mut self, unasked: Unasked) {
        self.stale |= unasked.roles;
        self.group_unreadable |= unasked.group;
    }
}

/// One user with everything that is known, before the verdict.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub id: Uuid,
    pub user: Option<DirectoryUser>,
    pub row: Option<SystemUser>,
    /// The row's security roles, those that a person took away included.
    pub assignments: Vec<Assignment>,
    standing: Standing,
    pub name_is_taken: bool,
    pub slot_is_free: bool,
    pub is_last_administrator: bool,
    /// The directory was asked about this very user just now, but for this: its memberships are known, even where the
    /// groups cannot be listed.
    pub asked: Option<Unasked>,
}

impl Case {
    /// A case about a row alone, or about nobody that we know.
    pub(super) fn nobody(user: Option<DirectoryUser>) -> Self {
        Self {
            id: Uuid::nil(),
            user,
            row: None,
            assignments: Vec::new(),
            standing: Standing::default(),
            name_is_taken: false,
            slot_is_free: false,
            is_last_administrator: false,
            asked: None,
        }
    }

    /// A disabled non-interactive user would take one of the few slots if it is enabled.
    pub(super) fn wants_slot(&self) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.isdisabled && row.is_non_interactive())
    }

    /// An enabled System Administrator: the environment must keep one.
    pub(super) fn is_enabled_administrator(&self) -> bool {
        self.row.as_ref().is_some_and(|row| !row.isdisabled) && is_administrator(&self.assignments)
    }

    /// A System Administrator, enabled or not.
    pub(super) fn is_administrator(&self) -> bool {
        self.row.is_some() && is_administrator(&self.assignments)
    }

    /// A System Administrator whom the directory has taken away: if nobody else is one, somebody has to look at that
    /// until there is one again.
    pub(super) fn is_lost_administrator(&self, plan: &RowPlan) -> bool {
        let row = plan.change.as_ref().map(|change| &change.after).or(self.row.as_ref());
        let by_directory = |row: &SystemUser| {
            let reason = row.disabledreason.as_deref().and_then(Code::parse);
            matches!(
                reason,
                Some(Code::DirectoryDeleted | Code::DirectorySoftDeleted | Code::DirectoryAccountDisabled)
            )
        };
        self.is_administrator() && row.is_some_and(|row| row.isdisabled && row.deletedstate == 0 && by_directory(row))
    }

    /// What becomes of the row.
    pub(super) fn plan(
        &self,
        environment: &Environment,
        verdict: &Verdict,
        removals: Removals,
        writer: Writer<'_>,
    ) -> RowPlan {
        let (user, row) = (self.user.as_ref(), self.row.as_ref());
        plan_row(environment, user, row, verdict, self.name_is_taken, removals, writer)
    }

    /// What becomes of the row's roles, once the row itself is planned.
    pub(super) fn plan_roles(&self, environment: &Environment, plan: &RowPlan) -> RolePlan {
        let created = plan.change.as_ref().map(|change| &change.after);
        match (&self.user, self.row.as_ref().or(created)) {
            (Some(user), Some(row)) if plan.follows => {
                let is_new = self.row.is_none();
                let is_last = self.is_last_administrator && !plan.disables();
                plan_roles(environment, user, row, is_new, &self.assignments, is_last)
            }
            _ => RolePlan::default(),
        }
    }

    /// Whether what is planned leaves the environment with one System Administrator less.
    pub(super) fn stops_being_administrator(&self, plan: &RowPlan, roles: &RolePlan) -> bool {
        let loses_role = || {
            let kept = self.assignments.iter().filter(|held| {
                held.role == SYSTEM_ADMINISTRATOR && !held.revoked && !roles.changes.contains(&RoleChange::take(held))
            });
            kept.count() == 0
        };
        self.is_enabled_administrator() && (plan.disables() || loses_role())
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
        let is_certain = self.asked.is_some() && relation == GroupRelation::Member;
        let has_climbed = self.asked.is_some_and(|unasked| !unasked.nesting);
        let is_inside = matches!(relation, GroupRelation::Member | GroupRelation::NestedOnly);
        let in_doubt = (view.group_unreadable && !is_certain) || (view.nested_unreadable && !is_inside && !has_climbed);
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
            last_system_administrator: self.is_last_administrator,
            stale_sources: view.stale,
            now,
        })
    }

    /// The name the directory wants for the user; none unless the user exists.
    pub(super) fn wanted_name(&self) -> Option<String> {
        self.user
            .as_ref()
            .filter(|user| user.state == DirectoryState::Present)
            .and_then(DirectoryUser::upn_key)
    }

    /// The name the directory wants for the user, if it is not the one that its row holds.
    pub(super) fn wish(&self) -> Option<String> {
        self.wanted_name()
            .filter(|name| self.held_name().as_ref() != Some(name))
    }

    /// The name its row holds.
    pub(super) fn held_name(&self) -> Option<String> {
        self.row.as_ref().and_then(held_name)
    }
}

/// The name a row holds: live rows do, unless another program wrote it and it is not folded yet or taken.
pub(super) fn held_name(row: &SystemUser) -> Option<String> {
    row.upn_key.clone()
}

impl Engine {
    /// One user as `explain` looks at it: locked and read like any other, with the verdict's neighbours.
    pub(super) async fn look_at(&self, tx: &mut Transaction, view: &View<'_>, id: Uuid) -> StoreResult<Case> {
        let environment = view.environment;
        let slots = quota::free_slots(&mut *tx, &environment.name, environment.non_interactive_cap).await?;
        let (cases, keepers) = self.load_cases(tx, view, vec![id]).await?;
        let administrators = self.count_administrators(tx, view, &cases).await?;
        let blocked = blocked_names(&cases, &keepers, |_| true);
        let mut case = cases
            .into_iter()
            .find(|case| case.id == id)
            .ok_or(StoreError::Conflict)?;
        case.name_is_taken = blocked.contains(&id);
        case.slot_is_free = slots > 0;
        case.is_last_administrator = administrators == 1 && case.is_enabled_administrator();
        Ok(case)
    }

    /// How many enabled System Administrators the environment has, if any of these is one.
    pub(super) async fn count_administrators(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        cases: &[Case],
    ) -> StoreResult<i64> {
        if !cases.iter().any(Case::is_administrator) {
            return Ok(0);
        }
        roles::count_enabled_holders(tx, &view.environment.name, SYSTEM_ADMINISTRATOR).await
    }

    /// Locks the rows of some users and reads what is known of them. Whoever holds a name that one of them wants,
    /// and moves on, joins the batch, so that a name passes within one transaction. Also answers the names that
    /// nobody in the batch can have.
    pub(super) async fn load_cases(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        mut ids: Vec<Uuid>,
    ) -> StoreResult<(Vec<Case>, BTreeSet<String>)> {
        let name = &view.environment.name;
        let mut cases: Vec<Case> = Vec::with_capacity(ids.len());
        let mut present: HashSet<Uuid> = HashSet::new();
        let mut asked: HashSet<String> = HashSet::new();
        let mut keepers: BTreeSet<String> = BTreeSet::new();
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
            let mut assignments = self.assignments_of(tx, name, found.values()).await?;
            for id in ids.drain(..).filter(|id| present.insert(*id)) {
                let row = found.remove(&id);
                cases.push(Case {
                    id,
                    user: users.remove(&id),
                    assignments: row
                        .as_ref()
                        .and_then(|row| assignments.remove(&row.systemuserid))
                        .unwrap_or_default(),
                    row,
                    standing: standings.get(&id).copied().unwrap_or_default(),
                    name_is_taken: false,
                    slot_is_free: false,
                    is_last_administrator: false,
                    asked: None,
                });
            }
            let wanted: Vec<String> = cases
                .iter()
                .filter_map(Case::wish)
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

    async fn assignments_of(
        &self,
        tx: &mut Transaction,
        environment: &str,
        found: impl Iterator<Item = &SystemUser>,
    ) -> StoreResult<HashMap<Uuid, Vec<Assignment>>> {
        let ids: Vec<Uuid> = found.map(|row| row.systemuserid).collect();
        let mut assignments: HashMap<Uuid, Vec<Assignment>> = HashMap::new();
        if !ids.is_empty() {
            for assignment in roles::of_rows(tx, environment, &ids).await? {
                assignments.entry(assignment.systemuserid).or_default().push(assignment);
            }
        }
        Ok(assignments)
    }
}

/// Whose name is taken by somebody who keeps it.
pub(super) fn blocked_names(
    cases: &[Case],
    keepers: &BTreeSet<String>,
    gets_row: impl Fn(&Case) -> bool,
) -> HashSet<Uuid> {
    let mut keepers = keepers.clone();
    let wanted: Vec<Option<String>> = cases.iter().map(Case::wanted_name).collect();
    let mut wanted_by: HashMap<&String, u32> = HashMap::new();
    for name in wanted.iter().flatten() {
        *wanted_by.entry(name).or_default() += 1;
    }
    let mut claims = Vec::new();
    for (case, wanted) in cases.iter().zip(&wanted) {
        let follows = case
            .row
            .as_ref()
            .is_none_or(|row| row.deletedstate == 0 && row.applicationid.is_none() && !row.isstub)
            && case.user.as_ref().is_some_and(|user| {
                let key = user.upn_key();
                !key.as_deref().is_some_and(is_reserved)
                    && (user.state != DirectoryState::Present || (user.account_enabled.is_some() && key.is_some()))
            });
        match wanted {
            Some(wanted) if follows => {
                let has_row = case.row.is_some();
                if has_row || wanted_by.get(wanted).is_none_or(|count| *count == 1) || gets_row(case) {
                    claims.push(Claim {
                        object_id: case.id,
                        wanted: wanted.clone(),
                        held: case.held_name(),
                        has_row,
                    });
                }
            }
            _ if follows => {}
            _ => keepers.extend(case.held_name()),
        }
    }
    blocked(&claims, &keepers)
}
