//! Section `[notifications]`: the directory tells of changes before the next run asks.

use std::net::SocketAddr;

use serde::Deserialize;
use url::Url;

use super::Issue;
use super::value::Parsed;
use super::webhook::is_loopback;
use crate::domain::notifications::Notifications;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    public_url: String,
    listen: Parsed<SocketAddr>,
}

impl RawNotifications {
    pub(super) fn validate(self) -> Result<Notifications, Issue> {
        let refuse = |problem: &str| {
            let expected = format!("{problem}; expected an address such as \"https://rollcall.example/notifications\"");
            Err(Issue::new("notifications.public_url", expected))
        };
        let Ok(public_url) = Url::parse(&self.public_url) else {
            return refuse("this is no address");
        };
        if !public_url.username().is_empty() || public_url.password().is_some() {
            return refuse("an address must not carry credentials");
        }
        if public_url.query().is_some() || public_url.fragment().is_some() {
            return refuse("the address of notifications has no query and no fragment");
        }
        match (public_url.scheme(), is_loopback(&public_url)) {
            ("https", _) | ("http", true) => Ok(Notifications {
                public_url,
                listen: self.listen.0,
            }),
            ("http", false) => refuse("plain http is for loopback addresses only"),
            _ => refuse("this is no https address"),
        }
    }
}
