//! The population: the users whom the mirror holds in group scope. Everyone in it has a record in the mirror once a run
//! has read the directory; everyone else is forgotten.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::Moment;

/// How long the id of a soft-deleted user is kept: as long as the user can be restored.
const RESTORABLE: TimeDelta = TimeDelta::days(30);

/// Who is in the population beside the holders of roles and the users with a row.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// The groups whose members are in it.
    pub groups: Vec<Uuid>,
    /// The groups whose owners are in it.
    pub roots: Vec<Uuid>,
    /// The creators of developer environments.
    pub creators: Vec<Uuid>,
    /// The time: users looked up on demand are in it for a while.
    pub now: DateTime<Utc>,
}

impl Population {
    /// Those of some users who are in it.
    pub async fn among(&self, db: &mut Connection, ids: &[Uuid]) -> StoreResult<HashSet<Uuid>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let inside = sqlx::query_scalar!(
            r#"select id as "id!" from unnest($1::uuid[]) as c (id)
               where id = any($4)
                  or exists (select from directory_role_member r where r.object_id = id)
                  or exists (select from directory_guest g where g.object_id = id and g.until > $5)
                  or exists (
                      select from directory_group_member o
                      where o.group_id = any($3) and o.object_id = id and o.is_owner)
                  or exists (
                      select from directory_membership m
                      where m.group_id = any($2) and m.object_id = id and m.is_member and not m.is_group)
                  or exists (
                      select from environment e join system_user s
                          on s.environment = e.name and s.azureactivedirectoryobjectid = id
                      where s.applicationid is null)"#,
            ids,
            &self.groups,
            &self.roots,
            &self.creators,
            self.now
        )
        .fetch_all(db)
        .await?;
        Ok(inside.into_iter().collect())
    }

    /// The next users in it after an id, in order: all, or those without a record that was asked for since a moment.
    pub async fn next(
        &self,
        db: &mut Connection,
        lacking_since: Option<Moment>,
        after: Option<Uuid>,
        limit: i64,
    ) -> StoreResult<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"select p.id as "id!" from (
                   select object_id from directory_membership
                   where group_id = any($1) and is_member and not is_group
                   union select object_id from directory_group_member where group_id = any($2) and is_owner
                   union select object_id from directory_role_member
                   union select unnest($3::uuid[])
                   union select object_id from directory_guest where until > $4
                   union select azureactivedirectoryobjectid from system_user
                   where azureactivedirectoryobjectid is not null and applicationid is null) as p (id)
               where p.id > $6 and ($5::bigint is null or not exists (
                   select from directory_user u where u.id = p.id and u.seen_round >= $5))
               order by p.id limit $7"#,
            &self.groups,
            &self.roots,
            &self.creators,
            self.now,
            lacking_since.map(|moment| moment.0),
            after.unwrap_or(Uuid::nil()),
            limit
        )
        .fetch_all(db)
        .await?)
    }

    /// Its groups in which members lack a record that was asked for since a moment: the group, its members, and how many
    /// of them lack one.
    pub async fn lacking_by_group(&self, db: &mut Connection, since: Moment) -> StoreResult<Vec<(Uuid, i64, i64)>> {
        let groups = sqlx::query!(
            r#"select m.group_id as "group!", count(*) as "members!",
                      count(*) filter (where u.id is null) as "lacking!"
               from directory_membership m left join directory_user u on u.id = m.object_id and u.seen_round >= $2
               where m.group_id = any($1) and m.is_member and not m.is_group
               group by m.group_id order by count(*) desc"#,
            &self.groups,
            since.0
        )
        .fetch_all(db)
        .await?;
        Ok(groups
            .into_iter()
            .map(|row| (row.group, row.members, row.lacking))
            .collect())
    }

    /// The next users after an id who may have entered or left it: whoever is to be evaluated, and whose time as a guest
    /// is over.
    pub async fn moved(&self, db: &mut Connection, after: Option<Uuid>, limit: i64) -> StoreResult<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"select id as "id!" from (
                   select object_id from pending union select object_id from directory_guest where until <= $1) as c (id)
               where id > $2 order by id limit $3"#,
            self.now,
            after.unwrap_or(Uuid::nil()),
            limit
        )
        .fetch_all(db)
        .await?)
    }

    /// Forgets those of some users who are not in it, with what waits for them. Of a soft-deleted user the id stays.
    /// Whoever is locked is being looked up, and stays.
    pub async fn forget_others(&self, db: &mut Connection, ids: &[Uuid]) -> StoreResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let locked = sqlx::query_scalar!(
            "select id from directory_user where id = any($1) order by id for update skip locked",
            ids
        )
        .fetch_all(&mut *db)
        .await?;
        // With the rows locked, nobody becomes a guest or gets a row meanwhile.
        let inside = self.among(&mut *db, ids).await?;
        let is_outside = |id: &Uuid| !inside.contains(id);
        let outside: Vec<Uuid> = locked.into_iter().filter(is_outside).collect();
        let unjudged: Vec<Uuid> = ids.iter().copied().filter(is_outside).collect();
        sqlx::query!(
            "insert into directory_deleted
             select id, coalesce(deleted_at, $2) from directory_user where id = any($1) and state = 1 order by id
             on conflict do nothing",
            &outside,
            self.now
        )
        .execute(&mut *db)
        .await?;
        sqlx::query!(
            "with look_ups as (delete from directory_look_up where object_id = any($1)),
                  rechecks as (delete from directory_recheck where object_id = any($1)),
                  judged as (delete from pending where object_id = any($3)),
                  findings as (
                      update finding set closed_at = $2
                      where azureactivedirectoryobjectid = any($1) and closed_at is null)
             delete from directory_user where id = any($1)",
            &outside,
            self.now,
            &unjudged
        )
        .execute(&mut *db)
        .await?;
        sqlx::query!(
            "delete from directory_guest where object_id = any($1) and until <= $2",
            ids,
            self.now
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

/// Whether everyone is to be evaluated in some environment.
pub async fn everyone_is_due(db: &mut Connection, environments: &[String]) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from environment where name = any($1) and judged_epoch < epoch) as "any!""#,
        environments
    )
    .fetch_one(db)
    .await?)
}

/// Those of some users who lack a record that was asked for since a moment.
pub async fn lacking_among(db: &mut Connection, ids: &[Uuid], since: Moment) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"select id as "id!" from unnest($1::uuid[]) as c (id)
           where not exists (select from directory_user u where u.id = c.id and u.seen_round >= $2) order by id"#,
        ids,
        since.0
    )
    .fetch_all(db)
    .await?)
}

/// Those of some users who are in the mirror, each with whether the user is present in the directory.
pub async fn mirrored_among(db: &mut Connection, ids: &[Uuid]) -> StoreResult<Vec<(Uuid, bool)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!("select id, state from directory_user where id = any($1)", ids)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.state == 0)).collect())
}

/// The ids of everyone in the mirror, and of the soft-deleted users beside it.
pub async fn noted_ids(db: &mut Connection) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"select id as "id!" from directory_user union all select object_id from directory_deleted"#
    )
    .fetch_all(db)
    .await?)
}

/// Keeps a user on demand, until a time.
pub async fn welcome(db: &mut Connection, ids: &[Uuid], until: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_guest select id, $2 from unnest($1::uuid[]) as g (id) order by id
         on conflict (object_id) do update set until = excluded.until",
        ids,
        until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the ids of soft-deleted users who are not in the mirror.
pub async fn note_deleted(db: &mut Connection, ids: &[Uuid], now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_deleted
         select distinct id, $2::timestamptz from unnest($1::uuid[]) as d (id)
         where not exists (select from directory_user u where u.id = d.id) order by id
         on conflict do nothing",
        ids,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes those of some users whose ids were kept because they were soft-deleted, and returns them.
pub async fn take_deleted(db: &mut Connection, ids: &[Uuid]) -> StoreResult<Vec<Uuid>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar!(
        "delete from directory_deleted where object_id = any($1) returning object_id",
        ids
    )
    .fetch_all(db)
    .await?)
}

/// Deletes the ids of users who can no longer be restored.
pub async fn purge_deleted(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!("delete from directory_deleted where noted_at < $1", now - RESTORABLE)
        .execute(db)
        .await?;
    Ok(())
}
