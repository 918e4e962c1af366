//! A pair of daemons lives through everything at once: faults of the directory and of the database, kills, changes and
//! people who ask between the cycles. When it is over, the table is what the rules say, nobody was disabled without a
//! reason that held, nothing that was acknowledged is lost, and no log or metric tells a secret.
//!
//! Several actors run beside each other, each with dice of its own, so that a seed draws the same things in the same
//! order, though not at the same moments. `ROLLCALL_CHAOS_SEED` replays one, `ROLLCALL_CHAOS_FAULTS` and
//! `ROLLCALL_CHAOS_KILLS` set how much must have hit, `ROLLCALL_CHAOS_SERVER=own` makes a server of its own, which is then
//! restarted and killed too (`./dev chaos`). A fault that met nobody does not count.

mod callers;
mod database;
mod directory;
mod graph;
mod ledger;
mod operators;
mod scrape;
mod stage;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rollcall::clock::Clock;

use self::stage::Stage;

/// How much is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub seed: u64,
    pub faults: u64,
    pub kills: u64,
    /// Whether the database server is the test's own.
    pub own_server: bool,
}

impl Numbers {
    fn read() -> Self {
        let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
        Self {
            seed: number("ROLLCALL_CHAOS_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000)),
            faults: number("ROLLCALL_CHAOS_FAULTS").unwrap_or(20),
            kills: number("ROLLCALL_CHAOS_KILLS").unwrap_or(4),
            own_server: std::env::var("ROLLCALL_CHAOS_SERVER").is_ok_and(|server| server == "own"),
        }
    }

    /// The dice of one actor.
    fn dice(self, actor: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (actor << 32))
    }
}

/// Longer than any run takes; then something hangs.
const LONGEST: Duration = Duration::from_mins(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pair_of_daemons_lives_through_everything_and_the_table_is_right_at_the_end() {
    let numbers = Numbers::read();
    println!("replay with ROLLCALL_CHAOS_SEED={}: {numbers:?}", numbers.seed);
    let stage = Stage::new(numbers).await;
    stage.settle().await;
    let actors = async {
        tokio::join!(
            directory::change(&stage, numbers.dice(1)),
            graph::break_things(&stage, numbers.dice(2)),
            database::break_things(&stage, numbers.dice(3)),
            operators::kill_and_reload(&stage, numbers.dice(4)),
            callers::ask(&stage, numbers.dice(5)),
            stage.watch(),
        )
    };
    let ended = tokio::time::timeout(LONGEST, Box::pin(actors)).await;
    assert!(ended.is_ok(), "it does not come to an end: {}", stage.told());
    stage.calm_down().await;
    stage.settle().await;
    if database::change_the_refused(&stage).await > 0 {
        stage.settle().await;
    }
    println!("{}", stage.told());
    verdict::judge(&stage).await;
    scrape::look_for_secrets(&stage).await;
    println!("seed {}: everything held", numbers.seed);
    stage.end().await;
}

/// How often each thing has happened.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Draws every card once, in random order, before it draws one again.
pub struct Deck<T> {
    cards: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    pub fn new(cards: &[T]) -> Self {
        Self {
            cards: cards.to_vec(),
            left: Vec::new(),
        }
    }

    pub fn draw(&mut self, dice: &mut StdRng) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            self.left.shuffle(dice);
        }
        self.left.pop().unwrap()
    }
}

/// A pause of the machine's time.
pub async fn pause(milliseconds: u64) {
    Clock::system().sleep(Duration::from_millis(milliseconds)).await;
}
