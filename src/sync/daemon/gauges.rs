//! The gauges that are read from the database: all of them after a run, and those that cannot wait for the next.

use std::collections::BTreeMap;

use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::store::{Connection, checkpoints, environments, findings, removals, rows, runs};
use crate::sync::{Engine, Failure};
use crate::telemetry::metrics::Metrics;

/// Where findings about the tenant as a whole are counted.
const TENANT: &str = "";

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

/// The open findings, by environment and code; what is about the tenant has no environment. Each code that a finding
/// can have is there from the start, at 0.
async fn refresh_findings(db: &mut Connection, names: &[String]) -> Result<(), Failure> {
    let mut open = BTreeMap::new();
    for (environment, code, count) in findings::count_open(db).await? {
        open.insert((environment.unwrap_or_default(), code), count);
    }
    let places = names.iter().map(String::as_str).chain([TENANT]);
    for environment in places {
        let reasons = Code::ALL.iter().map(|code| code.as_str());
        for code in reasons.chain(findings::OTHER_CODES) {
            let count = open.remove(&(environment.to_owned(), code.to_owned()));
            Metrics.findings(environment, code, count.unwrap_or_default());
        }
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
    refresh_findings(&mut db, &names).await?;
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
