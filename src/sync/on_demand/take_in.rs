//! What the directory said of some users, written into the mirror; unless the mirror has moved on meanwhile.
//!
//! A cycle may hear of a user between question and answer, and its feed tells everything once. Whatever was asked
//! before that must not be written after it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::feed::{AdminRole, DeletedUser, PrincipalKind, RoleAssignment, UserPatch};
use crate::rules::AdminRoles;
use crate::store::{Connection, StoreResult, checkpoints, groups, mirror, pending, subjects};
use crate::sync::{Engine, SyncError};

/// What the mirror knows of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    user: Option<DirectoryUser>,
    /// Those of the groups that count.
    groups: BTreeSet<Uuid>,
    roles: AdminRoles,
}

/// What the directory said of a user who is there.
#[derive(Debug)]
pub(super) struct Said {
    pub user: UserPatch,
    /// Direct memberships.
    pub groups: Vec<Uuid>,
}

impl Engine {
    /// What the mirror knows of some users now.
    pub(super) async fn snapshots(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Snapshot>, SyncError> {
        let counted = self.counted_groups().await?;
        let mut db = self.store.read().await?;
        Ok(snapshots(&mut db, ids, &counted).await?)
    }

    /// The groups that any environment looks at.
    async fn counted_groups(&self) -> Result<Vec<Uuid>, SyncError> {
        let known = self.known().await?;
        let counted: BTreeSet<Uuid> = known
            .nested
            .iter()
            .flat_map(|(root, nested)| nested.iter().chain([root]))
            .copied()
            .collect();
        Ok(counted.into_iter().collect())
    }

    /// Writes what the directory said of users who are there and marks whom it concerns. Answers those of whom the
    /// mirror is no longer what it was before the question: nothing is written of them.
    pub(super) async fn take_in(
        &self,
        said: &BTreeMap<Uuid, Said>,
        before: &BTreeMap<Uuid, Snapshot>,
        roles: Option<&[(AdminRole, RoleAssignment)]>,
    ) -> Result<BTreeSet<Uuid>, SyncError> {
        if said.is_empty() {
            return Ok(BTreeSet::new());
        }
        let counted = self.counted_groups().await?;
        Ok(self.retry(|| self.try_take_in(said, before, roles, &counted)).await?)
    }

    async fn try_take_in(
        &self,
        said: &BTreeMap<Uuid, Said>,
        before: &BTreeMap<Uuid, Snapshot>,
        roles: Option<&[(AdminRole, RoleAssignment)]>,
        counted: &[Uuid],
    ) -> StoreResult<BTreeSet<Uuid>> {
        let mut tx = self.begin(None).await?;
        let asked: Vec<Uuid> = said.keys().copied().collect();
        let moved = moved_on(&mut tx, &asked, before, counted).await?;
        let kept: Vec<(&Uuid, &Said)> = said.iter().filter(|(id, _)| !moved.contains(id)).collect();
        let ids: Vec<Uuid> = kept.iter().map(|(id, _)| **id).collect();
        let mut changed = BTreeSet::new();
        let mut users = Vec::with_capacity(kept.len());
        for (id, said) in &kept {
            let known = before.get(id).and_then(|before| before.user.clone());
            let mut user = known.clone().unwrap_or_default();
            user.absorb(said.user.clone(), true);
            if known.as_ref() != Some(&user) {
                changed.insert(**id);
            }
            users.push(user);
        }
        // Stamped with the round that may be under way, so that its end does not take the users for gone.
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, &users, round).await?;
        let joined: Vec<(Uuid, Uuid)> = kept
            .iter()
            .flat_map(|(id, said)| said.groups.iter().map(|group| (**id, *group)))
            .filter(|(_, group)| counted.contains(group))
            .collect();
        changed.extend(groups::settle_members(&mut tx, &ids, counted, &joined).await?);
        if let Some(roles) = roles {
            let held: Vec<(Uuid, AdminRoles)> = kept
                .iter()
                .map(|(id, said)| (**id, admin_roles(**id, &said.groups, roles)))
                .collect();
            changed.extend(groups::set_roles_of(&mut tx, &held).await?);
        }
        let changed: Vec<Uuid> = changed.into_iter().collect();
        pending::mark_everywhere(&mut tx, &changed).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Writes that the directory does not have some users any more; not of those of whom the mirror has heard meanwhile.
    pub(super) async fn take_out(
        &self,
        gone: &BTreeMap<Uuid, Option<DeletedUser>>,
        before: &BTreeMap<Uuid, Snapshot>,
    ) -> Result<(), SyncError> {
        let users: Vec<DirectoryUser> = gone
            .iter()
            .filter_map(|(id, deleted)| {
                let state = match deleted {
                    Some(_) => DirectoryState::SoftDeleted,
                    None => DirectoryState::Gone,
                };
                let known = before.get(id).and_then(|before| before.user.clone());
                // Nobody we ever heard of, or nothing new.
                if (known.is_none() && deleted.is_none()) || known.as_ref().is_some_and(|known| known.state == state) {
                    return None;
                }
                let known = known.unwrap_or_default();
                Some(DirectoryUser {
                    id: *id,
                    state,
                    deleted_at: deleted.and_then(|user| user.deleted_at).or(known.deleted_at),
                    ..known
                })
            })
            .collect();
        if users.is_empty() {
            return Ok(());
        }
        let counted = self.counted_groups().await?;
        Ok(self.retry(|| self.try_take_out(&users, before, &counted)).await?)
    }

    async fn try_take_out(
        &self,
        users: &[DirectoryUser],
        before: &BTreeMap<Uuid, Snapshot>,
        counted: &[Uuid],
    ) -> StoreResult<()> {
        let mut tx = self.begin(None).await?;
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let moved = moved_on(&mut tx, &ids, before, counted).await?;
        let users: Vec<DirectoryUser> = users.iter().filter(|user| !moved.contains(&user.id)).cloned().collect();
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, &users, round).await?;
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        pending::mark_everywhere(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Locks some users of the mirror and answers of whom it knows something else than before.
async fn moved_on(
    db: &mut Connection,
    ids: &[Uuid],
    before: &BTreeMap<Uuid, Snapshot>,
    counted: &[Uuid],
) -> StoreResult<BTreeSet<Uuid>> {
    mirror::lock_users(&mut *db, ids).await?;
    let now = snapshots(db, ids, counted).await?;
    let has_moved = |id: &Uuid| now.get(id) != Some(before.get(id).unwrap_or(&Snapshot::default()));
    Ok(ids.iter().copied().filter(has_moved).collect())
}

async fn snapshots(db: &mut Connection, ids: &[Uuid], counted: &[Uuid]) -> StoreResult<BTreeMap<Uuid, Snapshot>> {
    let mut users = mirror::read_users(&mut *db, ids).await?;
    let standings = subjects::read(&mut *db, ids, None, &[], false).await?;
    let mut groups: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for (user, group) in groups::memberships(db, ids, counted).await? {
        groups.entry(user).or_default().insert(group);
    }
    let snapshot = |id: &Uuid| Snapshot {
        user: users.remove(id),
        groups: groups.remove(id).unwrap_or_default(),
        roles: standings.get(id).map(|standing| standing.roles).unwrap_or_default(),
    };
    let ids: BTreeSet<Uuid> = ids.iter().copied().collect();
    Ok(ids.iter().copied().zip(ids.iter().map(snapshot)).collect())
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
