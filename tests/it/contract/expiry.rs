//! Item 5: the ways in which a token dies, and that none of them is a loop.

use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Canned, Carrying, Effect, When};
use uuid::Uuid;

use super::{
    ENVIRONMENT, USERS, asked, assert_all_enabled, beginnings, disabled, forever, forget_requests, heal, once, page,
    paged, paged_with, row, staff, sync_incompletely,
};
use crate::world::guarded_environment;

/// A dead delta token begins one full round: what changed while it was dead is found, and nothing is asked twice.
async fn begins_one_full_round(death: TokenDeath) {
    let world = paged(2).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world
        .tenant()
        .update_user(users[1], |user| user.job_title = Some("Meanwhile".to_owned()));
    world.tenant().expire_tokens(death);
    forget_requests(&world);
    world.sync_completely().await;
    let requests = asked(&world, USERS);
    let refused = requests.iter().filter(|seen| seen.status != 200).count();
    assert_eq!((refused, beginnings(&requests)), (1, 1), "{requests:?}");
    assert_eq!(requests.len(), 4, "the refusal and three pages");
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    assert_eq!(row(&world, users[1]).await.jobtitle.as_deref(), Some("Meanwhile"));
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_a_410_with_location_begins_one_full_round() {
    begins_one_full_round(TokenDeath::GoneWithLocation).await;
}

#[tokio::test]
async fn item_5_a_410_without_location_begins_one_full_round() {
    begins_one_full_round(TokenDeath::Gone).await;
}

#[tokio::test]
async fn item_5_a_410_sync_state_not_found_with_a_capital_begins_one_full_round() {
    begins_one_full_round(TokenDeath::GoneSyncStateNotFound).await;
}

#[tokio::test]
async fn item_5_a_400_sync_state_not_found_begins_one_full_round() {
    begins_one_full_round(TokenDeath::SyncStateNotFound).await;
}

#[tokio::test]
async fn item_5_a_400_unsupported_query_on_a_token_call_begins_one_full_round() {
    begins_one_full_round(TokenDeath::UnsupportedQuery).await;
}

#[tokio::test]
async fn item_5_a_400_expired_page_token_on_a_token_call_begins_one_full_round() {
    begins_one_full_round(TokenDeath::ExpiredPageToken).await;
}

#[tokio::test]
async fn item_5_any_other_4xx_on_a_token_call_begins_one_full_round() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    forget_requests(&world);
    once(
        &world,
        When::path(USERS).carrying(Carrying::DeltaToken),
        Effect::error(400, "Request_BadRequest"),
    );
    world.sync_completely().await;
    let requests = asked(&world, USERS);
    assert_eq!((beginnings(&requests), requests.len()), (1, 3), "{requests:?}");
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_a_token_that_outlived_its_time_begins_one_full_round() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.advance(std::time::Duration::from_hours(8 * 24));
    world.tenant().purge(users[0]);
    forget_requests(&world);
    world.sync_completely().await;
    assert_eq!(beginnings(&asked(&world, USERS)), 1);
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

/// The same answer to a first call is a refusal, not an expiry: asked once a run and way to begin, and nobody is touched.
async fn a_first_call_does_not_loop(effect: Effect, ways: usize) {
    let world = paged(2).await;
    let users = staff(&world, 4);
    let refuse = || {
        for first in [Carrying::Latest, Carrying::Nothing] {
            forever(&world, When::path(USERS).carrying(first), effect.clone());
        }
    };
    refuse();
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, USERS).len(), ways, "before anything was ever read");
    assert!(world.rows(ENVIRONMENT).await.is_empty());
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;

    world.tenant().purge(users[0]);
    world.tenant().expire_tokens(TokenDeath::UnsupportedQuery);
    refuse();
    for run in 1..=3 {
        forget_requests(&world);
        sync_incompletely(&world).await;
        let asked = asked(&world, USERS).len();
        assert_eq!(asked, if run == 1 { 1 + ways } else { ways }, "run {run}");
        assert_all_enabled(&world, &users).await;
    }
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_a_410_with_location_on_a_first_call_does_not_loop() {
    a_first_call_does_not_loop(Effect::gone(true), 1).await;
}

#[tokio::test]
async fn item_5_a_410_without_location_on_a_first_call_does_not_loop() {
    a_first_call_does_not_loop(Effect::gone(false), 1).await;
}

#[tokio::test]
async fn item_5_a_400_sync_state_not_found_on_a_first_call_does_not_loop() {
    a_first_call_does_not_loop(Effect::error(400, "syncStateNotFound"), 2).await;
}

#[tokio::test]
async fn item_5_a_400_unsupported_query_on_a_first_call_does_not_loop() {
    a_first_call_does_not_loop(Effect::error(400, "Request_UnsupportedQuery"), 2).await;
}

#[tokio::test]
async fn item_5_a_400_expired_page_token_on_a_first_call_does_not_loop() {
    a_first_call_does_not_loop(Effect::error(400, "Directory_ExpiredPageToken"), 2).await;
}

#[tokio::test]
async fn item_5_a_location_on_another_host_is_not_followed() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    let stranger = super::links::Stranger::listen().await;
    once(
        &world,
        When::path(USERS).carrying(Carrying::DeltaToken),
        Effect::Answer(Canned {
            status: 410,
            code: Some("resyncRequired".to_owned()),
            headers: vec![("location".to_owned(), format!("{}/v1.0/users/delta", stranger.root()))],
            ..Canned::default()
        }),
    );
    world.sync_completely().await;
    assert_eq!(stranger.visits(), 0);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_an_expired_page_token_in_a_first_round_begins_it_anew() {
    let world = paged(2).await;
    let users = staff(&world, 8);
    once(
        &world,
        page(3),
        Effect::meanwhile(rollcall::simulator::Tenant::expire_page_tokens),
    );
    world.sync_completely().await;
    assert_eq!(beginnings(&asked(&world, USERS)), 2);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_an_expired_page_token_in_a_later_round_goes_back_to_the_delta_link() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    for user in &users {
        world
            .tenant()
            .update_user(*user, |user| user.job_title = Some("Changed".to_owned()));
    }
    forget_requests(&world);
    once(
        &world,
        When::path(USERS).carrying(Carrying::SkipToken),
        Effect::error(400, "Directory_ExpiredPageToken"),
    );
    world.sync_completely().await;
    assert_eq!(beginnings(&asked(&world, USERS)), 0, "the delta link was still good");
    let rows = world.rows(ENVIRONMENT).await;
    assert!(rows.values().all(|row| row.jobtitle.as_deref() == Some("Changed")));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_page_tokens_that_always_expire_end_the_run() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(
        &world,
        When::path(USERS).carrying(Carrying::SkipToken),
        Effect::error(400, "Directory_ExpiredPageToken"),
    );
    for _ in 0..2 {
        forget_requests(&world);
        sync_incompletely(&world).await;
        assert!(asked(&world, USERS).len() <= 13, "{}", asked(&world, USERS).len());
        assert_all_enabled(&world, &users).await;
    }
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_5_a_dead_group_token_of_any_shape_reads_the_members_anew() {
    for death in TokenDeath::ALL {
        let group = Uuid::from_u128(0x9999);
        let world = paged_with(vec![guarded_environment(ENVIRONMENT, group)], 200).await;
        let users = staff(&world, 4);
        world.tenant().create_group_with_id(group, "Gate");
        world.tenant().add_members(group, users[..3].iter().copied());
        world.sync_completely().await;
        world.tenant().remove_member(group, users[0]);
        world.tenant().add_member(group, users[3]);
        world.tenant().expire_tokens(death);
        forget_requests(&world);
        world.sync_completely().await;
        assert_eq!(asked(&world, "/groups/{id}/members").len(), 1, "{death:?}");
        assert_eq!(
            disabled(&world, users[0]).await.as_deref(),
            Some("not_in_security_group"),
            "{death:?}"
        );
        assert_all_enabled(&world, &users[1..]).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_5_a_group_whose_first_call_is_refused_so_does_not_loop() {
    let group = Uuid::from_u128(0x9999);
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, group)], 200).await;
    let users = staff(&world, 3);
    world.tenant().create_group_with_id(group, "Gate");
    world.tenant().add_members(group, users.iter().copied());
    world.sync_completely().await;
    world.tenant().expire_tokens(TokenDeath::UnsupportedQuery);
    forever(
        &world,
        When::path("/groups/delta"),
        Effect::error(400, "Request_UnsupportedQuery"),
    );
    for _ in 0..2 {
        forget_requests(&world);
        sync_incompletely(&world).await;
        assert!(asked(&world, "/groups/delta").len() <= 2);
        assert_all_enabled(&world, &users).await;
    }
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}
