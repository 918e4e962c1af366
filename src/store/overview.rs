//! Reads for the overview of an installation: one statement each, whatever the number of environments.

use super::{Connection, StoreResult};
use crate::domain::status::{Leader, RunBrief};

/// The process that holds the lease now.
pub async fn leader(db: &mut Connection) -> StoreResult<Option<Leader>> {
    Ok(sqlx::query_as!(
        Leader,
        "select holder, is_daemon from lease where name = 'cycle' and expires_at >= clock_timestamp()"
    )
    .fetch_optional(db)
    .await?)
}

/// The newest open run, the newest of the interval, the newest that has ended and the newest that succeeded; newest
/// first, dry runs only among the open ones.
pub async fn latest_runs(db: &mut Connection) -> StoreResult<Vec<RunBrief>> {
    Ok(sqlx::query_as!(
        RunBrief,
        "select id, trigger, dry_run, started_at, ended_at, outcome from sync_run
         where id in (
             (select max(id) from sync_run where ended_at is null),
             (select max(id) from sync_run where trigger = 'interval'),
             (select max(id) from sync_run where ended_at is not null and not dry_run),
             (select max(id) from sync_run where outcome in ('complete', 'held') and not dry_run))
         order by id desc"
    )
    .fetch_all(db)
    .await?)
}

/// The number of held rows of each environment that has some.
pub async fn held(db: &mut Connection) -> StoreResult<Vec<(String, i64)>> {
    let held = sqlx::query!(
        r#"select environment, count(*) as "count!" from removal where state = 'held' group by environment"#
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(|row| (row.environment, row.count)).collect())
}
