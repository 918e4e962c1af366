//! What a person decides about a row (sections 4 and 9): disable, enable, hold, release.

use super::{ENV, ask, ask_by, edit, entitle, one_user, person, refusal, row, said, stage, state, word};
use crate::guard::{allow, block};
use crate::world::licensed;
use serde_json::json;

async fn log(world: &crate::world::World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', actor, operation, reason) from rollcall.system_user_change c
             where exists (select from rollcall.system_user s
                           where s.systemuserid = c.systemuserid and s.azureactivedirectoryobjectid is not null)
             order by id",
        )
        .await
}

#[tokio::test]
async fn a_row_disabled_by_hand_is_left_alone_and_comes_back_by_signing_in() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    assert_eq!(word(&world, "disable", ada).await, "unchanged");
    assert_eq!(state(&world, ada).await, "disabled_by_hand by helpdesk");
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "disabled_by_hand by helpdesk");
    assert_eq!(
        row(&world, ada).await.jobtitle.as_deref(),
        Some("Countess"),
        "columns follow"
    );
    world.assert_settled().await;
    assert_eq!(word(&world, "access", ada).await, "enabled");
    assert_eq!(
        log(&world).await,
        [
            "sync create",
            "helpdesk disable disabled_by_hand",
            "sync update",
            "helpdesk enable"
        ]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_row_disabled_by_hand_keeps_its_reason_when_the_account_is_blocked_too() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    block(&world, &[ada]);
    assert_eq!(word(&world, "access", ada).await, "directory_account_disabled");
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "disabled_by_hand by helpdesk");
    allow(&world, &[ada]);
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "disabled_by_hand by helpdesk");
    world.end().await;
}

#[tokio::test]
async fn enabling_by_hand_asks_the_rules() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    entitle(&world, ada, "none");
    assert_eq!(word(&world, "enable", ada).await, "unlicensed");
    entitle(&world, ada, "on_demand_only");
    assert_eq!(word(&world, "enable", ada).await, "enabled");
    assert_eq!(word(&world, "enable", ada).await, "unchanged");
    assert_eq!(word(&world, "enable", "nobody@contoso.example").await, "user_not_found");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_row_can_be_named_by_its_id_its_object_id_and_its_name() {
    let (world, ada) = one_user().await;
    let id = row(&world, ada).await.systemuserid;
    for name in [
        id.to_string(),
        ada.to_string(),
        "ADA.lovelace@Contoso.example".to_owned(),
    ] {
        assert_eq!(word(&world, "disable", &name).await, "disabled", "{name}");
        assert_eq!(word(&world, "enable", &name).await, "enabled", "{name}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_hold_outlasts_everything_until_it_is_released() {
    let (world, ada) = one_user().await;
    let user = ada.to_string();
    assert_eq!(
        said(&world.engine.desk().hold(ask(&user), "  ").await),
        "bad input: reason"
    );
    assert_eq!(
        said(&world.engine.desk().hold(ask(&user), "under investigation").await),
        "disabled"
    );
    let held = row(&world, ada).await;
    assert_eq!(
        (held.onhold, held.holdreason.as_deref()),
        (true, Some("under investigation"))
    );
    assert_eq!(state(&world, ada).await, "on_hold by helpdesk");
    world.assert_settled().await;
    for way in ["access", "access by a program", "api", "admin_add", "enable"] {
        assert_eq!(word(&world, way, ada).await, "on_hold", "{way}");
    }
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    // Disabling what is on hold changes nothing: the hold is the reason.
    assert_eq!(word(&world, "disable", ada).await, "unchanged");
    block(&world, &[ada]);
    world.sync_completely().await;
    allow(&world, &[ada]);
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "on_hold by helpdesk");
    assert_eq!(word(&world, "release", ada).await, "enabled");
    assert_eq!(row(&world, ada).await.holdreason, None);
    assert_eq!(word(&world, "release", ada).await, "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_was_disabled_before_the_hold_is_judged_anew_when_it_ends() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    assert_eq!(word(&world, "hold", ada).await, "updated");
    assert_eq!(
        word(&world, "release", ada).await,
        "enabled",
        "a release is an admin_add"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_release_of_somebody_who_is_not_entitled_ends_the_hold_and_no_more() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "hold", ada).await, "disabled");
    entitle(&world, ada, "none");
    let answer = ask_by(&world, "release", ada).await.unwrap();
    assert_eq!(answer.outcome.as_str(), "updated");
    let shown = json!(answer.verdict.unwrap());
    assert_eq!(
        (&shown["outcome"], &shown["code"]),
        (&json!("refuse"), &json!("unlicensed"))
    );
    let released = row(&world, ada).await;
    assert!(!released.onhold && released.holdreason.is_none());
    assert_eq!(state(&world, ada).await, "unlicensed by sync");
    world.assert_settled().await;
    entitle(&world, ada, "full");
    world.sync_completely().await;
    assert_eq!(
        state(&world, ada).await,
        "enabled",
        "the sync disabled her, so it enables her"
    );
    world.end().await;
}

#[tokio::test]
async fn a_release_waits_for_the_directory() {
    let (world, ada) = one_user().await;
    assert_eq!(word(&world, "hold", ada).await, "disabled");
    let fault = rollcall::simulator::Fault::forever(
        rollcall::simulator::When::any(),
        rollcall::simulator::Effect::unavailable(None),
    );
    world.simulator.faults().push(fault);
    assert_eq!(word(&world, "release", ada).await, "directory_unavailable");
    world.simulator.faults().clear();
    assert_eq!(state(&world, ada).await, "on_hold by helpdesk");
    assert!(row(&world, ada).await.onhold);
    world.end().await;
}

#[tokio::test]
async fn a_hold_takes_away_a_slot_and_a_release_needs_one() {
    let world = super::slots::full_house(2).await;
    let (world, robots) = world;
    assert_eq!(word(&world, "hold", robots[0]).await, "disabled");
    let late = licensed(world.tenant(), "Late", "Robot");
    world.sync_completely().await;
    assert_eq!(said(&edit(&world, late, json!({"accessmode": 4})).await), "updated");
    let answer = ask_by(&world, "release", robots[0]).await.unwrap();
    assert_eq!(answer.outcome.as_str(), "updated");
    assert_eq!(state(&world, robots[0]).await, "non_interactive_cap by sync");
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_global_administrator_is_not_disabled_by_hand() {
    let world = stage().await;
    let greta = person(&world, "Greta", "Global", "admin");
    world.sync_completely().await;
    for way in ["disable", "hold"] {
        let refusal = refusal(ask_by(&world, way, greta).await);
        assert_eq!(refusal.code.as_str(), "tenant_administrator", "{way}");
    }
    assert_eq!(state(&world, greta).await, "enabled");
    // Without the role, or disabled already, nothing protects her.
    world
        .tenant()
        .unassign_role(rollcall::simulator::tenant::GLOBAL_ADMINISTRATOR, greta);
    entitle(&world, greta, "full");
    assert_eq!(word(&world, "refresh", greta).await, "updated");
    assert_eq!(word(&world, "disable", greta).await, "disabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn placeholders_are_nobody_s_to_change() {
    let world = stage().await;
    world.sync_completely().await;
    for way in ["disable", "enable", "hold", "release", "delete"] {
        assert_eq!(
            word(&world, way, "crmoln@microsoft.com").await,
            "reserved_user",
            "{way}"
        );
    }
    let edited = edit(&world, "crmoln2@microsoft.com", json!({"company": "Contoso"})).await;
    assert_eq!(said(&edited), "reserved_user");
    let granted = world
        .engine
        .desk()
        .grant(ask("crmoln@microsoft.com"), "Basic User")
        .await;
    assert_eq!(said(&granted), "role_not_found");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_unknown_environment_is_no_refusal_but_a_mistake() {
    let (world, ada) = one_user().await;
    let user = ada.to_string();
    let elsewhere = rollcall::sync::desk::Ask {
        environment: "attic",
        ..ask(&user)
    };
    assert_eq!(
        said(&world.engine.desk().disable(elsewhere).await),
        "find the environment `attic`"
    );
    assert_eq!(state(&world, ada).await, "enabled");
    assert!(world.row(ENV, ada).await.is_some());
    world.end().await;
}
