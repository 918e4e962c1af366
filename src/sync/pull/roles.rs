//! Administrator roles: active, tenant-wide assignments, direct or through a role-assignable group. There is
//! no feed for them, so all are read and the difference is what changed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Problem, PullError, survive};
use crate::domain::feed::{AdminRole, Principal, PrincipalKind};
use crate::rules::AdminRoles;
use crate::store::lease::Lease;
use crate::store::{StoreError, checkpoints, groups, pending};
use crate::sync::{Engine, SyncError};

const SOURCE: &str = "roles";

/// A tenant always has an administrator. One may be between two activations; that several end at once and leave nobody
/// is rather the fault of the reading.
const NOBODY_COUNTS_FROM: usize = 2;

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
        for role in AdminRole::ALL {
            for assignment in self.graph.role_assignments(role).await? {
                if !assignment.tenant_wide {
                    continue;
                }
                let id = assignment.principal.id;
                match assignment.principal.kind {
                    PrincipalKind::User => holders.entry(id).or_default().insert(role),
                    PrincipalKind::Group => {
                        let members = match members.entry(id) {
                            Entry::Occupied(known) => known.into_mut(),
                            Entry::Vacant(unknown) => unknown.insert(self.graph.all_group_members(id).await?),
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
        let mut tx = self.begin(lease).await?;
        let mut checkpoint = checkpoints::read(&mut tx, SOURCE).await?;
        let changed = groups::set_roles(&mut tx, &holders).await?;
        if !holders.is_empty() || any_application {
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
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}
