//! Import jobs through the API: submitted, watched, cancelled and run again, and who may see them.

use reqwest::Method;
use rollcall::sync::imports::ImportRequest;
use serde_json::{Value, json};

use super::{ANNA, Answered, BERTA, ENV, OPERATOR, Stage, on_the_machines_clock, sent};
use crate::world::{World, licensed, open_environment};

async fn submit(stage: &Stage, import: &Value) -> Answered {
    stage.post("environments/production/imports", import).await
}

async fn as_caller(stage: &Stage, path: &str, caller: &str) -> Answered {
    sent(stage.request(Method::GET, path, Some(caller))).await
}

async fn work(stage: &Stage) -> Option<i64> {
    stage.world.engine.imports().run_next_import("worker").await.unwrap()
}

#[tokio::test]
async fn an_import_in_the_background_is_answered_at_once_and_can_be_watched() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let import = json!({
        "company": "Contoso", "users": [ada.to_string(), "nobody@contoso.example"], "background": true,
        "batch_group": "nightly", "critical": true, "monitoring_category": "hr", "description": "joiners", "max_retries": 0
    });
    let submitted = submit(&stage, &import).await;
    assert_eq!(submitted.status, 201);
    let place = submitted.header("location").to_owned();
    let job = submitted.good();
    assert_eq!(place, format!("/api/v1/imports/{}", job["id"]));
    assert_eq!(
        (&job["state"], &job["submitted_by"]),
        (&json!("waiting"), &json!(OPERATOR))
    );
    for (key, value) in import.as_object().unwrap() {
        if key != "users" {
            assert_eq!(job[key], *value, "{key}");
        }
    }
    let path = format!("imports/{}", job["id"]);
    assert!(work(&stage).await.is_some());
    let report = stage.get(&path).await.good();
    assert_eq!(
        (&report["state"], &report["outcome"]),
        (&json!("ended"), &json!("ended_with_refusals"))
    );
    assert_eq!((&report["created"], &report["refused"]), (&json!(1), &json!(1)));
    assert_eq!(
        report["refused_by_code"],
        json!([{"code": "user_not_found", "count": 1}])
    );
    assert_eq!(report["created_without_role"], 1);
    assert!(report["next_step"].as_str().unwrap().contains("role"));
    let items = stage.get(&format!("{path}/items")).await.items();
    assert_eq!(items.len(), 2);
    assert_eq!(
        (&items[0]["state"], &items[0]["object_id"]),
        (&json!("created"), &json!(ada))
    );
    assert_eq!(
        (&items[1]["state"], &items[1]["code"]),
        (&json!("refused"), &json!("user_not_found"))
    );
    let refused = stage.get(&format!("{path}/items?state=refused")).await.items();
    assert_eq!(refused, items[1..]);
    let row = stage.get(&format!("environments/production/users/{ada}")).await.good();
    assert_eq!(
        (&row["company"], &row["createdby"]),
        (&json!("Contoso"), &json!(OPERATOR))
    );
    for (state, count) in [("ended", 1), ("waiting", 0)] {
        let listed = stage
            .get(&format!("environments/production/imports?state={state}"))
            .await
            .items();
        assert_eq!(listed.len(), count, "{state}");
    }
    stage.end().await;
}

#[tokio::test]
async fn an_import_grants_the_roles_it_names_and_a_role_that_nobody_has_is_refused() {
    let mut environment = open_environment(ENV);
    environment.roles = vec!["Reader".to_owned()];
    let world = World::new(vec![environment]).await;
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let with =
        |role: &str| json!({"company": "Contoso", "users": [ada.to_string()], "background": true, "roles": [role]});
    let refused = submit(&stage, &with("Emperor")).await;
    assert_eq!(refused.problem(), (409, "role_not_found"));
    assert_eq!(stage.get("environments/production/imports").await.items().len(), 0);
    let job = submit(&stage, &with("Reader")).await.good();
    assert_eq!((&job["roles"], &job["role_results"]), (&json!(["Reader"]), &json!([])));
    assert!(work(&stage).await.is_some());
    let report = stage.get(&format!("imports/{}", job["id"])).await.good();
    assert_eq!(report["created_without_role"], 0, "{report}");
    assert_eq!(
        report["role_results"],
        json!([{"role": "Reader", "granted": 1, "refused": {}}])
    );
    stage.end().await;
}

#[tokio::test]
async fn an_import_at_once_is_answered_with_its_result() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    // The one who waits looks by the machine's clock: the worker is another.
    let engine = on_the_machines_clock(&world);
    let stage = Stage::serving(world, engine).await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let import = json!({"company": "Contoso", "users": [ada.to_string()]});
    let worker = async { while work(&stage).await.is_none() {} };
    let (submitted, ()) = tokio::join!(submit(&stage, &import), worker);
    let job = submitted.good();
    assert_eq!(
        (&job["state"], &job["outcome"]),
        (&json!("ended"), &json!("complete")),
        "{job}"
    );
    stage.end().await;
}

#[tokio::test]
async fn an_import_that_nobody_works_at_is_answered_all_the_same() {
    let stage = Stage::new().await;
    let submitted = submit(&stage, &json!({"company": "Contoso", "all": true})).await;
    assert_eq!(submitted.good()["state"], "waiting");
    stage.end().await;
}

#[tokio::test]
async fn an_import_is_cancelled_and_requeued_and_a_finished_one_is_neither() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let import = json!({"company": "Contoso", "users": [ada.to_string()], "background": true});
    let job = submit(&stage, &import).await.good();
    let path = format!("imports/{}", job["id"]);
    let act = async |what: &str| stage.act(&format!("{path}/{what}")).await;
    assert_eq!(act("requeue").await.problem(), (409, "wrong_state"));
    let cancelled = act("cancel").await.good();
    assert_eq!(
        (&cancelled["state"], &cancelled["cancelled_by"]),
        (&json!("cancelled"), &json!(OPERATOR))
    );
    assert_eq!(work(&stage).await, None);
    assert_eq!(act("cancel").await.problem(), (409, "wrong_state"));
    assert_eq!(act("requeue").await.good()["state"], "waiting");
    assert!(work(&stage).await.is_some());
    assert_eq!(stage.get(&path).await.good()["outcome"], "complete");
    for what in ["cancel", "requeue"] {
        let refused = act(what).await;
        assert_eq!(refused.problem(), (409, "wrong_state"), "{what}");
        assert_eq!(refused.body["retryable"], false);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_private_job_is_seen_by_its_owner_and_by_operators_only() {
    let stage = Stage::new().await;
    let request = |private| ImportRequest {
        all: true,
        private,
        background: true,
        ..ImportRequest::new(ENV, "Contoso")
    };
    let hidden = stage
        .world
        .engine
        .imports()
        .submit_import(&request(true), ANNA)
        .await
        .unwrap()
        .id;
    let open = stage
        .world
        .engine
        .imports()
        .submit_import(&request(false), ANNA)
        .await
        .unwrap()
        .id;
    for (caller, sees) in [(ANNA, true), (BERTA, false), (OPERATOR, true)] {
        for path in [format!("imports/{hidden}"), format!("imports/{hidden}/items")] {
            let answer = as_caller(&stage, &path, caller).await;
            if sees {
                answer.good();
            } else {
                let unknown = as_caller(&stage, &path.replace(&hidden.to_string(), "4711"), caller).await;
                assert_eq!(answer.problem(), unknown.problem());
                assert_eq!(answer.problem(), (404, "not_found"));
            }
        }
        let listed = as_caller(&stage, "environments/production/imports", caller)
            .await
            .items();
        let ids: Vec<i64> = listed.iter().map(|job| job["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.contains(&hidden), sees, "{caller}");
        assert!(ids.contains(&open), "{caller}");
    }
    stage.end().await;
}
