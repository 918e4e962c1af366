//! `/health/live`, `/health/ready` and `/metrics`: open to everybody who can reach the address.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::sync::records::Records;

/// Longest wait of a readiness check for the database.
const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// What the handlers look at.
#[derive(Clone)]
pub struct Watched {
    /// The database.
    pub records: Records,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// `/health/live` and `/health/ready`.
pub fn health(watched: Watched) -> Router {
    Router::new()
        .route("/health/live", get(async || Json(json!({ "status": "alive" }))))
        .route("/health/ready", get(ready))
        .with_state((watched, Arc::default()))
}

/// `/metrics`.
pub fn metrics(watched: Watched) -> Router {
    Router::new().route("/metrics", get(render_metrics)).with_state(watched)
}

async fn render_metrics(State(watched): State<Watched>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, watched.metrics.render()).into_response()
}

/// Ready: the database answers, migrations are applied and one cycle has ever succeeded. How old that success is
/// is told, but does not count: staleness is an alert, not a reason to take a replica out.
async fn ready(State((watched, looks)): State<(Watched, Arc<Looks>)>) -> Response {
    let seen = tokio::time::timeout(READY_TIMEOUT, looks.next(watched.clone())).await;
    let seen = seen.ok().flatten();
    let database = seen.is_some();
    let (missing, last_success) = seen.unzip();
    let last_success = last_success.flatten();
    let age = last_success.map(|at| (watched.clock.now() - at).num_seconds());
    let mut lacking = Vec::new();
    if !database {
        lacking.push("the database does not answer".to_owned());
    }
    if let Some(missing) = missing.filter(|missing| *missing > 0) {
        lacking.push(format!("{missing} database migration(s) are not applied"));
    }
    if database && last_success.is_none() {
        lacking.push("no cycle has succeeded yet".to_owned());
    }
    let status = if lacking.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": if lacking.is_empty() { "ready" } else { "not_ready" },
        "missing": lacking,
        "last_success": last_success,
        "last_success_age_seconds": age,
    });
    (status, Json(body)).into_response()
}

/// Migrations that are missing, and the last success; nothing where the database does not answer.
type Seen = Option<(usize, Option<DateTime<Utc>>)>;

/// One look at the database at a time, which serves everybody who asked before it began: they answer whoever asks, so
/// they must neither take up the pool nor keep each other waiting.
#[derive(Default)]
struct Looks {
    begun: AtomicU64,
    last: Mutex<(u64, Seen)>,
}

impl Looks {
    /// What a look finds that begins from now on. It goes on when whoever asked has gone, for all the others.
    async fn next(self: Arc<Self>, watched: Watched) -> Seen {
        let before = self.begun.load(Ordering::SeqCst);
        let look = tokio::spawn(async move {
            let mut last = self.last.lock().await;
            if last.0 <= before {
                let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let seen = tokio::time::timeout(READY_TIMEOUT, watched.records.readiness()).await;
                *last = (number, seen.ok().and_then(Result::ok));
            }
            last.1
        });
        look.await.ok().flatten()
    }
}
