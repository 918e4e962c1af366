//! Who may come in, and what a browser may do with a page: only for this machine's own name, only signed in, and changes
//! only from our own pages.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::frame::{PageProblem, Viewer};
use crate::http::api::Api;
use crate::http::auth::{ApiRole, Caller, CallerKind};
use crate::http::log;
use crate::http::problem::Problem;

/// The cookie with the session's secret. It is worth nothing at `/api/v1`.
pub(super) const COOKIE: &str = "rollcall_session";

/// Directory text is text, whatever it holds: a page runs and loads nothing but our own files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Admits requests for this machine's own name, changes only from our own pages, and tells the browser what pages may do.
pub(super) async fn browser(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if !is_loopback(&host(headers, request.uri())) {
        let detail = "the console is served under localhost only";
        let remedy = "Open it on the machine itself, or through a tunnel: ssh -L 8080:localhost:8080.";
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "other_host", detail, remedy);
        PageProblem(problem).into_response()
    } else if request.method() == Method::POST && !is_ours(headers, request.uri()) {
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

/// The host that a request is for.
fn host(headers: &HeaderMap, uri: &Uri) -> String {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let named = named.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    named.unwrap_or_default().to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a form comes from our own page: by its origin or, without one, by what the browser says of the site.
fn is_ours(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match text(&header::ORIGIN) {
        Some(origin) => origin.to_ascii_lowercase().strip_prefix("http://") == Some(&host(headers, uri)),
        None => text(&HeaderName::from_static("sec-fetch-site")) == Some("same-origin"),
    }
}

/// Admits a request with a session; sends others to sign in and back.
pub(super) async fn signed_in(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let session = match secret(request.headers()) {
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
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("to", to)
        .finish();
    Redirect::to(&format!("/console/sign-in?{query}")).into_response()
}

/// The secret in the session's cookie.
pub(super) fn secret(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let named = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE);
    named.map(|(_, secret)| secret.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_are_ours() {
        for ours in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback(ours), "{ours}");
        }
        let others = [
            "",
            "example.com",
            "localhost.example.com:80",
            "127.0.0.1.example.com",
            "10.0.0.1:8080",
            "[::2]:1",
        ];
        for other in others {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_form_is_ours_by_its_origin_or_by_the_site() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_ours(&headers, &Uri::from_static("/"))
        };
        assert!(from(&[("origin", "http://localhost:8080")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        for bad in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:8081")],
            &[("origin", "https://localhost:8080")],
            &[("origin", "http://example.com"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
        ] {
            assert!(!from(bad), "{bad:?}");
        }
    }
}
