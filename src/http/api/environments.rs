//! Environments: what they are, who could be in them, and why somebody is or is not.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::users::usable;
use super::{Api, Page, page, page_size};
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::text::Text;
use crate::http::input::{Params, Path, Reader};
use crate::http::problem::Problem;
use crate::rules::Trigger;
use crate::store::candidates::Candidate;
use crate::store::{Connection, StoreResult, environments, quota, removals, rows};
use crate::sync::desk::explain::ShownExplanation;

/// One environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentInfo {
    /// Its name.
    name: String,
    /// `production`, `sandbox`, `default`, `trial`, `developer`, `teams`.
    kind: String,
    /// Without a database nobody gets a row.
    has_database: bool,
    /// The group whose members may have access.
    security_group: Option<Uuid>,
    /// `ignore`, `on_demand`, `full`.
    group_nesting: &'static str,
    /// The creator of a developer environment.
    creator: Option<Uuid>,
    /// App passes.
    app_pass_capacity: u32,
    /// Whether pay-as-you-go is on.
    pay_as_you_go: bool,
    /// How many non-interactive users may be enabled.
    non_interactive_cap: u32,
    /// How many are.
    non_interactive_users: i64,
    /// The security roles there are.
    roles: Vec<String>,
    /// Enabled rows of directory users.
    enabled: i64,
    /// Disabled ones.
    disabled: i64,
    /// Whether it is in the daemon's configuration. One that is left over in the database is listed with the kind it had
    /// (`unknown` if nobody wrote it down) and otherwise as one without settings; nothing can be done in it.
    configured: bool,
    /// Rows whose removal waits for a person; in one that is left over nobody can decide it.
    held: i64,
}

impl EnvironmentInfo {
    async fn of(db: &mut Connection, environment: &Environment) -> StoreResult<Self> {
        let (enabled, disabled) = environments::count_rows(&mut *db, &environment.name).await?;
        let cap = environment.non_interactive_cap;
        let free = quota::free_slots(&mut *db, &environment.name, cap).await?;
        let held = removals::count_held(db, std::slice::from_ref(&environment.name)).await?;
        Ok(Self {
            name: environment.name.clone(),
            kind: environment.kind.as_str().to_owned(),
            has_database: environment.has_database,
            security_group: environment.security_group,
            group_nesting: environment.group_nesting.as_str(),
            creator: environment.creator,
            app_pass_capacity: environment.app_pass_capacity,
            pay_as_you_go: environment.pay_as_you_go,
            non_interactive_cap: cap,
            non_interactive_users: i64::from(cap) - free,
            roles: environment.roles.clone(),
            enabled,
            disabled,
            configured: true,
            held,
        })
    }

    /// Those that the database has and the configuration lacks.
    async fn left_over(db: &mut Connection, configured: &[String]) -> StoreResult<Vec<Self>> {
        let left_over = environments::left_over(&mut *db, configured).await?;
        let names: Vec<String> = left_over.into_iter().map(|left| left.environment).collect();
        let mut items = Vec::new();
        for known in environments::known(&mut *db, &names).await? {
            items.push(Self {
                kind: known.kind.unwrap_or_else(|| "unknown".to_owned()),
                has_database: false,
                security_group: None,
                group_nesting: GroupNesting::Ignore.as_str(),
                creator: None,
                app_pass_capacity: 0,
                pay_as_you_go: false,
                non_interactive_cap: 0,
                non_interactive_users: rows::count_non_interactive(&mut *db, &known.name).await?,
                roles: Vec::new(),
                enabled: known.enabled,
                disabled: known.disabled,
                configured: false,
                held: known.held,
                name: known.name,
            });
        }
        Ok(items)
    }
}

/// Where a page of environments begins and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// `next` of the page before.
    cursor: Option<Text>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists the environments: those that are configured, and those that are left over in the database.
#[utoipa::path(get, operation_id = "list_environments", path = "/environments", tag = "environments", params(Paging), responses(
    (status = 200, body = Page<EnvironmentInfo>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<EnvironmentInfo>>, Problem> {
    let limit = page_size(paging.limit)?;
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    let mut items = Vec::new();
    for (environment, _) in &engine.settings.environments {
        items.push(EnvironmentInfo::of(&mut db, environment).await?);
    }
    items.extend(EnvironmentInfo::left_over(&mut db, &engine.settings.names()).await?);
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
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(State(api): State<Api>, _: Reader, Path(env): Path<Text>) -> Result<Json<EnvironmentInfo>, Problem> {
    let engine = api.engine();
    let mut db = engine.store.read().await?;
    match engine.desk().environment(&env) {
        Ok(environment) => Ok(Json(EnvironmentInfo::of(&mut db, environment).await?)),
        Err(unknown) => {
            let mut left_over = EnvironmentInfo::left_over(&mut db, &engine.settings.names())
                .await?
                .into_iter();
            Ok(Json(left_over.find(|left| *left.name == *env).ok_or(unknown)?))
        }
    }
}

/// Whom to explain, and for which trigger.
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

/// What would cause the evaluation.
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

/// Explains why somebody has access or has not. Writes no row.
#[utoipa::path(get, operation_id = "explain", path = "/environments/{env}/explain", tag = "environments",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Explain), responses(
    (status = 200, body = ShownExplanation),
    (status = "default", body = Problem, content_type = "application/problem+json"),
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

/// Whom to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Searching {
    /// Users whose name or user principal name contains this text.
    #[param(pattern = r"^[^\u0000]*$")]
    text: Option<Text>,
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists directory users who have no row in the environment.
#[utoipa::path(get, operation_id = "list_candidates", path = "/environments/{env}/candidates", tag = "environments",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Searching), responses(
    (status = 200, body = Page<Candidate>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
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
