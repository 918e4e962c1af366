//! The sources disagree, over several cycles: groups, licences, administrators and people vanish, half or whole, with
//! restarts in between, and in two environments at once. Whatever is in doubt disables nobody, not even when it lasts
//! longer than a held set does, says why in a finding, and heals by itself (rules.md, section 11).

mod rights;

use std::time::Duration;

use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::{Profile, TokenDeath};
use rollcall::simulator::{Effect, Settings as SimulatorSettings, When};
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{Report, RunOutcome};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ENVIRONMENT, GATE, USERS, assert_all_enabled, forever, gate, heal, listed, nobody, once, paged, restart, row,
    staff, sync_incompletely, unlicense,
};
use crate::world::{World, licensed, open_environment};

const MEMBERS: &str = "/groups/{id}/members";
/// How long a held set waits.
const HOLD: Duration = Duration::from_hours(72);
const WITH_PLANS: &str = "select count(*) from rollcall.directory_user d
     join rollcall.plan_set p on p.id = d.plan_set where cardinality(p.plans) > 0";
const DISABLED: &str = "select count(*) from rollcall.system_user
     where isdisabled and azureactivedirectoryobjectid is not null";

/// Changes every entry of a page.
fn entries(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Effect {
    Effect::rewrite(move |page| page["value"].as_array_mut().into_iter().flatten().for_each(&change))
}

/// Nobody is disabled, and a finding tells why.
async fn assert_held_back(world: &World, report: &Report, why: &str) {
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    assert_nobody_disabled(world).await;
    assert!(
        report.problems.iter().any(|problem| problem.contains(why)),
        "{why} in {:?}",
        report.problems
    );
    let findings = details(world).await;
    assert!(
        findings.iter().any(|detail| detail.contains(why)),
        "{why} in {findings:?}"
    );
}

async fn assert_nobody_disabled(world: &World) {
    assert_eq!(world.number(DISABLED).await, 0);
}

/// What the open findings say.
async fn details(world: &World) -> Vec<String> {
    world
        .strings("select detail from rollcall.finding where closed_at is null order by detail")
        .await
}

/// The doubt lasts: cycle by cycle, over restarts, and past the end of three held sets. `why` is told all the time.
async fn assert_lasts(world: &mut World, why: &str) {
    for _ in 0..3 {
        for _ in 0..2 {
            restart(world).await;
            world.sync().await;
            assert_nobody_disabled(world).await;
            let told = details(world).await;
            assert!(told.iter().any(|detail| detail.contains(why)), "{why} in {told:?}");
        }
        world.advance(HOLD);
        let report = world.sync().await;
        assert_held_back(world, &report, why).await;
    }
}

/// The source is sound again: nobody lost anything, nothing is held or told any more.
async fn assert_heals(world: &World) {
    world.sync_completely().await;
    world.assert_settled().await;
    assert_nobody_disabled(world).await;
    assert_eq!(world.findings().await, Vec::<String>::new());
    assert_eq!(world.number("select count(*) from rollcall.removal").await, 0);
}

#[tokio::test]
async fn a_group_that_stays_empty_disables_nobody_however_often_its_set_expires() {
    let (mut world, users) = gate(4).await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(&world, When::path(MEMBERS), nobody());
    let report = world.sync().await;
    assert_held_back(&world, &report, "came back empty, where it had 4 members").await;
    assert_lasts(&mut world, "came back empty").await;
    heal(&world);
    world.advance(HOLD);
    assert_heals(&world).await;
    assert_all_enabled(&world, &users).await;
    world.end().await;
}

#[tokio::test]
async fn a_person_ends_the_doubt_of_a_group_that_is_empty_indeed() {
    let (world, users) = gate(3).await;
    for user in &users {
        world.tenant().remove_member(GATE, *user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    sync_incompletely(&world).await;
    world.advance(HOLD);
    let again = sync_incompletely(&world).await;
    assert_eq!(again.environments[0].held, 3, "the new set is as large as the old one");
    let guard = world.engine.guard();
    let decide = guard.decide(again.run, None, Decision::Approve, "admin");
    assert_eq!(decide.await.unwrap().environments[0].counts.disabled, 3);
    for _ in 0..2 {
        world.assert_settled().await;
        world.advance(HOLD);
    }
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_group_that_vanishes_or_is_closed_and_comes_back_loses_nobody_between() {
    let (mut world, users) = gate(4).await;
    for effect in [
        Effect::error(404, "Request_ResourceNotFound"),
        Effect::error(403, "Authorization_RequestDenied"),
    ] {
        // Its listing and its changes alike; and after that it is empty at first.
        forever(&world, When::path("/groups/"), effect);
        world.tenant().expire_tokens(TokenDeath::Gone);
        for _ in 0..3 {
            restart(&mut world).await;
            let report = sync_incompletely(&world).await;
            assert_eq!(report.environments[0].held, 0, "whoever cannot be read is not judged");
            assert_all_enabled(&world, &users).await;
            assert!(
                world
                    .findings()
                    .await
                    .contains(&"directory_unavailable production".to_owned())
            );
            world.advance(HOLD);
        }
        heal(&world);
        once(&world, When::path(MEMBERS), nobody());
        let report = world.sync().await;
        assert_held_back(&world, &report, "came back empty").await;
        assert_heals(&world).await;
    }
    assert_all_enabled(&world, &users).await;
    world.end().await;
}

#[tokio::test]
async fn a_tenant_that_answers_an_empty_first_page_loses_nobody_however_long() {
    let mut world = listed(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(&world, When::endpoint("/users"), nobody());
    let report = world.sync().await;
    assert_held_back(&world, &report, "the directory listed nobody, where there had been 5").await;
    assert_lasts(&mut world, "listed nobody").await;
    heal(&world);
    world.advance(HOLD);
    assert_heals(&world).await;
    assert_all_enabled(&world, &users).await;
    assert!(world.rows(ENVIRONMENT).await.values().all(|row| row.azurestate == 0));
    world.end().await;
}

#[tokio::test]
async fn licences_that_are_left_out_for_everybody_disable_nobody_however_long() {
    let mut world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().expire_tokens(TokenDeath::Gone);
    // The round breaks off before its last page, dies, and begins anew: by then it has overwritten most of what it is
    // compared with.
    let last_page = super::page(3);
    once(&world, last_page, Effect::NoLink);
    let without = entries(|user| drop(user.as_object_mut().unwrap().remove("assignedPlans")));
    forever(&world, When::path(USERS), without);
    sync_incompletely(&world).await;
    assert_eq!(world.number(WITH_PLANS).await, 1, "the one on the last page");
    unlicense(&world, users[4]);
    world.tenant().expire_page_tokens();
    let report = world.sync().await;
    assert_held_back(&world, &report, "no user that was listed has its plans any more").await;
    assert_lasts(&mut world, "has its plans").await;
    heal(&world);
    world.tenant().give_profile(users[4], Profile::E5PowerApps);
    world.advance(HOLD);
    assert_heals(&world).await;
    assert_all_enabled(&world, &users).await;
    assert!(world.rows(ENVIRONMENT).await.values().all(|row| row.islicensed));
    world.end().await;
}

#[tokio::test]
async fn a_null_where_plans_belong_is_no_loss_of_them_for_one_few_or_most() {
    let world = paged(50).await;
    let users = staff(&world, 30);
    world.sync_completely().await;
    let null = || entries(|user| user["assignedPlans"] = Value::Null);
    for changed in [1, 5, 19] {
        for user in &users[..changed] {
            world.tenant().replay_user(*user);
        }
        once(&world, When::path(USERS), null());
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        assert!(row(&world, users[0]).await.islicensed);
    }
    // For most in a full round, where absent means none, the limits of the guard decide: see below. A null never does.
    let most: Vec<String> = users[..28].iter().map(Uuid::to_string).collect();
    let withdrawn = entries(move |user| {
        if most.iter().any(|id| user["id"] == id.as_str()) {
            user["assignedPlans"] = Value::Null;
        }
    });
    world.tenant().expire_tokens(TokenDeath::Gone);
    once(&world, When::path(USERS).after(1), withdrawn);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    // An empty collection is a word.
    unlicense(&world, users[0]);
    assert_eq!(world.sync_completely().await.environments[0].disabled, 1);
    world.end().await;
}

#[tokio::test]
async fn plans_left_out_for_most_are_held_by_the_guard_and_come_back() {
    let limits = Limits {
        max_disables: 100,
        max_disable_percent: 10.0,
    };
    let simulator = SimulatorSettings::default();
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, limits).await;
    let users = staff(&world, 30);
    world.sync_completely().await;
    let most: Vec<String> = users[..28].iter().map(Uuid::to_string).collect();
    let withdrawn = entries(move |user| {
        if most.iter().any(|id| user["id"] == id.as_str()) {
            user.as_object_mut().unwrap().remove("assignedPlans");
        }
    });
    world.tenant().expire_tokens(TokenDeath::Gone);
    once(&world, When::endpoint("/users"), withdrawn);
    let report = world.sync().await;
    assert_eq!((report.outcome, report.environments[0].held), (RunOutcome::Held, 28));
    assert_nobody_disabled(&world).await;
    assert!(details(&world).await[0].contains("max_disable_percent = 10"));
    world.tenant().expire_tokens(TokenDeath::Gone);
    assert_heals(&world).await;
    world.end().await;
}

#[tokio::test]
async fn a_catalogue_that_matches_nobody_any_more_does_not_become_a_fact_in_small_pieces() {
    let world = paged(50).await;
    let users = staff(&world, 24);
    world.sync_completely().await;
    for user in &users[..20] {
        unlicense(&world, *user);
    }
    world.sync_completely().await;
    assert_eq!(
        world.number(DISABLED).await,
        20,
        "four still have one: these have lost theirs"
    );
    let world = paged(50).await;
    let users = staff(&world, 24);
    world.sync_completely().await;
    for user in &users {
        unlicense(&world, *user);
    }
    let report = sync_incompletely(&world).await;
    assert_eq!(report.environments[0].held, 24);
    // Somebody comes, and loses hers with the next reading: one alone would be no doubt.
    let late = licensed(world.tenant(), "Late", "Comer");
    world.sync_completely().await;
    unlicense(&world, late);
    let report = world.sync().await;
    assert_held_back(&world, &report, "nobody has a licence any more").await;
    world.advance(HOLD);
    let report = world.sync().await;
    assert_held_back(&world, &report, "nobody has a licence any more").await;
    for user in users.iter().chain([&late]) {
        world.tenant().give_profile(*user, Profile::E5PowerApps);
    }
    assert_heals(&world).await;
    world.end().await;
}
