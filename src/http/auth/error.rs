//! Why a caller is refused, and the answer (RFC 6750, section 3.1).
//!
//! Nothing here holds a token or its claims, except the name of a proven caller.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use thiserror::Error;

use super::ApiRole;

/// Why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The token is missing or invalid: 401.
    #[error("authenticate the caller ({0})")]
    Unauthenticated(Fault),
    /// The token is valid, but has no role here: 403.
    #[error("let in {caller}, who has no role of this application")]
    NoRole {
        /// The caller.
        caller: String,
    },
    /// The caller lacks the role that this call needs: 403.
    #[error("do for {caller} what needs the role {role}")]
    Forbidden {
        /// The caller.
        caller: String,
        /// The missing role.
        role: ApiRole,
    },
    /// The tenant's keys are unavailable, so the token cannot be verified: 503. The cause was logged.
    #[error("fetch the keys that access tokens are checked by")]
    KeysUnavailable {
        /// The time until the next fetch of the keys.
        retry_after: Duration,
    },
}

/// What is wrong with the token, or with how it was sent. Shown to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// No `Authorization` header.
    #[error("there is no bearer token")]
    Missing,
    /// Another scheme, such as `Basic`.
    #[error("the Authorization header holds something other than a bearer token")]
    OtherScheme,
    /// More than one `Authorization` header.
    #[error("there is more than one Authorization header")]
    Repeated,
    /// Not `Bearer` and one word.
    #[error("the Authorization header is malformed")]
    Malformed,
    /// Too long, so it was not read.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// Not a known static token, and access tokens are not accepted.
    #[error("the token is unknown")]
    Unknown,
    /// The configuration has no credential at all.
    #[error("this server accepts no token yet: its configuration has neither http.audience nor a token")]
    NothingAccepted,
    /// Neither a known static token nor a JWT; also `alg: none`.
    #[error("the token is neither a known one nor a signed access token")]
    NotAJwt,
    /// Any algorithm but RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// An unsupported critical extension.
    #[error("the token needs an extension that is not understood")]
    Extension,
    /// No `kid`, or one that the tenant does not publish.
    #[error("the token is signed with a key that the tenant does not publish")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A claim has the wrong type, or the payload is not JSON.
    #[error("the claims of the token cannot be read")]
    Claims,
    /// A required claim is missing.
    #[error("the token lacks the claim {0}")]
    Lacks(&'static str),
    /// `exp` is in the past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is another issuer.
    #[error("the token has another issuer")]
    Issuer,
    /// `aud` is another application.
    #[error("the token is made for another application")]
    Audience,
    /// `tid` is another tenant.
    #[error("the token is of another tenant")]
    Tenant,
    /// `nonce` is another sign-in's.
    #[error("the token is made for another sign-in")]
    Nonce,
    /// Not an access token, such as an identity token.
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

    /// The value of `WWW-Authenticate`. Without a bearer token in the request it holds the scheme and no error.
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

    /// The value of `Retry-After`: the same request may succeed then.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::KeysUnavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
