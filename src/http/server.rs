//! Connections: their number, and the time limits for slow clients.
//!
//! One task for each connection, HTTP/1.1. A client that sends the head of a request too slowly or not at all, or does
//! not read the answer, loses the connection (`unread`); when no place is left, it loses it at once (`places`). `log`
//! limits the time of a request, and `input` its size. Further connections wait in the kernel's queue. Never looks into
//! a request.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::places::{Place, Places};
use super::unread::Impatient;
use crate::clock::Clock;

/// The read buffer for the head of a request, at most twice; a longer head is 431. A token has up to 16 KiB, and
/// proxies add their own headers.
const READ_AHEAD: usize = 64 * 1024;
/// The most header lines of a request; more is 431.
const HEADERS_LIMIT: usize = 64;
/// The pause after a failed accept, usually for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The limits of one listener's clients together.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most open connections.
    pub connections: usize,
    /// The time to send the head of a request, from the connection or the last answer.
    pub head_timeout: Duration,
    /// The time to read an answer, from when it no longer fits the buffers between.
    pub answer_timeout: Duration,
}

impl Default for Bounds {
    /// A connection costs some ten kilobytes and a file descriptor. The idle timeout is as with nginx, slightly longer
    /// than that of load balancers, so that these close first. The largest answers have a megabyte or two.
    fn default() -> Self {
        Self {
            connections: 1024,
            head_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves until the token is cancelled; finishes requests in flight.
///
/// # Errors
/// Never: a failure affects one connection only. The type is that of servers.
pub async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    cancel: CancellationToken,
) -> io::Result<()> {
    let places = Places::new(bounds.connections);
    let tasks = TaskTracker::new();
    while let Some((stream, place)) = next(&listener, &places, &cancel).await {
        tasks.spawn(speak(bounds, stream, router.clone(), place, cancel.clone()));
    }
    // No connection is accepted while the last requests finish.
    drop(listener);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// The next connection, once there is a place for it; none after the cancellation.
async fn next(listener: &TcpListener, places: &Places, cancel: &CancellationToken) -> Option<(TcpStream, Place)> {
    let accept = async {
        let (stream, peer) = accept(listener).await;
        let place = places.take(peer).await?;
        Some((stream, place))
    };
    cancel.run_until_cancelled(accept).await.flatten()
}

async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip().to_canonical()),
            Err(error) if is_the_client_s(&error) => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                Clock::system().sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether a connection failed before it was accepted.
fn is_the_client_s(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Serves the requests of one connection, one after another.
async fn speak(bounds: Bounds, stream: TcpStream, router: Router, place: Place, cancel: CancellationToken) {
    let place = Arc::new(place);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        place.is_busy_now();
        let (answer, place) = (router.call(request), Arc::clone(&place));
        async move {
            let answer = answer.await;
            place.waits_now();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(HEADERS_LIMIT)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(Impatient::new(stream, bounds.answer_timeout)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = place.leave.cancelled() => {
            // Unless a request has just arrived.
            if !place.is_busy() {
                debug!("a connection that waited for its client has made room for another");
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection has ended early");
    }
}
