//! The public part of the token service: its issuer, and the keys of its tokens.
//!
//! Both are public, so no token is sent. The metadata says where the keys are, and is trusted only for URLs on the
//! authority's own host: otherwise a forged document could send our requests anywhere.

use std::collections::BTreeSet;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::attempt::{Attempt, Failure};
use super::endpoint::{self, Endpoint};
use super::error::GraphError;
use super::fault::LinkKind;
use super::http::{Connection, Http};
use super::retry::{Repetitions, RetryPolicy};
use super::settings::GraphSettings;
use super::wire;
use crate::domain::signing_keys::{SigningKey, SigningKeys};

/// The largest answer that is read. The metadata is about 2 KiB, a list of eight keys with their certificates 16 KiB.
const LARGEST: usize = 1 << 20;
/// The moduli that RS256 is checked with, in bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// The longest exponent, in bytes; in practice it has three.
const LONGEST_EXPONENT: usize = 4;
/// The placeholder for the tenant in the issuer of a key that several tenants share.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Where the tenant publishes its metadata.
#[derive(Debug)]
pub(super) struct Publisher {
    http: Http,
    authority: Url,
    tenant: String,
}

impl Publisher {
    pub fn new(settings: &GraphSettings, http: &Http) -> Self {
        Self {
            http: http.limited(LARGEST),
            authority: settings.authority.clone(),
            tenant: settings.tenant_id.clone(),
        }
    }

    /// A URL below the tenant, from a path without a slash at either end.
    fn at(&self, rest: &str) -> String {
        format!(
            "{}/{}/{rest}",
            self.authority.origin().ascii_serialization(),
            self.tenant
        )
    }

    /// Accepts a URL only if it leads to the authority itself.
    fn own(&self, endpoint: Endpoint, text: &str) -> Result<Url, GraphError> {
        let url = Url::parse(text).map_err(|_| GraphError::protocol(endpoint, "jwks_uri is no URL"))?;
        let own = url.origin() == self.authority.origin() && url.username().is_empty() && url.password().is_none();
        if own {
            Ok(url)
        } else {
            Err(GraphError::ForeignLink {
                endpoint: endpoint.template,
                host: url.host_str().unwrap_or("(none)").to_owned(),
            })
        }
    }

    /// The issuer of version 1 tokens, which the metadata of version 2 does not contain. Azure Government shares the
    /// issuer of the worldwide cloud.
    pub fn first_issuer(&self) -> String {
        let root = match self.authority.host_str() {
            Some("login.microsoftonline.com" | "login.microsoftonline.us") => "https://sts.windows.net".to_owned(),
            Some("login.chinacloudapi.cn" | "login.partner.microsoftonline.cn") => {
                "https://sts.chinacloudapi.cn".to_owned()
            }
            _ => self.authority.origin().ascii_serialization(),
        };
        format!("{root}/{}/", self.tenant)
    }

    /// The keys that verify the tenant's tokens.
    pub async fn signing_keys(&self, patience: &RetryPolicy) -> Result<SigningKeys, GraphError> {
        let place = self.at("v2.0/.well-known/openid-configuration");
        let place = self.own(endpoint::METADATA, &place)?;
        let metadata = match self.fetch(endpoint::METADATA, &place, patience).await {
            Err(GraphError::NotFound { .. }) => RawMetadata {
                issuer: self.at("v2.0"),
                jwks_uri: self.at("discovery/v2.0/keys"),
            },
            metadata => metadata?,
        };
        if metadata.issuer.is_empty() {
            return Err(GraphError::protocol(endpoint::METADATA, "an empty issuer"));
        }
        let place = self.own(endpoint::METADATA, &metadata.jwks_uri)?;
        let listed: RawKeys = self.fetch(endpoint::SIGNING_KEYS, &place, patience).await?;
        let keys = listed.usable(&metadata.issuer, &self.tenant);
        if keys.is_empty() {
            return Err(GraphError::protocol(endpoint::SIGNING_KEYS, "no key that can be used"));
        }
        let issuers = vec![metadata.issuer, self.first_issuer()];
        Ok(SigningKeys { issuers, keys })
    }

    /// Fetches a public document, with retries.
    async fn fetch<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        url: &Url,
        patience: &RetryPolicy,
    ) -> Result<T, GraphError> {
        let mut repetitions = Repetitions::default();
        let mut connection = Connection::Pooled;
        loop {
            if patience.left().is_some_and(|left| left.is_zero()) {
                return Err(GraphError::too_late(endpoint));
            }
            match self.attempt(endpoint, url, connection, patience).await {
                Ok(value) => return Ok(value),
                Err(Failure::Again {
                    again,
                    connection: next,
                }) => {
                    connection = next;
                    patience.pause(&mut repetitions, again).await?;
                }
                // The request needs no permission, so no permission can be missing.
                Err(Failure::TokenRefused) => return Err(refused(endpoint, 401, "no code")),
                Err(Failure::Final(GraphError::Forbidden { code, .. })) => return Err(refused(endpoint, 403, &code)),
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        url: &Url,
        connection: Connection,
        patience: &RetryPolicy,
    ) -> Result<T, Failure> {
        let attempt = Attempt {
            endpoint,
            client_request_id: Uuid::new_v4(),
            started: Instant::now(),
        };
        let mut request = Request::new(Method::GET, url.clone());
        *request.timeout_mut() = patience.request_timeout();
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = match patience
            .unless_cancelled(self.http.exchange(request, connection))
            .await
            .map_err(Failure::Final)?
        {
            Ok(answer) => answer,
            Err(broken) => return Err(attempt.broken(broken, patience)),
        };
        let status = answer.status.as_u16().to_string();
        patience
            .metrics
            .graph_request(endpoint.template, &status, attempt.started.elapsed());
        if answer.status != StatusCode::OK {
            return Err(attempt.refused(LinkKind::Nothing, &answer, patience));
        }
        wire::decode_with_path(&answer.body).map_err(|undecodable| attempt.undecodable(undecodable, &answer))
    }
}

fn refused(endpoint: Endpoint, status: u16, code: &str) -> GraphError {
    GraphError::BadRequest {
        endpoint: endpoint.template,
        status,
        code: code.to_owned(),
    }
}

#[derive(Deserialize)]
struct RawMetadata {
    issuer: String,
    jwks_uri: String,
}

/// A JWKS. Its entries are read one by one, so that an unknown kind does not hide the others.
#[derive(Deserialize)]
struct RawKeys {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    /// An Entra extension: the issuer whose tokens the key signs.
    #[serde(default)]
    issuer: Option<String>,
}

impl RawKeys {
    /// The keys that may sign tokens of this issuer. Of two with the same id the first counts.
    fn usable(self, issuer: &str, tenant: &str) -> Vec<SigningKey> {
        let mut known = BTreeSet::new();
        self.keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<RawKey>(key).ok())
            .filter(|key| key.serves(issuer, tenant))
            .filter_map(RawKey::finish)
            .filter(|key| known.insert(key.kid.clone()))
            .collect()
    }
}

impl RawKey {
    /// Whether the key signs for this issuer: the authority also lists keys of consumer accounts.
    fn serves(&self, issuer: &str, tenant: &str) -> bool {
        let ours = |named: &str| named.replace(TENANT_PLACEHOLDER, tenant) == issuer;
        self.kty == "RSA"
            && self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == "RS256")
            && self.issuer.as_deref().is_none_or(ours)
    }

    fn finish(self) -> Option<SigningKey> {
        let (modulus, exponent) = (number(&self.n)?, number(&self.e)?);
        let usable = !self.kid.is_empty() && MODULUS.contains(&modulus.len()) && exponent.len() <= LONGEST_EXPONENT;
        usable.then_some(SigningKey {
            kid: self.kid,
            modulus,
            exponent,
        })
    }
}

/// A big-endian number, without the leading zeros that some publishers add; none for zero.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
