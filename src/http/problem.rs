//! Problem documents (RFC 9457): the only form of an error answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::AuthError;
use super::limits::{Bound, TooMany};
use crate::domain::reason::Code;
use crate::error::chain;
use crate::sync::desk::Refusal;
use crate::sync::desk::explain::ShownCheck;
use crate::sync::{DeskError, Failure, FeedError, GuardError, ImportError, StoreError, UnknownEnvironment};

/// The seconds after which a client may retry when something is unavailable.
const RETRY_AFTER: u16 = 5;

/// What went wrong, and what to do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says which problem it is.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: AboutBlank,
    /// The HTTP status.
    pub status: u16,
    /// One sentence about the kind of problem.
    pub title: &'static str,
    /// One sentence about this one.
    #[schema(value_type = String)]
    pub detail: Box<str>,
    /// The reason code, or what kind of request it was that failed.
    pub code: &'static str,
    /// Whether the same request may succeed later without anybody changing anything.
    pub retryable: bool,
    /// What to do.
    pub remedy: &'static str,
    /// The field that cannot be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub field: Option<Box<str>>,
    /// The checks of the verdict, where there was one.
    pub checks: Vec<ShownCheck>,
    /// What an answer to a caller who is not let in says beside.
    #[serde(skip)]
    pub challenge: Option<Box<HeaderValue>>,
    /// Seconds after which the same request may be sent again, where that is known.
    #[serde(skip)]
    pub retry_after: Option<u16>,
}

/// The type of every problem.
#[derive(Clone, Copy, Debug)]
pub struct AboutBlank;

impl Serialize for AboutBlank {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("about:blank")
    }
}

/// The code that the caller received, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportedCode(pub &'static str);

impl Problem {
    /// A problem that is not a refusal by the rules.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Box<str>>, remedy: &'static str) -> Self {
        Self {
            kind: AboutBlank,
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            detail: detail.into(),
            code,
            retryable: status == StatusCode::SERVICE_UNAVAILABLE,
            remedy,
            field: None,
            checks: Vec::new(),
            challenge: None,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER),
        }
    }

    /// Invalid input.
    pub fn bad_input(field: &str, detail: impl Into<Box<str>>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad_input",
                detail,
                "Correct the field that is named.",
            )
        }
    }

    /// A requested object that does not exist.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no {what}"),
            "Check the address; /api/v1/openapi.json lists what there is.",
        )
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let remedy = match error.status() {
            StatusCode::UNAUTHORIZED => "Send `Authorization: Bearer …` with an access token or a static token.",
            StatusCode::FORBIDDEN => "Give the caller the app role, or the static token the role, that is named.",
            _ => "Try again in a moment; `rollcall check` says whether the tenant can be reached.",
        };
        Self {
            challenge: error.challenge().map(Box::new),
            ..Self::new(error.status(), error.code(), error.detail(), remedy)
        }
    }
}

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Self {
        let (detail, remedy) = match too_many.bound {
            Bound::Rate => (
                "the caller sends more requests a second than http.requests_per_second allows",
                "Wait as long as Retry-After says; many users fit in one request of users:batch.",
            ),
            Bound::AtOnce => (
                "the caller has as many requests under way as http.requests_at_once allows",
                "Wait for an answer before sending more.",
            ),
            Bound::Strangers => (
                "too many requests come without good credentials",
                "Send `Authorization: Bearer …` with an access token or a static token.",
            ),
        };
        Self {
            retryable: true,
            retry_after: Some(too_many.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail, remedy)
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code, detail, verdict, ..
        } = refusal;
        let status = match code {
            Code::UserNotFound => StatusCode::NOT_FOUND,
            Code::DirectoryUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self {
            title: code.sentence(),
            retryable: code.retryable(),
            checks: verdict.map(|verdict| verdict.checks).unwrap_or_default(),
            ..Self::new(status, code.as_str(), detail, code.remedy())
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Cancelled => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "the daemon is stopping",
                "Try again in a moment.",
            ),
        }
    }
}

impl From<UnknownEnvironment> for Problem {
    fn from(UnknownEnvironment(name): UnknownEnvironment) -> Self {
        Self {
            code: "environment_not_found",
            remedy: "GET /api/v1/environments lists the environments.",
            ..Self::not_found(&format!("environment `{name}`"))
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Failed(failure) => failure.into(),
            DeskError::UnknownEnvironment(unknown) => unknown.into(),
            DeskError::Refused(refusal) => (*refusal).into(),
            DeskError::NotFound {
                what,
                given,
                environment,
            } => Self::not_found(&format!("{what} `{given}` in {environment}")),
            DeskError::BadInput { field, problem } => Self::bad_input(&field, problem),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Desk(error) => error.into(),
            ImportError::UnknownJob(job) => Self::not_found(&format!("import job {job} that you may see")),
        }
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        let expired = |detail: &str, remedy| Self::new(StatusCode::GONE, "cursor_expired", detail, remedy);
        match error {
            FeedError::Failed(failure) => failure.into(),
            FeedError::UnknownEnvironment(unknown) => unknown.into(),
            FeedError::TooOld => expired(
                "changes after this cursor are no longer kept",
                "Read the rows you need from GET environments/{env}/users, then this feed without `after`. \
                 retention.changes says how long changes are kept.",
            ),
            FeedError::NotHere => expired(
                "this cursor is not of this feed: the database was restored to an earlier state, or is another",
                "Read the rows you need from GET environments/{env}/users, then this feed without `after`.",
            ),
        }
    }
}

impl From<GuardError> for Problem {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Failed(failure) => failure.into(),
            GuardError::UnknownEnvironment(unknown) => unknown.into(),
            GuardError::EnvironmentInUse { environment, .. } => Self::new(
                StatusCode::CONFLICT,
                "environment_in_use",
                format!("environment `{environment}` is in use"),
                "Take it out of every configuration that has it first.",
            ),
            GuardError::NothingHeld(run) => Self::new(
                StatusCode::CONFLICT,
                "nothing_held",
                format!("run {run} holds nothing that could be decided there"),
                "GET /api/v1/runs shows which runs hold removals.",
            ),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(fault) = &error {
            return Refusal::from(fault).into();
        }
        tracing::warn!(error = %chain(&error), "a request failed");
        if matches!(error, StoreError::Unavailable(_) | StoreError::Conflict) {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "the database does not answer",
                "Try again; /health/ready says when it is back.",
            )
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the request failed unexpectedly",
                "The daemon's log says why, under the request's id.",
            )
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let challenge = self.challenge.take();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = ReportedCode(self.code);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, *challenge);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(code);
        response
    }
}
