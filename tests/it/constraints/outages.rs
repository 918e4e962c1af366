//! What the server itself says stays an outage, also where a trigger of the customer's is on the way.

use rollcall::domain::schema::Schema;
use rollcall::store::Store;
use rollcall::sync::cycle::Request;
use rollcall::sync::{CycleError, DeskError, Failure};

use super::{BAD, DROP_TRIGGER, ENV, run_sql, titled, trigger};
use crate::on_demand::ask_by;
use crate::world::{World, open_environment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_down_while_a_trigger_runs_is_away_and_blames_nobody() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let bob = titled(world.tenant(), "Bob", Some(BAD));
    let ends = trigger(
        "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(9);",
        "",
    );
    run_sql(&world, ends).await;
    let failed = world.run(Request::default()).await.unwrap_err();
    assert!(
        matches!(&failed, CycleError::Failed(Failure::Store(error)) if error.is_unavailable()),
        "{failed:?}"
    );
    let failed = ask_by(&world, "access", bob).await.unwrap_err();
    assert!(
        matches!(&failed, DeskError::Failed(Failure::Store(error)) if error.is_unavailable()),
        "{failed:?}"
    );
    run_sql(&world, DROP_TRIGGER.to_owned()).await;
    world.engine.store = Store::connect(world.database_url(), &Schema::default(), 5)
        .await
        .unwrap();
    world.sync_completely().await;
    assert!(world.row(ENV, bob).await.is_some());
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_on_after_a_trigger_has_raised_what_ends_sessions() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let bob = titled(world.tenant(), "Bob", Some(BAD));
    world.engine.store = Store::connect(world.database_url(), &Schema::default(), 1)
        .await
        .unwrap();
    let backend = async |world: &World| -> i32 {
        let mut db = world.engine.store.read().await.unwrap();
        sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut db)
            .await
            .unwrap()
    };
    run_sql(&world, super::raising("57P01")).await;
    let before = backend(&world).await;
    ask_by(&world, "access", bob).await.unwrap_err();
    assert_eq!(backend(&world).await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_who_meet_are_tried_again_and_nobody_is_refused() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let ada = titled(world.tenant(), "Ada", Some("Fine"));
    let (one, other) = tokio::join!(ask_by(&world, "access", ada), ask_by(&world, "admin_add", ada));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    world.end().await;
}
