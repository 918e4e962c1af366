//! Stubs (rules.md, section 6): placeholders of a data import, and what binds them to somebody.

use rollcall::domain::environment::Environment;
use rollcall::simulator::tenant::Profile;
use serde_json::json;
use uuid::Uuid;

use super::{ENV, ask, edit, person, refusal, row, said, stage, stage_of, state, state_of, word};
use crate::guard::block;
use crate::world::{World, licensed, open_environment};

const OLD: &str = "old.ada@contoso.example";

async fn map(world: &World, stub: &str, user: impl ToString) -> String {
    said(&world.engine.desk().map(ask(stub), &user.to_string()).await)
}

/// A stage with these roles, and a stub.
async fn with_roles(roles: &[&str]) -> (World, Uuid) {
    let environment = Environment {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..open_environment(ENV)
    };
    let world = stage_of(environment).await;
    world.sync_completely().await;
    let stub = world
        .engine
        .desk()
        .stub(ask(OLD), Some("Contoso"))
        .await
        .unwrap()
        .user
        .unwrap();
    (world, stub.systemuserid)
}

async fn roles_of(world: &World, user: &str) -> Vec<(String, String)> {
    let held = world
        .engine
        .desk()
        .role_holders(ENV, Some(user), None, None, 10)
        .await
        .unwrap();
    held.into_iter().map(|held| (held.role, held.provenance)).collect()
}

#[tokio::test]
async fn a_stub_is_disabled_from_birth_and_has_its_role() {
    for (roles, expected) in [
        (&["Basic User", "Salesperson"][..], Some("Salesperson")),
        (&["Basic User"], Some("Basic User")),
        (&["Approver"], None),
    ] {
        let (world, _) = with_roles(roles).await;
        let stub = world
            .engine
            .records()
            .user(ENV, "OLD.ada@contoso.example")
            .await
            .unwrap();
        assert_eq!(state_of(&stub), "stub_user by helpdesk");
        assert!(stub.isstub && !stub.issyncwithdirectory && !stub.islicensed);
        assert_eq!(stub.azureactivedirectoryobjectid, None);
        assert_eq!(
            (stub.firstname.as_deref(), stub.company.as_deref()),
            (Some("#"), Some("Contoso"))
        );
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|role| ((*role).to_owned(), "import".to_owned()))
            .collect();
        assert_eq!(roles_of(&world, OLD).await, expected);
        assert_eq!(word(&world, "stub", OLD).await, "unchanged", "once is enough");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_stub_cannot_be_enabled_synchronised_or_signed_in() {
    let (world, stub) = with_roles(&["Basic User"]).await;
    let before = world.dump().await;
    for way in [
        "access",
        "access by a program",
        "api",
        "admin_add",
        "refresh",
        "disable",
        "enable",
        "hold",
    ] {
        assert_eq!(word(&world, way, OLD).await, "stub_user", "{way}");
        assert_eq!(word(&world, way, stub).await, "stub_user", "{way}");
    }
    assert_eq!(said(&edit(&world, OLD, json!({"accessmode": 4})).await), "stub_user");
    assert_eq!(word(&world, "release", OLD).await, "unchanged");
    assert_eq!(before, world.dump().await);
    // Its role came from the system; a person's needs an enabled row.
    let granted = world.engine.desk().grant(ask(OLD), "Basic User").await;
    assert_eq!(said(&granted), "user_disabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_hold_that_another_program_put_on_a_stub_ends_and_leaves_a_stub() {
    let (world, stub) = with_roles(&[]).await;
    world
        .execute("update rollcall.system_user set onhold = true where isstub")
        .await;
    assert_eq!(word(&world, "release", OLD).await, "updated");
    let row = world.engine.records().user(ENV, &stub.to_string()).await.unwrap();
    assert!(!row.onhold && row.isdisabled && row.disabledreason.as_deref() == Some("stub_user"));
    world.end().await;
}

#[tokio::test]
async fn what_is_no_name_makes_no_stub() {
    let (world, ada) = super::one_user().await;
    let long = format!("{}@contoso.example", "x".repeat(1024));
    for name in ["ada", "", "a b@contoso.example", "a\0@contoso.example", long.as_str()] {
        assert_eq!(word(&world, "stub", name).await, "bad input: user", "{name}");
    }
    assert_eq!(word(&world, "stub", "crmoln@microsoft.com").await, "reserved_user");
    assert_eq!(
        word(&world, "stub", "Ada.Lovelace@contoso.example").await,
        "upn_conflict"
    );
    assert_eq!(state(&world, ada).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_that_is_bound_keeps_its_id_its_role_and_its_company() {
    let (world, stub) = with_roles(&["Basic User", "Salesperson"]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let bound = world.engine.desk().map(ask(OLD), &ada.to_string()).await.unwrap();
    assert_eq!(bound.outcome.as_str(), "enabled");
    let row = bound.user.unwrap();
    assert_eq!((row.systemuserid, row.azureactivedirectoryobjectid), (stub, Some(ada)));
    assert!(!row.isstub && row.issyncwithdirectory && row.islicensed);
    assert_eq!(
        (
            row.firstname.as_deref(),
            row.domainname.as_deref(),
            row.company.as_deref()
        ),
        (Some("Ada"), Some("ada.lovelace@contoso.example"), Some("Contoso"))
    );
    let held = roles_of(&world, &ada.to_string()).await;
    assert_eq!(held, [("Salesperson".to_owned(), "import".to_owned())]);
    let lines = world
        .strings(
            "select concat_ws(' ', actor, operation) from rollcall.system_user_change c
             where exists (select from rollcall.system_user s
                           where s.systemuserid = c.systemuserid and s.azureactivedirectoryobjectid is not null)
             order by id",
        )
        .await;
    assert_eq!(
        lines,
        ["helpdesk create", "helpdesk grant", "helpdesk edit", "helpdesk enable"]
    );
    world.assert_settled().await;
    // The old name is free now.
    assert_eq!(word(&world, "stub", OLD).await, "created");
    block(&world, &[ada]);
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "directory_account_disabled by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_that_is_bound_to_somebody_who_is_not_entitled_is_bound_and_stays_disabled() {
    let (world, stub) = with_roles(&[]).await;
    let bob = person(&world, "Bob", "Builder", "none");
    let bound = world.engine.desk().map(ask(OLD), &bob.to_string()).await.unwrap();
    assert_eq!(bound.outcome.as_str(), "updated");
    assert_eq!(json!(bound.verdict.unwrap())["code"], "unlicensed");
    assert_eq!(row(&world, bob).await.systemuserid, stub);
    assert_eq!(state(&world, bob).await, "unlicensed by sync");
    world.assert_settled().await;
    world.tenant().give_profile(bob, Profile::E5PowerApps);
    world.sync_completely().await;
    assert_eq!(state(&world, bob).await, "enabled", "the normal rules apply");
    world.end().await;
}

#[tokio::test]
async fn only_a_stub_is_bound_and_only_to_somebody_without_a_row() {
    let (world, _) = with_roles(&[]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(map(&world, OLD, ada).await, "already_mapped", "she has a row");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    let name = "ada.lovelace@contoso.example";
    assert_eq!(map(&world, name, bob).await, "already_mapped", "the row is no stub");
    assert_eq!(map(&world, "crmoln@microsoft.com", bob).await, "already_mapped");
    assert_eq!(map(&world, "nobody@contoso.example", bob).await, "user_not_found");
    assert_eq!(state(&world, bob).await, "none");
    // Once bound, the row is no stub.
    assert_eq!(map(&world, OLD, bob).await, "enabled");
    assert_eq!(map(&world, "bob.builder@contoso.example", ada).await, "already_mapped");
    world.assert_settled().await;
    world.end().await;
}

async fn merge(world: &World, stub: &str, user: impl ToString) -> String {
    said(&world.engine.desk().merge(ask(stub), &user.to_string()).await)
}

#[tokio::test]
async fn a_stub_goes_into_the_row_that_its_person_has_and_says_where() {
    let (world, stub) = with_roles(&["Basic User", "Salesperson"]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world
        .engine
        .desk()
        .grant(ask(&ada.to_string()), "Basic User")
        .await
        .unwrap();
    world.engine.desk().disable(ask(&ada.to_string())).await.unwrap();
    world.sync_completely().await;
    let before = row(&world, ada).await;
    let history = "select count(*) from rollcall.system_user_change";
    let lines_before = world.number(history).await;

    let merged = world
        .engine
        .desk()
        .merge(ask(OLD), "ADA.lovelace@contoso.example")
        .await
        .unwrap();
    assert_eq!(merged.outcome.as_str(), "updated");
    assert_eq!(
        merged.user.as_ref(),
        Some(&before),
        "no column of hers changes: she stays as a person left her"
    );
    let role = |role: &str, provenance: &str| (role.to_owned(), provenance.to_owned());
    assert_eq!(
        roles_of(&world, &ada.to_string()).await,
        [role("Basic User", "manual"), role("Salesperson", "import")]
    );
    assert_eq!(roles_of(&world, &stub.to_string()).await, []);
    let gone = world.engine.records().user(ENV, &stub.to_string()).await.unwrap();
    assert_eq!(
        (gone.deletedstate, gone.merged_into, gone.domainname.as_deref()),
        (1, Some(before.systemuserid), Some(OLD))
    );
    let told = world
        .strings(
            "select concat_ws(' ', actor, operation, fields) from rollcall.system_user_change where id > (
                 select max(id) - 4 from rollcall.system_user_change) order by operation",
        )
        .await;
    let into = before.systemuserid;
    assert_eq!(
        told,
        [
            format!(r#"helpdesk delete {{"merged_into": [null, "{into}"], "deletedstate": [0, 1]}}"#),
            format!(r#"helpdesk edit {{"merged_from": [null, "{stub}"]}}"#),
            r#"helpdesk grant {"role": [null, "Salesperson"], "provenance": [null, "import"]}"#.to_owned(),
            r#"helpdesk revoke {"role": ["Salesperson", null], "provenance": ["import", null]}"#.to_owned(),
        ]
    );
    assert_eq!(
        world.number(history).await,
        lines_before + 4,
        "history stays where it is"
    );
    world.assert_settled().await;
    // Whoever comes again is told where it went, and its name is free.
    let again = refusal(
        world
            .engine
            .desk()
            .merge(ask(&stub.to_string()), &ada.to_string())
            .await,
    );
    assert_eq!(again.code.as_str(), "already_mapped");
    assert!(again.detail.contains(&into.to_string()), "{}", again.detail);
    assert_eq!(map(&world, &stub.to_string(), ada).await, "already_mapped");
    assert_eq!(word(&world, "stub", OLD).await, "created");
    world.end().await;
}

#[tokio::test]
async fn a_person_gets_the_name_that_the_stub_held_once_it_is_merged() {
    let (world, _) = with_roles(&[]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world
        .tenant()
        .update_user(ada, |user| user.user_principal_name = Some(OLD.to_owned()));
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {ada}")]);
    assert_eq!(merge(&world, OLD, ada).await, "updated");
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.domainname.as_deref(), Some(OLD));
    assert_eq!(world.findings().await, [] as [&str; 0]);
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_merged_is_refused_and_somebody_without_a_row_is_bound() {
    let (world, stub) = with_roles(&["Salesperson"]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let gone = licensed(world.tenant(), "Gone", "User");
    world.sync_completely().await;
    let before = world.dump().await;
    assert_eq!(
        merge(&world, "ada.lovelace@contoso.example", gone).await,
        "already_mapped"
    );
    assert_eq!(merge(&world, "nobody@contoso.example", ada).await, "user_not_found");
    assert_eq!(merge(&world, OLD, "nobody@contoso.example").await, "user_not_found");
    assert_eq!(before, world.dump().await, "nothing is written");
    world.tenant().soft_delete(gone);
    world.tenant().purge(gone);
    world.sync_completely().await;
    world.engine.desk().delete(ask(&gone.to_string())).await.unwrap();
    assert_ne!(merge(&world, OLD, gone).await, "updated", "her row is deleted");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    assert_eq!(merge(&world, OLD, bob).await, "enabled");
    assert_eq!(row(&world, bob).await.systemuserid, stub);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_is_not_bound_to_somebody_who_is_not_there() {
    let (world, _) = with_roles(&[]).await;
    let before = world.dump().await;
    let (gone, deleted) = (
        licensed(world.tenant(), "Gone", "User"),
        licensed(world.tenant(), "Deleted", "User"),
    );
    world.tenant().purge(gone);
    world.tenant().soft_delete(deleted);
    assert_eq!(map(&world, OLD, gone).await, "user_not_found");
    assert_eq!(map(&world, OLD, "nobody@contoso.example").await, "user_not_found");
    assert_eq!(map(&world, OLD, deleted).await, "user_soft_deleted");
    for name in ["SYSTEM", "crmoln@microsoft.com"] {
        assert_ne!(map(&world, OLD, name).await, "updated", "{name}");
    }
    let impostor = licensed(world.tenant(), "Im", "Postor");
    world.tenant().update_user(impostor, |user| {
        user.user_principal_name = Some("crmoln2@microsoft.com".to_owned());
    });
    assert_eq!(map(&world, OLD, impostor).await, "reserved_user");
    let unreadable = licensed(world.tenant(), "Un", "Readable");
    world
        .tenant()
        .update_user(unreadable, |user| user.account_enabled = None);
    assert_eq!(map(&world, OLD, unreadable).await, "directory_unavailable");
    assert_eq!(before, world.dump().await, "nothing is written");
    world.end().await;
}

#[tokio::test]
async fn a_stub_is_not_bound_to_somebody_whose_name_another_row_keeps() {
    let (world, stub) = with_roles(&[]).await;
    assert_eq!(word(&world, "stub", "bob.builder@contoso.example").await, "created");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    let refusal = refusal(world.engine.desk().map(ask(OLD), &bob.to_string()).await);
    assert_eq!(refusal.code.as_str(), "upn_conflict");
    let row = world.engine.records().user(ENV, &stub.to_string()).await.unwrap();
    assert!(row.isstub && row.azureactivedirectoryobjectid.is_none());
    assert_eq!(map(&world, "bob.builder@contoso.example", bob).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_cycle_leaves_stubs_alone_whatever_the_directory_says() {
    let world = stage().await;
    world.sync_completely().await;
    assert_eq!(word(&world, "stub", OLD).await, "created");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world
        .tenant()
        .update_user(ada, |user| user.user_principal_name = Some(OLD.to_owned()));
    let before = world.dump().await;
    world.sync_completely().await;
    assert_eq!(before, world.dump().await);
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {ada}")]);
    world.end().await;
}
