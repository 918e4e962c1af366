//! The sets of held removals and their rows, for display.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::reason::Code;
use crate::domain::removal::{Held, HeldKey, HeldRow, HeldSet, RemovalState};
use crate::store::{Connection, StoreResult};

/// The set that a row is in.
pub async fn of_row(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<Option<Held>> {
    let found = of_rows(db, &[environment.to_owned()], &[row]).await?;
    Ok(found.into_values().next())
}

/// The held or rejected removals of some rows, each in the environment at the same place.
pub async fn of_rows(
    db: &mut Connection,
    environments: &[String],
    rows: &[Uuid],
) -> StoreResult<HashMap<(String, Uuid), Held>> {
    let found = sqlx::query!(
        r#"select r.environment as "environment!", r.systemuserid as "systemuserid!", r.run_id as "run!",
                  r.state as "state!", r.reason as "reason!", h.why as "why?", h.expires_at as "expires_at?"
           from unnest($1::text[], $2::uuid[]) as wanted (environment, systemuserid)
           join removal r on r.environment = wanted.environment and r.systemuserid = wanted.systemuserid
           left join held_set h on h.environment = r.environment and h.run_id = r.run_id
           where r.state in ('held', 'rejected')"#,
        environments,
        rows
    )
    .fetch_all(db)
    .await?;
    let held = found.into_iter().filter_map(|row| {
        let held = Held {
            run: row.run,
            state: RemovalState::parse(&row.state),
            reason: Code::parse(&row.reason)?,
            why: row.why,
            expires_at: row.expires_at,
        };
        Some(((row.environment, row.systemuserid), held))
    });
    Ok(held.collect())
}

/// The held sets of a run, or all open ones. Sets of environments outside `configured` cannot be decided.
pub async fn sets(db: &mut Connection, run_id: Option<i64>, configured: &[String]) -> StoreResult<Vec<HeldSet>> {
    Ok(sqlx::query_as!(
        HeldSet,
        r#"select environment, run_id, why, held_at, expires_at, decision, decided_by,
                  (select count(*) from removal r
                   where r.environment = h.environment and r.run_id = h.run_id and r.state = 'held') as "rows!",
                  decision is null and environment = any($2) as "can_be_decided!"
           from held_set h
           where ($1::bigint is null and decision is null) or run_id = $1 order by run_id, environment"#,
        run_id,
        configured
    )
    .fetch_all(db)
    .await?)
}

/// The open sets of some environments: environment, run and reason.
pub async fn open_sets(db: &mut Connection, environments: &[String]) -> StoreResult<Vec<(String, i64, String)>> {
    let sets = sqlx::query!(
        "select environment, run_id, why from held_set where decision is null and environment = any($1)
         order by run_id, environment",
        environments
    )
    .fetch_all(db)
    .await?;
    Ok(sets
        .into_iter()
        .map(|set| (set.environment, set.run_id, set.why))
        .collect())
}

/// The held rows of a run, and what each would lose, after a row.
pub async fn held_rows(
    db: &mut Connection,
    run_id: i64,
    after: Option<HeldKey>,
    limit: i64,
) -> StoreResult<Vec<HeldRow>> {
    let (environment, row) = after.map_or_else(Default::default, |key| (key.environment, key.systemuserid));
    Ok(sqlx::query_as!(
        HeldRow,
        r#"select r.environment as "environment!", r.systemuserid as "systemuserid!",
                  r.object_id as "azureactivedirectoryobjectid!", s.domainname as "domainname?", r.reason as "reason!"
           from removal r
           join system_user s on s.environment = r.environment and s.systemuserid = r.systemuserid
           where r.run_id = $1 and r.state = 'held' and (r.environment, r.systemuserid) > ($2, $3)
           order by r.environment, r.systemuserid limit $4"#,
        run_id,
        environment,
        row,
        limit
    )
    .fetch_all(db)
    .await?)
}
