//! What is answered while the directory or the database is away.

use std::time::Duration;

use reqwest::Method;
use rollcall::simulator::{Effect, Fault, When};
use rollcall::sync::Engine;
use serde_json::json;

use super::{OPERATOR, Stage, sent, with_json};
use crate::world::licensed;

/// The longest that one look-up in the directory may take.
const BOUND: chrono::Duration = chrono::Duration::seconds(10);

#[tokio::test]
async fn without_the_directory_nobody_new_comes_in_and_nothing_is_written() {
    for effect in [
        Effect::unavailable(None),
        Effect::throttled(None),
        Effect::Hangup,
        Effect::html(502),
        Effect::empty_object(),
    ] {
        let stage = Stage::new().await;
        let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
        stage.world.simulator.faults().push(Fault::forever(When::any(), effect));
        let before = stage.world.dump().await;
        let body = json!({"user": ada.to_string()});
        for path in ["access", "users"] {
            let asked_at = stage.world.clock.now();
            let answer = stage.post(&format!("environments/production/{path}"), &body).await;
            assert_eq!(answer.problem(), (503, "directory_unavailable"), "{}", answer.body);
            assert_eq!(answer.body["retryable"], true);
            assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
            assert!(stage.world.clock.now() - asked_at <= BOUND);
        }
        let many = json!({"users": [ada.to_string(), "bob@contoso.example"]});
        let asked_at = stage.world.clock.now();
        for item in stage.post("environments/production/users:batch", &many).await.items() {
            assert_eq!(item["problem"]["code"], "directory_unavailable", "{item}");
        }
        assert!(stage.world.clock.now() - asked_at <= BOUND);
        assert_eq!(stage.world.dump().await, before);
        stage.world.simulator.faults().clear();
        stage.world.advance(Duration::from_mins(1));
        assert_eq!(stage.access(ada).await.good()["outcome"], "created");
        stage.end().await;
    }
}

#[tokio::test]
async fn whoever_has_a_row_keeps_it_while_the_directory_is_away() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    stage.world.advance(Duration::from_mins(5));
    stage
        .world
        .simulator
        .faults()
        .push(Fault::forever(When::any(), Effect::unavailable(None)));
    let before = stage.world.dump().await;
    let user = format!("environments/production/users/{ada}");
    assert_eq!(stage.access(ada).await.problem(), (503, "directory_unavailable"));
    assert_eq!(
        stage.act(&format!("{user}/refresh")).await.problem(),
        (503, "directory_unavailable")
    );
    assert_eq!(stage.world.dump().await, before);
    let explained = stage
        .get(&format!("environments/production/explain?user={ada}"))
        .await
        .good();
    let directory = explained["directory"].as_str().unwrap();
    assert!(
        directory.starts_with("as of 2026-") && directory.contains("could not"),
        "{directory}"
    );
    // What needs no directory goes on.
    assert_eq!(stage.patch(&user, &json!({"jobtitle": "x"})).await.status, 200);
    assert_eq!(stage.act(&format!("{user}/disable")).await.status, 200);
    stage.end().await;
}

#[tokio::test]
async fn without_the_database_everything_is_503_and_says_when_to_come_back() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let lost: Engine = stage.world.engine.clone();
    lost.store.close().await;
    let user = json!({"user": ada.to_string()});
    for (method, path, body) in [
        (Method::GET, "environments".to_owned(), None),
        (Method::GET, "environments/production/users".to_owned(), None),
        (Method::GET, format!("environments/production/users/{ada}"), None),
        (Method::GET, format!("environments/production/explain?user={ada}"), None),
        (Method::GET, "environments/production/candidates".to_owned(), None),
        (Method::GET, "environments/production/imports".to_owned(), None),
        (Method::GET, "runs".to_owned(), None),
        (Method::GET, "runs/1".to_owned(), None),
        (Method::GET, "findings".to_owned(), None),
        (Method::GET, "imports/1".to_owned(), None),
        (Method::POST, "environments/production/access".to_owned(), Some(&user)),
        (Method::POST, "environments/production/users".to_owned(), Some(&user)),
        (
            Method::POST,
            format!("environments/production/users/{ada}/refresh"),
            None,
        ),
        (
            Method::POST,
            format!("environments/production/users/{ada}/disable"),
            None,
        ),
        (Method::POST, "runs/1/approve".to_owned(), None),
    ] {
        let request = stage.request(method.clone(), &path, Some(OPERATOR));
        let answer = match body {
            Some(body) => sent(with_json(request, body.to_string())).await,
            None => sent(request).await,
        };
        assert_eq!(answer.problem(), (503, "database_unavailable"), "{method} {path}");
        assert_eq!(answer.body["retryable"], true);
    }
    let live = sent(stage.request(Method::GET, "//health/live", None)).await;
    let ready = sent(stage.request(Method::GET, "//health/ready", None)).await;
    assert_eq!((live.status, ready.status), (200, 503));
    stage.end().await;
}
