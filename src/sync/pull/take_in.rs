//! The directory's answers about looked-up users, written into the mirror: the user, the direct memberships, the roles,
//! each as of the moment it was requested.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Puller;
use super::climb::ParentGroups;
use super::facts::{self, Origin};
use super::look_up::Search;
use crate::domain::environment::Environment;
use crate::domain::feed::{Asked, Assignments, DeletedUser, Listed, Principal, Removal, UserChange, UserPatch};
use crate::domain::scope::Scope;
use crate::domain::source::Source;
use crate::rules::AdminRoles;
use crate::store::answers::StoredPages;
use crate::store::groups::{self, MembershipsOf};
use crate::store::mirror::Mirrored;
use crate::store::{
    StoreResult, Transaction, administrators, checkpoints, environments, mirror, owners, pending, population, recheck,
};
use crate::sync::Failure;

/// The holders of the administrator roles.
#[derive(Clone, Debug)]
pub(in crate::sync) struct RoleHolders {
    pub assignments: Assignments,
    /// Groups that have a role and cannot be found, each with a user who was in it at the last reading: until a cycle
    /// decides otherwise, that user holds the role (rules.md, section 2).
    pub through_missing: BTreeSet<(Uuid, Uuid)>,
}

/// The directory's answer about a present user.
#[derive(Clone, Debug)]
pub(in crate::sync) struct UserFacts {
    pub user: Asked<UserPatch>,
    /// Direct memberships.
    pub groups: Asked<Listed<Uuid>>,
}

impl UserFacts {
    /// Whether every membership could be read: only then is a missing one over.
    pub fn is_whole(&self) -> bool {
        self.groups.value.unreadable == 0
    }
}

impl Puller {
    /// Writes the answers about present users and marks the affected users for evaluation. Returns the users about whom
    /// the mirror has newer facts: the answers about these are dropped.
    pub(super) async fn take_in(
        &self,
        said: &BTreeMap<Uuid, UserFacts>,
        roles: Option<&RoleHolders>,
        search: &Search<'_>,
    ) -> Result<BTreeSet<Uuid>, Failure> {
        if said.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(self.base.retry(|| self.try_take_in(said, roles, search)).await?)
    }

    async fn try_take_in(
        &self,
        said: &BTreeMap<Uuid, UserFacts>,
        roles: Option<&RoleHolders>,
        search: &Search<'_>,
    ) -> StoreResult<BTreeSet<Uuid>> {
        let now = self.base.clock.now();
        let mut tx = self.base.begin(None).await?;
        let ids: Vec<Uuid> = said.keys().copied().collect();
        let known = mirror::lock_users(&mut tx, &ids).await?;
        let in_groups = self.base.settings.scope == Scope::Groups;
        let unlisted = unlisted(&mut tx, said, &known, in_groups.then_some(search.is_last)).await?;
        let (dropped, kept): (Vec<_>, Vec<_>) = said.values().partition(|said| unlisted.contains(&said.user.value.id));
        let mut older: BTreeSet<Uuid> = dropped.iter().map(|said| said.user.value.id).collect();
        let present = kept
            .iter()
            .map(|said| said.user.clone().map(|user| UserChange::Present(Box::new(user))));
        let taken = facts::take_in_locked(&mut tx, &present.collect::<Vec<_>>(), &known, Origin::LookUp(now)).await?;
        older.extend(taken.older.iter().map(|user| user.value));
        let mut changed: BTreeSet<Uuid> = taken.changed.into_iter().collect();
        let held = self.held_groups(&mut tx, &search.ladder).await?;
        let moved = taken
            .pages
            .of_other_members(&mut tx, &memberships(&kept, &held))
            .await?;
        let kept: Vec<&UserFacts> = kept
            .into_iter()
            .filter(|said| !moved.contains(&said.user.value.id))
            .collect();
        older.extend(moved);
        changed.extend(groups::settle_members(&mut tx, &memberships(&kept, &held), now - recheck::LAG).await?);
        let in_part = kept.iter().filter(|said| !said.is_whole());
        let in_part = in_part.map(|said| Asked {
            at: said.groups.at,
            value: said.user.value.id,
        });
        recheck::add(&mut tx, &in_part.collect::<Vec<_>>()).await?;
        if let Some(roles) = roles {
            let held: Vec<_> = kept.iter().map(|said| admin_roles(said, roles)).collect();
            changed.extend(administrators::settle(&mut tx, &held).await?);
        }
        let changed: Vec<Uuid> = changed.into_iter().collect();
        pending::mark_everywhere(&mut tx, &changed).await?;
        if let Some(until) = search.guests_until {
            population::welcome(&mut tx, &ids, until).await?;
        }
        tx.commit().await?;
        Ok(older)
    }

    /// Until when the mirror keeps users who are looked up on demand now, in group scope.
    pub(super) fn guests_until(&self) -> Option<DateTime<Utc>> {
        let settings = &self.base.settings;
        let kept = chrono::Duration::from_std(settings.access_freshness).unwrap_or_default();
        (settings.scope == Scope::Groups).then(|| self.base.clock.now() + kept)
    }

    /// The groups whose members the mirror holds: those that are followed, and those that lead to a security group
    /// where nested members count, by earlier knowledge or by this look-up.
    async fn held_groups(&self, tx: &mut Transaction, ladder: &ParentGroups) -> StoreResult<BTreeSet<Uuid>> {
        let mut held: BTreeSet<Uuid> = groups::followed(&mut *tx).await?.into_iter().collect();
        held.extend(self.base.settings.security_groups(|_| true));
        let counting = self.base.settings.security_groups(Environment::counts_nested);
        held.extend(
            groups::nested_groups(&mut *tx, &counting)
                .await?
                .into_values()
                .flatten(),
        );
        held.extend(counting.iter().flat_map(|root| ladder.groups_within(*root)));
        Ok(held)
    }

    /// Writes the answers about the owners of a security group, and about nested groups. A group that joined or left
    /// another moves many users at once: everyone is re-evaluated where nested members count.
    pub(in crate::sync) async fn take_in_group(
        &self,
        group: Option<Uuid>,
        owners: Option<Asked<Listed<Principal>>>,
        ladder: &ParentGroups,
    ) -> Result<(), Failure> {
        if owners.is_none() && ladder.to_store().next().is_none() {
            return Ok(());
        }
        let write = async || {
            let mut tx = self.base.begin(None).await?;
            // Most look-ups find no nesting.
            if ladder.to_store().next().is_some() {
                let held = self.held_groups(&mut tx, ladder).await?;
                let rungs = rungs(ladder, &held);
                let first = rungs.users.iter().map(|group| group.at).min().unwrap_or_default();
                // A page may have reported a later change, which no look-up may undo; what it did not know comes with
                // the next.
                let moved = StoredPages::since(&mut tx, first)
                    .await?
                    .of_other_members(&mut tx, &rungs)
                    .await?;
                let rungs = rungs.without(&moved);
                if !groups::settle_groups(&mut tx, &rungs).await?.is_empty() {
                    environments::judge_everyone(&mut tx, &self.base.settings.nesting()).await?;
                }
            }
            // Last: every look-up of this group writes here.
            if let (Some(group), Some(owners)) = (group, &owners) {
                let changed = owners::set(&mut tx, &[(group, owners.clone())]).await?;
                let changed: Vec<Uuid> = changed.into_iter().map(|(_, owner)| owner).collect();
                pending::mark_everywhere(&mut tx, &changed).await?;
            }
            tx.commit().await
        };
        Ok(self.base.retry(write).await?)
    }

    /// Writes that the directory no longer has some users. Returns those about whom the mirror has newer facts.
    pub(in crate::sync) async fn take_out(
        &self,
        gone: &[Asked<(Uuid, Option<DeletedUser>)>],
    ) -> Result<BTreeSet<Uuid>, Failure> {
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
        let now = self.base.clock.now();
        self.base
            .retry(async || {
                let mut tx = self.base.begin(None).await?;
                let taken = facts::take_in(&mut tx, &removed, Origin::LookUp(now)).await?;
                pending::mark_everywhere(&mut tx, &taken.changed).await?;
                tx.commit().await?;
                Ok::<_, Failure>(taken.older.iter().map(|user| user.value).collect())
            })
            .await
    }
}

/// Users whom the mirror does not have, although a round began after they were requested: it did not list them, or has
/// not yet. The round's answer is the newer one. No round ends before the transaction does.
///
/// In group scope pages drop users whom the mirror does not have, so any page that was stored since may have known more.
/// `in_groups`: whether the answer counts all the same; the next run asks again.
async fn unlisted(
    tx: &mut Transaction,
    said: &BTreeMap<Uuid, UserFacts>,
    known: &HashMap<Uuid, Mirrored>,
    in_groups: Option<bool>,
) -> StoreResult<BTreeSet<Uuid>> {
    let unknown: Vec<&UserFacts> = said
        .iter()
        .filter_map(|(id, said)| (!known.contains_key(id)).then_some(said))
        .collect();
    if unknown.is_empty() {
        return Ok(BTreeSet::new());
    }
    let round = checkpoints::lock_round(tx, Source::Users).await?;
    let Some(is_last) = in_groups else {
        let unlisted = unknown.into_iter().filter(|said| said.user.at < round);
        return Ok(unlisted.map(|said| said.user.value.id).collect());
    };
    let first = unknown.iter().map(|said| said.user.at).min().unwrap_or_default();
    if StoredPages::since(&mut *tx, first).await?.is_empty() {
        return Ok(BTreeSet::new());
    }
    let unsure: Vec<_> = unknown
        .iter()
        .map(|said| Asked {
            at: said.user.at,
            value: said.user.value.id,
        })
        .collect();
    if is_last {
        recheck::add(tx, &unsure).await?;
        return Ok(BTreeSet::new());
    }
    Ok(unsure.into_iter().map(|user| user.value).collect())
}

/// The requested groups, with those of their parent groups that the mirror holds.
fn rungs(ladder: &ParentGroups, held: &BTreeSet<Uuid>) -> MembershipsOf {
    let mut memberships = MembershipsOf::default();
    for (group, parents) in ladder.to_store() {
        let at = parents.at;
        if parents.value.unreadable == 0 {
            memberships.users.push(Asked { at, value: group });
        }
        let joined = parents.value.items.iter().filter(|parent| held.contains(parent));
        memberships.joined.extend(joined.map(|parent| Asked {
            at,
            value: (group, *parent),
        }));
    }
    memberships
}

/// The users' memberships in groups that the mirror holds.
fn memberships(said: &[&UserFacts], held: &BTreeSet<Uuid>) -> MembershipsOf {
    let mut memberships = MembershipsOf::default();
    for said in said {
        let (id, at) = (said.user.value.id, said.groups.at);
        if said.is_whole() {
            memberships.users.push(Asked { at, value: id });
        }
        let joined = said.groups.value.items.iter().filter(|group| held.contains(group));
        memberships.joined.extend(joined.map(|group| Asked {
            at,
            value: (id, *group),
        }));
    }
    memberships
}

/// The roles a user holds, directly or through a role-assignable group, which cannot be nested. As old as the older of
/// the two answers.
fn admin_roles(said: &UserFacts, held: &RoleHolders) -> Asked<(Uuid, AdminRoles)> {
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
            said.groups.value.items.contains(&principal.id) || held.through_missing.contains(&(principal.id, id));
        if principal.id == id || through_group {
            holds.insert(*role);
        }
    }
    Asked {
        at: assignments.at.min(said.groups.at),
        value: (id, holds),
    }
}
