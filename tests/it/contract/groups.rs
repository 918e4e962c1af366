//! Item 9: the gate group, whatever stands in it.

use rollcall::domain::environment::Environment;
use rollcall::simulator::{Effect, When};
use rollcall::sync::RunOutcome;
use uuid::Uuid;

use super::{
    ENVIRONMENT, GATE, asked, assert_all_enabled, disabled, forever, forget_requests, has_row, heal, paged_with, row,
    staff, sync_incompletely,
};
use crate::world::{World, guarded_environment, licensed, open_environment};

/// A gate with these many members, none of them synced yet.
async fn gate(count: usize) -> (World, Vec<Uuid>) {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 100).await;
    let users = staff(&world, count);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    (world, users)
}

#[tokio::test]
async fn item_9_a_large_group_split_over_pages_is_one_group() {
    let (world, users) = gate(350).await;
    let outside = licensed(world.tenant(), "Out", "Side");
    world.sync_completely().await;
    assert_eq!(asked(&world, "/groups/{id}/members").len(), 4);
    assert_all_enabled(&world, &users).await;
    assert!(!has_row(&world, outside).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_many_changes_of_a_large_group_come_in_several_entries() {
    let (world, users) = gate(300).await;
    world.sync_completely().await;
    for user in &users[..250] {
        world.tenant().remove_member(GATE, *user);
    }
    let joined: Vec<Uuid> = (0..250)
        .map(|n| licensed(world.tenant(), "New", &format!("Member{n}")))
        .collect();
    world.tenant().add_members(GATE, joined.iter().copied());
    forget_requests(&world);
    let report = world.sync_completely().await;
    assert!(asked(&world, "/groups/delta").len() > 3);
    assert!(
        asked(&world, "/groups/{id}/members").is_empty(),
        "nothing is listed again"
    );
    assert_eq!(
        (report.environments[0].created, report.environments[0].disabled),
        (250, 250)
    );
    assert_all_enabled(&world, &users[250..]).await;
    assert_all_enabled(&world, &joined).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_who_joins_while_the_group_is_listed_is_not_lost() {
    let (world, users) = gate(250).await;
    let late = licensed(world.tenant(), "Just", "Intime");
    let early = users[0];
    world.simulator.faults().push(rollcall::simulator::Fault::once(
        When::path("/groups/{id}/members").after(1),
        Effect::meanwhile(move |tenant| {
            tenant.add_member(GATE, late);
            tenant.remove_member(GATE, early);
        }),
    ));
    world.sync_completely().await;
    assert_all_enabled(&world, &[late]).await;
    assert!(!has_row(&world, early).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_member_removed_is_disabled_and_comes_back() {
    let (world, users) = gate(5).await;
    world.sync_completely().await;
    world.tenant().remove_member(GATE, users[0]);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.tenant().add_member(GATE, users[0]);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_nested_group_as_member_opens_nothing_by_default() {
    let (world, users) = gate(3).await;
    let nested = world.tenant().create_group("Nested");
    let inner = licensed(world.tenant(), "Nested", "Only");
    world.tenant().add_member(nested, inner);
    world.tenant().add_member(GATE, nested);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert!(!has_row(&world, inner).await);
    assert!(!has_row(&world, nested).await);
    let listed = asked(&world, "/groups/{id}/members");
    assert!(
        listed.iter().all(|seen| seen.path.contains(&GATE.to_string())),
        "nested groups are not read"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_device_as_member_with_nulls_is_no_user() {
    let (world, users) = gate(3).await;
    let device = world.tenant().add_device("Meeting room");
    let (service, _) = world.tenant().add_service_principal("Robot");
    world.tenant().add_member(GATE, device);
    world.tenant().add_member(GATE, service);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 3);
    assert_all_enabled(&world, &users).await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.tenant().remove_member(GATE, device);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_gate_group_that_is_gone_disables_nobody_and_recovers() {
    let (world, users) = gate(5).await;
    world.sync_completely().await;
    world.tenant().delete_group(GATE);
    let outside = licensed(world.tenant(), "Out", "Side");
    world
        .tenant()
        .update_user(users[1], |user| user.job_title = Some("Meanwhile".to_owned()));
    for _ in 0..2 {
        let report = sync_incompletely(&world).await;
        assert!(report.problems[0].starts_with("group:"), "{report:?}");
        assert_all_enabled(&world, &users).await;
        assert!(!has_row(&world, outside).await, "nobody is let in either");
    }
    assert_eq!(row(&world, users[1]).await.jobtitle.as_deref(), Some("Meanwhile"));
    let findings = world.findings().await;
    assert!(
        findings.contains(&"directory_unavailable production".to_owned()),
        "{findings:?}"
    );

    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users[..4].iter().copied());
    world.tenant().add_member(GATE, outside);
    world.sync_completely().await;
    assert_all_enabled(&world, &users[..4]).await;
    assert_all_enabled(&world, &[outside]).await;
    assert_eq!(
        disabled(&world, users[4]).await.as_deref(),
        Some("not_in_security_group")
    );
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_gate_group_that_never_existed_lets_nobody_in() {
    let (world, users) = gate(3).await;
    world.tenant().delete_group(GATE);
    sync_incompletely(&world).await;
    assert!(world.rows(ENVIRONMENT).await.is_empty());
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_gate_group_that_may_not_be_read_disables_nobody_and_recovers() {
    let (world, users) = gate(5).await;
    world.sync_completely().await;
    world.tenant().remove_member(GATE, users[0]);
    world.simulator.configure(|settings| {
        settings.permissions.remove("GroupMember.Read.All");
    });
    let report = sync_incompletely(&world).await;
    assert!(report.problems[0].contains("GroupMember.Read.All"), "{report:?}");
    assert_all_enabled(&world, &users).await;
    assert!(
        world
            .findings()
            .await
            .contains(&"directory_unavailable production".to_owned())
    );
    world.simulator.configure(|settings| {
        settings.permissions.insert("GroupMember.Read.All".to_owned());
    });
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_an_unreadable_group_does_not_hold_up_other_environments() {
    let environments: Vec<Environment> = vec![guarded_environment(ENVIRONMENT, GATE), open_environment("sandbox")];
    let world = paged_with(environments, 100).await;
    let users = staff(&world, 3);
    forever(
        &world,
        When::path(GATE.to_string()),
        Effect::error(404, "Request_ResourceNotFound"),
    );
    let report = sync_incompletely(&world).await;
    assert_eq!((report.environments[0].created, report.environments[1].created), (0, 3));
    world
        .tenant()
        .update_user(users[0], |user| user.account_enabled = Some(false));
    sync_incompletely(&world).await;
    let sandbox = world.row("sandbox", users[0]).await.unwrap();
    assert_eq!(sandbox.disabledreason.as_deref(), Some("directory_account_disabled"));
    heal(&world);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users[1..].iter().copied());
    world.sync_completely().await;
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_an_account_disabled_in_the_directory_is_disabled_even_while_the_group_is_gone() {
    let (world, users) = gate(3).await;
    world.sync_completely().await;
    world.tenant().delete_group(GATE);
    world
        .tenant()
        .update_user(users[0], |user| user.account_enabled = Some(false));
    world.tenant().purge(users[1]);
    sync_incompletely(&world).await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("directory_account_disabled")
    );
    assert_eq!(disabled(&world, users[1]).await.as_deref(), Some("directory_deleted"));
    assert_all_enabled(&world, &users[2..]).await;
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, [users[0], users[2]]);
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_soft_deleted_member_is_disabled_and_needs_no_new_membership_when_restored() {
    let (world, users) = gate(4).await;
    world.sync_completely().await;
    world.tenant().soft_delete(users[0]);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("directory_soft_deleted")
    );
    assert!(
        world.tenant().members(GATE).unwrap().contains(&users[0]),
        "she is still in members"
    );
    world.assert_settled().await;
    // The members are listed anew while she is away.
    world
        .tenant()
        .expire_tokens(rollcall::simulator::tenant::TokenDeath::Gone);
    world.sync_completely().await;
    world.tenant().restore(users[0]);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

/// A member who is away when the group is listed, in the first round or after a dead token, is let in when she is
/// back, although no change of the group tells of her.
#[tokio::test]
async fn item_9_a_soft_deleted_user_still_in_members_is_let_in_when_restored() {
    for resync in [false, true] {
        let (world, users) = gate(3).await;
        let outside = licensed(world.tenant(), "Out", "Side");
        for user in [users[0], outside] {
            world.tenant().soft_delete(user);
        }
        let report = world.sync_completely().await;
        assert_eq!(report.environments[0].created, 2);
        assert!(report.environments[0].skipped.is_empty(), "{report:?}");
        world.assert_settled().await;
        for user in [users[0], outside] {
            world.tenant().restore(user);
        }
        if resync {
            world
                .tenant()
                .expire_tokens(rollcall::simulator::tenant::TokenDeath::Gone);
        }
        let report = world.sync_completely().await;
        assert_eq!(report.environments[0].created, 1);
        assert_all_enabled(&world, &users).await;
        assert!(!has_row(&world, outside).await);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_9_a_restored_member_whose_groups_cannot_be_read_waits_for_the_next_run() {
    let (world, users) = gate(3).await;
    world.tenant().soft_delete(users[0]);
    world.sync_completely().await;
    world.tenant().restore(users[0]);
    forever(
        &world,
        When::path("/users/{id}/memberOf"),
        Effect::error(503, "serviceNotAvailable"),
    );
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users[1..]).await;
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_9_a_purged_member_leaves_the_group_quietly() {
    let (world, users) = gate(4).await;
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    let report = world.sync_completely().await;
    assert_eq!(report.outcome, RunOutcome::Complete);
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}
