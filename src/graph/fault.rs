//! Reads the error body of Graph (graph.md, section 7.3) and classifies the refusal.
//!
//! Branches on status and code, never on a message, and keeps no message: messages may name people.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::endpoint::Endpoint;
use super::error::GraphError;

/// The link that a request followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// None: a first request.
    Nothing,
    /// A next link of a plain listing.
    PageLink,
    /// A next or delta link of a delta feed.
    DeltaLink,
}

/// The codes of an error body, outermost first; without empty ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Codes(Vec<String>);

impl Codes {
    /// Decodes the codes; a body that is not from Graph has none.
    pub fn decode(body: &[u8]) -> Self {
        let mut codes = Vec::new();
        let mut level = serde_json::from_slice::<RawErrorBody>(body).ok().map(|body| body.error);
        while let Some(error) = level {
            if let Some(Text::Text(code)) = error.code
                && !code.trim().is_empty()
            {
                codes.push(code.trim().chars().filter(char::is_ascii_graphic).take(100).collect());
            }
            level = error.inner_error.or(error.innererror).map(|inner| *inner);
        }
        Self(codes)
    }

    /// The code to show: the outermost, since inner ones often only repeat the status.
    pub fn shown(&self) -> &str {
        self.0.first().map_or("no code", String::as_str)
    }
}

/// The codes of an expired link, each with its label. The last means a bad query elsewhere; it counts because only
/// requests with a link are checked.
const DEATHS: [(&str, &str); 4] = [
    ("resyncRequired", "resync_required"),
    ("syncStateNotFound", "sync_state_not_found"),
    ("Directory_ExpiredPageToken", "expired_page_token"),
    ("Request_UnsupportedQuery", "unsupported_query"),
];

/// Every cause of an expired link: those of a code, and those of a status or an address.
pub fn causes() -> impl Iterator<Item = &'static str> {
    let others = ["gone", "refused", "other_root"];
    DEATHS.into_iter().map(|(_, cause)| cause).chain(others)
}

/// Why a link is dead, if this refusal means that (graph.md, section 2.6).
fn dead_link(carries: LinkKind, status: StatusCode, codes: &Codes) -> Option<&'static str> {
    if carries == LinkKind::Nothing || matches!(status.as_u16(), 401 | 429) || !status.is_client_error() {
        return None;
    }
    let known = DEATHS
        .iter()
        .find(|(code, _)| codes.0.iter().any(|sent| sent.eq_ignore_ascii_case(code)));
    match (known, status.as_u16()) {
        (Some((_, cause)), _) => Some(cause),
        (None, 410) => Some("gone"),
        (None, 403 | 404) => None,
        // A listing was accepted when it began, so a bad query is its link.
        (None, status) => (status == 400 || carries == LinkKind::DeltaLink).then_some("refused"),
    }
}

/// The error for a refusal that is not retried.
pub(super) fn refusal(endpoint: Endpoint, carries: LinkKind, status: StatusCode, codes: &Codes) -> GraphError {
    let Endpoint {
        template: endpoint,
        permission,
        ..
    } = endpoint;
    if let Some(cause) = dead_link(carries, status, codes) {
        return GraphError::LinkExpired { endpoint, cause };
    }
    match status.as_u16() {
        403 => GraphError::Forbidden {
            endpoint,
            permission,
            code: codes.shown().to_owned(),
        },
        404 => GraphError::NotFound { endpoint },
        status @ (400.. | ..200) => GraphError::BadRequest {
            endpoint,
            status,
            code: codes.shown().to_owned(),
        },
        status => GraphError::Protocol {
            endpoint,
            what: format!("answered {status}"),
        },
    }
}

/// The metric label of a 429.
pub(super) const THROTTLED: &str = "throttled";

/// The statuses to retry, with the metric label. 408 is in effect a timeout.
pub(super) fn worth_repeating(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        429 => Some(THROTTLED),
        408 | 500 | 502 | 503 | 504 | 509 => Some("unavailable"),
        _ => None,
    }
}

#[derive(Deserialize)]
struct RawErrorBody {
    error: RawError,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    code: Option<Text>,
    // Spelled both ways (graph.md, section 7.3).
    #[serde(default, rename = "innerError")]
    inner_error: Option<Box<RawError>>,
    #[serde(default)]
    innererror: Option<Box<RawError>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}
