//! The gauges that are read from the database: all of them after a run, and those that cannot wait for the next.

use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::store::{Connection, checkpoints, environments, findings, removals, rows, runs};
use crate::sync::{Engine, Failure};
use crate::telemetry::metrics::Metrics;

/// What the guard holds, which people change between two runs, and which has to be known before the first.
///
/// # Errors
/// When the database fails.
pub async fn refresh_held(engine: &Engine) -> Result<(), Failure> {
    let mut db = engine.store.read().await?;
    Metrics.guard_held(removals::count_held(&mut db, &engine.settings.names()).await?);
    Ok(())
}

/// What environments leave that are not configured any more: nothing as soon as they are, or are taken leave of.
async fn refresh_left_over(engine: &Engine, db: &mut Connection, names: &[String]) -> Result<(), Failure> {
    let left_over = environments::left_over(db, &engine.settings.names()).await?;
    for name in names {
        let left = left_over.iter().find(|left| left.environment == *name);
        Metrics.left_over(
            name,
            left.map_or(0, |left| left.enabled),
            left.map_or(0, |left| left.held),
        );
    }
    Ok(())
}

/// Reads and sets them.
///
/// # Errors
/// When the database fails.
pub async fn refresh(engine: &Engine) -> Result<(), Failure> {
    let now = engine.clock.now();
    let mut db = engine.store.read().await?;
    // One that has left the configuration keeps its gauges, and they stay true.
    let mut names = engine.settings.names();
    names.extend(environments::others(&mut db, &names).await?);
    for name in &names {
        let (enabled, disabled) = environments::count_rows(&mut db, name).await?;
        Metrics.users(name, enabled, disabled);
        Metrics.non_interactive(name, rows::count_non_interactive(&mut db, name).await?);
    }
    let open = findings::count_open(&mut db).await?;
    for environment in &names {
        for code in Code::ALL
            .iter()
            .map(|code| code.as_str())
            .chain([findings::REMOVALS_HELD, findings::ENVIRONMENT_LEFT_OVER])
        {
            let count = open
                .iter()
                .find(|(at, what, _)| at.as_ref() == Some(environment) && what == code);
            Metrics.findings(environment, code, count.map_or(0, |(_, _, count)| *count));
        }
    }
    let tenant: i64 = open
        .iter()
        .filter(|(at, ..)| at.is_none())
        .map(|(.., count)| count)
        .sum();
    Metrics.findings("", Code::DirectoryUnavailable.as_str(), tenant);
    Metrics.guard_held(removals::count_held(&mut db, &engine.settings.names()).await?);
    refresh_left_over(engine, &mut db, &names).await?;
    if let Some(at) = runs::last_success(&mut db).await? {
        Metrics.last_success(at);
    }
    let users = checkpoints::read(&mut db, Source::Users).await?;
    if let Some(since) = users.delta_since {
        Metrics.delta_token_age("users", now - since);
    }
    if let Some(at) = users.reached_at {
        Metrics.lag(now - at);
    }
    let (open, idle) = engine.store.connections();
    Metrics.db_pool(open, idle);
    Ok(())
}
