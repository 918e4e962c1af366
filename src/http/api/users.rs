//! SystemUsers: lists, single rows, and how rows are created. `acts` holds the operations on one row.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Api, Page, ask, page, page_size};
use crate::domain::reason::Code;
use crate::domain::system_user::{Filter, SystemUser};
use crate::domain::text::{Text, trimmed};
use crate::http::input::{self, Params, Path, Reader, Requester};
use crate::http::problem::Problem;
use crate::rules::{Client, Trigger};
use crate::sync::desk::whereabouts::Whereabouts;
use crate::sync::desk::{Answer, MOST_AT_ONCE, nobody};

/// Which rows to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// `enabled` or `disabled` rows only.
    #[param(inline)]
    state: Option<RowState>,
    /// One access mode only.
    #[param(minimum = 0, maximum = 5)]
    mode: Option<i16>,
    /// One type of row only.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<RowType>,
    /// Rows disabled for this reason code only.
    #[param(schema_with = reason_codes)]
    reason: Option<Text>,
    /// `true`: enabled users without any security role, of their own or of a team.
    without_role: Option<bool>,
    /// Rows whose name, full name or e-mail contains this text.
    #[param(pattern = r"^[^\u0000]*$")]
    text: Option<Text>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<Uuid>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// The reason codes there are.
fn reason_codes() -> utoipa::openapi::schema::Object {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes))
        .build()
}

/// States to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// The user may sign in.
    Enabled,
    /// The user may not sign in.
    Disabled,
}

/// Types to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowType {
    /// Directory users.
    Regular,
    /// Applications.
    Application,
    /// Directory users that programs use.
    NonInteractive,
    /// Placeholders of a data import.
    Stub,
    /// The two placeholders of every environment.
    Reserved,
}

/// Lists rows.
#[utoipa::path(get, operation_id = "list_users", path = "/environments/{env}/users", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Listing), responses(
    (status = 200, body = Page<SystemUser>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(listing): Params<Listing>,
) -> Result<Json<Page<SystemUser>>, Problem> {
    let limit = page_size(listing.limit)?;
    if listing.mode.is_some_and(|mode| !(0..=5).contains(&mode)) {
        return Err(Problem::bad_input("mode", "expected 0 to 5"));
    }
    if listing
        .reason
        .as_deref()
        .is_some_and(|reason| Code::parse(reason).is_none())
    {
        return Err(Problem::bad_input("reason", "no reason code"));
    }
    let kind = listing.kind.map(|kind| match kind {
        RowType::Regular => "regular",
        RowType::Application => "application",
        RowType::NonInteractive => "non_interactive",
        RowType::Stub => "stub",
        RowType::Reserved => "reserved",
    });
    let filter = Filter {
        disabled: listing.state.map(|state| state == RowState::Disabled),
        accessmode: listing.mode,
        reason: listing.reason.map(String::from),
        kind: kind.map(str::to_owned),
        without_role: listing.without_role.unwrap_or_default(),
        text: listing.text.map(String::from),
        after: listing.cursor,
        limit: limit + 1,
    };
    let items = api.engine().records().users(&env, &filter).await?;
    Ok(Json(page(items, limit, |row| row.systemuserid)))
}

/// Shows one person in every environment: state, and why there is no row or no access. Writes no row.
#[utoipa::path(get, operation_id = "show_user_everywhere", path = "/users/{user}/environments", tag = "users",
    params(("user" = String, Path, description = "Object id, user principal name or row id")), responses(
    (status = 200, body = Whereabouts),
))]
pub async fn whereabouts(
    State(api): State<Api>,
    _: Reader,
    Path(user): Path<Text>,
) -> Result<Json<Whereabouts>, Problem> {
    // It is part of the address: one that can name nobody is not found.
    usable("user", &user).map_err(|_| nobody(&user))?;
    Ok(Json(api.engine().desk().whereabouts(&user).await?))
}

/// The user who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Object id or user principal name.
    #[schema(max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    user: Text,
    /// How the user wants to work.
    #[schema(inline)]
    client: Option<WantedClient>,
}

/// How a user wants to work.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedClient {
    /// The web interface.
    #[default]
    Interactive,
    /// A program.
    Api,
}

/// Whether a text can name a user.
pub(in crate::http) fn usable(field: &str, user: &str) -> Result<(), Problem> {
    if trimmed(user).is_empty() || user.contains('\0') || user.chars().count() > 1024 {
        return Err(Problem::bad_input(
            field,
            "expected an object id or a user principal name",
        ));
    }
    Ok(())
}

/// The user of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Object id or user principal name.
    #[schema(max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    user: Text,
}

/// Adds a user, or synchronises one who has a row; the rules decide.
#[utoipa::path(post, operation_id = "add_user", path = "/environments/{env}/users", tag = "users", request_body = Named,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Answer),
))]
pub async fn add(
    State(api): State<Api>,
    Requester(caller): Requester,
    Path(env): Path<Text>,
    input::Json(wanted): input::Json<Named>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &wanted.user)?;
    let ask = ask(&env, &wanted.user, &caller);
    Ok(Json(api.engine().desk().add(ask, Trigger::Api).await?))
}

/// Handles a sign-in: creates or enables the row if the rules allow it.
#[utoipa::path(post, operation_id = "ask_for_access", path = "/environments/{env}/access", tag = "users", request_body = Wanted,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Answer),
))]
pub async fn access(
    State(api): State<Api>,
    Requester(caller): Requester,
    Path(env): Path<Text>,
    input::Json(wanted): input::Json<Wanted>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &wanted.user)?;
    let client = match wanted.client.unwrap_or_default() {
        WantedClient::Interactive => Client::Interactive,
        WantedClient::Api => Client::Api,
    };
    let ask = ask(&env, &wanted.user, &caller);
    Ok(Json(api.engine().desk().access(ask, client).await?))
}

/// Object id or user principal name.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
#[expect(dead_code, reason = "a description only")]
pub struct UserName(String);

/// Many users at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedMany {
    /// Object ids or user principal names, at most 1,000.
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<UserName>)]
    users: Vec<Text>,
}

/// The result for one of many users.
#[derive(Debug, Serialize, ToSchema)]
pub struct OneOfMany {
    /// The user as the caller named it.
    user: String,
    /// The answer; null if the user was refused.
    answer: Option<Answer>,
    /// Why the user was refused; otherwise null.
    problem: Option<Problem>,
}

/// Adds up to 1,000 users, with a result for each.
#[utoipa::path(post, operation_id = "add_users", path = "/environments/{env}/users:batch", tag = "users", request_body = WantedMany,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Page<OneOfMany>),
))]
pub async fn add_many(
    State(api): State<Api>,
    Requester(caller): Requester,
    Path(env): Path<Text>,
    input::Json(wanted): input::Json<WantedMany>,
) -> Result<Json<Page<OneOfMany>>, Problem> {
    if wanted.users.is_empty() || wanted.users.len() > MOST_AT_ONCE {
        return Err(Problem::bad_input("users", "expected 1 to 1,000 users"));
    }
    for (at, user) in wanted.users.iter().enumerate() {
        usable(&format!("users[{at}]"), user)?;
    }
    let users: Vec<String> = wanted.users.into_iter().map(String::from).collect();
    let engine = api.engine();
    let results = engine
        .desk()
        .add_many(&env, &users, &caller.name, Trigger::Api, None)
        .await?;
    let items = users.into_iter().zip(results).map(|(user, result)| match result {
        Ok(answer) => OneOfMany {
            user,
            answer: Some(answer),
            problem: None,
        },
        Err(refusal) => OneOfMany {
            user,
            answer: None,
            problem: Some(refusal.into()),
        },
    });
    Ok(Json(Page::whole(items.collect())))
}
