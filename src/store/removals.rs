//! Removals: enabled rows that a rule wants to disable. A run collects them while it evaluates, then applies them, or
//! holds them for a person's decision (rules.md, section 11).

mod held;

pub use held::{held_rows, of_row, of_rows, open_sets, sets};

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::keys::by_environment;
use super::{ByEnvironment, Connection, Keys, StoreResult};
use crate::domain::doubt::Doubt;
use crate::domain::reason::Code;
use crate::domain::removal::{Decision, RemovalState};

/// The separator between the reasons of a held set.
const AND: &str = "; ";

/// A removal that a run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The row.
    pub systemuserid: Uuid,
    /// Its directory user.
    pub object_id: Uuid,
    /// The rule.
    pub reason: Code,
}

/// Stores the removals that a batch found, and drops those that no longer apply. A held row stays in its set; a
/// rejected one stays enabled while its reason is the same.
pub async fn collect(
    db: &mut Connection,
    run_id: i64,
    wanted: &[(&str, Removal)],
    unwanted: &Keys,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    drop_rows(&mut *db, unwanted).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into removal as r (environment, systemuserid, object_id, reason, run_id, state, at)
         select *, $5::bigint, 'collected', $6::timestamptz from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[])
         on conflict (environment, systemuserid) do update set
             reason = excluded.reason, at = excluded.at,
             run_id = case when r.state = 'held' then r.run_id else excluded.run_id end,
             state = case when r.state = 'rejected' and r.reason <> excluded.reason then 'collected' else r.state end
         where r.reason <> excluded.reason or r.state = 'collected'",
        &wanted.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
        &wanted
            .iter()
            .map(|(_, removal)| removal.systemuserid)
            .collect::<Vec<_>>(),
        &wanted.iter().map(|(_, removal)| removal.object_id).collect::<Vec<_>>(),
        &names(wanted.iter().map(|(_, removal)| removal.reason)),
        run_id,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops rows from any set; a set without rows closes itself.
pub async fn drop_rows(db: &mut Connection, rows: &Keys) -> StoreResult<()> {
    if !rows.is_empty() {
        sqlx::query!(
            "delete from removal r using unnest($1::text[], $2::uuid[]) as v (environment, id)
             where r.environment = v.environment and r.systemuserid = v.id",
            &rows.environments,
            &rows.keys
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Closes the empty open sets of some environments.
pub async fn close_empty_sets(db: &mut Connection, environments: &[String], now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "select close_set(environment, run_id, 'changed_back', $2) from held_set h
         where environment = any($1) and decision is null and not exists (
             select from removal r
             where r.environment = h.environment and r.run_id = h.run_id and r.state = 'held')",
        environments,
        now
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Re-queues what a crashed run collected without deciding: the next run re-evaluates it.
pub async fn requeue_collected(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!(
        "with stale as (
             delete from removal where environment = $1 and state = 'collected' returning environment, object_id)
         insert into pending (environment, object_id) select environment, object_id from stale
         on conflict (environment, object_id) do update set version = excluded.version",
        environment
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Dissolves expired held sets; their rows are re-evaluated. Returns the runs that held them, and why.
pub async fn expire(db: &mut Connection, environment: &str, now: DateTime<Utc>) -> StoreResult<Vec<(i64, Vec<Doubt>)>> {
    Ok(sqlx::query!(
        "with expired as (
             select run_id, why, close_set(environment, run_id, 'expired', $2) as is_closed
             from held_set where environment = $1 and decision is null and expires_at <= $2),
         dropped as (
             delete from removal r using expired e
             where e.is_closed and r.environment = $1 and r.run_id = e.run_id and r.state = 'held' returning r.object_id),
         marked as (
             insert into pending (environment, object_id) select $1, object_id from dropped
             on conflict (environment, object_id) do update set version = excluded.version)
         select run_id, why from expired where is_closed",
        environment,
        now
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.run_id, row.why.split(AND).filter_map(|why| why.parse().ok()).collect()))
    .collect())
}

/// The undecided removals that a run has collected in some environments.
pub async fn collected(
    db: &mut Connection,
    environments: &[String],
    run_id: i64,
) -> StoreResult<ByEnvironment<Vec<Removal>>> {
    let rows = sqlx::query!(
        "select environment, systemuserid, object_id, reason from removal
         where environment = any($1) and run_id = $2 and state = 'collected' order by object_id",
        environments,
        run_id
    )
    .fetch_all(db)
    .await?;
    let removals = rows.into_iter().filter_map(|row| {
        let removal = Removal {
            systemuserid: row.systemuserid,
            object_id: row.object_id,
            // The next run re-evaluates a reason from an older version that this one does not know.
            reason: Code::parse(&row.reason)?,
        };
        Some((row.environment, removal))
    });
    Ok(by_environment(removals))
}

/// The object ids of the rows of an open held set.
pub async fn held_ids(db: &mut Connection, environment: &str, run_id: i64) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select object_id from removal
         where environment = $1 and run_id = $2 and state = 'held' order by object_id",
        environment,
        run_id
    )
    .fetch_all(db)
    .await?)
}

/// Removals of an environment to hold, and why. No two share an environment and a reason.
#[derive(Debug)]
pub struct Hold<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The reasons of the removals.
    pub reasons: Vec<Code>,
    /// Why they are held.
    pub why: &'a Doubt,
}

/// Holds removals that a run collected.
pub async fn hold(
    db: &mut Connection,
    run_id: i64,
    holds: &[Hold<'_>],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> StoreResult<()> {
    let each = holds.iter().flat_map(|hold| {
        hold.reasons
            .iter()
            .map(|reason| (hold.environment, reason.as_str().to_owned()))
    });
    let each: Keys<String> = each.collect();
    if each.is_empty() {
        return Ok(());
    }
    let held = sqlx::query!(
        "with held as (
             update removal r set state = 'held' from unnest($1::text[], $2::text[]) as h (environment, reason)
             where r.environment = h.environment and r.reason = h.reason and r.run_id = $3 and r.state = 'collected'
             returning r.environment, r.reason)
         select distinct environment, reason from held",
        &each.environments,
        &each.keys,
        run_id
    )
    .fetch_all(&mut *db)
    .await?;
    let held: HashSet<(String, String)> = held.into_iter().map(|row| (row.environment, row.reason)).collect();
    let is_held = |hold: &&Hold<'_>| {
        let key = |reason: &Code| (hold.environment.to_owned(), reason.as_str().to_owned());
        hold.reasons.iter().any(|reason| held.contains(&key(reason)))
    };
    let sets: Keys<String> = holds
        .iter()
        .filter(is_held)
        .map(|it| (it.environment, it.why.to_string()))
        .collect();
    sqlx::query!(
        "select hold_set(environment, $3, why, $4, $5)
         from unnest($1::text[], $2::text[]) with ordinality as h (environment, why, at) order by at",
        &sets.environments,
        &sets.keys,
        run_id,
        now,
        expires_at
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Which of some rows are in a set of removals, and in which state.
pub async fn states(db: &mut Connection, rows: &Keys) -> StoreResult<ByEnvironment<HashMap<Uuid, RemovalState>>> {
    if rows.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let found = sqlx::query!(
        "select r.environment, systemuserid, state
         from unnest($1::text[], $2::uuid[]) as wanted (environment, id)
         join removal r on r.environment = wanted.environment and r.systemuserid = wanted.id",
        &rows.environments,
        &rows.keys
    )
    .fetch_all(db)
    .await?;
    Ok(by_environment(found.into_iter().map(|row| {
        (row.environment, (row.systemuserid, RemovalState::parse(&row.state)))
    })))
}

/// Decides an open set. Rejected rows stay enabled until their cause changes. Returns false when there is no such open
/// set. A decision also applies to a set that was recorded as approved with its last rows, or that a run closed as
/// empty while the set was being applied.
pub async fn decide(
    db: &mut Connection,
    environment: &str,
    run_id: i64,
    decision: Decision,
    by: &str,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let is_decided = sqlx::query_scalar!(
        r#"select decide_set($1, $2, $3, $4, $5) as "is_decided!""#,
        environment,
        run_id,
        decision.as_str(),
        by,
        now
    )
    .fetch_one(&mut *db)
    .await?;
    if is_decided && decision == Decision::Reject {
        sqlx::query!(
            "update removal set state = 'rejected'
             where environment = $1 and run_id = $2 and state = 'held'",
            environment,
            run_id
        )
        .execute(db)
        .await?;
    }
    Ok(is_decided)
}

/// The number of rows of some environments held for some reasons.
pub async fn count_held_for(
    db: &mut Connection,
    environments: &[String],
    reasons: &[Code],
) -> StoreResult<ByEnvironment<i64>> {
    let counts = sqlx::query!(
        r#"select environment, count(*) as "count!" from removal
           where environment = any($1) and state = 'held' and reason = any($2) group by environment"#,
        environments,
        &names(reasons.iter().copied())
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.environment, row.count)).collect())
}

/// Records that an open set was approved, once all of it is applied. Returns whether it did.
pub async fn note_approved(
    db: &mut Connection,
    environment: &str,
    run_id: i64,
    by: &str,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let noted = sqlx::query_scalar!(
        r#"select decide_set(environment, run_id, 'approved', $3, $4) as "is_noted!" from held_set h
           where environment = $1 and run_id = $2 and decision is null and not exists (
               select from removal r
               where r.environment = h.environment and r.run_id = h.run_id and r.state = 'held')"#,
        environment,
        run_id,
        by,
        now
    )
    .fetch_optional(db)
    .await?;
    Ok(noted == Some(true))
}

/// The number of held rows in some environments.
pub async fn count_held(db: &mut Connection, environments: &[String]) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from removal where state = 'held' and environment = any($1)"#,
        environments
    )
    .fetch_one(db)
    .await?)
}

/// Dissolves the open sets of an environment that is being retired.
pub async fn dissolve(db: &mut Connection, environment: &str, by: &str, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!("select dissolve_sets($1, $2, $3)", environment, by, now)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from removal where environment = $1", environment)
        .execute(db)
        .await?;
    Ok(())
}

fn names(reasons: impl Iterator<Item = Code>) -> Vec<String> {
    reasons.map(|reason| reason.as_str().to_owned()).collect()
}
