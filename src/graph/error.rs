//! Every failure of Graph and its token service, with its remedy.
//!
//! No variant carries a link, a token, a secret, an error message of the service or personal data: only endpoint
//! templates, codes and correlation ids, so that the whole chain can be logged.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::endpoint::Endpoint;
use super::http::NoAnswer;
use super::remedy;
use super::wire::Undecodable;
use crate::error::chain;

/// A failed call.
#[derive(Debug, Error)]
pub enum GraphError {
    /// The token service refused the application.
    #[error("obtain an access token")]
    Token(#[source] Box<TokenFault>),
    /// Graph refused the token, and a new one too (401).
    #[error("fetch {endpoint} with a token that Graph accepts")]
    Unauthorized {
        /// The endpoint's template.
        endpoint: &'static str,
    },
    /// A permission is missing (403).
    #[error("fetch {endpoint}, which is forbidden ({code})")]
    Forbidden {
        /// The endpoint's template.
        endpoint: &'static str,
        /// The permission to grant.
        permission: &'static str,
        /// The service's code.
        code: String,
    },
    /// The object does not exist (404).
    #[error("find the object behind {endpoint}")]
    NotFound {
        /// The endpoint's template.
        endpoint: &'static str,
    },
    /// A stored link has expired: begin a full round. Only calls with a link return this.
    #[error("follow a stored link of {endpoint}, which has expired ({cause})")]
    LinkExpired {
        /// The endpoint's template.
        endpoint: &'static str,
        /// The cause: `resync_required`, `sync_state_not_found`, `expired_page_token`, `unsupported_query`, `gone`,
        /// `refused` (any other 4xx), or `other_root` (outside the configured root, nothing was sent). A metric label.
        cause: &'static str,
    },
    /// The request is refused permanently (any other 4xx, 501).
    #[error("fetch {endpoint}, which is refused with {status} ({code})")]
    BadRequest {
        /// The endpoint's template.
        endpoint: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's code.
        code: String,
    },
    /// Throttled, broken or unreachable, after every permitted retry.
    #[error("reach {} ({reason})", name(endpoint))]
    Unavailable {
        /// The endpoint's template; `token` for the token service.
        endpoint: &'static str,
        /// The failure of the last attempt, such as `429 TooManyRequests`.
        reason: String,
        /// The wait that the service asked for.
        retry_after: Option<Duration>,
        /// The failure below HTTP.
        #[source]
        source: Option<BelowHttp>,
    },
    /// The answer violates the contract.
    #[error("understand the answer of {endpoint}: {what}")]
    Protocol {
        /// The endpoint's template.
        endpoint: &'static str,
        /// What is wrong, without values.
        what: String,
    },
    /// A link of an answer points to another host; nothing was sent there.
    #[error("follow a link of {endpoint} to the foreign host {host}")]
    ForeignLink {
        /// The endpoint's template.
        endpoint: &'static str,
        /// The host it points to.
        host: String,
    },
    /// No number to order the answer was available ([`crate::domain::feed::Moment`]). Not a failure of the directory.
    #[error("draw the number that orders the answers of the directory")]
    Moment(#[source] BelowHttp),
    /// The daemon is stopping.
    #[error("finish before the stop")]
    Cancelled,
    /// The settings are invalid.
    #[error("use the Graph settings: {0}")]
    Settings(String),
}

/// An endpoint for people: its template, or a phrase for the token service.
fn name(endpoint: &'static str) -> &'static str {
    if endpoint == "token" {
        "the token service"
    } else {
        endpoint
    }
}

/// The failure below HTTP, without the URL.
pub type BelowHttp = Box<dyn std::error::Error + Send + Sync>;

impl GraphError {
    pub(super) fn protocol(endpoint: Endpoint, what: impl Into<String>) -> Self {
        Self::Protocol {
            endpoint: endpoint.template,
            what: what.into(),
        }
    }

    pub(super) fn endless(endpoint: Endpoint) -> Self {
        Self::protocol(
            endpoint,
            "its page links expire while they are followed, or it has no end",
        )
    }

    /// A complete body that cannot be used.
    pub(super) fn unusable(endpoint: Endpoint, why: Undecodable) -> Self {
        match why {
            Undecodable::Broken => Self::protocol(endpoint, "a body that is not JSON"),
            Undecodable::Shape(what) => Self::protocol(endpoint, what),
        }
    }

    pub(super) fn too_late(endpoint: Endpoint) -> Self {
        Self::Unavailable {
            endpoint: endpoint.template,
            reason: "no time is left".to_owned(),
            retry_after: None,
            source: None,
        }
    }

    /// Whether the same call may succeed later without intervention.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Token(fault) => fault.transient,
            _ => false,
        }
    }

    /// Whether the service does not support this kind of request: it refuses it every time.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::BadRequest {
                status: 400 | 405 | 501,
                ..
            }
        )
    }

    /// Whether an answer came but cannot be used. The same request may return the same answer.
    #[must_use]
    pub fn is_bad_answer(&self) -> bool {
        matches!(self, Self::Protocol { .. } | Self::ForeignLink { .. })
    }

    /// The wait that the service asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Token(fault) => fault.aadsts.and_then(remedy::for_aadsts).map(str::to_owned),
            Self::Unauthorized { .. } => Some(
                "The token service issues tokens that Graph does not accept: check that `cloud`, authority and Graph \
                 root belong together, and this machine's clock."
                    .to_owned(),
            ),
            Self::Forbidden { permission, .. } => Some(format!(
                "Grant the application permission {permission} and give admin consent; a new grant shows in tokens \
                 issued after it."
            )),
            Self::Unavailable {
                source: Some(source), ..
            } => source.downcast_ref::<NoAnswer>().map(NoAnswer::remedy),
            _ => None,
        }
    }
}

/// The refusal of the token service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// The OAuth code, such as `invalid_client`; empty if the answer was not understood.
    pub error: String,
    /// The AADSTS number.
    pub aadsts: Option<u32>,
    /// For Microsoft's support.
    pub trace_id: Option<String>,
    /// For Microsoft's support.
    pub correlation_id: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// Whether a later retry can help.
    pub transient: bool,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.status)?;
        if !self.error.is_empty() {
            write!(f, " {}", self.error)?;
        }
        if let Some(number) = self.aadsts {
            write!(f, " AADSTS{number}")?;
        }
        if let Some(trace) = &self.trace_id {
            write!(f, ", trace id {trace}")?;
        }
        if let Some(correlation) = &self.correlation_id {
            write!(f, ", correlation id {correlation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TokenFault {}

/// An error with its causes and its remedy, on one line.
#[must_use]
pub fn describe(error: &GraphError) -> String {
    let text = format!("could not {}", chain(error));
    match error.remedy() {
        Some(remedy) => format!("{text}. {remedy}"),
        None => text,
    }
}
