//! `GET changes`: the change feed.

use rollcall::sync::daemon::numberer::number_all;
use rollcall::sync::daemon::retention::purge_all;
use serde_json::{Value, json};

use super::{ENV, Stage, on_the_machines_clock};
use crate::retention::ages;
use crate::world::{World, licensed, open_environment};

const ANNEX: &str = "annex";

async fn numbered(world: &World) {
    number_all(&world.engine.store).await.unwrap();
}

/// Two people in two environments, who were created and then promoted.
async fn stage() -> Stage {
    let world = World::new(vec![open_environment(ANNEX), open_environment(ENV)]).await;
    let people = ["Ada", "Bob"].map(|name| licensed(world.tenant(), name, "Person"));
    world.sync_completely().await;
    for person in people {
        world
            .tenant()
            .update_user(person, |user| user.job_title = Some("Head".to_owned()));
    }
    world.sync_completely().await;
    numbered(&world).await;
    Stage::around(world).await
}

/// Follows the feed to its end.
async fn follow(stage: &Stage, query: &str) -> (Vec<Value>, String) {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = stage.get(&format!("changes?{query}{after}")).await.good();
        let next = page["next"].as_str().unwrap();
        after = format!("&after={next}");
        match page["items"].as_array().unwrap().as_slice() {
            [] => return (all, next.to_owned()),
            items => all.extend_from_slice(items),
        }
    }
}

#[tokio::test]
async fn the_feed_is_the_change_log_in_order_and_can_be_filtered() {
    let stage = stage().await;
    let logged = stage
        .world
        .number("select count(*) from rollcall.system_user_change")
        .await;
    let (all, _) = follow(&stage, "limit=3").await;
    assert_eq!(i64::try_from(all.len()).unwrap(), logged);
    let keys: Vec<&String> = all[0].as_object().unwrap().keys().collect();
    let expected = "actor at environment fields id operation reason run_id systemuserid";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());

    let promoted = |line: &&Value| line["operation"] == "update";
    assert_eq!(all.iter().filter(promoted).count(), 4);
    for line in all.iter().filter(promoted) {
        assert_eq!(line["fields"]["jobtitle"][1], "Head", "{line}");
        assert_eq!(line["actor"], "sync");
    }
    for (query, matches) in [
        (
            "environment=annex",
            (|line| line["environment"] == ANNEX) as fn(&Value) -> bool,
        ),
        ("operation=update", |line| line["operation"] == "update"),
        ("operation=nothing", |_| false),
        ("environment=production&operation=create", |line| {
            line["environment"] == ENV && line["operation"] == "create"
        }),
    ] {
        let expected: Vec<Value> = all.iter().filter(|line| matches(line)).cloned().collect();
        for limit in [1, 2, 1000] {
            let (filtered, _) = follow(&stage, &format!("{query}&limit={limit}")).await;
            assert_eq!(filtered, expected, "{query}");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_first_change_and_a_parameter_that_is_none_is_named() {
    let stage = stage().await;
    let (_, end) = follow(&stage, "limit=1000").await;
    // On the world's clock the wait is over at once.
    let idle = stage.get(&format!("changes?after={end}&wait=30")).await.good();
    assert_eq!(idle, json!({"items": [], "next": end}));

    for (query, field) in [
        ("wait=31", "wait"),
        ("wait=-1", "wait"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("after=", "after"),
        ("cursor=1", "cursor"),
    ] {
        let said = stage.get(&format!("changes?{query}")).await;
        assert_eq!(
            (said.status, &said.body["field"]),
            (422, &json!(field)),
            "{query}: {said:?}"
        );
    }
    let said = stage.get("changes?environment=mars").await;
    assert_eq!(
        (said.status, &said.body["code"]),
        (404, &json!("environment_not_found"))
    );

    let engine = on_the_machines_clock(&stage.world);
    let waiting = Stage::serving(stage.world, engine).await;
    let query = format!("changes?after={end}&wait=30");
    let (answer, ()) = tokio::join!(waiting.get(&query), async {
        waiting
            .world
            .execute("update rollcall.system_user set company = 'USMF'")
            .await;
        numbered(&waiting.world).await;
    });
    let items = answer.items();
    assert!(
        !items.is_empty()
            && items
                .iter()
                .all(|line| line["fields"]["company"] == json!([null, "USMF"]))
    );
    waiting.end().await;
}

#[tokio::test]
async fn a_cursor_before_deleted_changes_or_of_another_history_is_gone() {
    let stage = stage().await;
    let first = stage.get("changes?limit=1").await.good()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = format!("changes?after={first}&limit=1");
    let second = stage.get(&second).await.good()["next"].as_str().unwrap().to_owned();
    let (_, end) = follow(&stage, "limit=1000").await;

    // The feed of a database that was restored: the same positions, other lines, or none.
    for cursor in [first.replace('-', "-1"), "ffff-1".to_owned()] {
        let said = stage.get(&format!("changes?after={cursor}")).await;
        assert_eq!(
            (said.status, &said.body["code"]),
            (410, &json!("cursor_expired")),
            "{cursor}"
        );
        assert!(said.body["detail"].as_str().unwrap().contains("restored"), "{said:?}");
    }

    stage
        .world
        .execute("update rollcall.system_user_change set at = '2026-01-01' where id <= (select id from rollcall.change_feed where position = 2)")
        .await;
    purge_all(&stage.world.engine.base(), &ages()).await.unwrap();
    let said = stage.get(&format!("changes?after={first}")).await;
    assert_eq!((said.status, &said.body["code"]), (410, &json!("cursor_expired")));
    assert!(
        said.body["remedy"].as_str().unwrap().contains("retention.changes"),
        "{said:?}"
    );
    // Nothing after the second is missing.
    let logged = stage
        .world
        .number("select count(*) from rollcall.system_user_change")
        .await;
    let after_second = stage.get(&format!("changes?after={second}&limit=1000")).await.items();
    let kept = stage.get("changes?limit=1000").await.items();
    assert_eq!(kept, after_second);
    assert_eq!(i64::try_from(kept.len()).unwrap(), logged);
    assert_eq!(
        stage.get(&format!("changes?after={end}")).await.good()["next"],
        json!(end)
    );
    stage.end().await;
}
