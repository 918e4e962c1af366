//! Whom the edge speaks to over TLS: nobody whose certificate does not stand up, and nothing switches that off. A
//! certificate authority of one's own can be added, and stands beside the public ones.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

// Made for these tests, from 2000 to 2099; they open nothing. The key is that of every certificate but the authority's.
const KEY: &[u8] = include_bytes!("keys/tls/key.pem");
const AUTHORITY: &[u8] = include_bytes!("keys/tls/ca.pem");
/// For 127.0.0.1 and localhost.
const GOOD: &[u8] = include_bytes!("keys/tls/good.pem");
/// For elsewhere.example.
const OTHER_NAME: &[u8] = include_bytes!("keys/tls/other_name.pem");
/// Until 2001.
const EXPIRED: &[u8] = include_bytes!("keys/tls/expired.pem");
/// Signed by its own key.
const SELF_SIGNED: &[u8] = include_bytes!("keys/tls/self_signed.pem");

/// A token service and a Graph without anybody in it.
const TOKEN: &str = r#"{"token_type":"Bearer","expires_in":3600,"access_token":"t"}"#;
const EMPTY: &str = r#"{"value":[]}"#;

/// Serves over TLS. Counts the requests: whoever is not trusted must never see one.
struct Encrypted {
    root: Url,
    requests: Arc<AtomicUsize>,
}

impl Encrypted {
    fn serve(certificate: &[u8]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = CertificateDer::pem_slice_iter(certificate)
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let root = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        // Ends with the process: a thread that accepts cannot be told to stop.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, counted) = (Arc::clone(&config), Arc::clone(&counted));
                thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
                    while let Some(target) = read(&mut stream) {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let body = if target.contains("/token") { TOKEN } else { EMPTY };
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        let sent = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
                        if sent.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { root, requests }
    }

    /// A Graph before it that trusts this authority too.
    fn graph(&self, authority: Option<&[u8]>) -> Graph {
        let mut settings = GraphSettings::new(
            TENANT.to_owned(),
            CLIENT.to_owned(),
            secret(),
            self.root.clone(),
            self.root.clone(),
        );
        settings.extra_ca_pem = authority.map(<[u8]>::to_vec);
        settings.seed = Some(7);
        graph_with(&settings).0
    }
}

/// Reads one request; its target. A body is read to its end, or it would be taken for the next request.
fn read(stream: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(first)
}

/// What stands in the log about a call that found nobody to trust.
async fn refusal(server: &Encrypted, authority: Option<&[u8]>) -> String {
    let error = server.graph(authority).subscribed_skus().await.unwrap_err();
    assert!(
        matches!(error, GraphError::Unavailable { endpoint: "token", .. }),
        "{error:?}"
    );
    assert!(
        error.is_transient(),
        "a certificate can be renewed: the next run tries again"
    );
    assert_eq!(
        server.requests.load(Ordering::Relaxed),
        0,
        "not a byte of a request, and no secret, has gone there"
    );
    told(&error)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_once_it_is_named() {
    let server = Encrypted::serve(GOOD);
    let text = refusal(&server, None).await;
    assert!(text.contains("UnknownIssuer") || text.contains("certificate"), "{text}");
    assert_eq!(server.graph(Some(AUTHORITY)).subscribed_skus().await.unwrap().items, []);
    assert_eq!(server.requests.load(Ordering::Relaxed), 2, "the token and the call");
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_not_trusted() {
    let server = Encrypted::serve(SELF_SIGNED);
    let text = refusal(&server, None).await;
    assert!(text.contains("certificate"), "{text}");
    refusal(&server, Some(AUTHORITY)).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted_whoever_signed_it() {
    let text = refusal(&Encrypted::serve(OTHER_NAME), Some(AUTHORITY)).await;
    assert!(text.contains("not valid for name"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_not_trusted_whoever_signed_it() {
    let text = refusal(&Encrypted::serve(EXPIRED), Some(AUTHORITY)).await;
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn a_trusted_authority_opens_no_way_to_a_server_without_tls() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let root = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .unwrap()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let plain = Encrypted {
        root: Url::parse(&root).unwrap(),
        requests: Arc::default(),
    };
    refusal(&plain, Some(AUTHORITY)).await;
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let root = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let mut settings = GraphSettings::new(TENANT.to_owned(), CLIENT.to_owned(), secret(), root.clone(), root);
    settings.connect_timeout = Duration::from_millis(100);
    settings.request_timeout = Duration::from_millis(200);
    let error = graph_with(&settings).0.subscribed_skus().await.unwrap_err();
    assert!(matches!(error, GraphError::Unavailable { .. }), "{error:?}");
}
