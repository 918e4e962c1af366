//! Section `[http]`: where the API listens and who may call it.
//!
//! A reachable API must have a credential: any address but loopback is refused without one. Only hashes of tokens are
//! stored.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::Issue;
use super::guessable::is_guessable;
use super::value::{FromText, Parsed, hex, quoted};
use crate::domain::api_role::ApiRole;
use crate::domain::system_user::SYNC_ACTOR;

/// Section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The address of API, health and metrics.
    pub listen: SocketAddr,
    /// The separate address of health and metrics, if given. They need no token by design.
    pub metrics_listen: Option<SocketAddr>,
    /// The audience of accepted Entra access tokens; without it none is accepted.
    pub audience: Option<String>,
    /// Static tokens.
    pub tokens: Vec<ApiToken>,
    /// The most requests a second of one caller.
    pub requests_per_second: u32,
    /// The most concurrent requests of one caller.
    pub requests_at_once: u32,
}

/// A static API token. The token itself is unknown here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The holder's name; the actor in the change log.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its roles.
    pub roles: Vec<ApiRole>,
}

impl FromText for ApiRole {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!("`{text}` is no role; expected \"Rollcall.Read\", \"Rollcall.Access\" or \"Rollcall.Operate\"")
        })
    }
}

/// An address to listen on. Only the name `localhost` is accepted: other names may change their meaning.
impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an address and port in quotes, such as \"127.0.0.1:8080\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let localhost = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        match localhost {
            Some(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => text.parse().map_err(|_| {
                format!("`{text}` is no address to listen on; expected \"127.0.0.1:8080\", \"[::1]:8080\" or \"localhost:8080\"")
            }),
        }
    }
}

impl FromText for [u8; 32] {
    const EXPECTED: &'static str = "64 hexadecimal digits in quotes";

    /// The text is not quoted: it may be the token itself, by mistake.
    fn from_text(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let pairs = digits.as_deref().map(<[u32]>::as_chunks::<2>);
        match pairs {
            Some((pairs, [])) if pairs.len() == bytes.len() => {
                for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
                    *byte = u8::try_from(high << 4 | low).unwrap_or_default();
                }
                Ok(bytes)
            }
            _ => Err(
                "this is no SHA-256; expected the 64 hexadecimal digits that `printf %s \"$TOKEN\" | sha256sum` \
                      prints"
                    .to_owned(),
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHttp {
    listen: Parsed<SocketAddr>,
    metrics_listen: Option<Parsed<SocketAddr>>,
    audience: Option<String>,
    token: Vec<RawToken>,
    requests_per_second: u32,
    requests_at_once: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    sha256: Parsed<[u8; 32]>,
    roles: Vec<Parsed<ApiRole>>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            listen: Parsed(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            metrics_listen: None,
            audience: None,
            token: Vec::new(),
            // Twice the measured rate of one sign-in service; see the README.
            requests_per_second: 10_000,
            // About thirty for each connection of the default pool: the queue never runs dry, and a caller behind it
            // waits at most a twentieth of a second.
            requests_at_once: 256,
        }
    }
}

impl RawHttp {
    pub(super) fn validate(self) -> Result<Http, Issue> {
        let listen = self.listen.0;
        let metrics_listen = self.metrics_listen.map(|address| address.0);
        if metrics_listen == Some(listen) && listen.port() != 0 {
            return Err(Issue::new(
                "http.metrics_listen",
                "the same as http.listen; leave it out and metrics are served there",
            ));
        }
        if self
            .audience
            .as_deref()
            .is_some_and(|audience| audience.trim().is_empty())
        {
            return Err(Issue::new(
                "http.audience",
                "empty; expected the application id that API tokens are made for",
            ));
        }
        bounded("http.requests_per_second", self.requests_per_second, 1_000_000)?;
        bounded("http.requests_at_once", self.requests_at_once, 10_000)?;
        let tokens = tokens(self.token)?;
        let credential = self.audience.is_some() || !tokens.is_empty();
        if !listen.ip().to_canonical().is_loopback() && !credential {
            return Err(Issue::new(
                "http.listen",
                format!(
                    "{listen} can be reached from outside, but the API has no credential; set http.audience, add an \
                     [[http.token]], or listen on 127.0.0.1"
                ),
            ));
        }
        Ok(Http {
            listen,
            metrics_listen,
            audience: self.audience,
            tokens,
            requests_per_second: self.requests_per_second,
            requests_at_once: self.requests_at_once,
        })
    }
}

fn bounded(path: &str, value: u32, most: u32) -> Result<(), Issue> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Issue::new(path, format!("out of bounds; expected 1 to {most}")))
}

fn tokens(raw: Vec<RawToken>) -> Result<Vec<ApiToken>, Issue> {
    let mut names = BTreeSet::new();
    let mut hashes = BTreeSet::new();
    let mut tokens = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let path = |key: &str| format!("http.token[{index}].{key}");
        if raw.name.trim().is_empty() {
            return Err(Issue::new(
                &path("name"),
                "empty; expected the name of whoever holds the token",
            ));
        }
        // These are separate actors in the change log.
        let is_taken = raw.name == SYNC_ACTOR || raw.name.starts_with("app:") || raw.name.starts_with("user:");
        if is_taken || raw.name.contains(char::is_control) {
            return Err(Issue::new(
                &path("name"),
                format!(
                    "{} cannot be a token's name: \"{SYNC_ACTOR}\", \"app:…\" and \"user:…\" are actors of their own",
                    quoted(&raw.name)
                ),
            ));
        }
        if !names.insert(raw.name.clone()) {
            return Err(Issue::new(
                &path("name"),
                format!("another token is called {} too; names must differ", quoted(&raw.name)),
            ));
        }
        if !hashes.insert(raw.sha256.0) {
            return Err(Issue::new(
                &path("sha256"),
                "another token has the same hash; one token has one name",
            ));
        }
        if is_guessable(&raw.sha256.0) {
            return Err(Issue::new(
                &path("sha256"),
                "the hash of a word that anybody guesses; make a token with `openssl rand -hex 32`, and give what \
                 `printf %s \"$TOKEN\" | sha256sum` prints",
            ));
        }
        if raw.roles.is_empty() {
            return Err(Issue::new(
                &path("roles"),
                "empty; a token without a role may do nothing",
            ));
        }
        let mut roles: Vec<ApiRole> = raw.roles.into_iter().map(|role| role.0).collect();
        roles.sort_unstable();
        roles.dedup();
        tokens.push(ApiToken {
            name: raw.name,
            sha256: raw.sha256.0,
            roles,
        });
    }
    Ok(tokens)
}

impl ApiToken {
    /// The first digits of the hash: enough to tell tokens apart, too few to verify guesses.
    pub(super) fn shown_hash(&self) -> String {
        format!("{}…", hex(&self.sha256[..4]))
    }
}
