//! Doubt is not evidence (rules.md, section 11): what may be a fault of the reading disables nobody by itself.

use rollcall::domain::licence::{Catalogue, Category};
use rollcall::simulator::tenant::{Profile, TokenDeath, User};
use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::RunOutcome;
use rollcall::sync::guard::approval::Decision;
use uuid::Uuid;

use crate::guard::{ENV, block, crowd, decide, disabled, held_set, without_marketing};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const PLAN: Uuid = Uuid::from_u128(0x5a1e);

/// Users licensed by a plan that the configuration has moved to `full`, and then has not.
async fn forgotten_plan(users: usize) -> World {
    let mut world = World::with(vec![open_environment(ENV)], SimulatorSettings::default(), NO_LIMITS).await;
    without_marketing(world.tenant());
    for number in 0..users {
        let user = User::named("User", &number.to_string()).with_plans(&[PLAN]);
        world.tenant().add_user(user);
    }
    world.configure(|settings| settings.catalogue = Catalogue::builtin().with_overrides(&[(PLAN, Category::Full)]));
    assert_eq!(world.sync_completely().await.environments[0].created, users as u64);
    world.configure(|settings| settings.catalogue = Catalogue::builtin());
    world
}

#[tokio::test]
async fn a_catalogue_that_suddenly_matches_nobody_disables_nobody_from_20_on() {
    let world = forgotten_plan(20).await;
    let report = world.sync().await;
    assert_eq!(
        (report.outcome, report.environments[0].held),
        (RunOutcome::Incomplete, 20)
    );
    assert!(disabled(&world).await.is_empty());
    assert!(
        held_set(&world, report.run)
            .await
            .why
            .contains("nobody has a licence any more")
    );
    assert_eq!(
        decide(&world, report.run, Decision::Approve).await.unwrap(),
        20,
        "a person may"
    );
    world.end().await;

    let world = forgotten_plan(19).await;
    assert_eq!(
        world.sync_completely().await.environments[0].disabled,
        19,
        "fewer may be no fault"
    );
    world.end().await;
}

#[tokio::test]
async fn an_empty_listing_of_a_group_that_had_members_is_held() {
    let mut world = World::with(vec![open_environment(ENV)], SimulatorSettings::default(), NO_LIMITS).await;
    let tenant = world.tenant().clone();
    let group = tenant.create_group("users");
    let users: Vec<Uuid> = (0..3).map(|n| licensed(&tenant, "User", &n.to_string())).collect();
    tenant.add_members(group, users.iter().copied());
    world.configure(|settings| settings.environments[0].0 = guarded_environment(ENV, group));
    world.sync_completely().await;
    // Removals that a delta names one by one are evidence.
    tenant.remove_member(group, users[0]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
    // A listing after a dead token names nobody.
    for user in &users[1..] {
        tenant.remove_member(group, *user);
    }
    tenant.expire_tokens(TokenDeath::Gone);
    let report = world.sync().await;
    assert_eq!(
        (report.outcome, report.environments[0].held),
        (RunOutcome::Incomplete, 2),
        "{report:?}"
    );
    assert_eq!(disabled(&world).await.len(), 1);
    assert_eq!(decide(&world, report.run, Decision::Approve).await.unwrap(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_group_that_is_gone_is_not_an_empty_one() {
    let mut world = World::with(vec![open_environment(ENV)], SimulatorSettings::default(), NO_LIMITS).await;
    let tenant = world.tenant().clone();
    let group = tenant.create_group("users");
    let ada = licensed(&tenant, "Ada", "Lovelace");
    let grace = licensed(&tenant, "Grace", "Hopper");
    tenant.add_members(group, [ada, grace]);
    world.configure(|settings| settings.environments[0].0 = guarded_environment(ENV, group));
    world.sync_completely().await;
    tenant.delete_group(group);
    block(&world, &[grace]);
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Incomplete);
    assert!(!world.row(ENV, ada).await.unwrap().isdisabled);
    let blocked = world.row(ENV, grace).await.unwrap();
    assert_eq!(
        blocked.disabledreason.as_deref(),
        Some("directory_account_disabled"),
        "that is no doubt"
    );
    assert_eq!(world.findings().await, ["directory_unavailable production"]);
    world.end().await;
}

#[tokio::test]
async fn roles_that_cannot_be_read_disable_nobody_until_they_can() {
    let (world, users) = crowd(3, NO_LIMITS).await;
    world.tenant().give_profile(users[0], Profile::Unlicensed);
    block(&world, &users[1..2]);
    world.simulator.faults().push(Fault::forever(
        When::path("/roleManagement/directory/roleAssignments"),
        Effect::error(403, "Authorization_RequestDenied"),
    ));
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Incomplete);
    assert_eq!(
        disabled(&world).await,
        [users[1]].into(),
        "the directory's own word stands"
    );
    world.simulator.faults().clear();
    world.sync_completely().await;
    assert_eq!(disabled(&world).await, [users[0], users[1]].into());
    assert!(world.findings().await.is_empty());
    world.end().await;
}
