//! Work on demand: how long it takes at most, deleted users, and service principals.

use std::time::Duration;

use chrono::TimeDelta;

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::ServicePrincipal;
use crate::graph::GraphError;

const USER: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";

fn throttled(retry_after: &str) -> Reply {
    Reply::error(429, "TooManyRequests").with("retry-after", retry_after)
}

fn empty() -> Reply {
    Reply::ok(r#"{"value":[]}"#)
}

#[tokio::test]
async fn somebody_who_waits_is_answered_within_ten_seconds() {
    let server = Server::start([throttled("6"), throttled("6")]).await;
    let (graph, clock) = graph(&server);
    let graph = graph.for_someone_waiting();
    let error = graph.subscribed_skus().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(6)));
    assert!(error.is_transient());
    assert_eq!(clock.now() - start(), TimeDelta::seconds(6));
    assert_eq!(server.asked().len(), 2);
    assert!(
        server
            .asked()
            .iter()
            .all(|seen| seen.header("x-ms-throttle-priority") == Some("normal"))
    );

    // The time runs anew for every call, and a wait beyond it is not begun.
    server.script([throttled("6"), empty(), throttled("10")]);
    graph.subscribed_skus().await.unwrap();
    assert_eq!(clock.now() - start(), TimeDelta::seconds(12));
    assert!(graph.subscribed_skus().await.is_err());
    assert_eq!(clock.now() - start(), TimeDelta::seconds(12));

    // Nobody else is in a hurry.
    let (graph, clock) = self::graph(&server);
    server.script([throttled("60"), empty()]);
    let _ = graph.for_someone_waiting();
    graph.subscribed_skus().await.unwrap();
    assert_eq!(clock.now() - start(), TimeDelta::seconds(60));
}

#[tokio::test]
async fn the_pages_of_a_listing_and_the_parts_of_a_batch_share_the_time() {
    let server = Server::start([]).await;
    let (graph, clock) = graph(&server);
    let graph = graph.for_someone_waiting();
    let next = server.link("groups/x/owners?$skiptoken=2");
    server.script([
        throttled("6"),
        Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{next}"}}"#)),
        throttled("6"),
    ]);
    assert!(graph.group_owners(GROUP).await.unwrap_err().is_transient());
    assert_eq!(clock.now() - start(), TimeDelta::seconds(6));

    // A batch, a part of it, and the reads that take its place.
    let part = r#"{"id":"0","status":429,"headers":{"retry-after":"5"},"body":{}}"#;
    let groups = r#"{"id":"1","status":200,"body":{"value":[]}}"#;
    server.script([
        throttled("4"),
        Reply::ok(format!(r#"{{"responses":[{groups},{part}]}}"#)),
        Reply::error(501, "NotImplemented"),
        throttled("2"),
        empty(),
    ]);
    let found = graph.look_up(&[USER.to_owned()], false, None).await.unwrap();
    let error = found.users[0].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "reach users/{id} (429 TooManyRequests)");
    assert_eq!(clock.now() - start(), TimeDelta::seconds(6 + 4 + 5));
}

#[tokio::test]
async fn a_call_whose_time_is_over_sends_nothing_more() {
    let server = Server::start([]).await;
    let (graph, clock) = graph(&server);
    let graph = graph.for_someone_waiting();
    let next = server.link("groups/x/owners?$skiptoken=2");
    let slow = clock.clone();
    server.answer_by(move |_| {
        slow.advance(Duration::from_secs(10));
        Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{next}"}}"#))
    });
    let error = graph.group_owners(GROUP).await.unwrap_err();
    assert_eq!(error.to_string(), "reach groups/{id}/owners (no time is left)");
    assert!(error.is_transient());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_connection_that_hangs_does_not_keep_somebody_waiting() {
    let server = Server::start((0..9).map(|_| Reply::never())).await;
    let mut settings = settings(&server, secret());
    settings.on_demand_limit = Duration::from_millis(400);
    let graph = |settings| graph_with(settings).0.for_someone_waiting();
    let error = graph(&settings)
        .look_up(&[USER.to_owned()], true, None)
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");

    // It is given up early enough to be repeated.
    let server = Server::start([Reply::never(), empty()]).await;
    let mut settings = self::settings(&server, secret());
    settings.on_demand_limit = Duration::from_secs(2);
    settings.retry.first_backoff = Duration::from_millis(1);
    graph(&settings).subscribed_skus().await.unwrap();

    // Nor does a token service that hangs.
    let server = Server::start([]).await;
    server.script_tokens((0..9).map(|_| Reply::never()));
    let mut settings = self::settings(&server, secret());
    settings.on_demand_limit = Duration::from_millis(400);
    let error = graph(&settings).subscribed_skus().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn somebody_who_waits_does_not_wait_for_one_who_is_patient() {
    let server = Server::start([]).await;
    server.script_tokens([Reply::never()]);
    let mut settings = settings(&server, secret());
    settings.on_demand_limit = Duration::from_millis(200);
    settings.request_timeout = Duration::from_mins(10);
    let (graph, _) = graph_with(&settings);
    let patient = tokio::spawn({
        let graph = graph.clone();
        async move { graph.subscribed_skus().await }
    });
    server.has_seen(1).await;
    let error = graph.for_someone_waiting().subscribed_skus().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "reach the token service (another call is still waiting for a token)"
    );
    assert!(error.is_transient() && !patient.is_finished());
    patient.abort();
}

#[tokio::test]
async fn a_deleted_user_is_found_by_id_or_not_at_all() {
    let deleted = format!(
        r##"{{"@odata.type":"#microsoft.graph.user","id":"{USER}","deletedDateTime":"2026-02-01T00:00:00Z"}}"##
    );
    let server = Server::start([
        Reply::ok(deleted),
        Reply::error(404, "Request_ResourceNotFound"),
        Reply::ok(format!(r##"{{"@odata.type":"#microsoft.graph.group","id":"{USER}"}}"##)),
        Reply::error(403, "Authorization_RequestDenied"),
    ])
    .await;
    let (graph, _) = graph(&server);
    let found = graph.deleted_user(id(USER)).await.unwrap().unwrap();
    assert_eq!(found.id, id(USER));
    assert_eq!(found.deleted_at.unwrap().timestamp(), 1_769_904_000);
    assert_eq!(graph.deleted_user(id(USER)).await.unwrap(), None);
    assert_eq!(graph.deleted_user(id(USER)).await.unwrap(), None, "a group");
    let error = graph.deleted_user(id(USER)).await.unwrap_err();
    assert!(error.remedy().unwrap().contains("User.Read.All"));
    for seen in server.asked() {
        assert_eq!(
            seen.target,
            format!("/v1.0/directory/deletedItems/{USER}?$select=id,deletedDateTime")
        );
    }
}

#[tokio::test]
async fn a_deleted_user_who_cannot_be_read_alone_is_found_in_the_listing() {
    for status in [400, 405, 501] {
        let server = Server::start([]).await;
        let next = server.link("directory/deletedItems/microsoft.graph.user?$skiptoken=2");
        let (graph, _) = graph(&server);
        let listing = [
            Reply::ok(format!(
                r#"{{"value":[{{"id":"{GROUP}"}}],"@odata.nextLink":"{next}"}}"#
            )),
            Reply::ok(format!(r#"{{"value":[{{"id":"{USER}"}}]}}"#)),
        ];
        server.script([Reply::error(status, "Request_BadRequest")]);
        server.script(listing.clone());
        assert_eq!(graph.deleted_user(id(USER)).await.unwrap().unwrap().id, id(USER));
        server.script([Reply::error(status, "Request_BadRequest")]);
        server.script(listing);
        assert_eq!(graph.deleted_user(Uuid::from_u128(1)).await.unwrap(), None);
        assert_eq!(server.asked().len(), 6);
    }
}

#[tokio::test]
async fn an_application_is_found_by_its_id_or_not_at_all() {
    let other = format!(r#"{{"id":"{GROUP}","appId":"{GROUP}"}}"#);
    let broken = format!(r#"{{"id":"{GROUP}","appId":"appId-value"}}"#);
    let app = format!(
        r#"{{"id":"{USER}","appId":"{}","displayName":"Billing","accountEnabled":false}}"#,
        CLIENT.to_uppercase()
    );
    let server = Server::start([
        Reply::ok(format!(r#"{{"value":[{other},{broken},{app}]}}"#)),
        Reply::ok(format!(r#"{{"value":[{other}]}}"#)),
        Reply::error(403, "Authorization_RequestDenied"),
    ])
    .await;
    let (graph, _) = graph(&server);
    let found = graph.service_principal(id(CLIENT)).await.unwrap();
    assert_eq!(
        found,
        Some(ServicePrincipal {
            object_id: id(USER),
            app_id: id(CLIENT),
            display_name: Some("Billing".to_owned()),
            account_enabled: Some(false),
        })
    );
    assert_eq!(graph.service_principal(id(CLIENT)).await.unwrap(), None);
    let error = graph.service_principal(id(CLIENT)).await.unwrap_err();
    assert!(matches!(error, GraphError::Forbidden { .. }), "{error:?}");
    assert!(error.remedy().unwrap().contains("Application.Read.All"));
    assert_eq!(
        server.asked()[0].target,
        format!(
            "/v1.0/servicePrincipals?$filter=appId%20eq%20%27{CLIENT}%27&$select=id,appId,displayName,accountEnabled"
        )
    );
}
