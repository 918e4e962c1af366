//! The places for connections. When all are taken, a connection that waits for its client is closed, never one whose
//! request is being answered. So clients that connect and send nothing, or read nothing, lock nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    guests: Mutex<Guests>,
    /// Notified when a connection begins to wait for its client.
    waits: Notify,
}

#[derive(Debug, Default)]
struct Guests {
    /// Counts arrivals and waits, so that the longest wait has the smallest number.
    turn: u64,
    present: HashMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    peer: IpAddr,
    /// The turn when it began to wait for its client; none while a request is being answered.
    waits_since: Option<u64>,
    leave: CancellationToken,
}

/// The place of one connection; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    /// Cancelled when another connection needs the place.
    pub leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Shared {
            free: Arc::new(Semaphore::new(count)),
            guests: Mutex::default(),
            waits: Notify::new(),
        }))
    }

    /// A place for a new connection, as soon as one is free or given up. None when no more are given.
    pub async fn take(&self, peer: IpAddr) -> Option<Place> {
        let free = &self.0.free;
        loop {
            if free.available_permits() == 0 {
                self.guests().send_one_away();
            }
            let permit = tokio::select! {
                permit = Arc::clone(free).acquire_owned() => permit.ok()?,
                // A connection that was busy may be closed by now.
                () = self.0.waits.notified() => continue,
            };
            return Some(self.seat(peer, permit));
        }
    }

    fn seat(&self, peer: IpAddr, permit: OwnedSemaphorePermit) -> Place {
        let leave = CancellationToken::new();
        let mut guests = self.guests();
        let number = guests.next_turn();
        let guest = Guest {
            peer,
            waits_since: Some(number),
            leave: leave.clone(),
        };
        guests.present.insert(number, guest);
        Place {
            places: self.clone(),
            number,
            leave,
            _permit: permit,
        }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// Closes the longest-waiting connection of the address with the most waiting connections, unless one is closing
    /// already.
    fn send_one_away(&self) {
        let mut waiting: HashMap<IpAddr, (usize, u64, &Guest)> = HashMap::new();
        for guest in self.present.values() {
            if guest.leave.is_cancelled() {
                return;
            }
            let Some(since) = guest.waits_since else { continue };
            let (count, longest, of) = waiting.entry(guest.peer).or_insert((0, since, guest));
            *count += 1;
            if since < *longest {
                (*longest, *of) = (since, guest);
            }
        }
        if let Some((.., guest)) = waiting.into_values().max_by_key(|(count, ..)| *count) {
            guest.leave.cancel();
        }
    }
}

impl Place {
    /// A request has arrived.
    pub fn is_busy_now(&self) {
        self.note(|_| None);
    }

    /// The answer is ready to read, and the client may send another request.
    pub fn waits_now(&self) {
        self.note(|guests| Some(guests.next_turn()));
        self.places.0.waits.notify_one();
    }

    /// Whether a request is being answered.
    pub fn is_busy(&self) -> bool {
        let guests = self.places.guests();
        guests
            .present
            .get(&self.number)
            .is_some_and(|guest| guest.waits_since.is_none())
    }

    fn note(&self, since: impl FnOnce(&mut Guests) -> Option<u64>) {
        let mut guests = self.places.guests();
        let since = since(&mut guests);
        if let Some(guest) = guests.present.get_mut(&self.number) {
            guest.waits_since = since;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.guests().present.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ANNA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const MALLORY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));

    /// Requests a place when none is free. Returns the closed connections by their order of arrival.
    async fn sent_away(places: &Places, seated: &[Place]) -> Vec<usize> {
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), places.take(ANNA)).await;
        assert!(waits.is_err(), "there is no place");
        (0..seated.len())
            .filter(|at| seated[*at].leave.is_cancelled())
            .collect()
    }

    #[tokio::test]
    async fn whoever_has_most_connections_waiting_gives_up_the_one_that_has_waited_longest() {
        let places = Places::new(4);
        let mut seated = Vec::new();
        for peer in [ANNA, MALLORY, MALLORY, MALLORY] {
            seated.push(places.take(peer).await.unwrap());
        }
        seated[1].is_busy_now();
        seated[1].waits_now();
        assert_eq!(
            sent_away(&places, &seated).await,
            [2],
            "of Mallory's, waiting longest by now"
        );
        assert_eq!(sent_away(&places, &seated).await, [2], "one at a time");
        drop(seated.remove(2));
        let _new = places.take(ANNA).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_is_being_answered_keeps_the_place_until_the_answer_is_there() {
        let places = Places::new(2);
        let seated = [places.take(ANNA).await.unwrap(), places.take(MALLORY).await.unwrap()];
        for place in &seated {
            place.is_busy_now();
        }
        assert!(seated[0].is_busy());
        assert_eq!(sent_away(&places, &seated).await, [] as [usize; 0]);
        let wanted = places.clone();
        let wanted = tokio::spawn(async move { wanted.take(ANNA).await.is_some() });
        seated[1].waits_now();
        seated[1].leave.cancelled().await;
        drop(seated);
        assert!(wanted.await.unwrap());
    }
}
