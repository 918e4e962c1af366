//! Administrator roles: active, tenant-wide assignments, direct or through a role-assignable group. There is
//! no feed for them, so all are read and the difference is what changed. A group that is suddenly empty is doubted
//! if its members say otherwise.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::{Problem, PullError, survive};
use crate::domain::feed::{AdminRole, Asked, Moment, Principal, PrincipalKind};
use crate::graph::GraphError;
use crate::rules::AdminRoles;
use crate::store::lease::Lease;
use crate::store::{administrators, checkpoints, pending};
use crate::sync::{Engine, SyncError};

const SOURCE: &str = "roles";

/// A tenant always has an administrator. One may be between two activations; that several end at once and leave nobody
/// is rather the fault of the reading.
const NOBODY_COUNTS_FROM: usize = 2;

/// The members of role-assignable groups, as they were listed.
type Listed = BTreeMap<Uuid, BTreeSet<Uuid>>;

impl Engine {
    /// Reads who holds one of the three roles.
    pub(super) async fn pull_roles(&self, lease: &Lease) -> Result<Result<(), Problem>, SyncError> {
        let result = self.read_roles(lease).await;
        survive(SOURCE, result)
    }

    async fn read_roles(&self, lease: &Lease) -> Result<(), PullError> {
        let mut holders: BTreeMap<Uuid, AdminRoles> = BTreeMap::new();
        let mut members: HashMap<Uuid, Vec<Principal>> = HashMap::new();
        let mut any_application = false;
        let graph = self.directory();
        let mut asked: Option<Moment> = None;
        for role in AdminRole::ALL {
            let assignments = graph.role_assignments(role).await?;
            asked.get_or_insert(assignments.at);
            for assignment in assignments.value {
                if !assignment.tenant_wide {
                    continue;
                }
                let id = assignment.principal.id;
                match assignment.principal.kind {
                    PrincipalKind::User => holders.entry(id).or_default().insert(role),
                    PrincipalKind::Group => {
                        let members = match members.entry(id) {
                            Entry::Occupied(known) => known.into_mut(),
                            Entry::Vacant(unknown) => unknown.insert(graph.all_group_members(id).await?.value),
                        };
                        // Role-assignable groups cannot be nested: one level is complete.
                        for member in members.iter().filter(|member| member.kind == PrincipalKind::User) {
                            holders.entry(member.id).or_default().insert(role);
                        }
                    }
                    PrincipalKind::Other => any_application = true,
                }
            }
        }
        let mut checkpoint = self.read_checkpoint(SOURCE).await?;
        let mut listed: Listed = members
            .into_iter()
            .map(|(group, members)| (group, members.iter().map(|member| member.id).collect()))
            .collect();
        let before: Listed = checkpoint
            .value
            .take()
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default();
        let emptied = self.contradicted(&listed, &before).await?;
        if let Some((group, had)) = &emptied {
            // What its members say of it counts for the next reading, too.
            listed.insert(*group, had.clone());
        }
        checkpoint.value = Some(serde_json::json!(listed));
        let is_nobody = holders.is_empty();
        let holders = Asked {
            at: asked.unwrap_or_default(),
            value: holders,
        };
        let mut tx = self.begin(lease).await?;
        let changed = administrators::replace(&mut tx, &holders).await?;
        if let Some((group, had)) = emptied {
            checkpoint.doubt = Some(format!(
                "roles: the listing of the role-assignable group {group} came back empty, where it had {} members who \
                 are still in it by their own account",
                had.len()
            ));
        } else if !is_nobody || any_application {
            checkpoint.trust();
        } else if changed.len() >= NOBODY_COUNTS_FROM {
            checkpoint.doubt = Some(format!(
                "roles: nobody is an administrator any more, where {} had been",
                changed.len()
            ));
        }
        pending::mark(&mut tx, &self.settings.names(), &changed).await?;
        checkpoint.reached_at = Some(self.clock.now());
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A role-assignable group that had members and is listed without any, although one of them still says to be in
    /// it: two sources disagree. There is no feed that would name whoever left.
    async fn contradicted(
        &self,
        listed: &Listed,
        before: &Listed,
    ) -> Result<Option<(Uuid, BTreeSet<Uuid>)>, PullError> {
        for (group, _) in listed.iter().filter(|(_, members)| members.is_empty()) {
            let Some(had) = before.get(group) else { continue };
            for member in had {
                match self.directory().user_member_of(*member).await {
                    Ok(groups) if groups.value.iter().any(|of| of.id == *group) => {
                        return Ok(Some((*group, had.clone())));
                    }
                    // Not there any more, or no user at all.
                    Ok(_) | Err(GraphError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(None)
    }
}
