//! Orders that once ended wrongly, each by its name.

use std::sync::Arc;
use std::time::Duration;

use rollcall::rules::Client;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, Profile};
use rollcall::simulator::{Carrying, Effect, Fault, Gate, When};
use rollcall::sync::cycle::Request;

use super::GROUP;
use crate::on_demand::{ENV, ask, one_user, stage, stage_of, state, word};
use crate::world::{World, guarded_environment, licensed};

/// Lets a run come to the point where the answer to one of its requests is on its way, does something else, and lets it
/// go on to its end.
async fn while_on_its_way(world: World, request: When, something: impl AsyncFnOnce(&World)) -> World {
    let gate = Gate::default();
    world
        .simulator
        .faults()
        .push(Fault::once(request, Effect::Hold(gate.clone())));
    let world = Arc::new(world);
    let running = Arc::clone(&world);
    let run = tokio::spawn(async move { running.run(Request::default()).await.unwrap() });
    gate.asked().await;
    gate.answer().await;
    something(&world).await;
    gate.send();
    run.await.unwrap();
    Arc::into_inner(world).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race_1_a_user_blocked_while_an_older_page_is_on_its_way_stays_blocked() {
    let (world, ada) = one_user().await;
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    let page = When::path("/users/delta").carrying(Carrying::DeltaToken);
    let world = while_on_its_way(world, page, async |world| {
        world
            .tenant()
            .update_user(ada, |user| user.account_enabled = Some(false));
        assert_eq!(word(world, "refresh", ada).await, "disabled");
    })
    .await;
    assert_eq!(state(&world, ada).await, "directory_account_disabled by sync");
    let disabled = "select count(*) from rollcall.system_user_change where operation in ('enable', 'disable')";
    assert_eq!(world.number(disabled).await, 1, "never enabled in between");

    // What was dropped is asked for again, by the next run and by one a quarter of an hour later.
    let listed = "select count(*) from rollcall.directory_recheck";
    assert_eq!(world.number(listed).await, 1);
    let batches = || world.simulator.request_counts().get("/$batch").copied().unwrap_or(0);
    let before = batches();
    world.sync_completely().await;
    assert_eq!(batches() - before, 1);
    world.assert_settled().await;
    assert_eq!(batches() - before, 1);
    world.advance(Duration::from_mins(15));
    world.sync_completely().await;
    assert_eq!(world.number(listed).await, 0);
    assert_eq!(batches() - before, 2);
    world.assert_settled().await;
    assert_eq!(batches() - before, 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race_2_a_user_made_on_demand_while_the_first_page_of_a_round_is_on_its_way_stays() {
    let (world, _) = one_user().await;
    let request = "update rollcall.checkpoint set phase = 'full', next_link = null where source = 'users'";
    world.execute(request).await;
    let page = When::endpoint("/users");
    let mut eve = None;
    let world = while_on_its_way(world, page, async |world| {
        let id = licensed(world.tenant(), "Eve", "Moneypenny");
        assert_eq!(word(world, "access", id).await, "created");
        eve = Some(id);
    })
    .await;
    assert_eq!(state(&world, eve.unwrap()).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race_3_a_role_given_while_an_older_listing_is_on_its_way_counts() {
    let world = stage().await;
    let bob = licensed(world.tenant(), "Bob", "Babbage");
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, bob, "/");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().give_profile(ada, Profile::Unlicensed);
    world.sync_completely().await;
    let world = while_on_its_way(world, When::path("roleAssignments"), async |world| {
        world.tenant().assign_role(GLOBAL_ADMINISTRATOR, ada, "/");
        assert_eq!(word(world, "access", ada).await, "created");
    })
    .await;
    assert_eq!(state(&world, ada).await, "enabled");
    assert_eq!(world.row(ENV, ada).await.unwrap().accessmode, 1);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_added_while_an_older_listing_is_on_its_way_is_one() {
    let world = stage_of(guarded_environment(ENV, GROUP)).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    let bob = licensed(world.tenant(), "Bob", "Babbage");
    world.tenant().add_member(GROUP, bob);
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let listing = When::path(format!("/groups/{GROUP}/members"));
    let world = while_on_its_way(world, listing, async |world| {
        world.tenant().add_member(GROUP, ada);
        let user = ada.to_string();
        // Nothing has been read yet: the group counts as unreadable for everybody but those who say to be in it.
        world
            .engine
            .desk()
            .access(ask(&user), Client::Interactive)
            .await
            .unwrap();
    })
    .await;
    assert_eq!(state(&world, ada).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}
