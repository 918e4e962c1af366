//! Many callers at once: nothing is done twice, nothing is lost, nobody is turned away by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reqwest::Method;
use rollcall::simulator::{Effect, Fault, When};
use rollcall::sync::cycle::Request;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{ANNA, Answered, ENV, OPERATOR, REQUESTER, Stage, sent, with_json};
use crate::world::{World, licensed, open_environment};

/// Sends everything at once; the answers in the order sent.
async fn at_once(stage: &Stage, requests: Vec<(Method, String, Option<Value>, &'static str)>) -> Vec<Answered> {
    let mut tasks = JoinSet::new();
    let count = requests.len();
    for (at, (method, path, body, caller)) in requests.into_iter().enumerate() {
        let request = stage.request(method, &path, Some(caller));
        tasks.spawn(async move {
            let request = match body {
                Some(body) => with_json(request, body.to_string()),
                None => request,
            };
            (at, sent(request).await)
        });
    }
    let answers: BTreeMap<usize, Answered> = tasks.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), count);
    answers.into_values().collect()
}

fn access(user: Uuid, caller: &'static str) -> (Method, String, Option<Value>, &'static str) {
    let body = json!({"user": user.to_string()});
    (
        Method::POST,
        "environments/production/access".to_owned(),
        Some(body),
        caller,
    )
}

const CREATES: &str = "select count(*) from rollcall.system_user_change where operation = 'create' and actor <> 'sync'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_ask_for_one_new_user_make_one_row() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let callers = [REQUESTER, ANNA, OPERATOR];
    let asks = (0..200).map(|n| access(ada, callers[n % 3])).collect();
    let answers = at_once(&stage, asks).await;
    let bodies: Vec<Value> = answers.into_iter().map(Answered::good).collect();
    for body in &bodies {
        assert!(
            matches!(body["outcome"].as_str(), Some("created" | "unchanged")),
            "{body}"
        );
        assert_eq!(body["user"], bodies[0]["user"]);
        assert_eq!(body["verdict"]["entitlement"], "full");
    }
    assert!(bodies.iter().any(|body| body["outcome"] == "created"));
    assert_eq!(stage.world.rows(ENV).await.len(), 1);
    assert_eq!(stage.world.number(CREATES).await, 1);
    assert_eq!(stage.access(ada).await.good()["outcome"], "unchanged");
    stage.world.sync_completely().await;
    stage.world.assert_settled().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_adds_of_one_user_by_different_names_make_one_row() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let name = stage.world.tenant().user(ada).unwrap().user_principal_name.unwrap();
    let add = |n: usize| {
        let user = match n % 3 {
            0 => ada.to_string(),
            1 => name.to_uppercase(),
            _ => name.clone(),
        };
        let path = if n.is_multiple_of(2) { "users" } else { "users:batch" };
        let body = if n.is_multiple_of(2) {
            json!({"user": user})
        } else {
            json!({"users": [user]})
        };
        (
            Method::POST,
            format!("environments/production/{path}"),
            Some(body),
            OPERATOR,
        )
    };
    for answer in at_once(&stage, (0..20).map(add).collect()).await {
        let body = answer.good();
        let answer = if body.get("items").is_some() {
            &body["items"][0]["answer"]
        } else {
            &body
        };
        assert!(
            matches!(answer["outcome"].as_str(), Some("created" | "unchanged")),
            "{body}"
        );
        assert_eq!(answer["user"]["azureactivedirectoryobjectid"], json!(ada));
    }
    assert_eq!(stage.world.number(CREATES).await, 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_up_takes_nobody_along() {
    let stage = Stage::new().await;
    for n in 0..10 {
        let user = licensed(stage.world.tenant(), "User", &format!("Number {n}"));
        let asked = Arc::new(Notify::new());
        let asking = Arc::clone(&asked);
        stage.world.simulator.faults().push(Fault::once(
            When::path("/$batch"),
            Effect::meanwhile(move |_| asking.notify_one()),
        ));
        let hasty = stage.request(Method::POST, "environments/production/access", Some(OPERATOR));
        let hasty = with_json(hasty, json!({"user": user.to_string()}).to_string());
        let hang_up = async {
            tokio::select! {
                // The directory has been asked; the answer is not waited for.
                () = asked.notified() => {}
                _ = sent(hasty) => {}
            }
        };
        let ((), patient) = tokio::join!(hang_up, stage.access(user));
        assert_eq!(patient.status, 200, "{patient:?}");
        let answer = stage.access(user).await.good();
        assert_eq!(answer["outcome"], "unchanged");
    }
    assert_eq!(stage.world.number(CREATES).await, 10);
    stage.end().await;
}

/// What somebody does to a user, by number.
fn deed(n: usize, user: Uuid) -> (Method, String, Option<Value>, &'static str) {
    let path = format!("environments/production/users/{user}");
    let named = json!({"user": user.to_string()});
    match n % 8 {
        0 => access(user, ANNA),
        1 => (
            Method::POST,
            "environments/production/users".to_owned(),
            Some(named),
            REQUESTER,
        ),
        2 => (Method::POST, format!("{path}/refresh"), None, REQUESTER),
        3 => (
            Method::PATCH,
            path,
            Some(json!({"jobtitle": format!("Title {n}")})),
            OPERATOR,
        ),
        4 => (Method::POST, format!("{path}/disable"), None, OPERATOR),
        5 => (Method::POST, format!("{path}/enable"), None, OPERATOR),
        6 => (
            Method::POST,
            format!("{path}/hold"),
            Some(json!({"reason": format!("Reason {n}")})),
            OPERATOR,
        ),
        _ => (Method::POST, format!("{path}/release"), None, OPERATOR),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_beside_the_cycle_lose_nothing() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let users: Vec<Uuid> = (0..50)
        .map(|n| licensed(world.tenant(), "User", &format!("Number {n}")))
        .collect();
    // Half of them have a row when it begins.
    for user in &users[25..] {
        world
            .tenant()
            .update_user(*user, |user| user.account_enabled = Some(false));
    }
    world.sync_completely().await;
    for user in &users[25..] {
        world
            .tenant()
            .update_user(*user, |user| user.account_enabled = Some(true));
    }
    let stage = Stage::around(world).await;
    // Strides that visit every user with every deed, in an order of no meaning.
    let deeds = (0..1000).map(|n| deed(n / 50 + n * 3, users[(n * 7) % 50])).collect();
    let cycles = async {
        for n in 0..6 {
            let user = users[n * 8];
            stage
                .world
                .tenant()
                .update_user(user, |user| user.job_title = Some(format!("Directory {n}")));
            stage.world.run(Request::default()).await.unwrap();
        }
    };
    let (answers, ()) = tokio::join!(at_once(&stage, deeds), cycles);
    let mut told = BTreeSet::new();
    for answer in &answers {
        match answer.status {
            200 => {}
            404 | 409 => {
                told.insert(answer.problem().1.to_owned());
            }
            _ => panic!("{answer:?}"),
        }
    }
    let expected = ["on_hold", "user_disabled", "user_not_found"];
    assert!(told.iter().all(|code| expected.contains(&code.as_str())), "{told:?}");
    assert_nothing_lost(&stage.world).await;
    stage.world.sync_completely().await;
    stage.world.sync_completely().await;
    stage.world.assert_settled().await;
    assert_nothing_lost(&stage.world).await;
    stage.end().await;
}

/// The change log tells every row's story without a gap: each change begins with what the one before left, and the
/// last one left what is there.
async fn assert_nothing_lost(world: &World) {
    let mut db = world.sql().await;
    let lines: Vec<(Uuid, String, Value)> = sqlx::query_as(
        "select systemuserid, operation, fields from rollcall.system_user_change where operation <> 'role' order by id",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let rows: Vec<(Uuid, Value)> = sqlx::query_as("select systemuserid, to_jsonb(s) from rollcall.system_user s")
        .fetch_all(&mut db)
        .await
        .unwrap();
    let mut told: BTreeMap<(Uuid, String), Value> = BTreeMap::new();
    for (row, operation, fields) in &lines {
        let Some(fields) = fields.as_object() else { continue };
        for (column, values) in fields {
            let key = (*row, column.clone());
            if let Some(known) = told.get(&key) {
                assert_eq!(*known, values[0], "{row} {column} before a {operation}");
            }
            told.insert(key, values[1].clone());
        }
    }
    let rows: BTreeMap<Uuid, Value> = rows.into_iter().collect();
    for ((row, column), value) in &told {
        if let Some(present) = rows[row].get(column) {
            assert_eq!(present, value, "{row} {column}");
        }
    }
}
