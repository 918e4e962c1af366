//! The tenant's keys: kept for a day, fetched again when a token names an unknown one.
//!
//! Anybody can send a token with an invented key id, so fetches are rare whatever comes in. They run in a task of their
//! own that no caller can cancel, and all waiting callers share one. A failed fetch keeps the known keys.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::DecodingKey;
use tokio_util::sync::CancellationToken;

use super::error::{AuthError, Fault};
use crate::clock::Clock;
use crate::domain::signing_keys::SigningKeys;
use crate::error::chain;

/// Keys are renewed at this age: Entra announces a new key well ahead, but may revoke one at any time.
const RENEWED_AFTER: TimeDelta = TimeDelta::hours(24);
/// The minimum time between two fetches.
const PAUSE: TimeDelta = TimeDelta::seconds(60);
/// The same while there is no key, when no access token is accepted.
const PAUSE_WITHOUT_KEYS: TimeDelta = TimeDelta::seconds(10);

type Fetched = Result<SigningKeys, Box<dyn Error + Send + Sync>>;
type Fetching = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// Fetches the tenant's published keys.
#[derive(Clone)]
pub struct KeySource(Arc<dyn Fn() -> Fetching + Send + Sync>);

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(…)")
    }
}

impl KeySource {
    /// Takes the call that fetches them. It must end by itself; callers wait for it.
    #[must_use]
    pub fn new<F, E>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<SigningKeys, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let fetching = fetch();
            Box::pin(async move { fetching.await.map_err(Into::into) })
        }))
    }
}

/// The keys of one fetch.
pub(super) struct KeySet {
    pub issuers: Vec<String>,
    keys: HashMap<String, DecodingKey>,
    fetched_at: DateTime<Utc>,
}

impl KeySet {
    fn new(published: SigningKeys, fetched_at: DateTime<Utc>) -> Self {
        let key = |key: &crate::domain::signing_keys::SigningKey| {
            DecodingKey::from_rsa_raw_components(&key.modulus, &key.exponent)
        };
        Self {
            keys: published.keys.iter().map(|one| (one.kid.clone(), key(one))).collect(),
            issuers: published.issuers,
            fetched_at,
        }
    }

    /// The key of this id.
    pub fn key(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.get(kid)
    }
}

/// Keeps the keys. Clones share them.
#[derive(Clone)]
pub(super) struct Keys(Arc<SharedKeys>);

struct SharedKeys {
    source: KeySource,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Arc<KeySet>>,
    /// When the last fetch began, and whether it failed.
    begun_at: Option<DateTime<Utc>>,
    failed: bool,
    /// Cancelled when the current fetch has ended.
    ended: Option<CancellationToken>,
}

impl Keys {
    pub fn new(source: KeySource, clock: Clock) -> Self {
        Self(Arc::new(SharedKeys {
            source,
            clock,
            state: Mutex::default(),
        }))
    }

    /// The key set with a key of this id; waits for a fetch if it is unknown.
    pub async fn with(&self, kid: &str) -> Result<Arc<KeySet>, AuthError> {
        let ended = {
            let mut state = self.lock();
            if let Some(known) = state.with(kid) {
                if self.0.clock.now() - known.fetched_at >= RENEWED_AFTER {
                    // Nobody waits for it: the old keys stay valid meanwhile.
                    self.fetch(&mut state);
                }
                return Ok(known);
            }
            self.fetch(&mut state)
        };
        if let Some(ended) = ended {
            ended.cancelled().await;
        }
        let state = self.lock();
        state.with(kid).ok_or_else(|| state.refusal(self.0.clock.now()))
    }

    /// Begins a fetch unless one is running or the last one is too recent; returns how to wait for its end.
    fn fetch(&self, state: &mut State) -> Option<CancellationToken> {
        if let Some(ended) = state.ended.as_ref().filter(|ended| !ended.is_cancelled()) {
            return Some(ended.clone());
        }
        let now = self.0.clock.now();
        if !state.pause_left(now).is_zero() {
            return None;
        }
        let ended = CancellationToken::new();
        state.begun_at = Some(now);
        state.ended = Some(ended.clone());
        let (keys, end) = (self.clone(), ended.clone().drop_guard());
        tokio::spawn(async move {
            let fetched = (keys.0.source.0)().await;
            keys.keep(fetched);
            drop(end);
        });
        Some(ended)
    }

    fn keep(&self, fetched: Fetched) {
        let now = self.0.clock.now();
        let mut state = self.lock();
        state.failed = fetched.is_err();
        match fetched {
            Ok(published) => {
                tracing::debug!(keys = published.keys.len(), "the tenant's signing keys are fetched");
                state.known = Some(Arc::new(KeySet::new(published, now)));
            }
            Err(error) => tracing::warn!(
                error = %chain(error.as_ref()),
                known = state.known.as_ref().map_or(0, |known| known.keys.len()),
                "the tenant's signing keys could not be fetched; those that are known stay good"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn with(&self, kid: &str) -> Option<Arc<KeySet>> {
        self.known.clone().filter(|known| known.keys.contains_key(kid))
    }

    /// The time until a fetch may begin.
    fn pause_left(&self, now: DateTime<Utc>) -> TimeDelta {
        let Some(begun_at) = self.begun_at else {
            return TimeDelta::zero();
        };
        let pause = if self.known.is_some() {
            PAUSE
        } else {
            PAUSE_WITHOUT_KEYS
        };
        // A clock that was set back must not prolong the pause.
        (begun_at + pause - now).clamp(TimeDelta::zero(), pause)
    }

    /// The answer for an unknown key. While fetches fail, it may be a new one.
    fn refusal(&self, now: DateTime<Utc>) -> AuthError {
        if !self.failed && self.known.is_some() {
            return Fault::UnknownKey.into();
        }
        let left = self.pause_left(now).max(TimeDelta::seconds(1));
        AuthError::KeysUnavailable {
            retry_after: left.to_std().unwrap_or_default(),
        }
    }
}
