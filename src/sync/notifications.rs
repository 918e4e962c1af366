//! What becomes of a notification, in any process: it is compared with the subscription's secret, and leaves a hint for the
//! leader. Its content is never believed.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::{Base, Failure};
use crate::domain::notifications::NotificationResult;
use crate::store::notifications;

/// How long the secrets are remembered, so that a flood does not reach the database.
const REMEMBERED_FOR: TimeDelta = TimeDelta::seconds(5);

/// Further notifications within this time leave no other hint.
const HINT_EVERY: TimeDelta = TimeDelta::seconds(1);

/// Answers handshakes, and takes notifications.
#[derive(Clone)]
pub struct Hints {
    base: Base,
    remembered: Arc<Mutex<Remembered>>,
}

#[derive(Default)]
struct Remembered {
    secrets: Option<(DateTime<Utc>, Vec<Vec<u8>>)>,
    hinted_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct RawCollection {
    value: Vec<RawNotification>,
}

/// The rest is not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNotification {
    client_state: Option<String>,
    lifecycle_event: Option<String>,
}

impl Hints {
    /// Over a migrated database.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self {
            base,
            remembered: Arc::default(),
        }
    }

    /// Whether a subscription is being created, so that the directory may ask whether this listener is ours.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expects_handshake(&self) -> Result<bool, Failure> {
        let mut db = self.base.store.read().await?;
        Ok(notifications::is_pending(&mut db, self.base.clock.now()).await?)
    }

    /// Takes a collection of notifications.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(&self, body: &[u8]) -> Result<NotificationResult, Failure> {
        let Ok(RawCollection { value }) = serde_json::from_slice(body) else {
            return Ok(NotificationResult::Malformed);
        };
        let secrets = self.secrets().await?;
        let is_ours = |one: &&RawNotification| {
            let hash = one.client_state.as_ref().map(|state| digest(&SHA256, state.as_bytes()));
            hash.is_some_and(|hash| secrets.iter().any(|secret| is_equal(secret, hash.as_ref())))
        };
        let ours: Vec<&RawNotification> = value.iter().filter(is_ours).collect();
        if ours.is_empty() {
            return Ok(NotificationResult::Forged);
        }
        let now = self.base.clock.now();
        if ours.iter().any(|one| one.lifecycle_event.is_some()) {
            notifications::renew_soon(&mut self.base.store.read().await?, now).await?;
        }
        if ours.iter().any(|one| one.lifecycle_event.is_none()) && self.is_first(now) {
            notifications::leave_hint(&mut self.base.store.read().await?, now).await?;
        }
        Ok(NotificationResult::Accepted)
    }

    async fn secrets(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let now = self.base.clock.now();
        if let Some((at, secrets)) = &self.remembered().secrets
            && now - *at < REMEMBERED_FOR
        {
            return Ok(secrets.clone());
        }
        let secrets = notifications::secret_hashes(&mut self.base.store.read().await?).await?;
        self.remembered().secrets = Some((now, secrets.clone()));
        Ok(secrets)
    }

    /// Whether no other has left a hint just now.
    fn is_first(&self, now: DateTime<Utc>) -> bool {
        let mut remembered = self.remembered();
        let is_first = remembered.hinted_at.is_none_or(|at| now - at >= HINT_EVERY);
        if is_first {
            remembered.hinted_at = Some(now);
        }
        is_first
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares in a time that does not depend on where they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |difference, (one, other)| difference | (one ^ other))
            == 0
}
