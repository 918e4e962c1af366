//! How far webhooks have been told of the change feed, and the lines that they still miss.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::change_feed::FeedLine;
use crate::domain::webhook::WebhookStatus;

/// How far a webhook has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The last position that needs no attention.
    pub position: i64,
    /// Failed attempts since the last success.
    pub failures: i32,
    /// Until when nothing is sent.
    pub paused_until: Option<DateTime<Utc>>,
    /// How many lines have failed and wait.
    pub failing: i64,
}

/// A line that has waited and is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The line's position.
    pub position: i64,
    /// The attempts so far.
    pub attempts: i32,
    /// When the line began to wait.
    pub waiting_since: DateTime<Utc>,
}

/// Begins a webhook at the end of the feed, or with the oldest line, unless it is known.
pub async fn begin(db: &mut Connection, name: &str, from_beginning: bool) -> StoreResult<()> {
    sqlx::query!(
        "insert into webhook (name, position)
         select $1, case when $2 then purged else position end from change_feed_head where only_one
         on conflict do nothing",
        name,
        from_beginning
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the webhooks that are not among some. Returns their names.
pub async fn retain(db: &mut Connection, names: &[String]) -> StoreResult<Vec<String>> {
    Ok(
        sqlx::query_scalar!("delete from webhook where name <> all($1) returning name", names)
            .fetch_all(db)
            .await?,
    )
}

/// How far a webhook has come; none if another process has forgotten it.
pub async fn progress(db: &mut Connection, name: &str) -> StoreResult<Option<Progress>> {
    Ok(sqlx::query_as!(
        Progress,
        r#"select position, failures, paused_until, (
               select count(*) from webhook_waiting where webhook = $1 and not is_dead and attempts > 0) as "failing!"
           from webhook where name = $1"#,
        name
    )
    .fetch_optional(db)
    .await?)
}

/// The next line that has waited and is due: of each row only its first.
pub async fn next_due(db: &mut Connection, name: &str, now: DateTime<Utc>) -> StoreResult<Option<Due>> {
    Ok(sqlx::query_as!(
        Due,
        "select position, attempts, waiting_since from webhook_waiting w
         where webhook = $1 and not is_dead and next_attempt_at <= $2 and not exists (
             select from webhook_waiting e
             where e.webhook = w.webhook and not e.is_dead and e.environment = w.environment
               and e.systemuserid = w.systemuserid and e.position < w.position)
         order by position limit 1",
        name,
        now
    )
    .fetch_optional(db)
    .await?)
}

/// The rows of which lines wait.
pub async fn rows_waiting(db: &mut Connection, name: &str) -> StoreResult<BTreeSet<(String, Uuid)>> {
    let rows = sqlx::query!(
        "select distinct environment, systemuserid from webhook_waiting where webhook = $1 and not is_dead",
        name
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.environment, row.systemuserid))
        .collect())
}

/// Records that a webhook has been told of every line up to a position, or that it waits for them. Never goes back.
pub async fn advance(db: &mut Connection, name: &str, position: i64) -> StoreResult<()> {
    sqlx::query!(
        "update webhook set position = $2 where name = $1 and position < $2",
        name,
        position
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a line wait: after a failed attempt now, or behind another line of its row.
pub async fn add_waiting(
    db: &mut Connection,
    name: &str,
    line: &FeedLine,
    attempts: i32,
    now: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "insert into webhook_waiting (
             webhook, position, environment, systemuserid, attempts, waiting_since, next_attempt_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        name,
        line.position,
        line.environment,
        line.systemuserid,
        attempts,
        now,
        next_attempt_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a failed attempt at a line that waits, and whether it is given up.
pub async fn retry_later(
    db: &mut Connection,
    name: &str,
    due: &Due,
    next_attempt_at: DateTime<Utc>,
    is_dead: bool,
) -> StoreResult<()> {
    sqlx::query!(
        "update webhook_waiting set attempts = attempts + 1, next_attempt_at = $3, is_dead = $4
         where webhook = $1 and position = $2",
        name,
        due.position,
        next_attempt_at,
        is_dead
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A line that waited is delivered, or no longer there.
pub async fn remove_waiting(db: &mut Connection, name: &str, position: i64) -> StoreResult<()> {
    sqlx::query!(
        "delete from webhook_waiting where webhook = $1 and position = $2",
        name,
        position
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a success.
pub async fn note_success(db: &mut Connection, name: &str, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "update webhook set failures = 0, paused_until = null, delivered_at = $2 where name = $1",
        name,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes every line that waits due: a receiver is back.
pub async fn wake(db: &mut Connection, name: &str, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "update webhook_waiting set next_attempt_at = $2 where webhook = $1 and not is_dead and next_attempt_at > $2",
        name,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a failure, and until when nothing is sent.
pub async fn note_failure(
    db: &mut Connection,
    name: &str,
    failure: &str,
    now: DateTime<Utc>,
    paused_until: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update webhook set failures = failures + 1, paused_until = $4, failed_at = $3, failure = $2 where name = $1",
        name,
        failure,
        now,
        paused_until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives the lines that a webhook has given up another day. Returns their number.
pub async fn replay(db: &mut Connection, name: &str, now: DateTime<Utc>) -> StoreResult<u64> {
    let replayed = sqlx::query!(
        "update webhook_waiting set is_dead = false, attempts = 0, waiting_since = $2, next_attempt_at = $2
         where webhook = $1 and is_dead",
        name,
        now
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("update webhook set paused_until = null where name = $1", name)
        .execute(db)
        .await?;
    Ok(replayed.rows_affected())
}

/// What is known of all webhooks, by name.
pub async fn list(db: &mut Connection) -> StoreResult<Vec<WebhookStatus>> {
    Ok(sqlx::query_as!(
        WebhookStatus,
        r#"select w.name, h.position - w.position + count(m.position) filter (where not m.is_dead) as "backlog!",
                  count(m.position) filter (where not m.is_dead) as "waiting!",
                  count(m.position) filter (where m.is_dead) as "dead!",
                  w.failures, w.paused_until, w.delivered_at, w.failed_at, w.failure
           from webhook w cross join change_feed_head h left join webhook_waiting m on m.webhook = w.name
           group by w.name, h.position order by w.name"#
    )
    .fetch_all(db)
    .await?)
}
