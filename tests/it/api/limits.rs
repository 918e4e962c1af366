//! What one caller may ask, what strangers may, and what slow clients lose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use reqwest::Method;
use rollcall::http::Bounds;
use rollcall::http::limits::Allowance;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ANNA, BERTA, ENV, OPERATOR, READER, Stage, sent};
use crate::daemon::eventually;
use crate::world::{World, licensed, open_environment};

async fn stage(per_second: u32, at_once: u32) -> Stage {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let engine = world.engine.clone();
    Stage::granting(world, engine, Allowance { per_second, at_once }).await
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_to_wait_and_the_others_are_served() {
    let stage = stage(3, 100).await;
    let ask = async |caller: &str| sent(stage.request(Method::GET, "environments", Some(caller))).await;
    for _ in 0..3 {
        ask(READER).await.good();
    }
    let refused = ask(READER).await;
    assert_eq!(refused.problem(), (429, "too_many_requests"));
    assert_eq!(
        (&refused.body["retryable"], refused.header("retry-after")),
        (&json!(true), "1")
    );
    assert!(refused.body["detail"].as_str().unwrap().contains("requests_per_second"));
    ask(OPERATOR).await.good();
    // The clock of the world stands still until somebody turns it.
    assert_eq!(ask(READER).await.status, 429);
    stage.world.advance(Duration::from_secs(1));
    ask(READER).await.good();
    stage.end().await;
}

#[tokio::test]
async fn one_caller_with_many_requests_under_way_does_not_keep_another_waiting() {
    let stage = stage(1_000_000, 1).await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    // Whoever asks for her waits for the table, which somebody else holds.
    let mut other = stage.world.sql().await;
    let lock = "begin; lock table rollcall.system_user";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let access = |caller: &'static str| {
        let client = stage.client.clone();
        let body = json!({ "user": ada });
        tokio::spawn(async move {
            client
                .send(Method::POST, "environments/production/access", &body, caller)
                .await
        })
    };
    let waiting = access(ANNA);
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    assert!(eventually(async || stage.world.number(waits).await > 0).await);
    let refused = access(ANNA).await.unwrap();
    assert_eq!(refused.problem(), (429, "too_many_requests"));
    assert!(refused.body["detail"].as_str().unwrap().contains("requests_at_once"));
    sent(stage.request(Method::GET, "findings", Some(BERTA))).await.good();

    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    waiting.await.unwrap().good();
    access(ANNA).await.unwrap().good();
    stage.end().await;
}

#[tokio::test]
async fn strangers_are_answered_so_often_and_never_at_the_cost_of_a_good_token() {
    let stage = stage(1_000_000, 100).await;
    let knock = async || sent(stage.request(Method::GET, "environments", Some("guessed"))).await;
    for _ in 0..100 {
        assert_eq!(knock().await.problem(), (401, "unauthenticated"));
    }
    let refused = knock().await;
    assert_eq!(refused.problem(), (429, "too_many_requests"));
    assert_eq!(refused.header("connection"), "close");
    assert!(refused.header("www-authenticate").is_empty());
    stage.get("environments").await.good();
    stage.world.advance(Duration::from_secs(1));
    assert_eq!(knock().await.status, 401);
    stage.end().await;
}

#[tokio::test]
async fn however_many_ask_for_readiness_one_look_at_the_database_serves_them() {
    let stage = stage(1, 1).await;
    let mut other = stage.world.sql().await;
    let lock = "begin; lock table rollcall._sqlx_migrations";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let asked: Vec<_> = (0..50)
        .map(|_| tokio::spawn(sent(stage.request(Method::GET, "//health/ready", None))))
        .collect();
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let mut most = 0;
    let answered = eventually(async || {
        most = most.max(stage.world.number(waits).await);
        asked.iter().all(tokio::task::JoinHandle::is_finished)
    });
    assert!(answered.await, "nobody waits for the database longer than some seconds");
    assert!(
        (1..=2).contains(&most),
        "one, and one that was given up a moment ago: {most}"
    );
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 503);
    }
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    assert_eq!(
        sent(stage.request(Method::GET, "//health/ready", None)).await.status,
        200
    );
    stage.end().await;
}

/// A server with tight bounds; its address.
async fn tight(bounds: Bounds) -> (SocketAddr, DropGuard) {
    serving(bounds, Router::new().route("/", get(async || "here"))).await
}

async fn serving(bounds: Bounds, router: Router) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(rollcall::http::serve_within(bounds, listener, router, stop.clone()));
    (address, stop.drop_guard())
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// What comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset ends it too.
    let ended = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut all)).await;
    assert!(ended.is_ok(), "the connection stays open");
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn whoever_sends_half_a_head_or_nothing_loses_the_connection() {
    let (address, _stop) = tight(Bounds {
        head_timeout: Duration::from_millis(200),
        ..Bounds::default()
    })
    .await;
    for half in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", ASK] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(half).await.unwrap();
        let said = rest(&mut stream).await;
        assert_eq!(said.contains("here"), half == ASK, "{said}");
    }
}

/// The first line of what is answered.
async fn status(stream: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_mins(1), stream.read_exact(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(_))), "silence instead of an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn asking(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_too_many_waits_while_all_others_are_being_answered() {
    let (asked, answers) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (asked.clone(), answers.clone());
    let slowly = async move || {
        told.notify_one();
        wait.notified().await;
        "here"
    };
    let bounds = Bounds {
        connections: 1,
        ..Bounds::default()
    };
    let (address, _stop) = serving(bounds, Router::new().route("/", get(slowly))).await;
    let mut first = asking(address, ASK).await;
    asked.notified().await;
    let mut second = asking(address, ASK).await;
    let waited = tokio::time::timeout(Duration::from_millis(200), asked.notified()).await;
    assert!(waited.is_err(), "there is no place for it");
    answers.notify_one();
    assert_eq!(status(&mut first).await, "HTTP/1.1 200");
    asked.notified().await;
    answers.notify_one();
    assert_eq!(status(&mut second).await, "HTTP/1.1 200");
}

/// What the reports call 1,029 silent sockets, smaller: the bounds on time are the usual ones, and nobody waits for them.
#[tokio::test]
async fn silent_slow_idle_and_unread_connections_lock_nobody_out() {
    const PLACES: usize = 64;
    let bounds = Bounds {
        connections: PLACES,
        ..Bounds::default()
    };
    let large = Bytes::from(vec![b'x'; 16 << 20]);
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/large", get(async move || large));
    let (address, _stop) = serving(bounds, router).await;
    let large = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..PLACES {
        for request in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", ASK, large] {
            kept.push(asking(address, request).await);
        }
        let mut good = asking(address, ASK).await;
        assert_eq!(status(&mut good).await, "HTTP/1.1 200");
    }
}

/// The body of an answer; tells when it is dropped.
struct Unread(Arc<AtomicBool>, Vec<u8>);

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whoever_does_not_read_the_answer_or_reads_it_in_drops_loses_the_connection() {
    for drips in [false, true] {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let body = is_dropped.clone();
        // More than the buffers of the kernel take.
        let large = async move || Bytes::from_owner(Unread(body, vec![b'x'; 32 << 20]));
        let bounds = Bounds {
            answer_timeout: Duration::from_millis(200),
            ..Bounds::default()
        };
        let (address, _stop) = serving(bounds, Router::new().route("/", get(large))).await;
        let mut stream = asking(address, ASK).await;
        let mut drop = [0; 512];
        let given_up = eventually(async || {
            if drips {
                let _ = stream.try_read(&mut drop);
            }
            is_dropped.load(Ordering::Relaxed)
        });
        assert!(given_up.await, "drips: {drips}");
        let rest = rest_of(&mut stream).await;
        assert!(rest < 32 << 20, "all of it was read");
    }
}

/// How much comes until the connection ends.
async fn rest_of(stream: &mut TcpStream) -> usize {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all.len()
}

#[tokio::test]
async fn a_head_too_long_or_of_too_many_lines_is_431() {
    let (address, _stop) = tight(Bounds::default()).await;
    let long = format!("x-long: {}\r\n", "a".repeat(200 * 1024));
    let (many, good) = ("x-line: a\r\n".repeat(65), "x-line: a\r\n".repeat(60));
    for (lines, status) in [(long, "431"), (many, "431"), (good, "200")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
        // The server may hang up before it has read all of it.
        let _ = stream.write_all(head.as_bytes()).await;
        let said = rest(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said:?}");
    }
}
