//! `/console/`: the pages for administrators, rendered on the server. They read through the same read side as the API and
//! act through the same operations; nothing here decides anything, and nothing is fetched from elsewhere.
//!
//! `gate` says who may come in, and sets what a browser may do; `frame` is what every page has; then a file per page.

mod acts;
mod findings;
mod frame;
mod gate;
mod imports;
mod overview;
mod person;
mod rules;
mod runs;
mod sign_in;
mod user;
mod users;
mod why;

use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};

use super::api::Api;
use super::log;

/// The largest accepted form.
const FORM_LIMIT: usize = 64 * 1024;

const STYLE: &str = include_str!("../../assets/console.css");
const SCRIPT: &str = include_str!("../../assets/console.js");

/// The pages.
pub fn router(api: Api) -> Router {
    let pages = Router::new()
        .route("/console/", get(overview::show))
        .route("/console/environments/{env}/users", get(users::show).post(acts::add))
        .route("/console/environments/{env}/users.csv", get(users::csv))
        .route("/console/environments/{env}/users/{user}", get(user::show))
        .route("/console/environments/{env}/users/{user}/{act}", post(acts::act))
        .route("/console/why", get(why::show))
        .route("/console/runs", get(runs::list).post(runs::start))
        .route("/console/runs/{id}", get(runs::show))
        .route("/console/runs/{id}/{decision}", post(runs::decide))
        .route("/console/held", get(runs::held))
        .route("/console/findings", get(findings::show))
        .route("/console/imports", get(imports::list))
        .route("/console/imports/{id}", get(imports::show))
        .route("/console/rules", get(rules::show))
        .route("/console/sign-out", post(sign_in::sign_out))
        .layer(middleware::from_fn_with_state(api.clone(), gate::signed_in));
    let pages = pages
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route(
            "/console/assets/console.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/console/assets/console.js",
            get(async || asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/console/{*rest}", any(gate::unknown))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(middleware::from_fn(gate::browser))
        .with_state(api);
    pages.layer(middleware::from_fn(log::observe))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
