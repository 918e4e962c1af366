//! The overview: each environment, the latest runs, and what waits for somebody.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::{Frame, Page, PageProblem, Viewer, number, page};
use super::person::Badge;
use crate::domain::run::Run;
use crate::domain::status::{EnvironmentStatus, Status};
use crate::http::api::Api;

/// The number of runs in the strip.
const RUNS: i64 = 50;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Overview {
    frame: Frame,
    status: Status,
    runs: Vec<Run>,
}

impl Overview {
    /// The state of everything in a sentence.
    fn state(&self) -> String {
        let open: i64 = self
            .status
            .environments
            .iter()
            .map(|one| one.findings.values().sum::<i64>())
            .sum();
        let open = open + self.status.findings.values().sum::<i64>();
        match (self.frame.held, open, self.status.is_stale) {
            (_, _, true) => "No run has succeeded for three intervals: what you see may be old.".to_owned(),
            (0, 0, _) => "Nothing waits for you.".to_owned(),
            (0, open, _) => format!("{} open findings.", number(&open)),
            (held, _, _) => format!("{} removals wait for a decision.", number(&held)),
        }
    }

    fn findings_of(one: &EnvironmentStatus) -> i64 {
        one.findings.values().sum()
    }
}

pub(super) async fn show(State(api): State<Api>, viewer: Viewer) -> Result<Response, PageProblem> {
    let configured = api.configured.borrow().clone();
    let records = configured.engine.records();
    page(&Overview {
        frame: viewer.frame(&api, Page::Overview, "Overview").await?,
        status: records.status(configured.interval).await?,
        runs: records.runs(None, RUNS).await?,
    })
}
