//! One SystemUser: its row, and on request its roles, teams, history and the directory's values.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Page, Paging, ask, page, page_size};
use crate::domain::role::Holder;
use crate::domain::run::ChangeLine;
use crate::domain::system_user::SystemUser;
use crate::domain::team::Team;
use crate::domain::text::Text;
use crate::http::input::{Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::desk::Ownership;

/// The number of lines of the history that come with a row.
const HISTORY: i64 = 100;

/// A row with the columns that customers have added, and what was asked for beside it.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    #[serde(flatten)]
    row: SystemUser,
    /// Columns that customers have added, under their own names.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    custom: Map<String, Value>,
    #[serde(flatten)]
    included: Included,
}

/// What was asked for beside the row. It takes the place of a customer's column of the same name.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Included {
    /// Its security roles, direct and through teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Holder>>,
    /// Its teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    teams: Option<Vec<Team>>,
    /// The last 100 lines of its history, newest first. `/history` has all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<ChangeLine>>,
    /// Each column that the directory feeds, with its owner and the directory's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Vec<Ownership>>,
}

/// What to show beside a row.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Any of `roles`, `teams`, `history` and `directory`, separated by commas.
    #[param(pattern = r"^[a-z]+(,[a-z]+)*$", example = "roles,teams")]
    include: Option<Text>,
}

/// Shows one row.
#[utoipa::path(get, operation_id = "show_user", path = "/environments/{env}/users/{systemuserid}", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path, description = "Row id, object id or user principal name"), Wanted),
    responses(
    (status = 200, body = User),
))]
pub async fn show(
    State(api): State<Api>,
    Reader(caller): Reader,
    Path((env, user)): Path<(Text, Text)>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<User>, Problem> {
    let parts = wanted.include.as_deref().unwrap_or_default().split(',').map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let known = ["roles", "teams", "history", "directory"];
    if let Some(unknown) = parts.iter().find(|part| !known.contains(part)) {
        let expected = known.join(", ");
        return Err(Problem::bad_input(
            "include",
            format!("`{unknown}` cannot be included; expected any of {expected}"),
        ));
    }
    let (desk, records) = (api.engine().desk(), api.engine().records());
    let row = records.user(&env, &user).await?;
    let id = row.systemuserid.to_string();
    let mut custom = records.custom(&row).await?;
    let mut included = Included::default();
    for part in parts {
        custom.remove(part);
        match part {
            "roles" => {
                let holders = desk.role_holders(&env, Some(&id), None, None, i64::MAX).await?;
                included.roles = Some(holders);
            }
            "teams" => included.teams = Some(records.teams(&env, Some(&id), None, i64::MAX).await?),
            "history" => included.history = Some(records.history(&row, None, HISTORY).await?),
            _ => included.directory = Some(desk.ownership(ask(&env, &id, &caller)).await?),
        }
    }
    Ok(Json(User { row, custom, included }))
}

/// Lists the history of one row, newest first.
#[utoipa::path(get, operation_id = "list_history", path = "/environments/{env}/users/{systemuserid}/history", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path, description = "Row id, object id or user principal name"), Paging<i64>),
    responses(
    (status = 200, body = Page<ChangeLine>),
))]
pub async fn history(
    State(api): State<Api>,
    _: Reader,
    Path((env, user)): Path<(Text, Text)>,
    Params(paging): Params<Paging<i64>>,
) -> Result<Json<Page<ChangeLine>>, Problem> {
    let limit = page_size(paging.limit)?;
    let records = api.engine().records();
    let row = records.user(&env, &user).await?;
    let lines = records.history(&row, paging.cursor, limit + 1).await?;
    Ok(Json(page(lines, limit, |line| line.id)))
}
