//! What is asked for between cycles (sections 4, 6 and 9 of the rules): add, access, refresh, and what a person
//! decides about a row.

use rollcall::domain::environment::Environment;
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::sync::SyncError;
use rollcall::sync::on_demand::{Answer, Ask, Effect};

use crate::world::{World, guarded_environment, licensed, open_environment};

const ENV: &str = "production";

/// A request of the help desk.
pub fn ask(user: &str) -> Ask<'_> {
    Ask {
        environment: ENV,
        user,
        actor: "helpdesk",
    }
}

/// What came of a request, as a word.
pub fn said(result: &Result<Answer, SyncError>) -> String {
    match result {
        Ok(answer) => answer.outcome.as_str().to_owned(),
        Err(SyncError::Refused(refusal)) => refusal.code.to_string(),
        Err(SyncError::BadInput { field, .. }) => format!("bad input: {field}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_user_is_added_before_the_cycle_comes_by_and_the_cycle_agrees() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let answer = world
        .engine
        .add(ask(&ada.to_string()), Trigger::AdminAdd)
        .await
        .unwrap();
    assert_eq!(answer.outcome, Effect::Created);
    let row = answer.user.unwrap();
    assert_eq!(
        (row.firstname.as_deref(), row.createdby.as_str()),
        (Some("Ada"), "helpdesk")
    );
    let again = world
        .engine
        .add(ask(&ada.to_string()), Trigger::AdminAdd)
        .await
        .unwrap();
    assert_eq!(again.outcome, Effect::Unchanged);
    let by_name = world
        .engine
        .access(ask(row.domainname.as_deref().unwrap()), Client::Interactive)
        .await;
    assert_eq!(said(&by_name), "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_is_refused_is_told_why_and_nothing_is_written() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let bob = world.tenant().add_user(User::named("Bob", "Builder"));
    world.tenant().give_profile(bob, Profile::Unlicensed);
    let refused = world.engine.access(ask(&bob.to_string()), Client::Interactive).await;
    assert_eq!(said(&refused), "unlicensed");
    let nobody = world.engine.add(ask("nobody@contoso.example"), Trigger::Api).await;
    assert_eq!(said(&nobody), "user_not_found");
    let nobody = world
        .engine
        .add(ask(&uuid::Uuid::from_u128(0x6060).to_string()), Trigger::Api)
        .await;
    assert_eq!(said(&nobody), "user_not_found");
    let reserved = world.engine.add(ask("crmoln@microsoft.com"), Trigger::Api).await;
    assert_eq!(said(&reserved), "reserved_user");
    assert!(world.rows(ENV).await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_hold_outlasts_everything_until_it_is_released() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    assert_eq!(
        said(&world.engine.hold(ask(&user), "under investigation").await),
        "disabled"
    );
    let row = world.row(ENV, ada).await.unwrap();
    assert_eq!(row.disabledreason.as_deref(), Some("on_hold"));
    assert_eq!(row.disabled_by.as_deref(), Some("helpdesk"));
    world.assert_settled().await;
    assert_eq!(
        said(&world.engine.access(ask(&user), Client::Interactive).await),
        "on_hold"
    );
    assert_eq!(said(&world.engine.enable(ask(&user)).await), "on_hold");
    assert_eq!(said(&world.engine.release(ask(&user)).await), "enabled");
    assert_eq!(said(&world.engine.release(ask(&user)).await), "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_is_bound_and_keeps_its_id_and_its_role() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned(), "Salesperson".to_owned()],
        ..open_environment(ENV)
    };
    let world = World::new(vec![environment]).await;
    world.sync_completely().await;
    let stub = world
        .engine
        .stub(ask("old.ada@contoso.example"), None)
        .await
        .unwrap()
        .user
        .unwrap();
    assert!(stub.isdisabled && stub.isstub);
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let bound = world
        .engine
        .map(ask("old.ada@contoso.example"), &ada.to_string())
        .await
        .unwrap();
    assert_eq!(bound.outcome, Effect::Enabled);
    let row = bound.user.unwrap();
    assert_eq!(row.systemuserid, stub.systemuserid);
    assert_eq!(row.firstname.as_deref(), Some("Ada"));
    let held = world
        .engine
        .role_holders(ENV, Some(&ada.to_string()), None, 10)
        .await
        .unwrap();
    assert_eq!(
        (held[0].role.as_str(), held[0].provenance.as_str()),
        ("Salesperson", "import")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn membership_is_asked_for_at_the_moment_of_the_request() {
    let group = uuid::Uuid::from_u128(0x6060);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    assert_eq!(
        said(&world.engine.add(ask(&user), Trigger::AdminAdd).await),
        "not_in_security_group"
    );
    world.tenant().add_member(group, ada);
    assert_eq!(said(&world.engine.add(ask(&user), Trigger::AdminAdd).await), "created");
    world.tenant().remove_member(group, ada);
    assert_eq!(said(&world.engine.refresh(ask(&user)).await), "disabled");
    world.assert_settled().await;
    world.end().await;
}
