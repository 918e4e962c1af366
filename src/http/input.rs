//! The input of a request: body, parameters and caller. Each refusal is a problem that names the field.

use axum::body::{Body, Bytes};
use axum::extract::Path as AxumPath;
use axum::extract::{FromRequest, FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, Uri, header};
use serde::de::DeserializeOwned;

use super::auth::{ApiRole, AuthError, Caller, Fault};
use super::problem::Problem;
use crate::domain::text::trimmed;

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind.and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body is not said to be JSON",
                "Send the body with `Content-Type: application/json`.",
            ));
        }
        let bytes = read(request, state).await?;
        let document = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let mut decoder = serde_json::Deserializer::from_slice(document);
        let value = serde_path_to_error::deserialize(&mut decoder).map_err(|error| {
            let path = error.path().to_string();
            let problem = error.into_inner().to_string();
            Problem::bad_input(&field_of(&path, &problem), problem)
        })?;
        decoder
            .end()
            .map_err(|_| Problem::bad_input("body", "there is more than one JSON document"))?;
        Ok(Self(value))
    }
}

/// The missing or invalid field of a body, from serde's path ("." for the whole body) and error.
fn field_of(path: &str, problem: &str) -> String {
    let missing = problem
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    match (path, missing) {
        (".", Some(missing)) => missing.to_owned(),
        (path, Some(missing)) => format!("{path}.{missing}"),
        (".", None) => "body".to_owned(),
        (path, None) => path.to_owned(),
    }
}

/// The path parameters.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = AxumPath::<T>::from_request_parts(parts, state).await;
        named
            .map(|AxumPath(named)| Self(named))
            .map_err(|rejection| Problem::bad_input("address", rejection.body_text()))
    }
}

/// Reads the whole body, up to the limit.
async fn read(request: Request<Body>, state: &(impl Send + Sync)) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            "bad_body",
            "the body could not be read, or is too long",
            "Send at most 1 MiB.",
        )
    })
}

/// The query parameters, trimmed.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&trimmed_query(&parts.uri))
            .map(|Query(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let detail = text
                    .rsplit_once("query string: ")
                    .map_or(text.as_str(), |(_, detail)| detail);
                let quoted = || detail.split('`').nth(1);
                let path = detail.split(": ").next().filter(|path| !path.contains(' '));
                let field = path.or_else(quoted);
                Problem::bad_input(field.unwrap_or("query"), detail)
            })
    }
}

/// The same address with the parameter values trimmed.
fn trimmed_query(uri: &Uri) -> Uri {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = url::form_urlencoded::Serializer::new("/?".to_owned());
    for (name, value) in pairs {
        query.append_pair(&name, trimmed(&value));
    }
    query.finish().parse().unwrap_or_else(|_| uri.clone())
}

/// The query parameters or, if there are none, the members of a JSON body.
pub struct ParamsOrJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ParamsOrJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let bytes = read(Request::from_parts(parts.clone(), body), state).await?;
        let has_params = parts.uri.query().is_some_and(|query| !query.is_empty());
        if !has_params && !bytes.is_empty() {
            let request = Request::from_parts(parts, Body::from(bytes));
            return Json::from_request(request, state).await.map(|Json(value)| Self(value));
        }
        Params::from_request_parts(&mut parts, state)
            .await
            .map(|Params(value)| Self(value))
    }
}

/// The caller, who must have a role.
fn caller(parts: &Parts, role: ApiRole) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| AuthError::from(Fault::Missing))?;
    caller.require(role)?;
    Ok(caller)
}

/// A caller who may read.
pub struct Reader(pub Caller);

/// A caller who may ask for access, add and refresh users.
pub struct Requester(pub Caller);

/// A caller who may do everything.
pub struct Operator(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller(parts, ApiRole::Read).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Requester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller(parts, ApiRole::Access).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller(parts, ApiRole::Operate).map(Self)
    }
}
