//! Imports (rules.md, section 9): who gets a row, what stays untouched, and how jobs live and end.

mod crash;
mod everybody;
mod many;
mod queue;
pub mod roles;
mod selected;
mod terminal;
mod waits;

use std::collections::BTreeMap;

use rollcall::domain::environment::{Environment, Kind};
use rollcall::domain::import::{Item, Job, JobOutcome};
use rollcall::simulator::tenant::{Profile, Tenant, User};
use rollcall::sync::imports::{ImportRequest, JobReport, Viewer};
use rollcall::sync::{DeskError, ImportError};
use uuid::Uuid;

use crate::world::{World, licensed};

const ENV: &str = "production";

/// Who sees everything.
const OPERATOR: Viewer<'static> = Viewer {
    name: "root",
    is_operator: true,
};

/// An environment in which the cycle makes no row, so that everybody is left to import.
fn trial() -> Environment {
    Environment::new(ENV, Kind::Trial)
}

/// An import of selected users.
fn of(users: &[Uuid]) -> ImportRequest {
    ImportRequest {
        users: users.iter().map(Uuid::to_string).collect(),
        ..ImportRequest::new(ENV, "USMF")
    }
}

/// An import of everybody.
fn of_everybody() -> ImportRequest {
    ImportRequest {
        all: true,
        ..ImportRequest::new(ENV, "USMF")
    }
}

async fn submit(world: &World, request: &ImportRequest) -> Job {
    world.engine.imports().submit_import(request, "helpdesk").await.unwrap()
}

/// Takes one job from the queue.
async fn step(world: &World) -> Option<i64> {
    world.engine.imports().run_next_import("worker").await.unwrap()
}

/// Submits an import and carries it out.
async fn import(world: &World, request: &ImportRequest) -> JobReport {
    let job = submit(world, request).await;
    assert_eq!(step(world).await, Some(job.id));
    report(world, job.id).await
}

async fn report(world: &World, job: i64) -> JobReport {
    world.engine.imports().import_job(OPERATOR, job).await.unwrap()
}

async fn items(world: &World, job: i64) -> Vec<Item> {
    world
        .engine
        .imports()
        .import_items(OPERATOR, job, None, None, i64::MAX)
        .await
        .unwrap()
}

/// The result of every user: the state, or the code of a refusal.
async fn results(world: &World, job: i64) -> Vec<String> {
    let items = items(world, job).await.into_iter();
    items
        .map(|item| item.code.unwrap_or_else(|| item.state.to_string()))
        .collect()
}

/// Outcome, created, already present, refused.
fn summary(report: &JobReport) -> (&str, i32, i32, i32) {
    let job = &report.job;
    let outcome = job.outcome.map_or(job.state.as_str(), JobOutcome::as_str);
    (outcome, job.created, job.already_present, job.refused)
}

/// What an error says, shortly.
fn said<T>(result: Result<T, impl Into<ImportError>>) -> String {
    match result.map_err(Into::into) {
        Ok(_) => "done".to_owned(),
        Err(ImportError::Desk(DeskError::BadInput { field, .. })) => field,
        Err(ImportError::UnknownJob(_)) => "unknown job".to_owned(),
        Err(ImportError::Desk(DeskError::Refused(refusal))) => refusal.code.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Many licensed users.
fn crowd(tenant: &Tenant, count: usize) -> Vec<Uuid> {
    let first = tenant.population();
    (first..first + count)
        .map(|number| licensed(tenant, "Crowd", &format!("Member{number}")))
        .collect()
}

/// Somebody without a licence.
fn unlicensed(tenant: &Tenant, given: &str) -> Uuid {
    let id = tenant.add_user(User::named(given, "Nobody"));
    tenant.give_profile(id, Profile::Unlicensed);
    id
}

/// How often each user's row was made, by the change log.
async fn made(world: &World) -> BTreeMap<String, usize> {
    let mut made = BTreeMap::new();
    let lines = world
        .strings(
            "select fields #>> '{azureactivedirectoryobjectid,1}' from rollcall.system_user_change
             where operation = 'create' and fields ? 'azureactivedirectoryobjectid'",
        )
        .await;
    for id in lines {
        *made.entry(id).or_default() += 1;
    }
    made
}
