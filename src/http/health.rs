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

/// The timeout of the database in a readiness check.
const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// The state of the handlers.
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

/// Ready: the database answers, migrations are applied and one cycle has ever succeeded. The age of that success is
/// reported, but does not count: staleness is an alert, not a reason to remove a replica.
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

/// The number of missing migrations, and the last success; none if the database does not answer.
type Seen = Option<(usize, Option<DateTime<Utc>>)>;

/// Runs one database check at a time, shared by all requests that came before it began. These endpoints answer anybody,
/// so they must neither use up the pool nor delay each other.
#[derive(Default)]
struct Looks {
    begun: AtomicU64,
    last: Mutex<(u64, Seen)>,
}

impl Looks {
    /// The result of the next check to begin. The check continues for the other callers if this one goes away.
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
