//! Administrator roles: active, tenant-wide assignments, direct or through a role-assignable group. There is
//! no feed for them, so all are read and the difference is what changed. A group that is suddenly empty is doubted.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Problem, PullError, survive};
use crate::domain::feed::{AdminRole, Next, Principal, PrincipalKind};
use crate::rules::AdminRoles;
use crate::store::lease::Lease;
use crate::store::{checkpoints, groups, pending};
use crate::sync::{Engine, SyncError};

const SOURCE: &str = "roles";

impl Engine {
    /// Reads who holds one of the three roles.
    pub(super) async fn pull_roles(&self, lease: &Lease) -> Result<Result<(), Problem>, SyncError> {
        let result = self.read_roles(lease).await;
        survive(SOURCE, result)
    }

    async fn read_roles(&self, lease: &Lease) -> Result<(), PullError> {
        let mut holders: BTreeMap<Uuid, AdminRoles> = BTreeMap::new();
        let mut members: HashMap<Uuid, Vec<Principal>> = HashMap::new();
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
                            Entry::Vacant(unknown) => unknown.insert(self.list_members(id).await?),
                        };
                        // Role-assignable groups cannot be nested: one level is complete.
                        for member in members.iter().filter(|member| member.kind == PrincipalKind::User) {
                            holders.entry(member.id).or_default().insert(role);
                        }
                    }
                    PrincipalKind::Other => {}
                }
            }
        }
        let sizes: BTreeMap<Uuid, usize> = members.iter().map(|(group, members)| (*group, members.len())).collect();
        let mut tx = self.begin(lease).await?;
        let mut checkpoint = checkpoints::read(&mut tx, SOURCE).await?;
        if let Some(doubt) = emptied(&sizes, checkpoint.value.take()) {
            checkpoint.doubt = Some(doubt);
        }
        checkpoint.value = Some(serde_json::json!(sizes));
        let changed = groups::set_roles(&mut tx, &holders).await?;
        pending::mark(&mut tx, &self.settings.names(), &changed).await?;
        checkpoint.reached_at = Some(self.clock.now());
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn list_members(&self, group: Uuid) -> Result<Vec<Principal>, PullError> {
        let mut members = Vec::new();
        let mut at = None;
        loop {
            self.check_cancelled()?;
            let page = self.graph.group_members(group, at.as_ref()).await?;
            members.extend(page.items);
            match page.next {
                Next::Page(link) => at = Some(link),
                Next::Delta(_) | Next::End => return Ok(members),
            }
        }
    }
}

/// Why the roles are in doubt: a role-assignable group that had members comes back without any. `before` is how many
/// each had when they were last read.
fn emptied(sizes: &BTreeMap<Uuid, usize>, before: Option<serde_json::Value>) -> Option<String> {
    let before: BTreeMap<Uuid, usize> = serde_json::from_value(before?).ok()?;
    sizes.iter().filter(|(_, size)| **size == 0).find_map(|(group, _)| {
        let had = before.get(group).filter(|had| **had > 0)?;
        Some(format!(
            "roles: the listing of the role-assignable group {group} came back empty, where it had {had} members"
        ))
    })
}
