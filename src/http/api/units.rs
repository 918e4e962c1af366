//! Business units and positions of an environment.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{Api, Page, PagingById, page, page_size};
use crate::domain::text::Text;
use crate::domain::unit::{BusinessUnit, Position};
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::desk::{PositionEdit, UnitEdit};

/// A business unit to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUnit {
    /// Its name, unique among the units and teams of the environment.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Text,
    /// The unit above, by id or name; the root if there is none.
    parentbusinessunitid: Option<Text>,
}

/// What to change of a business unit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitChange {
    /// A new name.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Option<Text>,
    /// The unit above, by id or name.
    parentbusinessunitid: Option<Text>,
    /// Whether it is disabled.
    isdisabled: Option<bool>,
}

/// Lists the business units of an environment.
#[utoipa::path(get, operation_id = "list_business_units", path = "/environments/{env}/business-units", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), PagingById), responses(
    (status = 200, body = Page<BusinessUnit>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(paging): Params<PagingById>,
) -> Result<Json<Page<BusinessUnit>>, Problem> {
    let limit = page_size(paging.limit)?;
    let items = api.engine().records().units(&env, paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |unit| unit.businessunitid)))
}

/// Creates a business unit.
#[utoipa::path(post, operation_id = "add_business_unit", path = "/environments/{env}/business-units", tag = "structure",
    request_body = NewUnit,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = BusinessUnit),
))]
pub async fn add(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(new): input::Json<NewUnit>,
) -> Result<Json<BusinessUnit>, Problem> {
    let (desk, parent) = (api.engine().desk(), new.parentbusinessunitid.as_deref());
    Ok(Json(desk.add_unit(&env, &new.name, parent, &caller.name).await?))
}

/// Shows a business unit.
#[utoipa::path(get, operation_id = "show_business_unit", path = "/environments/{env}/business-units/{businessunitid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("businessunitid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = BusinessUnit),
))]
pub async fn show(
    State(api): State<Api>,
    _: Reader,
    Path((env, unit)): Path<(Text, Text)>,
) -> Result<Json<BusinessUnit>, Problem> {
    Ok(Json(api.engine().records().unit(&env, &unit).await?))
}

/// Renames, moves, disables or enables a business unit.
#[utoipa::path(patch, operation_id = "edit_business_unit", path = "/environments/{env}/business-units/{businessunitid}", tag = "structure",
    request_body = UnitChange,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("businessunitid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = BusinessUnit),
))]
pub async fn edit(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, unit)): Path<(Text, Text)>,
    input::Json(change): input::Json<UnitChange>,
) -> Result<Json<BusinessUnit>, Problem> {
    let edit = UnitEdit {
        name: change.name.as_deref(),
        parent: change.parentbusinessunitid.as_deref(),
        isdisabled: change.isdisabled,
    };
    Ok(Json(
        api.engine().desk().edit_unit(&env, &unit, edit, &caller.name).await?,
    ))
}

/// Deletes a business unit that is disabled and empty. Answers the unit as it was.
#[utoipa::path(delete, operation_id = "delete_business_unit", path = "/environments/{env}/business-units/{businessunitid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("businessunitid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = BusinessUnit),
))]
pub async fn delete(
    State(api): State<Api>,
    _: Operator,
    Path((env, unit)): Path<(Text, Text)>,
) -> Result<Json<BusinessUnit>, Problem> {
    Ok(Json(api.engine().desk().delete_unit(&env, &unit).await?))
}

/// A position to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPosition {
    /// Its name, unique among the positions of the environment.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Text,
    /// The position above, by id or name; none for one at the top.
    parentpositionid: Option<Text>,
}

/// What to change of a position.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PositionChange {
    /// A new name.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Option<Text>,
    /// The position above, by id or name; null moves it to the top.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent, null, a position")]
    parentpositionid: Option<Option<Text>>,
}

/// A member that is there, null or not.
#[expect(clippy::option_option, reason = "absent, null, a value")]
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Text>>, D::Error> {
    Option::<Text>::deserialize(deserializer).map(Some)
}

/// Lists the positions of an environment.
#[utoipa::path(get, operation_id = "list_positions", path = "/environments/{env}/positions", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), PagingById), responses(
    (status = 200, body = Page<Position>),
))]
pub async fn list_positions(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(paging): Params<PagingById>,
) -> Result<Json<Page<Position>>, Problem> {
    let limit = page_size(paging.limit)?;
    let items = api.engine().records().positions(&env, paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |position| position.positionid)))
}

/// Creates a position.
#[utoipa::path(post, operation_id = "add_position", path = "/environments/{env}/positions", tag = "structure",
    request_body = NewPosition,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Position),
))]
pub async fn add_position(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(new): input::Json<NewPosition>,
) -> Result<Json<Position>, Problem> {
    let (desk, parent) = (api.engine().desk(), new.parentpositionid.as_deref());
    Ok(Json(desk.add_position(&env, &new.name, parent, &caller.name).await?))
}

/// Shows a position.
#[utoipa::path(get, operation_id = "show_position", path = "/environments/{env}/positions/{positionid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("positionid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Position),
))]
pub async fn show_position(
    State(api): State<Api>,
    _: Reader,
    Path((env, position)): Path<(Text, Text)>,
) -> Result<Json<Position>, Problem> {
    Ok(Json(api.engine().records().position(&env, &position).await?))
}

/// Renames or moves a position.
#[utoipa::path(patch, operation_id = "edit_position", path = "/environments/{env}/positions/{positionid}", tag = "structure",
    request_body = PositionChange,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("positionid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Position),
))]
pub async fn edit_position(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, position)): Path<(Text, Text)>,
    input::Json(change): input::Json<PositionChange>,
) -> Result<Json<Position>, Problem> {
    let edit = PositionEdit {
        name: change.name.as_deref(),
        parent: change.parentpositionid.as_ref().map(Option::as_deref),
    };
    let desk = api.engine().desk();
    Ok(Json(desk.edit_position(&env, &position, edit, &caller.name).await?))
}

/// Deletes a position that nobody has and that has none below it. Answers the position as it was.
#[utoipa::path(delete, operation_id = "delete_position", path = "/environments/{env}/positions/{positionid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("positionid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Position),
))]
pub async fn delete_position(
    State(api): State<Api>,
    _: Operator,
    Path((env, position)): Path<(Text, Text)>,
) -> Result<Json<Position>, Problem> {
    let desk = api.engine().desk();
    Ok(Json(desk.delete_position(&env, &position).await?))
}
