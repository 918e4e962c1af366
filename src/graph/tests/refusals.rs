//! What a refusal means, above all: which of them say that a link is dead.

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{Kept, Link};
use crate::graph::fault::Codes;
use crate::graph::{GraphError, SELECTION_FINGERPRINT};

fn nested(status: u16, code: &str, spelling: &str) -> Reply {
    let body = format!(r#"{{"error":{{"code":"","message":"m","{spelling}":{{"innerError":{{"code":"{code}"}}}}}}}}"#);
    Reply::new(status, body)
}

/// Every shape in which a delta token dies (graph.md, section 2.6), with the cause it is known by.
fn deaths() -> Vec<(Reply, &'static str)> {
    let message = "The sync state generation is not found.";
    vec![
        (
            Reply::error(410, "resyncRequired").with("location", "http://elsewhere.example/v1.0/users/delta"),
            "resync_required",
        ),
        (Reply::error(410, "SyncStateNotFound"), "sync_state_not_found"),
        (Reply::new(410, ""), "gone"),
        (Reply::new(410, "<html>").with("location", "/"), "gone"),
        (Reply::error(400, "syncStateNotFound"), "sync_state_not_found"),
        (Reply::error(404, "syncStateNotFound"), "sync_state_not_found"),
        (nested(400, "SYNCSTATENOTFOUND", "innerError"), "sync_state_not_found"),
        (nested(400, "resyncRequired", "innererror"), "resync_required"),
        (Reply::error(400, "Request_UnsupportedQuery"), "unsupported_query"),
        (Reply::error(400, "Directory_ExpiredPageToken"), "expired_page_token"),
        (Reply::error(400, "Request_BadRequest"), "refused"),
        (
            Reply::new(400, format!(r#"{{"error":{{"code":"","message":"{message}"}}}}"#)),
            "refused",
        ),
        (Reply::error(409, "Conflict"), "refused"),
    ]
}

#[tokio::test]
async fn every_death_of_a_token_is_recognised_on_a_request_that_carried_one() {
    for (reply, expected) in deaths() {
        let server = Server::start([reply.clone(), reply.clone()]).await;
        let (graph, _) = graph(&server);
        let link = Link::new(server.link("users/delta?$deltatoken=old"));
        let error = graph.users_delta(Some(&link), &Kept::All).await.unwrap_err();
        let GraphError::LinkExpired {
            endpoint: "users/delta",
            cause,
        } = error
        else {
            panic!("{reply:?}: {error:?}")
        };
        assert_eq!(cause, expected);
        assert!(matches!(
            graph.group_delta(&link).await,
            Err(GraphError::LinkExpired { .. })
        ));
        assert_eq!(server.asked().len(), 2, "a dead token is not asked for twice");
    }
}

#[tokio::test]
async fn the_same_refusals_of_a_first_request_are_not_an_expired_link() {
    for (reply, _) in deaths() {
        let server = Server::start([reply.clone(), reply.clone()]).await;
        let (graph, _) = graph(&server);
        let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
        let refused = matches!(error, GraphError::BadRequest { .. } | GraphError::NotFound { .. });
        assert!(refused, "{reply:?}: {error:?}");
        assert!(!error.is_transient());
        assert!(!matches!(
            graph.group_delta_latest(GROUP).await,
            Err(GraphError::LinkExpired { .. })
        ));
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn other_refusals_of_a_link_keep_their_meaning() {
    let server = Server::start([
        Reply::error(403, "Authorization_RequestDenied"),
        Reply::error(404, "Request_ResourceNotFound"),
        Reply::error(501, "NotImplemented"),
        // A plain listing's link: every 400 counts.
        Reply::error(405, "Request_BadRequest"),
        Reply::error(400, "Request_BadRequest"),
    ])
    .await;
    let (graph, _) = graph(&server);
    let link = Link::new(server.link("users/delta?$deltatoken=old"));
    assert!(matches!(
        graph.users_delta(Some(&link), &Kept::All).await,
        Err(GraphError::Forbidden { .. })
    ));
    assert!(matches!(
        graph.users_delta(Some(&link), &Kept::All).await,
        Err(GraphError::NotFound { .. })
    ));
    assert!(matches!(
        graph.users_delta(Some(&link), &Kept::All).await,
        Err(GraphError::BadRequest { status: 501, .. })
    ));
    assert!(matches!(
        graph.group_members(GROUP, Some(&link)).await,
        Err(GraphError::BadRequest { .. })
    ));
    assert!(matches!(
        graph.group_members(GROUP, Some(&link)).await,
        Err(GraphError::LinkExpired { .. })
    ));
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let server = Server::start([Reply::error(403, "Authorization_RequestDenied")]).await;
    let error = graph(&server).0.subscribed_skus().await.unwrap_err();
    assert!(error.remedy().unwrap().contains("LicenseAssignment.Read.All"));
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "fetch subscribedSkus, which is forbidden (Authorization_RequestDenied)"
    );
}

#[tokio::test]
async fn refusals_are_not_repeated_and_keep_no_message() {
    for status in [400, 404, 409, 410, 423, 501] {
        let server = Server::start([Reply::error(status, "Some_Code")]).await;
        let error = graph(&server).0.group_owners(GROUP).await.unwrap_err();
        assert_eq!(matches!(error, GraphError::NotFound { .. }), status == 404);
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("Maria") && !shown.contains(&GROUP.to_string()),
            "{shown}"
        );
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_page_must_have_a_value_and_exactly_one_link() {
    let link = "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=1";
    let bodies = [
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        r#"{"value":[]}"#.to_owned(),
        format!(r#"{{"@odata.deltaLink":"{link}"}}"#),
        format!(r#"{{"value":null,"@odata.deltaLink":"{link}"}}"#),
        format!(r#"{{"value":{{}},"@odata.deltaLink":"{link}"}}"#),
        format!(r#"{{"value":[],"@odata.deltaLink":"{link}","@odata.nextLink":"{link}"}}"#),
    ];
    for body in bodies {
        let server = Server::start([Reply::ok(body.clone())]).await;
        let error = graph(&server).0.users_delta(None, &Kept::All).await.unwrap_err();
        assert!(matches!(error, GraphError::Protocol { .. }), "{body}: {error:?}");
        assert_eq!(server.asked().len(), 1);
    }
    let server = Server::start([Reply::ok("{}")]).await;
    assert!(matches!(
        graph(&server).0.deleted_users().await,
        Err(GraphError::Protocol { .. })
    ));
}

#[test]
fn codes_are_read_from_any_body() {
    let shown = |body: &str| Codes::decode(body.as_bytes()).shown().to_owned();
    assert_eq!(shown(r#"{"error":{"code":"A","innerError":{"code":"B"}}}"#), "A");
    assert_eq!(shown(r#"{"error":{"code":"","innererror":{"code":"B"}}}"#), "B");
    assert_eq!(shown(r#"{"error":{"code":7,"innerError":{"code":"B"}}}"#), "B");
    assert_eq!(shown(r#"{"error":{"code":null}}"#), "no code");
    for none in ["", "{}", "<html>", r#"{"error":"x"}"#, r#"{"error":null}"#] {
        assert_eq!(shown(none), "no code");
    }
    assert!(!SELECTION_FINGERPRINT.contains(' '));
}

#[tokio::test]
async fn a_failed_attempt_is_logged_with_its_ids_and_nothing_secret() {
    let log = Log::default();
    let _listening = log.listen();

    let server = Server::start([
        Reply::error(429, "TooManyRequests").with("request-id", "r-1"),
        Reply::hang_up(),
        Reply::ok(r#"{"value":[{"id":"Maria","mail":"maria@contoso.com"}]}"#),
        Reply::error(410, "syncStateNotFound"),
    ])
    .await;
    server.script_tokens([Reply::new(
        500,
        r#"{"error":"x","error_description":"AADSTS90033: Maria"}"#,
    )]);
    let (graph, _) = graph(&server);
    let link = Link::new(server.link("users/delta?$deltatoken=abcdef"));
    graph.group_members(GROUP, None).await.unwrap();
    graph.users_delta(Some(&link), &Kept::All).await.unwrap_err();

    let log = log.text();
    let first = server.asked()[0].header("client-request-id").unwrap().to_owned();
    for part in [
        "groups/{id}/members",
        "429",
        "TooManyRequests",
        "r-1",
        &first,
        "aadsts=90033",
        "count=1",
        "users/delta",
    ] {
        assert!(log.contains(part), "{part} is missing in\n{log}");
    }
    for part in [
        "Maria",
        "maria",
        "abcdef",
        "s3cr",
        "token-of-the-script",
        &server.root(),
        &GROUP.to_string(),
    ] {
        assert!(!log.contains(part), "{part} stands in\n{log}");
    }
}

#[derive(Clone, Default)]
pub(super) struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    /// Takes in what this thread logs, until the guard is dropped.
    pub fn listen(&self) -> impl Drop {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer({
                let log = self.clone();
                move || log.clone()
            });
        // With one dispatcher alone, `tracing` asks whichever thread meets a call first whether anybody listens.
        let second = tracing::Dispatch::new(tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).finish());
        Listening {
            _guard: tracing::subscriber::set_default(subscriber.finish()),
            _second: second,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Listening {
    _guard: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

impl Drop for Listening {
    fn drop(&mut self) {}
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
