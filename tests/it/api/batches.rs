//! Many users in one request.

use rollcall::simulator::tenant::{Profile, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answered, ENV, Stage};
use crate::world::licensed;

async fn add_all(stage: &Stage, users: &[String]) -> Answered {
    stage
        .post("environments/production/users:batch", &json!({"users": users}))
        .await
}

fn word(item: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    text(&item["answer"]["outcome"])
        .or_else(|| text(&item["problem"]["code"]))
        .unwrap_or_else(|| panic!("{item}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_get_a_result_each_in_their_order() {
    let stage = Stage::new().await;
    let tenant = stage.world.tenant();
    let people: Vec<Uuid> = (0..940)
        .map(|n| licensed(tenant, "User", &format!("Number {n}")))
        .collect();
    let bob = tenant.add_user(User::named("Bob", "Builder"));
    tenant.give_profile(bob, Profile::Unlicensed);
    let mut users: Vec<(String, &str)> = people.iter().map(|id| (id.to_string(), "created")).collect();
    for n in 0..20 {
        users.insert(n * 40, (format!("nobody.{n}@contoso.example"), "user_not_found"));
        users.insert(
            n * 40 + 7,
            (Uuid::from_u128(0x6060 + n as u128).to_string(), "user_not_found"),
        );
    }
    for n in 0..10 {
        users.insert(n * 90, (bob.to_string(), "unlicensed"));
    }
    for n in 0..9 {
        // Named twice, once in capitals: done once.
        users.push((people[n * 100].to_string().to_uppercase(), "unchanged"));
    }
    users.push(("crmoln@microsoft.com".to_owned(), "reserved_user"));
    assert_eq!(users.len(), 1000);
    let names: Vec<String> = users.iter().map(|(name, _)| name.clone()).collect();
    let _ = stage.world.simulator.take_requests();
    let items = add_all(&stage, &names).await.items();
    assert_eq!(items.len(), 1000);
    for (item, (name, expected)) in items.iter().zip(&users) {
        assert_eq!(
            (item["user"].as_str(), word(item).as_str()),
            (Some(name.as_str()), *expected)
        );
        assert_ne!(item["answer"].is_null(), item["problem"].is_null(), "{item}");
    }
    let seen = stage.world.simulator.take_requests();
    let batches = seen.iter().filter(|seen| seen.endpoint == "/$batch").count();
    // Two questions about each, twenty in a batch, and once who the administrators are.
    assert_eq!(batches, 101);
    assert!(
        seen.iter().all(|seen| !seen.endpoint.starts_with("/users/{")),
        "{seen:?}"
    );
    assert_eq!(stage.world.rows(ENV).await.len(), 940);
    let creates = "select count(*) from rollcall.system_user_change where operation = 'create' and actor = 'operator'";
    assert_eq!(stage.world.number(creates).await, 940);
    stage.world.sync_completely().await;
    stage.world.assert_settled().await;
    let again = add_all(&stage, &names[..100]).await.items();
    assert!(again.iter().all(|item| word(item) != "created"));
    stage.end().await;
}

#[tokio::test]
async fn a_refusal_in_a_batch_is_a_whole_problem() {
    let stage = Stage::new().await;
    let bob = stage.world.tenant().add_user(User::named("Bob", "Builder"));
    stage.world.tenant().give_profile(bob, Profile::Unlicensed);
    let item = add_all(&stage, &[bob.to_string()]).await.items().remove(0);
    let alone = stage
        .post("environments/production/users", &json!({"user": bob.to_string()}))
        .await;
    assert_eq!(alone.problem(), (409, "unlicensed"));
    assert_eq!(item["problem"], alone.body);
    assert!(!alone.body["checks"].as_array().unwrap().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_batch_takes_one_to_a_thousand() {
    let stage = Stage::new().await;
    assert_eq!(add_all(&stage, &[]).await.field(), "users");
    let name = || "nobody@contoso.example".to_owned();
    assert_eq!(add_all(&stage, &vec![name(); 1001]).await.field(), "users");
    assert_eq!(add_all(&stage, &vec![name(); 1000]).await.items().len(), 1000);
    stage.end().await;
}
