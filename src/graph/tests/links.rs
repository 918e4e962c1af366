//! Where the token may travel, and which links are refused.

use proptest::prelude::*;

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{Kept, Link};
use crate::graph::link::Root;
use crate::graph::{GraphError, endpoint};

#[tokio::test]
async fn a_link_elsewhere_is_never_followed() {
    let server = Server::start([]).await;
    let stranger = Server::start([]).await;
    let (graph, _) = graph(&server);
    let root = server.root();
    let port = root.rsplit(':').next().unwrap();
    let links = [
        stranger.link("users/delta?$deltatoken=1"),
        "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=1".to_owned(),
        server.link("users/delta").replace("http:", "https:"),
        server.link("users/delta").replace("127.0.0.1", "localhost"),
        format!("http://127.0.0.1@evil.example:{port}/v1.0/users/delta"),
        format!("http://user@127.0.0.1:{port}/v1.0/users/delta"),
        format!("{root}/beta/users/delta?$deltatoken=1"),
        format!("{root}/v1.0"),
        format!("{root}/v1.0/../beta/users"),
    ];
    for link in &links {
        let error = graph
            .users_delta(Some(&Link::new(link.clone())), &Kept::All)
            .await
            .unwrap_err();
        let expired = matches!(
            error,
            GraphError::LinkExpired {
                cause: "other_root",
                ..
            }
        );
        assert!(
            expired,
            "a stored link of another root is as good as dead: {link}: {error:?}"
        );
        assert!(!error.is_transient());
        assert!(!format!("{error:?} {error}").contains("deltatoken"), "{error:?}");
    }
    assert!(server.asked().is_empty() && server.token_requests().is_empty());

    // The same as the link of an answer.
    for link in &links {
        for name in ["nextLink", "deltaLink"] {
            server.script([Reply::ok(format!(r#"{{"value":[],"@odata.{name}":"{link}"}}"#))]);
            let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
            assert!(matches!(error, GraphError::ForeignLink { .. }), "{link}: {error:?}");
            assert!(!format!("{error:?} {error}").contains("deltatoken"), "{error:?}");
        }
    }
    assert!(stranger.asked().is_empty());
}

#[tokio::test]
async fn a_link_that_cannot_be_sent_as_received_is_refused() {
    let server = Server::start([]).await;
    let (graph, _) = graph(&server);
    for link in [
        server.link("users/delta?$deltatoken=a\tb"),
        server.link("users/delta?$deltatoken=a#b"),
        server.link("users\\delta?$deltatoken=a"),
        server.link("users/./delta?$deltatoken=a"),
        "no link at all".to_owned(),
    ] {
        let error = graph
            .users_delta(Some(&Link::new(link.clone())), &Kept::All)
            .await
            .unwrap_err();
        assert!(matches!(error, GraphError::LinkExpired { .. }), "{link}: {error:?}");
        let body = serde_json::json!({"value": [], "@odata.nextLink": link});
        server.script([Reply::ok(body.to_string())]);
        let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
        assert!(matches!(error, GraphError::Protocol { .. }), "{link}: {error:?}");
    }
}

#[tokio::test]
async fn a_next_link_that_leads_back_ends_the_round() {
    let server = Server::start([]).await;
    let (graph, _) = graph(&server);
    let link = server.link("users/delta?$skiptoken=1");
    server.script([Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{link}"}}"#))]);
    let error = graph.users_delta(Some(&Link::new(link)), &Kept::All).await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");

    // A circle of two pages.
    let [a, b] = ["owners?$skiptoken=a", "owners?$skiptoken=b"].map(|rest| server.link(rest));
    server.script([&a, &b, &a].map(|link| Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{link}"}}"#))));
    let error = graph.group_owners(GROUP).await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stranger = Server::start([]).await;
    let server = Server::start([Reply::new(302, "").with("location", stranger.link("users/delta"))]).await;
    let error = graph(&server).0.users_delta(None, &Kept::All).await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    assert!(stranger.asked().is_empty());
}

#[test]
fn roots_and_tenants_that_cannot_be_right_are_refused() {
    let url = |text: &str| Url::parse(text).unwrap();
    let build = |tenant: &str, authority: &str, root: &str| {
        let settings = GraphSettings::new(tenant.into(), CLIENT.into(), secret(), url(authority), url(root));
        Graph::new(&settings, Clock::simulated(start()), CancellationToken::new())
    };
    let good = "https://login.microsoftonline.com";
    assert!(build(TENANT, good, "https://graph.microsoft.com").is_ok());
    assert!(build("contoso.onmicrosoft.com", "http://127.0.0.1:1", "http://[::1]:1").is_ok());
    for (tenant, authority, root) in [
        (TENANT, "http://login.example", "https://graph.microsoft.com"),
        (TENANT, good, "http://graph.example"),
        (TENANT, good, "https://graph.microsoft.com/v1.0"),
        (TENANT, good, "https://me@graph.microsoft.com"),
        (TENANT, good, "ftp://graph.microsoft.com"),
        ("common", good, "https://graph.microsoft.com"),
        ("a/b", good, "https://graph.microsoft.com"),
        ("", good, "https://graph.microsoft.com"),
    ] {
        let error = build(tenant, authority, root).unwrap_err();
        assert!(matches!(error, GraphError::Settings(_)), "{tenant} {authority} {root}");
    }
}

proptest! {
    #[test]
    fn a_token_of_any_characters_is_sent_as_received_or_not_at_all(token in "[ -~éß]{0,60}") {
        let root = Root::new(Url::parse("https://graph.microsoft.com").unwrap());
        let link = format!("https://graph.microsoft.com/v1.0/users/delta?$deltatoken={token}");
        let Ok(target) = root.follow(endpoint::USERS_DELTA, &link) else {
            // Only a fragment, which is never sent, and blanks at the end, which `url` drops, stand in the way.
            prop_assert!(token.contains('#') || token.ends_with(' '), "{token:?}");
            return Ok(());
        };
        let sent = target.url.query().unwrap();
        prop_assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()));
        let untouched: String = token.chars().filter(|c| c.is_ascii_alphanumeric() || "-._~!$&()*+,;=:@/?%".contains(*c)).collect();
        let mut rest = sent.strip_prefix("$deltatoken=").unwrap().chars();
        prop_assert!(untouched.chars().all(|c| rest.any(|sent| sent == c)), "{sent}");
        prop_assert_eq!(target.text, link);
    }
}
