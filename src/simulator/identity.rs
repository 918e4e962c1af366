//! The token endpoint: who may have an access token, and which ones are still good.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rand::RngCore as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::{Answer, Ask};
use super::{Settings, Shared, assertion, sign_in};

/// How the token endpoint misbehaves; see [`Effect::Token`](super::Effect::Token).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// An AADSTS error: the number, the OAuth `error`, the status.
    Refused(u32, &'static str, u16),
    /// `expires_in` as a string.
    ExpiresInAsString,
    /// No `expires_in` at all.
    NoExpiresIn,
    /// A token that lives so short.
    Lifetime(Duration),
}

impl TokenFault {
    /// AADSTS7000222: the secret has expired.
    pub const SECRET_EXPIRED: Self = Self::Refused(7_000_222, "invalid_client", 401);
    /// AADSTS70021: no matching federated identity yet.
    pub const FEDERATION_NOT_READY: Self = Self::Refused(70_021, "invalid_request", 400);
    /// AADSTS90033: try again.
    pub const TEMPORARILY_UNAVAILABLE: Self = Self::Refused(90_033, "temporarily_unavailable", 503);
}

/// The access tokens given out, and until when they are good.
#[derive(Default)]
pub(super) struct Tokens {
    good: Mutex<HashMap<String, DateTime<Utc>>>,
    /// All that were ever given out.
    issued: Mutex<Vec<String>>,
}

impl Tokens {
    /// A token in the form of Entra's. Nobody but Graph may verify it, so its signature is only random.
    fn issue(&self, now: DateTime<Utc>, lifetime: Duration, permissions: &BTreeSet<String>) -> String {
        let mut bytes = [0; 96];
        rand::rng().fill_bytes(&mut bytes);
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = encode(&json!({"typ": "JWT", "alg": "RS256"}));
        let claims = encode(&json!({"aud": "https://graph.microsoft.com", "roles": permissions}));
        let token = format!("{header}.{claims}.EwB{}", URL_SAFE_NO_PAD.encode(bytes));
        let mut tokens = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, until| *until > now);
        tokens.insert(token.clone(), now + lifetime);
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.push(token.clone());
        token
    }

    pub(super) fn good(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.good
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .is_some_and(|until| *until > now)
    }

    pub(super) fn issued(&self) -> Vec<String> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn revoke_all(&self) {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A refusal of the token endpoint.
pub(super) struct Refusal(pub u32, pub &'static str, pub u16, pub String);

fn missing(name: &str) -> Refusal {
    Refusal(
        900_144,
        "invalid_request",
        400,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

/// `POST /{tenant}/oauth2/v2.0/token`
pub(super) fn token(shared: &Shared, ask: &Ask, tenant: &str, fault: Option<&TokenFault>) -> Answer {
    let settings = shared.settings();
    if let Some(TokenFault::Refused(number, error, status)) = fault {
        return refused(
            ask,
            &Refusal(*number, error, *status, "The simulator was told to refuse this.".into()),
        );
    }
    let identity = match check(shared, &settings, ask, tenant) {
        Ok(identity) => identity,
        Err(refusal) => return refused(ask, &refusal),
    };
    let lifetime = match fault {
        Some(TokenFault::Lifetime(lifetime)) => *lifetime,
        _ => random_within(&settings.access_token_lifetime),
    };
    let seconds = lifetime.as_secs();
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": shared.tokens.issue(ask.now, lifetime, &shared.settings().permissions),
    });
    if let Some(identity) = identity {
        body["id_token"] = identity.into();
    }
    match fault {
        Some(TokenFault::ExpiresInAsString) => body["expires_in"] = seconds.to_string().into(),
        Some(TokenFault::NoExpiresIn) => {
            body = json!({"token_type": "Bearer", "access_token": body["access_token"]});
        }
        _ => {}
    }
    plain(StatusCode::OK, &body)
}

/// `GET /metadata/identity/oauth2/token`, as a virtual machine finds it: numbers are strings there.
pub(super) fn managed(shared: &Shared, ask: &Ask, fault: Option<&TokenFault>) -> Answer {
    let wanted = [("api-version", "2018-02-01"), ("resource", &shared.root)];
    let as_wanted = |(name, value): &(&str, &str)| {
        ask.option(name)
            .is_some_and(|have| have.trim_end_matches('/') == *value)
    };
    if ask.header("metadata") != Some("true") || !wanted.iter().all(as_wanted) {
        let body = json!({"error": "invalid_request", "error_description": "Required metadata header not specified"});
        return plain(StatusCode::BAD_REQUEST, &body);
    }
    let lifetime = match fault {
        Some(TokenFault::Lifetime(lifetime)) => *lifetime,
        _ => random_within(&shared.settings().access_token_lifetime),
    };
    let now = ask.now.timestamp();
    let seconds = lifetime.as_secs();
    let body = json!({
        "access_token": shared.tokens.issue(ask.now, lifetime, &shared.settings().permissions),
        "refresh_token": "",
        "expires_in": seconds.to_string(),
        "expires_on": (now + i64::try_from(seconds).unwrap_or(0)).to_string(),
        "not_before": now.to_string(),
        "resource": ask.option("resource"),
        "token_type": "Bearer",
    });
    plain(StatusCode::OK, &body)
}

/// `GET IDENTITY_ENDPOINT`, as a process on App Service finds it: whoever knows the header may ask.
pub(super) fn app_service(shared: &Shared, ask: &Ask) -> Answer {
    let settings = shared.settings();
    let refuse = |status, why: &str| plain(status, &json!({"statusCode": status.as_u16(), "message": why}));
    let header = ask.header("x-identity-header");
    if header.is_none() || header != settings.identity_header.as_deref() {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "No Managed Identity found for specified header.",
        );
    }
    let resource = ask.option("resource").unwrap_or_default();
    if ask.option("api-version") != Some("2019-08-01") || resource.trim_end_matches('/') != shared.root {
        return refuse(StatusCode::BAD_REQUEST, "The api-version or the resource is wrong.");
    }
    let client = settings.client_id.to_string();
    if ask.option("client_id").is_some_and(|asked| asked != client) {
        return refuse(StatusCode::BAD_REQUEST, "No User Assigned Managed Identity found.");
    }
    let lifetime = random_within(&settings.access_token_lifetime);
    let expires_on = ask.now.timestamp() + i64::try_from(lifetime.as_secs()).unwrap_or(0);
    let body = json!({
        "access_token": shared.tokens.issue(ask.now, lifetime, &shared.settings().permissions),
        "client_id": client,
        "expires_on": expires_on.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    plain(StatusCode::OK, &body)
}

fn random_within(range: &Range<Duration>) -> Duration {
    let spread = range.end.saturating_sub(range.start).as_secs().max(1);
    range.start + Duration::from_secs(rand::rng().next_u64() % spread)
}

/// Whether there is to be a token; for a person's code the identity token beside it.
fn check(shared: &Shared, settings: &Settings, ask: &Ask, tenant: &str) -> Result<Option<String>, Refusal> {
    if ask.method != axum::http::Method::POST {
        return Err(Refusal(
            900_561,
            "invalid_request",
            400,
            "The endpoint only accepts POST requests.".into(),
        ));
    }
    if ["common", "consumers"].contains(&tenant) {
        let why = format!("The grant type 'client_credentials' is not supported over the /{tenant} endpoint.");
        return Err(Refusal(9_001_023, "invalid_request", 400, why));
    }
    let ours = Uuid::parse_str(tenant).is_ok_and(|id| id == settings.tenant_id)
        || tenant.eq_ignore_ascii_case(super::tenant::DOMAIN);
    if !ours {
        return Err(Refusal(
            90_002,
            "invalid_request",
            400,
            format!("Tenant '{tenant}' not found."),
        ));
    }
    let content_type = ask.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Err(missing("grant_type"));
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(&ask.body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let grant = field("grant_type").ok_or_else(|| missing("grant_type"))?;
    if !["client_credentials", "authorization_code"].contains(&grant) {
        let why = format!("The provided value '{grant}' for 'grant_type' is not supported.");
        return Err(Refusal(70_003, "unsupported_grant_type", 400, why));
    }
    let basic = ask.header("authorization").and_then(basic);
    let client = field("client_id")
        .map(ToOwned::to_owned)
        .or_else(|| basic.as_ref().map(|(id, _)| id.clone()));
    let client = client.ok_or_else(|| missing("client_id"))?;
    if !Uuid::parse_str(&client).is_ok_and(|id| id == settings.client_id) {
        let why = format!("Application with identifier '{client}' was not found in the directory 'Contoso'.");
        return Err(Refusal(700_016, "unauthorized_client", 400, why));
    }
    if grant == "client_credentials" {
        let scope = field("scope").ok_or_else(|| missing("scope"))?;
        if scope.trim_end_matches('/') != format!("{}/.default", shared.root) {
            let why = format!(
                "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            );
            return Err(Refusal(70_011, "invalid_scope", 400, why));
        }
    }
    prove(settings, &form, basic, tenant, &shared.root, ask.now)?;
    if grant == "authorization_code" {
        return sign_in::redeem(shared, &form, ask.now).map(Some);
    }
    Ok(None)
}

/// Whether the application proves that it is itself.
fn prove(
    settings: &Settings,
    form: &HashMap<String, String>,
    basic: Option<(String, String)>,
    tenant: &str,
    root: &str,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let secret = field("client_secret")
        .map(ToOwned::to_owned)
        .or_else(|| basic.map(|(_, secret)| secret));
    match (field("client_assertion"), secret) {
        (Some(given), _) => {
            if field("client_assertion_type") != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
                return Err(missing("client_assertion_type"));
            }
            let audience = format!("{root}/{tenant}/oauth2/v2.0/token");
            assertion::check(settings, given, &audience, now)
        }
        (None, Some(secret)) if secret == settings.client_secret => Ok(()),
        (None, Some(_)) => Err(Refusal(
            7_000_215,
            "invalid_client",
            401,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID."
                .into(),
        )),
        (None, None) => Err(Refusal(
            7_000_218,
            "invalid_client",
            401,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.".into(),
        )),
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let unescape = |text: &str| {
        let pair = format!("v={text}");
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((unescape(id)?, unescape(secret)?))
}

fn refused(ask: &Ask, Refusal(number, error, status, why): &Refusal) -> Answer {
    let stamp = ask.now.format("%Y-%m-%d %H:%M:%SZ").to_string();
    let (trace, correlation) = (ask.request_id, &ask.client_request_id);
    let body = json!({
        "error": error,
        "error_description":
            format!("AADSTS{number}: {why} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"),
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.example/error?code={number}"),
    });
    plain(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST), &body)
}

fn plain(status: StatusCode, body: &Value) -> Answer {
    Answer {
        status,
        content_type: "application/json; charset=utf-8",
        ..Answer::json(body)
    }
    .with_header("cache-control", "no-store, no-cache")
    .with_header("pragma", "no-cache")
}
