//! Who is let in, on a clock that stands still, with keys that a script publishes.

mod access_tokens;
mod headers;
mod keys;
mod roles;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{ApiRole, Auth, AuthError, Caller, CallerKind, Entra, Fault, KeySource, StaticToken};
use crate::clock::Clock;
use crate::domain::signing_keys::{SigningKey, SigningKeys};

// Made for these tests; they protect nothing.
const A: &[u8] = include_bytes!("tests/keys/a.pem");
const A_PUBLIC: &[u8] = include_bytes!("tests/keys/a-public.pem");
const B: &[u8] = include_bytes!("tests/keys/b.pem");

const TENANT: Uuid = Uuid::from_u128(0x84bd_8158_6d4d_4958_8b9f_9d64_4554_2f95);
const OTHER_TENANT: Uuid = Uuid::from_u128(0x0dd0_8158_6d4d_4958_8b9f_9d64_4554_2f95);
const API: &str = "24d3b144-21ae-4080-943f-7067b395b913";
const APPLICATION: &str = "4f1c0000-0000-4000-8000-0000000000a1";
const USER: &str = "4f1c0000-0000-4000-8000-0000000000b2";
const HELPDESK: &str = "the-token-of-the-helpdesk~1";
const OPERATOR: &str = "the-token-of-the-operator~2";

fn start() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn now() -> i64 {
    start().timestamp()
}

/// An API whose tenant publishes what the test says.
struct Stage {
    auth: Auth,
    clock: Clock,
    tenant: Arc<Tenant>,
}

struct Tenant {
    /// Nothing while its keys cannot be had.
    published: Mutex<Option<SigningKeys>>,
    fetches: AtomicUsize,
    /// How many fetches may end.
    gate: Semaphore,
}

impl Tenant {
    fn publish(&self, keys: &[(&str, &[u8])]) {
        *self.published.lock().unwrap() = Some(SigningKeys {
            issuers: vec![issuer(), format!("https://sts.windows.net/{TENANT}/")],
            keys: keys.iter().map(|(kid, pem)| published(kid, pem)).collect(),
        });
    }

    fn fail(&self) {
        *self.published.lock().unwrap() = None;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Stage {
    /// The tenant publishes `A` under the id `a`.
    fn new() -> Self {
        let clock = Clock::simulated(start());
        let tenant = Arc::new(Tenant {
            published: Mutex::default(),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(1_000),
        });
        tenant.publish(&[("a", A)]);
        let asked = Arc::clone(&tenant);
        let keys = KeySource::new(move || {
            let tenant = Arc::clone(&asked);
            async move {
                tenant.fetches.fetch_add(1, Ordering::SeqCst);
                tenant.gate.acquire().await.unwrap().forget();
                let published = tenant.published.lock().unwrap().clone();
                published.ok_or("the tenant is out of reach")
            }
        });
        let entra = Entra {
            tenant: TENANT,
            audience: API.to_owned(),
            keys,
        };
        Self {
            auth: Auth::new(static_tokens(), Some(entra), clock.clone()),
            clock,
            tenant,
        }
    }

    async fn present(&self, token: &str) -> Result<Caller, AuthError> {
        self.auth.authenticate(&bearer(token)).await
    }

    async fn accepts(&self, token: &str) -> Caller {
        self.present(token).await.unwrap()
    }

    async fn fault(&self, token: &str) -> Fault {
        match self.present(token).await {
            Err(AuthError::Unauthenticated(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }
}

fn static_tokens() -> Vec<StaticToken> {
    [
        ("helpdesk", HELPDESK, &[ApiRole::Read, ApiRole::Access][..]),
        ("operator", OPERATOR, &[ApiRole::Operate]),
    ]
    .map(|(name, token, roles)| StaticToken {
        name: name.to_owned(),
        sha256: digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap(),
        roles: roles.iter().copied().collect(),
    })
    .to_vec()
}

fn bearer(token: &str) -> HeaderMap {
    headers(&[&format!("Bearer {token}")])
}

fn headers(values: &[&str]) -> HeaderMap {
    let value = |value: &&str| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in values.iter().map(value) {
        headers.append(name, value);
    }
    headers
}

fn issuer() -> String {
    format!("https://login.microsoftonline.com/{TENANT}/v2.0")
}

/// What a good access token of an application says.
fn claims() -> Value {
    json!({
        "iss": issuer(), "aud": API, "tid": TENANT, "azp": APPLICATION, "oid": APPLICATION, "sub": APPLICATION,
        "iat": now(), "nbf": now(), "exp": now() + 3600, "ver": "2.0", "roles": ["Rollcall.Read"],
    })
}

/// The same, changed; null leaves a claim out.
fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    object.extend(changes.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    claims
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": "a"})
}

/// A token that is good but for these claims.
fn token_with(changes: &Value) -> String {
    sign(A, &header(), &claims_with(changes))
}

fn token() -> String {
    token_with(&json!({}))
}

/// A good token by another key.
fn token_by(kid: &str, pem: &[u8]) -> String {
    sign(pem, &json!({"typ": "JWT", "alg": "RS256", "kid": kid}), &claims())
}

fn sign(pem: &[u8], header: &Value, claims: &Value) -> String {
    sign_by(&RSA_PKCS1_SHA256, pem, &open(header, claims))
}

fn open(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn sign_by(padding: &'static dyn RsaEncoding, pem: &[u8], signed: &str) -> String {
    let key = key_pair(pem);
    let mut mark = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut mark)
        .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
}

fn key_pair(pem: &[u8]) -> RsaKeyPair {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap()
}

fn published(kid: &str, pem: &[u8]) -> SigningKey {
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key_pair(pem).public());
    SigningKey {
        kid: kid.to_owned(),
        modulus: public.n,
        exponent: public.e,
    }
}

fn roles(roles: &[ApiRole]) -> BTreeSet<ApiRole> {
    roles.iter().copied().collect()
}
