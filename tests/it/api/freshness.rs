//! How old the directory data may be that an answer is made of (rules.md, section 9).

use std::time::Duration;

use rollcall::simulator::tenant::Profile;
use serde_json::json;
use uuid::Uuid;

use super::{ENV, Stage};
use crate::world::{World, guarded_environment, licensed};

/// The requests of Graph since the last time, by endpoint; tokens do not count.
pub fn asked(stage: &Stage) -> Vec<&'static str> {
    let seen = stage.world.simulator.take_requests();
    let of_graph = seen.into_iter().filter(|seen| seen.bearer);
    of_graph.map(|seen| seen.endpoint).collect()
}

/// A stage with somebody who has a row and whom nothing is pending about.
async fn with_ada() -> (Stage, Uuid) {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.world.sync_completely().await;
    asked(&stage);
    (stage, ada)
}

async fn outcome(stage: &Stage, ada: Uuid) -> String {
    stage.access(ada).await.good()["outcome"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn within_a_minute_a_second_access_asks_the_directory_nothing() {
    let (stage, ada) = with_ada().await;
    let first = stage.access(ada).await.good();
    assert_eq!(asked(&stage), ["/$batch"]);
    stage.world.advance(Duration::from_secs(59));
    let second = stage.access(ada).await.good();
    assert_eq!(first, second);
    assert!(asked(&stage).is_empty());
    stage.world.advance(Duration::from_secs(1));
    assert_eq!(stage.access(ada).await.good(), first);
    assert_eq!(asked(&stage), ["/$batch"], "a minute later, one round trip");
    stage.end().await;
}

#[tokio::test]
async fn a_new_user_is_judged_by_the_same_data_for_a_minute_and_no_longer() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    asked(&stage);
    assert_eq!(outcome(&stage, ada).await, "created");
    assert!(asked(&stage).len() <= 2);
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    assert!(asked(&stage).is_empty());
    stage
        .world
        .tenant()
        .update_user(ada, |user| user.account_enabled = Some(false));
    stage.world.advance(Duration::from_mins(1));
    assert_eq!(stage.access(ada).await.problem(), (409, "directory_account_disabled"));
    assert!((1..=2).contains(&asked(&stage).len()));
    stage.end().await;
}

#[tokio::test]
async fn add_and_refresh_always_ask() {
    let (stage, ada) = with_ada().await;
    let body = json!({"user": ada.to_string()});
    for _ in 0..2 {
        stage.post("environments/production/users", &body).await.good();
        assert!((1..=2).contains(&asked(&stage).len()));
        stage
            .act(&format!("environments/production/users/{ada}/refresh"))
            .await
            .good();
        assert!((1..=2).contains(&asked(&stage).len()));
    }
    stage.end().await;
}

#[tokio::test]
async fn what_an_add_has_learned_counts_for_the_next_access() {
    let (stage, ada) = with_ada().await;
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    stage.world.tenant().give_profile(ada, Profile::Unlicensed);
    stage
        .act(&format!("environments/production/users/{ada}/refresh"))
        .await
        .good();
    assert_eq!(stage.access(ada).await.problem(), (409, "unlicensed"));
    stage.end().await;
}

#[tokio::test]
async fn after_an_edit_and_after_a_cycle_the_next_access_judges_anew() {
    let (stage, ada) = with_ada().await;
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    let user = format!("environments/production/users/{ada}");
    stage.patch(&user, &json!({"jobtitle": "Countess"})).await.good();
    let answer = stage.access(ada).await.good();
    assert_eq!(answer["outcome"], "updated", "the column follows the directory");
    assert_eq!(answer["user"]["jobtitle"], json!(null));
    stage.patch(&user, &json!({"company": "Contoso"})).await.good();
    assert_eq!(stage.access(ada).await.good()["user"]["company"], "Contoso");
    stage
        .post(&format!("{user}/hold"), &json!({"reason": "x"}))
        .await
        .good();
    assert_eq!(stage.access(ada).await.problem(), (409, "on_hold"));
    stage.act(&format!("{user}/release")).await.good();
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    // The cycle disables: the same directory data would still let in.
    stage
        .world
        .tenant()
        .update_user(ada, |user| user.account_enabled = Some(false));
    stage.world.sync_completely().await;
    assert_eq!(stage.access(ada).await.status, 409);
    stage.end().await;
}

#[tokio::test]
async fn whoever_leaves_the_group_is_out_with_the_next_cycle_whatever_the_memory_says() {
    let group = Uuid::from_u128(0x6060);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(group, ada);
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    stage.world.tenant().remove_member(group, ada);
    stage.world.sync_completely().await;
    assert_eq!(stage.access(ada).await.problem(), (409, "not_in_security_group"));
    stage.end().await;
}

#[tokio::test]
async fn a_row_that_another_program_disabled_is_judged_anew_and_not_remembered() {
    let (stage, ada) = with_ada().await;
    assert_eq!(outcome(&stage, ada).await, "unchanged");
    stage
        .world
        .execute("update rollcall.system_user set isdisabled = true where lastname = 'Lovelace'")
        .await;
    assert_eq!(outcome(&stage, ada).await, "enabled");
    stage
        .world
        .execute("update rollcall.system_user set isdisabled = true, onhold = true where lastname = 'Lovelace'")
        .await;
    assert_eq!(stage.access(ada).await.problem(), (409, "on_hold"));
    stage.end().await;
}

#[tokio::test]
async fn a_freshness_of_nothing_asks_every_time() {
    let (mut stage, ada) = with_ada().await;
    stage
        .world
        .configure(|settings| settings.access_freshness = Duration::ZERO);
    stage.reload();
    for _ in 0..3 {
        assert_eq!(outcome(&stage, ada).await, "unchanged");
        assert_eq!(asked(&stage), ["/$batch"]);
    }
    stage.end().await;
}
