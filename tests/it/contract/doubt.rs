//! Doubt is not evidence (rules.md, section 11): what a source says that cannot be meant disables nobody by itself.
//! It is held for a person, the run says it is incomplete, and what was doubted is read anew by the next run.

use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, TokenDeath, User};
use rollcall::simulator::{Effect, Settings as SimulatorSettings, When};
use rollcall::sync::RunOutcome;
use rollcall::sync::guard::approval::Decision;

use super::{
    ENVIRONMENT, GATE, USERS, assert_all_enabled, disabled, forever, gate, heal, listed, nobody, once, paged, row,
    staff, sync_incompletely, unlicense,
};
use crate::world::{NO_LIMITS, guarded_environment};

const DECISIONS: &str = "select coalesce(decision, 'open') from rollcall.held_set";

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
async fn a_group_of_administrators_that_comes_back_empty_by_mistake_costs_nobody_the_access() {
    let (world, _) = gate(5).await;
    let group = world.tenant().create_role_group("Administrators");
    let admin = world.tenant().add_user(User::named("Ada", "Admin"));
    world.tenant().add_member(group, admin);
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    assert_all_enabled(&world, &[admin]).await;
    once(&world, When::path("/groups/{id}/members"), nobody());
    let report = sync_incompletely(&world).await;
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (1, 0));
    assert_all_enabled(&world, &[admin]).await;
    world.sync_completely().await;
    assert_eq!(world.strings(DECISIONS).await, ["changed_back"]);
    assert_all_enabled(&world, &[admin]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_last_administrator_of_a_group_who_leaves_it_is_none_any_more() {
    let (world, _) = gate(5).await;
    let group = world.tenant().create_role_group("Administrators");
    let admin = world.tenant().add_user(User::named("Ada", "Admin"));
    world.tenant().add_member(group, admin);
    let other = world.tenant().add_user(User::named("Bea", "Admin"));
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, other, "/");
    world.sync_completely().await;
    assert_all_enabled(&world, &[admin, other]).await;
    world.tenant().remove_member(group, admin);
    world.sync_completely().await;
    assert_eq!(disabled(&world, admin).await.as_deref(), Some("not_in_security_group"));
    world.assert_settled().await;
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
        .guard()
        .decide(report.run, None, Decision::Approve, "admin@contoso.example")
        .await
        .unwrap();
    assert_eq!(decided.environments[0].counts.disabled, 3);
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
async fn a_users_listing_that_comes_back_empty_holds_who_is_gone_by_a_look_up_and_is_read_anew() {
    let world = listed(10).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    once(&world, When::endpoint("/users"), nobody());
    let report = sync_incompletely(&world).await;
    // Everybody is looked up, and one user is gone.
    assert_eq!((report.environments[0].held, report.environments[0].disabled), (1, 0));
    assert_all_enabled(&world, &users).await;
    assert!(row(&world, users[1]).await.azurestate == 0);
    world.sync().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    assert_eq!(world.findings().await, ["removals_held production"]);
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
    assert_eq!(held.outcome, RunOutcome::Held);
    world.simulator.configure(|settings| {
        settings.permissions.remove("GroupMember.Read.All");
    });
    sync_incompletely(&world).await;
    let approve = async || {
        let guard = world.engine.guard();
        let decided = guard.decide(held.run, None, Decision::Approve, "admin@contoso.example");
        decided.await.unwrap().environments[0].counts.disabled
    };
    assert_eq!(approve().await, 0);
    assert_all_enabled(&world, &users).await;

    // What was approved is spent; the removal is found anew and held anew.
    world.simulator.configure(|settings| {
        settings.permissions.insert("GroupMember.Read.All".to_owned());
    });
    let again = world.sync().await;
    assert_eq!((again.outcome, again.environments[0].held), (RunOutcome::Held, 1));
    world.assert_settled().await;
    world.end().await;
}
