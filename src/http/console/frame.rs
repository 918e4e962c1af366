//! What every page has: who looks at it, the way to the other pages, and how a failure is shown.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};

use crate::domain::session::Session;
use crate::http::api::Api;
use crate::http::auth::{ApiRole, AuthError, Caller, Fault};
use crate::http::problem::{Problem, ReportedCode};
use crate::sync::desk::Effect;

/// Who looks at the page.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    session: Session,
    pub caller: Caller,
}

impl Viewer {
    pub fn new(session: Session, caller: Caller) -> Self {
        Self { session, caller }
    }

    /// When the viewer signed in.
    pub fn signed_in_at(&self) -> DateTime<Utc> {
        self.session.signed_in_at
    }

    /// Whether the viewer may change things.
    pub fn operates(&self) -> bool {
        self.caller.may(ApiRole::Operate)
    }

    /// Whether the viewer may ask for access, add and refresh users.
    pub fn requests(&self) -> bool {
        self.caller.may(ApiRole::Access)
    }

    /// The frame of a page.
    pub async fn frame(&self, api: &Api, page: Page, title: impl Into<String>) -> Result<Frame, PageProblem> {
        let engine = api.engine();
        let mut environments = engine.settings.environments.iter();
        let first = environments.find(|(environment, _)| environment.has_database);
        Ok(Frame {
            title: title.into(),
            page,
            who: self.session.display_name.clone(),
            role: self.role(),
            environment: first.map(|(environment, _)| environment.name.clone()),
            held: engine.records().waiting().await?,
            note: None,
        })
    }

    fn role(&self) -> &'static str {
        [ApiRole::Operate, ApiRole::Access, ApiRole::Read]
            .into_iter()
            .find(|role| self.caller.may(*role))
            .map_or("", ApiRole::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = PageProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageProblem> {
        let viewer = parts.extensions.get::<Self>().cloned();
        Ok(viewer.ok_or_else(|| AuthError::from(Fault::Missing))?)
    }
}

/// The pages in the rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Overview,
    Users,
    Why,
    Imports,
    Runs,
    Held,
    Findings,
    Teams,
    Units,
    Rules,
}

/// What every page has.
#[derive(Debug)]
pub(super) struct Frame {
    pub title: String,
    pub page: Page,
    pub who: String,
    pub role: &'static str,
    /// The environment to which the rail leads.
    pub environment: Option<String>,
    /// Removals that wait for a person.
    pub held: i64,
    pub note: Option<Note>,
}

/// What has just been done.
#[derive(Debug)]
pub(super) struct Note {
    pub text: String,
    pub is_refusal: bool,
}

/// A link in the rail.
pub(super) struct Link {
    pub href: String,
    pub name: &'static str,
    pub is_current: bool,
    pub count: i64,
}

impl Frame {
    /// The same within an environment, to which the rail leads.
    pub fn within(self, environment: &str) -> Self {
        Self {
            environment: Some(environment.to_owned()),
            ..self
        }
    }

    pub fn links(&self) -> Vec<Link> {
        let within = |path: &str| {
            let name = self.environment.as_deref()?;
            Some(format!("/console/environments/{}/{path}", segment(name)))
        };
        let to = |path: &str| Some(format!("/console/{path}"));
        let all = [
            (Page::Overview, "Overview", to("")),
            (Page::Users, "Users", within("users")),
            (Page::Why, "Why?", to("why")),
            (Page::Imports, "Imports", to("imports")),
            (Page::Runs, "Runs", to("runs")),
            (Page::Held, "Held", to("held")),
            (Page::Findings, "Findings", to("findings")),
            (Page::Teams, "Teams", within("teams")),
            (Page::Units, "Business units", within("units")),
            (Page::Rules, "Rules", to("rules")),
        ];
        let links = all.into_iter().filter_map(|(page, name, href)| {
            Some(Link {
                href: href?,
                name,
                is_current: page == self.page,
                count: if page == Page::Held { self.held } else { 0 },
            })
        });
        links.collect()
    }

    /// Notes why something was refused.
    pub fn refuse(&mut self, text: &str) {
        self.note = Some(Note {
            text: text.to_owned(),
            is_refusal: true,
        });
    }

    /// Notes the effect of what was done before this page, by its word in the address.
    pub fn note_effect(&mut self, done: Option<&str>) {
        let text = done.and_then(Effect::parse).map(|effect| match effect {
            Effect::Created => "The row was created.",
            Effect::Enabled => "The user was enabled.",
            Effect::Updated => "The row was updated.",
            Effect::Unchanged => "Nothing had to be changed.",
            Effect::Disabled => "The user was disabled.",
        });
        self.note = text.map(|text| Note {
            text: text.to_owned(),
            is_refusal: false,
        });
    }
}

/// A segment of an address.
pub(super) fn segment(text: &str) -> String {
    let mut url = url::Url::parse("http://localhost").ok();
    if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        segments.push(text);
    }
    let path = url.map(|url| url.path().trim_start_matches('/').to_owned());
    path.unwrap_or_default()
}

/// A time, for a `time` element.
pub(super) fn machine(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same for people; the script shows it in their zone.
pub(super) fn human(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A number with thin spaces between thousands.
pub(super) fn number(count: &(impl Copy + Into<i64>)) -> String {
    let count: i64 = (*count).into();
    let digits = count.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if count < 0 { format!("−{text}") } else { text }
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Result<Response, PageProblem> {
    let text = template.render().map_err(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        PageProblem(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the page cannot be shown",
            "The daemon's log says why, under the request's id.",
        ))
    })?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// A failure as a page of its own.
#[derive(Debug)]
pub(super) struct PageProblem(pub Problem);

impl<E: Into<Problem>> From<E> for PageProblem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "console/problem.html")]
struct ProblemPage<'p> {
    problem: &'p Problem,
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = ReportedCode(self.0.code);
        let mut response = match (ProblemPage { problem: &self.0 }).render() {
            Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
            Err(_) => self.0.into_response(),
        };
        *response.status_mut() = status;
        response.extensions_mut().insert(code);
        response
    }
}
