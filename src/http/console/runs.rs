//! Runs: the list, one run with its changes and held removals, starting one, and deciding what a run holds.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, Viewer, number, page};
use super::person::Badge;
use crate::domain::reason::Code;
use crate::domain::removal::{HeldKey, HeldRow, HeldSet};
use crate::domain::run::{Run, RunLine};
use crate::domain::text::Text;
use crate::http::api::{self, Api};
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;
use crate::sync::cycle::Request;
use crate::sync::guard::approval::Decision;
use crate::sync::records::RunDetails;

/// The rows of a page.
const ROWS: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    before: Option<i64>,
    after: Option<i64>,
    held_after: Option<Text>,
    requested: Option<i64>,
    decided: Option<String>,
}

#[derive(Template)]
#[template(path = "console/runs.html")]
struct RunsPage {
    frame: Frame,
    runs: Vec<Run>,
    next: Option<i64>,
    operates: bool,
    requested: Option<i64>,
}

impl RunsPage {
    /// What a run did, all environments together.
    fn changes(run: &Run) -> String {
        let sum = |name: &str| -> i64 {
            let environments = run.counts.as_object().into_iter().flat_map(|counts| counts.values());
            environments.filter_map(|counts| counts[name].as_i64()).sum()
        };
        let all = ["created", "updated", "enabled", "disabled", "held"].map(|name| (name, sum(name)));
        let some = all.iter().filter(|(_, count)| *count > 0);
        let some: Vec<String> = some.map(|(name, count)| format!("{} {name}", number(count))).collect();
        if some.is_empty() {
            "no change".to_owned()
        } else {
            some.join(", ")
        }
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    viewer: Viewer,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let mut runs = api.engine().records().runs(wanted.before, ROWS + 1).await?;
    let has_more = runs.len() > 50;
    runs.truncate(50);
    page(&RunsPage {
        frame: viewer.frame(&api, Page::Runs, "Runs").await?,
        next: runs.last().filter(|_| has_more).map(|run| run.id),
        runs,
        operates: viewer.operates(),
        requested: wanted.requested,
    })
}

#[derive(Template)]
#[template(path = "console/run.html")]
struct RunPage {
    frame: Frame,
    run: RunDetails,
    held: Vec<HeldRow>,
    held_next: Option<HeldKey>,
    changes: Vec<RunLine>,
    next: Option<i64>,
    operates: bool,
}

impl RunPage {
    fn reason(code: &str) -> &'static str {
        Code::parse(code).map_or("", Code::sentence)
    }

    fn open(&self) -> impl Iterator<Item = &HeldSet> {
        self.run.held_sets.iter().filter(|set| set.can_be_decided)
    }

    fn decided(&self) -> impl Iterator<Item = &HeldSet> {
        self.run.held_sets.iter().filter(|set| set.decision.is_some())
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Path(id): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let id = api::number("run", &id)?;
    let records = api.engine().records();
    let run = records
        .run(id)
        .await?
        .ok_or_else(|| Problem::not_found(&format!("run {id}")))?;
    let after: Option<HeldKey> = wanted
        .held_after
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|problem| Problem::bad_input("held_after", problem))?;
    let mut held = records.held(id, after, ROWS + 1).await?.unwrap_or_default();
    let more_held = held.len() > 50;
    held.truncate(50);
    let mut changes = records.changes(id, wanted.after, ROWS + 1).await?.unwrap_or_default();
    let has_more = changes.len() > 50;
    changes.truncate(50);
    let mut frame = viewer.frame(&api, Page::Runs, format!("Run {id}")).await?;
    frame.note = wanted.decided.and_then(|decided| {
        let text = match decided.as_str() {
            "approve" => "The removals were approved. What was carried out stands below.",
            "reject" => "The removals were rejected: these users stay enabled until their cause changes.",
            "later" => "The decision is being carried out; this page shows how far it is.",
            _ => return None,
        };
        Some(super::frame::Note {
            text: text.to_owned(),
            is_refusal: false,
        })
    });
    page(&RunPage {
        frame,
        held_next: held.last().filter(|_| more_held).map(HeldKey::from),
        held,
        next: changes.last().filter(|_| has_more).map(|line| line.id),
        changes,
        run,
        operates: viewer.operates(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Start {
    kind: String,
    environment: String,
}

/// Requests a run from the leading process.
pub(super) async fn start(State(api): State<Api>, Form(start): Form<Start>) -> Result<Response, PageProblem> {
    let wanted = Request {
        environments: Some(start.environment)
            .filter(|name| !name.is_empty())
            .into_iter()
            .collect(),
        full: start.kind == "full",
        dry_run: start.kind == "dry",
        ..Request::default()
    };
    let request = api::request_run(&api.engine(), &wanted).await?;
    Ok(Redirect::to(&format!("/console/runs?requested={request}")).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Where {
    environment: String,
}

/// Approves or rejects what a run holds in one environment.
pub(super) async fn decide(
    State(api): State<Api>,
    viewer: Viewer,
    Path((id, decision)): Path<(Text, Text)>,
    Form(place): Form<Where>,
) -> Result<Response, PageProblem> {
    let run = api::number("run", &id)?;
    let (decision, word) = match &*decision {
        "approve" => (Decision::Approve, "approve"),
        "reject" => (Decision::Reject, "reject"),
        other => return Err(Problem::not_found(&format!("decision `{other}`")).into()),
    };
    let place = Some(place.environment).filter(|name| !name.is_empty());
    let is_over = api::decide_run(&api, run, place.as_deref(), decision, viewer.caller.name.clone()).await?;
    let word = if is_over { word } else { "later" };
    Ok(Redirect::to(&format!("/console/runs/{run}?decided={word}")).into_response())
}

#[derive(Template)]
#[template(path = "console/held.html")]
struct Held {
    frame: Frame,
    sets: Vec<HeldSet>,
}

/// The open sets of all runs.
pub(super) async fn held(State(api): State<Api>, viewer: Viewer) -> Result<Response, PageProblem> {
    page(&Held {
        frame: viewer.frame(&api, Page::Held, "Held removals").await?,
        sets: api.engine().records().open_sets().await?,
    })
}
