//! Deleting a row in the store (rules.md, section 6): when it is allowed, what is left of it, and that it never comes
//! back.

use rollcall::domain::environment::Environment;
use rollcall::simulator::Settings as SimulatorSettings;
use uuid::Uuid;

use super::{ENV, ask, ask_by, refusal, row, said, stage_of, state, word};
use crate::world::{NO_LIMITS, World, licensed, open_environment};

async fn one_user_with_a_role() -> (World, Uuid) {
    let environment = Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    };
    let world = stage_of(environment).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let granted = world.engine.desk().grant(ask(&ada.to_string()), "Basic User").await;
    assert_eq!(said(&granted), "updated");
    (world, ada)
}

#[tokio::test]
async fn whoever_may_come_back_is_not_deleted() {
    let (world, ada) = one_user_with_a_role().await;
    assert_eq!(word(&world, "delete", ada).await, "not_deletable");
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    assert_eq!(word(&world, "delete", ada).await, "not_deletable");
    world.tenant().soft_delete(ada);
    world.sync_completely().await;
    let refusal = refusal(ask_by(&world, "delete", ada).await);
    assert_eq!(refusal.code.as_str(), "not_deletable");
    assert_eq!(row(&world, ada).await.deletedstate, 0);
    world.end().await;
}

#[tokio::test]
async fn a_row_whose_user_is_gone_is_deleted_for_good() {
    let (world, ada) = one_user_with_a_role().await;
    world.tenant().purge(ada);
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "directory_deleted by sync");
    let answer = ask_by(&world, "delete", ada).await.unwrap();
    assert_eq!(answer.outcome.as_str(), "updated");
    let deleted = answer.user.unwrap();
    assert_eq!((deleted.deletedstate, deleted.isdisabled), (1, true));
    assert_eq!(
        world.number("select count(*) from rollcall.system_user_role").await,
        0,
        "its roles are gone"
    );
    let history = world
        .strings(
            "select concat_ws(' ', actor, operation) from rollcall.system_user_change c
             where exists (select from rollcall.system_user s
                           where s.systemuserid = c.systemuserid and s.deletedstate = 1) order by id",
        )
        .await;
    assert_eq!(
        history,
        [
            "sync create",
            "helpdesk grant",
            "sync disable",
            "helpdesk revoke",
            "helpdesk delete"
        ]
    );
    for way in [
        "access",
        "api",
        "admin_add",
        "refresh",
        "disable",
        "enable",
        "hold",
        "release",
        "delete",
    ] {
        assert_eq!(word(&world, way, ada).await, "row_deleted", "{way}");
        assert_eq!(word(&world, way, deleted.systemuserid).await, "row_deleted", "{way}");
    }
    assert_eq!(word(&world, "import", ada).await, "unchanged", "it is there already");
    let granted = world.engine.desk().grant(ask(&ada.to_string()), "Basic User").await;
    assert_eq!(said(&granted), "row_deleted");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_name_of_a_deleted_row_is_free_for_somebody_else() {
    let (world, ada) = one_user_with_a_role().await;
    world.tenant().purge(ada);
    world.sync_completely().await;
    assert_eq!(word(&world, "delete", ada).await, "updated");
    let heir = licensed(world.tenant(), "Ada", "Lovelace");
    assert_eq!(word(&world, "access", "ada.lovelace@contoso.example").await, "created");
    assert_eq!(state(&world, heir).await, "enabled");
    assert_eq!(row(&world, ada).await.deletedstate, 1);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_can_be_deleted_and_leaves_its_name() {
    let (world, _) = one_user_with_a_role().await;
    assert_eq!(word(&world, "stub", "old@contoso.example").await, "created");
    assert_eq!(word(&world, "delete", "old@contoso.example").await, "updated");
    assert_eq!(
        word(&world, "stub", "old@contoso.example").await,
        "created",
        "a new one"
    );
    assert_eq!(
        world
            .number("select count(*) from rollcall.system_user where isstub and deletedstate = 1")
            .await,
        1
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn somebody_who_waits_for_the_name_of_a_stub_gets_it_when_the_stub_is_deleted() {
    let (world, _) = one_user_with_a_role().await;
    assert_eq!(word(&world, "stub", "bob.builder@contoso.example").await, "created");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {bob}")]);
    assert_eq!(word(&world, "delete", "bob.builder@contoso.example").await, "updated");
    world.sync_completely().await;
    assert_eq!(state(&world, bob).await, "enabled");
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn an_application_user_is_deleted_when_it_is_disabled_and_can_be_made_anew() {
    let mut simulator = SimulatorSettings::default();
    simulator.permissions.insert("Application.Read.All".to_owned());
    let world = World::with(vec![open_environment(ENV)], simulator, NO_LIMITS).await;
    let (_, application) = world.tenant().add_service_principal("Robot");
    let made = world
        .engine
        .desk()
        .application(ask("robot"), application)
        .await
        .unwrap();
    let first = made.user.unwrap().systemuserid;
    assert_eq!(word(&world, "delete", first).await, "not_deletable");
    assert_eq!(word(&world, "disable", application).await, "disabled");
    let answer = ask_by(&world, "delete", application).await.unwrap();
    assert_eq!(answer.user.unwrap().deletedstate, 1);
    let made = world
        .engine
        .desk()
        .application(ask("robot"), application)
        .await
        .unwrap();
    assert_eq!(made.outcome.as_str(), "created");
    assert_ne!(made.user.unwrap().systemuserid, first);
    for way in ["refresh", "enable", "disable"] {
        assert_eq!(word(&world, way, first).await, "row_deleted", "{way}");
    }
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}
