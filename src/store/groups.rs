//! The mirror of group members. A membership is as old as its latest answer, about the group or about its member;
//! `directory_membership` holds what the latest answers say.

mod nesting;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Moment, Principal, PrincipalKind};
use crate::domain::source::Source;

pub use nesting::{Within, nested_groups, within};

/// Adds members; returns the ids that changed. An existing member counts as confirmed again.
pub async fn add_members(db: &mut Connection, group: Uuid, members: &[Asked<Principal>]) -> StoreResult<Vec<Uuid>> {
    let wanted: Vec<_> = members
        .iter()
        .filter(|member| member.value.kind != PrincipalKind::Other)
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = wanted.iter().map(|member| member.value.id).collect();
    let moments: Vec<_> = wanted.iter().map(|member| member.at.0).collect();
    let are_groups: Vec<_> = wanted
        .iter()
        .map(|member| member.value.kind == PrincipalKind::Group)
        .collect();
    // Not a member by the latest look-up, although a page stored at the same time says so.
    sqlx::query!(
        "update directory_group_member m set is_member = false, kept_in_doubt = false
         from directory_look_up l
         where m.group_id = $1 and m.object_id = any($2) and m.is_member
           and l.object_id = m.object_id and l.groups_asked > m.seen_round",
        group,
        &ids
    )
    .execute(&mut *db)
    .await?;
    let mut news = sqlx::query_scalar!(
        "insert into directory_group_member as m (group_id, object_id, is_group, is_member, seen_round)
         select $1, id, bool_or(is_group), true, max(asked)
         from unnest($2::uuid[], $3::boolean[], $4::bigint[]) as u (id, is_group, asked)
         group by id order by id
         on conflict (group_id, object_id) do update set
             is_member = true, is_group = excluded.is_group, seen_round = excluded.seen_round
         where not m.is_member and m.seen_round <= excluded.seen_round
         returning object_id",
        group,
        &ids,
        &are_groups,
        &moments
    )
    .fetch_all(&mut *db)
    .await?;
    if news.len() < ids.len() {
        sqlx::query!(
            "update directory_group_member m set seen_round = asked
             from (select id, max(asked) as asked from unnest($2::uuid[], $3::bigint[]) as u (id, asked) group by id) as u
             where m.group_id = $1 and m.object_id = u.id and m.is_member and m.seen_round < asked",
            group,
            &ids,
            &moments
        )
        .execute(&mut *db)
        .await?;
    }
    let older = note_older(db, group, &ids, &moments, true).await?;
    news.retain(|id| !older.contains(id));
    Ok(news)
}

/// Removes members; returns the ids that changed.
pub async fn remove_members(db: &mut Connection, group: Uuid, left: &[Asked<Uuid>]) -> StoreResult<Vec<Uuid>> {
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = left.iter().map(|left| left.value).collect();
    let moments: Vec<i64> = left.iter().map(|left| left.at.0).collect();
    let news = sqlx::query_scalar!(
        "update directory_group_member m set is_member = false, kept_in_doubt = false, seen_round = u.asked
         from (select id, max(asked) as asked from unnest($2::uuid[], $3::bigint[]) as u (id, asked) group by id) as u
         where m.group_id = $1 and m.object_id = u.id and m.is_member and m.seen_round <= u.asked
         returning m.object_id",
        group,
        &ids,
        &moments
    )
    .fetch_all(&mut *db)
    .await?;
    // Record non-membership as well: an older answer may still say otherwise.
    sqlx::query!(
        "insert into directory_group_member as m (group_id, object_id, is_member, seen_round)
         select $1, id, false, max(asked) from unnest($2::uuid[], $3::bigint[]) as u (id, asked)
         group by id order by id
         on conflict (group_id, object_id) do update set seen_round = excluded.seen_round, kept_in_doubt = false
         where not m.is_member and m.seen_round < excluded.seen_round",
        group,
        &ids,
        &moments
    )
    .execute(&mut *db)
    .await?;
    note_older(db, group, &ids, &moments, false).await?;
    Ok(news)
}

/// Puts on the recheck list the users of whom the mirror knows something newer than what a page of the group said:
/// `is_member`, each at a moment. Returns them.
async fn note_older(
    db: &mut Connection,
    group: Uuid,
    ids: &[Uuid],
    moments: &[i64],
    is_member: bool,
) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "insert into directory_recheck as r (object_id, asked, asks_twice)
         select u.id, max(u.asked), true
         from unnest($2::uuid[], $3::bigint[]) as u (id, asked)
         join directory_group_member m on m.group_id = $1 and m.object_id = u.id and not m.is_group
         left join directory_look_up l on l.object_id = u.id
         where (m.is_member and m.seen_round >= coalesce(l.groups_asked, 0)) <> $4
           and greatest(m.seen_round, l.groups_asked) > u.asked
         group by u.id order by u.id
         on conflict (object_id) do update set asked = greatest(r.asked, excluded.asked), asks_twice = true, due_at = null
         returning object_id",
        group,
        ids,
        moments,
        is_member
    )
    .fetch_all(db)
    .await?)
}

/// Records restored users, so that the next run re-reads their group memberships.
pub async fn note_returned(db: &mut Connection, ids: &[Uuid]) -> StoreResult<()> {
    if !ids.is_empty() {
        sqlx::query!(
            "insert into directory_returned select * from unnest($1::uuid[]) on conflict do nothing",
            ids
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// The restored users whose group memberships must be re-read.
pub async fn returned(db: &mut Connection) -> StoreResult<Vec<Uuid>> {
    Ok(
        sqlx::query_scalar!("select object_id from directory_returned order by object_id")
            .fetch_all(db)
            .await?,
    )
}

/// The followed groups, and those that may be followed again: a user missing from one stays missing.
pub async fn followed(db: &mut Connection) -> StoreResult<Vec<Uuid>> {
    let sources = sqlx::query_scalar!("select source from checkpoint where source like 'group:%'")
        .fetch_all(db)
        .await?;
    let groups = sources.iter().filter_map(|source| match source.parse() {
        Ok(Source::Group(group)) => Some(group),
        _ => None,
    });
    Ok(groups.collect())
}

/// The direct group memberships of some users, each as of a moment.
#[derive(Clone, Debug, Default)]
pub struct MembershipsOf {
    /// The users whose groups are complete here. A user who cannot be read in full is left out, and leaves no group.
    pub users: Vec<Asked<Uuid>>,
    /// Memberships in mirrored groups: user and group.
    pub joined: Vec<Asked<(Uuid, Uuid)>>,
}

impl MembershipsOf {
    /// Without those of some users.
    #[must_use]
    pub fn without(mut self, users: &HashSet<Uuid>) -> Self {
        self.users.retain(|user| !users.contains(&user.value));
        self.joined.retain(|pair| !users.contains(&pair.value.0));
        self
    }
}

/// Stores the groups of some users. Returns the users whose groups changed. Users of whom a page of changes that was
/// stored since a time told something else are asked for again: the look-up may come from a lagging replica.
pub async fn settle_members(
    db: &mut Connection,
    memberships: &MembershipsOf,
    told_since: DateTime<Utc>,
) -> StoreResult<Vec<Uuid>> {
    settle(db, memberships, Some(told_since)).await
}

/// Stores the parent groups of some groups. Returns the groups whose parents changed.
pub async fn settle_groups(db: &mut Connection, memberships: &MembershipsOf) -> StoreResult<Vec<Uuid>> {
    settle(db, memberships, None).await
}

async fn settle(
    db: &mut Connection,
    memberships: &MembershipsOf,
    told_since: Option<DateTime<Utc>>,
) -> StoreResult<Vec<Uuid>> {
    let MembershipsOf { users, joined } = memberships;
    if users.is_empty() && joined.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = users.iter().map(|user| user.value).collect();
    let moments: Vec<i64> = users.iter().map(|user| user.at.0).collect();
    // What was not read since their return is read now.
    sqlx::query!(
        "with read_again as (delete from directory_returned where object_id = any($1))
         insert into directory_look_up as l (object_id, groups_asked)
         select id, max(asked) from unnest($1::uuid[], $2::bigint[]) as u (id, asked) group by id order by id
         on conflict (object_id) do update set groups_asked = excluded.groups_asked
         where l.groups_asked < excluded.groups_asked",
        &ids,
        &moments
    )
    .execute(&mut *db)
    .await?;
    let joiners: Vec<Uuid> = joined.iter().map(|pair| pair.value.0).collect();
    let groups: Vec<Uuid> = joined.iter().map(|pair| pair.value.1).collect();
    let mut news = sqlx::query_scalar!(
        "with told as (
             insert into directory_recheck as r (object_id, asked, asks_twice)
             select u.id, max(u.asked), true
             from unnest($1::uuid[], $2::bigint[]) as u (id, asked)
             join directory_group_member m on m.object_id = u.id and m.seen_round <= u.asked
             join directory_answer a on a.asked = m.seen_round and a.is_change and a.at > $5
             where m.is_member <> exists (
                 select from unnest($3::uuid[], $4::uuid[]) as j (object_id, group_id)
                 where j.object_id = m.object_id and j.group_id = m.group_id)
             group by u.id order by u.id
             on conflict (object_id) do update set
                 asked = greatest(r.asked, excluded.asked), asks_twice = true, due_at = null)
         update directory_group_member m set is_member = false, kept_in_doubt = false, seen_round = u.asked
         from unnest($1::uuid[], $2::bigint[]) as u (id, asked)
         where m.object_id = u.id and m.is_member and m.seen_round <= u.asked and not exists (
             select from unnest($3::uuid[], $4::uuid[]) as j (object_id, group_id)
             where j.object_id = m.object_id and j.group_id = m.group_id)
         returning m.object_id",
        &ids,
        &moments,
        &joiners,
        &groups,
        told_since
    )
    .fetch_all(&mut *db)
    .await?;
    if !joined.is_empty() {
        news.extend(join(&mut *db, joined, &joiners, &groups, told_since.is_none()).await?);
    }
    // The mirror knows something newer than the look-up.
    sqlx::query!(
        "insert into directory_recheck as r (object_id, asked, asks_twice)
         select u.id, max(u.asked), true
         from unnest($1::uuid[], $2::bigint[]) as u (id, asked)
         join directory_group_member m on m.object_id = u.id and m.seen_round > u.asked
         where m.is_member <> exists (
             select from unnest($3::uuid[], $4::uuid[]) as j (object_id, group_id)
             where j.object_id = m.object_id and j.group_id = m.group_id)
         group by u.id order by u.id
         on conflict (object_id) do update set asked = greatest(r.asked, excluded.asked), asks_twice = true, due_at = null",
        &ids,
        &moments,
        &joiners,
        &groups
    )
    .execute(db)
    .await?;
    Ok(news)
}

/// Stores that users, or groups, are in groups. Returns who joined.
async fn join(
    db: &mut Connection,
    joined: &[Asked<(Uuid, Uuid)>],
    joiners: &[Uuid],
    groups: &[Uuid],
    are_groups: bool,
) -> StoreResult<Vec<Uuid>> {
    let joined: Vec<i64> = joined.iter().map(|pair| pair.at.0).collect();
    let won = sqlx::query_scalar!(
        "insert into directory_group_member as m (group_id, object_id, is_group, is_member, seen_round)
         select group_id, object_id, $4::boolean, true, max(asked)
         from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as j (object_id, group_id, asked)
         group by group_id, object_id order by group_id, object_id
         on conflict (group_id, object_id) do update set
             is_group = excluded.is_group, is_member = true, seen_round = excluded.seen_round
         where not m.is_member and m.seen_round <= excluded.seen_round
         returning object_id",
        joiners,
        groups,
        &joined,
        are_groups
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "update directory_group_member m set seen_round = j.asked
         from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as j (object_id, group_id, asked)
         where m.object_id = j.object_id and m.group_id = j.group_id and m.is_member and m.seen_round < j.asked",
        joiners,
        groups,
        &joined
    )
    .execute(db)
    .await?;
    Ok(won)
}

/// The group memberships of these users need no more re-reading.
pub async fn forget_returned(db: &mut Connection, users: &[Uuid]) -> StoreResult<()> {
    sqlx::query!("delete from directory_returned where object_id = any($1)", users)
        .execute(db)
        .await?;
    Ok(())
}

/// After a complete listing: removes members of the group not seen since it began, and returns them. Soft-deleted users
/// stay members in the directory although they may not be listed, so they stay members here. A listing of nobody is in
/// doubt: the group's teams keep its members until another one lists somebody.
pub async fn sweep_members(
    db: &mut Connection,
    group: Uuid,
    round: Moment,
    is_in_doubt: bool,
) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "update directory_group_member m set is_member = false, seen_round = $2, kept_in_doubt = $3
         where group_id = $1 and (is_member or kept_in_doubt and not $3) and seen_round < $2
           and not exists (select from directory_user u where u.id = m.object_id and u.state = 1)
         returning object_id",
        group,
        round.0,
        is_in_doubt
    )
    .fetch_all(db)
    .await?)
}

/// After a listing with unreadable entries: rechecks in the next run the users of the group not seen since it began. A
/// group that was not seen stays a member.
pub async fn recheck_members(db: &mut Connection, group: Uuid, round: Moment) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_recheck as r (object_id, asked)
         select object_id, $2::bigint from directory_group_member
         where group_id = $1 and is_member and not is_group and seen_round < $2 order by object_id
         on conflict (object_id) do update set
             asked = greatest(r.asked, excluded.asked), asks_twice = r.asks_twice or r.due_at is not null, due_at = null",
        group,
        round.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a full reading of a source is newer than the last one. If so, records it as the last, and blocks other
/// readings until the transaction ends.
pub(super) async fn is_newest(db: &mut Connection, source: &str, asked: Moment) -> StoreResult<bool> {
    let noted = sqlx::query!(
        "insert into directory_reading as r values ($1, $2)
         on conflict (source) do update set asked = excluded.asked where r.asked <= excluded.asked",
        source,
        asked.0
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Whether any of some present or past members of a group is itself a group.
pub async fn any_group_among(db: &mut Connection, group: Uuid, members: &[Uuid]) -> StoreResult<bool> {
    if members.is_empty() {
        return Ok(false);
    }
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from directory_group_member
               where group_id = $1 and object_id = any($2) and is_group) as "any!""#,
        group,
        members
    )
    .fetch_one(db)
    .await?)
}

/// The memberships of some objects in some groups: group and object.
pub async fn memberships_of(db: &mut Connection, ids: &[Uuid], groups: &[Uuid]) -> StoreResult<HashSet<(Uuid, Uuid)>> {
    let rows = sqlx::query!(
        r#"select group_id as "group!", object_id as "id!" from directory_membership
           where object_id = any($1) and group_id = any($2) and is_member"#,
        ids,
        groups
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.group, row.id)).collect())
}
