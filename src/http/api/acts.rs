//! Operations on one SystemUser: edits, enabling and disabling, holds, deletion, binding a stub.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::users::usable;
use super::{Api, ask};
use crate::domain::field::Field;
use crate::domain::text::{Text, trimmed};
use crate::http::input::{self, Operator, Path, Requester};
use crate::http::problem::Problem;
use crate::sync::desk::forget::Forgotten;
use crate::sync::desk::{Answer, nobody};

/// The columns to change.
#[derive(Debug)]
pub struct Columns;

impl ToSchema for Columns {}

impl PartialSchema for Columns {
    fn schema() -> RefOr<Schema> {
        let value = |types: SchemaType, about| ObjectBuilder::new().schema_type(types).description(about);
        let text = |about| value([Type::String, Type::Null].into_iter().collect(), about);
        let modes = "0 Read-Write, 1 Administrative, 2 Read, 4 Non-interactive.";
        let mode = value(Type::Integer.into(), Some(modes)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)));
        let hold = "True, together with `holdreason`, puts the row on hold; false, alone, ends the hold.";
        let about = "Columns to change; those that customers have added, too, under their own names.";
        let fields = Field::ALL.into_iter().filter(|field| !field.is_identity());
        fields
            .fold(ObjectBuilder::new(), |columns, field| {
                columns.property(field.column(), text(None))
            })
            .property("company", text(Some("The default company.")))
            .property(
                "businessunitid",
                text(Some("The business unit, by id or name; null for the root.")),
            )
            .property(
                "parentsystemuserid",
                text(Some("The manager: object id, user principal name or row id.")),
            )
            .property("positionid", text(Some("The position, by id or name.")))
            .property("title", text(None))
            .property("nickname", text(None))
            .property("middlename", text(None))
            .property("employeeid", text(None))
            .property("preferredlanguage", text(None))
            .property("accessmode", mode)
            .property("onhold", value(Type::Boolean.into(), Some(hold)))
            .property("holdreason", text(Some("Why the row is held.")))
            .description(Some(about))
            .into()
    }
}

/// Changes columns of a row.
#[utoipa::path(patch, operation_id = "edit_user", path = "/environments/{env}/users/{systemuserid}", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)),
    request_body(content = Columns, description = "Column → new value; null clears."),
    responses(
    (status = 200, body = Answer),
))]
pub async fn edit(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, user)): Path<(Text, Text)>,
    input::Json(mut values): input::Json<Map<String, Value>>,
) -> Result<Json<Answer>, Problem> {
    if values.is_empty() {
        return Err(Problem::bad_input("body", "expected at least one column"));
    }
    let ask = ask(&env, &user, &caller);
    let engine = api.engine();
    let answer = match hold_of(&mut values)? {
        Some(None) if values.is_empty() => engine.desk().release(ask).await?,
        Some(None) => {
            let problem = "the end of a hold re-evaluates the user: request it alone";
            return Err(Problem::bad_input("onhold", problem));
        }
        Some(Some(reason)) => engine.desk().edit_and_hold(ask, &values, Some(&reason)).await?,
        None => engine.desk().edit(ask, &values).await?,
    };
    Ok(Json(answer))
}

/// A hold within an edit: its reason, or its end.
#[expect(clippy::option_option, reason = "no hold, a hold, the end of one")]
fn hold_of(values: &mut Map<String, Value>) -> Result<Option<Option<String>>, Problem> {
    let reason = match values.remove("holdreason") {
        Some(Value::String(reason)) => Some(trimmed(&reason).to_owned()),
        Some(Value::Null) | None => None,
        Some(_) => return Err(Problem::bad_input("holdreason", "expected a text")),
    };
    match (values.remove("onhold"), reason) {
        (Some(Value::Bool(true)), Some(reason)) => Ok(Some(Some(reason))),
        (Some(Value::Bool(true)), None) => Err(Problem::bad_input("holdreason", "a hold needs a reason")),
        (Some(Value::Bool(false)), None) => Ok(Some(None)),
        (Some(Value::Bool(false)) | None, Some(_)) => Err(Problem::bad_input(
            "holdreason",
            "there is no hold to give a reason for",
        )),
        (Some(_), _) => Err(Problem::bad_input("onhold", "expected true or false")),
        (None, None) => Ok(None),
    }
}

/// The reason of a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// One sentence.
    #[schema(max_length = 1000, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    #[serde(alias = "holdreason")]
    reason: Text,
}

/// Handlers that differ only in the operation they call.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $operation:literal $method:ident $path:literal $guard:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path($method, operation_id = $operation, path = $path, tag = "users",
            params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
            (status = 200, body = Answer),
        ))]
        pub async fn $name(
            State(api): State<Api>,
            $guard(caller): $guard,
            Path((env, user)): Path<(Text, Text)>,
        ) -> Result<Json<Answer>, Problem> {
            let ask = ask(&env, &user, &caller);
            Ok(Json(api.engine().desk().$name(ask).await?))
        }
    )*};
}

actions! {
    /// Disables a row by hand.
    disable "disable_user" post "/environments/{env}/users/{systemuserid}/disable" Operator;
    /// Enables a row, if the rules allow it.
    enable "enable_user" post "/environments/{env}/users/{systemuserid}/enable" Operator;
    /// Ends a hold and re-evaluates the user.
    release "release_user" post "/environments/{env}/users/{systemuserid}/release" Operator;
    /// Deletes a row whose directory user is permanently deleted, a stub, or a disabled application user.
    delete "delete_user" delete "/environments/{env}/users/{systemuserid}" Operator;
}

/// Synchronises a row now, which may disable it. For a directory user without a row, the verdict shows what an access
/// would do.
#[utoipa::path(post, operation_id = "refresh_user", path = "/environments/{env}/users/{systemuserid}/refresh", tag = "users",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Answer),
))]
pub async fn refresh(
    State(api): State<Api>,
    Requester(caller): Requester,
    Path((env, user)): Path<(Text, Text)>,
) -> Result<Json<Answer>, Problem> {
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().refresh(ask).await?))
}

/// Disables a row until the hold is released, whatever the rules say.
#[utoipa::path(post, operation_id = "hold_user", path = "/environments/{env}/users/{systemuserid}/hold", tag = "users", request_body = Reason,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Answer),
))]
pub async fn hold(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, user)): Path<(Text, Text)>,
    input::Json(Reason { reason }): input::Json<Reason>,
) -> Result<Json<Answer>, Problem> {
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().hold(ask, &reason).await?))
}

/// The directory user of a stub.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Object id or user principal name.
    #[schema(max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    user: Text,
    /// If the user already has a row, move the stub's roles to it and delete the stub.
    #[serde(default)]
    merge: bool,
}

/// Binds a stub to a directory user, or merges it into the row that the user has.
#[utoipa::path(post, operation_id = "map_stub", path = "/environments/{env}/users/{systemuserid}/map", tag = "users", request_body = Person,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("systemuserid" = String, Path)), responses(
    (status = 200, body = Answer),
))]
pub async fn map(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, stub)): Path<(Text, Text)>,
    input::Json(target): input::Json<Person>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &target.user)?;
    let ask = ask(&env, &stub, &caller);
    let engine = api.engine();
    Ok(Json(if target.merge {
        engine.desk().merge(ask, &target.user).await?
    } else {
        engine.desk().map(ask, &target.user).await?
    }))
}

/// Forgets a person who is gone or soft-deleted in the directory and whose rows are deleted: values are blanked in every
/// table; ids, operations, reasons and times stay.
#[utoipa::path(post, operation_id = "forget_user", path = "/users/{user}/forget", tag = "users",
    params(("user" = String, Path, description = "Object id, user principal name or row id")), responses(
    (status = 200, body = Forgotten),
))]
pub async fn forget(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(user): Path<Text>,
) -> Result<Json<Forgotten>, Problem> {
    // It is part of the address: one that can name nobody is not found.
    usable("user", &user).map_err(|_| nobody(&user))?;
    Ok(Json(api.engine().desk().forget(&user, &caller.name).await?))
}
