//! What the desk remembers: the directory data of the last minute, who was let in lately, and who is being judged right
//! now, so that many who ask for one user at once get one judgement.
//!
//! Nothing here decides. An answer is repeated only while the row is what it was and nobody has to be judged again, and
//! directory data is used again only as long as `access_freshness` says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::look_up::Fresh;
use super::{Answer, Ask, Refusal};
use crate::rules::Trigger;
use crate::sync::SyncError;
use crate::sync::explain::ShownVerdict;

/// From so many entries on, old ones are forgotten.
const TIDY_FROM: usize = 10_000;

/// Who is asked about, as typed, and for what.
type Key = (String, String, Trigger);

/// Who was let in, and what the row was like.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub object_id: Uuid,
    pub modifiedon: DateTime<Utc>,
    pub verdict: Arc<ShownVerdict>,
}

type Flight = Arc<OnceCell<Result<Answer, Refusal>>>;

/// One for every engine; clones of an engine share it.
#[derive(Debug, Default)]
pub struct Desk {
    looks: Mutex<HashMap<String, (DateTime<Utc>, Fresh)>>,
    admitted: Mutex<HashMap<Key, (DateTime<Utc>, Admitted)>>,
    flights: Mutex<HashMap<(Key, String), Flight>>,
}

impl Desk {
    /// What the directory said of a user no longer ago than `freshness`.
    pub(super) fn look(&self, environment: &str, user: &str, now: DateTime<Utc>, freshness: Duration) -> Option<Fresh> {
        let looks = lock(&self.looks);
        let (at, fresh) = looks.get(&look_key(environment, user))?;
        is_fresh(*at, now, freshness).then(|| fresh.clone())
    }

    /// Remembers what the directory said.
    pub(super) fn remember_look(&self, environment: &str, user: &str, at: DateTime<Utc>, fresh: &Fresh) {
        // Whatever is not the whole answer is asked for again.
        if !matches!(fresh, Fresh::Unanswered(..) | Fresh::UserWithoutRoles(_)) {
            remember(&self.looks, look_key(environment, user), at, fresh.clone());
        }
    }

    /// Who was let in no longer ago than `freshness`, on directory data that is no older.
    pub(super) fn admitted(
        &self,
        ask: Ask<'_>,
        trigger: Trigger,
        now: DateTime<Utc>,
        freshness: Duration,
    ) -> Option<Admitted> {
        let admitted = lock(&self.admitted);
        let (at, admitted) = admitted.get(&key(ask, trigger))?;
        is_fresh(*at, now, freshness).then(|| admitted.clone())
    }

    /// Remembers who was let in, as of when the directory was asked.
    pub(super) fn remember_admitted(&self, ask: Ask<'_>, trigger: Trigger, now: DateTime<Utc>, admitted: Admitted) {
        let at = lock(&self.looks)
            .get(&look_key(ask.environment, ask.user))
            .map_or(now, |(at, _)| *at);
        remember(&self.admitted, key(ask, trigger), at, admitted);
    }

    /// Has `judge` judge, unless somebody else is having the same judged at this moment: then the answer is shared.
    pub(super) async fn share<F>(&self, ask: Ask<'_>, trigger: Trigger, judge: F) -> Result<Answer, SyncError>
    where
        F: Future<Output = Result<Answer, SyncError>>,
    {
        let key = (key(ask, trigger), ask.actor.to_owned());
        let flight = Arc::clone(lock(&self.flights).entry(key.clone()).or_default());
        let result = flight
            .get_or_try_init(|| async {
                match judge.await {
                    Ok(answer) => Ok(Ok(answer)),
                    Err(SyncError::Refused(refusal)) => Ok(Err(*refusal)),
                    // Failures are not shared: whoever waits tries for itself.
                    Err(error) => Err(error),
                }
            })
            .await
            .cloned();
        let mut flights = lock(&self.flights);
        if flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, &flight)) {
            flights.remove(&key);
        }
        Ok(result??)
    }
}

fn key(ask: Ask<'_>, trigger: Trigger) -> Key {
    (ask.environment.to_owned(), ask.user.to_lowercase(), trigger)
}

fn look_key(environment: &str, user: &str) -> String {
    format!("{environment}\n{}", user.to_lowercase())
}

fn is_fresh(at: DateTime<Utc>, now: DateTime<Utc>, freshness: Duration) -> bool {
    (now - at).to_std().is_ok_and(|age| age < freshness)
}

fn remember<K: Eq + std::hash::Hash, V>(
    memory: &Mutex<HashMap<K, (DateTime<Utc>, V)>>,
    key: K,
    at: DateTime<Utc>,
    value: V,
) {
    let mut memory = lock(memory);
    if memory.len() >= TIDY_FROM {
        // Whatever is older than the newer half goes.
        let mut times: Vec<DateTime<Utc>> = memory.values().map(|(at, _)| *at).collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        memory.retain(|_, (at, _)| *at > middle);
    }
    memory.insert(key, (at, value));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
