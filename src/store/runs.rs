//! Runs of the cycle, and requests for runs.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Connection, StoreResult};
use crate::domain::run::Run;

/// Begins a run.
pub async fn begin(
    db: &mut Connection,
    trigger: &str,
    dry_run: bool,
    environments: &[String],
    left_over: &Value,
    now: DateTime<Utc>,
) -> StoreResult<i64> {
    // A former leader that did not end its run has crashed: this caller holds the lease.
    sqlx::query!("select fail_open_runs($1)", now).execute(&mut *db).await?;
    Ok(sqlx::query_scalar!(
        "insert into sync_run (trigger, dry_run, environments, left_over, started_at)
         values ($1, $2, $3, $4, $5) returning id",
        trigger,
        dry_run,
        environments,
        left_over,
        now
    )
    .fetch_one(db)
    .await?)
}

/// Ends a run that has not ended.
pub async fn end(
    db: &mut Connection,
    id: i64,
    outcome: &str,
    counts: &Value,
    problems: &[String],
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!("select end_run($1, $2, $3, $4, $5)", id, now, outcome, counts, problems)
        .execute(db)
        .await?;
    Ok(())
}

/// Records what the verification of a run found.
pub async fn note_verification(db: &mut Connection, id: i64, result: &Value) -> StoreResult<()> {
    sqlx::query!("insert into sync_run_verification values ($1, $2)", id, result)
        .execute(db)
        .await?;
    Ok(())
}

/// One run by its number.
pub async fn find(db: &mut Connection, id: i64) -> StoreResult<Option<Run>> {
    Ok(sqlx::query_as!(
        Run,
        "select id, trigger, dry_run, environments, started_at, ended_at, outcome, counts, problems, left_over,
                    (select v.result from sync_run_verification v where v.run_id = sync_run.id) as verification
             from sync_run where id = $1",
        id
    )
    .fetch_optional(db)
    .await?)
}

/// Runs before a number, newest first.
pub async fn list(db: &mut Connection, before: Option<i64>, limit: i64) -> StoreResult<Vec<Run>> {
    Ok(sqlx::query_as!(
        Run,
        "select id, trigger, dry_run, environments, started_at, ended_at, outcome, counts, problems, left_over,
                    (select v.result from sync_run_verification v where v.run_id = sync_run.id) as verification
             from sync_run where $1::bigint is null or id < $1 order by id desc limit $2",
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// When a run last succeeded (only a hold may be left over).
pub async fn last_success(db: &mut Connection) -> StoreResult<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select ended_at from sync_run
         where outcome in ('complete', 'held') and not dry_run order by id desc limit 1"
    )
    .fetch_optional(db)
    .await?
    .flatten())
}

/// A request for a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number.
    pub id: i64,
    /// The environments; empty means all.
    pub environments: Vec<String>,
    /// Whether to begin a new full round of every source.
    pub is_full: bool,
    /// Whether it is a dry run.
    pub dry_run: bool,
}

/// Requests a run from the leading daemon.
pub async fn request(
    db: &mut Connection,
    environments: &[String],
    is_full: bool,
    dry_run: bool,
    now: DateTime<Utc>,
) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        "insert into sync_request (environments, is_full, dry_run, requested_at) values ($1, $2, $3, $4)
         returning id",
        environments,
        is_full,
        dry_run,
        now
    )
    .fetch_one(db)
    .await?)
}

/// The oldest request that no run has taken.
pub async fn next_request(db: &mut Connection) -> StoreResult<Option<Request>> {
    Ok(sqlx::query_as!(
        Request,
        "select id, environments, is_full, dry_run from sync_request where run_id is null order by id limit 1"
    )
    .fetch_optional(db)
    .await?)
}

/// Records which run answers a request.
pub async fn answer_request(db: &mut Connection, request: i64, run_id: i64) -> StoreResult<()> {
    sqlx::query!("update sync_request set run_id = $2 where id = $1", request, run_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Withdraws a request that no run has taken.
pub async fn withdraw_request(db: &mut Connection, request: i64) -> StoreResult<()> {
    sqlx::query!("delete from sync_request where id = $1 and run_id is null", request)
        .execute(db)
        .await?;
    Ok(())
}

/// The run that answers a request, if any. The outer `None` means that the request was withdrawn.
pub async fn requested_run(db: &mut Connection, request: i64) -> StoreResult<Option<Option<i64>>> {
    Ok(
        sqlx::query_scalar!("select run_id from sync_request where id = $1", request)
            .fetch_optional(db)
            .await?,
    )
}

/// Whether a request is still waiting and no run that could delay it is under way.
pub async fn is_idle(db: &mut Connection, request: i64) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from sync_request where id = $1 and run_id is null)
               and not exists (select from sync_run where ended_at is null) as "idle!""#,
        request
    )
    .fetch_one(db)
    .await?)
}
