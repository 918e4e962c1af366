//! Sync history, decisions about what the guard holds, a run on request, and findings.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Page, number, page, page_size};
use crate::domain::text::Text;
use crate::error::chain;
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::store::changes::{self, RunLine};
use crate::store::environments;
use crate::store::findings::{self, OpenFinding};
use crate::store::removals::{self, HeldKey, HeldRow, HeldSet};
use crate::store::runs::{self, Run};
use crate::sync::guard::approval::{Decided, Decision};

/// How long a request for a run waits for the run's number, and how often it looks.
const RUN_BEGINS_WITHIN: u32 = 25;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// `next` of the page before.
    cursor: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists runs, newest first.
#[utoipa::path(get, operation_id = "list_runs", path = "/runs", tag = "runs", params(Paging), responses(
    (status = 200, body = Page<Run>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<Run>>, Problem> {
    let limit = page_size(paging.limit)?;
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    let items = runs::list(&mut db, paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |run| run.id)))
}

/// A run with what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunDetails {
    #[serde(flatten)]
    run: Run,
    /// The sets of removals that it held.
    held_sets: Vec<HeldSet>,
    /// Who would lose access.
    held: Vec<HeldRow>,
}

/// Shows a run, and who would lose access where it holds removals.
#[utoipa::path(get, operation_id = "show_run", path = "/runs/{id}", tag = "runs", params(("id" = i64, Path)), responses(
    (status = 200, body = RunDetails),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(State(api): State<Api>, _: Reader, Path(id): Path<Text>) -> Result<Json<RunDetails>, Problem> {
    let id = number("id", &id)?;
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    let run = runs::find(&mut db, id).await?.ok_or_else(|| no_run(id))?;
    let held_sets = removals::sets(&mut db, Some(id), &engine.settings.names()).await?;
    let held = removals::held_rows(&mut db, id, None, i64::MAX).await?;
    Ok(Json(RunDetails { run, held_sets, held }))
}

fn no_run(id: i64) -> Problem {
    Problem::not_found(&format!("run {id}"))
}

/// Where a page of held rows begins and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeldPaging {
    /// `next` of the page before.
    cursor: Option<Text>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists who would lose access by what a run holds.
#[utoipa::path(get, operation_id = "list_held", path = "/runs/{id}/held", tag = "runs",
    params(("id" = i64, Path), HeldPaging), responses(
    (status = 200, body = Page<HeldRow>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn held(
    State(api): State<Api>,
    _: Reader,
    Path(id): Path<Text>,
    Params(paging): Params<HeldPaging>,
) -> Result<Json<Page<HeldRow>>, Problem> {
    let (id, limit) = (number("id", &id)?, page_size(paging.limit)?);
    let after = paging.cursor.as_deref().map(str::parse).transpose();
    let after = after.map_err(|problem: &str| Problem::bad_input("cursor", problem))?;
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    runs::find(&mut db, id).await?.ok_or_else(|| no_run(id))?;
    let items = removals::held_rows(&mut db, id, after, limit + 1).await?;
    Ok(Json(page(items, limit, |row| HeldKey::from(row))))
}

/// Lists what a run changed, in the order in which it did.
#[utoipa::path(get, operation_id = "list_changes", path = "/runs/{id}/changes", tag = "runs",
    params(("id" = i64, Path), Paging), responses(
    (status = 200, body = Page<RunLine>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn changes(
    State(api): State<Api>,
    _: Reader,
    Path(id): Path<Text>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<RunLine>>, Problem> {
    let (id, limit) = (number("id", &id)?, page_size(paging.limit)?);
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    runs::find(&mut db, id).await?.ok_or_else(|| no_run(id))?;
    let items = changes::of_run(&mut db, id, paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |line| line.id)))
}

/// Where a decision counts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Where {
    /// One environment only.
    #[param(pattern = r"^[^\u0000]*$", example = "production")]
    environment: Option<Text>,
}

/// What came of a decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decisions {
    /// The run.
    run: i64,
    /// Who decided.
    decided_by: String,
    /// What was carried out and what was not, by environment.
    environments: Vec<Decided>,
}

/// Disables exactly the rows that a run holds; each is judged again at that moment. The environment may stand in a JSON
/// body instead.
#[utoipa::path(post, operation_id = "approve_run", path = "/runs/{id}/approve", tag = "runs", params(("id" = i64, Path), Where), responses(
    (status = 200, body = Decisions),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn approve(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(id): Path<Text>,
    input::ParamsOrJson(place): input::ParamsOrJson<Where>,
) -> Result<Json<Decisions>, Problem> {
    decide(&api, &id, &place, Decision::Approve, caller.name).await
}

/// Leaves the rows that a run holds enabled until their cause changes. The environment may stand in a JSON body instead.
#[utoipa::path(post, operation_id = "reject_run", path = "/runs/{id}/reject", tag = "runs", params(("id" = i64, Path), Where), responses(
    (status = 200, body = Decisions),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn reject(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(id): Path<Text>,
    input::ParamsOrJson(place): input::ParamsOrJson<Where>,
) -> Result<Json<Decisions>, Problem> {
    decide(&api, &id, &place, Decision::Reject, caller.name).await
}

async fn decide(
    api: &Api,
    id: &str,
    place: &Where,
    decision: Decision,
    decided_by: String,
) -> Result<Json<Decisions>, Problem> {
    let run = number("id", id)?;
    let engine = api.engine();
    if let Some(name) = &place.environment {
        engine.desk().environment(name)?;
    }
    {
        let mut db = engine.store.read().await?;
        runs::find(&mut db, run).await?.ok_or_else(|| no_run(run))?;
    }
    let decisions = engine
        .guard()
        .decide(run, place.environment.as_deref(), decision, &decided_by)
        .await?;
    if let Some(failure) = &decisions.failure {
        tracing::warn!(run, error = %chain(failure), "a decision was not carried out everywhere");
    }
    Ok(Json(Decisions {
        run,
        decided_by,
        environments: decisions.environments,
    }))
}

/// What a run shall do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WantedRun {
    /// The environments to judge; empty means all.
    environments: Vec<Text>,
    /// New full rounds of every source, then everyone is judged.
    full: bool,
    /// Only show.
    dry_run: bool,
}

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Requested {
    /// The request's number.
    request: i64,
    /// The run's number, as soon as the process that leads has begun it.
    run: Option<i64>,
}

/// Asks the process that leads for a run. `GET /runs/{id}` tells what it did.
#[utoipa::path(post, operation_id = "request_run", path = "/sync", tag = "runs", request_body = WantedRun, responses(
    (status = 202, body = Requested),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn sync(
    State(api): State<Api>,
    Operator(_): Operator,
    input::Json(wanted): input::Json<WantedRun>,
) -> Result<(StatusCode, Json<Requested>), Problem> {
    let engine = api.engine();
    let environments: Vec<String> = wanted.environments.into_iter().map(String::from).collect();
    for name in &environments {
        engine
            .desk()
            .environment(name)
            .map_err(|_| Problem::bad_input("environments", format!("there is no environment `{name}`")))?;
    }
    let request = {
        let mut db = engine.store.read().await?;
        let now = engine.clock.now();
        runs::request(&mut db, &environments, wanted.full, wanted.dry_run, now).await?
    };
    let mut run = None;
    for _ in 0..RUN_BEGINS_WITHIN {
        let mut db = engine.store.read().await?;
        run = runs::requested_run(&mut db, request).await?.flatten();
        drop(db);
        if run.is_some() {
            break;
        }
        engine.clock.sleep(LOOK_AGAIN).await;
    }
    Ok((StatusCode::ACCEPTED, Json(Requested { request, run })))
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
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists open findings, oldest first.
#[utoipa::path(get, operation_id = "list_findings", path = "/findings", tag = "runs", params(Looking), responses(
    (status = 200, body = Page<OpenFinding>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn findings(
    State(api): State<Api>,
    _: Reader,
    Params(looking): Params<Looking>,
) -> Result<Json<Page<OpenFinding>>, Problem> {
    let limit = page_size(looking.limit)?;
    let engine = api.engine();
    let environment = looking.environment.as_deref();
    let mut db = engine.store.read().await?;
    if let Some(name) = environment
        && !environments::others(&mut db, &engine.settings.names())
            .await?
            .iter()
            .any(|left| left == name)
    {
        engine.desk().environment(name)?;
    }
    let items = findings::list_open(&mut db, environment, looking.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |finding| finding.id)))
}
