//! Users who are listed and cannot be read: a missing permission looks like this. Nobody is disabled for it, and what
//! was missed is read as soon as it can be (rules.md, gate 6).

use std::time::Duration;

use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Effect, Settings as SimulatorSettings};

use super::{
    ENVIRONMENT, USERS, asked, assert_all_enabled, beginnings, disabled, forget_requests, has_row, once, page, paged,
    row, staff, stage, sync_incompletely,
};
use crate::world::{NO_LIMITS, World, licensed, open_environment};

/// A stage whose application may read nothing of a user but her id, from now on.
fn limited(world: &World) {
    world
        .simulator
        .configure(|settings| settings.limited_information = true);
}

fn unlimited(world: &World) {
    world
        .simulator
        .configure(|settings| settings.limited_information = false);
}

#[tokio::test]
async fn limited_information_in_a_later_round_disables_nobody_and_heals() {
    let world = paged(10).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    limited(&world);
    world
        .tenant()
        .update_user(users[0], |user| user.job_title = Some("Unreadable".to_owned()));
    for _ in 0..2 {
        sync_incompletely(&world).await;
        assert_all_enabled(&world, &users).await;
        assert_eq!(
            row(&world, users[0]).await.firstname.as_deref(),
            Some("User"),
            "nothing is cleared"
        );
        assert!(!world.findings().await.is_empty());
    }
    unlimited(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(row(&world, users[0]).await.jobtitle.as_deref(), Some("Unreadable"));
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn limited_information_in_a_resync_disables_nobody_and_heals() {
    let world = paged(10).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    limited(&world);
    world.tenant().expire_tokens(TokenDeath::Gone);
    for _ in 0..2 {
        sync_incompletely(&world).await;
        assert_all_enabled(&world, &users).await;
    }
    unlimited(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn limited_information_from_the_start_creates_nobody_and_heals() {
    let simulator = SimulatorSettings {
        users: 0,
        limited_information: true,
        ..SimulatorSettings::default()
    };
    let world = stage(vec![open_environment(ENVIRONMENT)], simulator, NO_LIMITS).await;
    let users = staff(&world, 3);
    sync_incompletely(&world).await;
    assert!(world.rows(ENVIRONMENT).await.is_empty());
    unlimited(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn a_permission_reduced_to_basic_reading_disables_nobody_and_heals() {
    let world = paged(10).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    let late = licensed(world.tenant(), "Late", "Comer");
    world.simulator.configure(|settings| {
        settings.permissions.remove("User.Read.All");
        settings.permissions.insert("User.ReadBasic.All".to_owned());
    });
    world.tenant().expire_tokens(TokenDeath::Gone);
    for _ in 0..2 {
        sync_incompletely(&world).await;
        assert_all_enabled(&world, &users).await;
        assert!(!has_row(&world, late).await);
    }
    world.simulator.configure(|settings| {
        settings.permissions.insert("User.Read.All".to_owned());
    });
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_all_enabled(&world, &[late]).await;
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn one_user_whose_account_state_cannot_be_read_is_left_alone() {
    let world = paged(10).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().update_user(users[0], |user| user.account_enabled = None);
    world
        .tenant()
        .update_user(users[1], |user| user.job_title = Some("Readable".to_owned()));
    world.sync().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(row(&world, users[1]).await.jobtitle.as_deref(), Some("Readable"));
    assert_eq!(
        world.findings().await,
        [format!("directory_unavailable production {}", users[0])]
    );
    world.assert_settled().await;
    world
        .tenant()
        .update_user(users[0], |user| user.account_enabled = Some(false));
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("directory_account_disabled")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn who_could_not_be_read_is_asked_for_anew_when_everyone_is_judged_anew() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    once(
        &world,
        page(2),
        Effect::rewrite(|page| page["value"][0]["accountEnabled"] = serde_json::Value::Null),
    );
    world.sync_completely().await;
    assert!(!has_row(&world, users[2]).await);
    let finding = format!("directory_unavailable production {}", users[2]);
    assert_eq!(world.findings().await, [finding]);
    world.assert_settled().await;

    world.advance(Duration::from_hours(25));
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.advance(Duration::from_hours(25));
    forget_requests(&world);
    world.assert_settled().await;
    assert_eq!(beginnings(&asked(&world, USERS)), 0, "nobody is missing any more");
    world.end().await;
}
