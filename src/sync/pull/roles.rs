//! Administrator roles: active, tenant-wide assignments, direct or through a role-assignable group. They have no
//! feed, so all are read and compared with the last reading. A group that is suddenly empty is doubted if its members
//! contradict that; a group that does not exist gives the role to no one (rules.md, section 2).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Puller;
use super::{Problem, PullError, survive};
use crate::domain::doubt::Doubt;
use crate::domain::feed::checkpoint::Checkpoint;
use crate::domain::feed::{AdminRole, Asked, Listed, Moment, Principal, PrincipalKind};
use crate::domain::source::Source;
use crate::graph::GraphError;
use crate::rules::AdminRoles;
use crate::store::lease::Lease;
use crate::store::{administrators, checkpoints, mirror, pending};
use crate::sync::Failure;

const SOURCE: Source = Source::Roles;

/// A tenant always has an administrator. A single one may be between two activations; if several lose the role at once
/// and no one is left, the reading is probably at fault.
const NOBODY_COUNTS_FROM: usize = 2;

/// After a group was first found missing, its members keep the role this long, in case it is only temporarily
/// invisible.
const KEEPS_ROLE_FOR: TimeDelta = TimeDelta::minutes(15);

/// The stored state of principals that are groups, kept with the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct RoleGroups {
    /// Groups that do not exist.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    orphans: BTreeMap<Uuid, Orphan>,
    /// The role holders through each of the other groups, or still through a missing one.
    #[serde(flatten)]
    members: BTreeMap<Uuid, BTreeSet<Uuid>>,
}

/// A principal that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Orphan {
    /// When it was first found missing.
    since: DateTime<Utc>,
    /// The roles assigned to it.
    roles: BTreeSet<String>,
}

impl RoleGroups {
    /// The state that the last reading stored.
    pub(in crate::sync) fn of(checkpoint: &Checkpoint) -> Self {
        let known = checkpoint.value.clone();
        known
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default()
    }

    /// Whether a user was in a group at the last reading.
    pub(in crate::sync) fn has_member(&self, group: Uuid, user: Uuid) -> bool {
        self.members.get(&group).is_some_and(|members| members.contains(&user))
    }

    /// Whether a group was missing at the last reading.
    pub(in crate::sync) fn is_missing(&self, group: Uuid) -> bool {
        self.orphans.contains_key(&group)
    }

    /// Stores the reading of a group (none if it does not exist), given the earlier state. Returns the holders of its
    /// role, and the former holders after it has been missing for long enough.
    fn take(
        &mut self,
        before: &Self,
        (group, role): (Uuid, AdminRole),
        listed: Option<&Listed<Principal>>,
        now: DateTime<Utc>,
    ) -> (BTreeSet<Uuid>, BTreeSet<Uuid>) {
        let known = before.members.get(&group).cloned().unwrap_or_default();
        let (members, lapsed) = if let Some(listed) = listed {
            // Role-assignable groups cannot be nested: one level is complete.
            let users = listed.items.iter().filter(|member| member.kind.may_be_user());
            let mut members: BTreeSet<Uuid> = users.map(|member| member.id).collect();
            if listed.unreadable > 0 {
                members.extend(known);
            }
            (members, BTreeSet::new())
        } else {
            let since = before.orphans.get(&group).map_or(now, |orphan| orphan.since);
            let orphan = self.orphans.entry(group).or_insert(Orphan {
                since,
                roles: BTreeSet::new(),
            });
            orphan.roles.insert(role.name().to_owned());
            if now - since >= KEEPS_ROLE_FOR {
                return (BTreeSet::new(), known);
            }
            (known, BTreeSet::new())
        };
        self.members.insert(group, members.clone());
        (members, lapsed)
    }
}

/// The directory's answer on role holders.
#[derive(Debug, Default)]
struct RoleReading {
    asked: Option<Moment>,
    holders: BTreeMap<Uuid, AdminRoles>,
    groups: RoleGroups,
    any_application: bool,
    /// Users who no longer hold a role because the group is missing.
    lapsed: BTreeSet<Uuid>,
    /// Assignments that could not be read.
    unreadable: usize,
    /// Members of groups that could not be read.
    unreadable_members: usize,
}

impl Puller {
    /// Reads the holders of the three roles. Returns the number of entries that could not be read.
    pub(super) async fn pull_roles(&self, lease: &Lease) -> Result<Result<usize, Problem>, Failure> {
        let result = self.read_roles(lease).await;
        survive(SOURCE, result)
    }

    /// The assignments whose principal does not exist, according to the last reading.
    pub(super) async fn orphaned_roles(&self) -> Result<Vec<(Uuid, String)>, Failure> {
        let known = RoleGroups::of(&self.read_checkpoint(SOURCE).await?);
        let orphans = known.orphans.into_iter().map(|(id, orphan)| {
            let roles = orphan.roles.into_iter().collect::<Vec<_>>().join(" and ");
            let detail = format!(
                "{roles} is assigned to {id}, which does not exist: nobody holds the role through it; remove the \
                 assignment in Entra ID, or restore the group"
            );
            (id, detail)
        });
        Ok(orphans.collect())
    }

    async fn read_roles(&self, lease: &Lease) -> Result<usize, PullError> {
        let mut checkpoint = self.read_checkpoint(SOURCE).await?;
        let before = RoleGroups::of(&checkpoint);
        let mut reading = self.read_assignments(&before).await?;
        let emptied = self.contradicted(&reading.groups.members, &before.members).await?;
        if let Some((group, had)) = &emptied {
            // The members' own answer counts for the next reading, too.
            reading.groups.members.insert(*group, had.clone());
        }
        checkpoint.value = Some(serde_json::json!(reading.groups));
        let is_nobody = reading.holders.is_empty() && !reading.any_application;
        let holders = Asked {
            at: reading.asked.unwrap_or_default(),
            value: reading.holders,
        };
        let mut tx = self.base.begin(lease).await?;
        let changed = administrators::replace(&mut tx, &holders, reading.unreadable == 0).await?;
        let lost = changed.iter().filter(|id| !reading.lapsed.contains(id)).count();
        if let Some((group, had)) = emptied {
            let had = had.len();
            checkpoint.doubt = Some(Doubt::RoleGroupEmpty { group, had });
        } else if !is_nobody {
            checkpoint.trust();
        } else if lost >= NOBODY_COUNTS_FROM {
            checkpoint.doubt = Some(Doubt::NoAdministrator { had: lost });
        }
        pending::mark(&mut tx, &self.base.settings.names(), &changed).await?;
        checkpoint.reached_at = Some(self.base.clock.now());
        checkpoints::write(&mut tx, &[checkpoint]).await?;
        tx.commit().await?;
        Ok(reading.unreadable + reading.unreadable_members)
    }

    /// Reads every assignment, and the members of the groups among the principals.
    async fn read_assignments(&self, before: &RoleGroups) -> Result<RoleReading, PullError> {
        let (graph, now) = (self.directory(), self.base.clock.now());
        let mut reading = RoleReading::default();
        let mut groups: BTreeMap<Uuid, Option<Listed<Principal>>> = BTreeMap::new();
        for role in AdminRole::ALL {
            let assignments = graph.role_assignments(role).await?;
            reading.asked.get_or_insert(assignments.at);
            reading.unreadable += assignments.value.unreadable;
            let tenant_wide = assignments.value.items.into_iter().filter(|one| one.tenant_wide);
            for Principal { id, kind } in tenant_wide.map(|assignment| assignment.principal) {
                if !matches!(kind, PrincipalKind::Group | PrincipalKind::Unknown) {
                    reading.any_application |= kind == PrincipalKind::Other;
                    if kind == PrincipalKind::User {
                        reading.holders.entry(id).or_default().insert(role);
                    }
                    continue;
                }
                let listed = match groups.entry(id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => {
                        let listed = match graph.all_group_members(id).await {
                            Ok(listed) => Some(listed.value),
                            Err(GraphError::NotFound { .. }) => None,
                            Err(error) => return Err(error.into()),
                        };
                        reading.unreadable_members += listed.as_ref().map_or(0, |listed| listed.unreadable);
                        unknown.insert(listed)
                    }
                };
                let may_be_group = kind == PrincipalKind::Group || before.members.contains_key(&id);
                if listed.is_none() && !may_be_group && self.may_be_user(id).await? {
                    reading.holders.entry(id).or_default().insert(role);
                    continue;
                }
                let (members, lapsed) = reading.groups.take(before, (id, role), listed.as_ref(), now);
                for member in members {
                    reading.holders.entry(member).or_default().insert(role);
                }
                reading.lapsed.extend(lapsed);
            }
        }
        Ok(reading)
    }

    /// Whether an otherwise unknown principal is a user: the mirror has it, or has no users yet.
    async fn may_be_user(&self, id: Uuid) -> Result<bool, Failure> {
        let users = self.read_checkpoint(Source::Users).await?;
        let mut db = self.base.store.read().await?;
        Ok(users.reached_at.is_none() || mirror::read_users(&mut db, &[id]).await?.contains_key(&id))
    }

    /// Role-assignable groups that had members and are now listed as empty, although one member still reports the
    /// membership: two sources disagree. No feed would report the users who left.
    async fn contradicted(
        &self,
        listed: &BTreeMap<Uuid, BTreeSet<Uuid>>,
        before: &BTreeMap<Uuid, BTreeSet<Uuid>>,
    ) -> Result<Option<(Uuid, BTreeSet<Uuid>)>, PullError> {
        for (group, _) in listed.iter().filter(|(_, members)| members.is_empty()) {
            let Some(had) = before.get(group) else { continue };
            for member in had {
                match self.directory().user_member_of(*member).await {
                    // Absence from data that cannot be read in full is not evidence.
                    Ok(groups)
                        if groups.value.unreadable > 0 || groups.value.items.iter().any(|of| of.id == *group) =>
                    {
                        return Ok(Some((*group, had.clone())));
                    }
                    // Deleted, or not a user.
                    Ok(_) | Err(GraphError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Uuid = Uuid::from_u128(0x96);
    const ADA: Uuid = Uuid::from_u128(0xada);
    const BEA: Uuid = Uuid::from_u128(0xbea);

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn listed(ids: &[Uuid], unreadable: usize) -> Listed<Principal> {
        let member = |id: &Uuid| Principal {
            id: *id,
            kind: PrincipalKind::User,
        };
        Listed {
            items: ids.iter().map(member).collect(),
            unreadable,
        }
    }

    /// The role holders after each reading of the group, given its minute and members; none if it does not exist.
    fn holders(readings: &[(i64, Option<Listed<Principal>>)]) -> Vec<Vec<Uuid>> {
        let mut before = RoleGroups::default();
        let mut holders = Vec::new();
        for (minute, listed) in readings {
            let mut groups = RoleGroups::default();
            let of = (GROUP, AdminRole::PowerPlatform);
            let (members, _) = groups.take(&before, of, listed.as_ref(), at(*minute));
            holders.push(members.into_iter().collect());
            let stored = serde_json::json!(groups);
            before = serde_json::from_value(stored).unwrap();
        }
        holders
    }

    #[test]
    fn members_of_a_missing_group_keep_the_role_until_it_was_missing_twice_15_minutes_apart() {
        let (ada, nobody) = (vec![ADA], Vec::new());
        let there = || Some(listed(&[ADA], 0));
        let cases = [
            (vec![(0, there()), (60, None)], vec![&ada, &ada]),
            (
                vec![(0, there()), (60, None), (74, None), (75, None), (76, None)],
                vec![&ada, &ada, &ada, &nobody, &nobody],
            ),
            (
                vec![
                    (0, there()),
                    (60, None),
                    (70, there()),
                    (75, None),
                    (89, None),
                    (90, None),
                ],
                vec![&ada, &ada, &ada, &ada, &ada, &nobody],
            ),
            (vec![(0, None), (60, None), (70, there())], vec![&nobody, &nobody, &ada]),
        ];
        for (readings, expected) in cases {
            let found = holders(&readings);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{readings:?}");
        }
    }

    #[test]
    fn nobody_is_missing_from_a_listing_with_an_entry_that_cannot_be_read() {
        let found = holders(&[
            (0, Some(listed(&[ADA], 0))),
            (1, Some(listed(&[BEA], 1))),
            (2, Some(listed(&[BEA], 0))),
        ]);
        assert_eq!(found, [vec![ADA], vec![ADA, BEA], vec![BEA]]);
    }

    #[test]
    fn what_an_earlier_version_has_left_is_understood() {
        let before: RoleGroups = serde_json::from_value(serde_json::json!({ GROUP.to_string(): [ADA] })).unwrap();
        assert_eq!(before.members, BTreeMap::from([(GROUP, BTreeSet::from([ADA]))]));
    }
}
