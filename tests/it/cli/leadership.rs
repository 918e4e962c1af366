//! Two daemons on one database: one leads, both serve; and whatever happens to either, nothing is written twice.

use std::time::{Duration, Instant};

use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::store::Store;
use rollcall::store::lease::{self, LeadAttempt};
use rollcall::sync::Engine;
use sqlx::{Connection, PgConnection};

use super::Stage;
use crate::daemon::{Daemon, eventually};
use crate::proxy::{Proxy, Weather};
use crate::world::{World, migrated_database, open_environment};

/// Sessions of ours that wait for somebody's lock.
const WAITING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'rollcall' and wait_event_type = 'Lock'";

async fn leads(daemon: &Daemon) -> bool {
    daemon.metric("rollcall_leader").await.as_deref() == Some("1")
}

/// Two daemons, the first of which leads.
async fn pair(stage: &Stage) -> (Daemon, Daemon) {
    let first = Daemon::start(&stage.installation);
    first.becomes_ready().await;
    let second = Daemon::start(&stage.installation);
    second.becomes_ready().await;
    assert!(leads(&first).await && !leads(&second).await);
    (first, second)
}

/// What the runs have written so far.
async fn written(stage: &Stage) -> Vec<String> {
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::query_scalar(
        "select r::text from rollcall.sync_run r
         union all select c::text from rollcall.system_user_change c order by 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_daemon_leads_soon_after_the_leader_is_killed_and_serves_all_the_while() {
    let stage = Stage::new().await;
    let (mut first, second) = pair(&stage).await;
    first.child.start_kill().unwrap();
    first.child.wait().await.unwrap();
    let killed = Instant::now();
    let took_over = eventually(async || {
        assert!(second.has_status("/health/ready", 200).await, "{}", second.log());
        leads(&second).await
    });
    assert!(took_over.await, "{}", second.log());
    println!("led {} ms after the leader was killed", killed.elapsed().as_millis());
    let newcomer = stage.simulator.tenant().user_id_at(3).unwrap();
    let tenant = stage.simulator.tenant();
    tenant.update_user(newcomer, |user| user.job_title = Some("Taken over".to_owned()));
    let arrived = "select count(*) from rollcall.system_user where jobtitle = 'Taken over'";
    assert!(
        eventually(async || stage.number(arrived).await > 0).await,
        "{}",
        second.log()
    );
    second.stop().await;
    stage.end().await;
}

/// The leader's transactions lock the lease's row: whatever becomes of it, the row is free before the lease has run out.
#[tokio::test]
async fn no_transaction_of_a_leader_that_pauses_outlasts_its_lease() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 2).await.unwrap();
    let mut db = store.read().await.unwrap();
    let LeadAttempt::Leading(lease) = lease::acquire(&mut db, "first", true).await.unwrap() else {
        panic!("nobody else is there")
    };
    let LeadAttempt::Held { runs_out_in, .. } = lease::acquire(&mut db, "second", true).await.unwrap() else {
        panic!("it is taken")
    };
    assert!(runs_out_in < Duration::from_secs(5), "{runs_out_in:?}");
    let bound = "select setting::bigint from pg_settings where name = 'idle_in_transaction_session_timeout'";
    let mut tx = store.begin().await.unwrap();
    lease::check(&mut tx, &lease).await.unwrap();
    let within: i64 = sqlx::query_scalar(bound).fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let otherwise: i64 = sqlx::query_scalar(bound).fetch_one(&mut db).await.unwrap();
    assert_eq!((within, otherwise), (4000, 8000));
    drop(db);
    store.close().await;
    database.drop_database().await.unwrap();
}

/// As when everybody waits for a row that somebody else has locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_while_every_connection_of_the_pool_is_taken() {
    let world = World::new(vec![open_environment("production")]).await;
    let engine = Engine {
        clock: Clock::system(),
        ..world.engine.clone()
    };
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(engine.store.read().await.unwrap());
    }
    assert_eq!(engine.store.connections(), (5, 0));
    world.execute("update rollcall.lease set expires_at = now()").await;
    let renewal = rollcall::sync::daemon::lead::keep_renewing(&engine.base(), &world.lease);
    let left = "select extract(epoch from expires_at - now())::bigint from rollcall.lease";
    assert!(eventually(async || world.number(left).await > 0).await);
    drop((renewal, taken));
    world.end().await;
}

/// Stopped in the middle of a transaction, with the lease's row locked by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_and_wakes_up_writes_nothing() {
    let stage = Stage::new().await;
    let (first, second) = pair(&stage).await;
    let mut other = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("begin; select from rollcall.checkpoint where source = 'users' for update")
        .execute(&mut other)
        .await
        .unwrap();
    let changed = stage.simulator.tenant().user_id_at(3).unwrap();
    let tenant = stage.simulator.tenant();
    tenant.update_user(changed, |user| user.job_title = Some("While stopped".to_owned()));
    assert!(
        eventually(async || stage.number(WAITING).await > 0).await,
        "{}",
        first.log()
    );
    first.signal("-STOP").await;
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    let runs = stage.number("select max(id) from rollcall.sync_run").await;

    assert!(eventually(async || leads(&second).await).await, "{}", second.log());
    let arrived = "select count(*) from rollcall.system_user where jobtitle = 'While stopped'";
    assert!(
        eventually(async || stage.number(arrived).await > 0).await,
        "{}",
        second.log()
    );
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    let by: Vec<i64> = sqlx::query_scalar(
        "select distinct run_id from rollcall.system_user_change where fields -> 'jobtitle' ->> 1 = 'While stopped'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert!(by.iter().all(|run| *run > runs), "{by:?} after {runs}");

    // From here on only the one that was stopped could write.
    second.signal("-STOP").await;
    sqlx::raw_sql("update rollcall.lease set expires_at = 'infinity'")
        .execute(&mut other)
        .await
        .unwrap();
    let before = written(&stage).await;
    first.signal("-CONT").await;
    let stepped_down = async || first.log().contains("another process leads now");
    assert!(eventually(stepped_down).await, "{}", first.log());
    assert!(eventually(async || !leads(&first).await).await);
    assert!(first.has_status("/health/ready", 200).await, "it serves on");
    assert_eq!(before, written(&stage).await);

    second.signal("-CONT").await;
    first.stop().await;
    second.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_hard_where_the_database_does_not_let_it_be_soft() {
    let stage = Stage::new().await;
    let proxy = Proxy::before(&stage.database.url).await;
    stage.installation.amend(&stage.database.url, proxy.url());
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    proxy.weather(Weather::Hanging);
    assert!(
        eventually(async || daemon.has_status("/health/ready", 503).await).await,
        "{}",
        daemon.log()
    );
    assert!(daemon.has_status("/health/live", 200).await);
    let log = daemon.stop().await;
    assert!(
        log.contains("breaking off") && log.trim_end().ends_with("stopped"),
        "{log}"
    );

    proxy.weather(Weather::Clear);
    let mut daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    proxy.weather(Weather::Hanging);
    // To give the lease back is a thing in hand, if nothing else is.
    daemon.signal("-TERM").await;
    assert!(eventually(async || daemon.log().contains("stopping")).await);
    daemon.signal("-TERM").await;
    let ended = eventually(async || daemon.child.try_wait().unwrap().is_some()).await;
    assert!(ended, "{}", daemon.log());
    assert!(!daemon.log().contains("breaking off"), "{}", daemon.log());
    assert_eq!(daemon.child.wait().await.unwrap().code(), Some(1));
    stage.end().await;
}

/// As a daemon did before its version recorded planned changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_whose_changes_an_older_daemon_only_counted_does_not_say_that_there_are_none() {
    let stage = Stage::new().await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    let forget = "create function public.forget() returns trigger language plpgsql as
                  $$ begin delete from rollcall.planned_change where id = new.id; return null; end $$;
                  create trigger forget after insert on rollcall.planned_change for each row execute function public.forget()";
    sqlx::raw_sql(forget).execute(&mut db).await.unwrap();
    let told = "The changes themselves are not shown: the daemon that made this dry run is of an older version";
    let said = stage.run("sync --dry-run --log off").await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.lines().last().unwrap().starts_with(told), "{said:?}");
    let said = stage.run("sync --dry-run --output json").await;
    assert!(said.stderr.starts_with(told), "{said:?}");
    assert_eq!(said.json()["changes"].as_array().unwrap().len(), 0);
    stage.good("sync").await;
    let said = stage.good("sync --dry-run").await;
    assert!(said.ends_with("is complete.\nNo changes.\n"), "{said}");
    stage.end().await;
}
