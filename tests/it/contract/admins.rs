//! Item 10: administrators, who need no licence and, two of the three kinds, no membership either.

use std::time::Duration;

use rollcall::simulator::tenant::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, GLOBAL_READER, POWER_PLATFORM_ADMINISTRATOR, User,
};
use rollcall::simulator::{Effect, When};
use uuid::Uuid;

use super::{
    ENVIRONMENT, SALES, assert_all_enabled, disabled, forever, has_row, heal, paged, paged_with, row, staff,
    sync_incompletely, unlicense,
};
use crate::world::{World, guarded_environment};

const ROLES: &str = "/roleManagement/directory/roleAssignments";
const UNIT: &str = "/administrativeUnits/51331a7e-0000-4000-8000-000000000009";

fn unlicensed(world: &World, given: &str) -> Uuid {
    world.tenant().add_user(User::named(given, "Admin"))
}

async fn assert_administrative(world: &World, user: Uuid) {
    let row = row(world, user).await;
    assert!(!row.isdisabled && row.setupuser && !row.islicensed, "{row:?}");
    assert_eq!(row.accessmode, 1);
}

#[tokio::test]
async fn item_10_an_administrator_by_direct_assignment_needs_no_licence() {
    let world = paged(10).await;
    for role in [
        GLOBAL_ADMINISTRATOR,
        POWER_PLATFORM_ADMINISTRATOR,
        DYNAMICS_365_ADMINISTRATOR,
    ] {
        let admin = unlicensed(&world, &role.to_string()[..8]);
        world.tenant().assign_role(role, admin, "/");
        world.sync_completely().await;
        assert_administrative(&world, admin).await;
        world.assert_settled().await;
        world.tenant().unassign_role(role, admin);
        world.sync_completely().await;
        assert_eq!(disabled(&world, admin).await.as_deref(), Some("unlicensed"));
        world.assert_settled().await;
    }
    world.end().await;
}

#[tokio::test]
async fn item_10_a_role_without_a_part_in_this_means_nothing() {
    let world = paged(10).await;
    let reader = unlicensed(&world, "Reader");
    world.tenant().assign_role(GLOBAL_READER, reader, "/");
    world.sync_completely().await;
    assert!(!has_row(&world, reader).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_an_administrator_by_role_assignable_group_needs_no_licence() {
    let world = paged(10).await;
    let admin = unlicensed(&world, "Group");
    let other = unlicensed(&world, "Other");
    let group = world.tenant().create_role_group("Administrators");
    world.tenant().add_member(group, admin);
    world.tenant().assign_role(POWER_PLATFORM_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    assert!(!has_row(&world, other).await);
    world.assert_settled().await;

    // No user event tells of this, only the group's own listing.
    world.tenant().add_member(group, other);
    world.tenant().remove_member(group, admin);
    world.sync_completely().await;
    assert_administrative(&world, other).await;
    assert_eq!(disabled(&world, admin).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_a_large_role_assignable_group_is_read_to_its_end() {
    let world = paged(100).await;
    let admins: Vec<Uuid> = (0..130).map(|n| unlicensed(&world, &format!("Admin{n}"))).collect();
    let group = world.tenant().create_role_group("Administrators");
    world.tenant().add_members(group, admins.iter().copied());
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    assert_all_enabled(&world, &admins).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_a_pim_activation_that_ends_ends_the_exemption() {
    let world = paged(10).await;
    let admin = unlicensed(&world, "Pim");
    world
        .tenant()
        .activate_role(GLOBAL_ADMINISTRATOR, admin, "/", Duration::from_hours(1));
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    world.advance(Duration::from_mins(30));
    world.assert_settled().await;
    world.advance(Duration::from_secs(1801));
    world.sync_completely().await;
    assert_eq!(disabled(&world, admin).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    world
        .tenant()
        .activate_role(GLOBAL_ADMINISTRATOR, admin, "/", Duration::from_mins(1));
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    world.end().await;
}

#[tokio::test]
async fn item_10_a_pim_activation_that_ends_takes_a_licensed_user_back_behind_the_group() {
    let gate = Uuid::from_u128(0x9999);
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, gate)], 10).await;
    world.tenant().create_group_with_id(gate, "Gate");
    let admin = world
        .tenant()
        .add_user(User::named("Pim", "Licensed").with_plans(&[SALES]));
    world
        .tenant()
        .activate_role(GLOBAL_ADMINISTRATOR, admin, "/", Duration::from_hours(1));
    world.sync_completely().await;
    assert_eq!(row(&world, admin).await.accessmode, 0, "licensed, hence read-write");
    world.advance(Duration::from_secs(3601));
    world.sync_completely().await;
    assert_eq!(disabled(&world, admin).await.as_deref(), Some("not_in_security_group"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_an_eligible_user_is_no_administrator() {
    let world = paged(10).await;
    let eligible = unlicensed(&world, "Eligible");
    world.tenant().make_eligible(GLOBAL_ADMINISTRATOR, eligible, "/");
    world.sync_completely().await;
    assert!(!has_row(&world, eligible).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_a_role_scoped_to_an_administrative_unit_does_not_count() {
    let world = paged(10).await;
    let scoped = unlicensed(&world, "Scoped");
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, scoped, UNIT);
    world.sync_completely().await;
    assert!(!has_row(&world, scoped).await);
    world.assert_settled().await;
    // Tenant-wide beside it does.
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, scoped, "/");
    world.sync_completely().await;
    assert_administrative(&world, scoped).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_a_dynamics_365_administrator_outside_the_group_stays_out() {
    let gate = Uuid::from_u128(0x9999);
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, gate)], 10).await;
    world.tenant().create_group_with_id(gate, "Gate");
    let admins = ["Global", "Platform", "Dynamics"].map(|name| unlicensed(&world, name));
    let [global, platform, dynamics] = admins;
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, global, "/");
    world.tenant().assign_role(POWER_PLATFORM_ADMINISTRATOR, platform, "/");
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, dynamics, "/");
    world.sync_completely().await;
    assert_administrative(&world, global).await;
    assert_administrative(&world, platform).await;
    assert!(!has_row(&world, dynamics).await);
    world.assert_settled().await;

    world.tenant().add_member(gate, dynamics);
    world.sync_completely().await;
    assert_administrative(&world, dynamics).await;
    world.tenant().remove_member(gate, dynamics);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, dynamics).await.as_deref(),
        Some("not_in_security_group")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_10_an_administrator_who_gains_and_loses_a_licence_changes_mode() {
    let world = paged(10).await;
    let admin = unlicensed(&world, "Mode");
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, admin, "/");
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    world.tenant().update_user(admin, |user| {
        user.plans = vec![rollcall::simulator::tenant::AssignedPlan::new(SALES, "Enabled")].into();
    });
    world.sync_completely().await;
    let licensed = row(&world, admin).await;
    assert_eq!(
        (licensed.accessmode, licensed.setupuser, licensed.islicensed),
        (0, false, true)
    );
    unlicense(&world, admin);
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn roles_that_cannot_be_read_count_as_last_read_and_disable_nobody() {
    let gate = Uuid::from_u128(0x9999);
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, gate)], 10).await;
    world.tenant().create_group_with_id(gate, "Gate");
    let users = staff(&world, 3);
    world.tenant().add_members(gate, users.iter().copied());
    let admin = unlicensed(&world, "Global");
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, admin, "/");
    world.sync_completely().await;

    forever(
        &world,
        When::path(ROLES),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    unlicense(&world, users[0]);
    world.tenant().remove_member(gate, users[1]);
    world
        .tenant()
        .update_user(users[2], |user| user.account_enabled = Some(false));
    world
        .tenant()
        .update_user(admin, |user| user.job_title = Some("Still here".to_owned()));
    for _ in 0..2 {
        let report = sync_incompletely(&world).await;
        assert!(
            report.problems[0].contains("RoleManagement.Read.Directory"),
            "{report:?}"
        );
        assert_all_enabled(&world, &[users[0], users[1], admin]).await;
    }
    assert_administrative(&world, admin).await;
    assert_eq!(row(&world, admin).await.jobtitle.as_deref(), Some("Still here"));
    assert_eq!(
        disabled(&world, users[2]).await.as_deref(),
        Some("directory_account_disabled"),
        "that is not in doubt"
    );

    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("unlicensed"));
    assert_eq!(
        disabled(&world, users[1]).await.as_deref(),
        Some("not_in_security_group")
    );
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn a_role_group_that_cannot_be_listed_makes_all_roles_count_as_last_read() {
    let world = paged(10).await;
    let admin = unlicensed(&world, "Group");
    let group = world.tenant().create_role_group("Administrators");
    world.tenant().add_member(group, admin);
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    forever(
        &world,
        When::path(group.to_string()),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    sync_incompletely(&world).await;
    assert_administrative(&world, admin).await;
    heal(&world);
    world.sync_completely().await;
    assert_administrative(&world, admin).await;
    world.assert_settled().await;
    world.end().await;
}
