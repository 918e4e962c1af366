//! Application users (rules.md, section 6): made from an app registration, and nobody's but an administrator's.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::{Effect, Fault, When};
use serde_json::json;
use uuid::Uuid;

use super::{ENV, ask, edit, said, state_of, word};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};
use rollcall::domain::system_user::SystemUser;

const GROUP: Uuid = Uuid::from_u128(0x6060);

/// A stage that may read applications, with one environment behind a group and one without.
async fn stage() -> World {
    let mut simulator = SimulatorSettings::default();
    simulator.permissions.insert("Application.Read.All".to_owned());
    let environments = vec![guarded_environment(ENV, GROUP), open_environment("sandbox")];
    let world = World::with(environments, simulator, NO_LIMITS).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    world.sync_completely().await;
    world
}

async fn made(world: &World, application: Uuid) -> String {
    said(&world.engine.desk().application(ask("robot"), application).await)
}

async fn find(world: &World, application: Uuid) -> SystemUser {
    world
        .engine
        .records()
        .user(ENV, &application.to_string())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_application_user_is_made_from_its_registration_once() {
    let world = stage().await;
    let (principal, application) = world.tenant().add_service_principal("Invoice Robot");
    assert_eq!(made(&world, application).await, "created");
    let row = find(&world, application).await;
    assert_eq!(
        (
            row.firstname.as_deref(),
            row.lastname.as_deref(),
            row.fullname.as_deref()
        ),
        (Some("#"), Some("Invoice Robot"), Some("Invoice Robot"))
    );
    assert_eq!((row.accessmode, state_of(&row).as_str()), (4, "enabled"));
    assert_eq!(row.applicationid, Some(application));
    assert_eq!(row.azureactivedirectoryobjectid, Some(principal));
    assert_eq!(made(&world, application).await, "unchanged");
    let sandbox = rollcall::sync::desk::Ask {
        environment: "sandbox",
        ..ask("robot")
    };
    assert_eq!(
        said(&world.engine.desk().application(sandbox, application).await),
        "created"
    );
    assert_eq!(
        world
            .number("select count(*) from rollcall.system_user where applicationid is not null")
            .await,
        2
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn two_who_make_it_at_the_same_moment_make_one() {
    let world = stage().await;
    let (_, application) = world.tenant().add_service_principal("Invoice Robot");
    let desk = world.engine.desk();
    let making = (0..8).map(|_| desk.application(ask("robot"), application));
    let mut words: Vec<String> = futures_util::future::join_all(making).await.iter().map(said).collect();
    words.sort();
    assert_eq!(words[0], "created");
    assert!(words[1..].iter().all(|word| word == "unchanged"), "{words:?}");
    world.end().await;
}

#[tokio::test]
async fn application_users_are_not_counted_among_the_seven() {
    let world = stage().await;
    for number in 0..9 {
        let (_, application) = world.tenant().add_service_principal(&format!("Robot {number}"));
        assert_eq!(made(&world, application).await, "created");
    }
    let taken = world
        .number("select non_interactive_taken::bigint from rollcall.environment_quota where environment = 'production'")
        .await;
    assert_eq!(taken, 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn cycles_never_touch_an_application_user() {
    let world = stage().await;
    let (principal, application) = world.tenant().add_service_principal("Invoice Robot");
    assert_eq!(made(&world, application).await, "created");
    let before = world.dump().await;
    // In the group or out of it, and with everybody judged anew.
    world.tenant().add_member(GROUP, principal);
    world.sync_completely().await;
    world.tenant().remove_member(GROUP, principal);
    let full = rollcall::sync::cycle::Request {
        full: true,
        ..rollcall::sync::cycle::Request::default()
    };
    world.run(full).await.unwrap();
    assert_eq!(before, world.dump().await);
    assert_eq!(word(&world, "disable", application).await, "disabled");
    let disabled = world.dump().await;
    world.sync_completely().await;
    assert_eq!(disabled, world.dump().await);
    world.end().await;
}

#[tokio::test]
async fn an_application_user_is_refused_to_whoever_asks_for_access() {
    let world = stage().await;
    let (principal, application) = world.tenant().add_service_principal("Invoice Robot");
    assert_eq!(made(&world, application).await, "created");
    let row = find(&world, application).await.systemuserid;
    for id in [principal, application, row] {
        for way in ["access", "access by a program", "api", "admin_add"] {
            assert_eq!(word(&world, way, id).await, "application_user", "{way}");
        }
        assert_eq!(word(&world, "import", id).await, "unchanged");
    }
    assert_eq!(word(&world, "hold", application).await, "application_user");
    assert_eq!(
        said(&edit(&world, application, json!({"accessmode": 0})).await),
        "application_user"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn refresh_takes_the_new_name_and_nothing_else() {
    let world = stage().await;
    let (_, application) = world.tenant().add_service_principal("Invoice Robot");
    assert_eq!(made(&world, application).await, "created");
    assert_eq!(word(&world, "disable", application).await, "disabled");
    let before = find(&world, application).await;
    world.simulator.faults().push(Fault::forever(
        When::path("servicePrincipals"),
        Effect::rewrite(|page| {
            if let Some(principals) = page["value"].as_array_mut() {
                for principal in principals {
                    principal["displayName"] = "Invoice Robot II".into();
                }
            }
        }),
    ));
    assert_eq!(word(&world, "refresh", application).await, "updated");
    let after = find(&world, application).await;
    assert_eq!(after.fullname.as_deref(), Some("Invoice Robot II"));
    assert_eq!(state_of(&after), "disabled_by_hand by helpdesk");
    let same = SystemUser {
        lastname: before.lastname.clone(),
        fullname: before.fullname.clone(),
        modifiedon: before.modifiedon,
        modifiedby: before.modifiedby.clone(),
        ..after
    };
    assert_eq!(same, before);
    assert_eq!(word(&world, "refresh", application).await, "unchanged");
    world.end().await;
}

#[tokio::test]
async fn only_a_person_disables_and_enables_an_application_user() {
    let world = stage().await;
    let (_, application) = world.tenant().add_service_principal("Invoice Robot");
    assert_eq!(made(&world, application).await, "created");
    assert_eq!(word(&world, "disable", application).await, "disabled");
    assert_eq!(
        made(&world, application).await,
        "unchanged",
        "making it anew enables nobody"
    );
    assert_eq!(
        state_of(&find(&world, application).await),
        "disabled_by_hand by helpdesk"
    );
    assert_eq!(word(&world, "enable", application).await, "enabled");
    assert_eq!(word(&world, "enable", application).await, "unchanged");
    // A hold that another program puts on it counts.
    world
        .execute("update rollcall.system_user set onhold = true where applicationid is not null")
        .await;
    assert_eq!(word(&world, "enable", application).await, "on_hold");
    assert_eq!(word(&world, "release", application).await, "updated");
    assert_eq!(
        state_of(&find(&world, application).await),
        "disabled_by_hand by helpdesk"
    );
    assert_eq!(word(&world, "enable", application).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn without_the_permission_the_refusal_names_it() {
    let world = stage().await;
    let (_, application) = world.tenant().add_service_principal("Invoice Robot");
    world
        .simulator
        .configure(|settings| assert!(settings.permissions.remove("Application.Read.All")));
    let refusal = super::refusal(world.engine.desk().application(ask("robot"), application).await);
    assert_eq!(refusal.code.as_str(), "directory_unavailable");
    assert!(refusal.detail.contains("Application.Read.All"), "{}", refusal.detail);
    // Everything else goes on without it.
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    assert_eq!(word(&world, "access", ada).await, "not_in_security_group");
    world.end().await;
}

#[tokio::test]
async fn an_application_that_the_tenant_does_not_have_is_not_found() {
    let world = stage().await;
    assert_eq!(made(&world, Uuid::from_u128(0xa44)).await, "user_not_found");
    world.end().await;
}
