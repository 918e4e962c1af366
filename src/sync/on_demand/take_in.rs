//! What the directory said of some users who were asked about, written into the mirror: the user, the direct memberships,
//! the roles, each as of the moment it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::feed::{Asked, Assignments, DeletedUser, Moment, Removal, UserChange, UserPatch};
use crate::rules::AdminRoles;
use crate::store::groups::{self, MembershipsOf};
use crate::store::{StoreResult, Transaction, administrators, checkpoints, mirror, pending};
use crate::sync::{Engine, SyncError, facts};

/// Who holds the administrator roles.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub assignments: Assignments,
    /// Groups that are assigned a role and cannot be found, each with a user who was in it when it was read last: until a
    /// cycle says otherwise, that user holds the role (rules.md, section 2).
    pub through_missing: BTreeSet<(Uuid, Uuid)>,
}

/// What the directory said of a user who is there.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub user: Asked<UserPatch>,
    /// Direct memberships.
    pub groups: Asked<Vec<Uuid>>,
}

impl Engine {
    /// Writes what the directory said of users who are there and marks whom it concerns. Answers those of whom the mirror
    /// has heard something newer: what was said of them is dropped.
    pub(super) async fn take_in(
        &self,
        said: &BTreeMap<Uuid, Said>,
        roles: Option<&Held>,
    ) -> Result<BTreeSet<Uuid>, SyncError> {
        if said.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(self.retry(|| self.try_take_in(said, roles)).await?)
    }

    async fn try_take_in(&self, said: &BTreeMap<Uuid, Said>, roles: Option<&Held>) -> StoreResult<BTreeSet<Uuid>> {
        let mut tx = self.begin(None).await?;
        let unlisted = unlisted(&mut tx, said).await?;
        let (dropped, kept): (Vec<_>, Vec<_>) = said.values().partition(|said| unlisted.contains(&said.user.value.id));
        let mut older: BTreeSet<Uuid> = dropped.iter().map(|said| said.user.value.id).collect();
        let present = kept
            .iter()
            .map(|said| said.user.clone().map(|user| UserChange::Present(Box::new(user))));
        let taken = facts::take_in(&mut tx, present.collect(), true).await?;
        older.extend(taken.older.iter().map(|user| user.value));
        let mut changed: BTreeSet<Uuid> = taken.changed.into_iter().collect();
        let mut held: BTreeSet<Uuid> = groups::followed(&mut tx).await?.into_iter().collect();
        let environments = self.settings.environments.iter();
        held.extend(environments.filter_map(|(environment, _)| environment.security_group));
        changed.extend(groups::settle_members(&mut tx, &memberships(&kept, &held)).await?);
        if let Some(roles) = roles {
            let held: Vec<_> = kept.iter().map(|said| admin_roles(said, roles)).collect();
            changed.extend(administrators::settle(&mut tx, &held).await?);
        }
        let changed: Vec<Uuid> = changed.into_iter().collect();
        pending::mark_everywhere(&mut tx, &changed).await?;
        tx.commit().await?;
        Ok(older)
    }

    /// Writes that the directory does not have some users any more. Answers those of whom the mirror has heard something
    /// newer.
    pub(super) async fn take_out(
        &self,
        gone: &[Asked<(Uuid, Option<DeletedUser>)>],
    ) -> Result<BTreeSet<Uuid>, SyncError> {
        if gone.is_empty() {
            return Ok(BTreeSet::new());
        }
        let removed = gone.iter().map(|gone| {
            gone.map(|(id, deleted)| UserChange::Removed {
                id,
                reason: deleted.map_or(Removal::Gone, |_| Removal::SoftDeleted),
                deleted_at: deleted.and_then(|deleted| deleted.deleted_at),
            })
        });
        let removed: Vec<_> = removed.collect();
        Ok(self
            .retry(async || {
                let mut tx = self.begin(None).await?;
                let taken = facts::take_in(&mut tx, removed.clone(), true).await?;
                pending::mark_everywhere(&mut tx, &taken.changed).await?;
                tx.commit().await?;
                Ok(taken.older.iter().map(|user| user.value).collect())
            })
            .await?)
    }
}

/// Users whom the mirror does not have, although a round began after they were asked about: it did not list them, or has
/// not yet. That answer is the newer one. No round ends before the transaction does.
async fn unlisted(tx: &mut Transaction, said: &BTreeMap<Uuid, Said>) -> StoreResult<BTreeSet<Uuid>> {
    let ids: Vec<Uuid> = said.keys().copied().collect();
    let known = mirror::lock_users(&mut *tx, &ids).await?;
    let unknown: Vec<&Said> = said
        .iter()
        .filter_map(|(id, said)| (!known.contains_key(id)).then_some(said))
        .collect();
    if unknown.is_empty() {
        return Ok(BTreeSet::new());
    }
    let round = Moment(checkpoints::lock_round(tx, "users").await?);
    let unlisted = unknown.into_iter().filter(|said| said.user.at < round);
    Ok(unlisted.map(|said| said.user.value.id).collect())
}

/// Of the groups that the mirror holds.
fn memberships(said: &[&Said], held: &BTreeSet<Uuid>) -> MembershipsOf {
    let mut memberships = MembershipsOf::default();
    for said in said {
        let (id, at) = (said.user.value.id, said.groups.at);
        memberships.users.push(Asked { at, value: id });
        let joined = said.groups.value.iter().filter(|group| held.contains(group));
        memberships.joined.extend(joined.map(|group| Asked {
            at,
            value: (id, *group),
        }));
    }
    memberships
}

/// The roles a user holds, directly or through a role-assignable group, which cannot be nested. As old as the older of the
/// two answers.
fn admin_roles(said: &Said, held: &Held) -> Asked<(Uuid, AdminRoles)> {
    let assignments = &held.assignments;
    let id = said.user.value.id;
    let mut holds = AdminRoles::default();
    let tenant_wide = assignments
        .value
        .iter()
        .filter(|(_, assignment)| assignment.tenant_wide);
    for (role, assignment) in tenant_wide {
        let principal = assignment.principal;
        let through_group =
            said.groups.value.contains(&principal.id) || held.through_missing.contains(&(principal.id, id));
        if principal.id == id || through_group {
            holds.insert(*role);
        }
    }
    Asked {
        at: assignments.at.min(said.groups.at),
        value: (id, holds),
    }
}
