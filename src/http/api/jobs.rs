//! Import jobs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Api, Page, number, page, page_size};
use crate::domain::import::{ImportRequest, Item, ItemState, Job, JobState};
use crate::domain::text::Text;
use crate::http::auth::{ApiRole, Caller};
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::imports::{JobFilter, JobReport, Viewer};
use crate::sync::{DeskError, ImportError};

/// How long the submitter of a job that is not for the background waits for its end, before the answer shows its
/// progress.
const AT_ONCE_ENDS_WITHIN: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

fn viewer(caller: &Caller) -> Viewer<'_> {
    Viewer {
        name: &caller.name,
        is_operator: caller.may(ApiRole::Operate),
    }
}

/// Submits an import. Unless it is for the background, the answer waits for its end, at most twenty seconds.
#[utoipa::path(post, operation_id = "submit_import", path = "/environments/{env}/imports", tag = "imports", request_body = ImportRequest,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 201, body = JobReport),
))]
pub async fn submit(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(mut import): input::Json<ImportRequest>,
) -> Result<Response, Problem> {
    let engine = api.engine();
    engine.desk().environment(&env)?;
    import.environment = env.into();
    let is_awaited = !import.background && import.schedule.is_none();
    let id = engine.imports().submit_import(&import, &caller.name).await?.id;
    let mut report = engine.imports().import_job(viewer(&caller), id).await?;
    for _ in 0..AT_ONCE_ENDS_WITHIN {
        if !is_awaited || report.job.is_over() {
            break;
        }
        engine.clock.sleep(LOOK_AGAIN).await;
        report = engine.imports().import_job(viewer(&caller), id).await?;
    }
    let place = [(header::LOCATION, format!("/api/v1/imports/{id}"))];
    Ok((StatusCode::CREATED, place, Json(report)).into_response())
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// One state only.
    #[param(inline)]
    state: Option<JobState>,
    /// `next` of the page before.
    cursor: Option<i64>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists the import jobs of an environment, newest first.
#[utoipa::path(get, operation_id = "list_imports", path = "/environments/{env}/imports", tag = "imports",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Listing), responses(
    (status = 200, body = Page<Job>),
))]
pub async fn list(
    State(api): State<Api>,
    Reader(caller): Reader,
    Path(env): Path<Text>,
    Params(listing): Params<Listing>,
) -> Result<Json<Page<Job>>, Problem> {
    let engine = api.engine();
    engine.desk().environment(&env)?;
    let limit = page_size(listing.limit)?;
    let filter = JobFilter {
        environment: Some(env.into()),
        state: listing.state,
        before: listing.cursor,
        limit: limit + 1,
    };
    let items = engine.imports().import_jobs(viewer(&caller), &filter).await?;
    Ok(Json(page(items, limit, |job| job.id)))
}

/// Shows a job with its report.
#[utoipa::path(get, operation_id = "show_import", path = "/imports/{job}", tag = "imports", params(("job" = i64, Path)), responses(
    (status = 200, body = JobReport),
))]
pub async fn show(
    State(api): State<Api>,
    Reader(caller): Reader,
    Path(job): Path<Text>,
) -> Result<Json<JobReport>, Problem> {
    Ok(Json(
        api.engine()
            .imports()
            .import_job(viewer(&caller), number("job", &job)?)
            .await?,
    ))
}

/// Which results to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ItemListing {
    /// One state only.
    #[param(inline)]
    state: Option<ItemState>,
    /// `next` of the page before.
    cursor: Option<i64>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists the result for each user of a job.
#[utoipa::path(get, operation_id = "list_import_items", path = "/imports/{job}/items", tag = "imports",
    params(("job" = i64, Path), ItemListing), responses(
    (status = 200, body = Page<Item>),
))]
pub async fn items(
    State(api): State<Api>,
    Reader(caller): Reader,
    Path(job): Path<Text>,
    Params(listing): Params<ItemListing>,
) -> Result<Json<Page<Item>>, Problem> {
    let limit = page_size(listing.limit)?;
    let engine = api.engine();
    let job = number("job", &job)?;
    let items = engine
        .imports()
        .import_items(viewer(&caller), job, listing.state, listing.cursor, limit + 1)
        .await?;
    Ok(Json(page(items, limit, |item| item.position)))
}

/// Stops a job after its current batch. Users who have a row keep it.
#[utoipa::path(post, operation_id = "cancel_import", path = "/imports/{job}/cancel", tag = "imports", params(("job" = i64, Path)), responses(
    (status = 200, body = Job),
))]
pub async fn cancel(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(job): Path<Text>,
) -> Result<Json<Job>, Problem> {
    let cancelled = api
        .engine()
        .imports()
        .cancel_import(viewer(&caller), number("job", &job)?)
        .await;
    cancelled.map(Json).map_err(wrong_state)
}

/// Puts a job that is over back into its queue. Completed work stays; refused users are re-evaluated.
#[utoipa::path(post, operation_id = "requeue_import", path = "/imports/{job}/requeue", tag = "imports", params(("job" = i64, Path)), responses(
    (status = 200, body = Job),
))]
pub async fn requeue(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(job): Path<Text>,
) -> Result<Json<Job>, Problem> {
    let requeued = api
        .engine()
        .imports()
        .requeue_import(viewer(&caller), number("job", &job)?)
        .await;
    requeued.map(Json).map_err(wrong_state)
}

/// The request is valid, but the job has progressed too far for it, or not far enough.
fn wrong_state(error: ImportError) -> Problem {
    match error {
        ImportError::Desk(DeskError::BadInput { problem, .. }) => Problem::new(
            StatusCode::CONFLICT,
            "wrong_state",
            problem,
            "GET /api/v1/imports/{job} says how far it is.",
        ),
        error => error.into(),
    }
}
