//! Signing in by pasting a static token, or by a link that works once; signing out.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{PageProblem, page};
use super::gate::{COOKIE, secret};
use crate::domain::session::Session;
use crate::http::api::Api;
use crate::http::auth::ApiRole;
use crate::http::input::Params;

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn<'p> {
    /// Where to go afterwards, within the console.
    to: &'p str,
    /// Why the last attempt failed.
    refused: Option<&'static str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    to: String,
    invitation: Option<String>,
}

/// Asks for a token, or uses a link that works once.
pub(super) async fn show(State(api): State<Api>, Params(wanted): Params<Wanted>) -> Result<Response, PageProblem> {
    let to = inside(&wanted.to);
    let Some(invitation) = &wanted.invitation else {
        return page(&SignIn { to, refused: None });
    };
    match api.engine().sessions().accept(invitation).await? {
        Some(secret) => Ok(begin(&secret, to)),
        None => page(&SignIn {
            to,
            refused: Some("This link has been used, or is older than an hour. Sign in with a token instead."),
        }),
    }
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    to: String,
}

/// Begins a session for the holder of a static token.
pub(super) async fn sign_in(State(api): State<Api>, Form(given): Form<Given>) -> Result<Response, PageProblem> {
    let to = inside(&given.to);
    let Some(holder) = api.auth.holder(given.token.trim()) else {
        api.limits.note_stranger()?;
        return page(&SignIn {
            to,
            refused: Some("This is no token of the configuration. It has the text, its [[http.token]] only the hash."),
        });
    };
    if !holder.may(ApiRole::Read) {
        return page(&SignIn {
            to,
            refused: Some("This token lacks the role Rollcall.Read. Add it to the token's roles in the configuration."),
        });
    }
    let engine = api.engine();
    let session = Session {
        display_name: holder.name.clone(),
        actor: holder.name,
        object_id: None,
        roles: holder.roles,
        signed_in_at: engine.clock.now(),
    };
    Ok(begin(&engine.sessions().begin(session).await?, to))
}

/// Ends the session.
pub(super) async fn sign_out(State(api): State<Api>, headers: HeaderMap) -> Result<Response, PageProblem> {
    if let Some(secret) = secret(&headers) {
        api.engine().sessions().end(&secret).await?;
    }
    Ok(with_cookie("/console/sign-in", "", "; Max-Age=0"))
}

fn begin(secret: &str, to: &str) -> Response {
    with_cookie(to, secret, "")
}

fn with_cookie(to: &str, secret: &str, lifetime: &str) -> Response {
    let cookie = format!("{COOKIE}={secret}; Path=/console; HttpOnly; SameSite=Lax{lifetime}");
    let mut response = Redirect::to(to).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// An address within the console, or its first page.
fn inside(to: &str) -> &str {
    let is_page = to.starts_with("/console/") && !to.contains(['\\', '\r', '\n']);
    if is_page { to } else { "/console/" }
}
