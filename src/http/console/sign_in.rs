//! Signing in: the page that asks how, by pasting a static token, by a link that works once; signing out; and sending again
//! what waited for a sign-in.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, Viewer, page};
use super::site::{Cookie, Site};
use crate::domain::session::{KeptForm, Session};
use crate::http::api::Api;
use crate::http::auth::ApiRole;
use crate::http::input::Params;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn<'p> {
    /// Where to go afterwards, within the console.
    to: &'p str,
    with_entra: bool,
    /// Why the last attempt failed, or why one is needed again.
    refused: Option<&'static str>,
}

impl SignIn<'_> {
    /// The address in another one.
    fn to_encoded(&self) -> String {
        url::form_urlencoded::byte_serialize(self.to.as_bytes()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub to: String,
    invitation: Option<String>,
}

/// Where a form that waits for a sign-in is shown again.
pub(super) const AGAIN: &str = "/console/again";

fn asks<'p>(site: &Site, to: &'p str, refused: Option<&'static str>) -> SignIn<'p> {
    SignIn {
        to,
        with_entra: matches!(site, Site::Public(_)),
        refused,
    }
}

/// Asks who it is, or uses a link that works once.
pub(super) async fn show(
    State(api): State<Api>,
    State(site): State<Site>,
    headers: HeaderMap,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let to = inside(&wanted.to);
    let again =
        "This changes something, and you signed in more than an hour ago. Sign in again: what you filled in is kept.";
    let Some(invitation) = wanted.invitation.filter(|_| matches!(site, Site::Here)) else {
        return page(&asks(&site, to, (to == AGAIN).then_some(again)));
    };
    if let Some(session) = api.engine().sessions().accept(&invitation).await? {
        return begin(&api, &site, &headers, session, to).await;
    }
    let refused = "This link has been used, or is older than an hour. Sign in with a token instead.";
    page(&asks(&site, to, Some(refused)))
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    to: String,
}

/// Begins a session for the holder of a static token.
pub(super) async fn sign_in(
    State(api): State<Api>,
    State(site): State<Site>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, PageProblem> {
    if !matches!(site, Site::Here) {
        let detail = "people sign in to this console with Entra";
        let problem = Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            detail,
            "Open the console and sign in there.",
        );
        return Err(PageProblem(problem));
    }
    let to = inside(&given.to);
    let Some(holder) = api.auth.holder(given.token.trim()) else {
        api.limits.note_stranger()?;
        let refused = "This is no token of the configuration. It has the text, its [[http.token]] only the hash.";
        return page(&asks(&site, to, Some(refused)));
    };
    if !holder.may(ApiRole::Read) {
        let refused = "This token lacks the role Rollcall.Read. Add it to the token's roles in the configuration.";
        return page(&asks(&site, to, Some(refused)));
    }
    let session = Session {
        display_name: holder.name.clone(),
        actor: holder.name,
        object_id: None,
        roles: holder.roles,
        signed_in_at: api.engine().clock.now(),
    };
    begin(&api, &site, &headers, session, to).await
}

/// Begins a session in place of the one that the browser may have.
pub(super) async fn begin(
    api: &Api,
    site: &Site,
    headers: &HeaderMap,
    session: Session,
    to: &str,
) -> Result<Response, PageProblem> {
    let before = site.cookie(headers, Cookie::Session);
    let secret = api.engine().sessions().begin(session, before.as_deref()).await?;
    Ok(with_session(site, to, &secret, None))
}

/// Ends the session.
pub(super) async fn sign_out(
    State(api): State<Api>,
    State(site): State<Site>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    if let Some(secret) = site.cookie(&headers, Cookie::Session) {
        api.engine().sessions().end(&secret).await?;
    }
    Ok(with_session(&site, "/console/sign-in", "", Some(0)))
}

fn with_session(site: &Site, to: &str, secret: &str, seconds: Option<u32>) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Some(cookie) = site.set_cookie(Cookie::Session, secret, seconds) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// An address within the console, or its first page.
pub(super) fn inside(to: &str) -> &str {
    let is_page = to.starts_with("/console/") && !to.contains(['\\', '\r', '\n']);
    if is_page { to } else { "/console/" }
}

#[derive(Template)]
#[template(path = "console/again.html")]
struct Again {
    frame: Frame,
    /// Where the form goes.
    path: String,
    fields: Vec<(String, String)>,
}

/// The form that waited for a sign-in, filled as it was.
pub(super) async fn again(
    State(api): State<Api>,
    State(site): State<Site>,
    viewer: Viewer,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let secret = site.cookie(&headers, Cookie::Session).unwrap_or_default();
    let Some(KeptForm { path, fields }) = api.engine().sessions().kept_form(&secret).await? else {
        return Ok(Redirect::to("/console/").into_response());
    };
    page(&Again {
        frame: viewer.frame(&api, Page::Overview, "Go on").await?,
        path,
        fields: url::form_urlencoded::parse(fields.as_bytes()).into_owned().collect(),
    })
}
