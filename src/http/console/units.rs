//! The business units of an environment, and what is changed of them.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::fields::Fields;
use super::frame::{Frame, Page, PageProblem, Viewer, page, segment};
use crate::domain::text::Text;
use crate::domain::unit::BusinessUnit;
use crate::http::api::{self, Api};
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;
use crate::sync::desk::UnitEdit;

/// The rows of a page.
const ROWS: i64 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    after: Option<Uuid>,
}

#[derive(Template)]
#[template(path = "console/units.html")]
struct UnitsPage {
    frame: Frame,
    environment: String,
    environments: Vec<String>,
    units: Vec<BusinessUnit>,
    next: Option<String>,
    operates: bool,
}

impl UnitsPage {
    /// The address of the page.
    fn base(&self) -> String {
        format!("/console/environments/{}/units", segment(&self.environment))
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let listed = engine.records().units(&environment, wanted.after, ROWS + 1).await?;
    let listed = api::page(listed, ROWS, |unit| unit.businessunitid);
    let title = format!("Business units of {}", &*environment);
    page(&UnitsPage {
        frame: viewer.frame(&api, Page::Units, title).await?.within(&environment),
        environment: environment.into(),
        environments: engine.settings.names(),
        next: listed.next,
        units: listed.items,
        operates: viewer.operates(),
    })
}

/// Creates a unit.
pub(super) async fn add(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let (name, parent) = (fields.one("name"), fields.given("parent"));
    api.engine()
        .desk()
        .add_unit(&environment, name, parent, &viewer.caller.name)
        .await?;
    Ok(to_list(&environment))
}

/// Carries out one operation on a unit.
pub(super) async fn act(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, unit, act)): Path<(Text, Text, Text)>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let desk = api.engine().desk();
    let edit = match &*act {
        "edit" => UnitEdit {
            name: fields.given("name"),
            parent: fields.given("parent"),
            isdisabled: None,
        },
        "disable" | "enable" => UnitEdit {
            isdisabled: Some(&*act == "disable"),
            ..UnitEdit::default()
        },
        "delete" => {
            desk.delete_unit(&environment, &unit).await?;
            return Ok(to_list(&environment));
        }
        other => return Err(Problem::not_found(&format!("action `{other}`")).into()),
    };
    desk.edit_unit(&environment, &unit, edit, &viewer.caller.name).await?;
    Ok(to_list(&environment))
}

fn to_list(environment: &str) -> Response {
    Redirect::to(&format!("/console/environments/{}/units", segment(environment))).into_response()
}
