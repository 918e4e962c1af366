//! Open findings, each with its remedy.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, Viewer, page};
use crate::domain::reason::Code;
use crate::domain::run::OpenFinding;
use crate::http::api::Api;
use crate::http::input::Params;

/// The findings of a page.
const ROWS: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    environment: Option<String>,
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "console/findings.html")]
struct FindingsPage {
    frame: Frame,
    findings: Vec<OpenFinding>,
    next: Option<i64>,
}

impl FindingsPage {
    fn remedy(finding: &OpenFinding) -> &'static str {
        Code::parse(&finding.code).map_or("", Code::remedy)
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let records = api.engine().records();
    let mut findings = records
        .findings(wanted.environment.as_deref(), wanted.after, ROWS + 1)
        .await?;
    let has_more = findings.len() > 50;
    findings.truncate(50);
    page(&FindingsPage {
        frame: viewer.frame(&api, Page::Findings, "Findings").await?,
        next: findings.last().filter(|_| has_more).map(|finding| finding.id),
        findings,
    })
}
