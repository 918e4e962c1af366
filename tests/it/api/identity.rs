//! Whom an answer is about when a name was typed: what is remembered between requests is kept by object id, and a name
//! is resolved anew each time (rules.md, section 9).

use std::time::Duration;

use rollcall::simulator::tenant::GLOBAL_ADMINISTRATOR;
use serde_json::{Value, json};
use uuid::Uuid;

use super::freshness::asked;
use super::{ENV, Stage};
use crate::world::{World, guarded_environment, licensed};

const ADA: &str = "ada.lovelace@contoso.example";
const BOB: &str = "bob.builder@contoso.example";

/// A stage with two users who have rows.
async fn with_two() -> (Stage, Uuid, Uuid) {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let bob = licensed(stage.world.tenant(), "Bob", "Builder");
    stage.world.sync_completely().await;
    asked(&stage);
    (stage, ada, bob)
}

fn rename(stage: &Stage, user: Uuid, name: &str) {
    let name = name.to_owned();
    let tenant = stage.world.tenant();
    assert!(tenant.update_user(user, |user| user.user_principal_name = Some(name)));
}

fn swap(stage: &Stage, ada: Uuid, bob: Uuid) {
    rename(stage, ada, "free@contoso.example");
    rename(stage, bob, ADA);
    rename(stage, ada, BOB);
}

/// Whose row an access by that name answers.
async fn whose(stage: &Stage, name: &str) -> Uuid {
    let answer = stage.access(name).await.good();
    assert_eq!(answer["verdict"]["user"], name, "as it was typed");
    let id = answer["user"]["azureactivedirectoryobjectid"].as_str().unwrap();
    id.parse().unwrap()
}

#[tokio::test]
async fn name_1_after_a_swap_an_access_by_name_answers_whoever_has_the_name_now() {
    let (stage, ada, bob) = with_two().await;
    assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (ada, bob));
    assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (ada, bob));
    swap(&stage, ada, bob);
    stage.world.sync_completely().await;
    for _ in 0..2 {
        assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (bob, ada));
    }
    stage.end().await;
}

#[tokio::test]
async fn name_1_a_swap_that_somebody_else_s_request_has_found_counts_at_once() {
    let (stage, ada, bob) = with_two().await;
    assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (ada, bob));
    swap(&stage, ada, bob);
    let refresh = format!("environments/{ENV}/users/{bob}/refresh");
    stage.act(&refresh).await.good();
    assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (bob, ada));
    stage.end().await;
}

#[tokio::test]
async fn name_1_a_name_that_passes_to_a_newcomer_is_the_newcomer_s() {
    let (stage, ada, _) = with_two().await;
    assert_eq!(whose(&stage, ADA).await, ada);
    stage.world.tenant().soft_delete(ada);
    let heir = licensed(stage.world.tenant(), "Ada", "Byron");
    rename(&stage, heir, ADA);
    stage.world.sync_completely().await;
    assert_eq!(whose(&stage, ADA).await, heir);
    assert_eq!(stage.access(ada).await.problem(), (409, "user_soft_deleted"));
    stage.end().await;
}

#[tokio::test]
async fn name_1_a_row_that_was_renamed_by_hand_does_not_answer_for_who_has_the_name() {
    let (stage, ada, bob) = with_two().await;
    assert_eq!((whose(&stage, ADA).await, whose(&stage, BOB).await), (ada, bob));
    let new = licensed(stage.world.tenant(), "Carl", "Carlsson");
    rename(&stage, new, "carl@contoso.example");
    stage
        .world
        .execute("update rollcall.system_user set domainname = 'carl@contoso.example' where lastname = 'Builder'")
        .await;
    assert_eq!(whose(&stage, "carl@contoso.example").await, new);
    assert_eq!(whose(&stage, BOB).await, bob, "his row has his name again");
    stage.world.assert_settled().await;
    stage.end().await;
}

#[tokio::test]
async fn name_2_a_name_that_was_not_found_is_found_as_soon_as_the_mirror_has_it() {
    let (stage, ..) = with_two().await;
    let new = "grace.hopper@contoso.example";
    assert_eq!(stage.access(new).await.problem(), (404, "user_not_found"));
    asked(&stage);
    stage.world.advance(Duration::from_secs(10));
    assert_eq!(
        stage.access("GRACE.hopper@contoso.example").await.problem(),
        (404, "user_not_found")
    );
    assert!(asked(&stage).is_empty(), "not found is remembered for a while");
    let grace = licensed(stage.world.tenant(), "Grace", "Hopper");
    stage.world.sync_completely().await;
    assert_eq!(whose(&stage, new).await, grace);
    stage.end().await;
}

#[tokio::test]
async fn name_2_not_found_is_remembered_for_accesses_alone_and_no_longer_than_a_minute() {
    let (stage, ..) = with_two().await;
    let new = "grace.hopper@contoso.example";
    assert_eq!(stage.access(new).await.problem(), (404, "user_not_found"));
    let grace = licensed(stage.world.tenant(), "Grace", "Hopper");
    let added = stage
        .post("environments/production/users", &json!({"user": new}))
        .await
        .good();
    assert_eq!(added["outcome"], "created");
    assert_eq!(whose(&stage, new).await, grace);

    let other = "joan.clarke@contoso.example";
    assert_eq!(stage.access(other).await.problem(), (404, "user_not_found"));
    let joan = licensed(stage.world.tenant(), "Joan", "Clarke");
    stage.world.advance(Duration::from_mins(1));
    assert_eq!(whose(&stage, other).await, joan);
    stage.end().await;
}

#[tokio::test]
async fn name_2_a_name_that_a_stub_takes_is_the_stub_s() {
    let (stage, ..) = with_two().await;
    let name = "old.hand@contoso.example";
    assert_eq!(stage.access(name).await.problem(), (404, "user_not_found"));
    let ask = crate::on_demand::ask(name);
    stage.world.engine.desk().stub(ask, None).await.unwrap();
    assert_eq!(stage.access(name).await.problem(), (409, "stub_user"));
    stage.end().await;
}

#[tokio::test]
async fn one_user_by_any_name_or_id_is_asked_for_once_a_minute() {
    let (stage, ada, _) = with_two().await;
    assert_eq!(whose(&stage, ADA).await, ada);
    let row = stage.world.row(ENV, ada).await.unwrap().systemuserid;
    assert_eq!(asked(&stage), ["/$batch"]);
    for user in [
        ADA.to_uppercase(),
        ada.to_string(),
        ada.to_string().to_uppercase(),
        ada.simple().to_string(),
        row.to_string(),
    ] {
        assert_eq!(whose(&stage, &user).await, ada);
    }
    assert!(asked(&stage).is_empty());
    stage.end().await;
}

#[tokio::test]
async fn an_answer_is_not_repeated_when_the_mirror_knows_something_else_although_the_row_is_the_same() {
    let group = Uuid::from_u128(0x6060);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(group, ada);
    world.sync_completely().await;
    let mut stage = Stage::around(world).await;
    stage
        .world
        .configure(|settings| settings.access_freshness = Duration::from_mins(1));
    stage.reload();
    let checks = |answer: &Value| answer["verdict"]["checks"].clone();
    let before = stage.access(ada).await.good();
    assert_eq!(checks(&before), checks(&stage.access(ada).await.good()));
    asked(&stage);
    // She keeps access, for another reason.
    stage.world.tenant().assign_role(GLOBAL_ADMINISTRATOR, ada, "/");
    stage.world.tenant().remove_member(group, ada);
    stage.world.sync_completely().await;
    asked(&stage);
    let after = stage.access(ada).await.good();
    assert_eq!(after["user"]["modifiedon"], before["user"]["modifiedon"]);
    assert_ne!(checks(&after), checks(&before));
    assert!(asked(&stage).is_empty(), "it is judged anew by what is known");
    stage.end().await;
}
