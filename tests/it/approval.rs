//! Section 11 of the rules: what people decide about held sets, and what becomes of a set that nobody decides.

use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{GuardError, RunOutcome};
use uuid::Uuid;

use crate::guard::{
    ENV, HOUR, allow, block, crowd, decide, disabled, held_ids, held_set, limits, open_sets, set, sync_held,
};
use crate::world::{World, guarded_environment, licensed, open_environment};

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
    assert!(matches!(again, Err(GuardError::NothingHeld(_))));
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
    assert_eq!(report.outcome, RunOutcome::Held);
    let decisions = world
        .engine
        .guard()
        .decide(report.run, Some("sandbox"), Decision::Approve, "grace")
        .await
        .unwrap();
    let decided = &decisions.environments;
    assert_eq!((decided.len(), decided[0].counts.disabled), (1, 2));
    assert!(disabled(&world).await.is_empty(), "production still waits");
    assert_eq!(open_sets(&world).await.len(), 1);
    let unknown = world
        .engine
        .guard()
        .decide(report.run, Some("elsewhere"), Decision::Approve, "grace")
        .await;
    assert!(matches!(unknown, Err(GuardError::NothingHeld(_))));
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
        (RunOutcome::Complete, 0),
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
    assert!(matches!(late, Err(GuardError::NothingHeld(_))), "its time is over");
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

#[tokio::test]
async fn an_approval_looks_the_set_up_in_the_directory_at_that_moment() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let held = sync_held(&world, 4).await;
    // No cycle has heard of this.
    allow(&world, &users[..1]);
    let decisions = world
        .engine
        .guard()
        .decide(held.run, None, Decision::Approve, "grace")
        .await;
    let decided = &decisions.unwrap().environments[0];
    assert_eq!((decided.counts.disabled, decided.dropped), (3, 1));
    assert_eq!(decided.directory.as_deref(), Some("fresh"));
    assert_eq!(disabled(&world).await, set(&users[1..4]));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_approval_that_cannot_ask_judges_by_the_mirror_and_says_so() {
    let (world, users) = crowd(8, limits(2, 100.0)).await;
    block(&world, &users[..4]);
    let held = sync_held(&world, 4).await;
    allow(&world, &users[..1]);
    for path in ["/$batch", "/users/"] {
        let down = Effect::error(503, "ServiceUnavailable");
        world.simulator.faults().push(Fault::forever(When::path(path), down));
    }
    let decisions = world
        .engine
        .guard()
        .decide(held.run, None, Decision::Approve, "grace")
        .await;
    let decided = &decisions.unwrap().environments[0];
    assert_eq!((decided.counts.disabled, decided.dropped), (4, 0));
    let directory = decided.directory.as_deref().unwrap();
    assert!(
        directory.starts_with("as of 2026-03-02 08:00:00 UTC: the mirror counts, since the directory did not answer"),
        "{directory}"
    );
    world.end().await;
}

#[tokio::test]
async fn a_set_of_more_than_a_thousand_rows_is_judged_by_the_mirror_and_the_answer_says_so() {
    let simulator = SimulatorSettings {
        users: 1_050,
        ..SimulatorSettings::default()
    };
    let world = World::with(vec![open_environment(ENV)], simulator, limits(1, 100.0)).await;
    let users = world.tenant().user_ids();
    for user in &users {
        world.tenant().give_profile(*user, Profile::E5PowerApps);
        world
            .tenant()
            .update_user(*user, |user| user.account_enabled = Some(true));
    }
    world.sync_completely().await;
    let rows: Vec<Uuid> = world.rows(ENV).await.into_keys().collect();
    assert!(rows.len() > 1_000, "{}", rows.len());
    block(&world, &rows);
    let held = sync_held(&world, rows.len() as u64).await;
    let _ = world.simulator.take_requests();
    let decisions = world
        .engine
        .guard()
        .decide(held.run, None, Decision::Approve, "grace")
        .await;
    let decided = &decisions.unwrap().environments[0];
    assert_eq!(decided.counts.disabled, rows.len() as u64);
    assert!(world.simulator.take_requests().is_empty());
    let directory = decided.directory.as_deref().unwrap();
    assert!(
        directory.contains("more than the 1000 that are looked up"),
        "{directory}"
    );
    world.end().await;
}
