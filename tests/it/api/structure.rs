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
        let all = names(stage.get(list).await.items());
        assert_eq!(all.len(), 2 + root);
        let first = stage.get(&format!("{list}?limit=1")).await.good();
        assert_eq!(first["items"][0]["name"], all[0]);
        assert_eq!(first["next"], first["items"][0][key]);
        let rest = format!("{list}?cursor={}", first["next"].as_str().unwrap());
        assert_eq!(names(stage.get(&rest).await.items()), all[1..]);

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

#[tokio::test]
async fn teams_are_made_listed_and_deleted_with_their_members_and_roles() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Person");
    stage.world.sync_completely().await;
    let teams = "environments/production/teams";
    let user = format!("environments/production/users/{ada}");
    let row = stage.get(&user).await.good();
    let wanted = json!({"name": "Callers", "administratorid": ada});
    let callers = stage.post(teams, &wanted).await.good();
    assert_eq!(
        (&callers["teamtype"], &callers["isdefault"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(callers["businessunitid"], row["businessunitid"]);
    assert_eq!(callers["administratorid"], row["systemuserid"]);
    stage
        .post(teams, &json!({"name": "Readers", "teamtype": 1}))
        .await
        .good();
    for (body, status, code) in [
        (json!({"name": "callers"}), 409, "name_taken"),
        (json!({"name": "x", "teamtype": 4}), 422, "bad_input"),
        (json!({"name": "x", "teamtype": 2}), 422, "bad_input"),
        (json!({"name": "x", "membershiptype": 1}), 422, "bad_input"),
        (json!({"name": "x", "businessunitid": "Nowhere"}), 422, "bad_input"),
    ] {
        assert_eq!(stage.post(teams, &body).await.problem(), (status, code), "{body}");
    }
    let one = format!("{teams}/{}", callers["teamid"].as_str().unwrap());
    let (members, roles) = (format!("{one}/members"), format!("{one}/roles"));
    let added = stage.post(&members, &json!({"user": ada})).await.good();
    assert_eq!(
        (&added["outcome"], &added["user"]["systemuserid"]),
        (&json!("updated"), &row["systemuserid"])
    );
    let listed = stage.get(&members).await.items();
    assert_eq!(
        (&listed[0]["systemuserid"], &listed[0]["added_by"]),
        (&row["systemuserid"], &json!(OPERATOR))
    );
    let of_ada = names(stage.get(&format!("{teams}?user={ada}")).await.items());
    assert_eq!(of_ada, ["production", "Callers"]);

    let unknown = stage.post(&roles, &json!({"role": "Emperor"})).await;
    assert_eq!(unknown.problem(), (409, "role_not_found"));
    let readers = stage
        .post(&format!("{teams}/Readers/roles"), &json!({"role": "Basic User"}))
        .await;
    assert_eq!(readers.problem().0, 409);
    let change = json!({"administratorid": null, "name": "Agents"});
    let edited = stage.patch(&one, &change).await.good();
    assert!(
        edited["administratorid"].is_null() && edited["name"] == "Agents",
        "{edited}"
    );
    assert_eq!(
        stage.patch(&format!("{teams}/production"), &change).await.problem(),
        (409, "team_is_default")
    );
    let drop = format!("{members}?user={ada}");
    stage.send(Method::DELETE, &drop, &json!({}), OPERATOR).await.good();
    let again = stage.send(Method::DELETE, &drop, &json!({}), OPERATOR).await;
    assert_eq!(again.problem(), (409, "not_a_member"));
    stage.send(Method::DELETE, &one, &json!({}), OPERATOR).await.good();
    assert_eq!(stage.get(&members).await.problem(), (404, "not_found"));
    stage.end().await;
}

#[tokio::test]
async fn the_whole_profile_is_answered_in_one_call_on_request_and_its_history_page_by_page() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Person");
    stage.world.sync_completely().await;
    let user = format!("environments/production/users/{ada}");
    for title in ["Dr", "Prof"] {
        stage.patch(&user, &json!({"title": title})).await.good();
    }
    let change = json!({"internalemailaddress": "boss@contoso.example"});
    stage.patch(&user, &change).await.good();
    stage
        .world
        .execute("alter table rollcall.system_user add column teams text default 'ours'")
        .await;

    let plain = stage.get(&user).await.good();
    assert_eq!(plain["teams"], "ours");
    let whole = stage
        .get(&format!("{user}?include=roles,teams, history,directory"))
        .await
        .good();
    for key in ["roles", "history", "directory"] {
        assert!(plain.get(key).is_none() && whole[key].is_array(), "{key}");
    }
    assert_eq!(names(whole["teams"].as_array().unwrap().clone()), ["production"]);
    assert_eq!(
        whole["history"][0]["fields"]["internalemailaddress"][1],
        "boss@contoso.example"
    );
    let of = |field: &str| {
        let columns = whole["directory"].as_array().unwrap().iter();
        columns.clone().find(|column| column["field"] == field).unwrap().clone()
    };
    assert_eq!(of("firstname")["directory"], "Ada");
    assert_eq!(of("internalemailaddress")["owner"], "customer");
    assert_eq!(of("jobtitle").get("directory"), None);
    assert_eq!(
        stage.get(&format!("{user}?include=roles,everything")).await.problem(),
        (422, "bad_input")
    );

    let all = stage.get(&format!("{user}/history")).await.items();
    assert_eq!(all.len(), 4, "created, three edits: {all:?}");
    let mut paged = Vec::new();
    let mut next = None;
    loop {
        let cursor = next.map_or(String::new(), |cursor: String| format!("&cursor={cursor}"));
        let page = stage.get(&format!("{user}/history?limit=2{cursor}")).await.good();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = Some(cursor.to_owned()),
            None => break,
        }
    }
    assert_eq!(paged, all);
    stage.end().await;
}
