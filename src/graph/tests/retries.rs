//! What is repeated, when, and how often.

use crate::domain::feed::Kept;
use std::time::Duration;

use chrono::TimeDelta;

use super::server::{Reply, Server};
use super::*;
use crate::graph::GraphError;
use crate::graph::retry::read_retry_after;

fn empty() -> Reply {
    Reply::ok(r#"{"value":[]}"#)
}

/// How long a call waited for one refusal with this header.
async fn waits_for(status: u16, retry_after: Option<&str>) -> TimeDelta {
    let refusal = Reply::error(status, "TooManyRequests");
    let refusal = match retry_after {
        Some(value) => refusal.with("retry-after", value),
        None => refusal,
    };
    let server = Server::start([refusal, empty()]).await;
    let (graph, clock) = graph(&server);
    graph.subscribed_skus().await.unwrap();
    assert_eq!(server.asked().len(), 2);
    clock.now() - start()
}

#[tokio::test]
async fn every_form_of_retry_after_is_honoured() {
    for status in [429, 503] {
        assert_eq!(waits_for(status, Some("10")).await, TimeDelta::seconds(10));
        assert_eq!(waits_for(status, Some("2.128")).await, TimeDelta::milliseconds(2128));
        assert_eq!(
            waits_for(status, Some("Sun, 01 Mar 2026 12:00:42 GMT")).await,
            TimeDelta::seconds(42)
        );
        for backoff in [
            Some("Sun, 01 Mar 2026 11:00:00 GMT"),
            Some("soon"),
            Some("-4"),
            Some("0"),
            Some("1e9"),
            None,
        ] {
            let waited = waits_for(status, backoff).await;
            assert!(
                waited > TimeDelta::zero() && waited <= TimeDelta::seconds(1),
                "{backoff:?}: {waited}"
            );
        }
    }
}

#[test]
fn retry_after_survives_any_text() {
    let read = |text: &str| read_retry_after(text, start());
    assert_eq!(read(" 3 "), Some(Duration::from_secs(3)));
    for nothing in [
        "",
        ".",
        "1.2.3",
        "nan",
        "inf",
        "99999999999999999999999999999",
        "\u{7f}",
        "Sun, 99 Foo",
    ] {
        assert_eq!(read(nothing), None, "{nothing:?}");
    }
}

#[tokio::test]
async fn broken_answers_are_fetched_again() {
    let html = Reply::ok("<html><body>Please log in</body></html>").with("content-type", "text/html");
    let broken = [
        Reply::hang_up(),
        Reply::ok(r#"{"value":[{"skuId":"c7df2760-2c81-4ef7-b578-5b5392b571df"}]}"#).cut(),
        Reply::ok(r#"{"value":[{"skuId":"c7df27"#),
        html,
        Reply::ok(""),
        Reply::ok("not gzip").with("content-encoding", "gzip"),
        Reply::error(500, ""),
        Reply::new(502, "<html>"),
        Reply::error(504, "x"),
        Reply::error(509, "x"),
        Reply::error(408, "x"),
    ];
    for reply in broken {
        let server = Server::start([reply.clone(), empty()]).await;
        assert_eq!(graph(&server).0.subscribed_skus().await.unwrap().items, [], "{reply:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let server = Server::start([Reply::never(), empty()]).await;
    let mut settings = settings(&server, secret());
    settings.request_timeout = Duration::from_millis(300);
    graph_with(&settings).0.subscribed_skus().await.unwrap();
}

#[tokio::test]
async fn attempts_are_bounded_and_backoff_grows() {
    let server = Server::start((0..9).map(|_| Reply::error(504, "Gateway"))).await;
    let (graph, clock) = graph(&server);
    let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
    assert_eq!(server.asked().len(), 5);
    let waited = clock.now() - start();
    assert!(
        waited > TimeDelta::zero() && waited <= TimeDelta::seconds(1 + 2 + 4 + 8),
        "{waited}"
    );
    assert!(error.is_transient());
    let GraphError::Unavailable {
        endpoint: "users/delta",
        reason,
        retry_after: None,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(reason, "504 Gateway");
}

#[tokio::test]
async fn a_wait_beyond_the_bound_is_left_to_the_caller() {
    let server = Server::start([
        Reply::error(429, "x").with("retry-after", "100"),
        Reply::error(429, "x").with("retry-after", "30"),
    ])
    .await;
    let (graph, clock) = graph(&server);
    let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(clock.now() - start(), TimeDelta::seconds(100));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_503_is_repeated_on_a_new_connection_and_a_429_is_not() {
    let server = Server::start([
        empty(),
        Reply::error(429, "x"),
        Reply::error(503, "x"),
        empty(),
        empty(),
    ])
    .await;
    let (graph, _) = graph(&server);
    for _ in 0..3 {
        graph.subscribed_skus().await.unwrap();
    }
    let connections: Vec<_> = server.asked().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections[0], connections[2]);
    assert_ne!(connections[2], connections[3]);
    assert_eq!(connections[0], connections[4]);
}

#[tokio::test]
async fn a_stop_ends_a_request_and_a_wait() {
    let server = Server::start([Reply::never()]).await;
    let cancel = CancellationToken::new();
    let graph = Graph::new(&settings(&server, secret()), Clock::simulated(start()), cancel.clone()).unwrap();
    let call = tokio::spawn({
        let graph = graph.clone();
        async move { graph.users_delta(None, &Kept::All).await }
    });
    server.has_seen(2).await;
    cancel.cancel();
    assert!(matches!(call.await.unwrap(), Err(GraphError::Cancelled)));
    assert!(matches!(
        graph.users_delta(None, &Kept::All).await,
        Err(GraphError::Cancelled)
    ));

    // The machine's clock: only the stop can end this wait in time.
    let server = Server::start([Reply::error(429, "x").with("retry-after", "100")]).await;
    let cancel = CancellationToken::new();
    let graph = Graph::new(&settings(&server, secret()), Clock::system(), cancel.clone()).unwrap();
    let call = tokio::spawn(async move { graph.users_delta(None, &Kept::All).await });
    server.has_seen(2).await;
    cancel.cancel();
    assert!(matches!(call.await.unwrap(), Err(GraphError::Cancelled)));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let server = Server::start([Reply::ok(format!(r#"{{"value":[]{}}}"#, " ".repeat(2000)))]).await;
    let mut settings = settings(&server, secret());
    settings.response_limit = 1000;
    let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 1);
}
