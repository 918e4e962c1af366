//! Groups within groups.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{Connection, StoreResult};

/// A security group, or one nested in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The group.
    pub id: Uuid,
    /// Whether the last reading could read it.
    pub is_readable: bool,
    /// The time up to which its members are known.
    pub reached_at: Option<DateTime<Utc>>,
}

/// Some security groups, each with whether its nested groups count: the group itself and, if they do, those at any
/// depth, with what is known of each.
pub async fn within(
    db: &mut Connection,
    roots: &BTreeSet<(Uuid, bool)>,
) -> StoreResult<HashMap<(Uuid, bool), Vec<Within>>> {
    let mut within: HashMap<(Uuid, bool), Vec<Within>> = HashMap::new();
    if roots.is_empty() {
        return Ok(within);
    }
    let (groups, nested): (Vec<Uuid>, Vec<bool>) = roots.iter().copied().unzip();
    let found = sqlx::query!(
        r#"with recursive within (root, nested, id) as (
               select root, nested, root from unnest($1::uuid[], $2::boolean[]) as r (root, nested)
               union
               select w.root, w.nested, m.object_id from within w
               -- Group by group: the planner assumes many groups, and would read all memberships.
               cross join lateral (
                   select object_id from directory_membership where group_id = w.id and is_group and is_member offset 0) m
               where w.nested
           )
           select root as "root!", nested as "nested!", id as "id!", coalesce(readable, false) as "is_readable!",
                  reached_at as "reached_at?"
           from within left join checkpoint on source = 'group:' || id"#,
        &groups,
        &nested
    )
    .fetch_all(db)
    .await?;
    for row in found {
        within.entry((row.root, row.nested)).or_default().push(Within {
            id: row.id,
            is_readable: row.is_readable,
            reached_at: row.reached_at,
        });
    }
    Ok(within)
}

/// The nested groups of each of some groups, at any depth, without the group itself, ordered by id.
pub async fn nested_groups(db: &mut Connection, roots: &[Uuid]) -> StoreResult<HashMap<Uuid, Vec<Uuid>>> {
    let mut nested: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    if roots.is_empty() {
        return Ok(nested);
    }
    let found = sqlx::query!(
        r#"with recursive nested (root, id) as (
               select group_id, object_id from directory_membership
               where group_id = any($1) and is_group and is_member
               union
               select n.root, m.object_id from nested n
               join directory_membership m on m.group_id = n.id and m.is_group and m.is_member
           )
           select root as "root!", id as "id!" from nested where id <> root order by root, id"#,
        roots
    )
    .fetch_all(db)
    .await?;
    for row in found {
        nested.entry(row.root).or_default().push(row.id);
    }
    Ok(nested)
}
