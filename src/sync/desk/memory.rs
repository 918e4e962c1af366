//! The desk's short-term memory: users whom the directory was asked about in the last minute, names it did not know,
//! users admitted recently, and evaluations in progress, so that concurrent requests for one user share one evaluation.
//!
//! Nothing here decides. Everything except unknown names is keyed by object id, never by the caller's text: the user
//! that a text names is resolved again each time (`recall`). Every memory is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Answer, Ask, Refusal};
use crate::domain::directory_user::upn_key;
use crate::domain::field::Field;
use crate::plan::Unasked;
use crate::rules::Trigger;
use crate::sync::DeskError;
use crate::sync::desk::explain::ShownVerdict;

/// From this many entries on, old ones are removed.
const TIDY_FROM: usize = 10_000;

/// The user that a text names, as far as the text alone shows: an id in any spelling, otherwise a folded name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sync) enum UserKey {
    Id(Uuid),
    Name(String),
}

impl UserKey {
    pub(in crate::sync) fn new(user: &str) -> Self {
        Uuid::parse_str(user).map_or_else(|_| Self::Name(upn_key(user)), Self::Id)
    }
}

/// A directory user in an environment.
type UserIn = (String, Uuid);

/// An admitted user, and the basis of the admission.
#[derive(Clone, Debug)]
pub(in crate::sync) struct Admitted {
    /// When the row was last changed.
    pub modifiedon: DateTime<Utc>,
    /// The mirror's facts about the user ([`crate::store::rows::facts_of`]).
    pub facts: String,
    pub verdict: Arc<ShownVerdict>,
}

/// Remembered values, each with the time as of which it was true.
type Remembered<K, V> = Mutex<HashMap<K, (DateTime<Utc>, V)>>;

type SharedAnswer = Arc<OnceCell<Result<Answer, Refusal>>>;

/// Environment, user, trigger and caller: only requests that agree in all of them share an answer.
type FlightKey = (String, UserKey, Trigger, String);

/// One for each engine; clones of an engine share it.
#[derive(Debug, Default)]
pub struct Memory {
    looks: Remembered<UserIn, Unasked>,
    unknown: Remembered<(String, String), ()>,
    admitted: Remembered<(UserIn, Trigger), Admitted>,
    flights: Mutex<HashMap<FlightKey, SharedAnswer>>,
}

impl Memory {
    /// Whether the directory was asked about a user within the last `freshness` and gave a complete answer. Returns
    /// what the limits of the look-up left unasked.
    pub(in crate::sync) fn look(
        &self,
        environment: &str,
        id: Uuid,
        now: DateTime<Utc>,
        freshness: Duration,
    ) -> Option<Unasked> {
        recall(&self.looks, &(environment.to_owned(), id), now, freshness)
    }

    /// Remembers such a look-up, unless asking again may return more.
    pub(in crate::sync) fn remember_look(&self, environment: &str, id: Uuid, at: DateTime<Utc>, unasked: Unasked) {
        if !unasked.roles && !unasked.has_failed {
            remember(&self.looks, (environment.to_owned(), id), at, unasked);
        }
    }

    /// Whether the directory did not know a name within the last `freshness`. The mirror and the table may know the
    /// name since then.
    pub(in crate::sync) fn is_unknown(
        &self,
        environment: &str,
        name: &str,
        now: DateTime<Utc>,
        freshness: Duration,
    ) -> bool {
        recall(
            &self.unknown,
            &(environment.to_owned(), name.to_owned()),
            now,
            freshness,
        )
        .is_some()
    }

    /// Remembers an unknown name. A text too long for a name is not stored.
    pub(in crate::sync) fn remember_unknown(&self, environment: &str, name: &str, at: DateTime<Utc>) {
        if name.chars().count() <= Field::DomainName.max_characters() {
            remember(&self.unknown, (environment.to_owned(), name.to_owned()), at, ());
        }
    }

    /// A user admitted within the last `freshness`, on directory data that is no older.
    pub(in crate::sync) fn admitted(
        &self,
        environment: &str,
        id: Uuid,
        trigger: Trigger,
        now: DateTime<Utc>,
        freshness: Duration,
    ) -> Option<Admitted> {
        let key = ((environment.to_owned(), id), trigger);
        recall(&self.admitted, &key, now, freshness)
    }

    /// Remembers an admitted user, as of when the directory was asked.
    pub(in crate::sync) fn remember_admitted(&self, environment: &str, id: Uuid, trigger: Trigger, admitted: Admitted) {
        let whom = (environment.to_owned(), id);
        let asked_at = lock(&self.looks).get(&whom).map(|(at, _)| *at);
        if let Some(at) = asked_at {
            remember(&self.admitted, (whom, trigger), at, admitted);
        }
    }

    /// Runs `judge`, unless the same evaluation is in progress: then its answer is shared.
    pub(in crate::sync) async fn share<F>(&self, ask: Ask<'_>, trigger: Trigger, judge: F) -> Result<Answer, DeskError>
    where
        F: Future<Output = Result<Answer, DeskError>>,
    {
        let passenger = self.board((
            ask.environment.to_owned(),
            UserKey::new(ask.user),
            trigger,
            ask.actor.to_owned(),
        ));
        let shared = passenger
            .flight
            .get_or_try_init(|| async {
                match judge.await {
                    Ok(answer) => Ok(Ok(answer)),
                    Err(DeskError::Refused(refusal)) => Ok(Err(*refusal)),
                    // Failures are not shared: each waiting caller tries itself.
                    Err(error) => Err(error),
                }
            })
            .await?
            .clone();
        // One user has many spellings; each caller gets its own back.
        match shared {
            Ok(mut answer) => {
                if let Some(verdict) = &mut answer.verdict {
                    ask.user.clone_into(&mut verdict.user);
                }
                Ok(answer)
            }
            Err(mut refusal) => {
                if let Some(verdict) = &mut refusal.verdict {
                    ask.user.clone_into(&mut verdict.user);
                }
                Err(refusal.into())
            }
        }
    }

    fn board(&self, key: FlightKey) -> Passenger<'_> {
        let flight = Arc::clone(lock(&self.flights).entry(key.clone()).or_default());
        Passenger {
            memory: self,
            key,
            flight,
        }
    }
}

/// A caller that waits for an evaluation. A flight that has landed, or that no caller waits for any more, is removed,
/// whether its callers were answered or went away.
struct Passenger<'a> {
    memory: &'a Memory,
    key: FlightKey,
    flight: SharedAnswer,
}

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.memory.flights);
        // No caller joins while the map is locked: apart from the map's own reference, every other one is a waiting
        // caller.
        let is_over = self.flight.initialized() || Arc::strong_count(&self.flight) == 2;
        let is_listed = |known: &SharedAnswer| Arc::ptr_eq(known, &self.flight);
        if is_over && flights.get(&self.key).is_some_and(is_listed) {
            flights.remove(&self.key);
        }
    }
}

fn recall<K: Eq + Hash, V: Clone>(
    memory: &Remembered<K, V>,
    key: &K,
    now: DateTime<Utc>,
    freshness: Duration,
) -> Option<V> {
    let memory = lock(memory);
    let (at, value) = memory.get(key)?;
    let is_fresh = (now - *at).to_std().is_ok_and(|age| age < freshness);
    is_fresh.then(|| value.clone())
}

fn remember<K: Eq + Hash, V>(memory: &Remembered<K, V>, key: K, at: DateTime<Utc>, value: V) {
    let mut memory = lock(memory);
    if memory.len() >= TIDY_FROM {
        // Entries older than the newer half are removed.
        let mut times: Vec<DateTime<Utc>> = memory.values().map(|(at, _)| *at).collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        memory.retain(|_, (at, _)| *at > middle);
    }
    memory.insert(key, (at, value));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending};
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::domain::reason::Code;
    use crate::sync::Failure;
    use crate::sync::desk::Effect;

    fn ask<'a>(user: &'a str, actor: &'a str) -> Ask<'a> {
        Ask {
            environment: "production",
            user,
            actor,
        }
    }

    fn unchanged() -> Answer {
        Answer {
            outcome: Effect::Unchanged,
            user: None,
            verdict: None,
        }
    }

    fn never() -> Pending<Result<Answer, DeskError>> {
        pending()
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_caller_who_goes_away_leaves_nothing_behind() {
        let desk = Memory::default();
        let mut first = Box::pin(desk.share(ask("ada@contoso.example", "a"), Trigger::Api, never()));
        let mut second = Box::pin(desk.share(ask("Ada@Contoso.example", "a"), Trigger::Api, async { Ok(unchanged()) }));
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending(), "one flight for one name in any case");
        assert_eq!(lock(&desk.flights).len(), 1);
        drop(first);
        assert_eq!(lock(&desk.flights).len(), 1, "somebody still waits");
        assert!(poll(&mut second).is_ready(), "and judges for itself");
        assert!(lock(&desk.flights).is_empty());

        for _ in 0..3 {
            let mut lone = Box::pin(desk.share(ask("ada@contoso.example", "a"), Trigger::Api, never()));
            assert!(poll(&mut lone).is_pending());
        }
        assert!(lock(&desk.flights).is_empty());
    }

    #[test]
    fn a_flight_that_failed_is_forgotten_as_well() {
        let desk = Memory::default();
        for error in [
            DeskError::Failed(Failure::Cancelled),
            DeskError::Refused(Box::new(Refusal::new(Code::Unlicensed))),
        ] {
            let mut lone = Box::pin(desk.share(ask("a@b", "a"), Trigger::Api, async { Err(error) }));
            assert!(poll(&mut lone).is_ready());
        }
        assert!(lock(&desk.flights).is_empty());
    }

    #[test]
    fn other_actors_triggers_and_users_have_flights_of_their_own() {
        let desk = Memory::default();
        let id = "6F9619FF-8B86-D011-B42D-00CF4FC964FF";
        let small = id.to_lowercase();
        let mut flights = vec![
            Box::pin(desk.share(ask(id, "a"), Trigger::Api, never())),
            Box::pin(desk.share(ask(&small, "a"), Trigger::Api, never())),
            Box::pin(desk.share(ask(id, "b"), Trigger::Api, never())),
            Box::pin(desk.share(ask(id, "a"), Trigger::AdminAdd, never())),
            Box::pin(desk.share(ask("a@b", "a"), Trigger::Api, never())),
        ];
        for flight in &mut flights {
            assert!(poll(flight).is_pending());
        }
        assert_eq!(lock(&desk.flights).len(), 4, "an id is one in any spelling");
        drop(flights);
        assert!(lock(&desk.flights).is_empty());
    }

    #[test]
    fn every_memory_is_bounded() {
        let (desk, start) = (Memory::default(), DateTime::UNIX_EPOCH);
        let minute = Duration::from_mins(1);
        for number in 0..3 * u32::try_from(TIDY_FROM).unwrap() {
            let at = start + chrono::Duration::milliseconds(number.into());
            desk.remember_look("production", Uuid::from_u128(number.into()), at, Unasked::default());
            desk.remember_unknown("production", &number.to_string(), at);
        }
        let last = u128::try_from(3 * TIDY_FROM - 1).unwrap();
        let now = start + chrono::Duration::seconds(30);
        assert!(lock(&desk.looks).len() <= TIDY_FROM && lock(&desk.unknown).len() <= TIDY_FROM);
        assert!(desk.look("production", Uuid::from_u128(last), now, minute).is_some());
        assert!(desk.is_unknown("production", &last.to_string(), now, minute));
        assert!(desk.look("production", Uuid::from_u128(0), now, minute).is_none());
        desk.remember_unknown("production", &"x".repeat(2_000), now);
        assert!(!desk.is_unknown("production", &"x".repeat(2_000), now, minute));
        assert!(desk.look("sandbox", Uuid::from_u128(last), now, minute).is_none());
    }
}
