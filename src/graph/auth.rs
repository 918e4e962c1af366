//! Access tokens: obtained with one credential, kept until shortly before they expire, replaced by one caller at a
//! time.
//!
//! A token is opaque here, except for a hint about its permissions; its expiry comes from the token answer. Neither a token, a secret, the request form, nor the
//! service's message is ever logged or kept in an error.

mod answer;
mod assertion;
mod request;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use oauth2::AccessToken;
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use super::endpoint;
use super::error::{GraphError, TokenFault};
use super::http::Http;
use super::link::Root;
use super::retry::{Repetitions, RetryPolicy};
use super::settings::GraphSettings;
use crate::domain::secret::Secret;
use crate::domain::sign_in::Redemption;
pub(super) use assertion::private_key;
use request::TokenRequests;

/// An access token and its expiry.
pub(super) struct Token {
    access: AccessToken,
    refresh_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(until {})", self.expires_at)
    }
}

/// A token is replaced this long before it expires, or after nine tenths of its life if that is later.
const LONGEST_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// A new token is used for this long even if its answer says that it has expired. On a machine whose clock is ahead
/// every token has expired, and a new one per request would not help. Graph refuses an expired token.
const SHORTEST_USE: TimeDelta = TimeDelta::minutes(1);

impl Token {
    fn new(access: AccessToken, obtained_at: DateTime<Utc>, life: TimeDelta) -> Self {
        let expires_at = obtained_at + life;
        Self {
            access,
            refresh_at: obtained_at + (life - LONGEST_MARGIN.min(life / 10)).max(SHORTEST_USE),
            expires_at,
        }
    }

    /// The token text, for a request only.
    pub fn expose(&self) -> &str {
        self.access.secret()
    }

    /// The application permissions in the token, if it is a JWT. Nobody promises that it is one: only good for a hint.
    pub fn permissions(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct RawClaims {
            roles: Vec<String>,
        }
        let claims = self.access.secret().split('.').nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        Some(serde_json::from_slice::<RawClaims>(&claims).ok()?.roles)
    }
}

/// The only source of tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    requests: TokenRequests,
    fault_memory: TimeDelta,
    kept: Mutex<TokenState>,
    /// The number of failed replacements: a caller that waited meanwhile shares the failure instead of repeating it.
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct TokenState {
    token: Option<Arc<Token>>,
    /// A configuration fault, and when it was reported.
    fault: Option<(TokenFault, DateTime<Utc>)>,
    /// When a replacement of the kept token failed; the token is used until it expires.
    not_replaced: Option<DateTime<Utc>>,
    /// The reason for the last failed replacement.
    failure: String,
}

impl Tokens {
    pub fn new(settings: &GraphSettings, root: &Root, http: &Http) -> Result<Self, GraphError> {
        Ok(Self {
            requests: TokenRequests::new(settings, root, http)?,
            fault_memory: TimeDelta::from_std(settings.token_fault_memory).unwrap_or(TimeDelta::MAX),
            kept: Mutex::default(),
            failures: AtomicU64::new(0),
        })
    }

    /// A token that stays valid for a while.
    pub async fn get(&self, patience: &RetryPolicy) -> Result<Arc<Token>, GraphError> {
        let failures_before = self.failures.load(Ordering::Acquire);
        let mut kept = self.lock(patience).await?;
        let now = patience.clock.now();
        if let Some(token) = kept.token.as_ref().filter(|token| now < token.refresh_at) {
            return Ok(Arc::clone(token));
        }
        if let Some(token) = kept.token.as_ref().filter(|token| now < token.expires_at)
            && kept.not_replaced.is_some_and(|at| self.is_fresh(at, now))
        {
            return Ok(Arc::clone(token));
        }
        if let Some((fault, told_at)) = &kept.fault
            && self.is_fresh(*told_at, now)
        {
            return Err(GraphError::Token(Box::new(fault.clone())));
        }
        let obtained = if self.failures.load(Ordering::Acquire) == failures_before {
            self.obtain(patience, &mut kept).await
        } else {
            Err(unavailable(format!(
                "another call just failed to obtain a token: {}",
                kept.failure
            )))
        };
        let now = patience.clock.now();
        match (obtained, kept.token.clone().filter(|token| now < token.expires_at)) {
            (Err(error), Some(token)) if error.is_transient() => {
                kept.not_replaced = Some(now);
                Ok(token)
            }
            (obtained, _) => obtained,
        }
    }

    /// Whether a failure is too recent to ask again. A clock that was set back does not prolong the wait.
    fn is_fresh(&self, failed_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..self.fault_memory).contains(&(now - failed_at))
    }

    /// Requests a new token now, whatever is kept, and keeps it.
    pub async fn renew(&self, patience: &RetryPolicy) -> Result<Arc<Token>, GraphError> {
        let mut kept = self.lock(patience).await?;
        self.obtain(patience, &mut kept).await
    }

    /// The identity token of a person who signs in.
    pub async fn redeem(&self, redemption: &Redemption, patience: &RetryPolicy) -> Result<Secret, GraphError> {
        self.requests
            .redeem(redemption, patience)
            .await
            .map_err(|failure| match failure {
                request::Failure::Final(error) => error,
                request::Failure::Again(again) => again.error,
            })
    }

    /// Drops a token that Graph refused, unless it is replaced already.
    pub async fn discard(&self, refused: &Arc<Token>, patience: &RetryPolicy) -> Result<(), GraphError> {
        let mut kept = self.lock(patience).await?;
        if kept.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            kept.token = None;
        }
        Ok(())
    }

    /// Waits for the lock: another call may be requesting a token, with retries.
    async fn lock(&self, patience: &RetryPolicy) -> Result<MutexGuard<'_, TokenState>, GraphError> {
        let locked = patience.in_time(self.kept.lock()).await?;
        locked.ok_or_else(|| unavailable("another call is still waiting for a token".to_owned()))
    }

    async fn obtain(&self, patience: &RetryPolicy, kept: &mut TokenState) -> Result<Arc<Token>, GraphError> {
        match self.obtain_patiently(patience).await {
            Ok(token) => {
                let token = Arc::new(token);
                *kept = TokenState {
                    token: Some(Arc::clone(&token)),
                    ..TokenState::default()
                };
                Ok(token)
            }
            Err(error) => {
                // A caller without a time limit need not share the failure of one with a limit.
                if patience.left().is_none() {
                    self.failures.fetch_add(1, Ordering::AcqRel);
                }
                kept.failure = match &error {
                    GraphError::Unavailable { reason, .. } => reason.clone(),
                    error => error.to_string(),
                };
                if let GraphError::Token(fault) = &error
                    && !fault.transient
                {
                    kept.fault = Some((fault.as_ref().clone(), patience.clock.now()));
                }
                Err(error)
            }
        }
    }

    async fn obtain_patiently(&self, patience: &RetryPolicy) -> Result<Token, GraphError> {
        let mut repetitions = Repetitions::default();
        loop {
            match self.requests.send(patience).await {
                Ok(token) => return Ok(token),
                Err(request::Failure::Final(error)) => return Err(error),
                Err(request::Failure::Again(again)) => patience.pause(&mut repetitions, *again).await?,
            }
        }
    }
}

fn unavailable(reason: String) -> GraphError {
    GraphError::Unavailable {
        endpoint: endpoint::TOKEN.template,
        reason,
        retry_after: None,
        source: None,
    }
}
