//! Business units, positions and the profile (rules.md, section 13).

use reqwest::Method;
use serde_json::{Value, json};

use super::{OPERATOR, Stage};
use crate::world::licensed;

fn names(items: Vec<Value>) -> Vec<String> {
    let names = items.into_iter().map(|item| item["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[tokio::test]
async fn units_and_positions_are_made_listed_moved_and_deleted() {
    let stage = Stage::new().await;
    for (list, key, root) in [
        ("environments/production/business-units", "businessunitid", 1),
        ("environments/production/positions", "positionid", 0),
    ] {
        let parent = format!("parent{key}");
        let sales = stage.post(list, &json!({"name": " Sales "})).await.good();
        assert_eq!(
            (&sales["name"], &sales["createdby"]),
            (&json!("Sales"), &json!(OPERATOR))
        );
        let north = stage
            .post(list, &json!({"name": "North", &parent: "sales"}))
            .await
            .good();
        assert_eq!(north[&parent], sales[key]);
        assert_eq!(north[format!("{parent}name")], "Sales");
        assert_eq!(stage.get(list).await.items().len(), 2 + root);
        let first = stage.get(&format!("{list}?limit={}", 1 + root)).await.good();
        assert_eq!(first["next"].as_str(), sales[key].as_str());
        let rest = stage
            .get(&format!("{list}?cursor={}", sales[key].as_str().unwrap()))
            .await;
        assert_eq!(names(rest.items()), ["North"]);

        let one = format!("{list}/{}", sales[key].as_str().unwrap());
        assert_eq!(
            stage.get(&format!("{list}/SALES")).await.good(),
            stage.get(&one).await.good()
        );
        for (change, status, code) in [
            (json!({&parent: "North"}), 409, "would_cycle"),
            (json!({&parent: "Nowhere"}), 422, "bad_input"),
            (json!({"name": "north"}), 409, "name_taken"),
            (json!({"name": " "}), 422, "bad_input"),
            (json!({"colour": "red"}), 422, "bad_input"),
        ] {
            let answer = stage.patch(&one, &change).await;
            assert_eq!(answer.problem(), (status, code), "{change}");
        }
        let renamed = stage.patch(&one, &json!({"name": "Service"})).await.good();
        assert_eq!((&renamed["name"], &renamed[key]), (&json!("Service"), &sales[key]));
        let refused = stage.send(Method::DELETE, &one, &json!({}), OPERATOR).await;
        let expected = if root == 1 { "unit_not_empty" } else { "position_in_use" };
        assert_eq!(refused.problem(), (409, expected));
        let north = format!("{list}/North");
        if root == 1 {
            assert_eq!(
                stage.patch(&north, &json!({"isdisabled": true})).await.good()["isdisabled"],
                true
            );
        }
        stage.send(Method::DELETE, &north, &json!({}), OPERATOR).await.good();
        assert_eq!(stage.get(&north).await.problem(), (404, "not_found"));
        assert_eq!(
            stage.patch(&north, &json!({"name": "x"})).await.problem(),
            (404, "not_found")
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn a_position_moves_to_the_top_by_null_and_the_profile_is_edited_by_name_or_id() {
    let stage = Stage::new().await;
    let positions = "environments/production/positions";
    stage.post(positions, &json!({"name": "Head"})).await.good();
    let clerk = stage
        .post(positions, &json!({"name": "Clerk", "parentpositionid": "Head"}))
        .await
        .good();
    let moved = stage
        .patch(&format!("{positions}/Clerk"), &json!({"parentpositionid": null}))
        .await
        .good();
    assert!(
        !clerk["parentpositionid"].is_null() && moved["parentpositionid"].is_null(),
        "{moved}"
    );

    let [ada, bob] = ["Ada", "Bob"].map(|name| licensed(stage.world.tenant(), name, "Person"));
    stage.world.sync_completely().await;
    let user = format!("environments/production/users/{ada}");
    let root = stage.get(&user).await.good()["businessunitid"].clone();
    assert_eq!(
        stage
            .get("environments/production/business-units/production")
            .await
            .good()["businessunitid"],
        root
    );
    let change = json!({"positionid": clerk["positionid"], "parentsystemuserid": bob, "nickname": "A"});
    let edited = stage.patch(&user, &change).await.good();
    let manager = stage.get(&format!("environments/production/users/{bob}")).await.good();
    assert_eq!(edited["user"]["positionid"], clerk["positionid"]);
    assert_eq!(edited["user"]["parentsystemuserid"], manager["systemuserid"]);
    assert_eq!(edited["user"]["nickname"], "A");
    let refused = stage.patch(&user, &json!({"businessunitid": "Nowhere"})).await;
    assert_eq!(
        (refused.problem(), refused.field()),
        ((422, "bad_input"), "businessunitid")
    );
    stage.end().await;
}
