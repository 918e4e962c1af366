//! Security roles (rules.md, section 8): by hand, with a licence, by default; and that they are no way to disable
//! anybody.

use rollcall::domain::environment::{Environment, Kind};
use rollcall::simulator::tenant::Profile;
use uuid::{Uuid, uuid};

use super::{ENV, ask, person, said, stage_of, state, word};
use crate::guard::{allow, block};
use crate::world::{World, licensed, open_environment};

/// `POWERAPPS_PER_USER`.
const POWER_APPS: Uuid = uuid!("ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86");
/// `DYN365_ENTERPRISE_SALES`.
const SALES: Uuid = uuid!("2da8e897-7791-486b-b08f-cc63c8129df7");

fn environment(kind: Kind) -> Environment {
    let roles = ["Basic User", "Environment Maker", "App User", "Approver"];
    Environment {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        license_roles: vec![
            (POWER_APPS, "App User".to_owned()),
            (SALES, "App User".to_owned()),
            (SALES, "Approver".to_owned()),
        ],
        ..Environment::new(ENV, kind)
    }
}

/// One user without a licence role, but with a row.
async fn stage() -> (World, Uuid) {
    let world = stage_of(Environment {
        license_roles: Vec::new(),
        ..environment(Kind::Production)
    })
    .await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    (world, ada)
}

async fn grant(world: &World, user: Uuid, role: &str) -> String {
    said(&world.engine.desk().grant(ask(&user.to_string()), role).await)
}

async fn revoke(world: &World, user: Uuid, role: &str) -> String {
    said(&world.engine.desk().revoke(ask(&user.to_string()), role).await)
}

/// `role provenance`, sorted.
async fn held(world: &World, user: Uuid) -> Vec<String> {
    let held = world
        .engine
        .desk()
        .role_holders(ENV, Some(&user.to_string()), None, None, 100)
        .await;
    let list = held.unwrap().into_iter();
    list.map(|held| format!("{} {}", held.role, held.provenance)).collect()
}

async fn log(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', actor, operation, coalesce(fields -> 'role' ->> 0, fields -> 'role' ->> 1),
                    coalesce(fields -> 'provenance' ->> 0, fields -> 'provenance' ->> 1))
             from rollcall.system_user_change where operation in ('grant', 'revoke') order by id",
        )
        .await
}

#[tokio::test]
async fn a_role_is_given_and_taken_by_hand_and_the_log_says_by_whom() {
    let (world, ada) = stage().await;
    assert_eq!(grant(&world, ada, "Approver").await, "updated");
    assert_eq!(grant(&world, ada, "Approver").await, "unchanged");
    assert_eq!(held(&world, ada).await, ["Approver manual"]);
    let holders = world
        .engine
        .desk()
        .role_holders(ENV, None, Some("Approver"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        (holders[0].granted_by.as_str(), holders[0].domainname.as_deref()),
        ("helpdesk", Some("ada.lovelace@contoso.example"))
    );
    world.assert_settled().await;
    assert_eq!(revoke(&world, ada, "Approver").await, "updated");
    assert_eq!(revoke(&world, ada, "Approver").await, "unchanged");
    assert!(held(&world, ada).await.is_empty());
    assert_eq!(
        log(&world).await,
        ["helpdesk grant Approver manual", "helpdesk revoke Approver manual"]
    );
    world.end().await;
}

#[tokio::test]
async fn a_role_must_exist_and_so_must_the_user() {
    let (world, ada) = stage().await;
    for role in ["Emperor", "approver", ""] {
        assert_eq!(grant(&world, ada, role).await, "role_not_found");
        assert_eq!(revoke(&world, ada, role).await, "role_not_found");
    }
    let refused = world
        .engine
        .desk()
        .grant(ask("nobody@contoso.example"), "Approver")
        .await;
    assert_eq!(said(&refused), "user_not_found");
    let listed = world
        .engine
        .desk()
        .role_holders(ENV, Some("nobody@contoso.example"), None, None, 10)
        .await;
    assert!(listed.is_err());
    // One that the configuration no longer has can still be taken.
    world
        .execute(
            "insert into rollcall.system_user_role (environment, systemuserid, role)
             select environment, systemuserid, 'Emperor' from rollcall.system_user where firstname = 'Ada'",
        )
        .await;
    assert_eq!(held(&world, ada).await, ["Emperor manual"]);
    assert_eq!(revoke(&world, ada, "Emperor").await, "updated");
    world.end().await;
}

#[tokio::test]
async fn a_disabled_user_is_given_no_role_unless_the_environment_allows_it() {
    let (mut world, ada) = stage().await;
    assert_eq!(grant(&world, ada, "Approver").await, "updated");
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    assert_eq!(held(&world, ada).await, ["Approver manual"], "disabling keeps roles");
    assert_eq!(grant(&world, ada, "Basic User").await, "user_disabled");
    world.configure(|settings| settings.environments[0].0.allow_role_assignment_on_disabled_users = true);
    assert_eq!(grant(&world, ada, "Basic User").await, "updated");
    assert_eq!(revoke(&world, ada, "Approver").await, "updated");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn without_any_role_a_user_stays_enabled() {
    let (world, ada) = stage().await;
    assert_eq!(grant(&world, ada, "Approver").await, "updated");
    assert_eq!(revoke(&world, ada, "Approver").await, "updated");
    assert_eq!(state(&world, ada).await, "enabled");
    assert_eq!(word(&world, "access", ada).await, "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn roles_of_a_licence_come_and_go_with_it_in_cycles_and_on_demand() {
    let world = stage_of(environment(Kind::Production)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(
        held(&world, ada).await,
        ["App User license"],
        "by the cycle that makes the row"
    );
    let bob = licensed(world.tenant(), "Bob", "Builder");
    assert_eq!(word(&world, "access", bob).await, "created");
    assert_eq!(
        held(&world, bob).await,
        ["App User license"],
        "by the request that makes it"
    );
    world.assert_settled().await;
    // Another licence: what both give stays, what only the new one gives comes.
    world.tenant().give_profile(ada, Profile::E3Sales);
    assert_eq!(word(&world, "refresh", ada).await, "updated");
    assert_eq!(held(&world, ada).await, ["App User license", "Approver license"]);
    world.tenant().give_profile(bob, Profile::E3Sales);
    world.sync_completely().await;
    assert_eq!(held(&world, bob).await, ["App User license", "Approver license"]);
    world.tenant().give_profile(ada, Profile::E3);
    assert_eq!(word(&world, "refresh", ada).await, "updated");
    world.tenant().give_profile(bob, Profile::E3);
    world.sync_completely().await;
    for user in [ada, bob] {
        assert!(held(&world, user).await.is_empty());
        assert_eq!(state(&world, user).await, "enabled");
    }
    assert!(log(&world).await.iter().all(|line| line.starts_with("sync ")));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_sync_takes_only_its_own() {
    let world = stage_of(environment(Kind::Production)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(grant(&world, ada, "App User").await, "updated", "given twice, by two");
    assert_eq!(grant(&world, ada, "Approver").await, "updated");
    assert_eq!(
        held(&world, ada).await,
        ["App User license", "App User manual", "Approver manual"]
    );
    world.tenant().give_profile(ada, Profile::E3);
    world.sync_completely().await;
    assert_eq!(held(&world, ada).await, ["App User manual", "Approver manual"]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_licence_role_that_a_person_took_comes_back_only_after_the_licence_was_away() {
    let world = stage_of(environment(Kind::Production)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(revoke(&world, ada, "App User").await, "updated");
    assert_eq!(revoke(&world, ada, "App User").await, "unchanged");
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    let full = rollcall::sync::cycle::Request {
        full: true,
        ..rollcall::sync::cycle::Request::default()
    };
    world.run(full).await.unwrap();
    assert!(held(&world, ada).await.is_empty());
    world.tenant().give_profile(ada, Profile::E3);
    world.sync_completely().await;
    world.tenant().give_profile(ada, Profile::E5PowerApps);
    world.sync_completely().await;
    assert_eq!(held(&world, ada).await, ["App User license"]);
    assert_eq!(
        log(&world).await,
        [
            "sync grant App User license",
            "helpdesk revoke App User license",
            "sync grant App User license"
        ]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_licence_role_stays_while_the_row_is_disabled_and_goes_with_the_licence() {
    let world = stage_of(environment(Kind::Production)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    block(&world, &[ada]);
    world.sync_completely().await;
    assert_eq!(held(&world, ada).await, ["App User license"]);
    world.tenant().soft_delete(ada);
    world.sync_completely().await;
    assert_eq!(held(&world, ada).await, ["App User license"]);
    world.tenant().restore(ada);
    allow(&world, &[ada]);
    world.tenant().give_profile(ada, Profile::Unlicensed);
    world.sync_completely().await;
    assert!(held(&world, ada).await.is_empty());
    assert_eq!(state(&world, ada).await, "unlicensed by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_management_of_licence_roles_can_be_switched_off_and_on_again() {
    let mut world = stage_of(environment(Kind::Production)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    world.sync_completely().await;
    world.configure(|settings| settings.environments[0].0.license_role_management = false);
    let late = licensed(world.tenant(), "Late", "Comer");
    world.tenant().give_profile(ada, Profile::E3);
    world.sync_completely().await;
    assert_eq!(held(&world, ada).await, ["App User license"], "as it was");
    assert!(held(&world, late).await.is_empty());
    world.assert_settled().await;
    world.configure(|settings| settings.environments[0].0.license_role_management = true);
    world.sync_completely().await;
    assert!(held(&world, ada).await.is_empty());
    for user in [bob, late] {
        assert_eq!(held(&world, user).await, ["App User license"]);
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn trial_teams_and_developer_environments_know_no_licence_roles() {
    for kind in [Kind::Trial, Kind::Teams, Kind::Developer] {
        let world = stage_of(environment(kind)).await;
        let ada = licensed(world.tenant(), "Ada", "Lovelace");
        world.sync_completely().await;
        let said = word(&world, "access", ada).await;
        if kind == Kind::Developer {
            assert_eq!(said, "developer_environment");
        } else {
            assert_eq!(said, "created", "{kind:?}");
            assert!(held(&world, ada).await.is_empty(), "{kind:?}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_default_environment_gives_two_roles_to_whoever_is_made() {
    let world = stage_of(environment(Kind::Default)).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let bob = person(&world, "Bob", "Builder", "on_demand_only");
    assert_eq!(word(&world, "access", bob).await, "created");
    assert_eq!(
        held(&world, ada).await,
        ["App User license", "Basic User default", "Environment Maker default"]
    );
    assert_eq!(
        held(&world, bob).await,
        ["Basic User default", "Environment Maker default"]
    );
    // They are given once: what a person takes does not come back.
    assert_eq!(revoke(&world, bob, "Environment Maker").await, "updated");
    world.assert_settled().await;
    assert_eq!(held(&world, bob).await, ["Basic User default"]);
    world.tenant().give_profile(bob, Profile::Unlicensed);
    world.sync_completely().await;
    assert_eq!(held(&world, bob).await, ["Basic User default"], "not the licence's");
    world.end().await;
}

#[tokio::test]
async fn a_default_environment_without_these_roles_gives_none() {
    let world = stage_of(Environment {
        kind: Kind::Default,
        ..open_environment(ENV)
    })
    .await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert!(held(&world, ada).await.is_empty());
    assert_eq!(state(&world, ada).await, "enabled");
    world.end().await;
}
