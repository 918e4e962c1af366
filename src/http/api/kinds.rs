//! Rows without a directory user, and who owns the columns of a row.

use axum::Json;
use axum::extract::State;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::users::usable;
use super::{Api, Page, ask};
use crate::domain::text::{Text, object_id};
use crate::http::input::{self, Operator, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::desk::{Answer, Ownership};

/// A placeholder to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedStub {
    /// The user principal name that records refer to.
    #[schema(max_length = 1024, pattern = r"^[^\u0000\s]*@[^\u0000\s]*$")]
    user: Text,
    /// Its company.
    #[schema(max_length = 256, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    company: Option<Text>,
}

/// Creates a stub: a disabled placeholder for a user principal name that imported records refer to.
#[utoipa::path(post, operation_id = "make_stub", path = "/environments/{env}/stubs", tag = "users", request_body = WantedStub,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Answer),
))]
pub async fn stub(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(wanted): input::Json<WantedStub>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &wanted.user)?;
    let ask = ask(&env, &wanted.user, &caller);
    Ok(Json(api.engine().desk().stub(ask, wanted.company.as_deref()).await?))
}

/// The application of an application user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedApplication {
    /// The application (client) id of an app registration.
    #[serde(deserialize_with = "pasted_id")]
    application: Uuid,
}

fn pasted_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    object_id(&Text::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Creates an application user from an app registration. One that exists gets the current name of the application.
#[utoipa::path(post, operation_id = "make_application_user", path = "/environments/{env}/applications", tag = "users",
    request_body = WantedApplication,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Answer),
))]
pub async fn application(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(WantedApplication { application }): input::Json<WantedApplication>,
) -> Result<Json<Answer>, Problem> {
    let user = application.to_string();
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().application(ask, application).await?))
}

/// Columns that get another owner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwner {
    /// Columns under `until_edited`; `accessmode` is one.
    #[schema(min_items = 1, max_items = 20)]
    fields: Vec<Text>,
    /// The new owner.
    #[schema(inline)]
    by: Owner,
}

/// Who can own a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The sync writes the directory's value.
    Sync,
    /// The sync leaves the row's value as it is.
    Customer,
}

/// Lists who owns each column of a row.
#[utoipa::path(get, operation_id = "list_ownership", path = "/environments/{env}/users/{systemuserid}/own", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Page<Ownership>),
))]
pub async fn ownership(
    State(api): State<Api>,
    Reader(caller): Reader,
    Path((env, user)): Path<(Text, Text)>,
) -> Result<Json<Page<Ownership>>, Problem> {
    let ask = ask(&env, &user, &caller);
    Ok(Json(Page::whole(api.engine().desk().ownership(ask).await?)))
}

/// Gives columns of a row to the customer, or back to the sync, which writes the directory's value in the next cycle.
#[utoipa::path(post, operation_id = "own_columns", path = "/environments/{env}/users/{systemuserid}/own", tag = "users",
    request_body = NewOwner,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Page<Ownership>),
))]
pub async fn own(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, user)): Path<(Text, Text)>,
    input::Json(NewOwner { fields, by }): input::Json<NewOwner>,
) -> Result<Json<Page<Ownership>>, Problem> {
    if fields.is_empty() {
        return Err(Problem::bad_input("fields", "expected at least one column"));
    }
    let ask = ask(&env, &user, &caller);
    let engine = api.engine();
    let fields: Vec<String> = fields.into_iter().map(String::from).collect();
    engine.desk().own(ask, &fields, by == Owner::Customer).await?;
    Ok(Json(Page::whole(engine.desk().ownership(ask).await?)))
}
