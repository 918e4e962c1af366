//! Programs that answer like a PostgreSQL in trouble, in its wire protocol, because a real one cannot be brought into
//! each kind of trouble in a test.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An error as the server words it.
#[derive(Clone, Copy)]
pub struct Answer {
    pub severity: &'static str,
    pub code: &'static str,
    pub message: &'static str,
    /// Where it happened, as PL/pgSQL says it; may be empty.
    pub context: &'static str,
}

/// When the server answers with the error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Instead of a session.
    SigningIn,
    /// To the first statement.
    Stating,
}

/// A server on this port that answers every client with this error.
pub async fn that_answers(answer: Answer, when: When) -> u16 {
    serve(move |client| async move {
        let _ = refuse(client, answer, when).await;
    })
    .await
}

/// A server on this port that takes TLS and shows this certificate.
pub async fn with_certificate(certificate: &[u8]) -> u16 {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../../src/graph/tests/keys/tls/key.pem")).unwrap();
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    let shown = CertifiedKey::new(vec![certificate], any_supported_type(&key).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Only(Arc::new(shown))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |mut client| {
        let acceptor = acceptor.clone();
        async move {
            let mut request = [0; 8];
            client.read_exact(&mut request).await.unwrap();
            client.write_all(b"S").await.unwrap();
            let _ = acceptor.accept(client).await;
        }
    })
    .await
}

async fn serve<F: Future<Output = ()> + Send + 'static>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client));
        }
    });
    port
}

/// A certificate whatever its version; rustls itself would refuse to show some.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn refuse(mut client: TcpStream, answer: Answer, when: When) -> std::io::Result<()> {
    // The request for TLS, which is declined; then the start.
    read_start(&mut client).await?;
    client.write_all(b"N").await?;
    read_start(&mut client).await?;
    if when == When::SigningIn {
        return client.write_all(&error(answer)).await;
    }
    client.write_all(&message(b'R', &0_i32.to_be_bytes())).await?;
    client.write_all(&message(b'Z', b"I")).await?;
    // The first statement ends with Sync.
    loop {
        let kind = client.read_u8().await?;
        let length = client.read_i32().await?;
        let mut rest = vec![0; usize::try_from(length - 4).unwrap_or_default()];
        client.read_exact(&mut rest).await?;
        if kind == b'S' {
            client.write_all(&error(answer)).await?;
            client.write_all(&message(b'Z', b"I")).await?;
        }
    }
}

async fn read_start(client: &mut TcpStream) -> std::io::Result<()> {
    let length = client.read_i32().await?;
    let mut rest = vec![0; usize::try_from(length - 4).unwrap_or_default()];
    client.read_exact(&mut rest).await?;
    Ok(())
}

fn error(answer: Answer) -> Vec<u8> {
    let fields = [
        ('S', answer.severity),
        ('V', answer.severity),
        ('C', answer.code),
        ('M', answer.message),
        ('W', answer.context),
    ];
    let given = fields.iter().filter(|(_, text)| !text.is_empty());
    let mut body: Vec<u8> = given
        .flat_map(|(field, text)| format!("{field}{text}\0").into_bytes())
        .collect();
    body.push(0);
    message(b'E', &body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}
