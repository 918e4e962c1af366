//! Many users added at once, each with a result of their own.

use rollcall::rules::Trigger;
use rollcall::sync::desk::{Answer, Refusal};
use uuid::Uuid;

use super::{ENV, crowd, said, unlicensed};
use crate::on_demand::ask;
use crate::world::{World, guarded_environment, licensed, open_environment};

fn words(results: &[Result<Answer, Refusal>]) -> Vec<&'static str> {
    let word = |result: &Result<Answer, Refusal>| match result {
        Ok(answer) => answer.outcome.as_str(),
        Err(refusal) => refusal.code.as_str(),
    };
    results.iter().map(word).collect()
}

async fn add(world: &World, users: &[String]) -> Vec<Result<Answer, Refusal>> {
    let desk = world.engine.desk();
    let added = desk.add_many(ENV, users, "helpdesk", Trigger::AdminAdd, Some("USMF"));
    added.await.unwrap()
}

#[tokio::test]
async fn each_of_many_has_the_result_that_adding_it_alone_would_have() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let old = crowd(tenant, 5);
    world.sync_completely().await;
    world.engine.desk().disable(ask(&old[1].to_string())).await.unwrap();
    world
        .engine
        .desk()
        .hold(ask(&old[2].to_string()), "legal")
        .await
        .unwrap();
    tenant.update_user(old[3], |user| user.account_enabled = Some(false));
    tenant.update_user(old[4], |user| user.job_title = Some("Engineer".to_owned()));
    let ada = licensed(tenant, "Ada", "Lovelace");
    let bob = unlicensed(tenant, "Bob");
    let gone = licensed(tenant, "Gone", "Girl");
    tenant.soft_delete(gone);
    let name = tenant.user(ada).unwrap().user_principal_name.unwrap();
    let row = world.row(ENV, old[4]).await.unwrap().systemuserid;
    let mut users: Vec<String> = old[..4].iter().map(Uuid::to_string).collect();
    users.extend([row, ada, bob, gone, Uuid::from_u128(0x6060)].map(|id| id.to_string()));
    users.extend([
        name,
        "bad\0name".to_owned(),
        String::new(),
        "crmoln@microsoft.com".to_owned(),
    ]);
    let results = add(&world, &users).await;
    assert_eq!(
        words(&results),
        [
            "unchanged",
            "enabled",
            "on_hold",
            "directory_account_disabled",
            "updated",
            "created",
            "unlicensed",
            "user_soft_deleted",
            "user_not_found",
            "unchanged",
            "user_not_found",
            "user_not_found",
            "reserved_user"
        ]
    );
    let made = results[5].as_ref().unwrap();
    let user = made.user.as_ref().unwrap();
    assert_eq!(
        (user.company.as_deref(), user.firstname.as_deref()),
        (Some("USMF"), Some("Ada"))
    );
    assert!(made.verdict.is_some() && results[6].as_ref().unwrap_err().verdict.is_some());
    let again = results[9].as_ref().unwrap().user.as_ref();
    assert_eq!(again.map(|user| user.systemuserid), Some(user.systemuserid));
    let disabled = world.row(ENV, old[3]).await.unwrap();
    assert!(disabled.isdisabled, "a refusal of an existing row is as in background");
    assert_eq!(
        world.row(ENV, old[4]).await.unwrap().company,
        None,
        "an existing row keeps its company"
    );
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn many_users_cost_few_requests_and_the_roles_are_asked_for_once() {
    let group = Uuid::from_u128(0x6060);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    world.sync_completely().await;
    let users = crowd(world.tenant(), 60);
    world.tenant().add_members(group, users[..30].iter().copied());
    let _ = world.simulator.take_requests();
    let names: Vec<String> = users.iter().map(Uuid::to_string).collect();
    let results = add(&world, &names).await;
    assert_eq!(words(&results[..30]), ["created"; 30]);
    assert_eq!(words(&results[30..]), ["not_in_security_group"; 30]);
    let requests = world.simulator.take_requests().len();
    assert!(requests <= 8, "{requests} requests for 60 users");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn users_who_swap_names_and_a_new_one_who_takes_a_third_are_added_together() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let users = crowd(tenant, 3);
    world.sync_completely().await;
    tenant.swap_upns(users[0], users[1]);
    let freed = tenant.user(users[2]).unwrap().user_principal_name.unwrap();
    tenant.update_user(users[2], |user| {
        user.user_principal_name = Some("elsewhere@contoso.example".to_owned());
    });
    let heir = licensed(tenant, "Hans", "Heir");
    tenant.update_user(heir, |user| user.user_principal_name = Some(freed.clone()));
    let names: Vec<String> = [users[0], users[1], users[2], heir].map(|id| id.to_string()).to_vec();
    let results = add(&world, &names).await;
    assert_eq!(words(&results), ["updated", "updated", "updated", "created"]);
    for user in users.iter().chain([&heir]) {
        let wanted = world.tenant().user(*user).unwrap().user_principal_name;
        assert_eq!(world.row(ENV, *user).await.unwrap().domainname, wanted);
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn more_than_a_thousand_at_once_are_too_many() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let users = vec!["ada@contoso.example".to_owned(); 1001];
    let result = world
        .engine
        .desk()
        .add_many(ENV, &users, "helpdesk", Trigger::Api, None)
        .await;
    assert_eq!(said(result), "users");
    world.end().await;
}
