//! Graph or its token service answers, and not what was asked for: throttling, errors, pages of a proxy, for hours.

use std::time::Duration;

use rollcall::simulator::{Effect, Fault, RetryAfter, TokenFault, When};

use super::Absence;

/// Everything, or one service alone, is away so for four hours.
async fn away(when: When, effect: Effect, why: &str) {
    let mut absence = Absence::new().await;
    absence.change();
    // What is kept of the token would hide that nobody gives a new one.
    absence.world.simulator.revoke_access_tokens();
    absence.world.simulator.faults().push(Fault::forever(when, effect));
    absence.lasts(4, why).await;
    let most = absence.requests.iter().max();
    println!("{why}: at most {most:?} requests a cycle");
    absence.world.simulator.faults().clear();
    absence.world.advance(Duration::from_mins(15));
    absence.catches_up().await;
}

#[tokio::test]
async fn hours_of_429_with_and_without_a_time_to_wait() {
    away(When::path("/v1.0/"), Effect::throttled(None), "429 TooManyRequests").await;
    away(
        When::path("/v1.0/"),
        Effect::throttled(Some(RetryAfter::Seconds(30))),
        "429 TooManyRequests",
    )
    .await;
    away(
        When::path("/v1.0/"),
        Effect::throttled(Some(RetryAfter::Seconds(86_400))),
        "429 TooManyRequests",
    )
    .await;
}

#[tokio::test]
async fn hours_of_503_and_504() {
    away(When::any(), Effect::unavailable(None), "503").await;
    away(
        When::path("/v1.0/"),
        Effect::error(504, "GatewayTimeout"),
        "504 GatewayTimeout",
    )
    .await;
}

#[tokio::test]
async fn hours_of_a_proxy_that_answers_instead() {
    away(When::path("/v1.0/"), Effect::html(502), "502 no code").await;
    away(When::path("/v1.0/"), Effect::html(200), "a body that is not JSON").await;
}

#[tokio::test]
async fn hours_of_connections_that_break() {
    away(When::any(), Effect::Hangup, "(no answer)").await;
    away(When::path("/v1.0/"), Effect::Cut(20), "a body that broke off").await;
}

#[tokio::test]
async fn hours_without_a_token() {
    away(When::token(), Effect::error(500, "x"), "the token service").await;
    let expired = Effect::Token(TokenFault::SECRET_EXPIRED);
    away(When::token(), expired, "The client secret has expired").await;
    away(When::path("/v1.0/"), Effect::unauthorized(), "and this machine's clock").await;
}

#[tokio::test]
async fn hours_without_a_permission() {
    let refused = Effect::error(403, "Authorization_RequestDenied");
    away(
        When::path("/v1.0/"),
        refused,
        "Grant the application permission User.Read.All",
    )
    .await;
}

#[tokio::test]
async fn days_longer_than_any_token_of_a_feed_lives() {
    let mut absence = Absence::new().await;
    absence.change();
    let gone = Fault::forever(When::any(), Effect::unavailable(None));
    absence.world.simulator.faults().push(gone);
    for _ in 0..9 {
        absence.lasts(1, "503").await;
        absence.world.advance(Duration::from_hours(23));
    }
    absence.world.simulator.faults().clear();
    absence.catches_up().await;
}
