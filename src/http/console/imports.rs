//! Import jobs and their results.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, number, page};
use crate::domain::import::{Item, ItemState, Job, JobOutcome};
use crate::domain::reason::Code;
use crate::domain::text::Text;
use crate::http::api::{self, Api};
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;
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
    operates: bool,
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
        operates: viewer.operates(),
    })
}

#[derive(Template)]
#[template(path = "console/import.html")]
struct Import {
    frame: Frame,
    report: JobReport,
    items: Vec<Item>,
    next: Option<i64>,
    operates: bool,
    now: DateTime<Utc>,
}

impl Import {
    /// How far the job is, and how long the rest takes if it goes on like this.
    fn progress(&self) -> String {
        let job = &self.report.job;
        let has_result = format!("{} of {} users have a result", number(&job.done()), number(&job.total));
        let begun = job
            .started_at
            .filter(|_| !job.is_over() && job.done() > 0 && job.total > job.done());
        let Some(begun) = begun else { return has_result };
        let each = (self.now - begun).as_seconds_f64() / f64::from(job.done());
        let minutes = (each * f64::from(job.total - job.done()) / 60.0).max(1.0);
        format!("{has_result}; about {minutes:.0} minutes are left")
    }

    fn class(item: &Item) -> &'static str {
        match item.state {
            ItemState::Created => "enabled",
            ItemState::Refused => "failed",
            ItemState::Waiting => "held",
            ItemState::AlreadyPresent => "disabled",
        }
    }

    /// The state of a result in words.
    fn word(item: &Item) -> String {
        item.state.as_str().replace('_', " ")
    }

    /// What a result's code says to do.
    fn remedy(item: &Item) -> &'static str {
        item.code.as_deref().and_then(Code::parse).map_or("", Code::remedy)
    }

    /// A code in words.
    fn sentence(code: &str) -> &'static str {
        Code::parse(code).map_or("", Code::sentence)
    }

    fn may_requeue(&self) -> bool {
        let job = &self.report.job;
        self.operates && job.is_over() && job.outcome != Some(JobOutcome::Complete)
    }
}

/// Cancels a job, or puts it back into its queue.
pub(super) async fn act(
    State(api): State<Api>,
    viewer: super::frame::Viewer,
    Path((id, act)): Path<(Text, Text)>,
) -> Result<Response, PageProblem> {
    let id = api::number("job", &id)?;
    let imports = api.engine().imports();
    match &*act {
        "cancel" => imports.cancel_import(seen_by(&viewer), id).await?,
        "requeue" => imports.requeue_import(seen_by(&viewer), id).await?,
        other => return Err(Problem::not_found(&format!("action `{other}`")).into()),
    };
    Ok(Redirect::to(&format!("/console/imports/{id}")).into_response())
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
        operates: viewer.operates(),
        now: api.engine().clock.now(),
    })
}
