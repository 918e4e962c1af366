//! Rights that vanish: administrators, the tenant's products, and everything at once.

use std::time::Duration;

use rollcall::simulator::When;
use rollcall::simulator::tenant::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, POWER_PLATFORM_ADMINISTRATOR, TokenDeath, User,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{
    ENVIRONMENT, GATE, USERS, assert_all_enabled, forever, heal, nobody, paged, paged_with, restart, row, staff,
    unlicense,
};
use super::{HOLD, MEMBERS, assert_heals, assert_held_back, assert_lasts, assert_nobody_disabled, entries};
use crate::world::{World, guarded_environment, open_environment};

const ROLES: &str = "/roleManagement/directory/roleAssignments";
const SKUS: &str = "/subscribedSkus";

/// Three administrators without a licence, outside the group, and a member.
async fn administrators() -> (World, Vec<Uuid>) {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 10).await;
    world.tenant().create_group_with_id(GATE, "Gate");
    let member = staff(&world, 1)[0];
    world.tenant().add_member(GATE, member);
    let mut everybody = vec![member];
    for role in [GLOBAL_ADMINISTRATOR, POWER_PLATFORM_ADMINISTRATOR] {
        let admin = world.tenant().add_user(User::named("Admin", &role.to_string()[..8]));
        world.tenant().assign_role(role, admin, "/");
        everybody.push(admin);
    }
    let dynamics = world.tenant().add_user(User::named("Admin", "Dynamics"));
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, dynamics, "/");
    world.tenant().add_member(GATE, dynamics);
    everybody.push(dynamics);
    world.sync_completely().await;
    assert_all_enabled(&world, &everybody).await;
    (world, everybody)
}

#[tokio::test]
async fn administrators_who_vanish_all_at_once_keep_their_rows_however_long() {
    let (mut world, everybody) = administrators().await;
    forever(&world, When::path(ROLES), nobody());
    let report = world.sync().await;
    assert_held_back(&world, &report, "nobody is an administrator any more, where 3 had been").await;
    assert_eq!(report.environments[0].held, 3);
    assert_lasts(&mut world, "nobody is an administrator").await;
    heal(&world);
    world.advance(HOLD);
    assert_heals(&world).await;
    for admin in &everybody[1..] {
        let row = row(&world, *admin).await;
        assert!(row.setupuser && row.accessmode == 1, "{row:?}");
    }
    // One by one it is the directory's word.
    world.tenant().unassign_role(DYNAMICS_365_ADMINISTRATOR, everybody[3]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
    world.end().await;
}

#[tokio::test]
async fn an_assignment_that_cannot_be_read_takes_no_role_away() {
    let (world, everybody) = administrators().await;
    let spoil = entries(|assignment| {
        assignment["principalId"] = json!(7);
        assignment["principal"] = Value::Null;
    });
    forever(&world, When::path(ROLES), spoil);
    for _ in 0..2 {
        world.sync_completely().await;
        assert_all_enabled(&world, &everybody).await;
        assert_eq!(world.findings().await, ["directory_unavailable"]);
    }
    heal(&world);
    assert_heals(&world).await;
    world.end().await;
}

#[tokio::test]
async fn products_that_vanish_take_no_marketing_licence_away() {
    let mut world = paged(10).await;
    let without = world.tenant().skus();
    let mut skus = without.clone();
    skus[0].plans.push((
        "a3a4fa10-5092-401a-af30-0462a95a7ac8".to_owned(),
        "DYN365_MARKETING_APP".to_owned(),
        true,
    ));
    world.tenant().set_skus(skus);
    let users = staff(&world, 3);
    world.sync_completely().await;
    for user in &users {
        unlicense(&world, *user);
    }
    world.sync_completely().await;
    assert_nobody_disabled(&world).await;
    forever(&world, When::path(SKUS), nobody());
    let report = world.sync().await;
    assert_held_back(&world, &report, "the tenant lists no product with a plan").await;
    assert_eq!(report.environments[0].held, 3);
    assert_lasts(&mut world, "no product").await;
    heal(&world);
    forever(
        &world,
        When::path(SKUS),
        entries(|sku| sku["servicePlans"] = Value::Null),
    );
    world.advance(HOLD);
    let report = world.sync().await;
    assert_held_back(&world, &report, "the tenant lists no product with a plan").await;
    heal(&world);
    world.advance(HOLD);
    assert_heals(&world).await;
    // A product that is gone from a list that holds others is the directory's word.
    world.tenant().set_skus(without);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 3);
    world.end().await;
}

#[tokio::test]
async fn everything_at_once_in_two_environments_and_several_lives_disables_nobody() {
    let environments = vec![guarded_environment(ENVIRONMENT, GATE), open_environment("sandbox")];
    let mut world = paged_with(environments, 3).await;
    let users = staff(&world, 25);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    let admins: Vec<Uuid> = ["One", "Two"]
        .into_iter()
        .map(|name| world.tenant().add_user(User::named("Admin", name)))
        .collect();
    for admin in &admins {
        world.tenant().assign_role(GLOBAL_ADMINISTRATOR, *admin, "/");
    }
    world.sync_completely().await;
    let everybody = world
        .number("select count(*) from rollcall.system_user where not isdisabled")
        .await;

    forever(&world, When::path(MEMBERS), nobody());
    forever(&world, When::path(ROLES), nobody());
    let without = entries(|user| drop(user.as_object_mut().unwrap().remove("assignedPlans")));
    forever(&world, When::path(USERS), without);
    world.tenant().expire_tokens(TokenDeath::Gone);
    for hour in 0..100 {
        if hour % 7 == 0 {
            restart(&mut world).await;
        }
        if hour % 11 == 5 {
            // Half of it heals for a cycle, and is broken again.
            heal(&world);
            forever(&world, When::path(ROLES), nobody());
            world.sync().await;
            forever(&world, When::path(MEMBERS), nobody());
            let without = entries(|user| drop(user.as_object_mut().unwrap().remove("assignedPlans")));
            forever(&world, When::path(USERS), without);
            world.tenant().expire_tokens(TokenDeath::Gone);
        }
        world.sync().await;
        assert_nobody_disabled(&world).await;
        world.advance(Duration::from_hours(1));
    }
    assert!(world.findings().await.contains(&"removals_held sandbox".to_owned()));
    heal(&world);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.advance(HOLD);
    assert_heals(&world).await;
    let now = world
        .number("select count(*) from rollcall.system_user where not isdisabled")
        .await;
    assert_eq!(now, everybody);
    world.end().await;
}
