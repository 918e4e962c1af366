//! Runs: their history, what people decide about held removals, and a run on request.

use reqwest::Method;
use rollcall::domain::retention::Retention;
use rollcall::simulator::{Effect, Fault, Gate, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::daemon::{Configured, Schedule, run_once};
use rollcall::sync::{Engine, Progress};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{ENV, OPERATOR, PLENTY, Stage, on_the_machines_clock};
use crate::daemon::eventually;
use crate::guard::{block, crowd, disabled, limits, set, sync_held};
use crate::world::{World, licensed, open_environment};

#[tokio::test]
async fn a_held_run_shows_whom_it_holds_and_is_approved_under_the_callers_name() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let run = sync_held(&world, 4).await.run;
    let stage = Stage::around(world).await;
    let shown = stage.get(&format!("runs/{run}")).await.good();
    assert_eq!((&shown["id"], &shown["outcome"]), (&json!(run), &json!("held")));
    assert_eq!(shown["held_sets"].as_array().unwrap().len(), 1);
    assert_eq!(shown["held"].as_array().unwrap().len(), 4);
    let findings = stage.get("findings").await.items();
    assert!(
        !findings.is_empty() && findings.iter().all(|finding| finding["code"].is_string()),
        "{findings:?}"
    );
    assert!(stage.get("findings?environment=production").await.items().len() <= findings.len());
    let decided = stage
        .act(&format!("runs/{run}/approve?environment=production"))
        .await
        .good();
    assert_eq!(
        (&decided["run"], &decided["decided_by"]),
        (&json!(run), &json!(OPERATOR))
    );
    assert_eq!(decided["environments"][0]["disabled"], 4);
    assert_eq!(disabled(&stage.world).await, set(&users[..4]));
    let actors = "select distinct actor from rollcall.system_user_change where operation = 'disable'";
    assert_eq!(stage.world.strings(actors).await, [OPERATOR]);
    let shown = stage.get(&format!("runs/{run}")).await.good();
    assert_eq!(
        (&shown["held_sets"][0]["decision"], &shown["held_sets"][0]["decided_by"]),
        (&json!("approved"), &json!(OPERATOR))
    );
    for decision in ["approve", "reject"] {
        let again = stage.act(&format!("runs/{run}/{decision}")).await;
        assert_eq!(again.problem(), (409, "nothing_held"));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_held_run_is_rejected_and_nobody_is_disabled() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let run = sync_held(&world, 4).await.run;
    let stage = Stage::around(world).await;
    let elsewhere = stage.act(&format!("runs/{run}/reject?environment=mars")).await;
    assert_eq!(elsewhere.problem(), (404, "environment_not_found"));
    stage.act(&format!("runs/{run}/reject")).await.good();
    assert!(disabled(&stage.world).await.is_empty());
    let by = "select decided_by from rollcall.held_set where decision = 'rejected'";
    assert_eq!(stage.world.strings(by).await, [OPERATOR]);
    stage.world.sync_completely().await;
    assert!(disabled(&stage.world).await.is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_decision_that_takes_long_is_answered_before_its_end_and_goes_on() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let run = sync_held(&world, 4).await.run;
    let engine = world.engine.clone();
    let stage = Stage::waiting(world, engine, PLENTY, Duration::ZERO).await;
    let answer = stage.act(&format!("runs/{run}/approve")).await;
    assert_eq!(answer.status, 202);
    let decided = answer.good();
    assert_eq!(decided["environments"][0]["waiting"], 4);
    assert_eq!(decided["environments"][0]["decision"], Value::Null);
    assert!(eventually(async || disabled(&stage.world).await == set(&users[..4])).await);
    stage.end().await;
}

#[tokio::test]
async fn runs_are_listed_newest_first_with_what_they_did() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    let runs = stage.get("runs").await.items();
    let ids: Vec<i64> = runs.iter().map(|run| run["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|one, other| one > other), "{ids:?}");
    let first = runs.last().unwrap();
    assert_eq!(
        (&first["trigger"], &first["outcome"], &first["dry_run"]),
        (&json!("test"), &json!("complete"), &json!(false))
    );
    let shown = stage.get(&format!("runs/{}", first["id"])).await.good();
    for (key, value) in first.as_object().unwrap() {
        assert_eq!(shown[key], *value, "{key}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_run_that_nobody_takes_up_is_a_request_without_a_number() {
    let stage = Stage::new().await;
    let asked = stage.post("sync", &json!({})).await;
    assert_eq!(asked.status, 202);
    let asked = asked.good();
    assert!(asked["request"].is_i64() && asked["run"].is_null(), "{asked}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_process_can_tell_how_far_the_run_of_the_leader_is() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    let page = Gate::default();
    let last = When::path("/subscribedSkus");
    world
        .simulator
        .faults()
        .push(Fault::once(last, Effect::Hold(page.clone())));
    crate::world::hand_over(&world.engine, &world.lease).await;
    let leader = on_the_machines_clock(&world);
    let elsewhere = Engine {
        progress: Progress::default(),
        ..leader.clone()
    };
    let stage = Stage::serving(world, elsewhere).await;
    let running = tokio::spawn(async move { run_once(&leader, "leader", &Request::default()).await });
    page.asked().await;
    let mut shown = Value::Null;
    let is_told = eventually(async || {
        let runs = stage.get("runs").await.items();
        shown = stage.get(&format!("runs/{}", runs[0]["id"])).await.good();
        shown["progress"].is_object()
    });
    assert!(is_told.await, "{shown}");
    assert_eq!(
        (&shown["progress"]["phase"], &shown["progress"]["done"]),
        (&json!("reading"), &json!(1))
    );
    page.answer().await;
    page.send();
    running.await.unwrap().unwrap();
    let shown = stage.get(&format!("runs/{}", shown["id"])).await.good();
    assert_eq!(
        (&shown["outcome"], &shown["progress"]),
        (&json!("complete"), &Value::Null)
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_asked_for_is_made_by_the_process_that_leads() {
    let world = World::new(vec![open_environment(ENV), open_environment("sandbox")]).await;
    world.sync_completely().await;
    crate::world::hand_over(&world.engine, &world.lease).await;
    let engine = on_the_machines_clock(&world);
    let (_configured, receiver) = watch::channel(Arc::new(Configured {
        engine: engine.clone(),
        interval: Duration::from_hours(1),
        retention: Retention::default(),
        webhooks: Vec::new(),
        notifications: None,
    }));
    let leader = Schedule {
        holder: "leader".to_owned(),
        configured: receiver,
    };
    let leader = AbortOnDropHandle::new(tokio::spawn(leader.run()));
    let stage = Stage::serving(world, engine).await;
    // Whoever leads begins with a run of its own.
    let own = loop {
        let runs = stage.get("runs").await.items();
        if let Some(run) = runs.iter().find(|run| run["trigger"] == "interval") {
            break run["id"].as_i64().unwrap();
        }
    };
    until_ended(&stage, own).await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let asked = stage
        .post(
            "sync",
            &json!({"environments": ["sandbox"], "full": true, "dry_run": true}),
        )
        .await;
    assert_eq!(asked.status, 202);
    let run = asked.good()["run"].as_i64().expect("the leader has begun it");
    let shown = until_ended(&stage, run).await;
    assert_eq!((&shown["trigger"], &shown["dry_run"]), (&json!("sync"), &json!(true)));
    assert_eq!(shown["environments"], json!(["sandbox"]));
    let asked = stage.send(Method::POST, "sync", &json!({}), OPERATOR).await.good();
    assert_eq!(
        until_ended(&stage, asked["run"].as_i64().unwrap()).await["outcome"],
        "complete"
    );
    stage.get(&format!("environments/sandbox/users/{ada}")).await.good();
    stage.world.engine.cancel.cancel();
    leader.await.unwrap();
    stage.end().await;
}

async fn until_ended(stage: &Stage, run: i64) -> Value {
    loop {
        let shown = stage.get(&format!("runs/{run}")).await.good();
        if !shown["ended_at"].is_null() {
            return shown;
        }
    }
}
