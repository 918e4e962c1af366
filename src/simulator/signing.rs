//! The published half of the token service, and access tokens for applications of the tenant.
//!
//! The tokens that the simulator's own Graph takes are opaque, as Entra says of Graph's; these are the others, made for
//! an API that checks them itself.

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::wire::{Answer, Ask};

/// Where the tenant says who it is.
pub(super) const METADATA: &str = "/v2.0/.well-known/openid-configuration";
/// Where its keys are.
pub(super) const KEYS: &str = "/discovery/v2.0/keys";

/// Test keys, made for the simulator and known to everybody: they protect nothing.
const TEST_KEYS: [(&str, &[u8]); 3] = [
    ("simulated-key-1", include_bytes!("keys/signing-key-1.pem")),
    ("simulated-key-2", include_bytes!("keys/signing-key-2.pem")),
    ("simulated-key-3", include_bytes!("keys/signing-key-3.pem")),
];

/// Which keys are in use.
pub(super) struct Signing(Mutex<InUse>);

struct InUse {
    /// Signs.
    current: usize,
    /// Are published, in this order.
    published: Vec<usize>,
}

impl Default for Signing {
    fn default() -> Self {
        Self(Mutex::new(InUse {
            current: 0,
            published: vec![0],
        }))
    }
}

impl Signing {
    /// The next key signs, and is published beside the others.
    pub(super) fn rotate(&self) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (keys.current + 1) % TEST_KEYS.len();
        keys.current = next;
        if !keys.published.contains(&next) {
            keys.published.push(next);
        }
    }

    /// Only the key that signs is published from now on.
    pub(super) fn withdraw_old(&self) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.published = vec![keys.current];
    }

    /// A JWT over these claims by the current key.
    pub(super) fn sign(&self, claims: &Value) -> io::Result<String> {
        let (kid, key) = load(self.0.lock().unwrap_or_else(PoisonError::into_inner).current)?;
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut mark = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut mark)
            .map_err(|_| io::Error::other("the signing key does not sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark)))
    }

    fn published(&self) -> Vec<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).published.clone()
    }
}

fn load(index: usize) -> io::Result<(&'static str, RsaKeyPair)> {
    let (kid, pem) = TEST_KEYS[index];
    let unusable = || io::Error::other("a signing key of the simulator cannot be read");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| unusable())?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unusable())?;
    Ok((kid, key))
}

/// What an access token of version 2 says that an application obtained for itself, with the given claims in place of
/// these; a null leaves a claim out.
pub(super) fn claims(shared: &Shared, given: &Value) -> Value {
    let settings = shared.settings();
    let now = shared.clock.now().timestamp();
    let principal = Uuid::from_u128(settings.client_id.as_u128() ^ 0xff);
    let mut claims = json!({
        "aud": settings.client_id,
        "iss": format!("{}/{}/v2.0", shared.root, settings.tenant_id),
        "iat": now,
        "nbf": now,
        "exp": now + 75 * 60,
        "azp": settings.client_id,
        "azpacr": "1",
        "idtyp": "app",
        "oid": principal,
        "sub": principal,
        "tid": settings.tenant_id,
        "uti": URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes()),
        "ver": "2.0",
    });
    if let (Some(claims), Some(given)) = (claims.as_object_mut(), given.as_object()) {
        claims.extend(given.clone());
        claims.retain(|_, value| !value.is_null());
    }
    claims
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`
pub(super) fn metadata(shared: &Shared, ask: &Ask, tenant: &str) -> Answer {
    let (root, id) = (&shared.root, shared.settings().tenant_id);
    let document = json!({
        "token_endpoint": format!("{root}/{id}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{root}/{id}{KEYS}"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{root}/{id}/v2.0"),
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{root}/{id}/oauth2/v2.0/authorize"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "simulated.example",
    });
    publish(shared, ask, tenant, || Ok(document))
}

/// `GET /{tenant}/discovery/v2.0/keys`
pub(super) fn keys(shared: &Shared, ask: &Ask, tenant: &str) -> Answer {
    let issuer = format!("{}/{}/v2.0", shared.root, shared.settings().tenant_id);
    publish(shared, ask, tenant, || {
        let keys = shared.signing.published().into_iter().map(|index| jwk(index, &issuer));
        Ok(json!({"keys": keys.collect::<io::Result<Vec<Value>>>()?}))
    })
}

fn jwk(index: usize, issuer: &str) -> io::Result<Value> {
    let (kid, key) = load(index)?;
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
    Ok(json!({
        "kty": "RSA",
        "use": "sig",
        "kid": kid,
        "x5t": kid,
        "n": URL_SAFE_NO_PAD.encode(public.n),
        "e": URL_SAFE_NO_PAD.encode(public.e),
        "cloud_instance_name": "simulated.example",
        "issuer": issuer,
    }))
}

/// Anybody may read what is published, of this tenant alone.
fn publish(shared: &Shared, ask: &Ask, tenant: &str, document: impl FnOnce() -> io::Result<Value>) -> Answer {
    let ours = Uuid::parse_str(tenant).is_ok_and(|id| id == shared.settings().tenant_id)
        || tenant.eq_ignore_ascii_case(super::tenant::DOMAIN);
    if ask.method != Method::GET {
        return ask.refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "Only GET is supported.",
        );
    }
    if !ours {
        let body = json!({
            "error": "invalid_tenant",
            "error_description": format!("AADSTS90002: Tenant '{tenant}' not found."),
            "error_codes": [90_002],
        });
        return Answer {
            status: StatusCode::BAD_REQUEST,
            ..Answer::json(&body)
        };
    }
    match document() {
        Ok(document) => Answer {
            content_type: "application/json; charset=utf-8",
            ..Answer::json(&document)
        }
        .with_header("cache-control", "max-age=86400, private"),
        Err(error) => ask.refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}
