//! What a page changes: the operations of the API, with the person who is signed in as the actor.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::frame::{PageProblem, Viewer, segment};
use crate::domain::text::Text;
use crate::http::api::Api;
use crate::http::auth::ApiRole;
use crate::http::input::Path;
use crate::http::problem::Problem;
use crate::rules::Trigger;
use crate::sync::desk::{Answer, Ask};

#[derive(Deserialize)]
pub(super) struct Added {
    user: Text,
}

/// Adds a user to an environment.
pub(super) async fn add(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    Form(added): Form<Added>,
) -> Result<Response, PageProblem> {
    viewer.caller.require(ApiRole::Access)?;
    crate::http::api::usable("user", &added.user)?;
    let ask = Ask {
        environment: &environment,
        user: &added.user,
        actor: &viewer.caller.name,
    };
    let answer = api.engine().desk().add(ask, Trigger::AdminAdd).await?;
    Ok(to_user(&environment, &added.user, &answer))
}

/// Looks a user up in the directory and judges the row.
pub(super) async fn refresh(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, user)): Path<(Text, Text)>,
) -> Result<Response, PageProblem> {
    viewer.caller.require(ApiRole::Access)?;
    let ask = Ask {
        environment: &environment,
        user: &user,
        actor: &viewer.caller.name,
    };
    let answer = api.engine().desk().refresh(ask).await?;
    Ok(to_user(&environment, &user, &answer))
}

/// Carries out one operation of an operator on a row.
pub(super) async fn act(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, user, act)): Path<(Text, Text, Text)>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let desk = api.engine().desk();
    let ask = Ask {
        environment: &environment,
        user: &user,
        actor: &viewer.caller.name,
    };
    let answer = match &*act {
        "enable" => desk.enable(ask).await?,
        "disable" => desk.disable(ask).await?,
        "hold" => desk.hold(ask, fields.one("reason")).await?,
        "release" => desk.release(ask).await?,
        "delete" => desk.delete(ask).await?,
        "grant" => desk.grant(ask, fields.one("role")).await?,
        "revoke" => desk.revoke(ask, fields.one("role")).await?,
        "join" => desk.add_member(ask, fields.one("team")).await?,
        "leave" => desk.remove_member(ask, fields.one("team")).await?,
        "own" => desk.own(ask, &[fields.one("field").to_owned()], false).await?,
        "edit" => desk.edit(ask, &edits(&fields)).await?,
        other => return Err(Problem::not_found(&format!("action `{other}`")).into()),
    };
    Ok(to_user(&environment, &user, &answer))
}

/// The values of an edit: one field by its name, or those of a form whose fields are called as their columns.
fn edits(fields: &Fields) -> Map<String, Value> {
    let value = |text: &str| match text {
        "" => Value::Null,
        text => Value::from(text),
    };
    match fields.given("column") {
        Some(column) => Map::from_iter([(column.to_owned(), value(fields.one("value")))]),
        None => fields
            .pairs()
            .map(|(column, text)| (column.to_owned(), value(text)))
            .collect(),
    }
}

/// To the page of the user, which says what was done.
fn to_user(environment: &str, user: &str, answer: &Answer) -> Response {
    let row = answer.user.as_ref().map(|row| row.systemuserid.to_string());
    let (environment, user) = (segment(environment), segment(row.as_deref().unwrap_or(user)));
    let address = format!(
        "/console/environments/{environment}/users/{user}?done={}",
        answer.outcome
    );
    Redirect::to(&address).into_response()
}
