//! Which path means what, and the batch.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rand::seq::SliceRandom as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::directory::{self, Roles};
use super::faults::Effect;
use super::members::{self, Reach};
use super::serve;
use super::wire::{Answer, Ask, Outcome};
use super::{Shared, deleted, groups, signing, users};

/// Where the managed identity of a virtual machine is asked for a token.
pub(super) const MANAGED_IDENTITY: &str = "/metadata/identity/oauth2/token";

/// Where App Service's identity service is asked for one.
pub(super) const APP_SERVICE_IDENTITY: &str = "/msi/token";

/// The template of a path, for counting and for faults.
pub(super) fn endpoint(path: &str) -> &'static str {
    let Some(path) = path.strip_prefix("/v1.0/") else {
        return match path {
            MANAGED_IDENTITY => MANAGED_IDENTITY,
            APP_SERVICE_IDENTITY => APP_SERVICE_IDENTITY,
            path if path.ends_with("/oauth2/v2.0/token") => "/oauth2/v2.0/token",
            path if path.ends_with(signing::METADATA) => signing::METADATA,
            path if path.ends_with(signing::KEYS) => signing::KEYS,
            _ => "other",
        };
    };
    match path.split('/').collect::<Vec<_>>()[..] {
        ["users"] => "/users",
        [
            "users",
            "delta" | "delta()" | "microsoft.graph.delta" | "microsoft.graph.delta()",
        ] => "/users/delta",
        ["users", "$count"] => "/users/$count",
        ["users", _] => "/users/{id}",
        ["users", _, "memberOf"] => "/users/{id}/memberOf",
        ["groups"] => "/groups",
        [
            "groups",
            "delta" | "delta()" | "microsoft.graph.delta" | "microsoft.graph.delta()",
        ] => "/groups/delta",
        ["groups", _] => "/groups/{id}",
        ["groups", _, "members", "$count"] => "/groups/{id}/members/$count",
        ["groups", _, "members", "microsoft.graph.user"] => "/groups/{id}/members/microsoft.graph.user",
        ["groups", _, "members"] | ["groups", _, "members", _] => "/groups/{id}/members",
        ["groups", _, "owners"] => "/groups/{id}/owners",
        ["groups", _, "memberOf"] => "/groups/{id}/memberOf",
        ["groups", _, "transitiveMembers"] => "/groups/{id}/transitiveMembers",
        ["roleManagement", "directory", "roleAssignments"] => "/roleManagement/directory/roleAssignments",
        ["roleManagement", "directory", "roleAssignmentScheduleInstances"] => {
            "/roleManagement/directory/roleAssignmentScheduleInstances"
        }
        ["roleManagement", "directory", "roleEligibilityScheduleInstances"] => {
            "/roleManagement/directory/roleEligibilityScheduleInstances"
        }
        ["subscribedSkus"] => "/subscribedSkus",
        ["directory", "deletedItems", "microsoft.graph.user"] => "/directory/deletedItems/microsoft.graph.user",
        ["directory", "deletedItems", one] if !one.starts_with("microsoft.graph.") => "/directory/deletedItems/{id}",
        ["servicePrincipals"] => "/servicePrincipals",
        [one] if one.starts_with("servicePrincipals(") => "/servicePrincipals(appId)",
        ["subscriptions"] => "/subscriptions",
        ["subscriptions", _] => "/subscriptions/{id}",
        ["$batch"] => "/$batch",
        _ => "other",
    }
}

/// What a call costs, in resource units: Microsoft's table, without the modifiers of `$expand` and `$top`.
fn cost(endpoint: &str, selects: bool) -> u32 {
    let base: u32 = match endpoint {
        "/users" | "/users/$count" | "/users/{id}" | "/users/{id}/memberOf" => 2,
        "/groups/{id}/members"
        | "/groups/{id}/members/$count"
        | "/groups/{id}/members/microsoft.graph.user"
        | "/subscribedSkus" => 3,
        "/groups/{id}/transitiveMembers" => 5,
        _ => 1,
    };
    if selects { base.saturating_sub(1).max(1) } else { base }
}

/// The refusal of a request without a good token.
pub(super) fn unauthorized(shared: &Shared, ask: &Ask) -> Option<Answer> {
    let authorized = ask
        .header("authorization")
        .and_then(|header| header.strip_prefix("Bearer "))
        .is_some_and(|token| shared.tokens.good(token, ask.now));
    if !authorized {
        let message = if ask.header("authorization").is_none() {
            "Access token is empty."
        } else {
            "Lifetime validation failed, the token is expired."
        };
        let refusal = ask.refuse(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message);
        let realm = format!("Bearer realm=\"\", authorization_uri=\"{}\"", shared.root);
        return Some(refusal.with_header("www-authenticate", realm));
    }
    None
}

/// Answers a Graph request.
pub(super) fn graph(shared: &Shared, ask: &Ask) -> Answer {
    if let Some(refusal) = unauthorized(shared, ask) {
        return refusal;
    }
    let endpoint = endpoint(&ask.path);
    let mut answer = route(shared, ask, endpoint).unwrap_or_else(|refusal| refusal);
    if answer.status == StatusCode::OK {
        let cost = cost(endpoint, ask.option("$select").is_some());
        answer = answer.with_header("x-ms-resource-unit", cost.to_string());
    }
    answer
}

fn route(shared: &Shared, ask: &Ask, endpoint: &str) -> Outcome {
    let parts: Vec<&str> = ask.path.strip_prefix("/v1.0/").unwrap_or_default().split('/').collect();
    let key = parts.get(1).copied().unwrap_or_default();
    let method = if endpoint == "/$batch" {
        Method::POST
    } else {
        Method::GET
    };
    if endpoint != "other" && ask.method != method {
        return Err(ask.refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "Request_BadRequest",
            &format!(
                "Specified HTTP method is not allowed for the request target ({} wanted).",
                method.as_str()
            ),
        ));
    }
    match endpoint {
        "/users" => users::list(shared, ask),
        "/users/$count" => users::count(shared, ask),
        "/users/delta" => users::delta(shared, ask),
        "/users/{id}" => users::one(shared, ask, key),
        "/users/{id}/memberOf" => users::member_of(shared, ask, key),
        "/groups" => groups::list(shared, ask),
        "/groups/delta" => groups::delta(shared, ask),
        "/groups/{id}" => groups::one(shared, ask, key),
        "/groups/{id}/members/$count" => members::count(shared, ask, key),
        "/groups/{id}/members" | "/groups/{id}/members/microsoft.graph.user" => {
            members::people(shared, ask, key, Reach::Members, parts.get(3).copied())
        }
        "/groups/{id}/memberOf" => groups::member_of(shared, ask, key),
        "/groups/{id}/owners" => members::people(shared, ask, key, Reach::Owners, None),
        "/groups/{id}/transitiveMembers" => members::people(shared, ask, key, Reach::Transitive, None),
        "/roleManagement/directory/roleAssignments" => directory::roles(shared, ask, Roles::Assignments),
        "/roleManagement/directory/roleAssignmentScheduleInstances" => directory::roles(shared, ask, Roles::Instances),
        "/roleManagement/directory/roleEligibilityScheduleInstances" => {
            directory::roles(shared, ask, Roles::Eligibilities)
        }
        "/subscribedSkus" => directory::subscribed_skus(shared, ask),
        "/directory/deletedItems/microsoft.graph.user" => deleted::list(shared, ask),
        "/directory/deletedItems/{id}" => deleted::one(shared, ask, parts[2]),
        "/servicePrincipals" => directory::service_principals(shared, ask, None),
        "/servicePrincipals(appId)" => {
            let app = parts[0]
                .strip_prefix("servicePrincipals(appId='")
                .and_then(|rest| rest.strip_suffix("')"));
            let app = app.ok_or_else(|| ask.bad_request("Invalid key."))?;
            directory::service_principals(shared, ask, Some(app))
        }
        "/$batch" => batch(shared, ask),
        _ => {
            let segment = parts.first().copied().unwrap_or_default();
            let message = format!("Resource not found for the segment '{segment}'.");
            if [
                "directoryObjects",
                "subscriptions",
                "directoryRoles",
                "me",
                "organization",
            ]
            .contains(&segment)
            {
                return Err(ask.refuse(
                    StatusCode::NOT_IMPLEMENTED,
                    "NotImplemented",
                    "The simulator has no such thing.",
                ));
            }
            Err(ask.bad_request(&message))
        }
    }
}

/// How many requests a batch may hold.
const BATCH: usize = 20;

/// `POST /$batch`: the parts are answered one by one, and told in any order.
fn batch(shared: &Shared, ask: &Ask) -> Outcome {
    let malformed = |why: &str| ask.bad_request(&format!("Invalid batch payload format: {why}."));
    let envelope: Value = serde_json::from_slice(&ask.body).map_err(|_| malformed("not JSON"))?;
    let requests = envelope["requests"]
        .as_array()
        .ok_or_else(|| malformed("no requests"))?;
    if requests.is_empty() || requests.len() > BATCH {
        return Err(malformed("between 1 and 20 requests are allowed"));
    }
    let mut ids: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    for request in requests {
        let id = request["id"]
            .as_str()
            .filter(|id| !id.is_empty())
            .ok_or_else(|| malformed("an id is missing"))?;
        let url = request["url"].as_str().ok_or_else(|| malformed("a url is missing"))?;
        let method = request["method"]
            .as_str()
            .ok_or_else(|| malformed("a method is missing"))?;
        if ids.contains(&id) {
            return Err(malformed("an id was used twice"));
        }
        if url.contains("://") {
            return Err(malformed("urls must be relative"));
        }
        ids.push(id);
        parts.push((
            id,
            part(ask, request, method, url).ok_or_else(|| malformed("a method or header"))?,
        ));
    }
    let mut responses: Vec<Part> = parts
        .iter()
        .map(|(id, part)| {
            let answer = answer_part(shared, part);
            let mut headers: Map<String, Value> = answer
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            headers.insert("content-type".into(), answer.content_type.into());
            Part {
                id: (*id).to_owned(),
                status: answer.status.as_u16(),
                headers,
                body: serde_json::from_slice(&answer.body).ok(),
            }
        })
        .collect();
    responses.shuffle(&mut rand::rng());
    let responses = serde_json::to_string(&responses).unwrap_or_default();
    Ok(Answer::bytes(format!("{{\"responses\":{responses}}}").into_bytes()))
}

/// The answer to one part; its body as it is, since it may be spoilt.
#[derive(Serialize)]
struct Part {
    id: String,
    status: u16,
    headers: Map<String, Value>,
    body: Option<Box<RawValue>>,
}

fn part(ask: &Ask, request: &Value, method: &str, url: &str) -> Option<Ask> {
    let mut headers = HeaderMap::new();
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        headers.insert(
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value.as_str()?).ok()?,
        );
    }
    for name in ["authorization", "client-request-id"] {
        if let Some(value) = ask.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    let target = format!("/v1.0/{}", url.trim_start_matches('/'));
    let body = if request["body"].is_null() {
        Bytes::new()
    } else {
        request["body"].to_string().into()
    };
    Some(Ask::new(method.parse().ok()?, &target, headers, body, ask.now))
}

/// Parts meet faults too, as far as a part can go wrong by itself.
fn answer_part(shared: &Shared, part: &Ask) -> Answer {
    let endpoint = endpoint(&part.path);
    if endpoint == "/$batch" {
        return part.bad_request("A batch cannot hold a batch.");
    }
    match shared.faults.meet(part.method.as_str(), endpoint, &part.target) {
        Some(Effect::Answer(canned)) => serve::canned(part, shared, &canned),
        Some(Effect::Meanwhile(change)) => {
            change(&shared.tenant);
            graph(shared, part)
        }
        Some(Effect::EmptyPage) => {
            let mut part = part.clone();
            part.empty_page = true;
            graph(shared, &part)
        }
        Some(effect) => serve::damaged(graph(shared, part), part, &effect),
        None => graph(shared, part),
    }
}
