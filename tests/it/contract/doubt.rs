//! Doubt is not evidence (rules.md, section 11): what a source says that cannot be meant disables nobody by itself.
//! It is held for a person, the run says it is incomplete, and what was doubted is read anew by the next run.

use std::time::Duration;

use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Effect, Settings as SimulatorSettings, When};
use rollcall::sync::Outcome;
use rollcall::sync::approval::Decision;
use uuid::Uuid;

use super::{
    ENVIRONMENT, USERS, assert_all_enabled, disabled, forever, has_row, heal, once, paged, paged_with, row, staff,
    sync_incompletely, unlicense,
};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const DECISIONS: &str = "select coalesce(decision, 'open') from rollcall.held_set";
const GATE: Uuid = Uuid::from_u128(0x9999);

/// Answers with a listing in which nobody stands.
fn nobody() -> Effect {
    Effect::rewrite(|page| {
        page["value"] = serde_json::json!([]);
        if let Some(page) = page.as_object_mut() {
            page.remove("@odata.nextLink");
        }
    })
}

async fn gate(count: usize) -> (World, Vec<Uuid>) {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 200).await;
    let users = staff(&world, count);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    (world, users)
}

#[tokio::test]
async fn a_group_listing_that_comes_back_empty_is_held_until_the_members_come_back() {
    let (world, users) = gate(5).await;
    for user in &users {
        world.tenant().remove_member(GATE, *user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    let report = sync_incompletely(&world).await;
    assert!(report.holds);
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (5, 0));
    assert_all_enabled(&world, &users).await;
    assert_eq!(world.findings().await, ["removals_held production"]);
    world.assert_settled().await;

    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(world.strings(DECISIONS).await, ["changed_back"]);
    world.assert_settled().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_group_listing_that_came_back_empty_by_mistake_is_read_anew_by_the_next_run() {
    let (world, users) = gate(5).await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    once(&world, When::path("/groups/{id}/members"), nobody());
    let report = sync_incompletely(&world).await;
    assert_eq!(report.environments[0].held, 5);
    world.sync_completely().await;
    assert_eq!(world.strings(DECISIONS).await, ["changed_back"]);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn a_group_that_really_is_empty_can_be_approved() {
    let (world, users) = gate(3).await;
    for user in &users {
        world.tenant().remove_member(GATE, *user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    let report = sync_incompletely(&world).await;
    world.assert_settled().await;
    let decided = world
        .engine
        .decide(report.run, None, Decision::Approve, "admin@contoso.example")
        .await
        .unwrap();
    assert_eq!(decided[0].disabled, 3);
    for user in users {
        assert_eq!(disabled(&world, user).await.as_deref(), Some("not_in_security_group"));
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn members_that_a_delta_removes_one_by_one_are_evidence() {
    let (world, users) = gate(5).await;
    for user in &users {
        world.tenant().remove_member(GATE, *user);
    }
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 5);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_users_listing_that_comes_back_empty_after_a_resync_is_held_and_read_anew() {
    let world = paged(10).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    once(&world, When::path(USERS).after(1), nobody());
    let report = sync_incompletely(&world).await;
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (5, 0));
    assert_all_enabled(&world, &users).await;
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert!(world.rows(ENVIRONMENT).await.values().all(|row| row.azurestate == 0));
    assert_eq!(world.strings(DECISIONS).await, ["changed_back"]);
    world.assert_settled().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_users_listing_that_stays_empty_stays_held() {
    let world = paged(10).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    for user in &users {
        world.tenant().purge(*user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    sync_incompletely(&world).await;
    for _ in 0..3 {
        world.sync().await;
        assert_all_enabled(&world, &users).await;
    }
    world.assert_settled().await;
    assert_eq!(world.findings().await, ["removals_held production"]);
    world.end().await;
}

/// Takes `assignedPlans` from everybody.
fn without_plans() -> Effect {
    Effect::rewrite(|page| {
        for user in page["value"].as_array_mut().into_iter().flatten() {
            user.as_object_mut().unwrap().remove("assignedPlans");
        }
    })
}

#[tokio::test]
async fn plans_missing_for_everybody_in_a_resync_are_held_and_come_back() {
    let world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(&world, When::path(USERS), without_plans());
    let report = sync_incompletely(&world).await;
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (5, 0));
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert!(world.rows(ENVIRONMENT).await.values().all(|row| row.islicensed));
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn plans_that_turn_null_for_everybody_in_a_later_round_are_held_and_come_back() {
    let world = paged(10).await;
    let users = staff(&world, 30);
    world.sync_completely().await;
    for user in &users[..25] {
        world.tenant().replay_user(*user);
    }
    forever(
        &world,
        When::path(USERS),
        Effect::rewrite(|page| {
            for user in page["value"].as_array_mut().unwrap() {
                user["assignedPlans"] = serde_json::Value::Null;
            }
        }),
    );
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert!(world.rows(ENVIRONMENT).await.values().all(|row| row.islicensed));
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn a_catalogue_that_suddenly_matches_nobody_is_held() {
    let world = paged(50).await;
    let users = staff(&world, 25);
    world.sync_completely().await;
    for user in &users {
        unlicense(&world, *user);
    }
    let report = sync_incompletely(&world).await;
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (25, 0));
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

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
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, NO_LIMITS).await;
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
        super::page(2),
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
    super::forget_requests(&world);
    world.assert_settled().await;
    assert_eq!(
        super::beginnings(&super::asked(&world, USERS)),
        0,
        "nobody is missing any more"
    );
    world.end().await;
}

#[tokio::test]
async fn a_removal_approved_while_its_group_cannot_be_read_waits_until_it_can() {
    let simulator = SimulatorSettings {
        users: 0,
        ..SimulatorSettings::default()
    };
    let limits = Limits {
        max_disables: 0,
        ..NO_LIMITS
    };
    let world = super::stage(vec![guarded_environment(ENVIRONMENT, GATE)], simulator, limits).await;
    let users = staff(&world, 3);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    world.tenant().remove_member(GATE, users[0]);
    let held = world.sync().await;
    assert_eq!(held.outcome, Outcome::Held);
    world.simulator.configure(|settings| {
        settings.permissions.remove("GroupMember.Read.All");
    });
    sync_incompletely(&world).await;
    let approve = async || {
        let decided = world
            .engine
            .decide(held.run, None, Decision::Approve, "admin@contoso.example");
        decided.await.unwrap()[0].disabled
    };
    assert_eq!(approve().await, 0);
    assert_all_enabled(&world, &users).await;

    // What was approved is spent; the removal is found anew and held anew.
    world.simulator.configure(|settings| {
        settings.permissions.insert("GroupMember.Read.All".to_owned());
    });
    let again = world.sync().await;
    assert_eq!((again.outcome, again.environments[0].held), (Outcome::Held, 1));
    world.assert_settled().await;
    world.end().await;
}
