//! Subscriptions to change notifications, as the contract has them: the handshake within the creation, the limits of a
//! life, renewal and removal, and posts to whoever has subscribed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::router::unauthorized;
use super::wire::{Answer, Ask, Outcome};

/// The longest life of a subscription to users or groups.
const LONGEST: TimeDelta = TimeDelta::minutes(41_760);
/// A shorter one is made so long.
const SHORTEST: TimeDelta = TimeDelta::minutes(45);
/// How many an application may have in a tenant.
const MOST: usize = 100;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest `clientState`.
const LONGEST_STATE: usize = 128;

#[derive(Clone)]
struct Subscription {
    id: Uuid,
    resource: String,
    change_type: String,
    url: String,
    client_state: Option<String>,
    expires_at: DateTime<Utc>,
}

/// Those that there are.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<Vec<Subscription>>);

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl Subscription {
    fn json(&self, shared: &Shared) -> Value {
        json!({
            "@odata.context": format!("{}/v1.0/$metadata#subscriptions/$entity", shared.root),
            "id": self.id,
            "resource": self.resource,
            "applicationId": shared.settings().client_id,
            "changeType": self.change_type,
            "clientState": null,
            "notificationUrl": self.url,
            "expirationDateTime": text(self.expires_at),
            "latestSupportedTlsVersion": "v1_2",
        })
    }
}

/// Answers a request to `/subscriptions`.
pub(super) async fn answer(shared: &Shared, ask: &Ask) -> Answer {
    if let Some(refusal) = unauthorized(shared, ask) {
        return refusal;
    }
    let id = ask
        .path
        .strip_prefix("/v1.0/subscriptions/")
        .and_then(|id| Uuid::parse_str(id).ok());
    let outcome = match (&ask.method, id) {
        (&Method::POST, None) => create(shared, ask).await,
        (&Method::PATCH, Some(id)) => renew(shared, ask, id),
        (&Method::DELETE, Some(id)) => remove(shared, ask, id),
        _ => Err(ask.refuse(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "The simulator has no such thing.",
        )),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

/// The time in a body, within the limits.
fn expiration(ask: &Ask, body: &Value) -> Result<DateTime<Utc>, Answer> {
    let given = body["expirationDateTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let given = given
        .ok_or_else(|| ask.bad_request("Subscription expiration is missing or no date."))?
        .to_utc();
    if given <= ask.now || given - ask.now > LONGEST {
        return Err(ask.bad_request("Subscription expiration can only be 41760 minutes in the future."));
    }
    Ok(given.max(ask.now + SHORTEST))
}

async fn create(shared: &Shared, ask: &Ask) -> Outcome {
    let body: Value =
        serde_json::from_slice(&ask.body).map_err(|_| ask.bad_request("Unable to read JSON request payload."))?;
    let given = |name: &str| body[name].as_str().map(str::to_owned);
    let missing = |name: &str| ask.bad_request(&format!("{name} is missing."));
    let change_type = given("changeType").ok_or_else(|| missing("changeType"))?;
    if change_type
        .split(',')
        .any(|one| !["updated", "deleted"].contains(&one.trim()))
    {
        return Err(ask.bad_request("Unsupported changeType for this resource."));
    }
    let resource = given("resource").ok_or_else(|| missing("resource"))?;
    match resource.trim_start_matches('/') {
        "users" => shared.require(ask, &["User.Read.All"])?,
        "groups" => shared.require(ask, &["Group.Read.All"])?,
        _ => return Err(ask.bad_request("Resource is not supported.")),
    }
    let client_state = given("clientState");
    if client_state.as_ref().is_some_and(|state| state.len() > LONGEST_STATE) {
        return Err(ask.bad_request("clientState is too long."));
    }
    let expires_at = expiration(ask, &body)?;
    let url = given("notificationUrl").ok_or_else(|| missing("notificationUrl"))?;
    if shared.subscriptions.living(ask.now).len() >= MOST {
        return Err(ask.refuse(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "The subscription quota is exceeded.",
        ));
    }
    for url in [Some(url.clone()), given("lifecycleNotificationUrl")]
        .into_iter()
        .flatten()
    {
        if !shakes_hands(&url).await {
            let message = "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request.";
            return Err(ask.refuse(StatusCode::BAD_REQUEST, "ValidationError", message));
        }
    }
    let made = Subscription {
        id: Uuid::new_v4(),
        resource,
        change_type,
        url,
        client_state,
        expires_at,
    };
    let json = made.json(shared);
    shared.subscriptions.change(|all| all.push(made));
    Ok(Answer {
        status: StatusCode::CREATED,
        ..Answer::json(&json)
    })
}

fn renew(shared: &Shared, ask: &Ask, id: Uuid) -> Outcome {
    let body: Value =
        serde_json::from_slice(&ask.body).map_err(|_| ask.bad_request("Unable to read JSON request payload."))?;
    let expires_at = expiration(ask, &body)?;
    let renewed = shared.subscriptions.change(|all| {
        let one = all.iter_mut().find(|one| one.id == id && one.expires_at > ask.now)?;
        one.expires_at = expires_at;
        Some(one.clone())
    });
    let renewed = renewed.ok_or_else(|| ask.not_found(&id.to_string()))?;
    Ok(Answer::json(&renewed.json(shared)))
}

fn remove(shared: &Shared, ask: &Ask, id: Uuid) -> Outcome {
    let is_there = shared.subscriptions.living(ask.now).iter().any(|one| one.id == id);
    if !is_there {
        return Err(ask.not_found(&id.to_string()));
    }
    shared.subscriptions.change(|all| all.retain(|one| one.id != id));
    Ok(Answer {
        status: StatusCode::NO_CONTENT,
        ..Answer::bytes("")
    })
}

/// Asks an address to repeat a token that has to be decoded first.
async fn shakes_hands(url: &str) -> bool {
    let token = format!(
        "Validation: Testing client application reachability for subscription Request-Id: {}/+%",
        Uuid::new_v4()
    );
    let Ok(mut asked) = url::Url::parse(url) else {
        return false;
    };
    asked.query_pairs_mut().append_pair("validationToken", &token);
    let Some(client) = client() else { return false };
    let request = client
        .post(asked)
        .header("content-type", "text/plain; charset=utf-8")
        .timeout(HANDSHAKE);
    let Ok(answer) = request.send().await else { return false };
    let kind = answer
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let is_text = answer.status() == StatusCode::OK.as_u16() && kind.starts_with("text/plain");
    is_text && answer.text().await.is_ok_and(|repeated| repeated == token)
}

fn client() -> Option<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    builder.tls_certs_only([]).build().ok()
}

impl Subscriptions {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Subscription>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn living(&self, now: DateTime<Utc>) -> Vec<Subscription> {
        self.change(|all| all.iter().filter(|one| one.expires_at > now).cloned().collect())
    }

    /// The addresses of those that live, with their ends.
    pub(super) fn list(&self, now: DateTime<Utc>) -> Vec<(String, DateTime<Utc>)> {
        self.living(now)
            .into_iter()
            .map(|one| (one.url, one.expires_at))
            .collect()
    }

    /// Forgets all of them, as if they had never been.
    pub(super) fn lose(&self) {
        self.change(Vec::clear);
    }

    /// Posts to everybody who subscribed to users that one has changed, or an event of the subscription's own life.
    /// Returns the statuses of the answers.
    pub(super) async fn notify(&self, shared: &Shared, id: Uuid, life: Option<&str>) -> Vec<u16> {
        let mut statuses = Vec::new();
        let living = self.living(shared.clock.now());
        for one in living
            .iter()
            .filter(|one| one.resource.trim_start_matches('/') == "users")
        {
            let mut notification = json!({
                "subscriptionId": one.id,
                "subscriptionExpirationDateTime": text(one.expires_at),
                "clientState": one.client_state,
                "tenantId": shared.settings().tenant_id,
            });
            if let Some(event) = life {
                notification["lifecycleEvent"] = json!(event);
            } else {
                notification["changeType"] = json!("updated");
                notification["resource"] = json!(format!("Users/{id}"));
                notification["resourceData"] = json!({
                    "@odata.type": "#Microsoft.Graph.User", "@odata.id": format!("Users/{id}"), "id": id,
                });
            }
            let body = json!({ "value": [notification] }).to_string();
            let Some(client) = client() else { continue };
            let post = client
                .post(&one.url)
                .header("content-type", "application/json")
                .body(body);
            if let Ok(answer) = post.send().await {
                statuses.push(answer.status().as_u16());
            }
        }
        statuses
    }
}
