//! Edge: HTTP. Health and metrics for whoever watches the daemon, the API for whoever works with it. It decides
//! nothing: handlers read the request, call the engine and write the answer.
//!
//! `health` is open; `api` wants a token (`auth`) for everything but its own description, and grants each caller so
//! much (`limits`); `server` bounds connections: `places` how many there are, `unread` how long one waits for a client
//! who does not read. Whatever goes wrong is told as a [`problem::Problem`].

pub mod api;
pub mod auth;
pub mod health;
mod input;
pub mod limits;
mod log;
mod places;
pub mod problem;
mod server;
mod unread;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use server::{Bounds, serve_within};

/// Serves until the token is cancelled; requests in flight are finished.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> std::io::Result<()> {
    serve_within(Bounds::default(), listener, router, cancel).await
}
