//! The owners of groups, in the mirror. Each reading of a group's owners is whole.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Listed, Principal};

/// Replaces the owners of some groups, unless a later reading is stored; returns the groups and objects that changed. A
/// reading with unreadable entries removes nobody.
pub async fn set(db: &mut Connection, readings: &[(Uuid, Asked<Listed<Principal>>)]) -> StoreResult<Vec<(Uuid, Uuid)>> {
    let groups: Vec<Uuid> = readings.iter().map(|(group, _)| *group).collect();
    let moments: Vec<i64> = readings.iter().map(|(_, owners)| owners.at.0).collect();
    let newest = sqlx::query_scalar!(
        "insert into directory_reading as r
         select 'owners:' || id, asked from unnest($1::uuid[], $2::bigint[]) as u (id, asked) order by 1
         on conflict (source) do update set asked = excluded.asked where r.asked <= excluded.asked
         returning source",
        &groups,
        &moments
    )
    .fetch_all(&mut *db)
    .await?;
    let newest: HashSet<String> = newest.into_iter().collect();
    let readings = readings
        .iter()
        .filter(|(group, _)| newest.contains(&format!("owners:{group}")));
    let (mut groups, mut are_whole) = (Vec::new(), Vec::new());
    let (mut owned, mut owners) = (Vec::new(), Vec::new());
    for (group, reading) in readings {
        groups.push(*group);
        are_whole.push(reading.value.unreadable == 0);
        for owner in reading.value.items.iter().filter(|owner| owner.kind.may_be_user()) {
            owned.push(*group);
            owners.push(owner.id);
        }
    }
    let changed = sqlx::query!(
        r#"with reading as (select * from unnest($1::uuid[], $2::boolean[]) as r (group_id, is_whole)),
               owner as (select distinct group_id, object_id from unnest($3::uuid[], $4::uuid[]) as o (group_id, object_id)),
               lost as (
                   update directory_group_member m set is_owner = false, was_owner = true
                   from reading r
                   where m.group_id = r.group_id and r.is_whole and m.is_owner and not exists (
                       select from owner o where o.group_id = m.group_id and o.object_id = m.object_id)
                   returning m.group_id, m.object_id),
               won as (
                   insert into directory_group_member as m (group_id, object_id, is_owner)
                   select group_id, object_id, true from owner order by group_id, object_id
                   on conflict (group_id, object_id) do update set is_owner = true where not m.is_owner
                   returning m.group_id, m.object_id)
           select group_id as "group_id!", object_id as "object_id!" from lost union all select * from won"#,
        &groups,
        &are_whole,
        &owned,
        &owners
    )
    .fetch_all(db)
    .await?;
    Ok(changed.into_iter().map(|row| (row.group_id, row.object_id)).collect())
}
