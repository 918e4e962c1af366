//! What the directory said of one user, written into the mirror; unless the mirror has moved on meanwhile.
//!
//! A cycle may hear of the user between question and answer, and its feed tells everything once. Whatever was asked
//! before that must not be written after it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::look_up::Fresh;
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
    groups: Vec<Uuid>,
    roles: AdminRoles,
}

/// What the directory said beside the user itself.
#[derive(Debug)]
pub(super) struct Said {
    /// Direct memberships.
    pub groups: Vec<Uuid>,
    /// Who holds administrator roles, where that could be read.
    pub roles: Option<Vec<(AdminRole, RoleAssignment)>>,
}

impl Engine {
    /// What the mirror knows of a user now.
    pub(super) async fn snapshot(&self, id: Uuid) -> Result<Snapshot, SyncError> {
        let counted = self.counted_groups().await?;
        let mut db = self.store.read().await?;
        Ok(snapshot(&mut db, id, &counted).await?)
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

    /// Writes what the directory said of a user who is there and marks whom it concerns. None where the mirror is no
    /// longer what it was before the question.
    pub(super) async fn take_in(
        &self,
        before: &Snapshot,
        patch: UserPatch,
        said: Said,
    ) -> Result<Option<Fresh>, SyncError> {
        let id = patch.id;
        let counted = self.counted_groups().await?;
        let joined: Vec<Uuid> = said
            .groups
            .iter()
            .copied()
            .filter(|group| counted.contains(group))
            .collect();
        let write = async || -> StoreResult<bool> {
            let mut tx = self.begin(None).await?;
            mirror::lock_user(&mut tx, id).await?;
            if snapshot(&mut tx, id, &counted).await? != *before {
                return Ok(false);
            }
            let mut user = before.user.clone().unwrap_or_default();
            user.absorb(patch.clone(), true);
            let mut changed = before.user.as_ref() != Some(&user);
            // Stamped with the round that may be under way, so that its end does not take the user for gone.
            let round = checkpoints::read(&mut tx, "users").await?.round;
            mirror::write_users(&mut tx, std::slice::from_ref(&user), round).await?;
            changed |= groups::settle_returned(&mut tx, id, &counted, &joined).await?;
            if let Some(roles) = &said.roles {
                let holds = admin_roles(id, &said.groups, roles);
                changed |= groups::set_roles_of(&mut tx, id, holds).await?;
            }
            if changed {
                pending::mark(&mut tx, &self.settings.names(), &[id]).await?;
            }
            tx.commit().await?;
            Ok(true)
        };
        let is_written = self.retry(&write).await?;
        Ok(is_written.then(|| match said.roles {
            Some(_) => Fresh::User(id),
            None => Fresh::UserWithoutRoles(id),
        }))
    }

    /// Writes that the directory does not have a user any more. None as for [`Self::take_in`].
    pub(super) async fn take_out(
        &self,
        id: Uuid,
        before: &Snapshot,
        deleted: Option<DeletedUser>,
    ) -> Result<Option<Fresh>, SyncError> {
        let state = if deleted.is_some() {
            DirectoryState::SoftDeleted
        } else {
            DirectoryState::Gone
        };
        let is_known = before.user.as_ref().is_some_and(|user| user.state == state);
        if is_known || (before.user.is_none() && deleted.is_none()) {
            return Ok(Some(Fresh::User(id)));
        }
        let known = before.user.clone().unwrap_or_default();
        let user = DirectoryUser {
            id,
            state,
            deleted_at: deleted.and_then(|user| user.deleted_at).or(known.deleted_at),
            ..known
        };
        let counted = self.counted_groups().await?;
        let write = async || -> StoreResult<bool> {
            let mut tx = self.begin(None).await?;
            mirror::lock_user(&mut tx, id).await?;
            if snapshot(&mut tx, id, &counted).await? != *before {
                return Ok(false);
            }
            let round = checkpoints::read(&mut tx, "users").await?.round;
            mirror::write_users(&mut tx, std::slice::from_ref(&user), round).await?;
            pending::mark(&mut tx, &self.settings.names(), &[id]).await?;
            tx.commit().await?;
            Ok(true)
        };
        Ok(self.retry(&write).await?.then_some(Fresh::User(id)))
    }
}

async fn snapshot(db: &mut Connection, id: Uuid, counted: &[Uuid]) -> StoreResult<Snapshot> {
    let standing = subjects::read(&mut *db, &[id], None, &[], false).await?.remove(&id);
    Ok(Snapshot {
        user: mirror::read_users(&mut *db, &[id]).await?.remove(&id),
        groups: groups::memberships(db, id, counted).await?,
        roles: standing.map(|standing| standing.roles).unwrap_or_default(),
    })
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
