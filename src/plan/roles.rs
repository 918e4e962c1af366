//! Which security roles the sync grants to a row, and which of its own it revokes (rules.md, section 8). Pure.

use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::{Environment, Kind};
use crate::domain::role::{Assignment, BASIC_USER, ENVIRONMENT_MAKER, Provenance, SALESPERSON, SYSTEM_ADMINISTRATOR};
use crate::domain::system_user::SystemUser;

/// One role granted or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The row.
    pub systemuserid: Uuid,
    /// The role's name.
    pub role: String,
    /// The origin of the assignment.
    pub provenance: Provenance,
    /// Granted, or revoked.
    pub is_granted: bool,
    /// A person revoked a role that the sync granted: it must not return while its cause lasts.
    pub leaves_mark: bool,
}

impl RoleChange {
    /// A role to grant.
    #[must_use]
    pub fn grant(systemuserid: Uuid, role: &str, provenance: Provenance) -> Self {
        Self {
            systemuserid,
            role: role.to_owned(),
            provenance,
            is_granted: true,
            leaves_mark: false,
        }
    }

    /// A role to revoke, without a mark.
    #[must_use]
    pub fn take(assignment: &Assignment) -> Self {
        Self {
            systemuserid: assignment.systemuserid,
            role: assignment.role.clone(),
            provenance: assignment.provenance,
            is_granted: false,
            leaves_mark: false,
        }
    }
}

/// The sync's plan for one row's roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolePlan {
    /// In order.
    pub changes: Vec<RoleChange>,
    /// A licence no longer grants System Administrator, but no other user has the role: the row keeps it.
    pub keeps_last_administrator: bool,
}

/// Plans the roles of a row that exists or will exist. `row` is the row after the change; `is_last_administrator` says
/// that it is the only enabled one with the System Administrator role.
#[must_use]
pub fn plan_roles(
    environment: &Environment,
    user: &DirectoryUser,
    row: &SystemUser,
    is_new: bool,
    held: &[Assignment],
    is_last_administrator: bool,
) -> RolePlan {
    let mut plan = RolePlan::default();
    let id = row.systemuserid;
    if is_new && environment.kind == Kind::Default {
        let exists = |role: &&&str| environment.has_role(role);
        let given = [BASIC_USER, ENVIRONMENT_MAKER];
        let given = given.iter().filter(exists);
        plan.changes
            .extend(given.map(|role| RoleChange::grant(id, role, Provenance::Default)));
    }
    if !environment.manages_license_roles() || user.state != DirectoryState::Present {
        return plan;
    }
    let wanted = |role: &str| {
        let maps = |(plan, mapped): &(Uuid, String)| mapped == role && user.usable_plans.contains(plan);
        environment.license_roles.iter().any(maps)
    };
    let mut added: Vec<&str> = Vec::new();
    for (_, role) in &environment.license_roles {
        let is_there = held
            .iter()
            .any(|held| held.role == *role && held.provenance == Provenance::License);
        if !is_there && !added.contains(&role.as_str()) && wanted(role) {
            added.push(role);
            plan.changes.push(RoleChange::grant(id, role, Provenance::License));
        }
    }
    for own in held.iter().filter(|held| held.provenance == Provenance::License) {
        if wanted(&own.role) {
            continue;
        }
        let is_held_otherwise = held
            .iter()
            .any(|other| other.role == own.role && other.provenance != Provenance::License && !other.revoked);
        if own.role == SYSTEM_ADMINISTRATOR && !own.revoked && is_last_administrator && !is_held_otherwise {
            plan.keeps_last_administrator = true;
        } else {
            plan.changes.push(RoleChange::take(own));
        }
    }
    plan
}

/// The role of a stub: Salesperson if the environment has it, otherwise Basic User (rules.md, section 6).
#[must_use]
pub fn stub_role(environment: &Environment) -> Option<&'static str> {
    [SALESPERSON, BASIC_USER]
        .into_iter()
        .find(|role| environment.has_role(role))
}

/// Whether some assignments make their row a System Administrator.
#[must_use]
pub fn is_administrator(held: &[Assignment]) -> bool {
    held.iter()
        .any(|held| held.role == SYSTEM_ADMINISTRATOR && !held.revoked)
}

#[cfg(test)]
mod tests;
