//! A crash after any page and after any batch: the restart ends where an undisturbed run ends.
//!
//! The real binary is killed with SIGKILL while Graph has a request of its in hand, or while PostgreSQL is about to
//! commit a transaction of its: that commit is then lost, or goes through without anybody to tell. The points are
//! drawn by dice; `ROLLCALL_CRASH_SEED` replays them, `ROLLCALL_CRASH_POINTS` sets how many there are per scenario.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use rollcall::clock::Clock;
use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, LARGE_GROUP, SMALL_GROUP, TokenDeath};
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Child;

use crate::binary::{Installation, said};
use crate::ending::{Ending, ask, copy_of, drop_database, execute};
use crate::world::migrated_database;

/// Enough for two batches in each environment, and for many pages of twenty.
const MANY: u64 = 1_050;
const FEW: u64 = 300;

/// Kill points in each of the three scenarios, unless the environment says otherwise.
const POINTS: usize = 11;

/// How often something is looked for before the test gives up, and the pause between.
const LOOKS: u32 = 6_000;
const PAUSE: Duration = Duration::from_millis(5);

/// Counts the transactions that write, and stops the one whose number stands in `test.gate` right before it commits.
const GATE: &str = "
create schema test;
create sequence test.commits;
create table test.gate (number bigint not null);
insert into test.gate values (0);
create function test.at_commit() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('test.counted', true), '') = '' then
        perform set_config('test.counted', 'yes', true);
        if nextval('test.commits') = (select number from test.gate) then
            perform pg_advisory_xact_lock(1);
        end if;
    end if;
    return null;
end $$;
create view test.stopped as select pid from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory';
do $$
declare
    name text;
begin
    foreach name in array array['checkpoint', 'environment', 'sync_run', 'system_user', 'removal', 'pending', 'finding']
    loop
        execute format(
            'create constraint trigger at_commit after insert or update or delete on rollcall.%I
             deferrable initially deferred for each row execute function test.at_commit()', name);
    end loop;
end $$";

/// Where the process dies.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// While this request, counted from one, waits for its answer; after the database is quiet, or at once.
    Request { number: u64, quiet: bool },
    /// At this commit, counted from one, which is carried out or lost.
    Commit { number: i64, lost: bool },
}

struct Stage {
    simulator: Simulator,
    dice: StdRng,
    seed: u64,
}

impl Stage {
    fn new(scenario: u64, users: u64) -> Self {
        let seed = match std::env::var("ROLLCALL_CRASH_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => rand::rng().random_range(0..1_000_000),
        };
        println!("replay with ROLLCALL_CRASH_SEED={seed}");
        let simulator = Simulator::start(Settings {
            users,
            page_size: 20,
            listing_page_size: 20,
            ..Settings::default()
        })
        .unwrap();
        simulator.tenant().furnish();
        Self {
            simulator,
            dice: StdRng::seed_from_u64(seed ^ scenario),
            seed,
        }
    }

    fn installation(&self, database: &str) -> Installation {
        let rest = format!(
            "[guard]\nmax_disables = 1000000\nmax_disable_percent = 100.0\n\n\
             [[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
             [[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n\n\
             [[environment]]\nname = \"pilot\"\nkind = \"sandbox\"\nsecurity_group = \"{SMALL_GROUP}\"\n\
             group_nesting = \"full\"\n"
        );
        Installation::new(&self.simulator, database, &rest)
    }

    fn change(&mut self, times: usize) {
        for _ in 0..times {
            self.simulator.tenant().random_change(&mut self.dice);
        }
        // A tenant that loses every administrator at once is in doubt, which is another story.
        let tenant = self.simulator.tenant();
        tenant.assign_role(GLOBAL_ADMINISTRATOR, tenant.user_id_at(0).unwrap(), "/");
    }

    fn requests(&self) -> u64 {
        self.simulator.request_counts().values().sum()
    }

    /// A run that nobody disturbs.
    async fn sync(&self, database: &str) {
        let said = self.installation(database).run("sync").await;
        assert_eq!(said.code, Some(0), "seed {}: {said:?}", self.seed);
    }

    /// Kills runs that begin at `before` at points of which each lies within an undisturbed run, and compares.
    async fn kill_at_many_points(&mut self, before: &str) {
        let reference = copy_of(before).await;
        let already: i64 = ask(&reference, "select last_value from test.commits").await;
        let requests = self.requests();
        self.sync(&reference).await;
        let requests = self.requests() - requests;
        let commits: i64 = ask(&reference, "select last_value from test.commits").await - already;
        let ending = Ending::of(&reference).await;
        assert_eq!(ending.left, 0, "an undisturbed run leaves nobody to be judged");
        drop_database(&reference).await;

        let points = std::env::var("ROLLCALL_CRASH_POINTS").map_or(POINTS, |points| points.parse().unwrap());
        let mut killed = 0;
        for trial in 0..points {
            // Every other point lies in the batches; now and then the restart dies, too.
            let mut plan = vec![self.draw(trial % 2 == 0, requests, commits)];
            if self.dice.random_ratio(1, 3) {
                let at_commit = self.dice.random();
                plan.push(self.draw(at_commit, requests, commits));
            }
            let database = copy_of(before).await;
            for point in &plan {
                killed += usize::from(self.run_until(&database, *point).await);
            }
            self.sync(&database).await;
            let told = format!("seed {}, trial {trial}: {plan:?}", self.seed);
            Ending::of(&database).await.compare(&ending, &told);
            drop_database(&database).await;
        }
        println!("killed {killed} processes within {requests} requests and {commits} commits");
        // On a busy machine pages pile up and are stored together: a point behind the last commit kills nobody.
        assert!(4 * killed >= 3 * points, "only {killed} processes were killed");
    }

    fn draw(&mut self, at_commit: bool, requests: u64, commits: i64) -> Point {
        if at_commit {
            Point::Commit {
                number: self.dice.random_range(1..=commits),
                lost: self.dice.random(),
            }
        } else {
            Point::Request {
                number: self.dice.random_range(1..=requests),
                quiet: self.dice.random(),
            }
        }
    }

    /// Starts a run and kills it at a point. Answers whether it came so far.
    async fn run_until(&self, database: &str, point: Point) -> bool {
        let installation = self.installation(database);
        let mut gate = PgConnection::connect(database).await.unwrap();
        execute(&mut gate, "select setval('test.commits', 1, false)").await;
        let mut child;
        let reached = match point {
            Point::Request { number, quiet } => {
                let hang = Effect::Delay(Duration::from_mins(10));
                self.simulator
                    .faults()
                    .push(Fault::once(When::any().after(number - 1), hang));
                child = installation.start("sync");
                let mut looks = 0..LOOKS;
                while self.simulator.faults().pending() > 0 && is_running(&mut child) && looks.next().is_some() {
                    Clock::system().sleep(PAUSE).await;
                }
                let reached = self.simulator.faults().pending() == 0;
                self.simulator.faults().clear();
                if reached && quiet {
                    wait_until_none(&mut gate, "application_name = 'rollcall' and state <> 'idle'").await;
                }
                kill(child).await;
                reached
            }
            Point::Commit { number, lost } => {
                execute(&mut gate, "select pg_advisory_lock(1)").await;
                execute(&mut gate, &format!("update test.gate set number = {number}")).await;
                child = installation.start("sync");
                let mut looks = 0..LOOKS;
                let mut reached = false;
                while !reached && is_running(&mut child) && looks.next().is_some() {
                    Clock::system().sleep(PAUSE).await;
                    reached = sqlx::query_scalar("select count(*) > 0 from test.stopped")
                        .fetch_one(&mut gate)
                        .await
                        .unwrap();
                }
                kill(child).await;
                if lost {
                    execute(&mut gate, "select pg_terminate_backend(pid) from test.stopped").await;
                }
                execute(&mut gate, "update test.gate set number = 0").await;
                execute(&mut gate, "select pg_advisory_unlock(1)").await;
                reached
            }
        };
        wait_until_none(&mut gate, "application_name = 'rollcall'").await;
        execute(&mut gate, "update rollcall.lease set expires_at = '-infinity'").await;
        gate.close().await.unwrap();
        reached
    }
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

async fn kill(mut child: Child) {
    let _ = child.start_kill();
    let said = said(child).await;
    assert!(matches!(said.code, None | Some(0)), "{said:?}");
}

/// Waits until no backend of this database is like that.
async fn wait_until_none(db: &mut PgConnection, like: &str) {
    let query = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and {like}"
    );
    for _ in 0..LOOKS {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query.as_str()))
            .fetch_one(&mut *db)
            .await
            .unwrap();
        if count == 0 {
            return;
        }
        Clock::system().sleep(PAUSE).await;
    }
    panic!("there is always a backend with {like}");
}

/// A migrated database in which commits can be stopped.
async fn gated_database() -> TestDatabase {
    let database = migrated_database().await;
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    execute(&mut db, GATE).await;
    db.close().await.unwrap();
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_that_is_killed_anywhere_ends_as_if_it_had_not_been() {
    let mut stage = Stage::new(1, MANY);
    let database = gated_database().await;
    stage.kill_at_many_points(&database.url).await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incremental_sync_that_is_killed_anywhere_ends_as_if_it_had_not_been() {
    let mut stage = Stage::new(2, FEW);
    let database = gated_database().await;
    stage.sync(&database.url).await;
    stage.change(300);
    stage.simulator.tenant().add_member(SMALL_GROUP, LARGE_GROUP);
    stage.simulator.configure(|settings| {
        settings.page_size = 10;
        settings.listing_page_size = 10;
    });
    stage.kill_at_many_points(&database.url).await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_that_is_killed_anywhere_ends_as_if_it_had_not_been() {
    let mut stage = Stage::new(3, FEW);
    let database = gated_database().await;
    stage.sync(&database.url).await;
    stage.change(200);
    let death = *[
        TokenDeath::GoneWithLocation,
        TokenDeath::SyncStateNotFound,
        TokenDeath::UnsupportedQuery,
    ]
    .choose(&mut stage.dice)
    .unwrap();
    stage.simulator.tenant().expire_tokens(death);
    stage.kill_at_many_points(&database.url).await;
    database.drop_database().await.unwrap();
}
