//! Gauges read from the database: all of them after a run, some of them between runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::Configured;
use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::error::chain;
use crate::store::{Connection, checkpoints, environments, findings, removals, roles, runs};
use crate::sync::{Engine, Failure};
use crate::telemetry::metrics::Metrics;

/// The environment label of findings about the tenant as a whole.
const TENANT: &str = "";

/// The time between two counts of the users without a role.
const ROLES_EVERY: Duration = Duration::from_mins(15);

/// Updates the gauges of held removals. People change these between runs, and they must be set before the first run.
///
/// # Errors
/// When the database fails.
pub async fn refresh_held(engine: &Engine) -> Result<(), Failure> {
    let mut db = engine.store.read().await?;
    Metrics.guard_held(removals::count_held(&mut db, &engine.settings.names()).await?);
    Ok(())
}

/// Updates the gauges of environments that are no longer configured. They drop to zero when the environment is
/// configured again or retired.
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

/// Updates the gauges of open findings, by environment and code; findings about the tenant have no environment. Every
/// code that a finding can have is present from the start, at 0.
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

/// Counts the users without a role now and then, until the handle is dropped: it reads every enabled row, so it is no
/// part of a cycle.
pub fn keep_counting_roles(configured: watch::Receiver<Arc<Configured>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let engine = configured.borrow().engine.clone();
            if let Err(error) = refresh_roles(&engine).await {
                warn!(error = %chain(&error), "the users without a role could not be counted");
            }
            engine.base().pause(ROLES_EVERY).await;
        }
    }))
}

async fn refresh_roles(engine: &Engine) -> Result<(), Failure> {
    let mut db = engine.store.read().await?;
    let names = engine.settings.names();
    let without_role = roles::count_users_without(&mut db, &names).await?;
    for name in &names {
        Metrics.without_role(name, without_role.get(name).copied().unwrap_or_default());
    }
    Ok(())
}

/// Reads and sets all gauges.
///
/// # Errors
/// When the database fails.
pub async fn refresh(engine: &Engine) -> Result<(), Failure> {
    let now = engine.clock.now();
    let mut db = engine.store.read().await?;
    // An environment that has left the configuration keeps its gauges, and they stay correct.
    let mut names = engine.settings.names();
    names.extend(environments::others(&mut db, &names).await?);
    for counts in environments::count_rows(&mut db, None).await? {
        Metrics.users(&counts.environment, counts.enabled, counts.disabled);
        Metrics.non_interactive(&counts.environment, counts.non_interactive);
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
    Ok(())
}
