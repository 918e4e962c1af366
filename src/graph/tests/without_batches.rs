//! Users on demand where there is no batch: it is refused, it stays away, or nothing can be asked at all.

use chrono::TimeDelta;

use super::look_up::{ADA, assert_known, known, names, server};
use super::server::{Reply, Server};
use super::*;
use crate::graph::GraphError;

#[tokio::test]
async fn where_batches_are_refused_everything_is_asked_alone_with_the_same_result() {
    for status in [400, 403, 404, 405, 501] {
        let users: Vec<String> = (1..=15).map(|number| Uuid::from_u128(number).to_string()).collect();
        let server = Server::start([]).await;
        let gone = Uuid::from_u128(3).to_string();
        server.answer_by(move |seen| {
            let url = seen.target.trim_start_matches("/v1.0");
            if seen.method == "POST" {
                Reply::error(status, "BadRequest")
            } else if url.contains(&gone) {
                Reply::error(404, "Request_ResourceNotFound")
            } else {
                Reply::ok(known(url).to_string())
            }
        });
        let (graph, _) = graph(&server);
        let found = graph.look_up(&users, true, None).await.unwrap();
        for (at, (user, id)) in found.users.iter().zip(&users).enumerate() {
            if at == 2 {
                assert!(user.as_ref().unwrap().user.value.is_none());
            } else {
                assert_known(user, id);
            }
        }
        assert_eq!(found.roles.unwrap().unwrap().value.len(), 3);
        let asked = server.asked();
        assert_eq!(asked.iter().filter(|seen| seen.method == "GET").count(), 33);
        let batches = |server: &Server| server.asked().iter().filter(|seen| seen.method == "POST").count();
        assert!(batches(&server) <= 2);
        // Nothing is remembered: the next call tries again.
        let before = batches(&server);
        graph.look_up(&users[..1], false, None).await.unwrap();
        assert_eq!(batches(&server), before + 1);
    }
}

#[tokio::test]
async fn what_is_asked_alone_fails_and_repeats_as_a_part_does() {
    let server = Server::start([]).await;
    let mut throttled = false;
    server.answer_by(move |seen| {
        let url = seen.target.trim_start_matches("/v1.0");
        if seen.method == "POST" {
            Reply::error(501, "NotImplemented")
        } else if url.contains("Assignments") {
            Reply::error(403, "Authorization_RequestDenied")
        } else if !std::mem::replace(&mut throttled, true) {
            Reply::error(429, "TooManyRequests").with("retry-after", "9")
        } else {
            Reply::ok(known(url).to_string())
        }
    });
    let (graph, clock) = graph(&server);
    let found = graph.look_up(&names(&[ADA]), true, None).await.unwrap();
    assert_known(&found.users[0], ADA);
    assert!(matches!(found.roles, Some(Err(GraphError::Forbidden { .. }))));
    assert_eq!(clock.now() - start(), TimeDelta::seconds(9));
}

#[tokio::test]
async fn what_concerns_all_fails_all() {
    // The batch itself is throttled, then refuses the token, then answers.
    let server = server(vec![]).await;
    server.script([
        Reply::error(429, "TooManyRequests").with("retry-after", "4"),
        Reply::error(401, "InvalidAuthenticationToken"),
    ]);
    let (graph, clock) = graph(&server);
    let found = graph.look_up(&names(&[ADA]), false, None).await.unwrap();
    assert_known(&found.users[0], ADA);
    assert_eq!(clock.now() - start(), TimeDelta::seconds(4));
    assert_eq!(server.token_requests().len(), 2);

    // It stays away.
    server.script((0..5).map(|_| Reply::error(503, "serviceNotAvailable")));
    let error = graph.look_up(&names(&[ADA]), true, None).await.unwrap_err();
    assert!(
        matches!(error, GraphError::Unavailable { endpoint: "$batch", .. }),
        "{error:?}"
    );

    // There is no token.
    let server = self::server(vec![]).await;
    server.script_tokens([Reply::new(
        401,
        r#"{"error":"invalid_client","error_description":"AADSTS7000222: x"}"#,
    )]);
    let error = self::graph(&server)
        .0
        .look_up(&names(&[ADA]), false, None)
        .await
        .unwrap_err();
    assert!(matches!(error, GraphError::Token(_)), "{error:?}");

    // The daemon stops.
    let cancel = CancellationToken::new();
    cancel.cancel();
    let graph = Graph::new(&settings(&server, secret()), Clock::simulated(start()), cancel).unwrap();
    let error = graph.look_up(&names(&[ADA]), false, None).await.unwrap_err();
    assert!(matches!(error, GraphError::Cancelled), "{error:?}");
}
