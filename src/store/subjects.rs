//! What the mirror knows of some users, as the rules need it: roles and group relation.

use std::collections::HashMap;

use uuid::Uuid;

use super::groups::Within;
use super::{Connection, StoreResult};
use crate::rules::{AdminRoles, GroupRelation};

/// The administrator roles of some users. Leaves out users without any.
pub async fn roles(db: &mut Connection, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, AdminRoles>> {
    let holders = sqlx::query!(
        "select object_id, global, power_platform, dynamics_365 from directory_role_member
         where object_id = any($1)",
        ids
    )
    .fetch_all(db)
    .await?;
    let roles = holders.into_iter().map(|holder| {
        let roles = AdminRoles {
            global: holder.global,
            power_platform: holder.power_platform,
            dynamics_365: holder.dynamics_365,
        };
        (holder.object_id, roles)
    });
    Ok(roles.collect())
}

/// Users whose relation to a security group is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The group.
    pub group: Uuid,
    /// The group and the groups within it that count ([`super::groups::within`]).
    pub within: &'a [Within],
    /// As in rules.md: under full nesting a nested member counts as a member before ownership is checked.
    pub nested_first: bool,
    /// The users.
    pub ids: &'a [Uuid],
}

/// The relations of users to security groups, by position of the gate. Leaves out users without any.
pub async fn relations(db: &mut Connection, gates: &[Gate<'_>]) -> StoreResult<HashMap<(usize, Uuid), GroupRelation>> {
    if gates.is_empty() {
        return Ok(HashMap::new());
    }
    let users = gates.iter().zip(0_i32..);
    let users = users.flat_map(|(gate, at)| gate.ids.iter().map(move |id| (at, *id)));
    let (user_gates, users): (Vec<i32>, Vec<Uuid>) = users.unzip();
    let roots: Vec<Uuid> = gates.iter().map(|gate| gate.group).collect();
    // The groups of all gates in a row, and where those of each gate end.
    let groups: Vec<Uuid> = gates
        .iter()
        .flat_map(|gate| gate.within)
        .map(|within| within.id)
        .collect();
    let mut end = 0;
    let ends = gates.iter().map(|gate| {
        end += gate.within.len();
        i32::try_from(end).unwrap_or(i32::MAX)
    });
    let ends: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let found = sqlx::query!(
        r#"select gate as "gate!", object_id as "object_id!", bool_or(is_member and is_root) as "member!",
                  bool_or(is_owner and is_root) as "owner!", bool_or(is_member and not is_root) as "nested!"
           from unnest($1::integer[], $2::uuid[]) as wanted (gate, id)
           cross join lateral unnest(
               ($4::uuid[])[($5::integer[])[wanted.gate + 1] + 1 : ($5::integer[])[wanted.gate + 2]]) as within (id)
           cross join lateral (
               select object_id, group_id = ($3::uuid[])[wanted.gate + 1] as is_root, is_member, is_owner
               from directory_membership where group_id = within.id and object_id = wanted.id limit 1) as found
           group by gate, object_id"#,
        &user_gates,
        &users,
        &roots,
        &groups,
        &ends
    )
    .fetch_all(db)
    .await?;
    let relations = found.into_iter().map(|row| {
        let at = usize::try_from(row.gate).unwrap_or_default();
        let nested_first = gates.get(at).is_some_and(|gate| gate.nested_first);
        let relation = match (row.member, row.owner, row.nested) {
            (true, _, _) => GroupRelation::Member,
            (false, _, true) if nested_first => GroupRelation::NestedOnly,
            (false, true, _) => GroupRelation::OwnerOnly,
            (false, false, true) => GroupRelation::NestedOnly,
            (false, false, false) => GroupRelation::None,
        };
        ((at, row.object_id), relation)
    });
    Ok(relations.collect())
}
