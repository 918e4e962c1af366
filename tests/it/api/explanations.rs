//! `explain`: the daemon's own judgement, shown and not applied.

use reqwest::Method;
use rollcall::domain::environment::Environment;
use rollcall::simulator::tenant::{Profile, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ENV, READER, Stage, sent};
use crate::binary::Installation;
use crate::world::{World, guarded_environment, licensed, open_environment};

async fn explain(stage: &Stage, user: &str, more: &str) -> Value {
    let path = format!("environments/production/explain?user={user}{more}");
    sent(stage.request(Method::GET, &path, Some(READER))).await.good()
}

fn checks(explained: &Value) -> &Vec<Value> {
    explained["checks"].as_array().unwrap()
}

fn assert_remedies(explained: &Value) {
    for check in checks(explained) {
        let has_remedy = check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty());
        match check["status"].as_str().unwrap() {
            "fail" => assert!(has_remedy && check["code"].is_string(), "{check}"),
            "unknown" => assert!(check["code"].is_string() || check["detail"] == "not known", "{check}"),
            _ => assert!(!has_remedy, "{check}"),
        }
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_what_the_command_line_says() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let bob = world.tenant().add_user(User::named("Bob", "Builder"));
    world.tenant().give_profile(bob, Profile::Unlicensed);
    world.sync_completely().await;
    let installation = Installation::new(
        &world.simulator,
        world.database_url(),
        "[[environment]]\nname = \"production\"\nkind = \"production\"\n",
    );
    let stage = Stage::around(world).await;
    for user in [ada, bob] {
        for trigger in [
            "diagnostics",
            "background",
            "access",
            "api",
            "admin_add",
            "import",
            "refresh",
        ] {
            let command = format!("explain {user} --environment production --trigger {trigger} --output json");
            let printed = installation.run(&command).await.json();
            let served = explain(&stage, &user.to_string(), &format!("&trigger={trigger}")).await;
            for key in [
                "environment",
                "user",
                "trigger",
                "outcome",
                "code",
                "entitlement",
                "accessmode",
                "checks",
            ] {
                assert_eq!(served[key], printed[key], "{trigger} {key}");
            }
            assert_eq!(served["trigger"], trigger);
            let (mut here, mut there): (Vec<_>, Vec<_>) = (
                served.as_object().unwrap().keys().collect(),
                printed.as_object().unwrap().keys().collect(),
            );
            here.sort();
            there.sort();
            assert_eq!(here, there);
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn every_failed_check_has_a_remedy_and_no_row_is_written() {
    let group = Uuid::from_u128(0x6060);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    let [ada, bob, gone, new] = ["Ada", "Bob", "Gone", "New"].map(|name| licensed(world.tenant(), name, "Lovelace"));
    world.tenant().add_members(group, [ada, bob, gone]);
    world.sync_completely().await;
    world.tenant().give_profile(bob, Profile::Unlicensed);
    world
        .tenant()
        .update_user(bob, |user| user.account_enabled = Some(false));
    world.tenant().soft_delete(gone);
    let stage = Stage::around(world).await;
    let before = stage.world.dump().await;
    let lines = "select count(*) from rollcall.system_user_change";
    let logged = stage.world.number(lines).await;
    for (user, trigger, outcome, code) in [
        (ada, "background", "keep", None),
        (bob, "background", "disable", Some("directory_account_disabled")),
        (gone, "background", "disable", Some("directory_soft_deleted")),
        (new, "access", "refuse", Some("not_in_security_group")),
        (new, "background", "skip", Some("not_in_security_group")),
    ] {
        let explained = explain(&stage, &user.to_string(), &format!("&trigger={trigger}")).await;
        assert_eq!(
            (explained["outcome"].as_str(), explained["code"].as_str()),
            (Some(outcome), code),
            "{user} {trigger}: {explained}"
        );
        assert_eq!(explained["directory"], "fresh");
        assert_remedies(&explained);
        assert!(explained["triggers"].as_array().unwrap().len() >= 7);
    }
    assert_eq!(
        (stage.world.dump().await, stage.world.number(lines).await),
        (before, logged)
    );
    stage.end().await;
}

#[tokio::test]
async fn rows_of_nobody_are_explained_too() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    };
    let stage = Stage::around(World::new(vec![environment]).await).await;
    stage.world.sync_completely().await;
    stage
        .world
        .engine
        .desk()
        .stub(crate::on_demand::ask("old.ada@contoso.example"), None)
        .await
        .unwrap();
    stage.world.simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
    let (principal, application) = stage.world.tenant().add_service_principal("Importer");
    let added = stage
        .world
        .engine
        .desk()
        .application(crate::on_demand::ask("importer"), application)
        .await
        .unwrap();
    let row = added.user.unwrap();
    assert_eq!(row.azureactivedirectoryobjectid, Some(principal));
    let before = stage.world.dump().await;
    for (user, code) in [
        ("crmoln@microsoft.com".to_owned(), "reserved_user"),
        ("old.ada@contoso.example".to_owned(), "stub_user"),
        (row.systemuserid.to_string(), "application_user"),
        (application.to_string(), "application_user"),
        (principal.to_string(), "application_user"),
    ] {
        let explained = explain(&stage, &user, "").await;
        let failed: Vec<&Value> = checks(&explained)
            .iter()
            .filter(|check| check["status"] == "fail")
            .collect();
        assert!(failed.iter().any(|check| check["code"] == code), "{user}: {explained}");
        assert!(explained["row"].is_object(), "{user}");
        assert_remedies(&explained);
        for trigger in ["access", "api", "background", "refresh"] {
            let path = format!("environments/production/explain?user={user}&trigger={trigger}");
            assert_remedies(&stage.get(&path).await.good());
        }
    }
    assert_eq!(stage.world.dump().await, before);
    let unknown = stage
        .get("environments/production/explain?user=nobody@contoso.example")
        .await;
    assert_eq!(unknown.problem(), (404, "user_not_found"));
    stage.end().await;
}

#[tokio::test]
async fn a_refusal_shows_the_checks_that_explain_shows() {
    let stage = Stage::new().await;
    let bob = stage.world.tenant().add_user(User::named("Bob", "Builder"));
    stage.world.tenant().give_profile(bob, Profile::Unlicensed);
    let refused = stage.access(bob).await;
    assert_eq!(refused.problem(), (409, "unlicensed"));
    assert_eq!(refused.body["retryable"], false);
    let explained = explain(&stage, &bob.to_string(), "&trigger=access").await;
    // What decides nothing is only explained.
    let (last, decisive) = checks(&explained).split_last().unwrap();
    assert_eq!(last["gate"], "security_role");
    assert_eq!(refused.body["checks"].as_array().unwrap(), decisive);
    assert_eq!(explained["code"], json!("unlicensed"));
    stage.end().await;
}
