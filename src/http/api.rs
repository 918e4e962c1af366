//! `/api/v1`: the operations of interfaces.md, section 4, described by the OpenAPI document that is generated from
//! these handlers.

mod acts;
mod changes;
mod environments;
mod jobs;
mod kinds;
mod profile;
mod roles;
mod runs;
mod status;
mod teams;
mod units;
mod users;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::openapi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{ApiRole, Auth, AuthError, Caller};
use super::limits::Limits;
use super::log;
use super::problem::Problem;

use crate::domain::text::Text;
use crate::sync::Engine;
use crate::sync::daemon::Configured;
use crate::sync::desk::Ask;
pub(super) use runs::{decide_run, request_run};
pub(super) use users::usable;

/// The largest accepted body: it fits a thousand users with the longest names.
const BODY_LIMIT: usize = 1024 * 1024;

/// The maximum and default number of items on a page.
const MOST_ITEMS: i64 = 1000;
const USUAL_ITEMS: i64 = 100;

/// The state of the handlers.
#[derive(Clone)]
pub struct Api {
    /// The engine in its present configuration.
    pub configured: watch::Receiver<Arc<Configured>>,
    /// Authenticates callers.
    pub auth: Auth,
    /// The limits of each caller.
    pub limits: Limits,
    /// How long a request for a decision waits for its result.
    pub decided_within: Duration,
}

/// How long a request for a decision waits for its result, unless a test says otherwise.
pub const DECIDED_WITHIN: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// A caller's request about a user.
fn ask<'a>(environment: &'a str, user: &'a str, caller: &'a Caller) -> Ask<'a> {
    Ask {
        environment,
        user,
        actor: &caller.name,
    }
}

impl Api {
    pub(super) fn engine(&self) -> Engine {
        self.configured.borrow().engine.clone()
    }
}

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging<C: ToSchema> {
    /// `next` of the page before.
    #[param(inline)]
    cursor: Option<C>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

impl Paging<Text> {
    /// The last key of the page before, if the cursor has several parts.
    fn after<K: FromStr<Err = &'static str>>(&self) -> Result<Option<K>, Problem> {
        let after = self.cursor.as_deref().map(str::parse).transpose();
        after.map_err(|problem| Problem::bad_input("cursor", problem))
    }
}

/// The same, for a list whose cursor is an id.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PagingById {
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits on one page.
    fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rollcall",
        description = "Keeps a table of SystemUsers true to a Microsoft Entra ID directory."
    ),
    servers((url = "/api/v1")),
    components(schemas(Problem)),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Document;

/// Every call needs a token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An Entra access token for our application id, or a static token."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme.build()));
    }
}

/// The handlers with their description.
fn described() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let (handlers, mut document) = handlers().split_for_parts();
    for item in document.paths.paths.values_mut() {
        let reads = item.get.iter_mut().map(|operation| (ApiRole::Read, operation));
        let acts = [&mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten();
        for (role, operation) in reads.chain(acts.map(|operation| (role_to_act(operation), operation))) {
            let responses = &mut operation.responses.responses;
            responses.insert("429".to_owned(), too_many_requests().into());
            responses.insert("default".to_owned(), problem().build().into());
            operation.security = Some(vec![openapi::SecurityRequirement::new("bearer", [role.as_str()])]);
        }
    }
    (handlers, document)
}

/// The role that an operation needs beyond reading, for the description. Each handler checks the role itself.
fn role_to_act(operation: &openapi::path::Operation) -> ApiRole {
    match operation.operation_id.as_deref() {
        Some("ask_for_access" | "add_user" | "add_users" | "refresh_user") => ApiRole::Access,
        _ => ApiRole::Operate,
    }
}

/// Any failure of any operation.
fn problem() -> openapi::ResponseBuilder {
    let problem = openapi::Ref::from_schema_name("Problem");
    let content = openapi::ContentBuilder::new().schema(Some(problem)).build();
    openapi::ResponseBuilder::new().content("application/problem+json", content)
}

/// A response of every operation, since the limits apply before them all.
fn too_many_requests() -> openapi::Response {
    let seconds = openapi::Object::with_type(openapi::Type::Integer);
    problem()
        .description("The caller has sent too many requests, or has too many under way.")
        .header(
            "Retry-After",
            openapi::HeaderBuilder::new().schema(Some(seconds)).build(),
        )
        .build()
}

fn handlers() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::show))
        .routes(routes!(environments::list))
        .routes(routes!(environments::show))
        .routes(routes!(environments::explain))
        .routes(routes!(environments::candidates))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::add_many))
        .routes(routes!(profile::show, acts::edit, acts::delete))
        .routes(routes!(users::access))
        .routes(routes!(users::whereabouts))
        .routes(routes!(acts::forget))
        .routes(routes!(acts::refresh))
        .routes(routes!(acts::disable))
        .routes(routes!(acts::enable))
        .routes(routes!(acts::hold))
        .routes(routes!(acts::release))
        .routes(routes!(acts::map))
        .routes(routes!(kinds::stub))
        .routes(routes!(kinds::application))
        .routes(routes!(kinds::ownership, kinds::own))
        .routes(routes!(roles::list, roles::grant, roles::revoke))
        .routes(routes!(units::list, units::add))
        .routes(routes!(units::show, units::edit, units::delete))
        .routes(routes!(teams::list, teams::add))
        .routes(routes!(teams::show, teams::edit, teams::delete))
        .routes(routes!(teams::members, teams::add_member, teams::remove_member))
        .routes(routes!(teams::roles, teams::grant, teams::revoke))
        .routes(routes!(units::list_positions, units::add_position))
        .routes(routes!(
            units::show_position,
            units::edit_position,
            units::delete_position
        ))
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::items))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::requeue))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::held))
        .routes(routes!(profile::history))
        .routes(routes!(runs::changes))
        .routes(routes!(runs::approve))
        .routes(routes!(runs::reject))
        .routes(routes!(runs::sync))
        .routes(routes!(runs::findings))
        .routes(routes!(changes::read))
}

/// `/api/v1`, and the answer to every unknown address.
pub fn router(api: Api) -> Router {
    let (handlers, document) = described();
    let document = Arc::new(document);
    let guarded = handlers
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), authenticate));
    let api = Router::new()
        .route(
            "/openapi.json",
            get(async move || Json(document)).fallback(wrong_method),
        )
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(api);
    Router::new()
        .nest("/api/v1", api)
        .fallback(unknown)
        .layer(middleware::from_fn(log::observe))
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    described().1
}

/// Admits a request with a valid token; each handler checks what its caller may do.
async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let caller = match api.auth.authenticate(request.headers()).await {
        Ok(caller) => caller,
        Err(error) => return not_let_in(&api, error),
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = match (api.limits.admit(&caller.name), with_nul(request.uri())) {
        (Err(too_many), _) => Problem::from(too_many).into_response(),
        (Ok(_), Some(field)) => Problem::bad_input(&field, "a text cannot hold NUL characters").into_response(),
        (Ok(_under_way), None) => next.run(request).await,
    };
    log::note_caller(&mut response, &caller);
    response
}

/// Answers a request without valid credentials. Above the limit, each costs its sender a connection.
fn not_let_in(api: &Api, error: AuthError) -> Response {
    let counted = match &error {
        AuthError::Unauthenticated(_) => api.limits.note_stranger(),
        _ => Ok(()),
    };
    let Err(too_many) = counted else {
        return Problem::from(error).into_response();
    };
    let mut response = Problem::from(too_many).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The part of an address that holds a NUL character, which PostgreSQL never accepts: a parameter, or the path.
pub(super) fn with_nul(uri: &Uri) -> Option<String> {
    if uri.path().contains("%00") {
        return Some("address".to_owned());
    }
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    let pair = pairs.find(|(name, value)| name.contains('\0') || value.contains('\0'));
    pair.map(|(name, _)| name.into_owned())
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(&format!("such address as {}", uri.path()))
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} means nothing here"),
        "/api/v1/openapi.json says which methods there are.",
    )
}

/// The requested page size.
fn page_size(limit: Option<i64>) -> Result<i64, Problem> {
    match limit {
        None => Ok(USUAL_ITEMS),
        Some(limit @ 1..=MOST_ITEMS) => Ok(limit),
        Some(_) => Err(Problem::bad_input("limit", format!("expected 1 to {MOST_ITEMS}"))),
    }
}

/// Drops the extra item that shows whether there is another page.
pub(super) fn page<T, C: ToString>(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> C) -> Page<T> {
    let has_more = i64::try_from(items.len()).unwrap_or(i64::MAX) > limit;
    if has_more {
        items.pop();
    }
    let next = items.last().filter(|_| has_more).map(|item| cursor(item).to_string());
    Page { items, next }
}

/// A number in a path, by its name there.
pub(super) fn number(name: &str, text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::bad_input(name, "expected a number"))
}
