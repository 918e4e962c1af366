//! The mirror of group members, group owners and role holders.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Principal, PrincipalKind};
use crate::rules::AdminRoles;

/// Adds members; returns the ids for which this is news. In a listing, who is a member already is marked as seen.
///
/// # Errors
/// When the database does not answer.
pub async fn add_members(
    db: &mut Connection,
    group: Uuid,
    members: &[Principal],
    round: i64,
    is_listing: bool,
) -> StoreResult<Vec<Uuid>> {
    let wanted: Vec<_> = members
        .iter()
        .filter(|member| member.kind != PrincipalKind::Other)
        .collect();
    let ids: Vec<_> = wanted.iter().map(|member| member.id).collect();
    let are_groups: Vec<_> = wanted
        .iter()
        .map(|member| member.kind == PrincipalKind::Group)
        .collect();
    let news = sqlx::query_scalar!(
        "insert into rollcall.directory_group_member as m (group_id, object_id, is_group, is_member, seen_round)
         select distinct on (id) $1, id, is_group, true, $4::bigint
         from unnest($2::uuid[], $3::boolean[]) as u (id, is_group)
         on conflict (group_id, object_id) do update set
             is_member = true, is_group = excluded.is_group, seen_round = excluded.seen_round
         where not m.is_member
         returning object_id",
        group,
        &ids,
        &are_groups,
        round
    )
    .fetch_all(&mut *db)
    .await?;
    if is_listing && news.len() < ids.len() {
        sqlx::query!(
            "update rollcall.directory_group_member set seen_round = $3
             where group_id = $1 and object_id = any($2) and seen_round <> $3",
            group,
            &ids,
            round
        )
        .execute(db)
        .await?;
    }
    Ok(news)
}

/// Takes members away; returns the ids for which this is news.
///
/// # Errors
/// When the database does not answer.
pub async fn remove_members(db: &mut Connection, group: Uuid, ids: &[Uuid]) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "update rollcall.directory_group_member set is_member = false
         where group_id = $1 and object_id = any($2) and is_member returning object_id",
        group,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// Notes users who came back from deletedItems, so that their groups are asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn note_returned(db: &mut Connection, ids: &[Uuid]) -> StoreResult<()> {
    if !ids.is_empty() {
        sqlx::query!(
            "insert into rollcall.directory_returned select * from unnest($1::uuid[]) on conflict do nothing",
            ids
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// The users whose groups have to be asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn returned(db: &mut Connection) -> StoreResult<Vec<Uuid>> {
    Ok(
        sqlx::query_scalar!("select object_id from rollcall.directory_returned order by object_id")
            .fetch_all(db)
            .await?,
    )
}

/// The groups that the mirror follows, or followed and may go on with: whoever is missing from one stays so.
///
/// # Errors
/// When the database does not answer.
pub async fn followed(db: &mut Connection) -> StoreResult<Vec<Uuid>> {
    let sources = sqlx::query_scalar!("select source from rollcall.checkpoint where source like 'group:%'")
        .fetch_all(db)
        .await?;
    Ok(sources
        .iter()
        .filter_map(|source| Uuid::parse_str(source.strip_prefix("group:")?).ok())
        .collect())
}

/// Takes in the groups of some users, as pairs of user and group: of the groups `read`, those and no others. Returns
/// the users for whom this is news.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_members(
    db: &mut Connection,
    users: &[Uuid],
    read: &[Uuid],
    joined: &[(Uuid, Uuid)],
) -> StoreResult<Vec<Uuid>> {
    sqlx::query!(
        "delete from rollcall.directory_returned where object_id = any($1)",
        users
    )
    .execute(&mut *db)
    .await?;
    let (joiners, joined): (Vec<Uuid>, Vec<Uuid>) = joined.iter().copied().unzip();
    let mut news = sqlx::query_scalar!(
        "update rollcall.directory_group_member m set is_member = false
         where object_id = any($1) and group_id = any($2) and is_member and not exists (
             select from unnest($3::uuid[], $4::uuid[]) as j (object_id, group_id)
             where j.object_id = m.object_id and j.group_id = m.group_id)
         returning object_id",
        users,
        read,
        &joiners,
        &joined
    )
    .fetch_all(&mut *db)
    .await?;
    let won = sqlx::query_scalar!(
        "insert into rollcall.directory_group_member as m (group_id, object_id, is_member)
         select distinct group_id, object_id, true from unnest($1::uuid[], $2::uuid[]) as j (object_id, group_id)
         order by 1, 2
         on conflict (group_id, object_id) do update set is_member = true where not m.is_member
         returning object_id",
        &joiners,
        &joined
    )
    .fetch_all(db)
    .await?;
    news.extend(won);
    Ok(news)
}

/// Of which of some groups some users are direct members: user and group.
///
/// # Errors
/// When the database does not answer.
pub async fn memberships(db: &mut Connection, users: &[Uuid], among: &[Uuid]) -> StoreResult<Vec<(Uuid, Uuid)>> {
    Ok(sqlx::query!(
        r#"select object_id as "object_id!", group_id as "group_id!"
           from unnest($1::uuid[]) as wanted (id) cross join unnest($2::uuid[]) as within (id)
           cross join lateral (
               select object_id, group_id from rollcall.directory_group_member
               where group_id = within.id and object_id = wanted.id and is_member limit 1) as found"#,
        users,
        among
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.object_id, row.group_id))
    .collect())
}

/// After a complete listing: whoever was not listed is no member. Returns them. Soft-deleted users keep
/// their memberships in the directory although they may not be listed, so they keep them here.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep_members(db: &mut Connection, group: Uuid, round: i64) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "update rollcall.directory_group_member m set is_member = false
         where group_id = $1 and is_member and seen_round < $2
           and not exists (select from rollcall.directory_user u where u.id = m.object_id and u.state = 1)
         returning object_id",
        group,
        round
    )
    .fetch_all(db)
    .await?)
}

/// Replaces the owners; returns the ids for which something changed.
///
/// # Errors
/// When the database does not answer.
pub async fn set_owners(db: &mut Connection, group: Uuid, owners: &[Principal]) -> StoreResult<Vec<Uuid>> {
    let ids: Vec<_> = owners
        .iter()
        .filter(|owner| owner.kind == PrincipalKind::User)
        .map(|owner| owner.id)
        .collect();
    let lost = sqlx::query_scalar!(
        "update rollcall.directory_group_member set is_owner = false
         where group_id = $1 and is_owner and object_id <> all($2) returning object_id",
        group,
        &ids
    )
    .fetch_all(&mut *db)
    .await?;
    let won = sqlx::query_scalar!(
        "insert into rollcall.directory_group_member as m (group_id, object_id, is_owner)
         select distinct $1::uuid, id, true from unnest($2::uuid[]) as u (id)
         on conflict (group_id, object_id) do update set is_owner = true where not m.is_owner
         returning object_id",
        group,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(lost.into_iter().chain(won).collect())
}

/// Whether any of some objects that are or were members of a group is a group itself.
///
/// # Errors
/// When the database does not answer.
pub async fn any_group_among(db: &mut Connection, group: Uuid, members: &[Uuid]) -> StoreResult<bool> {
    if members.is_empty() {
        return Ok(false);
    }
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from rollcall.directory_group_member
               where group_id = $1 and object_id = any($2) and is_group) as "any!""#,
        group,
        members
    )
    .fetch_one(db)
    .await?)
}

/// The groups within a group, at any depth, without the group itself.
///
/// # Errors
/// When the database does not answer.
pub async fn nested_groups(db: &mut Connection, group: Uuid) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"with recursive nested (id) as (
               select object_id from rollcall.directory_group_member
               where group_id = $1 and is_group and is_member
               union
               select m.object_id from nested n
               join rollcall.directory_group_member m on m.group_id = n.id and m.is_group and m.is_member
           )
           select id as "id!" from nested where id <> $1"#,
        group
    )
    .fetch_all(db)
    .await?)
}

/// Takes in the administrator roles of some users; returns those for whom this is news.
///
/// # Errors
/// When the database does not answer.
pub async fn set_roles_of(db: &mut Connection, users: &[(Uuid, AdminRoles)]) -> StoreResult<Vec<Uuid>> {
    let (holders, others): (Vec<_>, Vec<_>) = users.iter().partition(|(_, roles)| roles.any());
    let others: Vec<Uuid> = others.into_iter().map(|(id, _)| id).collect();
    let mut news = sqlx::query_scalar!(
        "delete from rollcall.directory_role_member where object_id = any($1) returning object_id",
        &others
    )
    .fetch_all(&mut *db)
    .await?;
    let set = sqlx::query_scalar!(
        "insert into rollcall.directory_role_member as r
         select * from unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::boolean[])
         on conflict (object_id) do update set
             global = excluded.global, power_platform = excluded.power_platform, dynamics_365 = excluded.dynamics_365
         where (r.global, r.power_platform, r.dynamics_365)
             <> (excluded.global, excluded.power_platform, excluded.dynamics_365)
         returning object_id",
        &holders.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &holders.iter().map(|(_, roles)| roles.global).collect::<Vec<_>>(),
        &holders
            .iter()
            .map(|(_, roles)| roles.power_platform)
            .collect::<Vec<_>>(),
        &holders.iter().map(|(_, roles)| roles.dynamics_365).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    news.extend(set);
    Ok(news)
}

/// Replaces the holders of administrator roles; returns the ids for which something changed.
///
/// # Errors
/// When the database does not answer.
pub async fn set_roles(db: &mut Connection, holders: &BTreeMap<Uuid, AdminRoles>) -> StoreResult<Vec<Uuid>> {
    let known: HashMap<Uuid, AdminRoles> =
        sqlx::query!("select object_id, global, power_platform, dynamics_365 from rollcall.directory_role_member")
            .fetch_all(&mut *db)
            .await?
            .into_iter()
            .map(|row| {
                let roles = AdminRoles {
                    global: row.global,
                    power_platform: row.power_platform,
                    dynamics_365: row.dynamics_365,
                };
                (row.object_id, roles)
            })
            .collect();
    let lost: Vec<Uuid> = known.keys().filter(|id| !holders.contains_key(id)).copied().collect();
    let changed: Vec<(Uuid, AdminRoles)> = holders
        .iter()
        .filter(|(id, roles)| known.get(id) != Some(roles))
        .map(|(id, roles)| (*id, *roles))
        .collect();
    if !lost.is_empty() {
        sqlx::query!(
            "delete from rollcall.directory_role_member where object_id = any($1)",
            &lost
        )
        .execute(&mut *db)
        .await?;
    }
    if !changed.is_empty() {
        sqlx::query!(
            "insert into rollcall.directory_role_member
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
