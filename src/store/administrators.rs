//! The mirror of administrator roles. A run reads all holders at once, or looks up one user; the later reading wins.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::groups::is_newest;
use super::{Connection, StoreResult, recheck};
use crate::domain::feed::{Asked, Moment};
use crate::rules::AdminRoles;

/// The source name of full readings.
const SOURCE: &str = "roles";

/// Stores the roles of looked-up users, unless the mirror knows something newer: those users go on the recheck list.
/// Returns the users whose roles changed.
pub async fn settle(db: &mut Connection, users: &[Asked<(Uuid, AdminRoles)>]) -> StoreResult<Vec<Uuid>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    // A full reading waits until this transaction ends, or is already stored.
    let read = sqlx::query_scalar!(
        "select asked from directory_reading where source = $1 for share",
        SOURCE
    )
    .fetch_one(&mut *db)
    .await?;
    let (users, older): (Vec<_>, Vec<_>) = users
        .iter()
        .copied()
        .partition(|user: &Asked<_>| user.at >= Moment(read));
    let older: Vec<_> = older
        .into_iter()
        .map(|user: Asked<(Uuid, AdminRoles)>| user.map(|(id, _)| id))
        .collect();
    recheck::add(&mut *db, &older).await?;
    let newest = sqlx::query_scalar!(
        "insert into directory_look_up as l (object_id, roles_asked)
         select id, max(asked) from unnest($1::uuid[], $2::bigint[]) as u (id, asked) group by id order by id
         on conflict (object_id) do update set roles_asked = excluded.roles_asked
         where l.roles_asked <= excluded.roles_asked
         returning object_id",
        &users.iter().map(|user| user.value.0).collect::<Vec<_>>(),
        &users.iter().map(|user| user.at.0).collect::<Vec<_>>()
    )
    .fetch_all(&mut *db)
    .await?;
    let newest: HashSet<Uuid> = newest.into_iter().collect();
    let held: BTreeMap<Uuid, AdminRoles> = users
        .into_iter()
        .map(|user| user.value)
        .filter(|(id, _)| newest.contains(id))
        .collect();
    let ids: Vec<Uuid> = held.keys().copied().collect();
    let known = known(&mut *db, Some(&ids)).await?;
    write(db, &known, &held).await
}

/// Replaces all holders by a full reading, unless a later one is stored. Users who were looked up since keep their
/// roles and go on the recheck list. An incomplete reading removes nobody. Returns the ids that changed.
pub async fn replace(
    db: &mut Connection,
    holders: &Asked<BTreeMap<Uuid, AdminRoles>>,
    is_whole: bool,
) -> StoreResult<Vec<Uuid>> {
    if !is_newest(&mut *db, SOURCE, holders.at).await? {
        return Ok(Vec::new());
    }
    let looked_up = sqlx::query_scalar!(
        "select object_id from directory_look_up where roles_asked > $1",
        holders.at.0
    )
    .fetch_all(&mut *db)
    .await?;
    let mut known = known(&mut *db, None).await?;
    let mut held = holders.value.clone();
    if !is_whole {
        for (id, roles) in &known {
            held.entry(*id).or_default().add(*roles);
        }
    }
    let mut older = Vec::new();
    for id in looked_up {
        if known.remove(&id) != held.remove(&id) {
            older.push(Asked {
                at: holders.at,
                value: id,
            });
        }
    }
    recheck::add(&mut *db, &older).await?;
    write(db, &known, &held).await
}

/// The holders among some users, or all holders.
async fn known(db: &mut Connection, among: Option<&[Uuid]>) -> StoreResult<HashMap<Uuid, AdminRoles>> {
    let rows = sqlx::query!(
        "select object_id, global, power_platform, dynamics_365 from directory_role_member
         where $1::uuid[] is null or object_id = any($1)",
        among
    )
    .fetch_all(db)
    .await?;
    let roles = rows.into_iter().map(|row| {
        let roles = AdminRoles {
            global: row.global,
            power_platform: row.power_platform,
            dynamics_365: row.dynamics_365,
        };
        (row.object_id, roles)
    });
    Ok(roles.collect())
}

/// Writes the differences: a user who is not in `held`, or has no role there, has none.
async fn write(
    db: &mut Connection,
    known: &HashMap<Uuid, AdminRoles>,
    held: &BTreeMap<Uuid, AdminRoles>,
) -> StoreResult<Vec<Uuid>> {
    let holds = |id: &Uuid| held.get(id).is_some_and(|roles| roles.any());
    let lost: Vec<Uuid> = known.keys().filter(|id| !holds(id)).copied().collect();
    let changed: Vec<(Uuid, AdminRoles)> = held
        .iter()
        .filter(|(id, roles)| roles.any() && known.get(id) != Some(roles))
        .map(|(id, roles)| (*id, *roles))
        .collect();
    if !lost.is_empty() {
        sqlx::query!("delete from directory_role_member where object_id = any($1)", &lost)
            .execute(&mut *db)
            .await?;
    }
    if !changed.is_empty() {
        sqlx::query!(
            "insert into directory_role_member
             select * from unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::boolean[])
             on conflict (object_id) do update set
                 global = excluded.global, power_platform = excluded.power_platform,
                 dynamics_365 = excluded.dynamics_365",
            &changed.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            &changed.iter().map(|(_, roles)| roles.global).collect::<Vec<_>>(),
            &changed
                .iter()
                .map(|(_, roles)| roles.power_platform)
                .collect::<Vec<_>>(),
            &changed.iter().map(|(_, roles)| roles.dynamics_365).collect::<Vec<_>>(),
        )
        .execute(db)
        .await?;
    }
    Ok(lost.into_iter().chain(changed.into_iter().map(|(id, _)| id)).collect())
}
