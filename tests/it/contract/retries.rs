//! Item 6: answers that pass, through whole cycles. The clock is simulated, so waiting takes no time.

use std::time::Duration;

use rollcall::simulator::{Canned, Effect, Fault, RetryAfter, When};

use super::{
    ENVIRONMENT, USERS, asked, assert_all_enabled, beginnings, forever, forget_requests, heal, once, page, paged, row,
    staff, sync_incompletely,
};

/// Page 2 meets this so many times; the cycle completes all the same. Answers how long the cycle waited.
async fn survives(effect: Effect, times: u64) -> Duration {
    let world = paged(2).await;
    let users = staff(&world, 6);
    world.simulator.faults().push(Fault::times(page(2), times, effect));
    let began = world.clock.now();
    world.sync_completely().await;
    let waited = (world.clock.now() - began).to_std().unwrap();
    let pages = asked(&world, USERS);
    assert_eq!(
        (pages.len() as u64, beginnings(&pages)),
        (3 + times, 1),
        "only the page itself is asked again"
    );
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
    waited
}

#[tokio::test]
async fn item_6_a_429_with_whole_seconds_is_waited_out() {
    let waited = survives(Effect::throttled(Some(RetryAfter::Seconds(17))), 1).await;
    assert_eq!(waited, Duration::from_secs(17));
}

#[tokio::test]
async fn item_6_a_429_with_a_fraction_of_seconds_is_waited_out() {
    let waited = survives(Effect::throttled(Some(RetryAfter::Fraction(2.128))), 2).await;
    assert_eq!(waited, Duration::from_millis(2 * 2128));
}

#[tokio::test]
async fn item_6_a_429_with_an_http_date_is_waited_out() {
    let waited = survives(Effect::throttled(Some(RetryAfter::Date(Duration::from_secs(30)))), 1).await;
    assert_eq!(waited, Duration::from_secs(30));
}

#[tokio::test]
async fn item_6_a_429_without_retry_after_backs_off() {
    let waited = survives(Effect::throttled(None), 3).await;
    assert!(!waited.is_zero() && waited <= Duration::from_secs(7), "{waited:?}");
}

#[tokio::test]
async fn item_6_a_503_then_success_completes() {
    survives(Effect::unavailable(None), 1).await;
    let waited = survives(Effect::unavailable(Some(RetryAfter::Seconds(5))), 1).await;
    assert_eq!(waited, Duration::from_secs(5));
}

#[tokio::test]
async fn item_6_a_504_then_success_completes() {
    survives(Effect::error(504, "GatewayTimeout"), 2).await;
}

#[tokio::test]
async fn item_6_a_connection_cut_in_mid_body_is_asked_again() {
    survives(Effect::Cut(400), 2).await;
}

#[tokio::test]
async fn item_6_a_connection_that_hangs_up_is_asked_again() {
    survives(Effect::Hangup, 2).await;
}

#[tokio::test]
async fn item_6_truncated_json_is_asked_again() {
    survives(Effect::Truncate, 2).await;
}

#[tokio::test]
async fn item_6_an_html_error_page_is_asked_again() {
    survives(Effect::html(502), 1).await;
    survives(Effect::html(503), 1).await;
}

#[tokio::test]
async fn item_6_an_html_page_with_200_is_asked_again() {
    survives(Effect::html(200), 1).await;
}

#[tokio::test]
async fn item_6_an_empty_body_is_asked_again() {
    survives(Effect::empty_body(200), 1).await;
    survives(Effect::empty_body(500), 1).await;
}

#[tokio::test]
async fn item_6_an_empty_error_code_is_no_obstacle() {
    survives(Effect::error(503, ""), 2).await;
    survives(Effect::error(429, ""), 1).await;
}

#[tokio::test]
async fn item_6_a_refusal_with_an_empty_code_ends_the_source_for_this_run() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    forever(&world, page(1), Effect::error(403, ""));
    let report = sync_incompletely(&world).await;
    assert!(report.problems[0].contains("User.Read.All"), "{report:?}");
    assert_eq!(asked(&world, USERS).len(), 1);
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_6_the_code_of_an_inner_error_counts() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    once(
        &world,
        When::path(USERS),
        Effect::Answer(Canned {
            status: 400,
            body: r#"{"error":{"code":"","message":"","innerError":{"code":"","innererror":{"code":"SYNCSTATENOTFOUND"}}}}"#
                .to_owned(),
            ..Canned::default()
        }),
    );
    forget_requests(&world);
    world.sync_completely().await;
    assert_eq!(beginnings(&asked(&world, USERS)), 1, "it began a full round");
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_6_a_service_that_throttles_for_ever_is_left_until_the_next_run() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world
        .tenant()
        .update_user(users[1], |user| user.job_title = Some("Later".to_owned()));
    forever(&world, When::path(USERS), Effect::throttled(None));
    forget_requests(&world);
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, USERS).len(), 5, "the bounds of one call");
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert!(row(&world, users[0]).await.isdisabled);
    assert_eq!(row(&world, users[1]).await.jobtitle.as_deref(), Some("Later"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_6_a_retry_after_beyond_patience_ends_the_call_at_once() {
    let world = paged(2).await;
    staff(&world, 2);
    once(&world, page(1), Effect::throttled(Some(RetryAfter::Seconds(900))));
    let began = world.clock.now();
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, USERS).len(), 1);
    assert_eq!(world.clock.now(), began, "a cycle does not hang on one source");
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_6_every_source_at_once_may_stumble() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    for path in ["/subscribedSkus", "/roleManagement/directory/roleAssignments", USERS] {
        once(
            &world,
            When::path(path),
            Effect::throttled(Some(RetryAfter::Seconds(3))),
        );
        once(&world, When::path(path), Effect::Hangup);
        once(&world, When::path(path), Effect::Truncate);
    }
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 4);
    assert_eq!(world.rows(ENVIRONMENT).await.len(), 4);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}
