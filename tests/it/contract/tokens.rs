//! Item 7: what the token service may do to a cycle.

use std::time::Duration;

use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, TokenFault, When};

use super::{
    ENVIRONMENT, USERS, asked, assert_all_enabled, forever, forget_requests, heal, once, page, paged, row, staff,
    sync_incompletely,
};
use crate::world::{NO_LIMITS, open_environment};

const TOKEN: &str = "/oauth2/v2.0/token";

#[tokio::test]
async fn item_7_a_401_once_is_answered_with_a_fresh_token() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    once(&world, page(2), Effect::unauthorized());
    world.sync_completely().await;
    assert_eq!(asked(&world, TOKEN).len(), 2);
    assert_eq!(asked(&world, USERS).len(), 4);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_401_for_ever_ends_the_run_and_disables_nobody() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    forever(&world, When::path("/v1.0/"), Effect::unauthorized());
    forget_requests(&world);
    let report = sync_incompletely(&world).await;
    assert!(
        report.problems.iter().any(|problem| problem.starts_with("users: ")),
        "{report:?}"
    );
    assert_eq!(
        asked(&world, USERS).len(),
        2,
        "once more with a fresh token, and no more"
    );
    assert!(asked(&world, TOKEN).len() <= 4, "{}", asked(&world, TOKEN).len());
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert!(row(&world, users[0]).await.isdisabled);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_token_that_expires_in_mid_round_is_replaced_in_time() {
    let simulator = SimulatorSettings {
        users: 0,
        page_size: 1,
        listing_page_size: 1,
        // Every request takes a quarter of an hour, every token lives an hour and a half at most.
        latency: Duration::from_mins(15),
        ..SimulatorSettings::default()
    };
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, NO_LIMITS).await;
    let users = staff(&world, 12);
    world.sync_completely().await;
    assert!(asked(&world, TOKEN).len() > 2, "{}", asked(&world, TOKEN).len());
    assert_all_enabled(&world, &users).await;
    world.simulator.configure(|settings| settings.latency = Duration::ZERO);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_token_that_dies_early_in_mid_round_is_replaced() {
    let simulator = SimulatorSettings {
        users: 0,
        page_size: 1,
        listing_page_size: 1,
        ..SimulatorSettings::default()
    };
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, NO_LIMITS).await;
    let users = staff(&world, 6);
    for number in [2, 4, 5] {
        once(&world, page(number), Effect::unauthorized());
    }
    world.sync_completely().await;
    world.simulator.revoke_access_tokens();
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_403_after_a_good_token_names_the_permission_and_disables_nobody() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.simulator.configure(|settings| {
        settings.permissions.remove("User.Read.All");
    });
    forget_requests(&world);
    let report = sync_incompletely(&world).await;
    let said = report.problems.iter().any(|problem| problem.contains("User.Read.All"));
    assert!(said, "{report:?}");
    assert_eq!(asked(&world, USERS).len(), 1, "asking again would not help");
    assert!(world.findings().await.contains(&"directory_unavailable".to_owned()));
    assert_all_enabled(&world, &users).await;
    world.simulator.configure(|settings| {
        settings.permissions.insert("User.Read.All".to_owned());
    });
    world.sync_completely().await;
    assert!(row(&world, users[0]).await.isdisabled);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_expires_in_as_a_string_is_understood() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    once(&world, When::token(), Effect::Token(TokenFault::ExpiresInAsString));
    world.sync_completely().await;
    assert_eq!(asked(&world, TOKEN).len(), 1);
    assert_all_enabled(&world, &users).await;
    world.advance(Duration::from_mins(30));
    world.assert_settled().await;
    assert_eq!(asked(&world, TOKEN).len(), 1, "its hour is not over");
    world.end().await;
}

#[tokio::test]
async fn item_7_a_missing_expires_in_makes_a_short_lived_token() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    once(&world, When::token(), Effect::Token(TokenFault::NoExpiresIn));
    world.sync_completely().await;
    assert_eq!(asked(&world, TOKEN).len(), 1);
    assert_all_enabled(&world, &users).await;
    world.advance(Duration::from_mins(10));
    world.assert_settled().await;
    assert_eq!(
        asked(&world, TOKEN).len(),
        2,
        "nobody knows how long it would have lasted"
    );
    world.end().await;
}

#[tokio::test]
async fn item_7_an_expired_secret_is_named_and_not_hammered() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.simulator.revoke_access_tokens();
    forever(&world, When::token(), Effect::Token(TokenFault::SECRET_EXPIRED));
    forget_requests(&world);
    let report = sync_incompletely(&world).await;
    assert!(
        report.problems.iter().any(|problem| problem.contains("AADSTS7000222")),
        "{report:?}"
    );
    assert_eq!(asked(&world, TOKEN).len(), 1, "all sources share one refusal");
    assert_all_enabled(&world, &users).await;
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, TOKEN).len(), 1, "it is remembered for a minute");
    world.advance(Duration::from_mins(5));
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, TOKEN).len(), 2);
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.advance(Duration::from_mins(5));
    world.sync_completely().await;
    assert!(row(&world, users[0]).await.isdisabled);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_federation_that_is_not_ready_twice_then_succeeds() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    let fault = Effect::Token(TokenFault::FEDERATION_NOT_READY);
    world.simulator.faults().push(Fault::times(When::token(), 2, fault));
    world.sync_completely().await;
    assert_eq!(asked(&world, TOKEN).len(), 3);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_7_a_token_service_that_is_down_disables_nobody() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.simulator.revoke_access_tokens();
    forever(&world, When::token(), Effect::html(503));
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert!(row(&world, users[0]).await.isdisabled);
    world.assert_settled().await;
    world.end().await;
}
