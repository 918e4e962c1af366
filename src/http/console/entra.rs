//! Signing in with Entra: the authorization code flow with PKCE, state and nonce. What has begun stands in a cookie of the
//! browser that began it, so that any replica can end it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use url::Url;

use super::frame::PageProblem;
use super::sign_in::{Wanted, begin, inside};
use super::site::{Cookie, Entra, Site};
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::domain::sign_in::Redemption;
use crate::http::api::Api;
use crate::http::input::Params;
use crate::http::problem::Problem;

/// A person must end the sign-in within this time, in seconds; Entra's codes live as long.
const ENDED_WITHIN: u32 = 600;
/// The longest address that a sign-in leads back to: a cookie holds it.
const LONGEST_ADDRESS: usize = 2_000;

/// A sign-in that has begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    to: String,
}

impl Entra {
    fn redirect(&self) -> Url {
        let mut url = self.public_url.clone();
        url.set_path("/console/callback");
        url
    }

    /// The page of Entra that asks the person.
    fn question(&self, begun: &Begun) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, begun.verifier.as_bytes()));
        let mut url = self.authorize.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", self.redirect().as_str())
            .append_pair("response_mode", "query")
            .append_pair("scope", "openid profile")
            .append_pair("state", &begun.state)
            .append_pair("nonce", &begun.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        url
    }
}

/// Sends the browser to Entra.
pub(super) async fn show(State(site): State<Site>, Params(wanted): Params<Wanted>) -> Result<Response, PageProblem> {
    let entra = entra(&site)?;
    let to = Some(inside(&wanted.to)).filter(|to| to.len() <= LONGEST_ADDRESS);
    let begun = Begun {
        state: random(),
        nonce: random(),
        verifier: random(),
        to: to.unwrap_or("/console/").to_owned(),
    };
    let cookie = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&begun).unwrap_or_default());
    let mut response = Redirect::to(entra.question(&begun).as_str()).into_response();
    if let Some(cookie) = site.set_cookie(Cookie::SignIn, &cookie, Some(ENDED_WITHIN)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What Entra sends with the browser.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    code: String,
    state: String,
    error: String,
}

/// Where Entra sends the browser: ends the sign-in that this browser has begun, and begins a session.
pub(super) async fn callback(
    State(api): State<Api>,
    State(site): State<Site>,
    headers: HeaderMap,
    Params(sent): Params<Sent>,
) -> Response {
    let mut response = match ended(&api, &site, &headers, sent).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    // A sign-in ends once, however it ends.
    if let Some(cookie) = site.set_cookie(Cookie::SignIn, "", Some(0)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

async fn ended(api: &Api, site: &Site, headers: &HeaderMap, sent: Sent) -> Result<Response, PageProblem> {
    let entra = entra(site)?;
    let begun = begun(site, headers).filter(|begun| begun.state == sent.state);
    let Some(begun) = begun else {
        api.limits.note_stranger()?;
        let detail = "this browser has begun no such sign-in, or has ended it";
        return Err(failed(StatusCode::BAD_REQUEST, detail));
    };
    if !sent.error.is_empty() {
        let code: String = sent.error.chars().filter(char::is_ascii_graphic).take(60).collect();
        return Err(failed(
            StatusCode::FORBIDDEN,
            &format!("Entra did not let you in ({code})"),
        ));
    }
    let redemption = Redemption {
        code: Secret::new(sent.code),
        verifier: Secret::new(begun.verifier),
        redirect: entra.redirect(),
    };
    let token = entra.redeemer.redeem(redemption).await.map_err(|refused| {
        let status = if refused.is_transient {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::BAD_REQUEST
        };
        failed(status, &refused.detail)
    })?;
    let person = api.auth.person(token.expose(), &entra.client_id, &begun.nonce).await?;
    if !person.may_read() {
        let detail = format!(
            "{} may not use the console: the role Rollcall.Read is missing",
            person.name
        );
        let remedy = "Ask for the role Rollcall.Read: an administrator assigns it in the Entra admin center, under the \
                      enterprise application of rollcall, Users and groups. Then sign in again.";
        return Err(PageProblem(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            detail,
            remedy,
        )));
    }
    let session = Session {
        display_name: person.name,
        actor: person.caller.name,
        object_id: Some(person.object_id),
        roles: person.caller.roles,
        signed_in_at: api.engine().clock.now(),
    };
    begin(api, site, headers, session, &begun.to).await
}

fn entra(site: &Site) -> Result<&Entra, PageProblem> {
    match site {
        Site::Public(entra) => Ok(entra),
        Site::Here => {
            let remedy = "Sign in with a token at /console/sign-in, or set console.public_url in the configuration.";
            let detail = "signing in with Entra is not configured";
            Err(PageProblem(Problem::new(
                StatusCode::NOT_FOUND,
                "not_found",
                detail,
                remedy,
            )))
        }
    }
}

fn failed(status: StatusCode, detail: &str) -> PageProblem {
    let remedy = "Open the console and sign in again. If it fails again, show this page to whoever runs rollcall.";
    PageProblem(Problem::new(status, "sign_in_failed", detail, remedy))
}

fn begun(site: &Site, headers: &HeaderMap) -> Option<Begun> {
    let cookie = URL_SAFE_NO_PAD.decode(site.cookie(headers, Cookie::SignIn)?).ok()?;
    serde_json::from_slice(&cookie).ok()
}

/// 256 random bits.
fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
