//! How people sign in: the page that asks who it is, and the codes that an application redeems for identity tokens.
//!
//! Written from the published contract of the authorization code flow with PKCE. A code is good once and for ten minutes;
//! the request that redeems it must name the same redirect URI, prove the challenge, and prove the application.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::identity::Refusal;
use super::tenant::User;
use super::wire::{Answer, Ask};
use super::{Shared, signing};

/// Where people sign in.
pub(super) const AUTHORIZE: &str = "/oauth2/v2.0/authorize";

/// A code is good for this time.
const CODE_LIFE: TimeDelta = TimeDelta::minutes(10);
/// How many people the page names.
const NAMED: usize = 20;

/// The codes that were given out, and whether they were redeemed.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, Code>>);

#[derive(Clone)]
struct Code {
    redirect: String,
    challenge: String,
    nonce: Option<String>,
    user: Uuid,
    given_at: DateTime<Utc>,
    is_redeemed: bool,
}

/// `GET /{tenant}/oauth2/v2.0/authorize`: names people to sign in as; `login_hint` chooses one at once.
pub(super) fn authorize(shared: &Shared, ask: &Ask, tenant: &str) -> Answer {
    let settings = shared.settings();
    let refuse = |number: u32, why: &str| page(StatusCode::BAD_REQUEST, &format!("AADSTS{number}: {why}"));
    if ask.method != Method::GET {
        return refuse(900_561, "The endpoint only accepts GET requests.");
    }
    if !Uuid::parse_str(tenant).is_ok_and(|id| id == settings.tenant_id) {
        return refuse(90_002, "Tenant not found.");
    }
    let option = |name: &str| ask.option(name).unwrap_or_default();
    if option("client_id") != settings.client_id.to_string() {
        return refuse(700_016, "Application was not found in the directory 'Contoso'.");
    }
    // Whoever is not registered is never sent anything.
    let redirect = option("redirect_uri");
    let registered = settings.redirect_uris.iter().any(|uri| uri == redirect);
    let Some(mut back) = Url::parse(redirect).ok().filter(|_| registered) else {
        return refuse(
            50_011,
            "The redirect URI specified in the request does not match the ones configured.",
        );
    };
    let state = ask.option("state").map(ToOwned::to_owned);
    let mut answer = |pairs: &[(&str, &str)]| {
        back.query_pairs_mut().extend_pairs(pairs);
        if let Some(state) = &state {
            back.query_pairs_mut().append_pair("state", state);
        }
        Answer {
            status: StatusCode::FOUND,
            ..page(StatusCode::FOUND, "")
        }
        .with_header("location", back.to_string())
    };
    let wrong = if option("response_type") != "code" {
        Some("AADSTS900144: response_type must be 'code'.")
    } else if !option("scope").split(' ').any(|scope| scope == "openid") {
        Some("AADSTS70011: The scope must include 'openid'.")
    } else if !matches!(option("response_mode"), "" | "query") {
        Some("AADSTS70007: The response_mode is not one of those that the simulator has.")
    } else if option("code_challenge_method") != "S256" || option("code_challenge").len() != 43 {
        Some("AADSTS501491: Invalid size of Code_Challenge parameter, or a method other than S256.")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return answer(&[("error", "invalid_request"), ("error_description", wrong)]);
    }
    let users = shared.tenant.read();
    let Some(user) = ask.option("login_hint") else {
        drop(users);
        return names(shared, ask);
    };
    let Some(user) = users.by_upn(user) else {
        return refuse(50_034, "The user account does not exist in the directory.");
    };
    if user.account_enabled != Some(true) {
        return refuse(50_057, "The user account is disabled.");
    }
    let code = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 48]>());
    let given = Code {
        redirect: redirect.to_owned(),
        challenge: option("code_challenge").to_owned(),
        nonce: ask.option("nonce").map(ToOwned::to_owned),
        user: user.id,
        given_at: ask.now,
        is_redeemed: false,
    };
    let mut codes = shared.codes.0.lock().unwrap_or_else(PoisonError::into_inner);
    codes.insert(code.clone(), given);
    answer(&[("code", &code)])
}

/// A page with people to sign in as.
fn names(shared: &Shared, ask: &Ask) -> Answer {
    let ids = shared.tenant.user_ids().into_iter();
    let people = ids.filter_map(|id| shared.tenant.user(id));
    let people = people.filter(|user| user.account_enabled == Some(true)).take(NAMED);
    let link = |user: User| {
        let name = user.user_principal_name.as_deref().unwrap_or_default();
        let hint: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        format!(
            "<li><a href=\"{}&amp;login_hint={hint}\">{}</a></li>",
            escaped(&ask.target),
            escaped(name)
        )
    };
    let people: String = people.map(link).collect();
    page(
        StatusCode::OK,
        &format!("<h1>Sign in to the simulated tenant as</h1><ul>{people}</ul>"),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn page(status: StatusCode, body: &str) -> Answer {
    Answer {
        status,
        content_type: "text/html; charset=utf-8",
        ..Answer::bytes(format!("<!doctype html><title>Sign in</title>{body}").into_bytes())
    }
}

/// The identity token for a code.
pub(super) fn redeem(shared: &Shared, form: &HashMap<String, String>, now: DateTime<Utc>) -> Result<String, Refusal> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let refuse = |number: u32, why: &str| Refusal(number, "invalid_grant", 400, why.to_owned());
    let code = {
        let mut codes = shared.codes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let code = codes.get_mut(field("code"));
        let code = code.ok_or_else(|| refuse(9_002_313, "Invalid request. Request is malformed or invalid."))?;
        if code.is_redeemed {
            return Err(refuse(54_005, "OAuth2 Authorization code was already redeemed."));
        }
        if code.redirect != field("redirect_uri") {
            return Err(refuse(
                500_112,
                "The reply address does not match the one of the authorization request.",
            ));
        }
        let proof = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
        if code.challenge != proof {
            return Err(refuse(501_481, "The Code_Verifier does not match the code_challenge."));
        }
        code.is_redeemed = true;
        code.clone()
    };
    if now - code.given_at > CODE_LIFE {
        return Err(refuse(70_008, "The provided authorization code is expired."));
    }
    let user = shared.tenant.user(code.user);
    let user = user.ok_or_else(|| refuse(50_034, "The user account does not exist in the directory."))?;
    let claims = claims(shared, &user, code.nonce.as_deref());
    let signed = shared.signing.sign(&claims);
    signed.map_err(|error| Refusal(50_000, "server_error", 500, error.to_string()))
}

/// What an identity token says. Its roles are those that the application assigns to the person.
fn claims(shared: &Shared, user: &User, nonce: Option<&str>) -> Value {
    let (roles, given) = {
        let settings = shared.settings();
        (
            settings.app_roles.get(&user.id).cloned(),
            settings.identity_claims.clone(),
        )
    };
    let mut own = json!({
        "azp": null,
        "azpacr": null,
        "idtyp": null,
        "name": user.display_name,
        "nonce": nonce,
        "oid": user.id,
        "preferred_username": user.user_principal_name,
        "roles": roles,
        "sub": URL_SAFE_NO_PAD.encode(user.id.as_bytes()),
    });
    if let (Some(own), Some(given)) = (own.as_object_mut(), given.as_object()) {
        own.extend(given.clone());
    }
    signing::claims(shared, &own)
}
