//! What the directory says, or does not say, while somebody waits for the answer (gates 6 and 8 to 10).

use rollcall::simulator::{Effect, Fault, When};
use uuid::Uuid;

use super::{ENV, ask_by, counted_disables, one_user, person, refusal, row, said, stage, stage_of, state, word};
use crate::guard::block;
use crate::world::{guarded_environment, licensed};

/// Every request of a look-up, whether together or one by one.
const LOOK_UPS: [&str; 2] = ["/$batch", "/users/"];

/// Six ways for the directory to be down.
fn outages() -> Vec<(&'static str, Effect)> {
    vec![
        ("503", Effect::unavailable(None)),
        ("500", Effect::error(500, "InternalServerError")),
        ("a proxy's page", Effect::html(502)),
        ("closed connections", Effect::Hangup),
        ("half an answer", Effect::Truncate),
        ("forbidden", Effect::error(403, "Authorization_RequestDenied")),
    ]
}

#[tokio::test]
async fn while_the_directory_is_down_nothing_is_written_and_trying_again_may_help() {
    let (world, ada) = one_user().await;
    block(&world, &[ada]);
    let newcomer = licensed(world.tenant(), "Grace", "Hopper");
    let before = world.dump().await;
    for (outage, effect) in outages() {
        for path in LOOK_UPS {
            let fault = Fault::forever(When::path(path), effect.clone());
            world.simulator.faults().push(fault);
        }
        for user in [ada, newcomer] {
            for way in ["access", "admin_add", "refresh", "enable"] {
                if way == "enable" && user == newcomer {
                    continue;
                }
                let refusal = refusal(ask_by(&world, way, user).await);
                let problem = serde_json::json!(rollcall::http::problem::Problem::from(refusal.clone()));
                assert_eq!(problem["code"], "directory_unavailable", "{outage}, {way}");
                assert_eq!((&problem["retryable"], &problem["status"]), (&true.into(), &503.into()));
                assert!(refusal.detail.starts_with("could not "), "{}", refusal.detail);
            }
        }
        world.simulator.faults().clear();
        assert_eq!(before, world.dump().await, "{outage}");
    }
    assert_eq!(counted_disables(&world).await, 0);
    assert_eq!(word(&world, "access", ada).await, "directory_account_disabled");
    assert_eq!(word(&world, "access", newcomer).await, "created");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_failure_that_concerns_one_user_is_that_user_s_alone() {
    let (world, ada) = one_user().await;
    let grace = licensed(world.tenant(), "Grace", "Hopper");
    world.simulator.faults().push(Fault::forever(
        When::path(format!("/users/{ada}")),
        Effect::error(500, "x"),
    ));
    assert_eq!(word(&world, "access", ada).await, "directory_unavailable");
    assert_eq!(word(&world, "access", grace).await, "created");
    world.simulator.faults().clear();
    assert_eq!(word(&world, "access", ada).await, "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whom_the_directory_does_not_find_is_not_taken_for_gone_until_it_says_so() {
    let (world, ada) = one_user().await;
    world.tenant().purge(ada);
    world.simulator.faults().push(Fault::forever(
        When::path("/directory/deletedItems"),
        Effect::error(500, "x"),
    ));
    assert_eq!(word(&world, "access", ada).await, "directory_unavailable");
    assert_eq!(state(&world, ada).await, "enabled");
    world.simulator.faults().clear();
    assert_eq!(word(&world, "access", ada).await, "user_not_found");
    assert_eq!(state(&world, ada).await, "directory_deleted by sync");
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_account_whose_state_may_not_be_read_is_unavailable_and_not_disabled() {
    let (world, ada) = one_user().await;
    world.tenant().update_user(ada, |user| user.account_enabled = None);
    assert_eq!(word(&world, "access", ada).await, "directory_unavailable");
    assert_eq!(word(&world, "refresh", ada).await, "directory_unavailable");
    assert_eq!(state(&world, ada).await, "enabled");
    world.end().await;
}

#[tokio::test]
async fn administrator_roles_that_cannot_be_read_cost_nobody_access() {
    let world = stage().await;
    let greta = person(&world, "Greta", "Global", "admin");
    let ada = person(&world, "Ada", "Lovelace", "full");
    world.sync_completely().await;
    world
        .simulator
        .configure(|settings| assert!(settings.permissions.remove("RoleManagement.Read.Directory")));
    assert_eq!(word(&world, "access", greta).await, "unchanged", "as read last");
    super::entitle(&world, ada, "none");
    assert_eq!(word(&world, "access", ada).await, "directory_unavailable");
    assert_eq!(word(&world, "refresh", ada).await, "directory_unavailable");
    assert_eq!(state(&world, ada).await, "enabled");
    world
        .simulator
        .configure(|settings| assert!(settings.permissions.insert("RoleManagement.Read.Directory".to_owned())));
    assert_eq!(word(&world, "access", ada).await, "unlicensed");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn nobody_is_found_by_a_name_or_an_id_that_nobody_has() {
    let world = stage().await;
    world.sync_completely().await;
    let nobody = Uuid::from_u128(0x6060).to_string();
    for user in [
        "nobody@contoso.example",
        nobody.as_str(),
        "",
        "#",
        "a/b?c@d e",
        "not a name",
    ] {
        for way in ["access", "access by a program", "api", "admin_add", "import", "refresh"] {
            let asked = ask_by(&world, way, user).await;
            assert_eq!(said(&asked), "user_not_found", "{user}, {way}: {asked:?}");
        }
    }
    assert!(world.rows(ENV).await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn reserved_names_are_refused_with_and_without_a_row() {
    let world = stage().await;
    for round in ["before the first cycle", "after it"] {
        for name in [
            "crmoln@microsoft.com",
            "CRMOLN2@microsoft.com",
            "SYSTEM",
            "Integration",
            "sync",
        ] {
            for way in ["access", "admin_add", "refresh"] {
                assert_eq!(word(&world, way, name).await, "reserved_user", "{name}, {way}, {round}");
            }
        }
        world.sync_completely().await;
    }
    let impostor = licensed(world.tenant(), "Crm", "Online");
    world.tenant().update_user(impostor, |user| {
        user.user_principal_name = Some("crmoln@microsoft.com".to_owned());
    });
    assert_eq!(word(&world, "access", impostor).await, "reserved_user");
    assert_eq!(state(&world, impostor).await, "none");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_soft_deleted_user_is_refused_and_the_row_says_why() {
    let (world, ada) = one_user().await;
    let stranger = licensed(world.tenant(), "Stranger", "Danger");
    world.tenant().soft_delete(ada);
    world.tenant().soft_delete(stranger);
    assert_eq!(word(&world, "access", ada).await, "user_soft_deleted");
    assert_eq!(word(&world, "admin_add", stranger).await, "user_soft_deleted");
    assert_eq!(state(&world, stranger).await, "none");
    let gone = row(&world, ada).await;
    assert_eq!(state(&world, ada).await, "directory_soft_deleted by sync");
    assert_eq!(gone.azurestate, 1);
    assert!(gone.azuredeletedon.is_some());
    assert_eq!(gone.firstname.as_deref(), Some("Ada"), "the last values stay");
    // The name that the row has is still understood.
    assert_eq!(
        word(&world, "access", "ada.lovelace@contoso.example").await,
        "user_soft_deleted"
    );
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    world.sync_completely().await;
    assert_eq!(
        row(&world, ada).await.azuredeletedon,
        gone.azuredeletedon,
        "never rewritten"
    );
    world.assert_settled().await;
    world.tenant().restore(ada);
    assert_eq!(word(&world, "access", ada).await, "enabled");
    let back = row(&world, ada).await;
    assert_eq!((back.azurestate, back.azuredeletedon), (0, None));
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_purged_user_is_refused_and_the_row_says_why() {
    let (world, ada) = one_user().await;
    world.tenant().purge(ada);
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    assert_eq!(state(&world, ada).await, "directory_deleted by sync");
    assert_eq!(row(&world, ada).await.azurestate, 2);
    assert_eq!(word(&world, "access", ada).await, "user_not_found");
    assert_eq!(word(&world, "enable", ada).await, "user_not_found");
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_account_that_is_disabled_is_refused_with_and_without_a_row() {
    let (world, ada) = one_user().await;
    let greta = person(&world, "Greta", "Global", "admin");
    block(&world, &[ada, greta]);
    assert_eq!(word(&world, "access", greta).await, "directory_account_disabled");
    assert_eq!(state(&world, greta).await, "none");
    assert_eq!(word(&world, "access", ada).await, "directory_account_disabled");
    assert_eq!(state(&world, ada).await, "directory_account_disabled by sync");
    assert_eq!(word(&world, "enable", ada).await, "directory_account_disabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_group_that_cannot_be_read_keeps_out_whoever_is_no_member_for_sure() {
    let group = Uuid::from_u128(0x6060);
    let world = stage_of(guarded_environment(ENV, group)).await;
    let member = licensed(world.tenant(), "Ada", "Lovelace");
    let other = licensed(world.tenant(), "Bob", "Builder");
    // The group was never read: there is none.
    world.sync().await;
    assert_eq!(word(&world, "access", other).await, "directory_unavailable");
    world.tenant().create_group_with_id(group, "Sales");
    world.tenant().add_member(group, member);
    world.sync_completely().await;
    assert_eq!(state(&world, member).await, "enabled");
    world.tenant().delete_group(group);
    world.sync().await;
    assert_eq!(word(&world, "access", other).await, "directory_unavailable");
    assert_eq!(word(&world, "access", member).await, "directory_unavailable");
    assert_eq!(state(&world, member).await, "enabled");
    world.end().await;
}
