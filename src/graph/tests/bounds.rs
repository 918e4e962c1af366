//! However much, deep or slow an answer is, reading it has an end; and however wrong the clock is, tokens are used.

use std::io::Write as _;
use std::time::Duration;

use chrono::TimeDelta;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{Extent, Kept};
use crate::graph::ALARMING_SKEW;

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_counts_is_the_size_after_decompression() {
    let body = format!(r#"{{"value":[]{}}}"#, " ".repeat(1 << 20));
    let small = compressed(body.as_bytes());
    assert!(small.len() < 2000, "a thousandth of what it becomes");
    let reply = Reply::ok(small).with("content-encoding", "gzip");
    let server = Server::start([reply.clone(), reply]).await;
    let mut settings = settings(&server, secret());
    graph_with(&settings).0.subscribed_skus().await.unwrap();
    settings.response_limit = 1 << 20;
    let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 2, "such an answer is not fetched again");
}

#[tokio::test]
async fn an_error_page_and_a_token_answer_have_bounds_too() {
    let long = "x".repeat((1 << 20) + 1);
    let server = Server::start([Reply::new(503, long.clone())]).await;
    let mut settings = settings(&server, secret());
    settings.response_limit = 1 << 20;
    let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");

    settings.response_limit = 64 << 20;
    for reply in [Reply::ok(long.clone()), Reply::new(500, long)] {
        server.script_tokens([reply]);
        let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
        assert!(
            matches!(error, GraphError::Protocol { endpoint: "token", .. }),
            "a token is of a few KiB: {error:?}"
        );
    }
    assert_eq!(server.token_requests().len(), 3);
}

#[tokio::test]
async fn an_answer_nested_without_end_is_no_answer() {
    let deep = |open: &str, close: &str| open.repeat(200_000) + &close.repeat(200_000);
    let skipped = format!(r#"{{"value":[],"@odata.context":{}}}"#, deep("[", "]"));
    let in_an_entry = format!(r#"{{"value":[{{"id":{}}}]}}"#, deep(r#"{"a":"#, "}"));
    let page = format!(r#"{{"value":{}}}"#, deep("[", "]"));
    let error = format!(
        r#"{{"error":{}"x":1{}}}"#,
        r#"{"innerError":"#.repeat(100_000) + "{",
        "}".repeat(100_001)
    );
    // What nobody reads may be as deep as it likes.
    let server = Server::start([Reply::ok(skipped)]).await;
    assert_eq!(graph(&server).0.subscribed_skus().await.unwrap().items, []);
    for body in [in_an_entry, page] {
        let server = Server::start((0..9).map(|_| Reply::ok(body.clone()))).await;
        let error = graph(&server).0.users_delta(None, &Kept::All).await.unwrap_err();
        assert!(
            matches!(error, GraphError::Protocol { .. } | GraphError::Unavailable { .. }),
            "{error:?}"
        );
        assert!(server.asked().len() <= 5, "and is not asked for without end");
    }
    let server = Server::start([Reply::new(403, error)]).await;
    let refused = graph(&server).0.users_delta(None, &Kept::All).await.unwrap_err();
    assert!(matches!(refused, GraphError::Forbidden { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_however_long_it_would_go_on() {
    let server = Server::start((0..2).map(|_| Reply::ok(" ".repeat(100_000)).dripping())).await;
    server.script([Reply::ok(r#"{"value":[]}"#)]);
    let mut settings = settings(&server, secret());
    settings.request_timeout = Duration::from_millis(200);
    graph_with(&settings).0.subscribed_skus().await.unwrap();
    assert_eq!(server.asked().len(), 3, "each drip ends with the time of its request");
}

/// Empty pages without end, each with a link that nobody has seen.
fn endless(server: &Server) {
    let root = server.root();
    let mut number = 0;
    server.answer_by(move |_| {
        number += 1;
        Reply::ok(format!(
            r#"{{"value":[],"@odata.nextLink":"{root}/v1.0/x?$skiptoken={number}"}}"#
        ))
    });
}

#[tokio::test]
async fn empty_pages_behind_empty_pages_have_an_end() {
    let server = Server::start([]).await;
    endless(&server);
    let (graph, _) = graph(&server);
    let error = graph.group_owners(GROUP).await.unwrap_err();
    assert!(
        matches!(&error, GraphError::Protocol { what, .. } if what.contains("empty page")),
        "{error:?}"
    );
    let asked = server.asked().len();
    assert!((1000..1010).contains(&asked), "{asked}");
    let error = graph.group_delta_latest(GROUP).await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    let error = graph.all_group_members(GROUP).await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
}

/// Ever new links, each to one entry more: of any kind, with so much beside it.
fn ever_more(server: &Server, padding: usize, is_new: bool) {
    let root = server.root();
    let padding = "x".repeat(padding);
    let mut number = 0_u128;
    server.answer_by(move |seen| {
        number += 1;
        let id = uuid::Uuid::from_u128(if is_new { number } else { 1 });
        let entry = format!(
            r#"{{"id":"{id}","principalId":"{id}","directoryScopeId":"/","skuId":"{id}","skuPartNumber":"P",
            "capabilityStatus":"Enabled","servicePlans":[],"appId":"{id}","displayName":"{padding}"}}"#
        );
        let page = format!(r#"{{"value":[{entry}],"@odata.nextLink":"{root}/v1.0/x?$skiptoken={number}"}}"#);
        if seen.method == "POST" {
            let parts =
                [(0, &entry), (1, &page)].map(|(id, body)| format!(r#"{{"id":"{id}","status":200,"body":{body}}}"#));
            return Reply::ok(format!(r#"{{"responses":[{}]}}"#, parts.join(",")));
        }
        Reply::ok(page)
    });
}

/// Why each source that is read whole is given up.
async fn given_up(graph: &Graph) -> Vec<String> {
    let why = |result: Result<(), GraphError>| match result {
        Err(GraphError::Protocol { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let role = crate::domain::feed::AdminRole::Global;
    let looked_up = graph
        .look_up(&[GROUP.to_string()], false, None)
        .await
        .unwrap()
        .users
        .remove(0);
    vec![
        why(graph.all_group_members(GROUP).await.map(drop)),
        why(graph.group_owners(GROUP).await.map(drop)),
        why(graph.role_assignments(role).await.map(drop)),
        why(graph.subscribed_skus().await.map(drop)),
        why(graph.deleted_users().await.map(drop)),
        why(graph.service_principal(GROUP).await.map(drop)),
        why(graph.user_member_of(GROUP).await.map(drop)),
        why(looked_up.map(drop)),
    ]
}

#[tokio::test]
async fn every_listing_that_goes_on_for_ever_with_new_links_has_an_end() {
    let server = Server::start([]).await;
    let mut settings = settings(&server, secret());
    settings.listing = Extent {
        entries: 50,
        bytes: 1 << 20,
    };
    let (graph, _) = graph_with(&settings);
    for (padding, expected) in [(1, "more than 50 entries"), (100 << 10, "more than 1 MiB")] {
        ever_more(&server, padding, true);
        let before = server.asked().len();
        for what in given_up(&graph).await {
            assert!(what.contains(expected), "{what}");
        }
        let asked = server.asked().len() - before;
        assert!(asked <= 8 * 52, "{asked}");
    }
    ever_more(&server, 1, false);
    settings.listing = Extent::HELD;
    let (graph, _) = graph_with(&settings);
    let error = told(&graph.subscribed_skus().await.unwrap_err());
    assert!(error.contains("repetitions"), "{error}");
}

#[tokio::test]
async fn a_listing_that_leads_in_a_circle_has_an_end_wherever_it_is_read_whole() {
    let server = Server::start([]).await;
    let [a, b] = ["x?$skiptoken=a", "x?$skiptoken=b"].map(|rest| server.link(rest));
    let member = r#"{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd"}"#;
    let mut links = [b.clone(), a.clone()].into_iter().cycle();
    server.answer_by(move |_| {
        let next = links.next().unwrap();
        Reply::ok(format!(r#"{{"value":[{member}],"@odata.nextLink":"{next}"}}"#))
    });
    let (graph, _) = graph(&server);
    for error in [
        graph.all_group_members(GROUP).await.unwrap_err(),
        graph.user_member_of(GROUP).await.unwrap_err(),
    ] {
        assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    }
    assert!(server.asked().len() < 10);
}

#[tokio::test]
async fn a_listing_with_an_entry_that_cannot_be_read_says_so() {
    let assignment = r#"{"principalId":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","directoryScopeId":"/"}"#;
    let broken = Reply::ok(format!(r#"{{"value":[{assignment},{{"principalId":"Maria"}}]}}"#));
    let groups = Reply::ok(r#"{"value":[{"id":"Maria"}]}"#);
    let server = Server::start([broken, groups]).await;
    let (graph, _) = graph(&server);
    let role = crate::domain::feed::AdminRole::Global;
    let listed = graph.role_assignments(role).await.unwrap().value;
    assert_eq!((listed.items.len(), listed.unreadable), (1, 1));
    let listed = graph.user_member_of(GROUP).await.unwrap().value;
    assert_eq!((listed.items.len(), listed.unreadable), (0, 1));
}

fn dated(date: &str) -> Reply {
    Reply::ok(r#"{"value":[]}"#).with("date", date)
}

#[tokio::test]
async fn the_directorys_time_is_compared_with_ours() {
    let server = Server::start([]).await;
    let (graph, _) = graph(&server);
    server.script([Reply::ok(r#"{"value":[]}"#)]);
    graph.subscribed_skus().await.unwrap();
    assert_eq!(graph.clock_skew(), None, "nothing was told");
    for (date, ahead) in [
        ("Sun, 01 Mar 2026 12:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 09:00:00 GMT", 3 * 3600),
        ("Sun, 01 Mar 2026 12:30:00 GMT", -1800),
        ("soon", -1800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", -251_629_934_399),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1_772_366_400),
    ] {
        server.script([dated(date)]);
        graph.subscribed_skus().await.unwrap();
        assert_eq!(graph.clock_skew(), Some(TimeDelta::seconds(ahead)), "{date}");
    }
    assert!(ALARMING_SKEW < TimeDelta::minutes(30));
}

#[tokio::test]
async fn a_token_that_has_ended_by_our_clock_is_used_and_not_asked_for_anew_with_every_request() {
    // An answer that tells a time of day, to a machine whose clock is hours ahead.
    let server = Server::start((0..20).map(|_| Reply::ok(r#"{"value":[]}"#))).await;
    let ended = Reply::ok(r#"{"token_type":"Bearer","access_token":"t","expires_on":"1772355600"}"#);
    server.script_tokens((0..9).map(|_| ended.clone()));
    let (graph, clock) = graph(&server);
    for _ in 0..10 {
        graph.subscribed_skus().await.unwrap();
    }
    assert_eq!(server.token_requests().len(), 1);
    clock.advance(Duration::from_mins(1));
    graph.subscribed_skus().await.unwrap();
    assert_eq!(server.token_requests().len(), 2, "for a minute");
}

#[tokio::test]
async fn a_fault_is_not_remembered_until_a_clock_that_was_set_back_comes_round_again() {
    let server = Server::start([Reply::ok(r#"{"value":[]}"#)]).await;
    server.script_tokens([Reply::new(401, r#"{"error":"invalid_client","error_codes":[7000215]}"#)]);
    let (graph, clock) = graph(&server);
    clock.advance(Duration::from_hours(5));
    graph.subscribed_skus().await.unwrap_err();
    graph.subscribed_skus().await.unwrap_err();
    assert_eq!(server.token_requests().len(), 1, "remembered");
    clock.set_back(Duration::from_hours(5));
    graph.subscribed_skus().await.unwrap();
}

#[tokio::test]
async fn an_assertion_outside_its_time_names_the_clock() {
    for number in [500_133, 50_013, 700_024] {
        let server = Server::start([]).await;
        let fault = format!(
            r#"{{"error":"invalid_client","error_description":"AADSTS{number}: Maria","error_codes":[{number}]}}"#
        );
        server.script_tokens([Reply::new(401, fault)]);
        let error = graph(&server).0.check_token().await.unwrap_err();
        assert!(!error.is_transient());
        let remedy = error.remedy().unwrap_or_default();
        assert!(remedy.contains("clock"), "{number}: {remedy}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_and_not_hammered() {
    let root = Url::parse("https://graph.invalid").unwrap();
    let settings = GraphSettings::new(TENANT.to_owned(), CLIENT.to_owned(), secret(), root.clone(), root);
    let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
    assert!(
        matches!(error, GraphError::Unavailable { endpoint: "token", .. }) && error.is_transient(),
        "{error:?}"
    );
    let text = told(&error);
    assert!(text.contains("dns error") || text.contains("lookup"), "{text}");
    assert!(text.starts_with("reach the token service (no answer)"), "{text}");
}
