//! What `explain` foretells is what happens (rules.md, section 9): to rows in held sets, and to users without a row.

use rollcall::domain::environment::{Environment, Kind};
use rollcall::rules::Trigger;
use rollcall::sync::guard::approval::Decision;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ENV, ask_by, person, said, stage, stage_of, state, word};
use crate::guard::{block, crowd, decide, limits, sync_held};
use crate::world::{World, licensed};

async fn explained(world: &World, user: Uuid, trigger: &str) -> Value {
    let trigger: Trigger = trigger.parse().unwrap();
    let explanation = world.engine.desk().explain(ENV, &user.to_string(), trigger).await;
    json!(explanation.unwrap().shown())
}

/// What a trigger would do, by the list that every explanation has.
fn foretold(explained: &Value, trigger: &str) -> String {
    let triggers = explained["triggers"].as_array().unwrap();
    let found = triggers.iter().find(|one| one["trigger"] == trigger).unwrap();
    let code = found["code"].as_str().unwrap_or("-");
    format!("{} {code}", found["outcome"].as_str().unwrap())
}

#[tokio::test]
async fn a_row_in_a_held_set_is_shown_so_and_stays_as_foretold() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let held = sync_held(&world, 4).await;
    let ada = users[0];
    let code = "directory_account_disabled";
    for (trigger, outcome) in [
        ("background", "leave"),
        ("access", "refuse"),
        ("api", "refuse"),
        ("admin_add", "refuse"),
        ("refresh", "leave"),
        ("diagnostics", "leave"),
    ] {
        let explained = explained(&world, ada, trigger).await;
        assert_eq!(explained["outcome"], outcome, "{trigger}");
        assert_eq!(explained["code"], code, "{trigger}");
        assert_eq!(foretold(&explained, trigger), format!("{outcome} {code}"));
        assert_eq!(explained["held"]["run"], held.run);
        assert_eq!(
            (&explained["held"]["state"], &explained["held"]["reason"]),
            (&json!("held"), &json!(code))
        );
        assert!(explained["held"]["expires_at"].is_string());
        let headline = explained["headline"].as_str().unwrap();
        assert!(headline.contains("stays enabled") && headline.contains(&format!("run {}", held.run)));
    }
    for (way, word) in [("access", code), ("api", code), ("refresh", "unchanged")] {
        let asked = ask_by(&world, way, ada).await;
        assert_eq!(said(&asked), word, "{way}");
        let verdict = match asked {
            Ok(answer) => answer.verdict.unwrap(),
            error => *super::refusal(error).verdict.unwrap(),
        };
        let foretold = foretold(&explained(&world, ada, way).await, way);
        assert_eq!(format!("{} {code}", verdict.outcome), foretold, "{way}");
        assert_eq!(state(&world, ada).await, "enabled");
    }
    // Whoever is in no set is told of the removal, and goes.
    block(&world, &users[4..5]);
    let other = explained(&world, users[4], "access").await;
    assert_eq!((&other["outcome"], &other["held"]), (&json!("disable"), &json!(null)));
    assert_eq!(word(&world, "access", users[4]).await, code);
    assert_eq!(state(&world, users[4]).await, format!("{code} by sync"));

    decide(&world, held.run, Decision::Reject).await.unwrap();
    let rejected = explained(&world, ada, "background").await;
    assert_eq!(
        (&rejected["outcome"], &rejected["held"]["state"]),
        (&json!("leave"), &json!("rejected"))
    );
    assert!(rejected["headline"].as_str().unwrap().contains("rejected"));
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "enabled");
    world.end().await;
}

#[tokio::test]
async fn without_a_row_the_headline_says_who_would_create_one_and_so_it_happens() {
    let trial = Environment::new(ENV, Kind::Trial);
    let teams = Environment::new(ENV, Kind::Teams);
    let production = Environment::new(ENV, Kind::Production);
    for (environment, entitlement, creator) in [
        (&production, "full", "background"),
        (&production, "admin", "background"),
        (&production, "on_demand_only", "on_demand"),
        (&production, "none", "nobody"),
        (&trial, "full", "on_demand"),
        (&teams, "full", "on_demand"),
    ] {
        let world = stage_of(environment.clone()).await;
        world.sync_completely().await;
        let ada = person(&world, "Ada", "Lovelace", entitlement);
        for trigger in Trigger::ALL {
            let explained = explained(&world, ada, trigger.as_str()).await;
            assert_eq!(explained["created_by"], creator, "{entitlement}");
            let headline = explained["headline"].as_str().unwrap();
            let by_background = headline.contains("the background sync creates one");
            assert_eq!(by_background, creator == "background", "{headline}");
            assert_eq!(
                headline.contains("an access or an add creates one"),
                creator == "on_demand"
            );
            assert_eq!(headline.contains("nobody creates one"), creator == "nobody");
            assert!(headline.starts_with("has no row"), "{headline}");
        }
        // What refresh would report is in the list.
        let explained = explained(&world, ada, "diagnostics").await;
        let reported = match ask_by(&world, "refresh", ada).await {
            Ok(answer) => {
                assert!(answer.user.is_none());
                answer.verdict.unwrap()
            }
            error => *super::refusal(error).verdict.unwrap(),
        };
        let code = reported.code.unwrap_or("-");
        assert_eq!(
            foretold(&explained, "refresh"),
            format!("{} {code}", reported.outcome),
            "{entitlement}"
        );
        assert_eq!(state(&world, ada).await, "none");
        world.sync_completely().await;
        let made = state(&world, ada).await == "enabled";
        assert_eq!(made, creator == "background", "{entitlement}");
        if creator == "on_demand" {
            assert_eq!(word(&world, "access", ada).await, "created", "{entitlement}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_disabled_row_that_only_somebody_who_asks_enables_is_not_promised_to_the_background() {
    let world = stage().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    let headline = explained(&world, ada, "diagnostics").await["headline"].clone();
    let headline = headline.as_str().unwrap();
    assert!(headline.contains("the background sync does not"), "{headline}");
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "disabled_by_hand by helpdesk");
    assert_eq!(word(&world, "access", ada).await, "enabled");
    world.end().await;
}

/// Two rows exchange their names by what the mirror knows, and somebody new has one of them by now.
#[tokio::test]
async fn whether_a_name_is_taken_is_foretold_for_whoever_would_ask_for_it() {
    let world = stage().await;
    let [one, two] = ["One", "Two"].map(|given| licensed(world.tenant(), given, "Swap"));
    world.sync_completely().await;
    let rename = |user, name: &str| {
        let name = Some(format!("{name}@contoso.example"));
        world.tenant().update_user(user, |user| user.user_principal_name = name);
    };
    rename(one, "free");
    rename(two, "one.swap");
    rename(one, "two.swap");
    for known in [one, two] {
        explained(&world, known, "diagnostics").await;
    }
    rename(one, "free");
    let heir = person(&world, "Heir", "Swap", "on_demand_only");
    rename(heir, "two.swap");
    let explained = explained(&world, heir, "access").await;
    assert_eq!(explained["code"], "upn_conflict");
    assert_eq!(foretold(&explained, "background"), "skip on_demand_only");
    assert_eq!(foretold(&explained, "api"), "refuse upn_conflict");
    assert_eq!(word(&world, "access", heir).await, "upn_conflict");
    world.end().await;
}
