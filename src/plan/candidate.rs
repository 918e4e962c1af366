//! One user of a batch with all its known facts, as the rules see it. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{RemovalMode, RoleChange, RolePlan, RowPlan, Writer, plan_roles, plan_row, roles::is_administrator};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::licence::{Catalogue, ViralCountsAs};
use crate::domain::reason::Code;
use crate::domain::role::{Assignment, SYSTEM_ADMINISTRATOR};
use crate::domain::system_user::{SYNC_ACTOR, SystemUser};
use crate::rules::{AdminRoles, DirectoryAnswer, GroupRelation, Subject, Trigger, Verdict, evaluate};

/// The facts about an environment and its sources during an evaluation.
#[derive(Clone, Debug)]
pub struct EnvironmentView<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// The licence catalogue.
    pub catalogue: &'a Catalogue,
    /// How viral plans count.
    pub viral_counts_as: ViralCountsAs,
    /// Groups that could not be read just now, in addition to those that the mirror marks as unreadable.
    pub unread: BTreeSet<Uuid>,
    /// The tenant has a Marketing licence.
    pub tenant_marketing: bool,
    /// The roles could not be read in this run.
    pub stale_roles: bool,
    /// The SKUs could not be read in this run.
    pub stale_skus: bool,
}

/// Which of an environment's groups could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The security group itself.
    pub group: bool,
    /// A group within it: users who are not direct members are in doubt.
    pub nested: bool,
}

/// What was not answered about a looked-up user: the earlier knowledge counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Unasked {
    /// The holders of administrator roles: no user loses access for lack of a licence or a group.
    pub roles: bool,
    /// The owners of the security group.
    pub owners: bool,
    /// The parent groups of the user's groups.
    pub nesting: bool,
    /// Whether the security group exists at all: no user is certainly outside it.
    pub group: bool,
    /// A request failed; otherwise a bound prevented it.
    pub has_failed: bool,
}

impl Unasked {
    /// What is missing from either of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            roles: self.roles || other.roles,
            owners: self.owners || other.owners,
            nesting: self.nesting || other.nesting,
            group: self.group || other.group,
            has_failed: self.has_failed || other.has_failed,
        }
    }
}

/// One user with all known facts, before the verdict.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Candidate {
    /// The object id; for a row without a directory user, the row's id; nil if neither exists.
    pub id: Uuid,
    /// The directory's facts; none if the directory reported nothing about this user.
    pub user: Option<DirectoryUser>,
    /// The row, locked.
    pub row: Option<SystemUser>,
    /// The row's security roles, including those that a person revoked.
    pub assignments: Vec<Assignment>,
    /// Administrator roles in the directory.
    pub roles: AdminRoles,
    /// Relation to the security group.
    pub relation: GroupRelation,
    /// Which groups could not be read for it.
    pub unread: Unread,
    /// Set if the directory was asked about this user just now, with what was not answered: its memberships are known,
    /// even if the groups cannot be listed.
    pub asked: Option<Unasked>,
    /// In the batch only because its row holds a name that another user in it wants.
    pub has_joined: bool,
    /// Another live row keeps the wanted name. Set by the batch, as are the two below.
    pub name_is_taken: bool,
    /// One more non-interactive user may be enabled.
    pub slot_is_free: bool,
    /// The row is the environment's last enabled System Administrator.
    pub is_last_administrator: bool,
}

impl Candidate {
    /// A user without any data in the tables; `user` is the directory's answer.
    #[must_use]
    pub fn nobody(user: Option<DirectoryUser>) -> Self {
        Self {
            id: Uuid::nil(),
            user,
            row: None,
            assignments: Vec::new(),
            roles: AdminRoles::default(),
            relation: GroupRelation::None,
            unread: Unread::default(),
            asked: None,
            has_joined: false,
            name_is_taken: false,
            slot_is_free: false,
            is_last_administrator: false,
        }
    }

    /// Whether a disabled non-interactive user would take one of the few slots when enabled.
    #[must_use]
    pub fn wants_slot(&self) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.isdisabled && row.is_non_interactive())
    }

    /// An enabled System Administrator: the environment must keep one.
    #[must_use]
    pub fn is_enabled_administrator(&self) -> bool {
        self.row.as_ref().is_some_and(|row| !row.isdisabled) && is_administrator(&self.assignments)
    }

    /// A System Administrator, enabled or not.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.row.is_some() && is_administrator(&self.assignments)
    }

    /// A System Administrator, enabled or not, or somebody who was one through a group team: the number of others matters.
    #[must_use]
    pub fn concerns_administrators(&self) -> bool {
        self.is_administrator() || self.was_administrator_through_team()
    }

    /// A System Administrator whose account was deleted or disabled in the directory: if there is no other one, an
    /// operator must be alerted until there is.
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

    /// The roles that group teams gave the row until the directory took it out of their groups, and that it has not
    /// otherwise.
    pub(super) fn lost_through_teams(&self) -> impl Iterator<Item = &Assignment> {
        let holds = |role: &str| self.assignments.iter().any(|held| held.role == role && !held.revoked);
        let lost = self.assignments.iter().filter(|held| held.revoked && !held.is_direct());
        lost.filter(move |lost| !holds(&lost.role))
    }

    /// An enabled row that was a System Administrator through a group team, until the directory took it out of the
    /// group.
    pub(super) fn was_administrator_through_team(&self) -> bool {
        self.row.as_ref().is_some_and(|row| !row.isdisabled)
            && self.lost_through_teams().any(|lost| lost.role == SYSTEM_ADMINISTRATOR)
    }

    /// The group team that gave the row a security role until the directory took it out of the group, if it has none
    /// now.
    pub(super) fn last_role_was_of(&self) -> Option<&str> {
        let has_none = self.assignments.iter().all(|held| held.revoked);
        let lost = self.lost_through_teams().next().filter(|_| has_none);
        lost.and_then(|lost| lost.team.as_deref())
    }

    /// The plan for the row.
    pub(super) fn plan(
        &self,
        environment: &Environment,
        verdict: &Verdict,
        removals: RemovalMode,
        writer: Writer<'_>,
    ) -> RowPlan {
        let (user, row) = (self.user.as_ref(), self.row.as_ref());
        plan_row(environment, user, row, verdict, self.name_is_taken, removals, writer)
    }

    /// The plan for the row's roles, once the row itself is planned.
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

    /// Whether the plan leaves the environment with one System Administrator fewer.
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
    #[must_use]
    pub fn evaluate(&self, view: &EnvironmentView<'_>, trigger: Trigger, now: DateTime<Utc>) -> Verdict {
        evaluate(view.environment, &self.subject(view, now), trigger)
    }

    /// The facts that the rules use.
    #[must_use]
    pub fn subject(&self, view: &EnvironmentView<'_>, now: DateTime<Utc>) -> Subject<'_> {
        let mut relation = self.relation;
        let unasked = self.asked.unwrap_or_default();
        let is_certain = self.asked.is_some() && relation == GroupRelation::Member;
        let has_climbed = self.asked.is_some_and(|unasked| !unasked.nesting);
        let may_be_nested = match relation {
            // A nested owner is more than an owner only if nested members count in full.
            GroupRelation::OwnerOnly => view.environment.group_nesting == GroupNesting::Full,
            relation => relation == GroupRelation::None,
        };
        let is_unread = self.unread.group || unasked.group;
        if (is_unread && !is_certain) || (self.unread.nested && may_be_nested && !has_climbed) {
            relation = GroupRelation::Unreadable;
        }
        let plans = self.user.as_ref().map_or(&[][..], |user| user.usable_plans.as_slice());
        Subject {
            answer: self
                .user
                .as_ref()
                .map_or(DirectoryAnswer::Unknown, DirectoryAnswer::Known),
            licences: view.catalogue.judge(plans, view.viral_counts_as),
            roles: self.roles,
            relation,
            row: self.row.as_ref(),
            upn_blocked: self.name_is_taken,
            tenant_marketing: view.tenant_marketing,
            non_interactive_slot: self.slot_is_free,
            last_system_administrator: self.is_last_administrator,
            stale_roles: view.stale_roles || unasked.roles,
            stale_skus: view.stale_skus,
            now,
        }
    }

    /// The name the directory wants for the user; none unless the user exists.
    #[must_use]
    pub fn wanted_name(&self) -> Option<String> {
        self.user
            .as_ref()
            .filter(|user| user.state == DirectoryState::Present)
            .and_then(DirectoryUser::upn_key)
    }

    /// The name the directory wants for the user, if it differs from the one that its row holds.
    #[must_use]
    pub fn missing_name(&self) -> Option<String> {
        self.wanted_name().filter(|name| self.held_name() != Some(name))
    }

    /// The name that its row holds: every live row holds its name, unless another program wrote it and it is not folded
    /// yet or is taken.
    #[must_use]
    pub fn held_name(&self) -> Option<&String> {
        self.row.as_ref().and_then(|row| row.upn_key.as_ref())
    }
}

/// A user whose name is reserved for the system.
#[must_use]
pub fn reserved() -> DirectoryUser {
    DirectoryUser {
        user_principal_name: Some(SYNC_ACTOR.to_owned()),
        ..unknown(Uuid::nil())
    }
}

/// A user whom the directory does not know.
#[must_use]
pub fn unknown(id: Uuid) -> DirectoryUser {
    DirectoryUser {
        id,
        state: DirectoryState::Gone,
        ..DirectoryUser::default()
    }
}
