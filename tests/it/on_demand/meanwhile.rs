//! A cycle that hears of the user between the question and its answer (architecture: nothing lost): what was asked
//! before is older than what the cycle wrote, and the feed tells everything once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::simulator::tenant::Tenant;
use rollcall::simulator::{Effect, Fault, When};
use rollcall::sync::cycle::Request;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{ENV, one_user, stage, stage_of, state, word};
use crate::world::{World, guarded_environment, licensed};

/// The next answer at this path is on its way when the tenant changes and a cycle comes by.
fn meanwhile(world: &World, path: &str, change: impl Fn(&Tenant) + Send + Sync + 'static) {
    let (engine, lease, tenant) = (world.engine.clone(), world.lease.clone(), Arc::clone(world.tenant()));
    let effect = Effect::rewrite(move |_| {
        change(&tenant);
        let cycle = async {
            let request = Request::default();
            engine.cycle().run(&lease, &request, async |_| {}).await.unwrap();
        };
        tokio::task::block_in_place(|| Handle::current().block_on(cycle));
    });
    world.simulator.faults().push(Fault::once(When::path(path), effect));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_account_blocked_while_somebody_asks_stays_blocked() {
    let (world, ada) = one_user().await;
    meanwhile(&world, &format!("/users/{ada}?"), move |tenant| {
        tenant.update_user(ada, |user| user.account_enabled = Some(false));
    });
    assert_eq!(word(&world, "access", ada).await, "directory_account_disabled");
    assert_eq!(state(&world, ada).await, "directory_account_disabled by sync");
    assert_eq!(world.simulator.faults().pending(), 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn somebody_new_whom_the_cycle_makes_meanwhile_is_asked_about_again() {
    let world = stage().await;
    world.sync_completely().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let name = "ada.lovelace@contoso.example";
    meanwhile(&world, &format!("/users/{name}?"), move |tenant| {
        tenant.update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    });
    assert_eq!(word(&world, "admin_add", name).await, "unchanged");
    assert_eq!(super::row(&world, ada).await.jobtitle.as_deref(), Some("Countess"));
    assert_eq!(world.simulator.faults().pending(), 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_membership_that_ends_while_somebody_asks_has_ended() {
    let group = Uuid::from_u128(0x6060);
    let world = stage_of(guarded_environment(ENV, group)).await;
    world.tenant().create_group_with_id(group, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(group, ada);
    world.sync_completely().await;
    meanwhile(&world, &format!("/users/{ada}/memberOf"), move |tenant| {
        tenant.remove_member(group, ada);
    });
    assert_eq!(word(&world, "access", ada).await, "not_in_security_group");
    assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
    assert_eq!(world.simulator.faults().pending(), 0);
    world.assert_settled().await;
    world.end().await;
}

/// Waits until so many sessions of this database wait for a lock.
async fn waits_for_locks(world: &World, sessions: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if world.number(waiting).await >= sessions {
            return;
        }
        Clock::system().sleep(Duration::from_millis(5)).await;
    }
    panic!("{sessions} sessions never wait at once");
}

/// The answer, with the member in it, is older than the page, and the page is older than what follows the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_membership_that_ends_with_a_page_that_is_not_committed_yet_has_ended() {
    let group = Uuid::from_u128(0x6060);
    let world = Arc::new(stage_of(guarded_environment(ENV, group)).await);
    world.tenant().create_group_with_id(group, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(group, ada);
    world.sync_completely().await;
    let mut other = world.sql().await;
    sqlx::raw_sql("begin; select from rollcall.checkpoint where source like 'group:%' for update")
        .execute(&mut other)
        .await
        .unwrap();
    let (cycling, tenant) = (Arc::clone(&world), Arc::clone(world.tenant()));
    let cycle = Arc::new(Mutex::new(None));
    let begun = Arc::clone(&cycle);
    let effect = Effect::rewrite(move |_| {
        tenant.remove_member(group, ada);
        let world = Arc::clone(&cycling);
        let running = Handle::current().spawn(async move { world.sync().await });
        *begun.lock().unwrap() = Some(running);
        tokio::task::block_in_place(|| Handle::current().block_on(waits_for_locks(&cycling, 1)));
    });
    let asked = When::path(format!("/users/{ada}/memberOf"));
    world.simulator.faults().push(Fault::once(asked, effect));
    let asking = word(&world, "access", ada);
    let let_go = async {
        waits_for_locks(&world, 2).await;
        sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, let_go);
    assert_eq!(answer, "not_in_security_group");
    let running = cycle.lock().unwrap().take().unwrap();
    running.await.unwrap();
    assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
    world.assert_settled().await;
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn somebody_restored_while_somebody_asks_is_there() {
    let (world, ada) = one_user().await;
    world.tenant().soft_delete(ada);
    world.sync_completely().await;
    meanwhile(&world, &format!("/directory/deletedItems/{ada}"), move |tenant| {
        tenant.restore(ada);
        tenant.update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    });
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    assert_eq!(state(&world, ada).await, "enabled", "by the cycle");
    world.assert_settled().await;
    world.end().await;
}
