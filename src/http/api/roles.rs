//! Security roles of a row.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Api, Page, Paging, ask, page, page_size};
use crate::domain::role::{Holder, HolderKey};
use crate::domain::text::Text;
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::desk::Answer;

/// A role by name.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NamedRole {
    /// The role's name.
    #[schema(min_length = 1)]
    pub(super) role: Text,
}

/// Lists the security roles of a row.
#[utoipa::path(get, operation_id = "list_roles", path = "/environments/{env}/users/{systemuserid}/roles", tag = "roles",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path), Paging<Text>), responses(
    (status = 200, body = Page<Holder>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Path((env, user)): Path<(Text, Text)>,
    Params(paging): Params<Paging<Text>>,
) -> Result<Json<Page<Holder>>, Problem> {
    let limit = page_size(paging.limit)?;
    let desk = api.engine().desk();
    let holders = desk
        .role_holders(&env, Some(&user), None, paging.after()?, limit + 1)
        .await?;
    Ok(Json(page(holders, limit, |holder| HolderKey::from(holder))))
}

/// Grants a row a security role.
#[utoipa::path(post, operation_id = "grant_role", path = "/environments/{env}/users/{systemuserid}/roles", tag = "roles", request_body = NamedRole,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Answer),
))]
pub async fn grant(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, user)): Path<(Text, Text)>,
    input::Json(NamedRole { role }): input::Json<NamedRole>,
) -> Result<Json<Answer>, Problem> {
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().grant(ask, &role).await?))
}

/// Revokes a security role of a row. A JSON body may name the role instead of the query.
#[utoipa::path(delete, operation_id = "revoke_role", path = "/environments/{env}/users/{systemuserid}/roles", tag = "roles",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path), NamedRole), responses(
    (status = 200, body = Answer),
))]
pub async fn revoke(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, user)): Path<(Text, Text)>,
    input::ParamsOrJson(NamedRole { role }): input::ParamsOrJson<NamedRole>,
) -> Result<Json<Answer>, Problem> {
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().revoke(ask, &role).await?))
}
