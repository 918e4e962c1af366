//! A later version's migrations run while this one serves: cycles, access, edits and imports go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::domain::environment::Environment;
use rollcall::domain::schema::Schema;
use rollcall::rules::{Client, Trigger};
use rollcall::store::Store;
use rollcall::sync::cycle::Request;
use rollcall::sync::desk::Ask;
use rollcall::sync::{Engine, RunOutcome};
use serde_json::json;
use sqlx::migrate::{Migration, Migrator};
use uuid::Uuid;

use super::{migrations, of_tomorrow};
use crate::daemon::eventually;
use crate::world::{World, licensed, open_environment};

const ENV: &str = "production";

/// What expansions look like, at their most intrusive: a column in every table, with a default and without, a table, a
/// trigger on the busiest one, an index that is built meanwhile.
fn expansions() -> Vec<Migration> {
    let everywhere = "do $$ declare busy regclass; begin
            for busy in select oid from pg_class where relnamespace = 'rollcall'::regnamespace and relkind = 'r'
                        and relname <> '_sqlx_migrations' order by relname loop
                execute format('alter table %s add column {} {}', busy);
            end loop;
        end $$";
    let column = |name: &str, kind: &str| everywhere.replacen("{}", name, 1).replacen("{}", kind, 1);
    let index = of_tomorrow(
        9004,
        "create index concurrently tomorrow on rollcall.system_user (environment, tomorrow_note)",
    );
    vec![
        of_tomorrow(9001, &column("tomorrow_note", "text")),
        of_tomorrow(9002, &column("rank", "integer not null default 7")),
        of_tomorrow(
            9003,
            "create table rollcall.shoe (environment text, systemuserid uuid, size integer);
             create function rollcall.note_shoe() returns trigger language plpgsql as
                 'begin insert into rollcall.shoe values (new.environment, new.systemuserid, 37); return null; end';
             create trigger d_shoe after insert on rollcall.system_user for each row execute function rollcall.note_shoe()",
        ),
        Migration { no_tx: true, ..index },
        of_tomorrow(9005, &column("medals", "text[] default array[]::text[]")),
    ]
}

/// What goes on meanwhile, and how often it went well.
#[derive(Clone)]
struct Work {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Work {
    /// Does something over and over.
    fn keep(&self, mut once: impl AsyncFnMut(usize)) -> impl Future<Output = usize> {
        let (over, done) = (Arc::clone(&self.over), Arc::clone(&self.done));
        async move {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                once(times).await;
                times += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            times
        }
    }
}

fn environment() -> Environment {
    Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    }
}

fn ask(user: &str) -> Ask<'_> {
    Ask {
        environment: ENV,
        user,
        actor: "tester",
    }
}

async fn serve(engine: &Engine, user: Uuid, turn: usize) {
    let user = user.to_string();
    engine.desk().access(ask(&user), Client::Interactive).await.unwrap();
    let values = json!({"internalemailaddress": format!("a{turn}@mail.example")});
    engine
        .desk()
        .edit(ask(&user), values.as_object().unwrap())
        .await
        .unwrap();
    engine.desk().explain(ENV, &user, Trigger::Background).await.unwrap();
    engine.desk().grant(ask(&user), "Basic User").await.unwrap();
    engine.desk().revoke(ask(&user), "Basic User").await.unwrap();
    engine.desk().disable(ask(&user)).await.unwrap();
    engine.desk().enable(ask(&user)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_fails_while_the_next_version_migrates() {
    let world = World::new(vec![environment()]).await;
    let users: Vec<Uuid> = (0..30)
        .map(|at| licensed(world.tenant(), &format!("Ada{at}"), "Lovelace"))
        .collect();
    world.sync_completely().await;
    let work = Work {
        over: Arc::default(),
        done: Arc::default(),
    };
    let cycles = work.keep(async |turn| {
        world.tenant().update_user(users[turn % 30], |user| {
            user.job_title = Some(format!("Countess {turn}"));
        });
        licensed(world.tenant(), &format!("New{turn}"), "Lovelace");
        let report = world.run(Request::default()).await.unwrap();
        assert_eq!(report.outcome, RunOutcome::Complete, "{:?}", report.problems);
    });
    let first = work.keep(async |turn| serve(&world.engine, users[turn % 15], turn).await);
    let second = work.keep(async |turn| serve(&world.engine, users[15 + turn % 15], turn).await);
    let migrating = async {
        let store = Store::connect(world.database_url(), &Schema::default(), 1)
            .await
            .unwrap();
        let mut known = migrations();
        for next in expansions() {
            known.push(next);
            let before = work.done.load(Ordering::Relaxed);
            store.apply(&Migrator::with_migrations(known.clone())).await.unwrap();
            assert!(eventually(async || work.done.load(Ordering::Relaxed) > before + 9).await);
        }
        // A customer does the same, without any care.
        world
            .execute("alter table rollcall.system_user add column shoe_size integer")
            .await;
        let before = work.done.load(Ordering::Relaxed);
        assert!(eventually(async || work.done.load(Ordering::Relaxed) > before + 9).await);
        work.over.store(true, Ordering::Relaxed);
        store.close().await;
    };
    let (cycles, first, second, ()) = tokio::join!(cycles, first, second, migrating);
    println!("{cycles} cycles, {} rounds of operations meanwhile", first + second);
    assert!(cycles > 0 && first > 0 && second > 0);
    let noted = "select count(*) from rollcall.shoe";
    assert!(
        world.number(noted).await > 0,
        "the new trigger saw rows of the old version"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_steps_back_from_a_table_in_use_and_whoever_waited_behind_it_goes_on() {
    let world = World::new(vec![environment()]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    // Somebody reads the table for long.
    let mut reader = world.sql().await;
    let read = "begin; select count(*) from rollcall.system_user";
    sqlx::raw_sql(read).execute(&mut reader).await.unwrap();

    let store = Store::connect(world.database_url(), &Schema::default(), 1)
        .await
        .unwrap();
    let mut known = migrations();
    known.push(of_tomorrow(
        9001,
        "alter table rollcall.system_user add column tomorrow_note text",
    ));
    let migrator = Migrator::with_migrations(known);
    let waits = "select count(*) from pg_stat_activity where datname = current_database()
                 and wait_event_type = 'Lock' and query like 'alter table%'";
    let serving = async {
        for _ in 0..2 {
            assert!(
                eventually(async || world.number(waits).await == 1).await,
                "it waits for the table"
            );
            let served = tokio::time::timeout(Duration::from_mins(1), serve(&world.engine, ada, 1)).await;
            assert!(served.is_ok(), "nobody is served behind it");
            assert!(
                eventually(async || world.number(waits).await == 0).await,
                "and steps back"
            );
        }
        sqlx::raw_sql("commit").execute(&mut reader).await.unwrap();
    };
    let (applied, ()) = tokio::join!(store.apply(&migrator), serving);
    applied.unwrap();
    store.close().await;
    world.assert_settled().await;
    world.end().await;
}
