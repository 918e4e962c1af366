//! The network is in the way: connections that stay half open, bodies that drip, names that do not resolve, and
//! certificates that nobody can trust.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rollcall::domain::credential::Credential;
use rollcall::graph::{Graph, GraphSettings, Secret};
use rollcall::simulator::Settings as SimulatorSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::proxy::{Proxy, Weather};
use super::{Absence, MOST_REQUESTS, environments};
use crate::world::{NO_LIMITS, World};

// Made for tests; they open nothing.
const SELF_SIGNED: &[u8] = include_bytes!("../../../src/graph/tests/keys/tls/self_signed.pem");
const TLS_KEY: &[u8] = include_bytes!("../../../src/graph/tests/keys/tls/key.pem");

/// When a request is given up in bad weather, in the machine's time.
const IMPATIENT: Duration = Duration::from_millis(60);

/// A Graph that leads through these roots.
fn graph(world: &World, authority: &str, root: &str, request_timeout: Duration) -> Graph {
    let mut settings = GraphSettings::new(
        world.simulator.tenant_id().to_string(),
        world.simulator.client_id().to_string(),
        Credential::Secret(Secret::new(world.simulator.client_secret())),
        Url::parse(authority).unwrap(),
        Url::parse(root).unwrap(),
    );
    settings.seed = Some(1);
    settings.request_timeout = request_timeout;
    Graph::new(&settings, world.clock.clone(), CancellationToken::new()).unwrap()
}

/// A tenant behind a proxy.
async fn behind_a_proxy() -> (Absence, Proxy) {
    let proxy = Proxy::listen().await;
    let simulator = SimulatorSettings {
        page_size: 10,
        listing_page_size: 10,
        public_root: Some(proxy.root.clone()),
        ..SimulatorSettings::default()
    };
    let world = World::with(environments(), simulator, NO_LIMITS).await;
    proxy.lead_to(world.simulator.address());
    (Absence::of(world).await, proxy)
}

async fn lasts_and_heals(weather: Weather, why: &str) {
    let (mut absence, proxy) = behind_a_proxy().await;
    absence.change();
    let patient = absence.world.engine.graph.clone();
    // A new process, which has no token yet; then one that has its token.
    absence.world.engine.graph = graph(&absence.world, &proxy.root, &proxy.root, IMPATIENT);
    proxy.turn(weather);
    proxy.take_visits();
    absence.lasts(1, "could not reach the token service").await;
    let visits = proxy.take_visits();
    assert!(visits <= 4 * MOST_REQUESTS, "{visits} connections in four cycles");
    let direct = format!("http://{}", absence.world.simulator.address());
    absence.world.engine.graph = graph(&absence.world, &direct, &proxy.root, IMPATIENT);
    absence.lasts(2, why).await;
    let visits = proxy.take_visits();
    println!("{weather:?}: {visits} connections in eight cycles");
    assert!(visits <= 8 * MOST_REQUESTS, "{visits} connections in eight cycles");
    proxy.turn(Weather::Fair);
    absence.world.engine.graph = patient;
    absence.catches_up().await;
}

#[tokio::test]
async fn hours_of_connections_that_stay_half_open() {
    lasts_and_heals(
        Weather::HalfOpen,
        "could not reach users/delta (no answer): 127.0.0.1: operation timed out",
    )
    .await;
}

#[tokio::test]
async fn hours_of_bodies_that_drip() {
    lasts_and_heals(Weather::Dripping, "operation timed out").await;
}

#[tokio::test]
async fn hours_of_connections_that_are_closed_at_once() {
    lasts_and_heals(Weather::Closed, "could not reach users/delta (no answer)").await;
}

/// The token service is out of reach at this root for hours, and Graph is not.
async fn token_service_is_away_at(authority: &str, why: &str) {
    let mut absence = Absence::new().await;
    absence.change();
    let (good, root) = (
        absence.world.engine.graph.clone(),
        absence.world.simulator.root().to_owned(),
    );
    absence.world.engine.graph = graph(&absence.world, authority, &root, Duration::from_secs(10));
    let report = absence.lasts(2, why).await;
    assert!(
        absence.requests.iter().all(|count| *count == 0),
        "nothing goes without a token"
    );
    assert!(
        !report
            .problems
            .join(" ")
            .contains(&absence.world.simulator.client_secret())
    );
    absence.world.engine.graph = good;
    absence.catches_up().await;
}

/// A server whose certificate is signed by its own key. It takes part in every handshake, and in nothing else.
fn impostor() -> String {
    let chain = vec![CertificateDer::from_pem_slice(SELF_SIGNED).unwrap()];
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(TLS_KEY).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let root = format!("https://{}", listener.local_addr().unwrap());
    // Ends with the process: a thread that accepts cannot be told to stop.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = connection.complete_io(&mut stream.unwrap());
        }
    });
    root
}

#[tokio::test]
async fn hours_in_which_no_name_resolves() {
    token_service_is_away_at("https://login.invalid", "failed to lookup address").await;
}

#[tokio::test]
async fn hours_of_a_port_where_nobody_listens() {
    let free = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = free.local_addr().unwrap();
    drop(free);
    token_service_is_away_at(&format!("http://{address}"), "Connection refused").await;
}

#[tokio::test]
async fn hours_of_a_certificate_that_nobody_can_trust() {
    token_service_is_away_at(&impostor(), "certificate").await;
}
