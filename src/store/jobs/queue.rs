//! How workers share the queue. A worker takes a job with `FOR UPDATE SKIP LOCKED` and holds it by a claim that expires
//! by the database's clock. Every write of a worker checks that it still holds the claim, on the server that gave it: a
//! server that replaced that one may lack batches, and may give the same number to another worker.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::items;
use super::select_jobs;
use crate::domain::import::{Item, ItemState, Job, JobOutcome, JobState, RoleResults};
use crate::store::lease::Server;
use crate::store::{Connection, StoreError, StoreResult};

/// How long a claim lasts without renewal, and so how soon a killed worker is replaced.
const CLAIM_TIME: Duration = Duration::from_secs(30);

/// A job that a worker has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: i64,
    fence: i64,
    /// When the server that gave the claim was started.
    server: DateTime<Utc>,
}

impl Claim {
    /// How long the claim lasts without renewal.
    #[must_use]
    pub const fn time(&self) -> Duration {
        CLAIM_TIME
    }

    /// The server's time, if it is the server that gave the claim.
    async fn ask_server(self, db: &mut Connection) -> StoreResult<DateTime<Utc>> {
        let server = Server::ask(db).await?;
        if server.started == self.server {
            Ok(server.now)
        } else {
            Err(StoreError::LeaseLost)
        }
    }
}

/// Claims the first due job of some environments whose group is free. With `only`, that job, or one before it in its
/// group.
///
/// # Errors
/// [`StoreError::Conflict`] when another worker took a job of the same group at the same moment.
pub async fn claim(
    db: &mut Connection,
    worker: &str,
    environments: &[String],
    only: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<Option<Claim>> {
    let server = Server::ask(db).await?;
    let claimed = sqlx::query!(
        "update import_job set
             state = 'running', claimed_by = $1, claim_expires_at = $2,
             fence = fence + 1, started_at = coalesce(started_at, $3::timestamptz), next_attempt_at = null
         where id = (
             select j.id from import_job j
             where j.state in ('waiting', 'running') and j.schedule is null and j.environment = any($4)
               and case j.state when 'waiting' then coalesce(j.next_attempt_at <= $3, true)
                                else j.claim_expires_at < $6 end
               and not exists (
                   select from import_job o
                   where o.batch_group = j.batch_group and o.schedule is null and o.id <> j.id
                     and (o.state = 'running' or o.state = 'waiting' and o.id < j.id))
               and ($5::bigint is null or j.id = $5 or j.id < $5 and j.batch_group = (
                   select batch_group from import_job where id = $5))
             order by j.id limit 1 for update skip locked)
         returning id, fence",
        worker,
        server.now + CLAIM_TIME,
        now,
        environments,
        only,
        server.now
    )
    .fetch_optional(db)
    .await?;
    Ok(claimed.map(|row| Claim {
        job: row.id,
        fence: row.fence,
        server: server.started,
    }))
}

/// Renews a claim.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job.
pub async fn renew(db: &mut Connection, claim: Claim) -> StoreResult<()> {
    let now = claim.ask_server(db).await?;
    let renewed = sqlx::query!(
        "update import_job set claim_expires_at = $3
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence,
        now + CLAIM_TIME
    )
    .execute(db)
    .await?;
    ours(renewed.rows_affected())
}

/// Writes the results of a batch and the progress of the job; renews the claim.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job: then nothing of the batch may be committed.
pub async fn record(db: &mut Connection, claim: Claim, results: &[Item], walked_to: Option<Uuid>) -> StoreResult<()> {
    let count = |state: ItemState| {
        let of_state = results.iter().filter(|item| item.state == state);
        i32::try_from(of_state.count()).unwrap_or(i32::MAX)
    };
    let now = claim.ask_server(db).await?;
    let recorded = sqlx::query!(
        "update import_job set
             created = created + $3, already_present = already_present + $4, refused = refused + $5,
             total = greatest(total, created + already_present + refused + $3 + $4 + $5),
             walk_after = coalesce($6, walk_after), attempts = 0, error = null,
             claim_expires_at = $7
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence,
        count(ItemState::Created),
        count(ItemState::AlreadyPresent),
        count(ItemState::Refused),
        walked_to,
        now + CLAIM_TIME
    )
    .execute(&mut *db)
    .await?;
    ours(recorded.rows_affected())?;
    items::write(db, claim.job, results).await
}

/// Records the initial number of users of an import of everybody.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job.
pub async fn note_total(db: &mut Connection, claim: Claim, total: i32) -> StoreResult<()> {
    claim.ask_server(db).await?;
    let noted = sqlx::query!(
        "update import_job set total = $3
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence,
        total
    )
    .execute(db)
    .await?;
    ours(noted.rows_affected())
}

/// Records that an import of everybody has reached the end of the mirror.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job.
pub async fn note_walked(db: &mut Connection, claim: Claim) -> StoreResult<()> {
    claim.ask_server(db).await?;
    let noted = sqlx::query!(
        "update import_job set is_walked = true, total = created + already_present + refused
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence
    )
    .execute(db)
    .await?;
    ours(noted.rows_affected())
}

/// How a job ends.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The outcome.
    pub outcome: JobOutcome,
    /// Why it failed.
    pub error: Option<&'a str>,
    /// How often in a row the directory was unavailable.
    pub attempts: i16,
    /// The result for each of its roles.
    pub roles: &'a RoleResults,
    /// When.
    pub at: DateTime<Utc>,
}

/// Ends a job.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job.
pub async fn end(db: &mut Connection, claim: Claim, end: End<'_>) -> StoreResult<()> {
    claim.ask_server(db).await?;
    let ended = sqlx::query!(
        "update import_job set
             state = $3, outcome = $4, error = $5, ended_at = $6, role_results = $7, attempts = $8, claimed_by = null,
             claim_expires_at = null
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence,
        end.outcome.state().as_str(),
        end.outcome.as_str(),
        end.error,
        end.at,
        Json(end.roles) as _,
        end.attempts
    )
    .execute(db)
    .await?;
    ours(ended.rows_affected())
}

/// Re-queues a job for a later time, because the directory was unavailable.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another worker has the job.
pub async fn postpone(
    db: &mut Connection,
    claim: Claim,
    attempts: i16,
    until: DateTime<Utc>,
    error: &str,
) -> StoreResult<()> {
    claim.ask_server(db).await?;
    let postponed = sqlx::query!(
        "update import_job set
             state = 'waiting', attempts = $3, error = $5, claimed_by = null, claim_expires_at = null,
             next_attempt_at = case when cancelled_by is null then $4::timestamptz end
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence,
        attempts,
        until,
        error
    )
    .execute(db)
    .await?;
    ours(postponed.rows_affected())
}

/// Releases an unfinished job, so that another worker can continue it at once.
pub async fn release(db: &mut Connection, claim: Claim) -> StoreResult<()> {
    if Server::ask(db).await?.started != claim.server {
        return Ok(());
    }
    sqlx::query!(
        "update import_job set state = 'waiting', claimed_by = null, claim_expires_at = null
         where id = $1 and fence = $2 and state = 'running'",
        claim.job,
        claim.fence
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks a due scheduled job. Its last run must be over: runs do not pile up.
pub async fn lock_due(db: &mut Connection, environments: &[String], now: DateTime<Utc>) -> StoreResult<Option<Job>> {
    Ok(select_jobs!(
        "where schedule is not null and state = 'waiting' and next_run_at <= $1 and environment = any($2)
           and not exists (
               select from import_job r where r.scheduled_by = j.id and r.state in ('waiting', 'running'))
         order by next_run_at, id limit 1 for update skip locked",
        now,
        environments
    )
    .fetch_optional(db)
    .await?)
}

/// Starts a run of a locked scheduled job, and records when the next is due. Returns the run's number.
pub async fn start_run(
    db: &mut Connection,
    scheduled: i64,
    now: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
) -> StoreResult<i64> {
    let run = sqlx::query_scalar!(
        "insert into import_job (
             environment, company, is_all, background, batch_group, is_private, is_critical, monitoring_category,
             description, scheduled_by, max_retries, submitted_by, submitted_at, total, roles,
             businessunitid)
         select environment, company, is_all, true, batch_group, is_private, is_critical, monitoring_category,
                description, id, max_retries, submitted_by, $2, total, roles, businessunitid
         from import_job where id = $1 returning id",
        scheduled,
        now
    )
    .fetch_one(&mut *db)
    .await?;
    sqlx::query!(
        "insert into import_item (job, position, given)
         select $2, position, given from import_item where job = $1",
        scheduled,
        run
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("update import_job set next_run_at = $2 where id = $1", scheduled, next)
        .execute(db)
        .await?;
    Ok(run)
}

fn ours(rows: u64) -> StoreResult<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
}
