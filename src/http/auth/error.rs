//! Why a caller is not let in, and what to answer (RFC 6750, section 3.1).
//!
//! Nothing here holds a token or a claim of one, but for the name of a caller who is proven.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use thiserror::Error;

use super::ApiRole;

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no token, or it proves nothing: 401.
    #[error("authenticate the caller ({0})")]
    Unauthenticated(Fault),
    /// The token is good, and may do nothing here: 403.
    #[error("let in {caller}, who has no role of this application")]
    NoRole {
        /// Whose it is.
        caller: String,
    },
    /// The role that this call needs is missing: 403.
    #[error("do for {caller} what needs the role {role}")]
    Forbidden {
        /// Who asks.
        caller: String,
        /// What they lack.
        role: ApiRole,
    },
    /// The tenant's keys cannot be had, so nobody can tell whether the token is good: 503. The cause was logged.
    #[error("fetch the keys that access tokens are checked by")]
    KeysUnavailable {
        /// When they are asked for again.
        retry_after: Duration,
    },
}

/// What is wrong with the token, or with how it was sent. Shown to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// No `Authorization` header.
    #[error("there is no bearer token")]
    Missing,
    /// `Basic` and the like.
    #[error("the Authorization header holds something other than a bearer token")]
    OtherScheme,
    /// More than one `Authorization` header.
    #[error("there is more than one Authorization header")]
    Repeated,
    /// Not `Bearer` and one word.
    #[error("the Authorization header is malformed")]
    Malformed,
    /// Not read.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// No static token, and no access tokens are accepted.
    #[error("the token is unknown")]
    Unknown,
    /// The configuration names no credential at all.
    #[error("this server accepts no token yet: its configuration has neither http.audience nor a token")]
    NothingAccepted,
    /// No static token, and no JWT either; `alg: none` too.
    #[error("the token is neither a known one nor a signed access token")]
    NotAJwt,
    /// Anything but RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// An extension that must be understood, and is not.
    #[error("the token needs an extension that is not understood")]
    Extension,
    /// No `kid`, or one the tenant does not publish.
    #[error("the token is signed with a key that the tenant does not publish")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A claim is there and has a strange type, or the payload is no JSON.
    #[error("the claims of the token cannot be read")]
    Claims,
    /// A claim that must be there is not.
    #[error("the token lacks the claim {0}")]
    Lacks(&'static str),
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is somebody else.
    #[error("the token has another issuer")]
    Issuer,
    /// `aud` is somebody else.
    #[error("the token is made for another application")]
    Audience,
    /// `tid` is somebody else.
    #[error("the token is of another tenant")]
    Tenant,
    /// An identity token or the like.
    #[error("the token is not an access token")]
    NotAnAccessToken,
}

impl From<Fault> for AuthError {
    fn from(fault: Fault) -> Self {
        Self::Unauthenticated(fault)
    }
}

impl AuthError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::NoRole { .. } | Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::KeysUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::NoRole { .. } | Self::Forbidden { .. } => "forbidden",
            Self::KeysUnavailable { .. } => "directory_unavailable",
        }
    }

    /// A sentence for the caller, without a full stop.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Unauthenticated(fault) => fault.to_string(),
            Self::NoRole { .. } => format!(
                "the token carries none of the roles {}, {} and {}",
                ApiRole::Read,
                ApiRole::Access,
                ApiRole::Operate
            ),
            Self::Forbidden { role, .. } => format!("this needs the role {role}"),
            Self::KeysUnavailable { .. } => {
                "the keys that access tokens are checked by cannot be fetched at present".to_owned()
            }
        }
    }

    /// What goes into `WWW-Authenticate`. Whoever sent no bearer token is told the scheme and no error.
    #[must_use]
    pub fn challenge(&self) -> Option<HeaderValue> {
        let plain = HeaderValue::from_static("Bearer");
        let challenge = match self {
            Self::Unauthenticated(Fault::Missing | Fault::OtherScheme) => return Some(plain),
            Self::Unauthenticated(fault @ (Fault::Repeated | Fault::Malformed)) => {
                format!("Bearer error=\"invalid_request\", error_description=\"{fault}\"")
            }
            Self::Unauthenticated(fault) => {
                format!("Bearer error=\"invalid_token\", error_description=\"{fault}\"")
            }
            Self::NoRole { .. } => "Bearer error=\"insufficient_scope\"".to_owned(),
            Self::Forbidden { role, .. } => format!("Bearer error=\"insufficient_scope\", scope=\"{role}\""),
            Self::KeysUnavailable { .. } => return None,
        };
        Some(HeaderValue::try_from(challenge).unwrap_or(plain))
    }

    /// What goes into `Retry-After`: the same request may succeed then.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::KeysUnavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
