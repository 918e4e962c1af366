//! PostgreSQL goes away, comes back, hangs, refuses, only reads: what the store makes of it.

use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::store::{Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::proxy::{Proxy, Side, Weather};
use crate::world::{World, licensed, migrated_database, open_environment};

/// A statement that says what the server's error is.
async fn fails_with(store: &Store, statement: &str) -> StoreError {
    let mut db = store.read().await.unwrap();
    let failed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await;
    failed.unwrap_err().into()
}

async fn backend(store: &Store) -> i32 {
    let mut db = store.read().await.unwrap();
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut db)
        .await
        .unwrap()
}

/// Tries until the store answers again.
async fn answers_again(store: &Store) {
    for _ in 0..100 {
        if store.ping().await.is_ok() {
            return;
        }
        Clock::system().sleep(Duration::from_millis(50)).await;
    }
    panic!("the store does not answer again");
}

#[tokio::test]
async fn a_commit_that_breaks_on_its_way_is_lost_and_one_that_breaks_on_its_way_back_is_not() {
    let database = migrated_database().await;
    for (side, found) in [(Side::Before, 0_i64), (Side::After, 1)] {
        let proxy = Proxy::before(&database.url).await;
        let store = Store::connect(proxy.url(), &Schema::default(), 2).await.unwrap();
        proxy.break_at(Some((2, side)));
        for committed in [true, false, true] {
            answers_again(&store).await;
            let mut tx = store.begin().await.unwrap();
            let statement = if committed {
                "delete from rollcall.directory_returned"
            } else {
                "insert into rollcall.directory_returned values (gen_random_uuid())"
            };
            sqlx::raw_sql(statement).execute(&mut *tx).await.unwrap();
            assert_eq!(tx.commit().await.is_ok(), committed);
            let mut db = PgConnection::connect(&database.url).await.unwrap();
            let rows: i64 = sqlx::query_scalar("select count(*) from rollcall.directory_returned")
                .fetch_one(&mut db)
                .await
                .unwrap();
            assert_eq!(rows, if committed { 0 } else { found });
        }
        assert!(proxy.broke());
        assert_eq!(proxy.commits(), 3);
        store.close().await;
    }
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn what_the_server_refuses_is_told_apart() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    // whether somebody else was first, whether the database is away, whether the connection serves on
    let cases = [
        ("40001", true, false, true),
        ("40P01", true, false, true),
        ("23505", true, false, true),
        ("53100", false, true, true),
        ("53200", false, true, true),
        ("53300", false, true, true),
        ("58030", false, true, true),
        ("57014", false, true, true),
        ("55P03", false, true, true),
        ("42501", false, false, true),
        // A function may raise what only the server can mean.
        ("57P01", false, false, true),
        ("08006", false, false, true),
        ("25006", false, false, true),
        ("28P01", false, false, true),
    ];
    for (code, is_conflict, is_unavailable, serves_on) in cases {
        let before = backend(&store).await;
        let statement = format!("do $$ begin raise exception using errcode = '{code}', message = 'on purpose'; end $$");
        let error = fails_with(&store, &statement).await;
        assert_eq!(
            (error.is_conflict(), error.is_unavailable()),
            (is_conflict, is_unavailable),
            "{code}: {error:?}"
        );
        assert_eq!(backend(&store).await == before, serves_on, "{code}");
    }
    for statement in [
        "select pg_terminate_backend(pg_backend_pid()), pg_sleep(9)",
        "begin read only; delete from rollcall.pending",
        "do $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(9); end $$",
    ] {
        let before = backend(&store).await;
        let error = fails_with(&store, statement).await;
        assert!(error.is_unavailable(), "{statement}: {error:?}");
        assert_ne!(backend(&store).await, before, "{statement}");
    }
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn the_server_ends_what_takes_too_long_and_is_told_so_for_every_session() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    let mut db = store.read().await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "8s"),
        ("client_connection_check_interval", "2s"),
        ("tcp_user_timeout", "8000"),
    ] {
        let shown: String = sqlx::query_scalar(AssertSqlSafe(format!("show {setting}")))
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(shown, value, "{setting}");
    }
    sqlx::raw_sql("set statement_timeout = 50")
        .execute(&mut db)
        .await
        .unwrap();
    let slept = sqlx::raw_sql("select pg_sleep(60)").execute(&mut db).await;
    assert!(StoreError::from(slept.unwrap_err()).is_unavailable());
    drop(db);
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_and_its_connections_are_not_used_again() {
    let database = migrated_database().await;
    let proxy = Proxy::before(&database.url).await;
    let store = Store::connect(proxy.url(), &Schema::default(), 3).await.unwrap();
    let mut stuck = store.begin().await.unwrap();
    let idle = backend(&store).await;
    proxy.weather(Weather::Hanging);
    // Both bounds at once: a statement's, and that of getting a connection.
    let (answer, connection) = tokio::join!(sqlx::raw_sql("select").execute(&mut *stuck), store.read());
    assert!(StoreError::from(answer.unwrap_err()).is_unavailable());
    assert!(connection.unwrap_err().is_unavailable());
    let again = sqlx::raw_sql("select").execute(&mut *stuck).await;
    assert!(again.is_err(), "it is not even tried");
    assert!(stuck.commit().await.is_err());
    proxy.weather(Weather::Clear);
    answers_again(&store).await;
    assert_ne!(backend(&store).await, idle, "who knows what became of it");
    let (open, _) = store.connections();
    assert!(open <= 3);
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_or_a_transaction_that_is_dropped_half_way_leaves_nothing_behind() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 2).await.unwrap();
    for _ in 0..5 {
        let mut tx = store.begin().await.unwrap();
        sqlx::raw_sql("insert into rollcall.directory_returned values (gen_random_uuid())")
            .execute(&mut *tx)
            .await
            .unwrap();
        let sleep = sqlx::raw_sql("select pg_sleep(60)").execute(&mut *tx);
        assert!(tokio::time::timeout(Duration::from_millis(20), sleep).await.is_err());
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        sqlx::raw_sql("insert into rollcall.directory_returned values (gen_random_uuid())")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
    }
    let mut db = store.read().await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from rollcall.directory_returned")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    drop(db);
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_commit_after_a_refused_statement_is_no_success() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("select 1/0").execute(&mut *tx).await.unwrap_err();
    assert!(tx.commit().await.is_err());
    store.ping().await.unwrap();
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_the_primary_is_away_until_somebody_writes_again() {
    let database = migrated_database().await;
    let proxy = Proxy::before(&database.url).await;
    let store = Store::connect(proxy.url(), &Schema::default(), 2).await.unwrap();
    let name = database.url.rsplit('/').next().unwrap();
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let only_read = format!("alter database {name} set default_transaction_read_only = on");
    sqlx::raw_sql(AssertSqlSafe(only_read))
        .execute(&mut admin)
        .await
        .unwrap();
    proxy.cut();
    answers_again(&store).await;
    let mut tx = store.begin().await.unwrap();
    let refused = sqlx::raw_sql("delete from rollcall.pending").execute(&mut *tx).await;
    assert!(StoreError::from(refused.unwrap_err()).is_unavailable());
    drop(tx);

    sqlx::raw_sql("set transaction_read_only = off")
        .execute(&mut admin)
        .await
        .unwrap();
    let write = format!("begin; set local transaction_read_only = off; alter database {name} reset all; commit");
    sqlx::raw_sql(AssertSqlSafe(write)).execute(&mut admin).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("delete from rollcall.pending")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cycles_go_on_where_the_server_comes_and_goes() {
    let mut world = World::new(vec![open_environment("production")]).await;
    let proxy = Proxy::before(world.database_url()).await;
    world.engine.store = Store::connect(proxy.url(), &Schema::default(), 5).await.unwrap();
    for round in 0..12 {
        licensed(world.tenant(), &format!("Given{round}"), "Family");
        proxy.weather(if round % 3 == 1 {
            Weather::Refusing
        } else {
            Weather::Clear
        });
        proxy.cut();
        let went = world.run(rollcall::sync::cycle::Request::default()).await;
        if round % 3 == 1 {
            assert!(went.is_err());
        }
    }
    proxy.weather(Weather::Clear);
    answers_again(&world.engine.store).await;
    world.sync_completely().await;
    assert_eq!(world.rows("production").await.len(), 12);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_locks_for_long_delays_a_run_and_breaks_nothing() {
    let world = World::new(vec![open_environment("production")]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    let mut other = world.sql().await;
    sqlx::raw_sql("begin; lock table rollcall.system_user in access exclusive mode")
        .execute(&mut other)
        .await
        .unwrap();
    let waited = world.run(rollcall::sync::cycle::Request::default()).await.unwrap_err();
    assert!(
        matches!(&waited, rollcall::sync::CycleError::Failed(rollcall::sync::Failure::Store(error)) if error.is_unavailable()),
        "{waited:?}"
    );
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    world.sync_completely().await;
    assert_eq!(world.rows("production").await.len(), 1);
    world.end().await;
}

/// A constraint of the customer's own: the rows of the others are written, and this one as soon as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_database_does_not_take_keeps_nobody_else_from_theirs() {
    let world = World::new(vec![open_environment("production")]).await;
    world
        .execute(
            "alter table rollcall.system_user add constraint no_hoppers check (lastname is distinct from 'Hopper')",
        )
        .await;
    for given in ["Ada", "Bea", "Cleo", "Dora", "Eve"] {
        licensed(world.tenant(), given, "Lovelace");
    }
    let grace = licensed(world.tenant(), "Grace", "Hopper");
    world.sync_completely().await;
    assert_eq!(world.rows("production").await.len(), 5);
    assert_eq!(world.findings().await, [format!("row_not_written production {grace}")]);

    let ada = world.rows("production").await.into_values().next().unwrap();
    let ada = ada.azureactivedirectoryobjectid.unwrap();
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    assert_eq!(
        world.row("production", ada).await.unwrap().jobtitle.as_deref(),
        Some("Countess")
    );

    world
        .execute("alter table rollcall.system_user drop constraint no_hoppers")
        .await;
    world.sync_completely().await;
    assert_eq!(
        world.rows("production").await.len(),
        5,
        "nobody says that the rule is gone"
    );
    let full = rollcall::sync::cycle::Request {
        full: true,
        ..rollcall::sync::cycle::Request::default()
    };
    world.run(full).await.unwrap();
    assert_eq!(world.rows("production").await.len(), 6);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_befalls_every_row_ends_the_run_and_blames_nobody() {
    let world = World::new(vec![open_environment("production")]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    licensed(world.tenant(), "Bea", "Lovelace");
    world
        .execute("alter table rollcall.system_user_change rename to elsewhere")
        .await;
    world.run(rollcall::sync::cycle::Request::default()).await.unwrap_err();
    assert!(world.findings().await.is_empty());
    world
        .execute("alter table rollcall.elsewhere rename to system_user_change")
        .await;
    world.sync_completely().await;
    assert_eq!(world.rows("production").await.len(), 2);
    world.end().await;
}
