//! What every endpoint answers when all is well, and when what is asked for does not exist.

use reqwest::Method;
use rollcall::domain::environment::Environment;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ENV, OPERATOR, Stage, sent};
use crate::world::{World, licensed, open_environment};

/// A stage with one row.
async fn with_ada(environment: Environment) -> (Stage, Uuid) {
    let world = World::new(vec![environment]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    (Stage::around(world).await, ada)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn environments_say_what_they_are_and_how_many_rows_they_have() {
    let (stage, _) = with_ada(open_environment(ENV)).await;
    let listed = stage.get("environments").await.items();
    let shown = stage.get("environments/production").await.good();
    assert_eq!(listed, std::slice::from_ref(&shown));
    assert_eq!((&shown["name"], &shown["kind"]), (&json!(ENV), &json!("production")));
    assert_eq!((&shown["enabled"], &shown["disabled"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&shown["non_interactive_cap"], &shown["non_interactive_users"]),
        (&json!(7), &json!(0))
    );
    stage.end().await;
}

#[tokio::test]
async fn a_row_is_found_by_any_of_its_names_and_looks_the_same_everywhere() {
    let (stage, ada) = with_ada(open_environment(ENV)).await;
    stage
        .world
        .execute("alter table rollcall.system_user add favourite_colour text")
        .await;
    let row = stage.get(&format!("environments/production/users/{ada}")).await.good();
    assert_eq!(row["favourite_colour"], Value::Null, "{row}");
    let id = row["systemuserid"].as_str().unwrap();
    for name in [id, row["domainname"].as_str().unwrap(), &id.to_uppercase()] {
        let same = stage.get(&format!("environments/production/users/{name}")).await.good();
        assert_eq!(same, row, "{name}");
    }
    let listed = stage.get("environments/production/users?type=regular").await.items();
    assert_eq!(listed.len(), 1);
    for key in keys(&listed[0]) {
        assert_eq!(listed[0][key], row[key], "{key}");
    }
    let accessed = stage.access(ada).await.good();
    assert_eq!(keys(&accessed), ["outcome", "user", "verdict"]);
    assert_eq!(
        (&accessed["outcome"], &accessed["user"]),
        (&json!("unchanged"), &listed[0])
    );
    let verdict = &accessed["verdict"];
    let mut shape = keys(verdict);
    shape.sort_unstable();
    assert_eq!(
        shape,
        [
            "accessmode",
            "checks",
            "code",
            "entitlement",
            "environment",
            "outcome",
            "trigger",
            "user"
        ]
    );
    for check in verdict["checks"].as_array().unwrap() {
        let mut shape = keys(check);
        shape.sort_unstable();
        assert_eq!(shape, ["code", "detail", "gate", "remedy", "status"]);
    }
    stage.end().await;
}

#[tokio::test]
async fn every_action_on_a_row_answers_what_became_of_it() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned(), "Salesperson".to_owned()],
        ..open_environment(ENV)
    };
    let (stage, ada) = with_ada(environment).await;
    let user = format!("environments/production/users/{ada}");
    let outcome = |answer: super::Answered| answer.good()["outcome"].as_str().unwrap().to_owned();
    assert_eq!(outcome(stage.act(&format!("{user}/refresh")).await), "unchanged");
    assert_eq!(outcome(stage.act(&format!("{user}/disable")).await), "disabled");
    assert_eq!(outcome(stage.act(&format!("{user}/enable")).await), "enabled");
    let reason = json!({"reason": "leave of absence"});
    assert_eq!(outcome(stage.post(&format!("{user}/hold"), &reason).await), "disabled");
    let held = stage.get(&user).await.good();
    assert_eq!(
        (&held["onhold"], &held["holdreason"]),
        (&json!(true), &json!("leave of absence"))
    );
    let refused = stage.access(ada).await;
    assert_eq!(refused.problem(), (409, "on_hold"));
    assert_eq!(outcome(stage.act(&format!("{user}/release")).await), "enabled");
    assert_eq!(
        outcome(stage.patch(&user, &json!({"jobtitle": "Countess"})).await),
        "updated"
    );
    assert_eq!(
        outcome(stage.patch(&user, &json!({"jobtitle": "Countess"})).await),
        "unchanged"
    );
    let roles = format!("{user}/roles");
    let wanted = json!({"role": "Salesperson"});
    assert_eq!(outcome(stage.post(&roles, &wanted).await), "updated");
    let held = stage.get(&roles).await.items();
    assert!(held.iter().any(|holder| holder["role"] == "Salesperson"), "{held:?}");
    let taken = sent(stage.request(Method::DELETE, &format!("{roles}?role=Salesperson"), Some(OPERATOR))).await;
    assert_eq!(outcome(taken), "updated");
    assert_eq!(outcome(stage.post(&roles, &wanted).await), "updated");
    let taken = stage.send(Method::DELETE, &roles, &wanted, OPERATOR).await;
    assert_eq!(outcome(taken), "updated", "the role may stand in the body, too");
    let absent = stage.post(&roles, &json!({"role": "Wizard"})).await;
    assert_eq!(absent.problem(), (409, "role_not_found"));
    let kept = sent(stage.request(Method::DELETE, &user, Some(OPERATOR))).await;
    assert_eq!(kept.problem(), (409, "not_deletable"));
    stage.end().await;
}

#[tokio::test]
async fn a_stub_is_bound_and_a_stub_is_deleted() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    for name in ["old.ada@contoso.example", "nobody@contoso.example"] {
        stage
            .world
            .engine
            .desk()
            .stub(crate::on_demand::ask(name), None)
            .await
            .unwrap();
    }
    let listed = stage.get("environments/production/users?type=stub").await.items();
    assert_eq!(listed.len(), 2);
    let target = json!({"user": ada.to_string()});
    let bound = stage
        .post("environments/production/users/old.ada@contoso.example/map", &target)
        .await
        .good();
    assert_eq!(bound["outcome"], "enabled");
    let again = stage
        .post("environments/production/users/nobody@contoso.example/map", &target)
        .await;
    assert_eq!(again.problem(), (409, "already_mapped"));
    let path = "environments/production/users/nobody@contoso.example";
    sent(stage.request(Method::DELETE, path, Some(OPERATOR))).await.good();
    assert_eq!(stage.get(path).await.good()["deletedstate"], 1);
    stage.end().await;
}

/// What is not there; `{ada}` has a row, `{unknown}` is nobody.
const ABSENT: &str = "
    GET environments/mars environment_not_found
    GET environments/mars/users environment_not_found
    GET environments/mars/candidates environment_not_found
    GET environments/mars/users/{ada} environment_not_found
    GET environments/mars/users/{ada}/roles environment_not_found
    GET environments/mars/explain?user={ada} environment_not_found
    GET environments/mars/imports environment_not_found
    POST environments/mars/users/{ada}/refresh environment_not_found
    POST environments/mars/users/{ada}/disable environment_not_found
    POST environments/mars/users/{ada}/enable environment_not_found
    POST environments/mars/users/{ada}/release environment_not_found
    DELETE environments/mars/users/{ada} environment_not_found
    GET environments/production/users/{unknown} user_not_found
    GET environments/production/users/nobody@x.example user_not_found
    GET environments/production/users/{unknown}/roles user_not_found
    GET environments/production/explain?user={unknown} user_not_found
    POST environments/production/users/{unknown}/refresh user_not_found
    POST environments/production/users/{unknown}/disable user_not_found
    POST environments/production/users/{unknown}/enable user_not_found
    POST environments/production/users/{unknown}/release user_not_found
    DELETE environments/production/users/{unknown} user_not_found
    GET runs/4711 not_found
    POST runs/4711/approve not_found
    POST runs/4711/reject not_found
    GET imports/4711 not_found
    GET imports/4711/items not_found
    POST imports/4711/cancel not_found
    POST imports/4711/requeue not_found
    GET findings?environment=mars environment_not_found
    GET nothing/here not_found
    GET environments/ not_found
    GET // not_found
    GET //api/v1/ not_found
    GET //api/v2/environments not_found
";

#[tokio::test]
async fn what_does_not_exist_is_404_and_says_which() {
    let (stage, ada) = with_ada(open_environment(ENV)).await;
    let unknown = Uuid::from_u128(0x6060);
    for line in ABSENT.lines().filter(|line| !line.trim().is_empty()) {
        let [method, path, code] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let path = path
            .replace("{ada}", &ada.to_string())
            .replace("{unknown}", &unknown.to_string());
        let method: Method = method.parse().unwrap();
        let answer = sent(stage.request(method, &path, Some(OPERATOR))).await;
        assert_eq!(answer.problem(), (404, code), "{line}: {}", answer.body);
    }
    let nobody = json!({"user": unknown.to_string()});
    for path in ["users", "access"] {
        let answer = stage.post(&format!("environments/production/{path}"), &nobody).await;
        assert_eq!(answer.problem(), (404, "user_not_found"));
        let answer = stage.post(&format!("environments/mars/{path}"), &nobody).await;
        assert_eq!(answer.problem(), (404, "environment_not_found"));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_method_that_means_nothing_is_405_and_says_which_do() {
    let stage = Stage::new().await;
    for (method, path) in [
        (Method::DELETE, "environments"),
        (Method::PUT, "environments/production/users"),
        (Method::GET, "environments/production/access"),
        (Method::GET, "sync"),
        (Method::PATCH, "runs/1"),
        (Method::POST, "openapi.json"),
    ] {
        let answer = sent(stage.request(method.clone(), path, Some(OPERATOR))).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed"), "{method} {path}");
        assert!(!answer.header("allow").is_empty(), "{method} {path}: {answer:?}");
    }
    stage.end().await;
}

#[tokio::test]
async fn an_answer_carries_the_requests_id_or_one_of_its_own() {
    let stage = Stage::new().await;
    let ask = |id: &'static str| {
        let request = stage.request(Method::GET, "environments", Some(OPERATOR));
        sent(request.header("x-request-id", id))
    };
    assert_eq!(
        ask("ticket-4711.a:b_c").await.header("x-request-id"),
        "ticket-4711.a:b_c"
    );
    for unfit in ["two words", "", "x\u{e9}", &"x".repeat(65)] {
        let request = stage
            .request(Method::GET, "nothing", None)
            .header("x-request-id", unfit);
        let made = sent(request).await;
        assert_eq!(made.problem().0, 401, "the problem's own check wants an id");
    }
    let first = stage.get("environments").await;
    let second = stage.get("environments").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    stage.end().await;
}

#[tokio::test]
async fn what_a_constraint_of_the_customer_s_refuses_is_a_conflict_wherever_it_is_met() {
    let (stage, ada) = with_ada(open_environment(ENV)).await;
    let bob = licensed(stage.world.tenant(), "Bob", "Forbidden");
    stage
        .world
        .execute(
            "alter table rollcall.system_user add constraint known_names check (lastname <> 'Forbidden' and company <> 'x')",
        )
        .await;
    let user = format!("environments/production/users/{ada}");
    let edited = stage
        .send(Method::PATCH, &user, &json!({"company": "x"}), OPERATOR)
        .await;
    let added = stage.post("environments/production/users", &json!({"user": bob})).await;
    for answered in [edited, added, stage.access(bob).await] {
        assert_eq!(answered.problem(), (409, "row_not_written"), "{}", answered.body);
        let body = &answered.body;
        assert_eq!(body["retryable"], false);
        assert_eq!(
            body["detail"],
            "The database does not take the row: constraint known_names of system_user (SQLSTATE 23514)"
        );
        assert!(
            body["remedy"]
                .as_str()
                .unwrap()
                .starts_with("Ask whoever owns the constraint")
        );
    }
    let several = json!({"users": [bob, ada]});
    let results = stage.post("environments/production/users:batch", &several).await.good();
    assert_eq!(results["items"][0]["problem"]["code"], "row_not_written", "{results}");
    assert_eq!(results["items"][1]["answer"]["outcome"], "unchanged", "{results}");
    stage.end().await;
}

#[tokio::test]
async fn an_unknown_environment_is_answered_with_where_the_known_ones_are() {
    let stage = Stage::new().await;
    let missing = stage.get("environments/mars").await;
    assert_eq!(missing.problem(), (404, "environment_not_found"));
    assert_eq!(
        missing.body["remedy"],
        "GET /api/v1/environments lists the environments."
    );
    let sync = stage.post("sync", &json!({"environments": ["mars"]})).await;
    assert_eq!(sync.problem(), (422, "bad_input"));
    let detail = sync.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("there is no environment `mars`; known: production"),
        "{detail}"
    );
    stage.end().await;
}
