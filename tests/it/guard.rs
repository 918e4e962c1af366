//! Section 11 of the rules: the guard, held sets and what people decide about them. `dry_run` is next door.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::plan::guard::Limits;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{Profile, Tenant, User};
use rollcall::store::removals::{self, HeldSet};
use rollcall::sync::approval::Decision;
use rollcall::sync::cycle::Request;
use rollcall::sync::{Outcome, Report, SyncError};
use uuid::Uuid;

use crate::world::{World, guarded_environment, licensed, open_environment};

const ENV: &str = "production";
const HOUR: Duration = Duration::from_hours(1);

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

fn allow(world: &World, users: &[Uuid]) {
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

fn set(users: &[Uuid]) -> BTreeSet<Uuid> {
    users.iter().copied().collect()
}

async fn open_sets(world: &World) -> Vec<HeldSet> {
    let mut db = world.engine.store.read().await.unwrap();
    removals::sets(&mut db, None).await.unwrap()
}

async fn held_set(world: &World, run: i64) -> HeldSet {
    let mut db = world.engine.store.read().await.unwrap();
    removals::sets(&mut db, Some(run)).await.unwrap().pop().unwrap()
}

async fn held_ids(world: &World, run: i64) -> BTreeSet<Uuid> {
    let mut db = world.engine.store.read().await.unwrap();
    removals::held_ids(&mut db, ENV, run)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

async fn decide(world: &World, run: i64, decision: Decision) -> Result<u64, SyncError> {
    let counts = world.engine.decide(run, None, decision, "grace").await?;
    Ok(counts.iter().map(|counts| counts.disabled).sum())
}

/// A run whose removals are held, with the number of them.
async fn sync_held(world: &World, held: u64) -> Report {
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held, "{report:?}");
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
async fn approval_applies_the_set_and_nothing_else() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let held = sync_held(&world, 4).await;
    // One qualifies again, one more has lost its account since: neither is in what was approved.
    allow(&world, &users[..1]);
    world.sync_completely().await;
    block(&world, &users[5..6]);
    assert_eq!(decide(&world, held.run, Decision::Approve).await.unwrap(), 3);
    assert_eq!(disabled(&world).await, set(&users[1..4]));
    let decided = held_set(&world, held.run).await;
    assert_eq!(decided.decision.as_deref(), Some("approved"));
    assert_eq!((decided.decided_by.as_deref(), decided.rows), (Some("grace"), 0));
    let lines = world
        .strings(
            "select concat_ws(' ', actor, operation, reason, by_rule) from rollcall.system_user_change
             where operation = 'disable'",
        )
        .await;
    assert_eq!(lines, ["grace disable directory_account_disabled f"; 3]);
    for user in &users[1..4] {
        assert_eq!(
            world.row(ENV, *user).await.unwrap().disabled_by.as_deref(),
            Some("sync")
        );
    }
    // Approved removals do not use up the limit.
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    let again = decide(&world, held.run, Decision::Approve).await;
    assert!(matches!(again, Err(SyncError::NothingHeld(_))));
    world.end().await;
}

#[tokio::test]
async fn approval_judges_each_row_at_that_moment() {
    let (world, users) = crowd(4, limits(1, 100.0)).await;
    block(&world, &users[..3]);
    let held = sync_held(&world, 3).await;
    // Before the next cycle: one row was disabled by hand, one was written to by somebody.
    world
        .execute("update rollcall.system_user set isdisabled = true where lastname = 'Number 0'")
        .await;
    world
        .execute("update rollcall.system_user set company = 'x' where lastname = 'Number 1'")
        .await;
    assert_eq!(decide(&world, held.run, Decision::Approve).await.unwrap(), 2);
    let by_hand = world.row(ENV, users[0]).await.unwrap();
    assert_eq!(by_hand.disabledreason.as_deref(), Some("disabled_by_hand"));
    world.end().await;
}

#[tokio::test]
async fn approval_can_name_one_environment() {
    let environments = vec![open_environment(ENV), open_environment("sandbox")];
    let world = World::with(environments, SimulatorSettings::default(), limits(1, 100.0)).await;
    let users: Vec<Uuid> = (0..3)
        .map(|n| licensed(world.tenant(), "User", &n.to_string()))
        .collect();
    world.sync_completely().await;
    block(&world, &users[..2]);
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    let counts = world
        .engine
        .decide(report.run, Some("sandbox"), Decision::Approve, "grace")
        .await
        .unwrap();
    assert_eq!((counts.len(), counts[0].disabled), (1, 2));
    assert!(disabled(&world).await.is_empty(), "production still waits");
    assert_eq!(open_sets(&world).await.len(), 1);
    let unknown = world
        .engine
        .decide(report.run, Some("elsewhere"), Decision::Approve, "grace")
        .await;
    assert!(matches!(unknown, Err(SyncError::NothingHeld(_))));
    world.end().await;
}

#[tokio::test]
async fn a_rejected_row_stays_enabled_until_its_cause_changes() {
    let (world, users) = crowd(4, limits(1, 100.0)).await;
    block(&world, &users[..2]);
    let held = sync_held(&world, 2).await;
    decide(&world, held.run, Decision::Reject).await.unwrap();
    assert_eq!(held_set(&world, held.run).await.decision.as_deref(), Some("rejected"));
    world.assert_settled().await;
    world.advance(25 * HOUR);
    let full = world
        .run(Request {
            full: true,
            ..Request::default()
        })
        .await
        .unwrap();
    assert_eq!(
        (full.outcome, full.environments[0].disabled),
        (Outcome::Complete, 0),
        "not even when everyone is judged"
    );
    // Another cause is another matter.
    world.tenant().soft_delete(users[0]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
    // So is the same one, once it had gone.
    world.advance(25 * HOUR);
    allow(&world, &users[1..2]);
    world.sync_completely().await;
    block(&world, &users[1..2]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
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

#[tokio::test]
async fn a_set_expires_and_its_rows_are_judged_anew() {
    let (world, users) = crowd(6, limits(1, 100.0)).await;
    block(&world, &users[..2]);
    let first = sync_held(&world, 2).await;
    assert_eq!(
        held_set(&world, first.run).await.expires_at,
        world.clock.now() + chrono::Duration::hours(72)
    );
    world.advance(71 * HOUR);
    world.sync_completely().await;
    assert_eq!(held_ids(&world, first.run).await.len(), 2);
    world.advance(HOUR);
    let late = decide(&world, first.run, Decision::Approve).await;
    assert!(matches!(late, Err(SyncError::NothingHeld(_))), "its time is over");
    let second = sync_held(&world, 2).await;
    assert_eq!(held_set(&world, first.run).await.decision.as_deref(), Some("expired"));
    assert_eq!(held_ids(&world, second.run).await, set(&users[..2]));
    assert_eq!(decide(&world, second.run, Decision::Approve).await.unwrap(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_set_closes_by_itself_when_the_directory_changed_back() {
    let (world, users) = crowd(4, limits(1, 100.0)).await;
    block(&world, &users[..2]);
    let held = sync_held(&world, 2).await;
    allow(&world, &users[..1]);
    world.sync_completely().await;
    assert_eq!(held_set(&world, held.run).await.decision, None);
    allow(&world, &users[1..2]);
    world.sync_completely().await;
    assert_eq!(
        held_set(&world, held.run).await.decision.as_deref(),
        Some("changed_back")
    );
    assert!(world.findings().await.is_empty(), "and so does its finding");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_approved_removal_that_is_in_doubt_is_judged_again() {
    let mut world = World::with(
        vec![open_environment(ENV)],
        SimulatorSettings::default(),
        limits(1, 100.0),
    )
    .await;
    let tenant = world.tenant().clone();
    let group = tenant.create_group("users");
    let users: Vec<Uuid> = (0..4).map(|n| licensed(&tenant, "User", &n.to_string())).collect();
    tenant.add_members(group, users.iter().copied());
    world.configure(|settings| settings.environments[0].0 = guarded_environment(ENV, group));
    world.sync_completely().await;
    for user in &users[..2] {
        tenant.remove_member(group, *user);
    }
    let held = sync_held(&world, 2).await;
    world
        .execute("update rollcall.checkpoint set readable = false where source like 'group:%'")
        .await;
    assert_eq!(
        decide(&world, held.run, Decision::Approve).await.unwrap(),
        0,
        "in doubt nobody is disabled"
    );
    world.execute("update rollcall.checkpoint set readable = true").await;
    sync_held(&world, 2).await;
    world.end().await;
}

#[tokio::test]
async fn a_grace_that_is_over_does_not_begin_anew_while_the_row_is_held() {
    let (mut world, _) = crowd(0, limits(1, 100.0)).await;
    let users: Vec<Uuid> = (0..3)
        .map(|n| world.tenant().add_user(User::named("Pass", &n.to_string())))
        .collect();
    for user in &users {
        world.tenant().give_profile(*user, Profile::E5PowerApps);
    }
    world.sync_completely().await;
    world.configure(|settings| settings.environments[0].0.app_pass_capacity = 3);
    for user in &users {
        world.tenant().give_profile(*user, Profile::Unlicensed);
    }
    world.sync_completely().await;
    assert!(disabled(&world).await.is_empty(), "on demand rights keep a row");
    world.configure(|settings| settings.environments[0].0.app_pass_capacity = 0);
    world.sync_completely().await;
    world.advance(6 * 24 * HOUR);
    world.sync_completely().await;
    assert!(disabled(&world).await.is_empty(), "within the grace");
    world.advance(24 * HOUR);
    let held = sync_held(&world, 3).await;
    world.advance(25 * HOUR);
    world.sync_completely().await;
    assert_eq!(decide(&world, held.run, Decision::Approve).await.unwrap(), 3);
    let row = world.row(ENV, users[0]).await.unwrap();
    assert_eq!(row.disabledreason.as_deref(), Some("app_pass_exhausted"));
    world.assert_settled().await;
    world.end().await;
}
