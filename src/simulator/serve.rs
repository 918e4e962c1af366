//! From HTTP to a question and back, with everything that can go wrong in between.

use std::convert::Infallible;
use std::io::{Error, ErrorKind, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use serde_json::Value;

use super::faults::{Canned, Effect, RetryAfter, Spoilt};
use super::journal::{Seen, without_tokens};
use super::wire::{Answer, Ask};
use super::{Shared, identity, router, sign_in, signing, subscriptions};
use crate::clock::Clock;

/// The largest request body taken: Graph's own limit for a batch is of this order.
const LARGEST_REQUEST: usize = 4 << 20;
/// Smaller bodies are not worth compressing.
const SMALLEST_COMPRESSED: usize = 1_000;
/// How many pieces a slow body comes in.
const PIECES: usize = 10;

/// Answers one HTTP request.
pub(super) async fn request(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_REQUEST).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut ask = Ask::new(parts.method, target, parts.headers, body, shared.clock.now());
    let endpoint = router::endpoint(&ask.path);
    let sequence = shared.journal.note(seen(&ask, endpoint));
    let latency = shared.settings().latency;
    if !latency.is_zero() {
        shared.clock.sleep(latency).await;
    }
    let effect = shared.faults.meet(ask.method.as_str(), endpoint, &ask.target);
    match &effect {
        Some(Effect::Delay(pause)) => shared.clock.sleep(*pause).await,
        Some(Effect::Meanwhile(change)) => change(&shared.tenant),
        Some(Effect::Hold(gate)) => gate.before_the_answer().await,
        Some(Effect::EmptyPage) => ask.empty_page = true,
        Some(Effect::Hangup) => return hangup(),
        _ => {}
    }
    ask.now = shared.clock.now();
    let answer = match &effect {
        Some(Effect::Answer(answer)) => canned(&ask, &shared, answer),
        Some(effect) => damaged(real(&shared, &ask, Some(effect)), &ask, effect),
        // It asks its caller something before it answers.
        None if endpoint.starts_with("/subscriptions") => subscriptions::answer(&shared, &ask).await,
        None => cached(&shared, &ask),
    };
    if let Some(Effect::Hold(gate)) = &effect {
        gate.before_it_is_sent().await;
    }
    shared.journal.answered(sequence, answer.status.as_u16());
    let gzip = accepts_gzip(&ask.headers) && shared.settings().gzip;
    respond(&shared.clock, &ask, compressed(answer, gzip), effect.as_ref())
}

fn seen(ask: &Ask, endpoint: &'static str) -> Seen {
    let header = |name: &str| ask.header(name).map(ToOwned::to_owned);
    let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
    Seen {
        sequence: 0,
        method: ask.method.to_string(),
        path: path.to_owned(),
        query: without_tokens(query),
        endpoint,
        status: 0,
        bearer: ask
            .header("authorization")
            .is_some_and(|header| header.starts_with("Bearer ")),
        client_request_id: header("client-request-id"),
        user_agent: header("user-agent"),
        prefer: header("prefer"),
        priority: header("x-ms-throttle-priority"),
    }
}

/// What the tenant answers.
fn real(shared: &Shared, ask: &Ask, effect: Option<&Effect>) -> Answer {
    let fault = match effect {
        Some(Effect::Token(fault)) => Some(fault),
        _ => None,
    };
    if ask.path == router::MANAGED_IDENTITY {
        return identity::managed(shared, ask, fault);
    }
    if ask.path == router::APP_SERVICE_IDENTITY {
        return identity::app_service(shared, ask);
    }
    if let Some(tenant) = ask.path.strip_suffix("/oauth2/v2.0/token") {
        return identity::token(shared, ask, tenant.trim_start_matches('/'), fault);
    }
    if let Some(tenant) = ask.path.strip_suffix(sign_in::AUTHORIZE) {
        return sign_in::authorize(shared, ask, tenant.trim_start_matches('/'));
    }
    if let Some(tenant) = ask.path.strip_suffix(signing::METADATA) {
        return signing::metadata(shared, ask, tenant.trim_start_matches('/'));
    }
    if let Some(tenant) = ask.path.strip_suffix(signing::KEYS) {
        return signing::keys(shared, ask, tenant.trim_start_matches('/'));
    }
    if ask.path.starts_with("/v1.0/") {
        return router::graph(shared, ask);
    }
    ask.refuse(StatusCode::NOT_FOUND, "ResourceNotFound", "Invalid version.")
}

/// What the tenant answers, from the cache if it answered so before and nothing changed since.
fn cached(shared: &Shared, ask: &Ask) -> Answer {
    let (caching, gzip) = {
        let settings = shared.settings();
        (settings.cache_pages, settings.gzip && accepts_gzip(&ask.headers))
    };
    let bearer = ask
        .header("authorization")
        .and_then(|header| header.strip_prefix("Bearer "));
    let good = bearer.is_some_and(|token| shared.tokens.good(token, ask.now));
    if !caching || !good || ask.headers.contains_key("prefer") {
        return real(shared, ask, None);
    }
    let version = (shared.tenant.read().version, shared.revision.load(Ordering::Relaxed));
    let key = (ask.target.clone(), gzip);
    {
        let mut cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.version != version {
            cache.pages.clear();
            cache.version = version;
        }
        if let Some(answer) = cache.pages.get(&key) {
            return answer.clone();
        }
    }
    let answer = compressed(real(shared, ask, None), gzip);
    if answer.cacheable && answer.status == StatusCode::OK {
        let mut cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.version == version {
            cache.pages.insert(key, answer.clone());
        }
    }
    answer
}

/// An answer somebody wrote.
pub(super) fn canned(ask: &Ask, shared: &Shared, canned: &Canned) -> Answer {
    let status = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = match &canned.code {
        Some(code) => ask.refuse(status, code, "The simulator was told to answer this."),
        None => Answer {
            status,
            ..Answer::bytes(canned.body.clone())
        },
    };
    if let Some(content_type) = canned.content_type {
        answer.content_type = content_type;
    }
    for (name, value) in &canned.headers {
        answer = answer.with_header(name, value.clone());
    }
    if let Some(after) = canned.retry_after {
        let value = match after {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Fraction(seconds) => format!("{seconds:.3}"),
            RetryAfter::Date(wait) => httpdate::fmt_http_date(SystemTime::from(ask.now) + wait),
        };
        answer = answer.with_header(RETRY_AFTER.as_str(), value);
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer = answer
            .with_header(
                "x-ms-throttle-scope",
                "Tenant_Application/ReadWrite/simulated/simulated",
            )
            .with_header("x-ms-throttle-information", "ResourceUnitLimitExceeded");
    }
    if canned.resync_location {
        answer = answer.with_header("location", format!("{}{}?$deltatoken=", shared.root, ask.path));
    }
    answer
}

/// The real answer, damaged.
pub(super) fn damaged(mut answer: Answer, ask: &Ask, effect: &Effect) -> Answer {
    if matches!(effect, Effect::Truncate) {
        answer.body = answer.body.slice(..answer.body.len() / 2);
        return answer;
    }
    let Ok(mut page) = serde_json::from_slice::<Value>(&answer.body) else {
        return answer;
    };
    match effect {
        Effect::NoLink => {
            remove(&mut page, "@odata.nextLink");
            remove(&mut page, "@odata.deltaLink");
        }
        Effect::NoValue => remove(&mut page, "value"),
        Effect::NextLinkToItself => {
            let link = ["@odata.nextLink", "@odata.deltaLink"]
                .iter()
                .find_map(|name| page[name].as_str());
            let root = link
                .and_then(|link| link.split("/v1.0/").next())
                .unwrap_or_default()
                .to_owned();
            remove(&mut page, "@odata.deltaLink");
            page["@odata.nextLink"] = format!("{root}{}", ask.target).into();
        }
        Effect::ForeignNextLink(root) => {
            remove(&mut page, "@odata.deltaLink");
            page["@odata.nextLink"] = format!("{root}/v1.0/users/delta?$skiptoken=foreign").into();
        }
        Effect::Rewrite(rewrite) => rewrite(&mut page),
        Effect::Spoil(spoilt) => {
            answer.body = spoil(&mut page, spoilt).into();
            return answer;
        }
        _ => return answer,
    }
    answer.body = page.to_string().into();
    answer
}

/// The page with other texts in the place of some properties. No JSON value can hold those, so marks stand for them.
fn spoil(page: &mut Value, spoilt: &[Spoilt]) -> String {
    let mark = |number: usize| format!("\u{fffe}{number}\u{fffe}");
    let mut objects: Vec<&mut Value> = if page["value"].is_array() {
        page["value"].as_array_mut().into_iter().flatten().collect()
    } else {
        vec![page]
    };
    for object in &mut objects {
        let id = object["id"].as_str().map(str::to_owned);
        for (number, spoilt) in spoilt.iter().enumerate() {
            if id.as_deref() == Some(&spoilt.id.to_string()) {
                object[spoilt.property] = mark(number).into();
            }
        }
    }
    let mut text = page.to_string();
    for (number, spoilt) in spoilt.iter().enumerate() {
        text = text.replace(&Value::from(mark(number)).to_string(), &spoilt.text);
    }
    text
}

fn remove(page: &mut Value, name: &str) {
    if let Some(page) = page.as_object_mut() {
        page.remove(name);
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"))
}

fn compressed(mut answer: Answer, gzip: bool) -> Answer {
    if !gzip || answer.gzipped || answer.body.len() < SMALLEST_COMPRESSED {
        return answer;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(answer.body.len() / 8), Compression::fast());
    if encoder.write_all(&answer.body).is_ok()
        && let Ok(body) = encoder.finish()
    {
        answer.body = body.into();
        answer.gzipped = true;
    }
    answer
}

fn respond(clock: &Clock, ask: &Ask, answer: Answer, effect: Option<&Effect>) -> Response {
    let length = answer.body.len();
    let body = match effect {
        Some(Effect::Cut(bytes)) => cut(answer.body.slice(..(*bytes).min(length.saturating_sub(1)))),
        Some(Effect::SlowBody(pause)) => slow(clock.clone(), answer.body, *pause),
        _ => Body::from(answer.body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    if length > 0 {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    if answer.gzipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let own = [
        (DATE.as_str(), httpdate::fmt_http_date(SystemTime::from(ask.now))),
        ("request-id", ask.request_id.to_string()),
        ("client-request-id", ask.client_request_id.clone()),
        ("odata-version", "4.0".to_owned()),
        ("x-ms-ags-diagnostic", DIAGNOSTIC.to_owned()),
    ];
    let given = answer.headers.into_iter();
    for (name, value) in own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(given)
    {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

const DIAGNOSTIC: &str =
    r#"{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"5","ScaleUnit":"000","RoleInstance":"SIM000000"}}"#;

/// So many bytes, and then the end of the connection.
fn cut(bytes: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(bytes), |bytes| async move {
        match bytes {
            Some(bytes) if !bytes.is_empty() => Some((Ok(bytes), Some(Bytes::new()))),
            Some(_) => {
                // A turn for the connection, so that the bytes really leave before it breaks.
                tokio::task::yield_now().await;
                Some((Err(Error::from(ErrorKind::ConnectionReset)), None))
            }
            None => None,
        }
    }))
}

/// Breaks the connection before a byte was sent: a body that fails at once takes its head with it.
fn hangup() -> Response {
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, Error>(
        ErrorKind::ConnectionReset.into(),
    )])))
}

fn slow(clock: Clock, body: Bytes, pause: Duration) -> Body {
    let piece = body.len().div_ceil(PIECES).max(1);
    Body::from_stream(stream::unfold((clock, body), move |(clock, mut left)| async move {
        if left.is_empty() {
            return None;
        }
        clock.sleep(pause).await;
        let next = left.split_to(piece.min(left.len()));
        Some((Ok::<_, Infallible>(next), (clock, left)))
    }))
}
