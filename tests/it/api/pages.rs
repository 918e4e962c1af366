//! Lists that are longer than a page, and what they can be narrowed to.

use std::collections::BTreeSet;

use rollcall::simulator::tenant::{Profile, User};
use rollcall::sync::imports::ImportRequest;
use serde_json::{Value, json};

use super::{ENV, Stage};
use crate::guard::{block, crowd, limits, sync_held};
use crate::world::{World, licensed, open_environment};

/// Follows a list to its end. No key comes twice, and only the last page may be short.
async fn walk(stage: &Stage, path: &str, key: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    let mut cursor = String::new();
    loop {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = stage.get(&format!("{path}{mark}limit={limit}{cursor}")).await.good();
        let items = page["items"].as_array().unwrap();
        for item in items {
            assert!(seen.insert(item[key].to_string()), "{path}: {} comes twice", item[key]);
        }
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), limit, "{path}");
                cursor = format!("&cursor={next}");
            }
            None => return all,
        }
    }
}

/// A list comes out the same whatever the length of its pages; answers how long it is.
async fn walks(stage: &Stage, path: &str, key: &str) -> usize {
    let whole = walk(stage, path, key, 1000).await;
    for limit in [1, 3, whole.len().max(1)] {
        assert_eq!(walk(stage, path, key, limit).await, whole, "{path} by {limit}");
    }
    whole.len()
}

#[tokio::test]
async fn every_list_can_be_walked_to_its_end() {
    let world = World::new(vec![open_environment(ENV)]).await;
    for n in 0..11 {
        licensed(world.tenant(), "User", &format!("Number {n}"));
    }
    for n in 0..7 {
        let nobody = world.tenant().add_user(User::named("Guest", &format!("Number {n}")));
        world.tenant().give_profile(nobody, Profile::Unlicensed);
    }
    for _ in 0..4 {
        world.sync_completely().await;
    }
    world
        .execute(
            "insert into rollcall.finding (environment, code, subject, detail, opened_at)
             select 'production', 'value_truncated', 'column ' || n, 'a value was too long', now() from generate_series(1, 8) n",
        )
        .await;
    for n in 0..5 {
        let request = ImportRequest {
            users: (0..=n).map(|n| format!("nobody.{n}@contoso.example")).collect(),
            background: true,
            ..ImportRequest::new(ENV, "Contoso")
        };
        world.engine.imports().submit_import(&request, "anna").await.unwrap();
    }
    let stage = Stage::around(world).await;
    let job = stage.get("environments/production/imports?limit=1").await.items()[0]["id"].clone();
    assert_eq!(walks(&stage, "environments/production/users", "systemuserid").await, 13);
    assert_eq!(walks(&stage, "environments/production/candidates", "id").await, 7);
    assert_eq!(walks(&stage, "runs", "id").await, 4);
    assert_eq!(walks(&stage, "findings", "id").await, 8);
    assert_eq!(walks(&stage, "findings?environment=production", "id").await, 8);
    assert_eq!(walks(&stage, "environments/production/imports", "id").await, 5);
    assert_eq!(walks(&stage, &format!("imports/{job}/items"), "position").await, 5);
    let run = stage.get("runs").await.items().last().unwrap()["id"].clone();
    assert_eq!(walks(&stage, &format!("runs/{run}/changes"), "id").await, 11);
    assert_eq!(walks(&stage, &format!("runs/{run}/held"), "systemuserid").await, 0);
    stage.end().await;
}

#[tokio::test]
async fn environments_and_the_roles_of_a_row_have_pages_too() {
    let mut open = open_environment(ENV);
    open.roles = (0..7).map(|n| format!("Role {n} & more / +?")).collect();
    let environments = ["b", "a", "c"].map(open_environment);
    let world = World::new([open].into_iter().chain(environments).collect()).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    let roles = format!("environments/production/users/{ada}/roles");
    for n in 0..7 {
        let role = json!({"role": format!("Role {n} & more / +?")});
        stage.post(&roles, &role).await.good();
    }
    assert_eq!(walks(&stage, "environments", "name").await, 4);
    assert_eq!(walks(&stage, &roles, "role").await, 7);
    for (path, field) in [
        ("environments?cursor=nowhere", "cursor"),
        ("environments?limit=0", "limit"),
        ("environments?colour=red", "colour"),
        ("environments/production/users/x/roles?cursor=nowhere", "cursor"),
        ("environments/production/users/x/roles?limit=1001", "limit"),
        ("runs/1/held?cursor=nowhere", "cursor"),
        ("runs/1/changes?cursor=nowhere", "cursor"),
    ] {
        assert_eq!(stage.get(path).await.field(), field, "{path}");
    }
    assert_eq!(stage.get("runs/4711/held").await.problem(), (404, "not_found"));
    assert_eq!(stage.get("runs/4711/changes").await.problem(), (404, "not_found"));
    stage.end().await;
}

#[tokio::test]
async fn the_rows_that_a_run_holds_have_pages() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let run = sync_held(&world, 4).await.run;
    let stage = Stage::around(world).await;
    assert_eq!(walks(&stage, &format!("runs/{run}/held"), "systemuserid").await, 4);
    let whole = stage.get(&format!("runs/{run}/held")).await.items();
    assert_eq!(json!(whole), stage.get(&format!("runs/{run}")).await.good()["held"]);
    stage.end().await;
}

#[tokio::test]
async fn rows_are_filtered_by_state_mode_type_reason_and_text() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let people: Vec<_> = ["Lovelace", "Hopper", "Percent%Sign", "Babbage", "Blocked"]
        .into_iter()
        .map(|name| licensed(world.tenant(), "User", name))
        .collect();
    world.sync_completely().await;
    let blocked = people[4];
    world
        .tenant()
        .update_user(blocked, |user| user.account_enabled = Some(false));
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    let user = |at: usize| format!("environments/production/users/{}", people[at]);
    stage.act(&format!("{}/disable", user(0))).await.good();
    stage.patch(&user(1), &json!({"accessmode": 4})).await.good();
    stage.patch(&user(2), &json!({"accessmode": 2})).await.good();
    stage
        .world
        .engine
        .desk()
        .stub(crate::on_demand::ask("stub@contoso.example"), None)
        .await
        .unwrap();
    for (filter, expected) in [
        ("type=regular", vec!["Babbage", "Blocked", "Lovelace", "Percent%Sign"]),
        ("type=non_interactive", vec!["Hopper"]),
        ("type=application", vec![]),
        ("type=reserved&mode=3", vec![""]),
        ("type=reserved&mode=5", vec![""]),
        ("type=regular&state=enabled", vec!["Babbage", "Percent%Sign"]),
        ("type=regular&state=disabled", vec!["Blocked", "Lovelace"]),
        ("reason=disabled_by_hand", vec!["Lovelace"]),
        ("reason=directory_account_disabled", vec!["Blocked"]),
        ("reason=unlicensed", vec![]),
        ("mode=4", vec!["Hopper"]),
        ("mode=2", vec!["Percent%Sign"]),
        ("text=lovelace", vec!["Lovelace"]),
        ("text=USER%20hop", vec!["Hopper"]),
        ("text=%25", vec!["Percent%Sign"]),
        ("text=_", vec![]),
        ("text=nobody", vec![]),
        ("state=disabled&text=b&type=regular", vec!["Blocked"]),
    ] {
        let items = stage
            .get(&format!("environments/production/users?{filter}"))
            .await
            .items();
        let mut names: Vec<&str> = items.iter().map(|row| row["lastname"].as_str().unwrap_or("")).collect();
        names.sort_unstable();
        assert_eq!(names.len(), expected.len(), "{filter}: {names:?}");
        if !filter.contains("reserved") {
            assert_eq!(names, expected, "{filter}");
        }
    }
    let stubs = stage.get("environments/production/users?type=stub").await.items();
    assert_eq!(stubs[0]["domainname"], "stub@contoso.example");
    stage.end().await;
}

#[tokio::test]
async fn candidates_are_users_without_a_row_and_can_be_searched() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    for name in ["Builder", "Marley"] {
        let bob = world.tenant().add_user(User::named("Bob", name));
        world.tenant().give_profile(bob, Profile::Unlicensed);
    }
    world.sync_completely().await;
    let stage = Stage::around(world).await;
    let found = async |filter: &str| {
        let path = format!("environments/production/candidates{filter}");
        stage.get(&path).await.items().len()
    };
    assert_eq!(found("").await, 2);
    assert_eq!(found("?text=MARLEY").await, 1);
    assert_eq!(found("?text=ada").await, 0);
    assert_eq!(found("?text=%25").await, 0);
    stage.end().await;
}
