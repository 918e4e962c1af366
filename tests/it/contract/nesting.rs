//! Nested groups and owners: what stands to the gate group other than as a direct member (rules.md, gates 12 to 14).

use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::simulator::{Effect, When};
use uuid::Uuid;

use super::{
    ENVIRONMENT, GATE, assert_all_enabled, disabled, forever, has_row, heal, paged_with, staff, sync_incompletely,
};
use crate::world::{World, guarded_environment, licensed};

const INNER: Uuid = Uuid::from_u128(0x8888);
const INNERMOST: Uuid = Uuid::from_u128(0x7777);

struct Stage {
    world: World,
    direct: Vec<Uuid>,
    /// In the group within the gate.
    inner: Uuid,
    /// In the group within that.
    innermost: Uuid,
}

/// A gate with a group in it and another in that, and back to the gate: a circle is legal.
async fn stage(nesting: GroupNesting) -> Stage {
    let environment = Environment {
        group_nesting: nesting,
        ..guarded_environment(ENVIRONMENT, GATE)
    };
    let world = paged_with(vec![environment], 100).await;
    let direct = staff(&world, 2);
    let inner = licensed(world.tenant(), "Inner", "Member");
    let innermost = licensed(world.tenant(), "Innermost", "Member");
    for (group, name) in [(GATE, "Gate"), (INNER, "Inner"), (INNERMOST, "Innermost")] {
        world.tenant().create_group_with_id(group, name);
    }
    world.tenant().add_members(GATE, direct.iter().copied());
    world.tenant().add_members(GATE, [INNER]);
    world.tenant().add_members(INNER, [inner, INNERMOST]);
    world.tenant().add_members(INNERMOST, [innermost, GATE]);
    Stage {
        world,
        direct,
        inner,
        innermost,
    }
}

#[tokio::test]
async fn nested_members_count_as_members_under_full_nesting() {
    let Stage {
        world,
        direct,
        inner,
        innermost,
    } = stage(GroupNesting::Full).await;
    world.sync_completely().await;
    assert_all_enabled(&world, &direct).await;
    assert_all_enabled(&world, &[inner, innermost]).await;
    world.assert_settled().await;

    // One group leaves the gate, and everybody in it and below.
    world.tenant().remove_member(GATE, INNER);
    world.sync_completely().await;
    for user in [inner, innermost] {
        assert_eq!(disabled(&world, user).await.as_deref(), Some("not_in_security_group"));
    }
    assert_all_enabled(&world, &direct).await;
    world.assert_settled().await;

    world.tenant().add_member(GATE, INNERMOST);
    world.sync_completely().await;
    assert_all_enabled(&world, &[innermost]).await;
    assert_eq!(disabled(&world, inner).await.as_deref(), Some("not_in_security_group"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn who_joins_or_leaves_a_nested_group_is_judged_under_full_nesting() {
    let Stage {
        world,
        inner,
        innermost,
        ..
    } = stage(GroupNesting::Full).await;
    let late = licensed(world.tenant(), "Late", "Comer");
    world.sync_completely().await;
    world.tenant().add_member(INNERMOST, late);
    world.tenant().remove_member(INNERMOST, innermost);
    world.sync_completely().await;
    assert_all_enabled(&world, &[inner, late]).await;
    assert_eq!(
        disabled(&world, innermost).await.as_deref(),
        Some("not_in_security_group")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn nested_members_are_not_created_but_kept_under_on_demand_nesting() {
    let Stage {
        world,
        direct,
        inner,
        innermost,
    } = stage(GroupNesting::OnDemand).await;
    world.tenant().add_member(GATE, inner);
    let report = world.sync_completely().await;
    assert_all_enabled(&world, &direct).await;
    assert_all_enabled(&world, &[inner]).await;
    assert!(!has_row(&world, innermost).await);
    assert_eq!(report.environments[0].skipped.get("on_demand_only"), Some(&1));
    world.assert_settled().await;

    // A direct member who remains a nested one keeps her row.
    world.tenant().remove_member(GATE, inner);
    world.sync_completely().await;
    assert_all_enabled(&world, &[inner]).await;
    world.assert_settled().await;

    world.tenant().remove_member(INNER, inner);
    world.sync_completely().await;
    assert_eq!(disabled(&world, inner).await.as_deref(), Some("not_in_security_group"));
    // Nested again, she may come back on demand, not by herself.
    world.tenant().add_member(INNER, inner);
    world.sync_completely().await;
    assert_eq!(disabled(&world, inner).await.as_deref(), Some("on_demand_only"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_unreadable_nested_group_disables_nobody_but_judges_direct_members() {
    let Stage {
        world,
        direct,
        inner,
        innermost,
    } = stage(GroupNesting::Full).await;
    world.sync_completely().await;
    forever(
        &world,
        When::path("/groups/delta"),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    forever(
        &world,
        When::path(INNERMOST.to_string()),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    world.tenant().remove_member(INNERMOST, innermost);
    world
        .tenant()
        .expire_tokens(rollcall::simulator::tenant::TokenDeath::Gone);
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &direct).await;
    assert_all_enabled(&world, &[inner, innermost]).await;
    heal(&world);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, innermost).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_all_enabled(&world, &[inner]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_nested_group_that_is_deleted_takes_its_members_along() {
    let Stage {
        world,
        direct,
        inner,
        innermost,
    } = stage(GroupNesting::Full).await;
    world.sync_completely().await;
    world.tenant().delete_group(INNERMOST);
    // It may still be asked for in the cycle that learns of it.
    world.sync().await;
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, innermost).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_all_enabled(&world, &direct).await;
    assert_all_enabled(&world, &[inner]).await;
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn an_owner_who_is_no_member_is_not_created_but_kept() {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 100).await;
    let users = staff(&world, 2);
    let owner = licensed(world.tenant(), "Only", "Owner");
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.tenant().add_owner(GATE, owner);
    let report = world.sync_completely().await;
    assert!(!has_row(&world, owner).await);
    assert_eq!(report.environments[0].skipped.get("on_demand_only"), Some(&1));
    world.assert_settled().await;

    world.tenant().add_member(GATE, owner);
    world.sync_completely().await;
    assert_all_enabled(&world, &[owner]).await;
    world.tenant().remove_member(GATE, owner);
    world.sync_completely().await;
    assert_all_enabled(&world, &[owner]).await;
    world.assert_settled().await;

    world.tenant().remove_owner(GATE, owner);
    world.sync_completely().await;
    assert_eq!(disabled(&world, owner).await.as_deref(), Some("not_in_security_group"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn owners_that_cannot_be_read_count_as_they_were() {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 100).await;
    let users = staff(&world, 2);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.tenant().add_owner(GATE, users[0]);
    world.sync_completely().await;
    world.tenant().remove_member(GATE, users[0]);
    forever(
        &world,
        When::path("/groups/{id}/owners"),
        Effect::error(503, "serviceNotAvailable"),
    );
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}
