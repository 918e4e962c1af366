//! Edge: HTTP. Health and metrics for monitoring, the API for clients. It decides nothing: handlers read the request,
//! call the engine and write the answer.
//!
//! `health` is open; `api` needs a token (`auth`) for everything but its own description, and limits each caller
//! (`limits`). `server` limits connections: `places` their number, `unread` the wait for a client that does not read.
//! Every failure is reported as a [`problem::Problem`].

pub mod api;
pub mod auth;
pub mod console;
pub mod health;
mod input;
pub mod limits;
mod log;
pub mod notifications;
mod places;
pub mod problem;
mod server;
mod unread;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use server::{Bounds, serve_within};

/// Serves until the token is cancelled; finishes requests in flight.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> std::io::Result<()> {
    serve_within(Bounds::default(), listener, router, cancel).await
}
