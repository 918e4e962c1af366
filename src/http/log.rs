//! Logs every request, adds an id and privacy headers to every answer, and limits the time of a request.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use super::auth::Caller;
use super::problem::{Problem, ReportedCode};

/// The header with a request's id, in requests and answers.
const REQUEST_ID: &str = "x-request-id";

/// The time limit of a request; one look-up in the directory ends within ten seconds.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The caller, for the log.
#[derive(Clone, Debug)]
pub(super) struct AskedBy(pub String);

/// Wraps every API request. Paths are logged as templates: they may name a user.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "(unknown)".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!("request", id = %id);
    let started = Instant::now();
    let answered = tokio::time::timeout(TIME_LIMIT, next.run(request).instrument(span.clone())).await;
    let mut response = answered.unwrap_or_else(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "the request took too long",
            "Try again; ask for less at once.",
        )
        .into_response()
    });
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    let extensions = response.extensions();
    let code = extensions.get::<ReportedCode>().map_or("", |told| told.0);
    let actor = extensions.get::<AskedBy>().map_or("", |asked| asked.0.as_str());
    let _entered = span.enter();
    if matches!(method, Method::GET | Method::HEAD) {
        tracing::debug!(%method, path, status, code, actor, elapsed_ms, "answered");
    } else {
        info!(%method, path, status, code, actor, elapsed_ms, "answered");
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    keep_private(response.headers_mut());
    response
}

/// Nearly every answer is about people, including refusals: no cache may store it, and no browser may render it as a
/// page.
fn keep_private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The caller's own id for the request if it is harmless, else a new one.
fn request_id(request: &Request) -> String {
    let usable = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(usable)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Records the admitted caller for the log.
pub(super) fn note_caller(response: &mut Response, caller: &Caller) {
    response.extensions_mut().insert(AskedBy(caller.name.clone()));
}
