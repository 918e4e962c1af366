//! Edge: HTTP. Health and metrics for whoever watches the daemon, the API for whoever works with it. It decides
//! nothing: handlers read the request, call the engine and write the answer.
//!
//! `health` is open; `api` wants a token (`auth`) for everything but its own description. Whatever goes wrong is told
//! as a [`problem::Problem`].

pub mod api;
pub mod auth;
pub mod health;
mod input;
mod log;
pub mod problem;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until the token is cancelled; requests in flight are finished.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(cancel.cancelled_owned())
        .await
}
