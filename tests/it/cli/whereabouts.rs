//! `rollcall user where`: one person in every environment.

use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Effect, Fault, When};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Stage, cells};

impl Stage {
    async fn whereabouts(&self, user: &str) -> Value {
        serde_json::from_str(&self.good(&format!("user where {user} --output json")).await).unwrap()
    }
}

/// Environment, state, reason and what would create a row.
fn brief(found: &Value) -> Vec<Value> {
    let items = found["items"].as_array().unwrap().iter();
    items
        .map(|one| json!([one["environment"], one["state"], one["reason"], one["created_by"]]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_is_shown_in_every_environment_with_the_reason() {
    let stage = Stage::new().await;
    stage.installation.amend(
        "kind = \"sandbox\"",
        "kind = \"sandbox\"\n\n[[environment]]\nname = \"trial\"\nkind = \"trial\"",
    );
    let tenant = stage.simulator.tenant();
    let person = |given: &str, profile| {
        let id = tenant.add_user(User::named(given, "Person"));
        tenant.give_profile(id, profile);
        id
    };
    let (ada, paul) = (person("Ada", Profile::E5PowerApps), person("Paul", Profile::Unlicensed));
    stage.good("sync").await;
    stage
        .good("user disable ada.person@contoso.example --environment sandbox")
        .await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    let attic = "insert into rollcall.environment (name, fingerprint, until_edited) values ('attic', '', '{}')";
    sqlx::query(attic).execute(&mut db).await.unwrap();
    let row = "insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid)
               values ('attic', gen_random_uuid(), $1)";
    sqlx::query(row).bind(ada).execute(&mut db).await.unwrap();

    let everywhere = [
        json!(["production", "no_row", "not_in_security_group", "nobody"]),
        json!(["sandbox", "disabled", "disabled_by_hand", null]),
        json!(["trial", "no_row", "on_demand_only", "on_demand"]),
        json!(["attic", "enabled", null, null]),
    ];
    let found = stage.whereabouts("ada.person@contoso.example").await;
    assert_eq!(brief(&found), everywhere);
    assert_eq!(
        [
            &found["object_id"],
            &found["directory"],
            &found["items"][3]["configured"]
        ],
        [&json!(ada), &json!("fresh"), &json!(false)]
    );
    let row = found["items"][1]["systemuserid"].as_str().unwrap().to_owned();
    // The directory says today's name, which no row has yet; a row's own id leads to the same person.
    tenant.update_user(ada, |user| {
        user.user_principal_name = Some("ada.new@contoso.example".to_owned());
    });
    for user in ["ada.new@contoso.example", &row, &ada.to_string()] {
        assert_eq!(brief(&stage.whereabouts(user).await), everywhere, "{user}");
    }
    let text = stage.good(&format!("user where {ada}")).await;
    let table = cells(&text);
    assert_eq!(table[1], ["production", "no row", "not_in_security_group", "-", "-"]);
    assert_eq!(table[2][..3], ["sandbox", "disabled", "disabled_by_hand"]);
    assert_eq!(table[3][1], "no row, on demand");
    assert_eq!(table[4][1], "enabled, left over");
    assert!(
        text.ends_with(&format!("rollcall explain {ada} --environment NAME\n")),
        "{text}"
    );

    let found = stage.whereabouts(&paul.to_string()).await;
    assert_eq!(found["items"][1]["reason"], "unlicensed", "{found}");
    stage.good("user stub old@contoso.example --environment sandbox").await;
    let found = stage.whereabouts("old@contoso.example").await;
    let states: Vec<&Value> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["reason"])
        .collect();
    assert_eq!(states, ["user_not_found", "stub_user", "user_not_found"]);
    for unknown in ["nobody@contoso.example".to_owned(), Uuid::nil().to_string()] {
        let line = stage.bad(&format!("user where {unknown}"), 6).await;
        assert!(line.contains("user_not_found"), "{line}");
    }

    for path in ["/$batch", "/users/"] {
        let fault = Fault::forever(When::path(path), Effect::error(403, "Authorization_RequestDenied"));
        stage.simulator.faults().push(fault);
    }
    let found = stage.whereabouts(&ada.to_string()).await;
    assert_eq!(brief(&found), everywhere, "from the mirror");
    assert!(
        found["directory"]
            .as_str()
            .unwrap()
            .contains("Authorization_RequestDenied"),
        "{found}"
    );
    db.close().await.unwrap();
    stage.end().await;
}
