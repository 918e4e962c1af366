//! Deletes what is old enough, a part at a time: each call walks some rows of a table by key, and deletes those that are
//! old and that nothing needs. Keys serve the walk, so this needs no index of its own.
//!
//! History goes through the owner's function `purge`, which never deletes what is younger than its floors.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::Moment;
use crate::domain::retention::Kept;

/// The last row that a walk has looked at, by number or id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    number: i64,
    ids: (Uuid, Uuid),
}

/// One part of a walk.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The number of deleted rows.
    pub deleted: i64,
    /// Where the next part begins; none at the end.
    pub next: Option<Place>,
}

/// Notes when a moment was drawn.
pub async fn note_moment(db: &mut Connection, moment: Moment, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "insert into moment_mark (moment, at) values ($1, $2) on conflict do nothing",
        moment.0,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The latest noted moment before a time; none if none was noted.
pub async fn moment_before(db: &mut Connection, time: DateTime<Utc>) -> StoreResult<Option<Moment>> {
    let moment = sqlx::query_scalar!("select max(moment) from moment_mark where at <= $1", time);
    Ok(moment.fetch_one(db).await?.map(Moment))
}

/// Forgets the moments before one.
pub async fn forget_moments(db: &mut Connection, before: Moment) -> StoreResult<()> {
    sqlx::query!("delete from moment_mark where moment < $1", before.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes the old rows among the next `limit` of a table.
pub async fn purge(
    db: &mut Connection,
    what: Kept,
    before: DateTime<Utc>,
    after: Place,
    limit: i32,
) -> StoreResult<Part> {
    match what {
        Kept::Changes | Kept::Runs | Kept::Findings => purge_history(db, what, before, after, limit).await,
        Kept::Requests => purge_requests(db, before, after, limit).await,
        Kept::GoneUsers | Kept::Memberships => {
            let Some(moment) = moment_before(&mut *db, before).await? else {
                return Ok(Part { deleted: 0, next: None });
            };
            if what == Kept::GoneUsers {
                purge_gone_users(db, moment, after, limit).await
            } else {
                purge_memberships(db, moment, after, limit).await
            }
        }
    }
}

async fn purge_history(
    db: &mut Connection,
    what: Kept,
    before: DateTime<Utc>,
    after: Place,
    limit: i32,
) -> StoreResult<Part> {
    let part = sqlx::query!(
        r#"select deleted as "deleted!", next from purge($1, $2, $3, $4)"#,
        what.as_str(),
        before,
        after.number,
        limit
    )
    .fetch_one(db)
    .await?;
    let next = part.next.map(|number| Place { number, ..after });
    Ok(Part {
        deleted: part.deleted,
        next,
    })
}

async fn purge_requests(db: &mut Connection, before: DateTime<Utc>, after: Place, limit: i32) -> StoreResult<Part> {
    let part = sqlx::query!(
        r#"with part as (select id, requested_at from sync_request where id > $2 order by id limit $3),
           purged as (
               delete from sync_request s using part
               where s.id = part.id and part.requested_at < $1 returning s.id)
           select (select count(*) from purged) as "deleted!", count(*) as "walked!", max(id) as last from part"#,
        before,
        after.number,
        i64::from(limit)
    )
    .fetch_one(db)
    .await?;
    let next = part.last.filter(|_| part.walked == i64::from(limit));
    Ok(Part {
        deleted: part.deleted,
        next: next.map(|number| Place { number, ..after }),
    })
}

/// Users who are gone since before a moment, and whom nothing in the database waits for, with their look-ups. A row
/// that another transaction has locked stays until the next round.
async fn purge_gone_users(db: &mut Connection, moment: Moment, after: Place, limit: i32) -> StoreResult<Part> {
    let part = sqlx::query!(
        r#"with part as (select id, state, seen_round from directory_user where id > $2 order by id limit $3),
           old as (
               select u.id from directory_user u join part on part.id = u.id
               where part.state = 2 and part.seen_round < $1 and u.state = 2 and u.seen_round < $1
                 and not exists (
                     select from environment e
                     join system_user s on s.environment = e.name and s.azureactivedirectoryobjectid = u.id)
                 and not exists (select from directory_recheck r where r.object_id = u.id)
                 and not exists (select from directory_returned r where r.object_id = u.id)
               order by u.id for update of u skip locked),
           look_ups as (delete from directory_look_up l using old where l.object_id = old.id),
           purged as (delete from directory_user u using old where u.id = old.id returning u.id)
           select (select count(*) from purged) as "deleted!", count(*) as "walked!",
                  (select id from part order by id desc limit 1) as last
           from part"#,
        moment.0,
        after.ids.0,
        i64::from(limit)
    )
    .fetch_one(db)
    .await?;
    let next = part.last.filter(|_| part.walked == i64::from(limit));
    Ok(Part {
        deleted: part.deleted,
        next: next.map(|id| Place {
            ids: (id, Uuid::nil()),
            ..after
        }),
    })
}

/// Memberships that are over since before a moment. Owners stay, and whom a listing in doubt left out.
async fn purge_memberships(db: &mut Connection, moment: Moment, after: Place, limit: i32) -> StoreResult<Part> {
    let part = sqlx::query!(
        r#"with part as (
               select group_id, object_id from directory_group_member
               where (group_id, object_id) > ($2, $3) order by group_id, object_id limit $4),
           old as (
               select m.group_id, m.object_id from directory_group_member m
               join part on part.group_id = m.group_id and part.object_id = m.object_id
               where not m.is_member and not m.is_owner and not m.kept_in_doubt and m.seen_round < $1
               order by m.group_id, m.object_id for update of m skip locked),
           purged as (
               delete from directory_group_member m using old
               where m.group_id = old.group_id and m.object_id = old.object_id returning m.object_id)
           select (select count(*) from purged) as "deleted!", count(*) as "walked!",
                  (select group_id from part order by group_id desc, object_id desc limit 1) as last_group,
                  (select object_id from part order by group_id desc, object_id desc limit 1) as last_member
           from part"#,
        moment.0,
        after.ids.0,
        after.ids.1,
        i64::from(limit)
    )
    .fetch_one(db)
    .await?;
    let next = part.last_group.zip(part.last_member);
    let next = next.filter(|_| part.walked == i64::from(limit));
    Ok(Part {
        deleted: part.deleted,
        next: next.map(|ids| Place { ids, ..after }),
    })
}
