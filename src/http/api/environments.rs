//! Environments: what they are, who is a candidate, and why a user has access or not.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::users::usable;
use super::{Api, Page, Paging, page, page_size};
use crate::domain::import::Candidate;
use crate::domain::text::Text;
use crate::http::input::{Params, Path, Reader};
use crate::http::problem::Problem;
use crate::rules::Trigger;
use crate::sync::desk::explain::ShownExplanation;
use crate::sync::records::EnvironmentInfo;

/// Lists the environments: those that are configured, and those that are left over in the database.
#[utoipa::path(get, operation_id = "list_environments", path = "/environments", tag = "environments", params(Paging<Text>), responses(
    (status = 200, body = Page<EnvironmentInfo>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Params(paging): Params<Paging<Text>>,
) -> Result<Json<Page<EnvironmentInfo>>, Problem> {
    let limit = page_size(paging.limit)?;
    let mut items = api.engine().records().environments().await?;
    if let Some(name) = &paging.cursor {
        let known = items.iter().position(|one| *one.name == **name);
        let known = known.ok_or_else(|| Problem::bad_input("cursor", "expected `next` of the page before"))?;
        items.drain(..=known);
    }
    items.truncate(usize::try_from(limit + 1).unwrap_or(usize::MAX));
    Ok(Json(page(items, limit, |environment| environment.name.clone())))
}

/// Shows one environment.
#[utoipa::path(get, operation_id = "show_environment", path = "/environments/{env}", tag = "environments",
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = EnvironmentInfo),
))]
pub async fn show(State(api): State<Api>, _: Reader, Path(env): Path<Text>) -> Result<Json<EnvironmentInfo>, Problem> {
    Ok(Json(api.engine().records().environment(&env).await?))
}

/// The user to explain, and the trigger.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Explain {
    /// Object id, user principal name or row id.
    #[param(max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    user: Text,
    /// `background`, `access`, `api`, `admin_add`, `import`, `refresh` or `diagnostics`.
    #[param(inline)]
    trigger: Option<ExplainTrigger>,
}

/// The cause of the evaluation.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplainTrigger {
    /// The cycle.
    Background,
    /// A sign-in.
    Access,
    /// A script.
    Api,
    /// An administrator.
    AdminAdd,
    /// An import job.
    Import,
    /// A refresh.
    Refresh,
    /// Explanation only.
    #[default]
    Diagnostics,
}

impl From<ExplainTrigger> for Trigger {
    fn from(trigger: ExplainTrigger) -> Self {
        match trigger {
            ExplainTrigger::Background => Self::Background,
            ExplainTrigger::Access => Self::Access(crate::rules::Client::Interactive),
            ExplainTrigger::Api => Self::Api,
            ExplainTrigger::AdminAdd => Self::AdminAdd,
            ExplainTrigger::Import => Self::Import,
            ExplainTrigger::Refresh => Self::Refresh,
            ExplainTrigger::Diagnostics => Self::Diagnostics,
        }
    }
}

/// Explains why a user has access or not. Writes no row.
#[utoipa::path(get, operation_id = "explain", path = "/environments/{env}/explain", tag = "environments",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Explain), responses(
    (status = 200, body = ShownExplanation),
))]
pub async fn explain(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(asked): Params<Explain>,
) -> Result<Json<ShownExplanation>, Problem> {
    let engine = api.engine();
    engine.desk().environment(&env)?;
    usable("user", &asked.user)?;
    let trigger = asked.trigger.unwrap_or_default().into();
    let explanation = engine.desk().explain(&env, &asked.user, trigger).await?;
    Ok(Json(explanation.shown()))
}

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Searching {
    /// Users whose name or user principal name contains this text.
    #[param(pattern = r"^[^\u0000]*$")]
    text: Option<Text>,
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists directory users who have no row in the environment.
#[utoipa::path(get, operation_id = "list_candidates", path = "/environments/{env}/candidates", tag = "environments",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Searching), responses(
    (status = 200, body = Page<Candidate>),
))]
pub async fn candidates(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(searching): Params<Searching>,
) -> Result<Json<Page<Candidate>>, Problem> {
    let limit = page_size(searching.limit)?;
    let engine = api.engine();
    let found = engine
        .imports()
        .candidates(&env, searching.text.as_deref(), searching.cursor, limit + 1)
        .await?;
    Ok(Json(page(found, limit, |candidate| candidate.id)))
}
