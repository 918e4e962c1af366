//! How rows come to be: by the cycle, at a first sign-in, by a call of the API, by an administrator.

use rollcall::domain::environment::{Environment, Kind};
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{POWER_PLATFORM_ADMINISTRATOR, Profile, User};
use uuid::Uuid;

use super::{ENV, GROUP, access, add, ask, disabled, employee, stage};
use crate::on_demand::said;
use crate::world::{World, guarded_environment, licensed, open_environment};

/// Each of three users asks in a way of their own: all are let in, or refused, alike.
async fn asked_for(world: &World, environment: &str, users: [Uuid; 3]) -> [String; 3] {
    let [signing_in, scripted, added] = users.map(|user| user.to_string());
    let engine = &world.engine;
    [
        said(
            &engine
                .desk()
                .access(ask(environment, &signing_in), Client::Interactive)
                .await,
        ),
        said(&engine.desk().add(ask(environment, &scripted), Trigger::Api).await),
        said(&engine.desk().add(ask(environment, &added), Trigger::AdminAdd).await),
    ]
}

#[tokio::test]
async fn whom_the_cycle_does_not_add_a_sign_in_or_the_api_or_an_administrator_adds() {
    let teams = Environment::new("teams", Kind::Teams);
    let passes = Environment {
        app_pass_capacity: 10,
        ..open_environment("passes")
    };
    let world = stage(vec![open_environment(ENV), teams, passes]).await;
    let three = |kind, profile| ["A", "B", "C"].map(|name| employee(&world, name, kind, profile));
    let paid = three("Paid", Profile::E3Sales);
    let free = three("Free", Profile::E3);
    let none = three("None", Profile::Unlicensed);
    world.sync_completely().await;
    for environment in ["teams", ENV] {
        let refused = asked_for(&world, environment, none).await;
        assert_eq!(refused, ["unlicensed"; 3], "{environment}");
    }
    for (environment, users) in [("teams", paid), (ENV, free), ("passes", none)] {
        let rows = world.rows(environment).await;
        assert!(users.iter().all(|user| !rows.contains_key(user)), "{environment}");
        let added = asked_for(&world, environment, users).await;
        assert_eq!(added, ["created"; 3], "{environment}");
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn without_a_database_nobody_is_added_by_the_cycle_or_by_asking() {
    let bare = Environment {
        has_database: false,
        ..open_environment(ENV)
    };
    let world = stage(vec![bare]).await;
    let users = ["A", "B", "C"].map(|name| licensed(world.tenant(), name, "Paid"));
    world.sync_completely().await;
    assert_eq!(asked_for(&world, ENV, users).await, ["no_database"; 3]);
    assert!(world.dump().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_tenant_wide_marketing_licence_lets_people_in_on_demand_only() {
    let world = stage(vec![open_environment(ENV)]).await;
    let mut skus = world.tenant().skus();
    let (id, name) = ("a3a4fa10-5092-401a-af30-0462a95a7ac8", "DYN365_MARKETING_APP");
    skus[0].plans.push((id.to_owned(), name.to_owned(), true));
    world.tenant().set_skus(skus);
    let users = ["A", "B", "C"].map(|name| employee(&world, name, "None", Profile::Unlicensed));
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].skipped.get("on_demand_only"), Some(&3));
    assert_eq!(asked_for(&world, ENV, users).await, ["created"; 3]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn in_a_trial_people_come_by_asking_and_the_cycle_keeps_them_up_to_date() {
    let world = stage(vec![Environment::new(ENV, Kind::Trial)]).await;
    let users = ["A", "B", "C"].map(|name| licensed(world.tenant(), name, "Paid"));
    world.sync_completely().await;
    assert!(world.rows(ENV).await.is_empty());
    assert_eq!(asked_for(&world, ENV, users).await, ["created"; 3], "nobody approves");
    let promote = |user: &mut User| user.job_title = Some("Head of Sales".to_owned());
    world.tenant().update_user(users[0], promote);
    world.tenant().give_profile(users[1], Profile::Unlicensed);
    world.sync_completely().await;
    let row = world.row(ENV, users[0]).await.unwrap();
    assert_eq!(row.jobtitle.as_deref(), Some("Head of Sales"));
    assert_eq!(disabled(&world, users[1]).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_developer_environment_takes_in_its_creator_and_nobody_else() {
    let mut world = stage(vec![Environment::new(ENV, Kind::Developer)]).await;
    let creator = licensed(world.tenant(), "Ada", "Creator");
    let others = ["A", "B", "C"].map(|name| licensed(world.tenant(), name, "Other"));
    world.configure(|settings| settings.environments[0].0.creator = Some(creator));
    world.sync_completely().await;
    assert_eq!(asked_for(&world, ENV, others).await, ["developer_environment"; 3]);
    assert_eq!(world.rows(ENV).await.into_keys().collect::<Vec<_>>(), [creator]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_owner_of_the_group_is_a_valid_member_for_whoever_asks() {
    let world = stage(vec![guarded_environment(ENV, GROUP)]).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    let owners = ["A", "B", "C"].map(|name| licensed(world.tenant(), name, "Owner"));
    for owner in owners {
        world.tenant().add_owner(GROUP, owner);
    }
    world.sync_completely().await;
    assert!(world.rows(ENV).await.is_empty());
    assert_eq!(asked_for(&world, ENV, owners).await, ["created"; 3]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_platform_administrator_needs_no_membership_and_others_do() {
    let world = stage(vec![guarded_environment(ENV, GROUP)]).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    let admin = employee(&world, "Ada", "Admin", Profile::Unlicensed);
    world.tenant().assign_role(POWER_PLATFORM_ADMINISTRATOR, admin, "/");
    let other = licensed(world.tenant(), "Bob", "Other");
    world.sync_completely().await;
    let rows = world.rows(ENV).await;
    assert_eq!(
        (rows.len(), rows[&admin].accessmode, rows[&admin].setupuser),
        (1, 1, true)
    );
    assert_eq!(access(&world, other).await, "not_in_security_group");
    world.tenant().add_member(GROUP, other);
    assert_eq!(access(&world, other).await, "created");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_guest_needs_a_licence_of_this_tenant() {
    let world = stage(vec![open_environment(ENV)]).await;
    // The tenant at home licenses her; of that nothing is to be seen here.
    let guest = world.tenant().add_user(User {
        user_type: Some("Guest".to_owned()),
        external_user_state: Some("Accepted".to_owned()),
        ..User::named("Grace", "Guest")
    });
    world.sync_completely().await;
    assert_eq!(access(&world, guest).await, "unlicensed");
    world.tenant().give_profile(guest, Profile::E3Sales);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 1);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_is_blocked_or_deleted_in_the_directory_is_not_added() {
    let world = stage(vec![open_environment(ENV)]).await;
    let users = ["Blocked", "Deleted", "Gone"].map(|name| licensed(world.tenant(), name, "User"));
    let block = |user: &mut User| user.account_enabled = Some(false);
    world.tenant().update_user(users[0], block);
    world.tenant().soft_delete(users[1]);
    world.tenant().soft_delete(users[2]);
    world.tenant().purge(users[2]);
    world.sync_completely().await;
    let codes = ["directory_account_disabled", "user_soft_deleted", "user_not_found"];
    for (user, code) in users.into_iter().zip(codes) {
        assert_eq!(access(&world, user).await, code);
        assert_eq!(add(&world, user, Trigger::Api).await, code);
    }
    assert!(world.rows(ENV).await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn adding_somebody_who_is_there_brings_the_row_up_to_date() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    for (trigger, title) in [(Trigger::Api, "Analyst"), (Trigger::AdminAdd, "Countess")] {
        let promote = |user: &mut User| user.job_title = Some(title.to_owned());
        world.tenant().update_user(ada, promote);
        assert_eq!(add(&world, ada, trigger).await, "updated");
        let row = world.row(ENV, ada).await.unwrap();
        assert_eq!(row.jobtitle.as_deref(), Some(title));
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_cycle_adds_the_group_s_members_and_not_the_whole_directory() {
    let world = stage(vec![guarded_environment(ENV, GROUP)]).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    let users: Vec<Uuid> = (0..10)
        .map(|number| licensed(world.tenant(), "User", &format!("Number{number}")))
        .collect();
    world.tenant().add_members(GROUP, users[..3].iter().copied());
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 3);
    assert_eq!(world.rows(ENV).await.len(), 3);
    world.assert_settled().await;
    world.end().await;
}
