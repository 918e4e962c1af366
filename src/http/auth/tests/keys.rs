//! When keys are fetched, and what holds while they cannot be.

use std::time::Duration;

use axum::http::StatusCode;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

impl Stage {
    async fn unavailable(&self, token: &str) -> Duration {
        let refused = self.present(token).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
        refused.retry_after().unwrap()
    }

    /// Lets fetches that nobody waits for end.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let stage = Stage::new();
    for _ in 0..5 {
        stage.accepts(&token()).await;
        stage.clock.advance(MINUTE * 5);
    }
    assert_eq!(stage.tenant.fetches(), 1);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_at_most_once_a_minute() {
    let stage = Stage::new();
    stage.accepts(&token()).await;
    let unknown = token_by("b", B);
    for _ in 0..5 {
        assert_eq!(stage.fault(&unknown).await, Fault::UnknownKey);
    }
    assert_eq!(stage.tenant.fetches(), 1, "the keys have only just come");
    stage.clock.advance(SECOND * 59);
    assert_eq!(stage.fault(&unknown).await, Fault::UnknownKey);
    assert_eq!(stage.tenant.fetches(), 1);
    stage.clock.advance(SECOND);
    for id in 0..20 {
        assert_eq!(
            stage.fault(&token_by(&format!("invented {id}"), B)).await,
            Fault::UnknownKey
        );
    }
    assert_eq!(stage.tenant.fetches(), 2);
    stage.accepts(&token()).await;
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_the_old_one_is_good_until_it_is_gone() {
    let stage = Stage::new();
    let (old, new) = (token(), token_by("b", B));
    stage.accepts(&old).await;
    stage.tenant.publish(&[("a", A), ("b", B)]);
    stage.clock.advance(MINUTE * 2);
    stage.accepts(&new).await;
    stage.accepts(&new).await;
    stage.accepts(&old).await;
    assert_eq!(stage.tenant.fetches(), 2);

    stage.tenant.publish(&[("b", B)]);
    stage.clock.advance(MINUTE * 2);
    stage.accepts(&old).await;
    assert_eq!(stage.fault(&token_by("c", B)).await, Fault::UnknownKey);
    assert_eq!(stage.tenant.fetches(), 3);
    assert_eq!(stage.fault(&old).await, Fault::UnknownKey, "withdrawn");
    stage.accepts(&new).await;
    assert_eq!(stage.tenant.fetches(), 3);
}

#[tokio::test]
async fn keys_are_renewed_after_a_day_and_nobody_waits_for_it() {
    let stage = Stage::new();
    let long = token_with(&json!({"exp": now() + 40 * 86_400}));
    stage.accepts(&long).await;
    stage.tenant.publish(&[("b", B)]);
    stage.clock.advance(SECOND * (24 * 3600 - 1));
    stage.accepts(&long).await;
    stage.settle().await;
    assert_eq!(stage.tenant.fetches(), 1);
    stage.clock.advance(SECOND);
    stage.accepts(&long).await;
    stage.settle().await;
    assert_eq!(stage.tenant.fetches(), 2);
    assert_eq!(stage.fault(&long).await, Fault::UnknownKey, "withdrawn");
}

#[tokio::test]
async fn known_keys_stay_good_while_the_tenant_is_out_of_reach() {
    let stage = Stage::new();
    let long = token_with(&json!({"exp": now() + 40 * 86_400}));
    stage.accepts(&long).await;
    stage.tenant.fail();
    for day in 1..=5 {
        stage.clock.advance(DAY);
        for _ in 0..3 {
            stage.accepts(&long).await;
            stage.settle().await;
        }
        assert_eq!(stage.tenant.fetches(), 1 + day, "one attempt a minute at most");
    }
    // It may be a new key: nobody can tell.
    stage.clock.advance(MINUTE);
    assert_eq!(stage.unavailable(&token_by("b", B)).await, MINUTE);
    stage.clock.advance(SECOND * 20);
    assert_eq!(stage.unavailable(&token_by("b", B)).await, SECOND * 40);
    assert_eq!(stage.tenant.fetches(), 7);
    stage.accepts(&long).await;

    stage.tenant.publish(&[("a", A), ("b", B)]);
    stage.clock.advance(SECOND * 40);
    let new = sign(
        B,
        &json!({"alg": "RS256", "kid": "b"}),
        &claims_with(&json!({"exp": now() + 40 * 86_400})),
    );
    stage.accepts(&new).await;
    assert_eq!(stage.fault(&token_by("c", B)).await, Fault::UnknownKey);
}

#[tokio::test]
async fn without_a_key_nobody_can_tell_and_soon_after_recovery_everybody_can() {
    let stage = Stage::new();
    stage.tenant.fail();
    assert_eq!(stage.unavailable(&token()).await, SECOND * 10);
    assert_eq!(stage.unavailable(&token()).await, SECOND * 10);
    assert_eq!(stage.tenant.fetches(), 1);
    stage.accepts(HELPDESK).await;
    stage.clock.advance(SECOND * 4);
    assert_eq!(stage.unavailable(&token()).await, SECOND * 6);
    stage.tenant.publish(&[("a", A)]);
    stage.clock.advance(SECOND * 6);
    stage.accepts(&token()).await;
    assert_eq!(stage.tenant.fetches(), 2);
}

#[tokio::test]
async fn a_bad_token_needs_no_key_to_be_refused() {
    let stage = Stage::new();
    stage.tenant.fail();
    assert_eq!(stage.fault("..").await, Fault::NotAJwt);
    let other = sign(A, &json!({"alg": "RS512", "kid": "a"}), &claims());
    assert_eq!(stage.fault(&other).await, Fault::Algorithm);
    assert_eq!(stage.tenant.fetches(), 0);
}

#[tokio::test]
async fn those_who_wait_share_one_fetch() {
    let stage = Stage::new();
    let all = stage.tenant.gate.acquire_many(1_000).await.unwrap();
    let token = token();
    let callers = (0..20).map(|_| stage.present(&token));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(callers), async {
        stage.settle().await;
        assert_eq!(stage.tenant.fetches(), 1);
        drop(all);
    });
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(stage.tenant.fetches(), 1);
}

#[tokio::test]
async fn while_keys_are_fetched_for_one_the_others_go_on() {
    let stage = Stage::new();
    stage.accepts(&token()).await;
    stage.clock.advance(MINUTE);
    let all = stage.tenant.gate.acquire_many(999).await.unwrap();
    let new = token_by("b", B);
    let (waited, ()) = tokio::join!(stage.present(&new), async {
        stage.settle().await;
        assert_eq!(stage.tenant.fetches(), 2, "and it hangs");
        stage.accepts(&token()).await;
        stage.tenant.publish(&[("a", A), ("b", B)]);
        drop(all);
    });
    assert!(waited.is_ok(), "{waited:?}");
}

#[tokio::test]
async fn a_caller_who_goes_away_breaks_no_fetch_off() {
    let stage = Stage::new();
    let all = stage.tenant.gate.acquire_many(1_000).await.unwrap();
    {
        let token = token();
        let mut waiting = std::pin::pin!(stage.present(&token));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    }
    drop(all);
    stage.settle().await;
    stage.accepts(&token()).await;
    assert_eq!(stage.tenant.fetches(), 1);
}
