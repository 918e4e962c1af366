//! On demand and the guard (rules.md, section 11): what a person has to decide, nobody decides by asking.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::sync::guard::approval::Decision;
use uuid::Uuid;

use super::{ENV, counted_disables, row, state, word};
use crate::guard::{allow, block, crowd, decide, limits, open_sets, sync_held, without_marketing};
use crate::world::{World, licensed, open_environment};

#[tokio::test]
async fn a_row_in_a_held_set_is_not_disabled_on_demand() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    sync_held(&world, 4).await;
    for way in ["access", "api", "admin_add"] {
        assert_eq!(word(&world, way, users[0]).await, "directory_account_disabled", "{way}");
    }
    assert_eq!(word(&world, "refresh", users[0]).await, "unchanged");
    assert_eq!(state(&world, users[0]).await, "enabled");
    assert_eq!(open_sets(&world).await[0].rows, 4, "the set is fixed");
    // One who is in no set is disabled at once, although a set is open.
    block(&world, &users[4..5]);
    assert_eq!(word(&world, "access", users[4]).await, "directory_account_disabled");
    assert_eq!(state(&world, users[4]).await, "directory_account_disabled by sync");
    assert_eq!(counted_disables(&world).await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_held_row_follows_the_directory_in_everything_else() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    sync_held(&world, 4).await;
    world.tenant().soft_delete(users[1]);
    assert_eq!(word(&world, "access", users[1]).await, "user_soft_deleted");
    let row = row(&world, users[1]).await;
    assert_eq!((row.isdisabled, row.azurestate), (false, 1));
    assert!(row.azuredeletedon.is_some());
    world.end().await;
}

#[tokio::test]
async fn a_rejected_row_is_not_disabled_on_demand_either() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let held = sync_held(&world, 4).await;
    decide(&world, held.run, Decision::Reject).await.unwrap();
    assert_eq!(word(&world, "access", users[0]).await, "directory_account_disabled");
    assert_eq!(word(&world, "refresh", users[1]).await, "unchanged");
    assert_eq!(state(&world, users[0]).await, "enabled");
    assert_eq!(state(&world, users[1]).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_qualifies_again_leaves_the_held_set_by_the_next_cycle() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    sync_held(&world, 4).await;
    allow(&world, &users[..1]);
    assert_eq!(word(&world, "access", users[0]).await, "unchanged");
    world.sync().await;
    assert_eq!(open_sets(&world).await[0].rows, 3);
    world.end().await;
}

#[tokio::test]
async fn a_person_who_disables_takes_the_row_out_of_the_held_set() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    sync_held(&world, 4).await;
    assert_eq!(word(&world, "disable", users[0]).await, "disabled");
    assert_eq!(open_sets(&world).await[0].rows, 3);
    assert_eq!(state(&world, users[0]).await, "disabled_by_hand by helpdesk");
    world.end().await;
}

#[tokio::test]
async fn disables_on_demand_use_up_what_the_guard_lets_through() {
    let world = World::with(
        vec![open_environment(ENV)],
        SimulatorSettings::default(),
        limits(3, 100.0),
    )
    .await;
    without_marketing(world.tenant());
    let users: Vec<Uuid> = (0..8)
        .map(|number| licensed(world.tenant(), "User", &number.to_string()))
        .collect();
    world.sync_completely().await;
    block(&world, &users[..4]);
    for user in &users[..2] {
        assert_eq!(word(&world, "access", user).await, "directory_account_disabled");
    }
    // Two of three are used up; the two that the cycle finds would make four.
    sync_held(&world, 2).await;
    assert_eq!(state(&world, users[2]).await, "enabled");
    world.end().await;
}
