//! Stubs, application users and the owners of columns, as the command line has them.

use rollcall::simulator::Settings as SimulatorSettings;
use serde_json::{Value, json};

use super::{ENV, Stage};
use crate::world::{NO_LIMITS, World, licensed, open_environment};

const STUBS: &str = "environments/production/stubs";

#[tokio::test]
async fn a_stub_is_made_mapped_and_merged() {
    let stage = Stage::new().await;
    let old = json!({"user": "old.ada@contoso.example", "company": "USMF"});
    let made = stage.post(STUBS, &old).await.good();
    assert_eq!(
        (&made["outcome"], &made["user"]["isstub"], &made["user"]["company"]),
        (&json!("created"), &json!(true), &json!("USMF"))
    );
    assert_eq!(stage.post(STUBS, &old).await.good()["outcome"], "unchanged");
    let fields = [
        (json!({"user": "ada"}), "user"),
        (json!({"user": " "}), "user"),
        (json!({"user": "a\0@contoso.example"}), "user"),
        (json!({"user": "a@contoso.example", "company": "a\0"}), "company"),
        (
            json!({"user": "a@contoso.example", "company": "x".repeat(257)}),
            "company",
        ),
        (json!({"user": "a@contoso.example", "company": 7}), "company"),
        (json!({}), "user"),
    ];
    for (body, field) in fields {
        assert_eq!(stage.post(STUBS, &body).await.field(), field, "{body}");
    }
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.world.sync_completely().await;
    let map = "environments/production/users/old.ada@contoso.example/map";
    let refused = stage.post(map, &json!({"user": ada})).await;
    assert_eq!(refused.problem(), (409, "already_mapped"));
    assert!(refused.body["remedy"].as_str().unwrap().contains("--merge"));
    let merged = stage.post(map, &json!({"user": ada, "merge": true})).await.good();
    assert_eq!(merged["user"]["azureactivedirectoryobjectid"], json!(ada));
    let stub = format!(
        "environments/production/users/{}",
        made["user"]["systemuserid"].as_str().unwrap()
    );
    let stub = stage.get(&stub).await.good();
    assert_eq!(
        (&stub["deletedstate"], &stub["merged_into"]),
        (&json!(1), &merged["user"]["systemuserid"])
    );
    stage.end().await;
}

#[tokio::test]
async fn an_application_user_is_made_from_its_registration() {
    let mut simulator = SimulatorSettings::default();
    simulator.permissions.insert("Application.Read.All".to_owned());
    let world = World::with(vec![open_environment(ENV)], simulator, NO_LIMITS).await;
    world.sync_completely().await;
    let (_, application) = world.tenant().add_service_principal("Invoice Robot");
    let stage = Stage::around(world).await;
    let path = "environments/production/applications";
    let body = json!({"application": application});
    let made = stage.post(path, &body).await.good();
    assert_eq!(
        (
            &made["outcome"],
            &made["user"]["applicationid"],
            &made["user"]["accessmode"]
        ),
        (&json!("created"), &json!(application), &json!(4))
    );
    assert_eq!(stage.post(path, &body).await.good()["outcome"], "unchanged");
    let unknown = json!({"application": uuid::Uuid::from_u128(7)});
    assert_eq!(stage.post(path, &unknown).await.problem(), (404, "user_not_found"));
    assert_eq!(
        stage.post(path, &json!({"application": "robot"})).await.field(),
        "application"
    );
    stage.end().await;
}

#[tokio::test]
async fn columns_change_hands_and_say_whose_they_are() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.world.sync_completely().await;
    let path = format!("environments/production/users/{ada}/own");
    let owner = |listed: &[Value]| {
        let mail = listed.iter().find(|one| one["field"] == "internalemailaddress");
        mail.unwrap()["owner"].as_str().unwrap().to_owned()
    };
    assert_eq!(owner(&stage.get(&path).await.items()), "sync");
    for by in ["customer", "sync"] {
        let body = json!({"fields": ["internalemailaddress"], "by": by});
        assert_eq!(owner(&stage.post(&path, &body).await.items()), by);
        assert_eq!(owner(&stage.get(&path).await.items()), by);
    }
    for (body, field) in [
        (json!({"fields": [], "by": "sync"}), "fields"),
        (json!({"fields": ["jobtitle"], "by": "sync"}), "jobtitle"),
        (json!({"fields": ["nothing"], "by": "sync"}), "nothing"),
        (json!({"fields": ["accessmode"], "by": "me"}), "by"),
    ] {
        assert_eq!(stage.post(&path, &body).await.field(), field, "{body}");
    }
    let nobody = stage.get("environments/production/users/nobody/own").await;
    assert_eq!(nobody.problem(), (404, "user_not_found"));
    stage.end().await;
}
