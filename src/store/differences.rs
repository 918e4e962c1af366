//! The list of differences of the verifications in progress: in what a listing differs from the mirror, and whom it
//! omits. Ids alone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Moment, Principal, PrincipalKind};
use crate::domain::source::Source;

/// An object on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The object.
    pub id: Uuid,
    /// Whether it is a group within a group.
    pub is_group: bool,
}

/// Adds objects, each with the moment of the listing that differs.
pub async fn add(db: &mut Connection, source: Source, objects: &[Asked<Difference>]) -> StoreResult<()> {
    if objects.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into directory_difference as d (source, object_id, is_group, asked)
         select $1, id, bool_or(is_group), max(asked)
         from unnest($2::uuid[], $3::boolean[], $4::bigint[]) as u (id, is_group, asked) group by id order by id
         on conflict (source, object_id) do update set asked = excluded.asked",
        source.to_string(),
        &objects.iter().map(|object| object.value.id).collect::<Vec<_>>(),
        &objects.iter().map(|object| object.value.is_group).collect::<Vec<_>>(),
        &objects.iter().map(|object| object.at.0).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Compares members of a group by a listing with the mirror, and changes no membership. Marks those whom the listing
/// confirms, and adds those whom the mirror does not know as members.
pub async fn compare_members(db: &mut Connection, group: Uuid, members: &[Asked<Principal>]) -> StoreResult<()> {
    let members = members
        .iter()
        .filter(|member| member.value.kind != PrincipalKind::Other);
    let members: Vec<_> = members.collect();
    let ids: Vec<Uuid> = members.iter().map(|member| member.value.id).collect();
    let moments: Vec<i64> = members.iter().map(|member| member.at.0).collect();
    let is_group = |member: &&Asked<Principal>| member.value.kind == PrincipalKind::Group;
    let unknown = sqlx::query_scalar!(
        r#"with listed as (
               select id, max(asked) as asked from unnest($2::uuid[], $3::bigint[]) as u (id, asked) group by id),
           confirmed as (
               update directory_group_member m set seen_round = l.asked
               from listed l, directory_membership v
               where m.group_id = $1 and m.object_id = l.id and m.seen_round < l.asked
                 and v.group_id = m.group_id and v.object_id = m.object_id and v.is_member)
           select id as "id!" from listed l where not exists (
               select from directory_membership v where v.group_id = $1 and v.object_id = l.id and v.is_member)"#,
        group,
        &ids,
        &moments
    )
    .fetch_all(&mut *db)
    .await?;
    let unknown: HashSet<Uuid> = unknown.into_iter().collect();
    let differing = members.iter().filter(|member| unknown.contains(&member.value.id));
    let differing = differing.map(|member| Asked {
        at: member.at,
        value: Difference {
            id: member.value.id,
            is_group: is_group(member),
        },
    });
    add(db, Source::Group(group), &differing.collect::<Vec<_>>()).await
}

/// Adds the known users, up to a limit, whom a listing that began at a moment omits, except soft-deleted ones whom deletedItems lists.
/// The moment is that of the directory's answer: whoever the mirror has seen since does not count.
pub async fn add_absent_users(db: &mut Connection, began: Moment, deleted: &[Uuid], limit: i64) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_difference (source, object_id, is_group, asked)
         select $1, id, false, $2 from directory_user
         where seen_round < $2 and state < 2 and not (state = 1 and id = any($3)) order by id limit $4
         on conflict (source, object_id) do nothing",
        Source::Users.to_string(),
        began.0,
        deleted,
        limit
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Adds the known members of a group, up to a limit, whom a listing that began at a moment omits. A soft-deleted user stays a member, and
/// no listing names it.
pub async fn add_absent_members(db: &mut Connection, group: Uuid, began: Moment, limit: i64) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_difference (source, object_id, is_group, asked)
         select $1, m.object_id, m.is_group, $3 from directory_membership v
         join directory_group_member m on m.group_id = v.group_id and m.object_id = v.object_id
         where v.group_id = $2 and v.is_member and m.seen_round < $3
           and not exists (select from directory_user u where u.id = m.object_id and u.state = 1)
         order by m.object_id limit $4
         on conflict (source, object_id) do nothing",
        Source::Group(group).to_string(),
        group,
        began.0,
        limit
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what the mirror knows from a newer answer: the changes have told it meanwhile.
pub async fn remove_told(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!(
        "delete from directory_difference d where
             d.source = $1 and exists (
                 select from directory_user u where u.id = d.object_id and u.seen_round > d.asked)
             or d.source <> $1 and (
                 exists (
                     select from directory_group_member m
                     where d.source = $2 || m.group_id and m.object_id = d.object_id and m.seen_round > d.asked)
                 or exists (
                     select from directory_look_up l where l.object_id = d.object_id and l.groups_asked > d.asked))",
        Source::Users.to_string(),
        "group:"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what contradicts a page of changes that was stored after a time, and returns the users: a listing and a look-up
/// may lag behind it.
pub async fn take_just_told(db: &mut Connection, since: DateTime<Utc>) -> StoreResult<Vec<Asked<Uuid>>> {
    let taken = sqlx::query!(
        "delete from directory_difference d using directory_answer a
         where a.is_change and a.at > $1 and (
             d.source = $2 and exists (
                 select from directory_user u where u.id = d.object_id and u.seen_round = a.asked)
             or d.source <> $2 and exists (
                 select from directory_group_member m
                 where d.source = $3 || m.group_id and m.object_id = d.object_id and m.seen_round = a.asked))
         returning d.object_id, d.asked, d.is_group",
        since,
        Source::Users.to_string(),
        "group:"
    )
    .fetch_all(db)
    .await?;
    let users = taken.into_iter().filter(|row| !row.is_group);
    Ok(users
        .map(|row| Asked {
            at: Moment(row.asked),
            value: row.object_id,
        })
        .collect())
}

/// The next objects on the list after an id, in order, each once.
pub async fn next(db: &mut Connection, after: Option<Uuid>, limit: i64) -> StoreResult<Vec<Difference>> {
    Ok(sqlx::query_as!(
        Difference,
        r#"select object_id as "id!", bool_or(is_group) as "is_group!" from directory_difference
           where object_id > $1 group by object_id order by object_id limit $2"#,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Removes objects that were looked up.
pub async fn settle(db: &mut Connection, objects: &[Uuid]) -> StoreResult<()> {
    sqlx::query!("delete from directory_difference where object_id = any($1)", objects)
        .execute(db)
        .await?;
    Ok(())
}

/// Removes everything about a source.
pub async fn forget(db: &mut Connection, source: Source) -> StoreResult<()> {
    sqlx::query!("delete from directory_difference where source = $1", source.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// The sources with something on the list.
pub async fn sources(db: &mut Connection) -> StoreResult<Vec<Source>> {
    let names = sqlx::query_scalar!("select distinct source from directory_difference")
        .fetch_all(db)
        .await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}
