//! The rules in words, from the data that the program evaluates.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::{Frame, Page, PageProblem, Viewer, page};
use crate::domain::reason::Code;
use crate::http::api::Api;
use crate::rules::{Entitlement, RULES};

#[derive(Template)]
#[template(path = "console/rules.html")]
struct Rules {
    frame: Frame,
}

impl Rules {
    fn codes() -> impl Iterator<Item = &'static Code> {
        Code::ALL.iter()
    }
}

pub(super) async fn show(State(api): State<Api>, viewer: Viewer) -> Result<Response, PageProblem> {
    page(&Rules {
        frame: viewer.frame(&api, Page::Rules, "Rules").await?,
    })
}
