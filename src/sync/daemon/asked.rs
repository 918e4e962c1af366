//! Runs that a client requests from the leading process, through the database.

use std::time::Duration;

use crate::domain::drift::RunVerification;
use crate::domain::run::{LeftOver, Run, RunProgress};
use crate::store::{planned, runs};
use crate::sync::cycle::Request;
use crate::sync::{Counts, CycleError, Engine, Failure, Report, RunOutcome};

/// How often the client checks whether the run has ended.
const POLL: Duration = Duration::from_millis(500);

/// After this long without an answer, the daemon is assumed to be gone.
const DAEMON_SILENCE: Duration = Duration::from_secs(20);

/// How a request ended.
#[derive(Debug)]
pub enum Followed {
    /// The run is over.
    Done(Report),
    /// The daemon does not answer; the request is withdrawn.
    Unanswered,
    /// The daemon's configuration differs and lacks a requested environment.
    Unknown,
}

/// Requests a run and returns the request's number. Environments are requested by name, so that a daemon that lacks one
/// reports it.
///
/// # Errors
/// When an environment is not in this configuration, or the database fails.
pub async fn ask(engine: &Engine, wanted: &Request) -> Result<i64, CycleError> {
    for name in &wanted.environments {
        engine.base().environment(name)?;
    }
    let mut db = engine.store.read().await?;
    let now = engine.clock.now();
    Ok(runs::request(&mut db, &wanted.environments, wanted.full, wanted.dry_run, now).await?)
}

/// The run that answers a request, once there is one. The outer `None` means that the request was withdrawn.
///
/// # Errors
/// When the database fails.
pub async fn run_of(engine: &Engine, request: i64) -> Result<Option<Option<i64>>, Failure> {
    let mut db = engine.store.read().await?;
    Ok(runs::requested_run(&mut db, request).await?)
}

/// Waits for the end of the run that answers a request, and tells how far it is meanwhile.
///
/// # Errors
/// When the database fails, or the wait is cancelled.
pub async fn follow(
    engine: &Engine,
    request: i64,
    told: impl Fn(i64, Option<&RunProgress>),
) -> Result<Followed, Failure> {
    let began = engine.clock.now();
    let mut db = engine.store.read().await?;
    loop {
        if engine.cancel.is_cancelled() {
            runs::withdraw_request(&mut db, request).await?;
            return Err(Failure::Cancelled);
        }
        let run = match runs::requested_run(&mut db, request).await? {
            Some(Some(run)) => runs::find(&mut db, run).await?,
            Some(None) => None,
            None => return Ok(Followed::Unknown),
        };
        if let Some(run) = run {
            match run.outcome.clone() {
                Some(outcome) => return Ok(Followed::Done(report_of(run, &outcome))),
                None => told(run.id, planned::progress(&mut db, run.id).await?.as_ref()),
            }
        }
        let waited = (engine.clock.now() - began).to_std().unwrap_or_default();
        if waited > DAEMON_SILENCE && runs::is_idle(&mut db, request).await? {
            runs::withdraw_request(&mut db, request).await?;
            return Ok(Followed::Unanswered);
        }
        engine.clock.sleep(POLL).await;
    }
}

fn report_of(run: Run, outcome: &str) -> Report {
    let environments = counts_of(&run.counts);
    Report {
        run: run.id,
        outcome: match outcome {
            "complete" => RunOutcome::Complete,
            "held" => RunOutcome::Held,
            "incomplete" => RunOutcome::Incomplete,
            _ => RunOutcome::Failed,
        },
        dry_run: run.dry_run,
        holds: environments.iter().any(|counts| counts.held > 0),
        environments,
        problems: run.problems,
        verification: verification_of(run.verification),
        left_over: left_over_of(run.left_over),
    }
}

/// Decodes the stored left-over environments of a run.
#[must_use]
pub fn left_over_of(stored: serde_json::Value) -> Vec<LeftOver> {
    serde_json::from_value(stored).unwrap_or_default()
}

/// Decodes what the stored verification of a run found.
#[must_use]
pub fn verification_of(stored: Option<serde_json::Value>) -> Option<RunVerification> {
    serde_json::from_value(stored?).ok()
}

/// Decodes the stored counts of a run.
#[must_use]
pub fn counts_of(counts: &serde_json::Value) -> Vec<Counts> {
    counts
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, counts)| serde_json::from_value(counts.clone()).ok())
        .collect()
}
