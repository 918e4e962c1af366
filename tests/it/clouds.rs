//! The national clouds, end to end: the real binary, its configuration naming a cloud alone, through a proxy that plays
//! the Internet. Behind every name stands the simulated tenant with a certificate of the tests' own authority, so that
//! this shows the names asked for, the scope, the links followed, and that nothing unverified is spoken to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rollcall::simulator::{Settings, Simulator};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::binary::{Installation, Said, said};
use crate::world::migrated_database;

// Made for tests; nobody trusts them.
const AUTHORITY: &str = include_str!("keys/authority.pem");
const CLOUDS: [&str; 2] = [include_str!("keys/clouds.pem"), include_str!("keys/clouds-key.pem")];
const STRANGER: [&str; 2] = [include_str!("keys/stranger.pem"), include_str!("keys/stranger-key.pem")];

/// Every host of the Internet, with one certificate.
struct Internet {
    address: SocketAddr,
    /// The names that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Internet {
    async fn before(simulator: SocketAddr, [certificate, key]: [&'static str; 2]) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let internet = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&internet.asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, tls.clone(), simulator, Arc::clone(&asked)));
            }
        });
        internet
    }

    fn take_asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked.dedup();
        asked
    }
}

/// `CONNECT name:443`, then the TLS of that name, then the simulated tenant.
async fn tunnel(
    stream: TcpStream,
    tls: TlsAcceptor,
    simulator: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    asked
        .lock()
        .unwrap()
        .push(line.split(' ').nth(1).unwrap_or_default().to_owned());
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    let mut inside = tls.accept(stream).await?;
    copy_bidirectional(&mut inside, &mut TcpStream::connect(simulator).await?).await?;
    Ok(())
}

/// A configuration that names the cloud, and what the binary says to it.
async fn sync(cloud: &str, ca: bool, internet: &Internet, simulator: &Simulator, database_url: &str) -> Said {
    let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
    let installation = Installation::new(simulator, database_url, environments);
    std::fs::write(installation.folder.join("authority.pem"), AUTHORITY).unwrap();
    installation.amend("cloud = \"custom\"", &format!("cloud = \"{cloud}\""));
    let root = simulator.root();
    let ca = if ca { "ca_file = \"authority.pem\"\n" } else { "" };
    installation.amend(&format!("authority = \"{root}\"\ngraph_root = \"{root}\"\n"), ca);
    let mut command = installation.command("sync");
    for name in ["NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTPS_PROXY", format!("http://{}", internet.address));
    said(command.spawn().unwrap()).await
}

fn tenant(graph: &str) -> Simulator {
    rustls::crypto::ring::default_provider().install_default().ok();
    Simulator::start(Settings {
        users: 450,
        listing_page_size: 200,
        public_root: Some(format!("https://{graph}")),
        ..Settings::default()
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cloud_has_its_own_token_service_and_graph() {
    for (cloud, authority, graph) in [
        ("global", "login.microsoftonline.com", "graph.microsoft.com"),
        ("us_gov", "login.microsoftonline.us", "graph.microsoft.us"),
        ("us_gov_dod", "login.microsoftonline.us", "dod-graph.microsoft.us"),
        ("china", "login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn"),
    ] {
        let simulator = tenant(graph);
        let internet = Internet::before(simulator.address(), CLOUDS).await;
        let database = migrated_database().await;
        let said = sync(cloud, true, &internet, &simulator, &database.url).await;
        assert_eq!(said.code, Some(0), "{cloud}: {said:?}");
        let mut expected = [format!("{authority}:443"), format!("{graph}:443")];
        expected.sort();
        assert_eq!(internet.take_asked(), expected);
        // More than two pages: the links lead to the same host.
        assert!(simulator.request_counts()["/users"] > 2);
        database.drop_database().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_prove_to_be_the_cloud_gets_no_credential() {
    let simulator = tenant("graph.microsoft.com");
    let database = migrated_database().await;
    for (certificate, trusted, why) in [
        (CLOUDS, false, "UnknownIssuer"),
        (STRANGER, true, "certificate not valid for name"),
    ] {
        let internet = Internet::before(simulator.address(), certificate).await;
        let said = sync("global", trusted, &internet, &simulator, &database.url).await;
        assert_eq!(said.code, Some(4), "{said:?}");
        assert!(said.stdout.contains(why), "{why}: {said:?}");
        assert_eq!(internet.take_asked(), ["login.microsoftonline.com:443"]);
    }
    assert!(simulator.requests().is_empty(), "the secret was sent to somebody");
    database.drop_database().await.unwrap();
}
