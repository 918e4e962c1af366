//! A cycle that hears of the user between the question and its answer (architecture: nothing lost): what was asked
//! before is older than what the cycle wrote, and the feed tells everything once.

use std::sync::Arc;

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
            engine.run(&lease, &request, async |_| {}).await.unwrap();
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
