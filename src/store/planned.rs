//! The changes that a dry run would make, and how far a run in progress is.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::run::{Phase, PlannedChange, RunLine, RunProgress};

/// How long the lines of a dry run are kept.
const KEPT: chrono::Duration = chrono::Duration::days(1);

/// The number of old lines that one statement deletes.
const PURGED_AT_ONCE: i64 = 10_000;

/// What identifies a change within a dry run: whose it is, the operation, and the role.
pub type PlannedKey = (Uuid, String, String);

/// The key of a change.
#[must_use]
pub fn key(change: &PlannedChange) -> PlannedKey {
    let who = change.azureactivedirectoryobjectid.unwrap_or(change.systemuserid);
    let role = change.role.clone().unwrap_or_default();
    (who, change.operation.to_owned(), role)
}

/// Records planned changes. Returns those that the run has not recorded before: a dry run writes nothing, so a user who
/// is evaluated twice changes twice.
pub async fn record(
    db: &mut Connection,
    run_id: i64,
    environment: &str,
    changes: &[PlannedChange],
) -> StoreResult<HashSet<PlannedKey>> {
    if changes.is_empty() {
        return Ok(HashSet::new());
    }
    let mut changes: Vec<(PlannedKey, &PlannedChange)> = changes.iter().map(|change| (key(change), change)).collect();
    // Two batches that record the same changes wait for each other in one order.
    changes.sort_by(|one, other| one.0.cmp(&other.0));
    let column = |of: fn(&PlannedChange) -> Option<String>| -> Vec<Option<String>> {
        changes.iter().map(|(_, change)| of(change)).collect()
    };
    let rows = sqlx::query!(
        "insert into planned_change (run_id, environment, who, operation, role, systemuserid,
             azureactivedirectoryobjectid, domainname, reason, held, fields)
         select $1::bigint, $2::text, * from unnest(
             $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::bool[], $11::jsonb[])
         on conflict (run_id, environment, who, operation, role, held) do nothing returning who, operation, role",
        run_id,
        environment,
        &changes.iter().map(|(key, _)| key.0).collect::<Vec<_>>(),
        &changes.iter().map(|(key, _)| key.1.clone()).collect::<Vec<_>>(),
        &changes.iter().map(|(key, _)| key.2.clone()).collect::<Vec<_>>(),
        &changes.iter().map(|(_, change)| change.systemuserid).collect::<Vec<_>>(),
        &changes.iter().map(|(_, change)| change.azureactivedirectoryobjectid).collect::<Vec<_>>()
            as &[Option<Uuid>],
        &column(|change| change.domainname.clone()) as &[Option<String>],
        &column(|change| change.reason.map(str::to_owned)) as &[Option<String>],
        &changes.iter().map(|(_, change)| change.held).collect::<Vec<_>>(),
        &changes.iter().map(|(_, change)| change.fields.clone()).collect::<Vec<_>>()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.who, row.operation, row.role)).collect())
}

/// The planned changes of a dry run after a line, in order.
pub async fn of_run(db: &mut Connection, run: i64, after: Option<i64>, limit: i64) -> StoreResult<Vec<RunLine>> {
    Ok(sqlx::query_as!(
        RunLine,
        r#"select p.id, r.started_at as at, p.environment, p.systemuserid, p.azureactivedirectoryobjectid, p.domainname,
                  p.operation, p.reason, p.held, p.fields
           from planned_change p join sync_run r on r.id = p.run_id
           where p.run_id = $1 and p.id > $2 order by p.id limit $3"#,
        run,
        after.unwrap_or(0),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Deletes some lines of the oldest dry run, if it ended long enough ago. The next run deletes more.
pub async fn purge(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "delete from planned_change where (run_id, id) in (
             select run_id, id from planned_change
             where run_id = (
                 select run_id from planned_change order by run_id limit 1)
               and run_id in (select id from sync_run where ended_at < $1)
             order by id limit $2)",
        now - KEPT,
        PURGED_AT_ONCE
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records how far a run is.
pub async fn note_progress(db: &mut Connection, run_id: i64, progress: &RunProgress) -> StoreResult<()> {
    sqlx::query!(
        "insert into run_progress as p (run_id, phase, environment, done, total, began_at, at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (only_one) do update set run_id = excluded.run_id, phase = excluded.phase,
             environment = excluded.environment, done = excluded.done, total = excluded.total,
             began_at = excluded.began_at, at = excluded.at
         where p.run_id <= excluded.run_id",
        run_id,
        progress.phase.as_str(),
        progress.environment,
        progress.done,
        progress.total,
        progress.began_at,
        progress.at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How far a run is; none if it is over or has not said so yet.
pub async fn progress(db: &mut Connection, run_id: i64) -> StoreResult<Option<RunProgress>> {
    let row = sqlx::query!(
        "select phase, environment, done, total, began_at, at from run_progress
         where run_id = $1 and run_id in (select id from sync_run where ended_at is null)",
        run_id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        Some(RunProgress {
            phase: Phase::parse(&row.phase)?,
            environment: row.environment,
            done: row.done,
            total: row.total,
            began_at: row.began_at,
            at: row.at,
        })
    }))
}
