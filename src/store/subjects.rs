//! What the mirror knows of some users, as seen by one environment: roles and group relation.

use std::collections::HashMap;

use uuid::Uuid;

use super::groups::Within;
use super::{Connection, StoreResult};
use crate::rules::{AdminRoles, GroupRelation};

/// Roles and relation of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectFacts {
    /// Administrator roles.
    pub roles: AdminRoles,
    /// Relation to the security group.
    pub relation: GroupRelation,
}

impl Default for SubjectFacts {
    fn default() -> Self {
        Self {
            roles: AdminRoles::default(),
            relation: GroupRelation::None,
        }
    }
}

/// Reads the roles of some users and their relation to a security group, by `within` ([`super::groups::within`]).
/// Leaves out users with neither. `nested_first` as in rules.md: under full nesting a nested member counts as a member
/// before ownership is checked.
pub async fn read(
    db: &mut Connection,
    ids: &[Uuid],
    group: Option<Uuid>,
    within: &[Within],
    nested_first: bool,
) -> StoreResult<HashMap<Uuid, SubjectFacts>> {
    let mut standings: HashMap<Uuid, SubjectFacts> = HashMap::new();
    let holders = sqlx::query!(
        "select object_id, global, power_platform, dynamics_365 from directory_role_member
         where object_id = any($1)",
        ids
    )
    .fetch_all(&mut *db)
    .await?;
    for holder in holders {
        standings.entry(holder.object_id).or_default().roles = AdminRoles {
            global: holder.global,
            power_platform: holder.power_platform,
            dynamics_365: holder.dynamics_365,
        };
    }
    let Some(group) = group else { return Ok(standings) };
    let groups: Vec<Uuid> = within.iter().map(|within| within.id).collect();
    let relations = sqlx::query!(
        r#"select object_id as "object_id!", bool_or(is_member and group_id = $2) as "member!",
                  bool_or(is_owner and group_id = $2) as "owner!", bool_or(is_member and group_id <> $2) as "nested!"
           from unnest($1::uuid[]) as wanted (id) cross join unnest($3::uuid[]) as within (id)
           cross join lateral (
               select object_id, group_id, is_member, is_owner from directory_membership
               where group_id = within.id and object_id = wanted.id limit 1) as found
           group by object_id"#,
        ids,
        group,
        &groups
    )
    .fetch_all(db)
    .await?;
    for row in relations {
        standings.entry(row.object_id).or_default().relation = match (row.member, row.owner, row.nested) {
            (true, _, _) => GroupRelation::Member,
            (false, _, true) if nested_first => GroupRelation::NestedOnly,
            (false, true, _) => GroupRelation::OwnerOnly,
            (false, false, true) => GroupRelation::NestedOnly,
            (false, false, false) => GroupRelation::None,
        };
    }
    Ok(standings)
}
