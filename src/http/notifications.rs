//! The listener for change notifications of the directory, apart from the API: anybody can reach it, so it is bounded in
//! everything, answers at once, and believes nothing.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::domain::notifications::NotificationResult;
use crate::error::chain;
use crate::sync::notifications::Hints;
use crate::telemetry::metrics::Metrics;

/// The largest body. The service sends some hundred notifications at once, of half a kilobyte each.
const LARGEST: usize = 512 * 1024;

/// The longest token of a handshake.
const LONGEST_TOKEN: usize = 4096;

/// How many collections are looked at, or wait for it, at once.
const AT_ONCE: usize = 32;

#[derive(Clone)]
struct Listener {
    hints: Hints,
    places: Arc<Semaphore>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    validation_token: Option<String>,
}

/// The listener at a path.
pub fn router(path: &str, hints: Hints) -> Router {
    let listener = Listener {
        hints,
        places: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Router::new()
        .route(path, post(take))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(listener)
}

async fn take(State(listener): State<Listener>, Query(asked): Query<Asked>, body: Bytes) -> Response {
    match asked.validation_token {
        Some(token) => listener.shake_hands(token).await,
        None => listener.accept(body),
    }
}

impl Listener {
    /// Repeats the token while a subscription is created. At any other time a stranger is asking.
    async fn shake_hands(&self, token: String) -> Response {
        let is_expected = token.len() <= LONGEST_TOKEN && self.hints.expects_handshake().await.unwrap_or(false);
        if !is_expected {
            Metrics.notification(NotificationResult::Refused);
            return StatusCode::NOT_FOUND.into_response();
        }
        Metrics.notification(NotificationResult::Handshake);
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, token).into_response()
    }

    /// Answers before it looks: the service counts slow answers, and a stranger learns nothing.
    fn accept(&self, body: Bytes) -> Response {
        match Arc::clone(&self.places).try_acquire_owned() {
            Err(_) => Metrics.notification(NotificationResult::Limited),
            Ok(place) => {
                let hints = self.hints.clone();
                tokio::spawn(async move {
                    match hints.take(&body).await {
                        Ok(result) => Metrics.notification(result),
                        Err(error) => warn!(error = %chain(&error), "a notification could not be taken"),
                    }
                    drop(place);
                });
            }
        }
        StatusCode::ACCEPTED.into_response()
    }
}
