//! Section 11 of the rules: the guard, held sets and that runs go on. What people decide is in `approval`.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::domain::removal::HeldSet;
use rollcall::plan::guard::Limits;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{Profile, Tenant};
use rollcall::store::removals;
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{GuardError, Report, RunOutcome};
use uuid::Uuid;

use crate::world::{World, licensed, open_environment};

pub const ENV: &str = "production";
pub const HOUR: Duration = Duration::from_hours(1);

/// The founding tenant has bought a Marketing product, under which nobody is unlicensed.
pub fn without_marketing(tenant: &Tenant) {
    let mut skus = tenant.skus();
    skus.retain(|sku| sku.part_number != "DYN365_BUSINESS_MARKETING");
    tenant.set_skus(skus);
}

pub fn limits(max_disables: u32, max_disable_percent: f64) -> Limits {
    Limits {
        max_disables,
        max_disable_percent,
    }
}

/// A stage with some licensed users who have their rows, one environment.
pub async fn crowd(size: usize, limits: Limits) -> (World, Vec<Uuid>) {
    let world = World::with(vec![open_environment(ENV)], SimulatorSettings::default(), limits).await;
    without_marketing(world.tenant());
    let users = (0..size)
        .map(|number| licensed(world.tenant(), "User", &format!("Number {number}")))
        .collect();
    world.sync_completely().await;
    (world, users)
}

pub fn block(world: &World, users: &[Uuid]) {
    for user in users {
        assert!(
            world
                .tenant()
                .update_user(*user, |user| user.account_enabled = Some(false))
        );
    }
}

pub fn allow(world: &World, users: &[Uuid]) {
    for user in users {
        assert!(
            world
                .tenant()
                .update_user(*user, |user| user.account_enabled = Some(true))
        );
    }
}

pub async fn disabled(world: &World) -> BTreeSet<Uuid> {
    let rows = world.rows(ENV).await;
    rows.into_iter()
        .filter(|(_, row)| row.isdisabled)
        .map(|(id, _)| id)
        .collect()
}

pub fn set(users: &[Uuid]) -> BTreeSet<Uuid> {
    users.iter().copied().collect()
}

pub async fn open_sets(world: &World) -> Vec<HeldSet> {
    let mut db = world.engine.store.read().await.unwrap();
    removals::sets(&mut db, None, &world.engine.settings.names())
        .await
        .unwrap()
}

pub async fn held_set(world: &World, run: i64) -> HeldSet {
    let mut db = world.engine.store.read().await.unwrap();
    removals::sets(&mut db, Some(run), &world.engine.settings.names())
        .await
        .unwrap()
        .pop()
        .unwrap()
}

pub async fn held_ids(world: &World, run: i64) -> BTreeSet<Uuid> {
    let mut db = world.engine.store.read().await.unwrap();
    removals::held_ids(&mut db, ENV, run)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

pub async fn decide(world: &World, run: i64, decision: Decision) -> Result<u64, GuardError> {
    let decisions = world.engine.guard().decide(run, None, decision, "grace").await?;
    Ok(decisions
        .environments
        .iter()
        .map(|decided| decided.counts.disabled)
        .sum())
}

/// A run whose removals are held, with the number of them.
pub async fn sync_held(world: &World, held: u64) -> Report {
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Held, "{report:?}");
    assert_eq!(
        (report.environments[0].held, report.environments[0].disabled),
        (held, 0)
    );
    report
}

#[tokio::test]
async fn the_guard_holds_by_number_and_never_a_part_of_it() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    block(&world, &users[..2]);
    assert_eq!(
        world.sync_completely().await.environments[0].disabled,
        2,
        "as many as allowed"
    );
    world.advance(25 * HOUR);
    block(&world, &users[2..5]);
    let report = sync_held(&world, 3).await;
    assert_eq!(disabled(&world).await, set(&users[..2]));
    let held = held_set(&world, report.run).await;
    assert_eq!((held.environment.as_str(), held.rows, held.decision), (ENV, 3, None));
    assert!(held.why.contains("max_disables = 2"), "{}", held.why);
    assert!(
        held.why.contains("directory_account_disabled 3"),
        "the causes: {}",
        held.why
    );
    assert_eq!(held_ids(&world, report.run).await, set(&users[2..5]));
    assert_eq!(world.findings().await, ["removals_held production"]);
    world.end().await;
}

#[tokio::test]
async fn the_guard_holds_by_percent_from_20_rows_on() {
    let (world, users) = crowd(19, limits(100, 10.0)).await;
    block(&world, &users[..5]);
    assert_eq!(
        world.sync_completely().await.environments[0].disabled,
        5,
        "too few for a percentage"
    );
    world.end().await;

    let (world, users) = crowd(20, limits(100, 10.0)).await;
    block(&world, &users[..3]);
    let report = sync_held(&world, 3).await;
    assert!(
        held_set(&world, report.run)
            .await
            .why
            .contains("max_disable_percent = 10")
    );
    allow(&world, &users[..1]);
    world.sync_completely().await;
    assert_eq!(disabled(&world).await, set(&[]), "the set stays a set, smaller");
    world.end().await;

    let (world, users) = crowd(20, limits(100, 10.0)).await;
    block(&world, &users[..2]);
    assert_eq!(
        world.sync_completely().await.environments[0].disabled,
        2,
        "a tenth is allowed"
    );
    world.end().await;
}

#[tokio::test]
async fn the_guard_counts_the_trailing_24_hours() {
    let (world, users) = crowd(9, limits(3, 100.0)).await;
    block(&world, &users[..2]);
    world.sync_completely().await;
    world.advance(23 * HOUR);
    block(&world, &users[2..3]);
    world.sync_completely().await;
    block(&world, &users[3..5]);
    let first = sync_held(&world, 2).await;
    assert!(
        held_set(&world, first.run)
            .await
            .why
            .contains("2 removals and 3 within the last 24 hours")
    );
    world.advance(2 * HOUR);
    // The first two count no more, and what is held already is not counted again.
    block(&world, &users[5..7]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 2);
    assert_eq!(held_ids(&world, first.run).await, set(&users[3..5]));
    world.end().await;
}

#[tokio::test]
async fn what_people_do_by_hand_does_not_count() {
    let (world, users) = crowd(6, limits(2, 100.0)).await;
    world
        .execute("update rollcall.system_user set isdisabled = true where firstname = 'User' and lastname < 'Number 3'")
        .await;
    block(&world, &users[3..5]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 2);
    world.end().await;
}

#[tokio::test]
async fn held_rows_stay_enabled_and_everything_else_is_written() {
    let (world, users) = crowd(5, limits(1, 100.0)).await;
    let before = world.row(ENV, users[0]).await.unwrap();
    world.tenant().soft_delete(users[0]);
    world.tenant().give_profile(users[1], Profile::Unlicensed);
    world
        .tenant()
        .update_user(users[1], |user| user.city = Some("London".to_owned()));
    // All that is no removal goes through: an update, a new user, and one who takes the freed name.
    world
        .tenant()
        .update_user(users[2], |user| user.city = Some("Paris".to_owned()));
    let heir = licensed(world.tenant(), "User", "Heir");
    world
        .tenant()
        .update_user(heir, |user| user.user_principal_name.clone_from(&before.domainname));
    sync_held(&world, 2).await;

    let deleted = world.row(ENV, users[0]).await.unwrap();
    assert!(!deleted.isdisabled && deleted.disabledreason.is_none() && deleted.disabled_by.is_none());
    assert_eq!(
        (deleted.azurestate, deleted.azuredeletedon),
        (1, Some(world.clock.now()))
    );
    let unlicensed = world.row(ENV, users[1]).await.unwrap();
    assert!(!unlicensed.isdisabled && !unlicensed.islicensed);
    assert_eq!(unlicensed.address1_city.as_deref(), Some("London"));
    assert_eq!(
        world.row(ENV, users[2]).await.unwrap().address1_city.as_deref(),
        Some("Paris")
    );
    let heir = world.row(ENV, heir).await.unwrap();
    assert_eq!(
        (heir.domainname, heir.isdisabled),
        (before.domainname, false),
        "the name is free"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn enables_go_through_while_removals_are_held() {
    let (world, users) = crowd(5, limits(1, 100.0)).await;
    block(&world, &users[..1]);
    world.sync_completely().await;
    allow(&world, &users[..1]);
    block(&world, &users[1..4]);
    let report = sync_held(&world, 3).await;
    assert_eq!(report.environments[0].enabled, 1);
    assert!(disabled(&world).await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn later_runs_go_on_and_new_removals_join_a_new_set() {
    let (world, users) = crowd(8, limits(1, 100.0)).await;
    block(&world, &users[..2]);
    let first = sync_held(&world, 2).await;
    block(&world, &users[2..4]);
    world
        .tenant()
        .update_user(users[0], |user| user.city = Some("London".to_owned()));
    let second = sync_held(&world, 2).await;
    assert_eq!(second.environments[0].updated, 1, "held rows follow the directory");
    assert_eq!(held_ids(&world, first.run).await, set(&users[..2]));
    assert_eq!(held_ids(&world, second.run).await, set(&users[2..4]));
    block(&world, &users[4..5]);
    assert_eq!(
        world.sync_completely().await.environments[0].disabled,
        1,
        "one is allowed"
    );
    assert_eq!(decide(&world, second.run, Decision::Approve).await.unwrap(), 2);
    assert_eq!(disabled(&world).await, set(&users[2..5]));
    assert_eq!(open_sets(&world).await.len(), 1);
    world.end().await;
}
