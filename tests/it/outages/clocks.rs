//! This machine's clock is hours off: tokens are used all the same, what hangs on the time of day says so, and nobody
//! loses anything.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::digest::{SHA256, digest};
use ring::signature::{KeyPair as _, RsaKeyPair};
use rollcall::clock::Clock;
use rollcall::domain::credential::Credential;
use rollcall::graph::{Graph, GraphSettings, Secret};
use rollcall::simulator::{Certificate, Settings as SimulatorSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Absence, environments};
use crate::world::{NO_LIMITS, World, graph, start};

// Made for tests; they open nothing.
const CERTIFICATE: &[u8] = include_bytes!("../../../src/graph/tests/keys/certificate.pem");
const KEY: &str = include_str!("../../../src/graph/tests/keys/pkcs8.pem");

fn wrong_clocks() -> [(Clock, TimeDelta); 2] {
    let off = TimeDelta::hours(5);
    [start() + off, start() - off].map(|time| (Clock::simulated(time), time - start()))
}

#[tokio::test]
async fn a_clock_that_is_hours_off_costs_nobody_anything_and_is_told() {
    for (clock, ahead) in wrong_clocks() {
        let mut absence = Absence::new().await;
        absence.change();
        absence.world.engine.clock = clock.clone();
        absence.world.engine.graph = graph(&absence.world.simulator, clock);
        drop(absence.world.simulator.take_requests());
        let edge = absence.world.engine.graph.clone();
        assert_eq!(edge.clock_skew(), None, "not known before the first answer");
        let simulator = std::sync::Arc::clone(&absence.world.simulator);
        absence.catches_up().await;
        let tokens = simulator
            .requests()
            .iter()
            .filter(|seen| seen.endpoint.ends_with("/token"))
            .count();
        assert_eq!(tokens, 1, "one token serves two cycles");
        assert_eq!(edge.clock_skew(), Some(ahead));
    }
}

/// A Graph that proves itself by a certificate, on some clock.
fn certified(world: &World, clock: Clock) -> Graph {
    let root = Url::parse(world.simulator.root()).unwrap();
    let mut settings = GraphSettings::new(
        world.simulator.tenant_id().to_string(),
        world.simulator.client_id().to_string(),
        Credential::Certificate {
            certificate_pem: CERTIFICATE.to_vec(),
            key_pem: Secret::new(KEY.to_owned()),
        },
        root.clone(),
        root,
    );
    settings.seed = Some(1);
    Graph::new(&settings, clock, CancellationToken::new()).unwrap()
}

#[tokio::test]
async fn an_assertion_of_a_wrong_clock_is_refused_for_hours_and_the_clock_is_named() {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    for (clock, ahead) in wrong_clocks() {
        let simulator = SimulatorSettings {
            certificate: Some(Certificate {
                thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
                public_key: key.public_key().as_ref().to_vec(),
            }),
            ..SimulatorSettings::default()
        };
        let mut absence = Absence::of(World::with(environments(), simulator, NO_LIMITS).await).await;
        absence.change();
        let good = absence.world.clock.clone();
        absence.world.engine.clock = clock.clone();
        absence.world.engine.graph = certified(&absence.world, clock.clone());
        let report = absence.lasts(1, "set this machine's clock").await;
        assert!(report.problems.join(" ").contains("AADSTS500133"), "{report:?}");
        let told = absence.world.engine.graph.clock_skew().unwrap();
        assert!(
            (told - ahead).abs() < TimeDelta::hours(1),
            "even a refusal tells the time: {told}"
        );
        // It is set right while the process runs.
        let now = good.now();
        if clock.now() > now {
            clock.set_back((clock.now() - now).to_std().unwrap());
        } else {
            clock.advance((now - clock.now()).to_std().unwrap());
        }
        clock.advance(Duration::from_mins(2));
        good.advance(Duration::from_mins(2));
        absence.world.engine.clock = good;
        absence.catches_up().await;
    }
}
