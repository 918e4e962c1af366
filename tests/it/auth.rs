//! Callers of the API with access tokens that the simulated tenant signs: from its token service, through the Graph
//! edge, to a caller.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use rollcall::clock::Clock;
use rollcall::domain::credential::Credential;
use rollcall::graph::{Graph, GraphSettings, Secret};
use rollcall::http::auth::{ApiRole, Auth, AuthError, Caller, CallerKind, Entra, Fault, KeySource};
use rollcall::simulator::{Effect, Fault as Trouble, RetryAfter, Settings, Simulator, When};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::world::start;

const METADATA: &str = "/v2.0/.well-known/openid-configuration";
const KEYS: &str = "/discovery/v2.0/keys";

struct Api {
    simulator: Simulator,
    clock: Clock,
    auth: Auth,
}

impl Api {
    fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = Clock::simulated(start());
        let simulator = Simulator::start(Settings {
            clock: clock.clone(),
            ..Settings::default()
        })
        .unwrap();
        let root = Url::parse(simulator.root()).unwrap();
        let mut settings = GraphSettings::new(
            simulator.tenant_id().to_string(),
            simulator.client_id().to_string(),
            Credential::Secret(Secret::new(simulator.client_secret())),
            root.clone(),
            root,
        );
        settings.seed = Some(1);
        let graph = Graph::new(&settings, clock.clone(), CancellationToken::new()).unwrap();
        let graph = graph.for_someone_waiting();
        let entra = Entra {
            tenant: simulator.tenant_id(),
            audience: simulator.client_id().to_string(),
            keys: KeySource::new(move || {
                let graph = graph.clone();
                async move { graph.signing_keys().await }
            }),
        };
        Self {
            auth: Auth::new(Vec::new(), Some(entra), clock.clone()),
            simulator,
            clock,
        }
    }

    /// A token of the tenant that may read, with these claims changed.
    fn token(&self, changes: &Value) -> String {
        let mut claims = json!({"roles": [ApiRole::Read.as_str()]});
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        self.simulator.issue_access_token(&claims).unwrap()
    }

    async fn present(&self, token: &str) -> Result<Caller, AuthError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        self.auth.authenticate(&headers).await
    }

    async fn fault(&self, changes: &Value) -> AuthError {
        self.present(&self.token(changes)).await.unwrap_err()
    }

    fn asked(&self, path: &str) -> u64 {
        self.simulator.request_counts().get(path).copied().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_token_of_the_tenant_is_accepted_and_no_token_of_ours_is_sent_for_it() {
    let api = Api::new();
    let caller = api.present(&api.token(&json!({}))).await.unwrap();
    assert_eq!(caller.name, format!("app:{}", api.simulator.client_id()));
    assert_eq!(caller.kind, CallerKind::Application);
    assert!(caller.require(ApiRole::Read).is_ok() && caller.require(ApiRole::Operate).is_err());

    let user = Uuid::new_v4();
    let person = api.token(&json!({"scp": "access", "idtyp": null, "oid": user, "roles": ["Rollcall.Operate"]}));
    let caller = api.present(&person).await.unwrap();
    assert_eq!((caller.name, caller.kind), (format!("user:{user}"), CallerKind::User));

    let root = api.simulator.root();
    let first = json!({"iss": format!("{root}/{}/", api.simulator.tenant_id()), "ver": "1.0"});
    api.present(&api.token(&first)).await.unwrap();
    let seen = api.simulator.requests();
    assert_eq!(seen.len(), 2, "metadata and keys: {seen:?}");
    assert!(seen.iter().all(|request| !request.bearer && request.status == 200));
}

#[tokio::test]
async fn a_token_for_or_from_somebody_else_is_refused() {
    let api = Api::new();
    for (changes, fault) in [
        (json!({"aud": Uuid::new_v4()}), Fault::Audience),
        (json!({"tid": Uuid::new_v4()}), Fault::Tenant),
        (
            json!({"iss": "https://login.microsoftonline.com/x/v2.0"}),
            Fault::Issuer,
        ),
        (json!({"exp": start().timestamp() - 61}), Fault::Expired),
        (json!({"nbf": start().timestamp() + 61}), Fault::NotYetValid),
    ] {
        assert_eq!(api.fault(&changes).await, fault.into(), "{changes}");
    }
    assert_eq!(api.fault(&json!({"roles": null})).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_rotation_is_followed_at_the_first_token_by_the_new_key() {
    let api = Api::new();
    let old = api.token(&json!({}));
    api.present(&old).await.unwrap();
    api.clock.advance(Duration::from_mins(5));
    api.simulator.rotate_signing_key();
    api.present(&api.token(&json!({}))).await.unwrap();
    api.present(&old).await.unwrap();
    assert_eq!((api.asked(METADATA), api.asked(KEYS)), (2, 2));

    api.simulator.rotate_signing_key();
    api.simulator.withdraw_old_signing_keys();
    let newest = api.token(&json!({}));
    assert_eq!(api.present(&newest).await.unwrap_err(), Fault::UnknownKey.into());
    api.clock.advance(Duration::from_mins(1));
    api.present(&newest).await.unwrap();
    assert_eq!(api.present(&old).await.unwrap_err(), Fault::UnknownKey.into());
    assert_eq!(api.asked(KEYS), 3);
}

#[tokio::test]
async fn while_the_tenant_publishes_nothing_usable_nobody_can_tell() {
    let api = Api::new();
    let token = api.token(&json!({}));
    let foreign = "http://169.254.169.254/keys";
    let troubles = [
        Trouble::once(
            When::path(METADATA),
            Effect::rewrite(move |page| page["jwks_uri"] = foreign.into()),
        ),
        Trouble::once(
            When::path(KEYS),
            Effect::rewrite(|page| page["keys"] = json!([{"kty": "EC"}, 7])),
        ),
        Trouble::once(
            When::path(METADATA),
            Effect::unavailable(Some(RetryAfter::Seconds(3_600))),
        ),
    ];
    for trouble in troubles {
        api.simulator.faults().push(trouble);
        let refused = api.present(&token).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
        api.clock.advance(refused.retry_after().unwrap());
    }
    api.present(&token).await.unwrap();
}

#[tokio::test]
async fn keys_for_others_and_of_other_kinds_are_left_alone() {
    let api = Api::new();
    let token = api.token(&json!({}));
    let consumers = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    api.simulator.faults().push(Trouble::once(
        When::path(KEYS),
        Effect::rewrite(move |page| page["keys"][0]["issuer"] = consumers.into()),
    ));
    let refused = api.present(&token).await.unwrap_err();
    assert_eq!(
        refused.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "the only key is for others"
    );
    api.clock.advance(Duration::from_secs(10));
    api.simulator.faults().push(Trouble::once(
        When::path(KEYS),
        Effect::rewrite(|page| {
            let good = page["keys"][0].clone();
            page["keys"] = json!([null, {"kty": "oct", "kid": good["kid"], "k": "AAAA"}, good, {"kty": "RSA"}]);
        }),
    ));
    api.present(&token).await.unwrap();
}
