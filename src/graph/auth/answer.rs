//! The answers of the token services, in all their dialects.
//!
//! A description is searched for its AADSTS number and dropped: it may name people and applications.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oauth2::{AccessToken, ErrorResponse, RefreshToken, Scope, TokenResponse, TokenType};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::Token;
use crate::domain::secret::Secret;
use crate::graph::error::TokenFault;
use crate::graph::remedy;

/// The lifetime of a token whose answer gives none.
const UNTOLD_LIFE: TimeDelta = TimeDelta::minutes(5);
/// No token lives longer than about 28 hours; a longer lifetime in an answer is cut to this.
const LONGEST_LIFE: TimeDelta = TimeDelta::hours(48);

/// A token answer in any of the dialects: numbers may be strings, and only one form of the expiry may be present.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RawToken {
    access_token: AccessToken,
    #[serde(default)]
    token_type: RawTokenType,
    #[serde(default)]
    expires_in: Option<RawNumber>,
    #[serde(default)]
    expires_on: Option<RawNumber>,
    /// The identity token of a sign-in. The type keeps it out of logs.
    #[serde(default)]
    id_token: Option<AccessToken>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RawTokenType(String);

impl TokenType for RawTokenType {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum RawNumber {
    Number(f64),
    Text(String),
}

impl RawNumber {
    fn seconds(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        number.is_finite().then_some(number)
    }
}

impl RawToken {
    fn life(&self, now: DateTime<Utc>) -> TimeDelta {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        let since = |end: f64| end - now.timestamp() as f64;
        let told = self.expires_in.as_ref().and_then(RawNumber::seconds);
        let told = told.or_else(|| self.expires_on.as_ref().and_then(RawNumber::seconds).map(since));
        let Some(seconds) = told else { return UNTOLD_LIFE };
        let life = Duration::try_from_secs_f64(seconds.max(0.0))
            .ok()
            .and_then(|life| TimeDelta::from_std(life).ok());
        life.map_or(LONGEST_LIFE, |life| life.min(LONGEST_LIFE))
    }

    /// The token, obtained at `now`.
    pub fn into_token(self, now: DateTime<Utc>) -> Token {
        let life = self.life(now);
        Token::new(self.access_token, now, life)
    }
}

impl RawToken {
    /// The identity token of a sign-in.
    pub fn into_identity(self) -> Option<Secret> {
        self.id_token.map(|token| Secret::new(token.into_secret()))
    }
}

impl TokenResponse for RawToken {
    type TokenType = RawTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
    fn token_type(&self) -> &RawTokenType {
        &self.token_type
    }
    fn expires_in(&self) -> Option<Duration> {
        None
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// A refusal of the token service. Its description is only searched for the AADSTS number.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RawFault {
    error: String,
    error_description: Option<String>,
    error_codes: Vec<u32>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

impl fmt::Display for RawFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl ErrorResponse for RawFault {}

impl RawFault {
    /// The fault; `managed` services answer 404 and 410 while they are busy.
    pub fn into_fault(self, status: Option<StatusCode>, managed: bool) -> TokenFault {
        let aadsts = self
            .error_codes
            .first()
            .copied()
            .or_else(|| number_in(self.error_description.as_deref()?));
        let status = status.map_or(0, |status| status.as_u16());
        let passing = match status {
            408 | 429 | 500.. => true,
            404 | 410 => managed,
            _ => false,
        };
        let known =
            aadsts.is_some_and(remedy::is_transient) || self.error_codes.iter().any(|n| remedy::is_transient(*n));
        TokenFault {
            transient: passing || known || self.error.eq_ignore_ascii_case("temporarily_unavailable"),
            error: self.error.chars().filter(char::is_ascii_graphic).take(100).collect(),
            aadsts,
            trace_id: self.trace_id.filter(|id| is_plain(id)),
            correlation_id: self.correlation_id.filter(|id| is_plain(id)),
            status,
        }
    }
}

/// The number in `AADSTS70011: …`.
fn number_in(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_plain(id: &str) -> bool {
    id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic())
}
