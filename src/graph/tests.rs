//! The edge against a scripted server on this machine: every request is looked at, no test sleeps.

mod begin;
mod bounds;
mod calls;
mod decoding;
mod examples;
mod hostile;
mod links;
mod look_up;
mod on_demand;
mod refusals;
mod retries;
mod server;
mod signing_keys;
mod tls;
mod tokens;
mod without_batches;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{Graph, GraphError, GraphSettings, Secret};
use crate::clock::Clock;
use crate::domain::credential::Credential;
use server::Server;

const TENANT: &str = "84bd8158-6d4d-4958-8b9f-9d6445542f95";
const CLIENT: &str = "24d3b144-21ae-4080-943f-7067b395b913";
const GROUP: Uuid = Uuid::from_u128(0xc2f7_98fd_f95d_4623_8824_63ae_c21f_ffff);

fn secret() -> Credential {
    Credential::Secret(Secret::new("s3cr&t=~value".to_owned()))
}

fn settings(server: &Server, credential: Credential) -> GraphSettings {
    let root = Url::parse(&server.root()).unwrap();
    let mut settings = GraphSettings::new(TENANT.to_owned(), CLIENT.to_owned(), credential, root.clone(), root);
    settings.seed = Some(7);
    settings
}

fn start() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A Graph before the scripted server, with a clock that nobody waits for.
fn graph(server: &Server) -> (Graph, Clock) {
    graph_with(&settings(server, secret()))
}

fn graph_with(settings: &GraphSettings) -> (Graph, Clock) {
    let clock = Clock::simulated(start());
    let graph = Graph::new(settings, clock.clone(), CancellationToken::new()).unwrap();
    (graph, clock)
}

fn id(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap()
}

/// All that an error tells.
fn told(error: &GraphError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
