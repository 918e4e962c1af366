//! The connection breaks before and after every commit of a first sync, an incremental cycle, an import and an
//! approval, each in a copy of the same database; whoever was cut off goes on, and the ending is always the same.
//!
//! Writes outside a transaction are commits, too. Batches are made small, so that few users make many of them.
//! `stories` holds what happens in the directory before.

mod binary;
mod stories;

use std::sync::Arc;

use rollcall::domain::schema::Schema;
use rollcall::store::Store;
use rollcall::store::lease::{LeadAttempt, Lease};
use rollcall::sync::cycle::Request;
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{CycleError, DeskError, Engine, Failure, GuardError, ImportError};
use sqlx::{Connection, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ending::{Ending, copy_of, drop_database, execute};
use crate::proxy::{Proxy, Side};
use crate::world::World;

/// Trials under way at once: while one waits for the database, another is judged.
const AT_ONCE: usize = 4;

/// What is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Sync,
    /// Every job that waits.
    Import,
    /// What this run holds.
    Approve(i64),
}

/// What everything begins with: a database that nobody is connected to, and the engine that will work on copies of it.
#[derive(Clone)]
struct Before {
    engine: Engine,
    database: String,
    act: Act,
    /// Whether a cycle comes between the break and the next try.
    cycle_between: bool,
}

/// A copy of the database, behind a proxy, and an engine that leads there.
struct Trial {
    database: String,
    proxy: Proxy,
    engine: Engine,
    lease: Lease,
}

impl Trial {
    async fn new(before: &Before) -> Self {
        let database = copy_of(&before.database).await;
        let proxy = Proxy::before(&database).await;
        let (engine, lease) = leading(before, &proxy).await;
        Self {
            database,
            proxy,
            engine,
            lease,
        }
    }

    /// Another process takes over; what the first one held has run out.
    async fn replace(&mut self, before: &Before) {
        self.run_out().await;
        self.engine.store.close().await;
        (self.engine, self.lease) = leading(before, &self.proxy).await;
    }

    /// Whatever is held until some time is free from now on.
    async fn run_out(&self) {
        let mut db = PgConnection::connect(&self.database).await.unwrap();
        let run_out = "update rollcall.lease set expires_at = '-infinity';
             update rollcall.import_job set claim_expires_at = '-infinity' where state = 'running'";
        execute(&mut db, run_out).await;
        db.close().await.unwrap();
    }

    async fn cycle(&self) -> Result<(), CycleError> {
        let request = Request {
            trigger: "test".to_owned(),
            ..Request::default()
        };
        let cycle = self.engine.cycle();
        let run = cycle.run(&self.lease, &request, async |_| {});
        run.await.map(|_| ())
    }

    /// Does it, unless the database fails.
    async fn act(&self, act: Act) -> Result<(), Failure> {
        match act {
            Act::Sync => match self.cycle().await {
                Err(CycleError::Failed(failure)) => Err(failure),
                Err(error) => panic!("{error:?}"),
                Ok(()) => Ok(()),
            },
            Act::Import => {
                let imports = self.engine.imports();
                loop {
                    match imports.run_next_import("worker").await {
                        Ok(None) => return Ok(()),
                        Ok(Some(_)) => {}
                        Err(ImportError::Desk(DeskError::Failed(failure))) => return Err(failure),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            Act::Approve(run) => {
                let decided = self.engine.guard().decide(run, None, Decision::Approve, "grace").await;
                match decided.and_then(|decided| decided.failure.map_or(Ok(()), Err)) {
                    // It had been done, and only the answer was lost.
                    Ok(()) | Err(GuardError::NothingHeld(_)) => Ok(()),
                    Err(GuardError::Failed(failure)) => Err(failure),
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }

    /// Until nothing is left to do.
    async fn go_on(&self, before: &Before, told: &str) {
        if before.cycle_between {
            self.cycle().await.unwrap();
        }
        if let Err(error) = self.act(before.act).await {
            panic!("{told}: {error:?}");
        }
        if matches!(before.act, Act::Approve(_)) {
            self.cycle().await.unwrap();
        }
    }

    async fn end(self) -> Ending {
        self.engine.store.close().await;
        let ending = Ending::of(&self.database).await;
        drop_database(&self.database).await;
        ending
    }
}

async fn leading(before: &Before, proxy: &Proxy) -> (Engine, Lease) {
    let engine = Engine {
        store: Store::connect(proxy.url(), &Schema::default(), 5).await.unwrap(),
        memory: Arc::default(),
        ..before.engine.clone()
    };
    let LeadAttempt::Leading(lease) = crate::world::try_lead(&engine, "test", false).await else {
        panic!("nobody else leads");
    };
    (engine, lease)
}

impl Before {
    async fn new(world: &World, act: Act) -> Self {
        world.engine.store.close().await;
        let mut db = world.sql().await;
        execute(&mut db, "update rollcall.lease set expires_at = '-infinity'").await;
        db.close().await.unwrap();
        Self {
            engine: world.engine.clone(),
            database: world.database_url().to_owned(),
            act,
            cycle_between: false,
        }
    }

    /// Breaks every commit on both sides. Answers how many there are.
    async fn break_everywhere(self) -> u64 {
        let undisturbed = Trial::new(&self).await;
        undisturbed.proxy.break_at(None);
        undisturbed.act(self.act).await.unwrap();
        let (commits, lone) = (undisturbed.proxy.commits(), undisturbed.proxy.lone_writes());
        undisturbed.go_on(&self, "undisturbed").await;
        let ending = Arc::new(undisturbed.end().await);

        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut trials = JoinSet::new();
        for number in 1..=commits {
            for side in [Side::Before, Side::After] {
                let (before, ending, turns) = (self.clone(), Arc::clone(&ending), Arc::clone(&turns));
                trials.spawn(async move {
                    let _turn = turns.acquire_owned().await.unwrap();
                    before.broken_at(number, side, &ending).await
                });
            }
        }
        let mut broken = 0;
        while let Some(trial) = trials.join_next().await {
            broken += u64::from(trial.unwrap());
        }
        // Pages that pile up are stored together, so that one run may commit a little oftener than another.
        let mut more = commits;
        loop {
            more += 1;
            if !self.broken_at(more, Side::Before, &ending).await {
                break;
            }
        }
        println!(
            "{:?}: {commits} commits, {lone} of them writes by themselves; {broken} breaks, one ending",
            self.act
        );
        assert!(
            broken >= 2 * commits - commits / 4,
            "only {broken} of {commits} commits broke"
        );
        commits
    }

    /// One break, and everything that follows. False where there are not so many commits.
    async fn broken_at(&self, number: u64, side: Side, ending: &Ending) -> bool {
        let told = format!("{:?}, broken {side:?} commit {number}", self.act);
        let mut trial = Trial::new(self).await;
        trial.proxy.break_at(Some((number, side)));
        let result = trial.act(self.act).await;
        let broke = trial.proxy.broke();
        match result {
            Ok(()) => assert!(!broke, "{told}: nobody has noticed"),
            Err(Failure::Store(error)) => assert!(broke && error.is_unavailable(), "{told}: {error:?}"),
            Err(error) => panic!("{told}: {error:?}"),
        }
        trial.proxy.break_at(None);
        // Every other time somebody else goes on.
        if number % 2 == u64::from(side == Side::After) {
            trial.replace(self).await;
        } else {
            trial.run_out().await;
        }
        trial.go_on(self, &told).await;
        trial.end().await.compare(ending, &told);
        broke
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_that_loses_the_database_at_any_commit_ends_as_if_it_had_not() {
    let world = stories::founded().await;
    let before = Before::new(&world, Act::Sync).await;
    assert!(before.break_everywhere().await > 30);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_that_loses_the_database_at_any_commit_ends_as_if_it_had_not() {
    let world = stories::changed().await;
    let before = Before::new(&world, Act::Sync).await;
    assert!(before.break_everywhere().await > 15);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_that_loses_the_database_at_any_commit_ends_as_if_it_had_not() {
    let world = stories::changed_with_dead_tokens().await;
    let before = Before::new(&world, Act::Sync).await;
    assert!(before.break_everywhere().await > 30);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_loses_the_database_at_any_commit_does_everything_once() {
    let world = stories::imported().await;
    let before = Before::new(&world, Act::Import).await;
    assert!(before.break_everywhere().await > 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_loses_the_database_at_any_commit_can_be_given_again() {
    let (world, run) = stories::held().await;
    let before = Before::new(&world, Act::Approve(run)).await;
    assert!(before.break_everywhere().await > 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_between_a_broken_approval_and_its_repetition_changes_nothing() {
    let (world, run) = stories::held().await;
    let before = Before {
        cycle_between: true,
        ..Before::new(&world, Act::Approve(run)).await
    };
    before.break_everywhere().await;
    world.end().await;
}
