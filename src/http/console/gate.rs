//! Who may come in, and what a browser may do with a page: only for the console's own name, only signed in, and changes only
//! from our own pages.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use chrono::TimeDelta;

use super::frame::{PageProblem, Viewer};
use super::sign_in::AGAIN;
use super::site::{Cookie, Site, host};
use super::{Console, FORM_LIMIT};
use crate::domain::session::KeptForm;
use crate::http::api::Api;
use crate::http::auth::{ApiRole, Caller, CallerKind};
use crate::http::log;
use crate::http::problem::Problem;

/// What only an operator may do wants a sign-in younger than this.
const YOUNG: TimeDelta = TimeDelta::hours(1);

/// Directory text is text, whatever it holds: a page runs and loads nothing but our own files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Admits requests for the console's own name, changes only from our own pages, and tells the browser what pages may do.
pub(super) async fn browser(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if !site.admits(&host(headers, request.uri())) {
        let (detail, remedy) = match &site {
            Site::Here => (
                "the console is served under localhost only".to_owned(),
                "Open it on the machine itself, or through a tunnel: ssh -L 8080:localhost:8080. For everybody else, set \
                 console.public_url.",
            ),
            Site::Public(entra) => (
                format!("the console is served under {} only", entra.public_url),
                "Open it there. A proxy in between must pass the Host header on.",
            ),
        };
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "other_host", detail, remedy);
        PageProblem(problem).into_response()
    } else if request.method() == Method::POST && !site.is_ours(headers, request.uri()) {
        let detail = "the form was not sent from a page of the console";
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "other_origin",
            detail,
            "Open the console and try again.",
        );
        PageProblem(problem).into_response()
    } else if super::super::api::with_nul(request.uri()).is_some() {
        PageProblem(Problem::bad_input("address", "a text cannot hold NUL characters")).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Admits a request with a session; sends others to sign in and back.
pub(super) async fn signed_in(
    State(Console { api, site }): State<Console>,
    mut request: Request,
    next: Next,
) -> Response {
    let session = match site.cookie(request.headers(), Cookie::Session) {
        Some(secret) => api.engine().sessions().find(&secret).await,
        None => Ok(None),
    };
    let session = match session {
        Ok(Some(session)) => session,
        Ok(None) => return to_sign_in(&request),
        Err(failure) => return PageProblem(failure.into()).into_response(),
    };
    let caller = Caller {
        name: session.actor.clone(),
        kind: if session.object_id.is_some() {
            CallerKind::User
        } else {
            CallerKind::StaticToken
        },
        roles: session.roles.clone(),
    };
    if let Err(error) = caller.require(ApiRole::Read) {
        return PageProblem(error.into()).into_response();
    }
    let admitted = api.limits.admit(&caller.name);
    let mut response = match admitted {
        Err(too_many) => PageProblem(too_many.into()).into_response(),
        Ok(_under_way) => {
            request.extensions_mut().insert(Viewer::new(session, caller.clone()));
            next.run(request).await
        }
    };
    log::note_caller(&mut response, &caller);
    response
}

/// To the sign-in and back; a form is not sent again.
fn to_sign_in(request: &Request) -> Response {
    let to = match *request.method() {
        Method::GET => request
            .uri()
            .path_and_query()
            .map_or("/console/", axum::http::uri::PathAndQuery::as_str),
        _ => "/console/",
    };
    sign_in_for(to)
}

fn sign_in_for(to: &str) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("to", to)
        .finish();
    Redirect::to(&format!("/console/sign-in?{query}")).into_response()
}

/// Admits operators. A change wants a young sign-in; without one the form is kept, and shown again after a new sign-in.
pub(super) async fn operates(
    State(Console { api, site }): State<Console>,
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = viewer.caller.require(ApiRole::Operate) {
        return PageProblem(error.into()).into_response();
    }
    let is_young = api.engine().clock.now() - viewer.signed_in_at() < YOUNG;
    if is_young || *request.method() != Method::POST {
        return next.run(request).await;
    }
    match keep(&api, &site, request).await {
        Ok(()) => sign_in_for(AGAIN),
        Err(problem) => problem.into_response(),
    }
}

async fn keep(api: &Api, site: &Site, request: Request) -> Result<(), PageProblem> {
    let secret = site.cookie(request.headers(), Cookie::Session).unwrap_or_default();
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), FORM_LIMIT).await;
    let fields = body.ok().and_then(|body| String::from_utf8(body.into()).ok());
    let fields = fields.ok_or_else(|| Problem::bad_input("form", "too long, or no text"))?;
    let form = KeptForm { path, fields };
    Ok(api.engine().sessions().keep_form(&secret, &form).await?)
}

/// The answer to every unknown address.
pub(super) async fn unknown() -> PageProblem {
    PageProblem(Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such page",
        "Go back, or begin at the overview.",
    ))
}
