//! Sync history, decisions on held removals, requested runs, and findings.

use std::panic::resume_unwind;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Page, Paging, number, page, page_size};
use crate::clock::Clock;
use crate::domain::removal::{HeldKey, HeldRow, HeldSet};
use crate::domain::run::{OpenFinding, Run, RunLine};
use crate::domain::text::Text;
use crate::error::chain;
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::cycle::Request;
use crate::sync::daemon::asked;
use crate::sync::guard::approval::{Decided, Decision};
use crate::sync::records::RunDetails;
use crate::sync::{CycleError, Engine, Failure, UnknownEnvironment};

/// How long a request for a run waits for the run's number, and how often it checks.
const RUN_BEGINS_WITHIN: u32 = 25;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Lists runs, newest first.
#[utoipa::path(get, operation_id = "list_runs", path = "/runs", tag = "runs", params(Paging<i64>), responses(
    (status = 200, body = Page<Run>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Params(paging): Params<Paging<i64>>,
) -> Result<Json<Page<Run>>, Problem> {
    let limit = page_size(paging.limit)?;
    let items = api.engine().records().runs(paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |run| run.id)))
}

/// Shows a run, and who would lose access if it holds removals.
#[utoipa::path(get, operation_id = "show_run", path = "/runs/{id}", tag = "runs", params(("id" = i64, Path)), responses(
    (status = 200, body = RunDetails),
))]
pub async fn show(State(api): State<Api>, _: Reader, Path(id): Path<Text>) -> Result<Json<RunDetails>, Problem> {
    let id = number("id", &id)?;
    let run = api.engine().records().run(id).await?;
    Ok(Json(run.ok_or_else(|| no_run(id))?))
}

fn no_run(id: i64) -> Problem {
    Problem::not_found(&format!("run {id}"))
}

/// Lists the users who would lose access if the removals that a run holds were approved.
#[utoipa::path(get, operation_id = "list_held", path = "/runs/{id}/held", tag = "runs",
    params(("id" = i64, Path), Paging<Text>), responses(
    (status = 200, body = Page<HeldRow>),
))]
pub async fn held(
    State(api): State<Api>,
    _: Reader,
    Path(id): Path<Text>,
    Params(paging): Params<Paging<Text>>,
) -> Result<Json<Page<HeldRow>>, Problem> {
    let (id, limit) = (number("id", &id)?, page_size(paging.limit)?);
    let items = api.engine().records().held(id, paging.after()?, limit + 1).await?;
    Ok(Json(page(items.ok_or_else(|| no_run(id))?, limit, |row| {
        HeldKey::from(row)
    })))
}

/// Lists the changes of a run, in their order.
#[utoipa::path(get, operation_id = "list_changes", path = "/runs/{id}/changes", tag = "runs",
    params(("id" = i64, Path), Paging<i64>), responses(
    (status = 200, body = Page<RunLine>),
))]
pub async fn changes(
    State(api): State<Api>,
    _: Reader,
    Path(id): Path<Text>,
    Params(paging): Params<Paging<i64>>,
) -> Result<Json<Page<RunLine>>, Problem> {
    let (id, limit) = (number("id", &id)?, page_size(paging.limit)?);
    let items = api.engine().records().changes(id, paging.cursor, limit + 1).await?;
    Ok(Json(page(items.ok_or_else(|| no_run(id))?, limit, |line| line.id)))
}

/// The environments of a decision.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Where {
    /// One environment only.
    #[param(pattern = r"^[^\u0000]*$", example = "production")]
    environment: Option<Text>,
}

/// The result of a decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decisions {
    /// The run.
    run: i64,
    /// The person who decided.
    decided_by: String,
    /// What was carried out and what was not, by environment.
    environments: Vec<Decided>,
}

/// Disables exactly the rows that a run holds; each is re-evaluated first. A JSON body may name the environment instead of
/// the query. If it takes longer than ten seconds, the answer is 202 with the number of rows that wait, and
/// `GET /runs/{id}` shows how many still do, then the decision.
#[utoipa::path(post, operation_id = "approve_run", path = "/runs/{id}/approve", tag = "runs", params(("id" = i64, Path), Where), responses(
    (status = 200, body = Decisions),
    (status = 202, body = Decisions),
))]
pub async fn approve(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(id): Path<Text>,
    input::ParamsOrJson(place): input::ParamsOrJson<Where>,
) -> Result<(StatusCode, Json<Decisions>), Problem> {
    decide(&api, &id, place, Decision::Approve, caller.name).await
}

/// Leaves the rows that a run holds enabled until their cause changes. A JSON body may name the environment instead of the
/// query. If it takes longer than ten seconds, the answer is 202, as for an approval.
#[utoipa::path(post, operation_id = "reject_run", path = "/runs/{id}/reject", tag = "runs", params(("id" = i64, Path), Where), responses(
    (status = 200, body = Decisions),
    (status = 202, body = Decisions),
))]
pub async fn reject(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(id): Path<Text>,
    input::ParamsOrJson(place): input::ParamsOrJson<Where>,
) -> Result<(StatusCode, Json<Decisions>), Problem> {
    decide(&api, &id, place, Decision::Reject, caller.name).await
}

/// Decides in a task of its own, so that a client that goes away does not interrupt it.
async fn decide(
    api: &Api,
    id: &str,
    place: Where,
    decision: Decision,
    decided_by: String,
) -> Result<(StatusCode, Json<Decisions>), Problem> {
    let run = number("id", id)?;
    let place = place.environment;
    let (status, environments) = decide_in_time(api, run, place.as_deref(), decision, decided_by.clone()).await?;
    let decisions = Decisions {
        run,
        decided_by,
        environments,
    };
    Ok((status, Json(decisions)))
}

/// Decides what a run holds, for the console. Returns whether that is done: if not, it goes on.
pub(in crate::http) async fn decide_run(
    api: &Api,
    run: i64,
    place: Option<&str>,
    decision: Decision,
    decided_by: String,
) -> Result<bool, Problem> {
    let (status, _) = decide_in_time(api, run, place, decision, decided_by).await?;
    Ok(status == StatusCode::OK)
}

/// What was decided or, after some time, what waits.
async fn decide_in_time(
    api: &Api,
    run: i64,
    place: Option<&str>,
    decision: Decision,
    actor: String,
) -> Result<(StatusCode, Vec<Decided>), Problem> {
    let engine = api.engine();
    if let Some(name) = place {
        engine.desk().environment(name)?;
    }
    let sets = engine.records().held_sets(run).await?.ok_or_else(|| no_run(run))?;
    let guard = engine.guard();
    let environment = place.map(str::to_owned);
    let deciding = tokio::spawn(async move {
        let decisions = guard.decide(run, environment.as_deref(), decision, &actor).await;
        if let Ok(decisions) = &decisions
            && let Some(failure) = &decisions.failure
        {
            tracing::warn!(run, error = %chain(failure), "a decision was not carried out everywhere");
        }
        decisions
    });
    let clock = Clock::system();
    tokio::select! {
        decisions = deciding => {
            let decisions = decisions.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(Failure::Cancelled.into()),
            });
            Ok((StatusCode::OK, decisions?.environments))
        }
        () = clock.sleep(api.decided_within) => {
            let wanted = |set: &&HeldSet| place.is_none_or(|name| name == set.environment);
            let open = sets.iter().filter(wanted).filter(|set| set.decision.is_none());
            Ok((StatusCode::ACCEPTED, open.map(Decided::waiting).collect()))
        }
    }
}

/// What a run does.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WantedRun {
    /// The environments to evaluate; empty means all.
    environments: Vec<Text>,
    /// Begin new full rounds of every source, then evaluate everyone.
    full: bool,
    /// Show what would change, and change nothing.
    dry_run: bool,
}

/// A requested run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Requested {
    /// The request's number.
    request: i64,
    /// The run's number, once the leading process has begun it.
    run: Option<i64>,
}

/// Requests a run from the leading process. `GET /runs/{id}` shows its result.
#[utoipa::path(post, operation_id = "request_run", path = "/sync", tag = "runs", request_body = WantedRun, responses(
    (status = 202, body = Requested),
))]
pub async fn sync(
    State(api): State<Api>,
    Operator(_): Operator,
    input::Json(wanted): input::Json<WantedRun>,
) -> Result<(StatusCode, Json<Requested>), Problem> {
    let engine = api.engine();
    let wanted = Request {
        environments: wanted.environments.into_iter().map(String::from).collect(),
        full: wanted.full,
        dry_run: wanted.dry_run,
        ..Request::default()
    };
    let request = request_run(&engine, &wanted).await?;
    let mut run = None;
    for _ in 0..RUN_BEGINS_WITHIN {
        run = asked::run_of(&engine, request).await?.flatten();
        if run.is_some() {
            break;
        }
        engine.clock.sleep(LOOK_AGAIN).await;
    }
    Ok((StatusCode::ACCEPTED, Json(Requested { request, run })))
}

/// Requests a run, and returns the request's number.
pub(in crate::http) async fn request_run(engine: &Engine, wanted: &Request) -> Result<i64, Problem> {
    let asked = asked::ask(engine, wanted).await;
    asked.map_err(|error| match error {
        CycleError::UnknownEnvironment(UnknownEnvironment(name)) => {
            let known = engine.settings.names().join(", ");
            let problem = format!("there is no environment `{name}`; known: {known}");
            Problem::bad_input("environments", problem)
        }
        CycleError::Failed(failure) => failure.into(),
    })
}

/// Which findings to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Looking {
    /// One environment only.
    #[param(pattern = r"^[^\u0000]*$", example = "production")]
    environment: Option<Text>,
    /// `next` of the page before.
    cursor: Option<i64>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists open findings, oldest first.
#[utoipa::path(get, operation_id = "list_findings", path = "/findings", tag = "runs", params(Looking), responses(
    (status = 200, body = Page<OpenFinding>),
))]
pub async fn findings(
    State(api): State<Api>,
    _: Reader,
    Params(looking): Params<Looking>,
) -> Result<Json<Page<OpenFinding>>, Problem> {
    let limit = page_size(looking.limit)?;
    let environment = looking.environment.as_deref();
    let records = api.engine().records();
    let items = records.findings(environment, looking.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |finding| finding.id)))
}
