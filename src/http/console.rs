//! `/console/`: the pages for administrators, rendered on the server. They read through the same read side as the API and
//! act through the same operations; nothing here decides anything, and nothing is fetched from elsewhere.
//!
//! `site` says where the console is, `gate` who may come in and what a browser may do, `sign_in` and `entra` how; `frame` is
//! what every page has; then a file per page.

mod acts;
mod entra;
mod fields;
mod findings;
mod frame;
mod gate;
mod import_new;
mod imports;
mod overview;
mod person;
mod rules;
mod runs;
mod sign_in;
mod site;
mod teams;
mod units;
mod user;
mod users;
mod why;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};

use super::api::Api;
use super::log;

pub use site::{Entra, NotRedeemed, Redeemer, Site};

/// The largest accepted form.
const FORM_LIMIT: usize = 256 * 1024;

const STYLE: &str = include_str!("../../assets/console.css");
const SCRIPT: &str = include_str!("../../assets/console.js");

/// What the handlers use.
#[derive(Clone)]
struct Console {
    api: Api,
    site: Site,
}

impl FromRef<Console> for Api {
    fn from_ref(console: &Console) -> Self {
        console.api.clone()
    }
}

impl FromRef<Console> for Site {
    fn from_ref(console: &Console) -> Self {
        console.site.clone()
    }
}

/// The pages.
pub fn router(api: Api, site: Site) -> Router {
    let console = Console { api, site };
    let signed_in = middleware::from_fn_with_state(console.clone(), gate::signed_in);
    let browser = middleware::from_fn_with_state(console.clone(), gate::browser);
    let pages = pages().merge(operated(&console)).layer(signed_in);
    let pages = pages
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/console/sign-in/entra", get(entra::show))
        .route("/console/callback", get(entra::callback))
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
        .layer(browser)
        .with_state(console);
    pages.layer(middleware::from_fn(log::observe))
}

/// What everybody who is signed in may see; a handler asks for more where it is needed.
fn pages() -> Router<Console> {
    Router::new()
        .route("/console/", get(overview::show))
        .route("/console/environments/{env}/users", get(users::show).post(acts::add))
        .route("/console/environments/{env}/users.csv", get(users::csv))
        .route("/console/environments/{env}/users/{user}", get(user::show))
        .route("/console/environments/{env}/users/{user}/refresh", post(acts::refresh))
        .route("/console/environments/{env}/teams", get(teams::list))
        .route("/console/environments/{env}/teams/{team}", get(teams::show))
        .route("/console/environments/{env}/units", get(units::list))
        .route("/console/why", get(why::show))
        .route("/console/runs", get(runs::list))
        .route("/console/runs/{id}", get(runs::show))
        .route("/console/held", get(runs::held))
        .route("/console/findings", get(findings::show))
        .route("/console/imports", get(imports::list))
        .route("/console/imports/{id}", get(imports::show))
        .route("/console/rules", get(rules::show))
        .route(sign_in::AGAIN, get(sign_in::again))
        .route("/console/sign-out", post(sign_in::sign_out))
}

/// What only operators may do, and not with an old sign-in.
fn operated(console: &Console) -> Router<Console> {
    Router::new()
        .route("/console/environments/{env}/users/{user}/{act}", post(acts::act))
        .route("/console/environments/{env}/teams", post(teams::add))
        .route("/console/environments/{env}/teams/{team}/{act}", post(teams::act))
        .route("/console/environments/{env}/units", post(units::add))
        .route("/console/environments/{env}/units/{unit}/{act}", post(units::act))
        .route("/console/environments/{env}/import", get(import_new::show))
        .route("/console/environments/{env}/import/preview", post(import_new::preview))
        .route("/console/environments/{env}/imports", post(import_new::submit))
        .route("/console/imports/{id}/{act}", post(imports::act))
        .route("/console/runs", post(runs::start))
        .route("/console/runs/{id}/{decision}", post(runs::decide))
        .route_layer(middleware::from_fn_with_state(console.clone(), gate::operates))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
