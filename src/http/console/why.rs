//! "Why?": anybody of the tenant, in or out, in every environment.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frame::{Frame, Page, PageProblem, Viewer, page};
use super::person::mode;
use crate::domain::reason::Code;
use crate::http::api::{Api, usable};
use crate::http::input::Params;
use crate::sync::DeskError;
use crate::sync::desk::whereabouts::{Presence, PresenceState, Whereabouts};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    user: String,
}

#[derive(Template)]
#[template(path = "console/why.html")]
struct Why {
    frame: Frame,
    user: String,
    found: Option<Whereabouts>,
    /// Nobody has the name.
    nobody: Option<String>,
}

impl Why {
    /// The user in the address of an environment's page.
    fn id(&self) -> String {
        let found = self.found.as_ref().and_then(|found| found.object_id);
        found.map_or_else(|| self.user.clone(), |id| id.to_string())
    }

    fn class(presence: &Presence) -> &'static str {
        match presence.state {
            PresenceState::Enabled if presence.held_by.is_some() => "held",
            PresenceState::Enabled => "enabled",
            PresenceState::Disabled | PresenceState::Deleted | PresenceState::NoRow => "disabled",
        }
    }

    fn word(presence: &Presence) -> &'static str {
        match presence.state {
            PresenceState::Enabled => "enabled",
            PresenceState::Disabled => "disabled",
            PresenceState::Deleted => "deleted",
            PresenceState::NoRow => "no row",
        }
    }

    fn mode(presence: &Presence) -> &'static str {
        presence.accessmode.map_or("", mode)
    }

    fn reason(presence: &Presence) -> &'static str {
        let code = presence.reason.as_deref().and_then(Code::parse);
        match (code, presence.created_by) {
            (Some(code), _) => code.sentence(),
            (None, Some("background")) => "The next cycle creates the row.",
            (None, Some("on_demand")) => "The first sign-in creates the row.",
            (None, _) => "",
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let mut shown = Why {
        frame: viewer.frame(&api, Page::Why, "Why?").await?,
        user: wanted.user,
        found: None,
        nobody: None,
    };
    if !shown.user.is_empty() {
        usable("user", &shown.user)?;
        match api.engine().desk().whereabouts(&shown.user).await {
            Ok(found) => shown.found = Some(found),
            Err(DeskError::Refused(refusal)) if refusal.code == Code::UserNotFound => {
                shown.nobody = Some(refusal.detail);
            }
            Err(error) => return Err(error.into()),
        }
    }
    page(&shown)
}
