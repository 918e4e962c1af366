//! The types of users: access modes, non-interactive and application users, placeholders and stubs.

use rollcall::domain::environment::Environment;
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{DYNAMICS_365_ADMINISTRATOR, Profile};
use rollcall::sync::DeskError;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{ENV, access, add, ask, disabled, employee, roles, stage};
use crate::on_demand::said;
use crate::world::{World, licensed, open_environment};

fn mode(number: i16) -> Map<String, Value> {
    Map::from_iter([("accessmode".to_owned(), json!(number))])
}

async fn give_mode(world: &World, user: Uuid, number: i16) -> String {
    said(
        &world
            .engine
            .desk()
            .edit(ask(ENV, &user.to_string()), &mode(number))
            .await,
    )
}

/// Lets the service look applications up.
fn allow_applications(world: &World) {
    world.simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
}

#[tokio::test]
async fn a_licensed_user_begins_in_read_write_and_the_mode_that_a_person_sets_stays() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(world.row(ENV, ada).await.unwrap().accessmode, 0);
    for number in [2, 0] {
        assert_eq!(give_mode(&world, ada, number).await, "updated");
        world.sync_completely().await;
        let row = world.row(ENV, ada).await.unwrap();
        assert_eq!((row.accessmode, row.accessmode_origin.as_str()), (number, "customer"));
    }
    world.assert_settled().await;
    world.end().await;
}

/// The steps for an administrative account: licence and role, the mode, and the licence goes.
#[tokio::test]
async fn an_administrator_put_into_administrative_mode_needs_the_licence_no_longer() {
    let world = stage(vec![open_environment(ENV)]).await;
    let admin = licensed(world.tenant(), "Ada", "Admin");
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, admin, "/");
    world.sync_completely().await;
    assert_eq!(world.row(ENV, admin).await.unwrap().accessmode, 0, "licensed");
    assert_eq!(give_mode(&world, admin, 1).await, "updated");
    world.tenant().give_profile(admin, Profile::Unlicensed);
    world.sync_completely().await;
    let row = world.row(ENV, admin).await.unwrap();
    assert_eq!((row.accessmode, row.isdisabled, row.islicensed), (1, false, false));
    world.assert_settled().await;
    world.end().await;
}

/// The steps for a non-interactive account: licence, the mode, and the licence goes.
#[tokio::test]
async fn a_user_marked_as_non_interactive_stays_so_without_a_licence_and_works_through_the_api_only() {
    let world = stage(vec![open_environment(ENV)]).await;
    let robot = licensed(world.tenant(), "Robot", "One");
    world.sync_completely().await;
    assert_eq!(give_mode(&world, robot, 4).await, "updated");
    world.tenant().give_profile(robot, Profile::Unlicensed);
    world.sync_completely().await;
    let row = world.row(ENV, robot).await.unwrap();
    assert_eq!((row.accessmode, row.isdisabled), (4, false));
    assert_eq!(access(&world, robot).await, "non_interactive", "the web");
    let user = robot.to_string();
    let by_api = world.engine.desk().access(ask(ENV, &user), Client::Api).await;
    assert_eq!(said(&by_api), "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_eighth_non_interactive_user_is_refused_and_told_of_the_seven() {
    let world = stage(vec![open_environment(ENV)]).await;
    let robots: Vec<Uuid> = (1..=8)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    for robot in &robots[..7] {
        assert_eq!(give_mode(&world, *robot, 4).await, "updated");
    }
    let eighth = robots[7].to_string();
    let Err(DeskError::Refused(refusal)) = world.engine.desk().edit(ask(ENV, &eighth), &mode(4)).await else {
        panic!("one too many");
    };
    assert_eq!(refusal.code.as_str(), "non_interactive_cap");
    for number in 1..=7 {
        let name = format!("robot.{number}@contoso.example");
        assert!(refusal.detail.contains(&name), "{}", refusal.detail);
    }
    assert_eq!(world.row(ENV, robots[7]).await.unwrap().accessmode, 0);
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn application_users_are_enabled_from_the_start_and_take_none_of_the_slots() {
    let environment = Environment {
        non_interactive_cap: 1,
        ..open_environment(ENV)
    };
    let world = stage(vec![environment]).await;
    allow_applications(&world);
    let robot = licensed(world.tenant(), "Robot", "One");
    world.sync_completely().await;
    assert_eq!(give_mode(&world, robot, 4).await, "updated");
    for number in 0..8 {
        let (principal, application) = world.tenant().add_service_principal(&format!("Connector {number}"));
        let made = world
            .engine
            .desk()
            .application(ask(ENV, "connector"), application)
            .await;
        let row = made.unwrap().user.unwrap();
        assert_eq!((row.isdisabled, row.accessmode), (false, 4));
        assert_eq!(
            (row.applicationid, row.azureactivedirectoryobjectid),
            (Some(application), Some(principal)),
            "the object id is that of the service principal"
        );
        assert_eq!(row.firstname.as_deref(), Some("#"));
        assert_eq!(row.lastname, Some(format!("Connector {number}")));
    }
    world.sync_completely().await;
    assert_eq!(disabled(&world, robot).await, None);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_application_user_is_disabled_and_enabled_by_a_person_and_never_by_the_cycle() {
    let world = stage(vec![open_environment(ENV)]).await;
    allow_applications(&world);
    let (_, application) = world.tenant().add_service_principal("Connector");
    world.sync_completely().await;
    let made = world
        .engine
        .desk()
        .application(ask(ENV, "connector"), application)
        .await;
    assert_eq!(said(&made), "created");
    let name = application.to_string();
    for (is_disabled, done) in [(true, "disabled"), (false, "enabled")] {
        let result = if is_disabled {
            world.engine.desk().disable(ask(ENV, &name)).await
        } else {
            world.engine.desk().enable(ask(ENV, &name)).await
        };
        assert_eq!(said(&result), done);
        world.assert_settled().await;
        let row = world.engine.records().user(ENV, &name).await.unwrap();
        assert_eq!(row.isdisabled, is_disabled);
    }
    world.end().await;
}

#[tokio::test]
async fn the_two_placeholders_are_there_from_the_start_and_nobody_changes_them() {
    let world = stage(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let found = world
        .strings(
            "select concat_ws(' ', domainname, accessmode, isdisabled, issyncwithdirectory, azurestate,
                    coalesce(azureactivedirectoryobjectid::text, 'unbound'))
             from rollcall.system_user order by accessmode",
        )
        .await;
    assert_eq!(
        found,
        [
            "crmoln@microsoft.com 3 f f 0 unbound",
            "crmoln2@microsoft.com 5 f f 0 unbound"
        ]
    );
    let before = world.dump().await;
    for name in ["crmoln@microsoft.com", "crmoln2@microsoft.com"] {
        let ask = ask(ENV, name);
        let engine = &world.engine;
        for result in [
            engine.desk().access(ask, Client::Interactive).await,
            engine.desk().add(ask, Trigger::AdminAdd).await,
            engine.desk().refresh(ask).await,
            engine.desk().disable(ask).await,
            engine.desk().edit(ask, &mode(0)).await,
            engine.desk().delete(ask).await,
        ] {
            assert_eq!(said(&result), "reserved_user", "{name}");
        }
    }
    // Somebody of that name in the directory is no reason either.
    let impostor = licensed(world.tenant(), "Not", "Support");
    world.tenant().update_user(impostor, |user| {
        user.user_principal_name = Some("crmoln@microsoft.com".to_owned());
    });
    world.sync_completely().await;
    assert_eq!(world.dump().await, before);
    world.end().await;
}

#[tokio::test]
async fn a_stub_cannot_sign_in_nor_be_enabled_nor_be_synchronised() {
    for (known, given) in [
        (&["Basic User", "Salesperson"][..], "Salesperson import"),
        (&["Basic User"][..], "Basic User import"),
    ] {
        let environment = Environment {
            roles: known.iter().map(|&role| role.to_owned()).collect(),
            ..open_environment(ENV)
        };
        let world = stage(vec![environment]).await;
        world.sync_completely().await;
        let name = "ada.lovelace@contoso.example";
        let ask = ask(ENV, name);
        let stub = world.engine.desk().stub(ask, None).await.unwrap().user.unwrap();
        assert!(stub.isstub && stub.isdisabled && !stub.issyncwithdirectory);
        let held = world
            .engine
            .desk()
            .role_holders(ENV, Some(name), None, None, 10)
            .await
            .unwrap();
        let held = held.iter().map(|held| format!("{} {}", held.role, held.provenance));
        assert_eq!(held.collect::<Vec<_>>(), [given]);
        for result in [
            world.engine.desk().access(ask, Client::Interactive).await,
            world.engine.desk().enable(ask).await,
            world.engine.desk().refresh(ask).await,
        ] {
            assert_eq!(said(&result), "stub_user");
        }
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_stub_and_a_user_of_the_same_name_never_make_two_rows() {
    let world = stage(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let ask = ask(ENV, "ada.lovelace@contoso.example");
    world.engine.desk().stub(ask, None).await.unwrap();
    let before = world.dump().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {ada}")]);
    assert_eq!(access(&world, ada).await, "upn_conflict");
    assert_eq!(world.dump().await, before);
    // In the other order: whoever is licensed beforehand is there, and no stub is made.
    let bob = licensed(world.tenant(), "Bob", "Builder");
    world.sync_completely().await;
    let late = super::ask(ENV, "bob.builder@contoso.example");
    assert_eq!(said(&world.engine.desk().stub(late, None).await), "upn_conflict");
    assert_eq!(disabled(&world, bob).await, None);
    world.end().await;
}

#[tokio::test]
async fn nothing_but_a_data_import_makes_a_stub() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let bob = licensed(world.tenant(), "Bob", "Builder");
    assert_eq!(add(&world, bob, Trigger::AdminAdd).await, "created");
    let user = ada.to_string();
    let to_stub = Map::from_iter([("isstub".to_owned(), json!(true))]);
    let refused = world.engine.desk().edit(ask(ENV, &user), &to_stub).await;
    assert_eq!(said(&refused), "field_not_editable");
    let unknown = world
        .engine
        .desk()
        .add(ask(ENV, "old.carol@contoso.example"), Trigger::Api)
        .await;
    assert_eq!(said(&unknown), "user_not_found", "asking leaves no placeholder behind");
    let stubs = "select count(*) from rollcall.system_user where isstub";
    assert_eq!(world.number(stubs).await, 0);
    let made = world
        .engine
        .desk()
        .stub(ask(ENV, "old.carol@contoso.example"), None)
        .await;
    assert_eq!(said(&made), "created");
    assert_eq!(world.number(stubs).await, 1);
    world.end().await;
}

#[tokio::test]
async fn ahead_of_a_sign_in_only_paid_plans_make_rows() {
    let world = stage(vec![open_environment(ENV)]).await;
    let paid = [Profile::E5PowerApps, Profile::E3Sales].map(|profile| employee(&world, "Paid", "User", profile));
    let office = [Profile::E3, Profile::F3].map(|profile| employee(&world, "Office", "User", profile));
    for (number, user) in paid.iter().chain(&office).enumerate() {
        let name = format!("user{number}@contoso.example");
        world
            .tenant()
            .update_user(*user, |user| user.user_principal_name = Some(name));
    }
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 2);
    let rows = world.rows(ENV).await;
    assert!(paid.iter().all(|user| rows.contains_key(user)));
    assert!(office.iter().all(|user| !rows.contains_key(user)));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn group_and_directory_rules_still_apply_to_whoever_is_non_interactive() {
    let world = stage(vec![crate::world::guarded_environment(ENV, super::GROUP)]).await;
    world.tenant().create_group_with_id(super::GROUP, "Robots");
    let robot = licensed(world.tenant(), "Robot", "One");
    world.tenant().add_member(super::GROUP, robot);
    world.sync_completely().await;
    assert_eq!(give_mode(&world, robot, 4).await, "updated");
    world.tenant().give_profile(robot, Profile::Unlicensed);
    world.tenant().remove_member(super::GROUP, robot);
    world.sync_completely().await;
    let reason = disabled(&world, robot).await;
    assert_eq!(reason.as_deref(), Some("not_in_security_group"));
    let refused = add(&world, robot, Trigger::Api).await;
    assert_eq!(refused, "not_in_security_group");
    assert!(roles(&world, robot).await.is_empty());
    world.assert_settled().await;
    world.end().await;
}
