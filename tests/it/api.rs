//! The API as programs meet it: the router over a socket, around the engine of a [`World`], with a token for each role.

mod answers;
mod batches;
mod browser;
mod changes;
mod console;
mod console_imports;
mod console_sign_in;
mod console_structure;
mod crowds;
mod description;
mod explanations;
mod freshness;
mod hostile;
mod identity;
mod imports;
mod inputs;
mod kinds;
mod limits;
mod outages;
mod pages;
mod roles;
mod runs;
mod structure;
mod text;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, RequestBuilder};
use ring::digest::{SHA256, digest};
use rollcall::clock::Clock;
use rollcall::domain::retention::Retention;
use rollcall::http::api::{self, Api, DECIDED_WITHIN};
use rollcall::http::auth::{ApiRole, Auth, Entra, StaticToken};
use rollcall::http::console::Site;
use rollcall::http::health::{self, Watched};
use rollcall::http::limits::{Allowance, Limits};
use rollcall::sync::Engine;
use rollcall::sync::daemon::Configured;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{World, open_environment};

const ENV: &str = "production";

/// Who calls; the token is the name.
const READER: &str = "reader";
const REQUESTER: &str = "requester";
const OPERATOR: &str = "operator";
/// Two more operators of nothing: they may read and ask.
const ANNA: &str = "anna";
const BERTA: &str = "berta";

/// More than a test asks.
const PLENTY: Allowance = Allowance {
    per_second: 1_000_000,
    at_once: 10_000,
};

/// A world that is served.
struct Stage {
    world: World,
    client: Client,
    configured: watch::Sender<Arc<Configured>>,
    _stop: DropGuard,
}

/// Calls a served world.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    http: reqwest::Client,
}

/// An answer: status, headers, and the body, null where it is no JSON.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Stage {
    /// One open environment that has been synchronised.
    async fn new() -> Self {
        let mut world = World::new(vec![open_environment(ENV)]).await;
        // As it is where nothing is configured.
        world.configure(|settings| settings.access_freshness = Duration::from_mins(1));
        world.sync_completely().await;
        Self::around(world).await
    }

    async fn around(world: World) -> Self {
        let engine = world.engine.clone();
        Self::serving(world, engine).await
    }

    /// Serves an engine that may differ from the world's in its clock.
    async fn serving(world: World, engine: Engine) -> Self {
        Self::granting(world, engine, PLENTY).await
    }

    /// Grants each caller so much.
    async fn granting(world: World, engine: Engine, allowance: Allowance) -> Self {
        Self::waiting(world, engine, allowance, DECIDED_WITHIN).await
    }

    /// Waits so long for a decision.
    async fn waiting(world: World, engine: Engine, allowance: Allowance, decided_within: Duration) -> Self {
        Self::at(world, engine, allowance, decided_within, (Site::Here, None)).await
    }

    /// Serves the console at a site, to whose sign-ins these keys belong.
    async fn at(
        world: World,
        engine: Engine,
        allowance: Allowance,
        decided_within: Duration,
        (site, entra): (Site, Option<Entra>),
    ) -> Self {
        let (configured, receiver) = watch::channel(Arc::new(configured(engine)));
        let watched = Watched {
            records: world.engine.records(),
            clock: world.clock.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let api = Api {
            configured: receiver,
            auth: Auth::new(tokens(), entra, world.clock.clone()),
            limits: Limits::new(allowance, world.clock.clone()),
            decided_within,
        };
        let router = api::router(api.clone())
            .merge(rollcall::http::console::router(api, site))
            .merge(health::health(watched.clone()))
            .merge(health::metrics(watched));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(rollcall::http::serve(listener, router, stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            world,
            client: Client { address, http },
            configured,
            _stop: stop.drop_guard(),
        }
    }

    /// Serves with the world's settings as they are now.
    fn reload(&self) {
        self.configured
            .send_replace(Arc::new(configured(self.world.engine.clone())));
    }

    async fn end(self) {
        self.world.end().await;
    }
}

impl std::ops::Deref for Stage {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn configured(engine: Engine) -> Configured {
    Configured {
        engine,
        interval: Duration::from_hours(1),
        retention: Retention::default(),
        webhooks: Vec::new(),
        notifications: None,
    }
}

/// The engine of a world on the machine's clock, for loops that wait for each other.
fn on_the_machines_clock(world: &World) -> Engine {
    Engine {
        clock: Clock::system(),
        ..world.engine.clone()
    }
}

fn tokens() -> Vec<StaticToken> {
    let token = |name: &str, roles: &[ApiRole]| StaticToken {
        name: name.to_owned(),
        sha256: digest(&SHA256, name.as_bytes()).as_ref().try_into().unwrap(),
        roles: roles.iter().copied().collect(),
    };
    vec![
        token(READER, &[ApiRole::Read]),
        token(REQUESTER, &[ApiRole::Access]),
        token(OPERATOR, &[ApiRole::Operate]),
        token(ANNA, &[ApiRole::Read, ApiRole::Access]),
        token(BERTA, &[ApiRole::Read, ApiRole::Access]),
    ]
}

impl Client {
    /// A request under `/api/v1`, or of an absolute path; without a caller it carries no token.
    fn request(&self, method: Method, path: &str, caller: Option<&str>) -> RequestBuilder {
        let path = match path.strip_prefix("//") {
            Some(absolute) => format!("/{absolute}"),
            None => format!("/api/v1/{path}"),
        };
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match caller {
            Some(caller) => request.bearer_auth(caller),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Answered {
        sent(self.request(Method::GET, path, Some(OPERATOR))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::POST, path, body, OPERATOR).await
    }

    /// A post without a body.
    async fn act(&self, path: &str) -> Answered {
        sent(self.request(Method::POST, path, Some(OPERATOR))).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::PATCH, path, body, OPERATOR).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value, caller: &str) -> Answered {
        sent(with_json(self.request(method, path, Some(caller)), body.to_string())).await
    }

    /// Somebody signs in.
    async fn access(&self, user: impl ToString) -> Answered {
        let body = json!({"user": user.to_string()});
        self.post("environments/production/access", &body).await
    }
}

fn with_json(request: RequestBuilder, body: String) -> RequestBuilder {
    request.header("content-type", "application/json").body(body)
}

async fn sent(request: RequestBuilder) -> Answered {
    answered(request.send().await.unwrap()).await.unwrap()
}

/// The answer, once all of it is there; nothing if the connection breaks before.
pub async fn answered(answer: reqwest::Response) -> Option<Answered> {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await.ok()?;
    Some(Answered {
        status,
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    })
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of a good answer.
    fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.body
    }

    /// The items of a good answer.
    fn items(self) -> Vec<Value> {
        let body = self.good();
        assert!(
            body.get("next").is_some_and(|next| next.is_null() || next.is_string()),
            "{body}"
        );
        body["items"].as_array().unwrap().clone()
    }

    /// Status and code of a problem, whose shape is what RFC 9457 and interfaces.md want.
    pub fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert!(uuid::Uuid::parse_str(self.header("x-request-id")).is_ok(), "{self:?}");
        let private = (self.header("cache-control"), self.header("x-content-type-options"));
        assert_eq!(private, ("no-store", "nosniff"), "{self:?}");
        let body = &self.body;
        assert_eq!(
            (&body["type"], &body["status"]),
            (&json!("about:blank"), &json!(self.status))
        );
        for text in ["title", "detail", "code", "remedy"] {
            assert!(
                body[text].as_str().is_some_and(|text| !text.is_empty()),
                "{text}: {body}"
            );
        }
        assert!(body["retryable"].is_boolean() && body["checks"].is_array(), "{body}");
        let waits = [429, 503].contains(&self.status);
        assert_eq!(self.headers.contains_key("retry-after"), waits, "{self:?}");
        (self.status, body["code"].as_str().unwrap())
    }

    /// The field that a 422 names.
    fn field(&self) -> &str {
        assert_eq!(self.problem(), (422, "bad_input"), "{}", self.body);
        self.body["field"].as_str().unwrap()
    }
}
