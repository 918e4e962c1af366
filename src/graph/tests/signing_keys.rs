//! The published keys: where they are asked for, which are kept, and whose word is not taken.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::*;
use crate::domain::signing_keys::{SigningKey, SigningKeys};
use crate::graph::GraphError;

/// As long as a modulus of 2048 bits.
fn modulus(filler: u8) -> Vec<u8> {
    vec![filler; 256]
}

fn jwk(kid: &str, filler: u8) -> Value {
    json!({"kty": "RSA", "use": "sig", "kid": kid, "n": URL_SAFE_NO_PAD.encode(modulus(filler)), "e": "AQAB"})
}

/// The same, changed.
fn jwk_with(kid: &str, changes: &Value) -> Value {
    let mut key = jwk(kid, 0x55);
    let changes = changes.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(changes);
    key.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key
}

fn issuer(server: &Server) -> String {
    format!("{}/{TENANT}/v2.0", server.root())
}

fn metadata(server: &Server) -> Reply {
    metadata_leading_to(server, &format!("{}/{TENANT}/elsewhere/keys", server.root()))
}

fn metadata_leading_to(server: &Server, jwks_uri: &str) -> Reply {
    Reply::ok(json!({"issuer": issuer(server), "jwks_uri": jwks_uri, "more": [1]}).to_string())
}

fn keys(keys: &[Value]) -> Reply {
    Reply::ok(json!({ "keys": keys }).to_string())
}

fn kids(found: &SigningKeys) -> Vec<&str> {
    found.keys.iter().map(|key| key.kid.as_str()).collect()
}

#[tokio::test]
async fn the_metadata_leads_to_the_keys_and_no_token_is_sent() {
    let server = Server::start([]).await;
    server.script([metadata(&server), keys(&[jwk("one", 0x11), jwk("two", 0x22)])]);
    let (graph, _) = graph(&server);
    let found = graph.signing_keys().await.unwrap();
    assert_eq!(
        found,
        SigningKeys {
            issuers: vec![issuer(&server), format!("{}/{TENANT}/", server.root())],
            keys: [("one", 0x11), ("two", 0x22)]
                .map(|(kid, filler)| SigningKey {
                    kid: kid.to_owned(),
                    modulus: modulus(filler),
                    exponent: vec![1, 0, 1],
                })
                .to_vec(),
        }
    );
    let targets: Vec<String> = server.asked().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(
        targets,
        [
            format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
            format!("/{TENANT}/elsewhere/keys"),
        ]
    );
    assert!(server.token_requests().is_empty());
    assert!(server.asked().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn junk_among_the_keys_hides_no_good_one() {
    let server = Server::start([]).await;
    let junk = [
        json!("text"),
        json!(null),
        json!({}),
        jwk_with("curve", &json!({"kty": "EC"})),
        jwk_with("secret", &json!({"kty": "oct", "k": "AAAA"})),
        jwk_with("encrypts", &json!({"use": "enc"})),
        jwk_with("other algorithm", &json!({"alg": "RS512"})),
        jwk_with("nameless", &json!({"kid": null})),
        jwk_with("", &json!({})),
        jwk_with("number", &json!({"kid": 7})),
        jwk_with("not base64", &json!({"n": "!!!"})),
        jwk_with("no modulus", &json!({"n": null})),
        jwk_with("empty", &json!({"n": ""})),
        jwk_with("zero", &json!({"e": "AAAA"})),
        jwk_with("short", &json!({"n": URL_SAFE_NO_PAD.encode([0x55; 128])})),
        jwk_with("long", &json!({"n": URL_SAFE_NO_PAD.encode([0x55; 1025])})),
        jwk_with("long exponent", &json!({"e": URL_SAFE_NO_PAD.encode([1; 9])})),
        jwk_with(
            "of consumers",
            &json!({"issuer": format!("{}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", server.root())}),
        ),
    ];
    let good = [
        jwk_with("plain", &json!({"use": null})),
        jwk_with("named", &json!({"alg": "RS256", "issuer": issuer(&server)})),
        jwk_with(
            "shared",
            &json!({"issuer": format!("{}/{{tenantid}}/v2.0", server.root())}),
        ),
        // Some publishers pad, or leave the zero of a signed number.
        jwk_with(
            "padded",
            &json!({"n": format!("{}==", URL_SAFE_NO_PAD.encode([[0].as_slice(), &[0x55; 256]].concat()))}),
        ),
        jwk_with("plain", &json!({"n": URL_SAFE_NO_PAD.encode(modulus(0x66))})),
    ];
    server.script([metadata(&server), keys(&[junk.to_vec(), good.to_vec()].concat())]);
    let (graph, _) = graph(&server);
    let found = graph.signing_keys().await.unwrap();
    assert_eq!(kids(&found), ["plain", "named", "shared", "padded"]);
    assert!(found.keys.iter().all(|key| key.modulus == modulus(0x55)));
}

#[tokio::test]
async fn keys_on_a_foreign_host_are_refused_and_nothing_is_sent_there() {
    let server = Server::start([]).await;
    let foreign = Server::start([keys(&[jwk("theirs", 1)])]).await;
    let port = server.root().rsplit_once(':').unwrap().1.to_owned();
    let (graph, _) = graph(&server);
    for leads_to in [
        format!("{}/{TENANT}/keys", foreign.root()),
        format!("http://localhost:{port}/keys"),
        format!("https://127.0.0.1:{port}/keys"),
        format!("http://user@127.0.0.1:{port}/keys"),
        format!(
            "http://127.0.0.1:{port}@{}/keys",
            foreign.root().trim_start_matches("http://")
        ),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        server.script([metadata_leading_to(&server, &leads_to)]);
        let error = graph.signing_keys().await.unwrap_err();
        assert!(matches!(error, GraphError::ForeignLink { .. }), "{leads_to}: {error:?}");
    }
    server.script([metadata_leading_to(&server, "keys")]);
    let error = graph.signing_keys().await.unwrap_err();
    assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
    assert!(foreign.asked().is_empty());
    assert_eq!(server.asked().len(), 8, "only metadata was asked for");
}

#[tokio::test]
async fn a_redirect_of_the_keys_is_not_followed() {
    let server = Server::start([]).await;
    let foreign = Server::start([keys(&[jwk("theirs", 1)])]).await;
    server.script([metadata(&server), Reply::new(302, "").with("location", foreign.root())]);
    let (graph, _) = graph(&server);
    let error = graph.signing_keys().await.unwrap_err();
    assert!(error.to_string().contains("answered 302"), "{error}");
    assert!(foreign.asked().is_empty());
}

#[tokio::test]
async fn missing_metadata_leaves_the_known_place() {
    let server = Server::start([]).await;
    server.script([Reply::new(404, ""), keys(&[jwk("one", 1)])]);
    let (graph, _) = graph(&server);
    let found = graph.signing_keys().await.unwrap();
    assert_eq!((kids(&found), &found.issuers[0]), (vec!["one"], &issuer(&server)));
    assert_eq!(server.asked()[1].target, format!("/{TENANT}/discovery/v2.0/keys"));
}

#[tokio::test]
async fn throttling_and_broken_answers_are_repeated_within_bounds() {
    let server = Server::start([]).await;
    server.script([
        Reply::error(503, "busy"),
        Reply::hang_up(),
        metadata(&server),
        Reply::error(429, "slow").with("retry-after", "3"),
        keys(&[jwk("one", 1)]).cut(),
        keys(&[jwk("one", 1)]),
    ]);
    let (graph, clock) = graph(&server);
    assert_eq!(kids(&graph.signing_keys().await.unwrap()), ["one"]);
    assert!(clock.now() - start() >= chrono::TimeDelta::seconds(3));

    server.answer_by(|_| Reply::error(500, "down"));
    let error = graph.signing_keys().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(server.asked().len(), 6 + 5);
}

#[tokio::test]
async fn what_cannot_be_used_is_an_error() {
    let server = Server::start([]).await;
    let (graph, _) = graph(&server);
    let large = format!(r#"{{"keys":[],"filler":"{}"}}"#, "x".repeat(1 << 20));
    for (replies, what) in [
        (vec![metadata(&server), keys(&[])], "no key"),
        (vec![metadata(&server), keys(&[json!({"kty": "EC"})])], "no key"),
        (vec![metadata(&server), Reply::ok("[]")], "discovery/keys"),
        (vec![metadata(&server), Reply::ok(large)], "more than 1048576 bytes"),
        (vec![metadata(&server), Reply::new(404, "")], "find the object"),
        (
            vec![Reply::ok(r#"{"issuer": "x"}"#)],
            "openid-configuration: a wrong type",
        ),
        (vec![Reply::ok(r#"{"issuer": "", "jwks_uri": "x"}"#)], "empty issuer"),
        (vec![Reply::error(400, "invalid_tenant")], "refused with 400"),
        (vec![Reply::error(401, "no")], "refused with 401"),
        (vec![Reply::error(403, "no")], "refused with 403"),
    ] {
        server.script(replies);
        let error = graph.signing_keys().await.unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(!error.is_transient() && error.remedy().is_none(), "{error:?}");
    }
}

#[tokio::test]
async fn each_cloud_has_its_issuer_of_tokens_of_version_one() {
    for (authority, issuer) in [
        ("https://login.microsoftonline.com", "https://sts.windows.net"),
        ("https://login.microsoftonline.us", "https://sts.windows.net"),
        ("https://login.chinacloudapi.cn", "https://sts.chinacloudapi.cn"),
        ("https://login.example.org:8443", "https://login.example.org:8443"),
    ] {
        let authority = Url::parse(authority).unwrap();
        let settings = GraphSettings::new(TENANT.into(), CLIENT.into(), secret(), authority.clone(), authority);
        let (graph, _) = graph_with(&settings);
        assert_eq!(graph.shared.publisher.first_issuer(), format!("{issuer}/{TENANT}/"));
    }
}

#[tokio::test]
async fn a_stop_ends_the_wait() {
    let server = Server::start([Reply::never()]).await;
    let cancel = CancellationToken::new();
    let graph = Graph::new(&settings(&server, secret()), Clock::simulated(start()), cancel.clone()).unwrap();
    let (result, ()) = tokio::join!(graph.signing_keys(), async {
        server.has_seen(1).await;
        cancel.cancel();
    });
    assert!(matches!(result, Err(GraphError::Cancelled)), "{result:?}");
}
