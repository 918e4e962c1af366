//! The users that a later run asks for again. For some, an answer was dropped because a newer one was known, or contradicts
//! what a page of changes has just told: either may have come from a lagging replica. For others, a value could not be
//! decoded, or they were missing from a reading with unreadable entries.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Moment};

/// How far a replica may lag: a user for whom that matters is asked for once more after so long.
pub const LAG: TimeDelta = TimeDelta::minutes(15);

/// Adds users for the next run, each with the moment of the dropped answer.
pub async fn add(db: &mut Connection, users: &[Asked<Uuid>]) -> StoreResult<()> {
    insert(db, users, false, None).await
}

/// Adds users for the next run, and once more after [`LAG`].
pub async fn add_twice(db: &mut Connection, users: &[Asked<Uuid>]) -> StoreResult<()> {
    insert(db, users, true, None).await
}

/// Adds users for the first run after a time; those who are on the list already keep their time.
pub async fn add_later(db: &mut Connection, users: &[Asked<Uuid>], due_at: DateTime<Utc>) -> StoreResult<()> {
    insert(db, users, false, Some(due_at)).await
}

async fn insert(
    db: &mut Connection,
    users: &[Asked<Uuid>],
    asks_twice: bool,
    due_at: Option<DateTime<Utc>>,
) -> StoreResult<()> {
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into directory_recheck as r (object_id, asked, asks_twice, due_at)
         select id, max(asked), $3::boolean, $4::timestamptz from unnest($1::uuid[], $2::bigint[]) as u (id, asked)
         group by id order by id
         on conflict (object_id) do update set
             asked = greatest(r.asked, excluded.asked),
             asks_twice = r.asks_twice or excluded.asks_twice or (r.due_at is null) <> (excluded.due_at is null),
             due_at = case when excluded.due_at is null then null else r.due_at end",
        &users.iter().map(|user| user.value).collect::<Vec<_>>(),
        &users.iter().map(|user| user.at.0).collect::<Vec<_>>(),
        asks_twice,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first on the list who are due, those waiting longest first.
pub async fn first(db: &mut Connection, now: DateTime<Utc>, limit: i64) -> StoreResult<Vec<Asked<Uuid>>> {
    let rows = sqlx::query!(
        "select object_id, asked from directory_recheck
         where due_at is null or due_at <= $1 order by asked, object_id limit $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    let users = rows.into_iter().map(|row| Asked {
        at: Moment(row.asked),
        value: row.object_id,
    });
    Ok(users.collect())
}

/// Removes users who were asked for again, unless another answer was dropped meanwhile. Those who are to be asked for
/// twice stay for the second time.
pub async fn settle(db: &mut Connection, users: &[Asked<Uuid>], now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "with users as (select * from unnest($1::uuid[], $2::bigint[]) as u (id, asked)),
              again as (
                  update directory_recheck r set asks_twice = false, due_at = $3 from users u
                  where r.object_id = u.id and r.asked = u.asked and r.asks_twice)
         delete from directory_recheck r using users u
         where r.object_id = u.id and r.asked = u.asked and not r.asks_twice",
        &users.iter().map(|user| user.value).collect::<Vec<_>>(),
        &users.iter().map(|user| user.at.0).collect::<Vec<_>>(),
        now + LAG
    )
    .execute(db)
    .await?;
    Ok(())
}
