//! Tokens: each credential, each fault, and when a token is replaced.

use crate::domain::feed::Kept;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::signature::{RSA_PSS_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::domain::credential::ManagedHost;
use crate::graph::GraphError;

// Made for these tests; they open nothing.
const CERTIFICATE: &[u8] = include_bytes!("keys/certificate.pem");
const PKCS8: &str = include_str!("keys/pkcs8.pem");
const PKCS1: &str = include_str!("keys/pkcs1.pem");
const EC: &str = include_str!("keys/ec.pem");
/// `openssl x509 -fingerprint -sha256` of the certificate.
const FINGERPRINT: [u64; 4] = [
    0x0c75_63d4_870b_8911,
    0x508f_bc34_fc6a_55fa,
    0xce2d_54d2_c68e_919a,
    0x9a00_a4b8_e2a5_018f,
];

fn token(extra: &str) -> Reply {
    Reply::ok(format!(r#"{{"token_type":"Bearer","access_token":"t"{extra}}}"#))
}

fn fault(status: u16, error: &str, number: u32) -> Reply {
    Reply::new(
        status,
        format!(
            r#"{{"error":"{error}","error_description":"AADSTS{number}: for Maria. Trace ID: t-1","error_codes":[{number}],
                "trace_id":"t-1","correlation_id":"c-1","timestamp":"x"}}"#
        ),
    )
}

fn empties(count: usize) -> impl Iterator<Item = Reply> {
    (0..count).map(|_| Reply::ok(r#"{"value":[]}"#))
}

fn form(seen: &Seen) -> std::collections::HashMap<String, String> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_secret_is_sent_as_the_contract_says_and_its_token_is_kept() {
    let server = Server::start(empties(2)).await;
    let (graph, _) = graph(&server);
    graph.subscribed_skus().await.unwrap();
    graph.clone().deleted_users().await.unwrap();
    let requests = server.token_requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", &*format!("/{TENANT}/oauth2/v2.0/token"))
    );
    let form = form(request);
    assert_eq!(form["client_id"], CLIENT);
    assert_eq!(form["client_secret"], "s3cr&t=~value");
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["scope"], format!("{}/.default", server.root()));
    assert_eq!(form.len(), 4);
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_answer_says() {
    for (extra, life) in [
        (r#","expires_in":3599"#, 3599),
        (r#","expires_in":"4000","ext_expires_in":"x""#, 4000),
        (r#","expires_in":3599.0"#, 3599),
        (r#","expires_on":"1772367000""#, 600),
        ("", 300),
        (r#","expires_in":null"#, 300),
        (r#","expires_in":"never""#, 300),
        (r#","expires_in":-5"#, 0),
        (r#","expires_in":1e99"#, 48 * 3600),
    ] {
        let server = Server::start([]).await;
        server.script_tokens([token(extra)]);
        let end = graph(&server).0.check_token().await.unwrap();
        assert_eq!(end - start(), TimeDelta::seconds(life), "{extra}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_shortly_before_its_end() {
    let server = Server::start(empties(5)).await;
    server.script_tokens([token(r#","expires_in":3600"#), token(r#","expires_in":100"#), token("")]);
    let (graph, clock) = graph(&server);
    for (pass, requests) in [(0, 1), (3299, 1), (1, 2), (89, 2), (1, 3)] {
        clock.advance(Duration::from_secs(pass));
        graph.subscribed_skus().await.unwrap();
        assert_eq!(server.token_requests().len(), requests, "after {pass} more seconds");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = Server::start([]).await;
    let (graph, _) = graph(&server);
    let refused = || Reply::error(401, "InvalidAuthenticationToken");
    server.script([refused()].into_iter().chain(empties(1)));
    server.script_tokens([
        token(r#","expires_in":3600"#),
        token(r#","expires_in":3600"#).with("x", "second"),
    ]);
    graph.subscribed_skus().await.unwrap();
    assert_eq!(server.token_requests().len(), 2);

    server.script([refused(), refused()]);
    let error = graph.subscribed_skus().await.unwrap_err();
    assert!(
        matches!(
            error,
            GraphError::Unauthorized {
                endpoint: "subscribedSkus"
            }
        ),
        "{error:?}"
    );
    assert!(error.remedy().is_some() && !error.is_transient());
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn callers_share_one_token_request() {
    let server = Server::start(empties(8)).await;
    let (graph, _) = graph(&server);
    let calls = (0..8).map(|_| graph.subscribed_skus());
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(server.token_requests().len(), 1);
}

#[tokio::test]
async fn callers_share_one_failure_to_obtain_a_token() {
    let server = Server::start([]).await;
    server.script_tokens((0..99).map(|_| Reply::new(500, "")));
    let (graph, _) = graph(&server);
    for answer in futures_util::future::join_all((0..8).map(|_| graph.subscribed_skus())).await {
        assert!(answer.unwrap_err().is_transient());
    }
    assert_eq!(server.token_requests().len(), 5);
    // A later caller tries anew.
    graph.subscribed_skus().await.unwrap_err();
    assert_eq!(server.token_requests().len(), 10);
}

#[tokio::test]
async fn a_configuration_fault_is_explained_and_not_hammered() {
    for (number, hint) in [
        (7_000_215, "instead of its value"),
        (7_000_222, "expired"),
        (700_016, "not in this tenant"),
        (700_027, "signature"),
        (90_002, "cloud"),
    ] {
        let server = Server::start([]).await;
        server.script_tokens([fault(401, "invalid_client", number)]);
        let (graph, clock) = graph(&server);
        let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
        let GraphError::Token(told) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (told.aadsts, told.error.as_str(), told.status),
            (Some(number), "invalid_client", 401)
        );
        assert_eq!(
            (told.trace_id.as_deref(), told.correlation_id.as_deref()),
            (Some("t-1"), Some("c-1"))
        );
        assert!(error.remedy().unwrap().contains(hint), "{:?}", error.remedy());
        assert!(!error.is_transient() && !format!("{error:?}{told}").contains("Maria"));
        // Remembered for a minute, then asked again.
        assert!(matches!(
            graph.users_delta(None, &Kept::All).await,
            Err(GraphError::Token(_))
        ));
        assert_eq!(server.token_requests().len(), 1);
        clock.advance(Duration::from_mins(1));
        server.script([Reply::ok(r#"{"value":[]}"#)]);
        graph.subscribed_skus().await.unwrap();
    }
}

#[tokio::test]
async fn the_number_is_found_without_error_codes() {
    let server = Server::start([]).await;
    let body = r#"{"error":"invalid_scope","error_description":"AADSTS70011: The scope is not valid."}"#;
    server.script_tokens([Reply::new(400, body)]);
    let error = graph(&server).0.check_token().await.unwrap_err();
    assert!(
        matches!(&error, GraphError::Token(fault) if fault.aadsts == Some(70_011)),
        "{error:?}"
    );
}

#[tokio::test]
async fn passing_token_faults_are_repeated() {
    let html = Reply::new(200, "<html>").with("content-type", "text/html");
    for passing in [
        fault(400, "invalid_client", 70_021),
        fault(400, "invalid_grant", 90_033),
        Reply::new(400, r#"{"error":"temporarily_unavailable"}"#),
        Reply::new(429, "").with("retry-after", "7"),
        Reply::new(503, "<html>"),
        Reply::hang_up(),
        Reply::ok("{").cut(),
        Reply::ok("{\"access_token\""),
        html,
    ] {
        let server = Server::start([]).await;
        server.script_tokens([passing.clone(), passing.clone()]);
        let (graph, clock) = graph(&server);
        graph
            .check_token()
            .await
            .unwrap_or_else(|error| panic!("{passing:?}: {error:?}"));
        assert_eq!(server.token_requests().len(), 3);
        assert!(clock.now() > start());
    }
}

#[tokio::test]
async fn a_token_service_that_stays_away_is_unavailable() {
    let server = Server::start([]).await;
    server.script_tokens((0..10).map(|_| Reply::new(500, "")));
    let error = graph(&server).0.check_token().await.unwrap_err();
    assert!(
        matches!(error, GraphError::Unavailable { endpoint: "token", .. }),
        "{error:?}"
    );
    assert_eq!(server.token_requests().len(), 5);
    server.script_tokens((0..5).map(|_| fault(400, "invalid_client", 70_021)));
    let server = Server::start([]).await;
    server.script_tokens((0..5).map(|_| fault(400, "invalid_client", 70_021)));
    let error = graph(&server).0.check_token().await.unwrap_err();
    assert!(error.is_transient() && error.remedy().is_some(), "{error:?}");
}

#[tokio::test]
async fn an_old_token_serves_while_the_token_service_is_away() {
    let server = Server::start(empties(5)).await;
    server.script_tokens([token(r#","expires_in":3600"#)]);
    let (graph, clock) = graph(&server);
    graph.subscribed_skus().await.unwrap();
    server.script_tokens((0..10).map(|_| Reply::new(500, "")));
    clock.advance(Duration::from_secs(3400));
    for _ in 0..3 {
        graph.subscribed_skus().await.unwrap();
        assert_eq!(server.token_requests().len(), 6, "not once more with every request");
    }
    clock.advance(Duration::from_mins(1));
    graph.subscribed_skus().await.unwrap();
    assert_eq!(server.token_requests().len(), 11, "after a minute");
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_that_its_key_verifies() {
    for key_pem in [PKCS8, PKCS1] {
        let server = Server::start([]).await;
        let key_pem = Secret::new(key_pem.to_owned());
        let credential = Credential::Certificate {
            certificate_pem: CERTIFICATE.to_vec(),
            key_pem,
        };
        let (graph, _) = graph_with(&settings(&server, credential));
        graph.check_token().await.unwrap();
        graph.check_token().await.unwrap();
        let requests = server.token_requests();
        let form_of = form(&requests[0]);
        assert_eq!(
            form_of["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert_eq!((form_of["client_id"].as_str(), form_of.len()), (CLIENT, 5));
        let assertion = &form_of["client_assertion"];
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let header = read(header);
        assert_eq!((&header["alg"], &header["typ"]), (&"PS256".into(), &"JWT".into()));
        let thumbprint = URL_SAFE_NO_PAD.decode(header["x5t#S256"].as_str().unwrap()).unwrap();
        assert_eq!(thumbprint, FINGERPRINT.map(u64::to_be_bytes).concat());
        let claims = read(claims);
        assert_eq!(claims["aud"], format!("{}/{TENANT}/oauth2/v2.0/token", server.root()));
        assert_eq!((&claims["iss"], &claims["sub"]), (&CLIENT.into(), &CLIENT.into()));
        assert_eq!(
            (&claims["nbf"], &claims["iat"]),
            (&start().timestamp().into(), &start().timestamp().into())
        );
        assert_eq!(claims["exp"], start().timestamp() + 300);
        assert_ne!(
            assertion,
            &form(&requests[1])["client_assertion"],
            "each assertion has its own jti"
        );

        let key = PrivatePkcs8KeyDer::from_pem_slice(PKCS8.as_bytes()).unwrap();
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public().as_ref())
            .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_work_is_refused_at_once() {
    let server = Server::start([]).await;
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key) in [
        (&b"none"[..], PKCS8),
        (CERTIFICATE, "none"),
        (CERTIFICATE, EC),
        (CERTIFICATE, encrypted),
    ] {
        let key_pem = Secret::new(key.to_owned());
        let credential = Credential::Certificate {
            certificate_pem: certificate.to_vec(),
            key_pem,
        };
        let error = Graph::new(
            &settings(&server, credential),
            Clock::simulated(start()),
            CancellationToken::new(),
        )
        .unwrap_err();
        assert!(matches!(error, GraphError::Settings(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_federated_token_is_read_anew_for_every_request() {
    let server = Server::start([]).await;
    let token_file = std::env::temp_dir().join(format!("rollcall-federated-{}", Uuid::new_v4()));
    let credential = Credential::WorkloadIdentity {
        token_file: token_file.clone(),
    };
    let (graph, _) = graph_with(&settings(&server, credential));
    for text in ["first", "second\n"] {
        std::fs::write(&token_file, text).unwrap();
        graph.check_token().await.unwrap();
        let requests = server.token_requests();
        assert_eq!(form(requests.last().unwrap())["client_assertion"], text.trim());
    }
    std::fs::remove_file(&token_file).unwrap();
    assert!(matches!(graph.check_token().await, Err(GraphError::Settings(_))));
}

#[tokio::test]
async fn a_machine_asks_its_own_service() {
    let server = Server::start([]).await;
    let imds = r#"{"access_token":"x","refresh_token":"","expires_in":"3599","expires_on":"1","token_type":"Bearer"}"#;
    server.script_tokens([
        Reply::error(404, "x"),
        Reply::new(410, ""),
        Reply::new(500, ""),
        Reply::ok(imds),
        Reply::new(
            400,
            r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
        ),
    ]);
    let root = Url::parse(&server.root()).unwrap();
    let host = ManagedHost::InstanceMetadata { root };
    let mut settings = settings(&server, Credential::ManagedIdentity { client_id: None, host });
    settings.retry.first_backoff = Duration::ZERO;
    let (graph, clock) = graph_with(&settings);
    assert_eq!(
        graph.check_token().await.unwrap() - clock.now(),
        TimeDelta::seconds(3599)
    );
    assert_eq!(
        clock.now() - start(),
        TimeDelta::seconds(1),
        "after its own failure it wants a second of quiet"
    );
    let error = graph.check_token().await.unwrap_err();
    assert!(
        matches!(&error, GraphError::Token(fault) if fault.error == "invalid_request"),
        "{error:?}"
    );
    let asked = &server.token_requests()[0];
    assert_eq!((asked.method.as_str(), asked.header("metadata")), ("GET", Some("true")));
    let resource: String = url::form_urlencoded::byte_serialize(format!("{}/", server.root()).as_bytes()).collect();
    assert_eq!(
        asked.target,
        format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}")
    );
}

#[tokio::test]
async fn an_app_service_asks_with_its_header() {
    let server = Server::start([]).await;
    server.script_tokens([Reply::ok(
        r#"{"access_token":"x","expires_on":"1772367000","token_type":"Bearer"}"#,
    )]);
    let credential = Credential::ManagedIdentity {
        client_id: Some("mine".to_owned()),
        host: ManagedHost::AppService {
            endpoint: Url::parse(&format!("{}/identity/token", server.root())).unwrap(),
            header: Secret::new("the header".to_owned()),
        },
    };
    let (graph, _) = graph_with(&settings(&server, credential));
    assert_eq!(graph.check_token().await.unwrap() - start(), TimeDelta::seconds(600));
    let asked = &server.token_requests()[0];
    assert_eq!(asked.header("x-identity-header"), Some("the header"));
    assert!(
        asked
            .target
            .starts_with("/identity/token?api-version=2019-08-01&resource="),
        "{}",
        asked.target
    );
    assert!(asked.target.ends_with("&client_id=mine"), "{}", asked.target);
}

#[test]
fn nothing_shows_a_secret() {
    let key_pem = Secret::new(PKCS8.to_owned());
    let shown = format!(
        "{:?} {:?}",
        secret(),
        Credential::Certificate {
            certificate_pem: Vec::new(),
            key_pem
        }
    );
    assert!(!shown.contains("s3cr") && !shown.contains("PRIVATE"), "{shown}");
}
