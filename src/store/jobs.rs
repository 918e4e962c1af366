//! `rollcall.import_job`: creating, listing, cancelling and purging jobs. `queue` is how workers take jobs, `items`
//! holds the result for each user.

pub mod items;
pub mod queue;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::lease::Server;
use super::{Connection, StoreResult};
use crate::domain::import::{ImportRequest, Job, JobOutcome, JobState, RoleResults};

/// Reads jobs; the text after the column list is the rest of the query.
macro_rules! select_jobs {
    ($rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Job,
            "select id, environment, company, businessunitid, is_all as \"all\", background, batch_group, is_private as \"private\",
                    is_critical as \"critical\", monitoring_category, description, schedule, scheduled_by, max_retries,
                    submitted_by, submitted_at, state as \"state: JobState\", outcome as \"outcome: JobOutcome\", attempts, next_attempt_at, next_run_at, started_at,
                    ended_at, total, created, already_present, refused, error, cancelled_by, walk_after, is_walked,
                    roles, role_results as \"role_results: Json<RoleResults>\"
             from import_job j "
                + $rest
            $(, $argument)*
        )
    };
}
pub(super) use select_jobs;

/// Adds a job with its selected users; returns its number.
pub async fn insert(
    db: &mut Connection,
    request: &ImportRequest,
    next_run_at: Option<DateTime<Utc>>,
    submitted_by: &str,
    at: DateTime<Utc>,
) -> StoreResult<i64> {
    let total = i32::try_from(request.users.len()).unwrap_or(i32::MAX);
    let id = sqlx::query_scalar!(
        "insert into import_job (
             environment, company, is_all, background, batch_group, is_private, is_critical, monitoring_category,
             description, schedule, next_run_at, max_retries, submitted_by, submitted_at, total, roles, businessunitid)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) returning id",
        request.environment,
        request.company,
        request.all,
        request.background,
        request.batch_group.as_deref(),
        request.private,
        request.critical,
        request.monitoring_category.as_deref(),
        request.description.as_deref(),
        request.schedule.as_deref(),
        next_run_at,
        request.max_retries.map(i16::from),
        submitted_by,
        at,
        total,
        &request.roles,
        request.businessunitid
    )
    .fetch_one(&mut *db)
    .await?;
    sqlx::query!(
        "insert into import_item (job, position, given)
         select $1, number, given from unnest($2::text[]) with ordinality as u (given, number)",
        id,
        &request.users
    )
    .execute(db)
    .await?;
    Ok(id)
}

/// One job.
pub async fn find(db: &mut Connection, id: i64) -> StoreResult<Option<Job>> {
    Ok(select_jobs!("where id = $1", id).fetch_optional(db).await?)
}

/// The filters of a list of jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// One environment only.
    pub environment: Option<String>,
    /// One state only.
    pub state: Option<JobState>,
    /// Jobs older than this one; the list goes from new to old.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: i64,
}

/// Lists jobs, newest first; private ones only of one owner, or everybody's.
pub async fn list(db: &mut Connection, filter: &JobFilter, seen_by: Option<&str>) -> StoreResult<Vec<Job>> {
    Ok(select_jobs!(
        "where ($1::text is null or environment = $1) and ($2::text is null or state = $2)
           and ($3::text is null or not is_private or submitted_by = $3) and id < $4
         order by id desc limit $5",
        filter.environment,
        filter.state.map(JobState::as_str),
        seen_by,
        filter.before.unwrap_or(i64::MAX),
        filter.limit
    )
    .fetch_all(db)
    .await?)
}

/// The monitoring categories in use.
pub async fn categories(db: &mut Connection) -> StoreResult<Vec<String>> {
    Ok(
        sqlx::query_scalar!("select distinct monitoring_category from import_job")
            .fetch_all(db)
            .await?,
    )
}

/// Cancels a job that is not over: at once if no worker has it, else after the current batch. Returns whether it ended
/// at once; none if it was over.
pub async fn cancel(db: &mut Connection, id: i64, by: &str, now: DateTime<Utc>) -> StoreResult<Option<bool>> {
    let server = Server::ask(db).await?;
    Ok(sqlx::query_scalar!(
        r#"update import_job set
               cancelled_by = $2,
               state = case when held then state else 'cancelled' end,
               outcome = case when held then outcome else 'cancelled' end,
               ended_at = case when held then null else $3::timestamptz end,
               next_attempt_at = null, next_run_at = null, error = null
           from (select id as found, state = 'running' and claim_expires_at > $4 as held
                 from import_job where id = $1 and state in ('waiting', 'running') for update) as present
           where id = found returning not held as "at_once!""#,
        id,
        by,
        now,
        server.now
    )
    .fetch_optional(db)
    .await?)
}

/// Re-queues a job that is over: refused users are re-evaluated, users with a row are not.
pub async fn requeue(db: &mut Connection, id: i64, next_run_at: Option<DateTime<Utc>>) -> StoreResult<()> {
    let requeued = sqlx::query!(
        "update import_job set
             state = 'waiting', outcome = null, attempts = 0, next_attempt_at = null, next_run_at = $2, ended_at = null,
             refused = 0, role_results = '[]', error = null, cancelled_by = null, claimed_by = null, claim_expires_at = null
         where id = $1 and state not in ('waiting', 'running')",
        id,
        next_run_at
    )
    .execute(&mut *db)
    .await?;
    if requeued.rows_affected() == 1 {
        sqlx::query!(
            "update import_item set state = 'waiting', code = null, detail = null
             where job = $1 and state = 'refused'",
            id
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Deletes jobs that were over before a time, with their items; keeps critical ones. Returns their number.
pub async fn purge(db: &mut Connection, before: DateTime<Utc>) -> StoreResult<u64> {
    let purged = sqlx::query!(
        "delete from import_job
         where ended_at < $1 and not is_critical and state in ('ended', 'failed', 'cancelled')",
        before
    )
    .execute(db)
    .await?;
    Ok(purged.rows_affected())
}

impl From<Json<Self>> for RoleResults {
    fn from(Json(results): Json<Self>) -> Self {
        results
    }
}
