//! Fresh means asked (rules.md, section 9): who owns the security group and which groups are in which is asked for at
//! the moment of the request, within bounds, and whatever was not asked is said to be as of the last reading.

use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::rules::Trigger;
use rollcall::simulator::{Effect, Fault, When};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ENV, ask_by, one_user, refusal, stage_of, state, word};
use crate::world::{World, guarded_environment, licensed};

const GATE: Uuid = Uuid::from_u128(0x6060);

/// A stage behind a group with nobody in it, and somebody licensed outside.
async fn guarded(nesting: GroupNesting) -> (World, Uuid) {
    let environment = Environment {
        group_nesting: nesting,
        ..guarded_environment(ENV, GATE)
    };
    let world = stage_of(environment).await;
    world.tenant().create_group_with_id(GATE, "Gate");
    world
        .tenant()
        .add_member(GATE, licensed(world.tenant(), "Grace", "Hopper"));
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    (world, ada)
}

/// A chain of groups with somebody in the inmost; the outmost is answered, and belongs to nothing yet.
fn chain(world: &World, length: usize, user: Uuid) -> Uuid {
    let mut inner = user;
    for level in 0..length {
        let group = world.tenant().create_group(&format!("Level {level}"));
        world.tenant().add_member(group, inner);
        inner = group;
    }
    inner
}

/// The requests of Graph since the last time; tokens do not count.
fn requests(world: &World) -> Vec<&'static str> {
    let seen = world.simulator.take_requests();
    let of_graph = seen.into_iter().filter(|seen| seen.bearer);
    of_graph.map(|seen| seen.endpoint).collect()
}

async fn explained(world: &World, user: Uuid) -> Value {
    let user = user.to_string();
    let desk = world.engine.desk();
    let explanation = desk.explain(ENV, &user, Trigger::Diagnostics);
    json!(explanation.await.unwrap().shown())
}

fn group_check(explained: &Value) -> String {
    let checks = explained["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["gate"] == "security_group").unwrap();
    check["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn fresh_1_an_owner_of_a_moment_ago_is_let_in_and_one_who_was_removed_is_not() {
    let (world, ada) = guarded(GroupNesting::Ignore).await;
    assert_eq!(word(&world, "admin_add", ada).await, "not_in_security_group");
    world.tenant().add_owner(GATE, ada);
    let said = explained(&world, ada).await;
    assert_eq!(
        (&said["directory"], &said["created_by"]),
        (&json!("fresh"), &json!("on_demand"))
    );
    requests(&world);
    assert_eq!(word(&world, "admin_add", ada).await, "created");
    assert_eq!(requests(&world), ["/$batch"], "with the same request");
    assert_eq!(word(&world, "access", ada).await, "unchanged");
    world.assert_settled().await;
    assert_eq!(state(&world, ada).await, "enabled");
    world.tenant().remove_owner(GATE, ada);
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn fresh_1_an_import_and_many_at_once_ask_for_owners_too() {
    let (world, ada) = guarded(GroupNesting::Ignore).await;
    world.tenant().add_owner(GATE, ada);
    let users = [ada.to_string()];
    let many = world
        .engine
        .desk()
        .add_many(ENV, &users, "helpdesk", Trigger::Api, None)
        .await;
    assert_eq!(many.unwrap()[0].as_ref().unwrap().outcome.as_str(), "created");
    world.tenant().remove_owner(GATE, ada);
    let many = world
        .engine
        .desk()
        .add_many(ENV, &users, "helpdesk", Trigger::Api, None)
        .await;
    let refused = many.unwrap().pop().unwrap().unwrap_err();
    assert_eq!(refused.code.as_str(), "not_in_security_group");
    assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn owners_are_read_to_the_last_page() {
    let (world, ada) = guarded(GroupNesting::Ignore).await;
    for number in 0..130 {
        let owner = licensed(world.tenant(), "Owner", &number.to_string());
        world.tenant().add_owner(GATE, owner);
    }
    world.tenant().add_owner(GATE, ada);
    assert_eq!(word(&world, "admin_add", ada).await, "created");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn fresh_1_a_group_that_was_nested_a_moment_ago_counts_as_it_is_configured() {
    for (nesting, entitlement) in [(GroupNesting::OnDemand, "on_demand_only"), (GroupNesting::Full, "full")] {
        let (world, ada) = guarded(nesting).await;
        let bob = licensed(world.tenant(), "Bob", "Builder");
        for depth in [1, 3] {
            let outmost = chain(&world, depth, ada);
            assert_eq!(word(&world, "access", ada).await, "not_in_security_group", "{depth}");
            world.tenant().add_member(GATE, outmost);
            let asked = ask_by(&world, "access", ada).await.unwrap();
            let effect = if depth == 1 { "created" } else { "enabled" };
            assert_eq!(asked.outcome.as_str(), effect, "{depth}");
            assert_eq!(asked.verdict.unwrap().entitlement, entitlement);
            // Nobody has read the new group yet; whoever was asked about is known all the same.
            assert_eq!(word(&world, "access", bob).await, "not_in_security_group");
            world.sync_completely().await;
            world.assert_settled().await;
            assert_eq!(state(&world, ada).await, "enabled");
            world.tenant().remove_member(GATE, outmost);
            assert_eq!(word(&world, "refresh", ada).await, "disabled", "{depth}");
            world.sync_completely().await;
            world.assert_settled().await;
            assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_found_on_the_way_up_moves_the_others_with_the_next_cycle() {
    let (world, ada) = guarded(GroupNesting::Full).await;
    let bob = licensed(world.tenant(), "Bob", "Builder");
    let outmost = chain(&world, 2, ada);
    world.tenant().add_member(outmost, bob);
    world.sync_completely().await;
    world.tenant().add_member(GATE, outmost);
    assert_eq!(word(&world, "access", ada).await, "created");
    assert_eq!(state(&world, bob).await, "none");
    world.sync_completely().await;
    assert_eq!(state(&world, bob).await, "enabled");
    world.tenant().remove_member(GATE, outmost);
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    world.sync_completely().await;
    assert_eq!(state(&world, bob).await, "not_in_security_group by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn higher_than_three_levels_and_beyond_forty_groups_the_last_reading_counts_and_says_so() {
    let (world, ada) = guarded(GroupNesting::OnDemand).await;
    let outmost = chain(&world, 4, ada);
    world.tenant().add_member(GATE, outmost);
    requests(&world);
    let refused = refusal(ask_by(&world, "access", ada).await);
    assert_eq!(refused.code.as_str(), "not_in_security_group");
    assert_eq!(requests(&world).len(), 4, "one with the user, and one a level");
    let as_of = "groups in groups as of 2026-03-02 08:00:00 UTC";
    let detail = group_check(&json!(refused.verdict.unwrap()));
    assert!(detail.contains(as_of), "{detail}");
    let said = explained(&world, ada).await;
    assert_eq!(said["directory"], format!("fresh, but {as_of}"));
    world.sync_completely().await;
    assert_eq!(word(&world, "access", ada).await, "created", "the cycle has read it");

    let bob = licensed(world.tenant(), "Bob", "Builder");
    for number in 0..45 {
        let group = world.tenant().create_group(&format!("Group {number}"));
        world.tenant().add_member(group, bob);
    }
    requests(&world);
    let refused = refusal(ask_by(&world, "access", bob).await);
    assert_eq!(refused.code.as_str(), "not_in_security_group");
    assert!(group_check(&json!(refused.verdict.unwrap())).contains("groups in groups as of"));
    assert_eq!(requests(&world).len(), 3, "forty groups in two requests");
    // Of many groups, those that are known to lead there are asked about first.
    world.tenant().add_member(outmost, bob);
    world.sync_completely().await;
    world.tenant().remove_member(GATE, outmost);
    assert_eq!(word(&world, "access", bob).await, "not_in_security_group");
    world.end().await;
}

#[tokio::test]
async fn where_nesting_is_ignored_nothing_is_asked_about_other_groups() {
    let (world, ada) = guarded(GroupNesting::Ignore).await;
    let outmost = chain(&world, 2, ada);
    world.tenant().add_member(GATE, outmost);
    for way in ["access", "admin_add", "refresh"] {
        requests(&world);
        ask_by(&world, way, ada).await.ok();
        assert_eq!(requests(&world), ["/$batch"], "{way}");
    }
    // Only whoever wants to know why is told the way.
    let said = explained(&world, ada).await;
    let path: Vec<Uuid> = serde_json::from_value(said["nested_through"].clone()).unwrap();
    assert_eq!((path.len(), path.last()), (2, Some(&outmost)));
    world.end().await;
}

#[tokio::test]
async fn owners_and_groups_that_could_not_be_read_count_as_of_the_last_reading() {
    let (world, ada) = guarded(GroupNesting::OnDemand).await;
    world.tenant().add_owner(GATE, ada);
    world.sync_completely().await;
    assert_eq!(word(&world, "access", ada).await, "created");
    let down = || Effect::error(403, "Authorization_RequestDenied");
    for path in [format!("/groups/{GATE}/owners"), "/memberOf?$select=id".to_owned()] {
        let groups = When::path(if path.contains("memberOf") { "/groups/" } else { &path });
        world.simulator.faults().push(Fault::forever(groups, down()));
    }
    let inner = chain(&world, 1, ada);
    world.tenant().remove_owner(GATE, ada);
    let said = explained(&world, ada).await;
    let directory = said["directory"].as_str().unwrap();
    for what in ["owners of the group as of 2026", "groups in groups as of 2026"] {
        assert!(directory.contains(what), "{directory}");
        assert!(group_check(&said).contains(what), "{said}");
    }
    assert_eq!(word(&world, "refresh", ada).await, "unchanged", "as read last");
    world.simulator.faults().clear();
    world.tenant().add_member(GATE, inner);
    assert_eq!(word(&world, "refresh", ada).await, "unchanged", "inside by another way");
    world.tenant().remove_member(GATE, inner);
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    world.end().await;
}

#[tokio::test]
async fn a_group_above_that_cannot_be_read_hides_no_other_and_is_no_evidence_of_absence() {
    let (world, ada) = guarded(GroupNesting::OnDemand).await;
    let inner = chain(&world, 1, ada);
    world.tenant().add_member(GATE, inner);
    let spoil = Effect::rewrite(|answer| {
        if let Some(groups) = answer["value"].as_array_mut() {
            groups.push(json!({"@odata.type": "#microsoft.graph.group", "id": 7}));
        }
    });
    let above = Fault::forever(When::path(format!("/groups/{inner}/memberOf")), spoil);
    world.simulator.faults().push(above);
    assert_eq!(word(&world, "access", ada).await, "created", "what can be read counts");
    world.tenant().remove_member(GATE, inner);
    assert_eq!(word(&world, "refresh", ada).await, "unchanged", "as read last");
    let detail = group_check(&explained(&world, ada).await);
    assert!(detail.contains("groups in groups as of 2026"), "{detail}");
    world.simulator.faults().clear();
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    world.end().await;
}

#[tokio::test]
async fn a_group_that_is_gone_a_moment_ago_puts_nobody_out() {
    let (world, ada) = guarded(GroupNesting::Ignore).await;
    world.tenant().add_member(GATE, ada);
    assert_eq!(word(&world, "access", ada).await, "created");
    world.tenant().delete_group(GATE);
    assert_eq!(word(&world, "refresh", ada).await, "directory_unavailable");
    assert_eq!(word(&world, "access", ada).await, "directory_unavailable");
    assert_eq!(state(&world, ada).await, "enabled");
    world.end().await;
}

#[tokio::test]
async fn somebody_restored_between_two_questions_is_asked_for_once_more() {
    let (world, ada) = one_user().await;
    world.tenant().soft_delete(ada);
    world.simulator.faults().push(Fault::once(
        When::path(format!("/directory/deletedItems/{ada}")),
        Effect::meanwhile(move |tenant| {
            tenant.restore(ada);
        }),
    ));
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    assert_eq!(state(&world, ada).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}
