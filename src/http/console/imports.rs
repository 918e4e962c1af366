//! Import jobs and their results.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, page};
use crate::domain::import::{Item, Job};
use crate::domain::text::Text;
use crate::http::api::{self, Api};
use crate::http::input::{Params, Path};
use crate::sync::imports::{JobFilter, JobReport, Viewer};

/// The rows of a page.
const ROWS: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "console/imports.html")]
struct Imports {
    frame: Frame,
    jobs: Vec<Job>,
}

fn seen_by(viewer: &super::frame::Viewer) -> Viewer<'_> {
    Viewer {
        name: &viewer.caller.name,
        is_operator: viewer.operates(),
    }
}

pub(super) async fn list(State(api): State<Api>, viewer: super::frame::Viewer) -> Result<Response, PageProblem> {
    let filter = JobFilter {
        limit: ROWS,
        ..JobFilter::default()
    };
    let jobs = api.engine().imports().import_jobs(seen_by(&viewer), &filter).await?;
    page(&Imports {
        frame: viewer.frame(&api, Page::Imports, "Imports").await?,
        jobs,
    })
}

#[derive(Template)]
#[template(path = "console/import.html")]
struct Import {
    frame: Frame,
    report: JobReport,
    items: Vec<Item>,
    next: Option<i64>,
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: super::frame::Viewer,
    Path(id): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let id = api::number("job", &id)?;
    let imports = api.engine().imports();
    let report = imports.import_job(seen_by(&viewer), id).await?;
    let mut items = imports
        .import_items(seen_by(&viewer), id, None, wanted.after, ROWS + 1)
        .await?;
    let has_more = items.len() > 50;
    items.truncate(50);
    page(&Import {
        frame: viewer.frame(&api, Page::Imports, format!("Import {id}")).await?,
        next: items.last().filter(|_| has_more).map(|item| item.position),
        report,
        items,
    })
}
