//! The change feed: the lines of the change log by position. Each transaction that writes lines leaves them in
//! `change_new` (a trigger does), and [`number`] gives the committed ones their positions.
//!
//! A row's lines are written under the row's lock, so a line that is visible has no invisible predecessor of the same
//! row: ordered by id, a row's lines get positions in their order.

use chrono::{DateTime, Utc};

use super::{Connection, StoreResult, Transaction};
use crate::domain::change_feed::{FeedFilter, FeedLine};

/// The number of lines that have no position yet; of those from before the feed, an upper bound.
pub async fn backlog(db: &mut Connection) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select (select count(*) from change_new) + earlier_until - earlier_after as "waiting!"
           from change_feed_head where only_one"#
    )
    .fetch_one(db)
    .await?)
}

/// Where the feed ends, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last position.
    pub position: i64,
    /// The last position whose line retention has deleted; 0 before any.
    pub purged: i64,
}

/// Reads where the feed begins and ends.
pub async fn head(db: &mut Connection) -> StoreResult<Head> {
    Ok(
        sqlx::query_as!(Head, "select position, purged from change_feed_head where only_one")
            .fetch_one(db)
            .await?,
    )
}

/// Gives up to `limit` lines the next positions, and wakes listeners. Lines from before the feed come first, so that
/// those of a row stay in order.
pub async fn number(tx: &mut Transaction, limit: i64) -> StoreResult<()> {
    let head =
        sqlx::query!("select position, earlier_after, earlier_until from change_feed_head where only_one for update")
            .fetch_one(&mut **tx)
            .await?;
    let (numbered, earlier_after) = if head.earlier_after < head.earlier_until {
        number_earlier(tx, head.position, head.earlier_after, head.earlier_until, limit).await?
    } else {
        (number_new(tx, head.position, limit).await?, head.earlier_after)
    };
    if numbered > 0 || earlier_after > head.earlier_after {
        sqlx::query!(
            "update change_feed_head set position = $1, earlier_after = $2 where only_one",
            head.position + numbered,
            earlier_after
        )
        .execute(&mut **tx)
        .await?;
    }
    if numbered > 0 {
        sqlx::query!("select pg_notify(current_schema() || '_changes', '')")
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn number_new(tx: &mut Transaction, position: i64, limit: i64) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"with next as (select environment, id from change_new order by id limit $2),
           taken as (
               delete from change_new n using next where n.environment = next.environment and n.id = next.id),
           numbered as (
               insert into change_feed (position, environment, id)
               select $1 + row_number() over (order by id), environment, id from next)
           select count(*) as "count!" from next"#,
        position,
        limit
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// The same for lines from before the feed, environment by environment along the log's key. Returns their number, and
/// the id up to which earlier lines have positions.
async fn number_earlier(
    tx: &mut Transaction,
    position: i64,
    after: i64,
    until: i64,
    limit: i64,
) -> StoreResult<(i64, i64)> {
    let numbered = sqlx::query!(
        r#"with recursive places (environment) as (
               (select environment from system_user_change order by environment limit 1)
               union all
               select (select c.environment from system_user_change c
                       where c.environment > p.environment order by c.environment limit 1)
               from places p where p.environment is not null),
           next as (
               select l.environment, l.id
               from places p cross join lateral (
                   select c.environment, c.id from system_user_change c
                   where c.environment = p.environment and c.id > $2 and c.id <= $3 order by c.id limit $4) l
               order by l.id limit $4),
           numbered as (
               insert into change_feed (position, environment, id)
               select $1 + row_number() over (order by id), environment, id from next)
           select count(*) as "count!", max(id) as last from next"#,
        position,
        after,
        until,
        limit
    )
    .fetch_one(&mut **tx)
    .await?;
    let last = numbered.last.filter(|_| numbered.count == limit);
    Ok((numbered.count, last.unwrap_or(until)))
}

/// When the line at a position was written; none if there is no line.
pub async fn written_at(db: &mut Connection, position: i64) -> StoreResult<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select c.at from change_feed f join system_user_change c on c.environment = f.environment and c.id = f.id
         where f.position = $1",
        position
    )
    .fetch_optional(db)
    .await?)
}

/// The lines after one position, up to and including another, in order.
pub async fn read(
    db: &mut Connection,
    after: i64,
    until: i64,
    filter: &FeedFilter,
    limit: i64,
) -> StoreResult<Vec<FeedLine>> {
    Ok(sqlx::query_as!(
        FeedLine,
        "select f.position, c.id, c.at, c.run_id, c.actor, c.environment, c.systemuserid, c.operation, c.reason, c.fields
         from change_feed f join system_user_change c on c.environment = f.environment and c.id = f.id
         where f.position > $1 and f.position <= $2
           and ($3::text is null or f.environment = $3) and ($4::text is null or c.operation = $4)
         order by f.position limit $5",
        after,
        until,
        filter.environment,
        filter.operation,
        limit
    )
    .fetch_all(db)
    .await?)
}
