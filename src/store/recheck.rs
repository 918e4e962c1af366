//! The users that the next run asks for again. For some, an answer was dropped because a newer one was known, which may
//! have come from a lagging replica. For others, a value could not be decoded, or they were missing from a reading with
//! unreadable entries.

use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Moment};

/// Adds users, each with the moment of the dropped answer.
pub async fn add(db: &mut Connection, users: &[Asked<Uuid>]) -> StoreResult<()> {
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into directory_recheck as r (object_id, asked)
         select id, max(asked) from unnest($1::uuid[], $2::bigint[]) as u (id, asked) group by id order by id
         on conflict (object_id) do update set asked = greatest(r.asked, excluded.asked)",
        &users.iter().map(|user| user.value).collect::<Vec<_>>(),
        &users.iter().map(|user| user.at.0).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first on the list, those waiting longest first.
pub async fn first(db: &mut Connection, limit: i64) -> StoreResult<Vec<Asked<Uuid>>> {
    let rows = sqlx::query!(
        "select object_id, asked from directory_recheck order by asked, object_id limit $1",
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

/// Removes users who were asked for again, unless another answer was dropped meanwhile.
pub async fn settle(db: &mut Connection, users: &[Asked<Uuid>]) -> StoreResult<()> {
    sqlx::query!(
        "delete from directory_recheck r using unnest($1::uuid[], $2::bigint[]) as u (id, asked)
         where r.object_id = u.id and r.asked = u.asked",
        &users.iter().map(|user| user.value).collect::<Vec<_>>(),
        &users.iter().map(|user| user.at.0).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}
