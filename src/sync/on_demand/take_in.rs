//! What the directory said of some users, written into the mirror; unless the mirror has moved on meanwhile.
//!
//! A cycle may hear of a user between question and answer, and its feed tells everything once. Whatever was asked
//! before that must not be written after it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::directory_user::DirectoryUser;
use crate::domain::feed::{AdminRole, PrincipalKind, RoleAssignment, UserPatch};
use crate::rules::AdminRoles;
use crate::store::{Connection, StoreResult, Transaction, checkpoints, groups, mirror, pending, subjects};
use crate::sync::Engine;

/// What the mirror knows of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    pub user: Option<DirectoryUser>,
    /// Those of the groups that count.
    groups: Vec<Uuid>,
    roles: AdminRoles,
}

/// What the mirror knows of some users.
pub(super) type Snapshots = BTreeMap<Uuid, Snapshot>;

/// What the directory said.
pub(super) struct Said<'a> {
    /// The users, with their direct memberships.
    pub found: &'a BTreeMap<Uuid, (UserPatch, Vec<Uuid>)>,
    /// Who holds administrator roles, where that could be read.
    pub roles: Option<&'a [(AdminRole, RoleAssignment)]>,
}

impl Engine {
    /// Writes what the directory said of some users and marks whom it concerns. Answers those of whom the mirror is no
    /// longer what it was before the question: nothing is written of them.
    pub(super) async fn take_in(
        &self,
        before: &Snapshots,
        read: &[Uuid],
        said: &Said<'_>,
    ) -> StoreResult<BTreeSet<Uuid>> {
        let all: Vec<Uuid> = said.found.keys().copied().collect();
        if all.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut tx = self.begin(None).await?;
        let overtaken = overtaken(&mut tx, before, read, &all).await?;
        let ids: Vec<Uuid> = all.into_iter().filter(|id| !overtaken.contains(id)).collect();
        let told = || said.found.iter().filter(|(id, _)| !overtaken.contains(id));
        let mut changed = BTreeSet::new();
        let mut users = Vec::with_capacity(ids.len());
        for (id, (patch, _)) in told() {
            let known = before.get(id).and_then(|known| known.user.as_ref());
            let mut user = known.cloned().unwrap_or_default();
            user.absorb(patch.clone(), true);
            if known != Some(&user) {
                changed.insert(*id);
            }
            users.push(user);
        }
        // Stamped with the round that may be under way, so that its end does not take the users for gone.
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, &users, round).await?;
        let joined: Vec<(Uuid, Uuid)> = told()
            .flat_map(|(id, (_, groups))| groups.iter().map(|group| (*id, *group)))
            .filter(|(_, group)| read.contains(group))
            .collect();
        changed.extend(groups::settle_members(&mut tx, &ids, read, &joined).await?);
        if let Some(roles) = said.roles {
            let held: Vec<(Uuid, AdminRoles)> = told()
                .map(|(id, (_, groups))| (*id, admin_roles(*id, groups, roles)))
                .collect();
            changed.extend(groups::set_roles_of(&mut tx, &held).await?);
        }
        let changed: Vec<Uuid> = changed.into_iter().collect();
        pending::mark(&mut tx, &self.settings.names(), &changed).await?;
        tx.commit().await?;
        Ok(overtaken)
    }

    /// Writes that the directory does not have some users any more. Answers as [`Self::take_in`].
    pub(super) async fn take_out(
        &self,
        before: &Snapshots,
        read: &[Uuid],
        gone: &[DirectoryUser],
    ) -> StoreResult<BTreeSet<Uuid>> {
        if gone.is_empty() {
            return Ok(BTreeSet::new());
        }
        let all: Vec<Uuid> = gone.iter().map(|user| user.id).collect();
        let mut tx = self.begin(None).await?;
        let overtaken = overtaken(&mut tx, before, read, &all).await?;
        let is_told = |user: &&DirectoryUser| !overtaken.contains(&user.id);
        let users: Vec<DirectoryUser> = gone.iter().filter(is_told).cloned().collect();
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, &users, round).await?;
        pending::mark(&mut tx, &self.settings.names(), &ids).await?;
        tx.commit().await?;
        Ok(overtaken)
    }
}

/// Keeps others from writing these users, and answers of whom the mirror has moved on.
async fn overtaken(
    tx: &mut Transaction,
    before: &Snapshots,
    read: &[Uuid],
    ids: &[Uuid],
) -> StoreResult<BTreeSet<Uuid>> {
    mirror::lock_users(&mut *tx, ids).await?;
    let now = snapshots(&mut *tx, ids, read).await?;
    let nothing = Snapshot::default();
    let is_overtaken = |id: &Uuid| now.get(id).unwrap_or(&nothing) != before.get(id).unwrap_or(&nothing);
    Ok(ids.iter().copied().filter(is_overtaken).collect())
}

/// What the mirror knows of some users; `read` are the groups that it follows.
pub(super) async fn snapshots(db: &mut Connection, ids: &[Uuid], read: &[Uuid]) -> StoreResult<Snapshots> {
    let mut snapshots: Snapshots = BTreeMap::new();
    for (id, user) in mirror::read_users(&mut *db, ids).await? {
        snapshots.entry(id).or_default().user = Some(user);
    }
    for (id, standing) in subjects::read(&mut *db, ids, None, &[], false).await? {
        snapshots.entry(id).or_default().roles = standing.roles;
    }
    for (id, group) in groups::memberships(&mut *db, ids, read).await? {
        snapshots.entry(id).or_default().groups.push(group);
    }
    Ok(snapshots)
}

/// The roles a user holds, directly or through a role-assignable group, which cannot be nested.
fn admin_roles(id: Uuid, groups: &[Uuid], assignments: &[(AdminRole, RoleAssignment)]) -> AdminRoles {
    let mut holds = AdminRoles::default();
    for (role, assignment) in assignments.iter().filter(|(_, assignment)| assignment.tenant_wide) {
        let principal = assignment.principal;
        let through_group = principal.kind == PrincipalKind::Group && groups.contains(&principal.id);
        if principal.id == id || through_group {
            holds.insert(*role);
        }
    }
    holds
}
