//! Verification: what the feeds do not tell is found by listing again, confirmed, corrected and counted.

use std::time::Duration;

use rollcall::domain::drift::{Drift, RunVerification};
use rollcall::domain::feed::checkpoint::Verifications;
use rollcall::domain::scope::Scope;
use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::{Tenant, User};
use rollcall::simulator::{Carrying, Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::{CycleError, Failure, Report, RunOutcome};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::on_demand::{ENV, state};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed};

const GROUP: Uuid = Uuid::from_u128(0x6060);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const VERIFICATIONS: Verifications = Verifications {
    first: HOUR,
    every: DAY,
};

/// A synced stage behind a group, with licensed users in it and a tenant around them.
async fn stage(scope: Scope, members: usize, limits: Limits, simulator: SimulatorSettings) -> (World, Vec<Uuid>) {
    let mut world = World::with(vec![guarded_environment(ENV, GROUP)], simulator, limits).await;
    world.configure(|settings| {
        settings.scope = scope;
        settings.verifications = Some(VERIFICATIONS);
    });
    let tenant = world.tenant();
    tenant.create_group_with_id(GROUP, "All of production");
    let users: Vec<Uuid> = (0..members)
        .map(|number| licensed(tenant, &format!("Member{number}"), "Tester"))
        .collect();
    tenant.add_members(GROUP, users.iter().copied());
    world.sync_completely().await;
    (world, users)
}

fn small() -> SimulatorSettings {
    SimulatorSettings {
        users: 40,
        ..SimulatorSettings::default()
    }
}

/// A run that verifies, a day after the last one.
async fn verify(world: &World) -> RunVerification {
    world.advance(DAY);
    let report = world.sync_completely().await;
    report.verification.unwrap()
}

fn drift(users: u64, members: u64, properties: &[(&str, u64)]) -> Drift {
    Drift {
        users,
        members,
        owners: 0,
        properties: properties
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
    }
}

async fn drift_findings(world: &World) -> Vec<String> {
    let findings = world.findings().await;
    findings
        .into_iter()
        .filter(|finding| finding.starts_with("drift"))
        .collect()
}

#[tokio::test]
async fn whatever_changes_behind_the_feeds_is_found_counted_and_judged_in_either_scope() {
    type Change = fn(&Tenant, Uuid) -> bool;
    let cases: [(&str, Change, Drift, &str); 8] = [
        (
            "a property",
            |tenant, user| tenant.update_user(user, |user| user.job_title = Some("Elsewhere".to_owned())),
            drift(1, 0, &[("jobTitle", 1)]),
            "enabled",
        ),
        (
            "a blocked account with another name",
            |tenant, user| {
                tenant.update_user(user, |user| {
                    user.account_enabled = Some(false);
                    user.surname = Some("Blocked".to_owned());
                })
            },
            drift(1, 0, &[("accountEnabled", 1), ("surname", 1)]),
            "directory_account_disabled by sync",
        ),
        (
            "a licence",
            |tenant, user| tenant.update_user(user, |user| *user = user.clone().with_plans(&[])),
            drift(1, 0, &[("assignedPlans", 1)]),
            "unlicensed by sync",
        ),
        (
            "a member removed",
            |tenant, user| tenant.remove_member(GROUP, user),
            drift(0, 1, &[]),
            "not_in_security_group by sync",
        ),
        (
            "a user soft-deleted",
            Tenant::soft_delete,
            drift(1, 0, &[("@removed", 1)]),
            "directory_soft_deleted by sync",
        ),
        (
            "a user restored",
            |tenant, user| {
                let is_soft_deleted = tenant.user(user).is_none();
                is_soft_deleted && tenant.restore(user)
            },
            drift(1, 0, &[("@removed", 1)]),
            "enabled",
        ),
        (
            "a user deleted for good",
            Tenant::purge,
            drift(1, 0, &[("@removed", 1)]),
            "directory_deleted by sync",
        ),
        (
            "a member added",
            |tenant, user| tenant.add_member(GROUP, user),
            drift(0, 1, &[]),
            "enabled",
        ),
    ];
    // Few members are looked up; the users of many are listed, too.
    for (scope, members) in [(Scope::Tenant, 12), (Scope::Groups, 12), (Scope::Groups, 60)] {
        let (world, users) = stage(scope, members, NO_LIMITS, small()).await;
        let outsider = licensed(world.tenant(), "Out", "Sider");
        let found = verify(&world).await;
        assert_eq!((found.complete, found.drift), (true, Drift::default()), "{scope}");
        let mut expected_runs = 1;
        for (number, (what, change, expected, outcome)) in cases.iter().enumerate() {
            let user = match *what {
                "a member added" => outsider,
                "a user restored" => users[number - 1],
                _ => users[number],
            };
            let before = state(&world, user).await;
            let tenant = world.tenant();
            assert!(tenant.behind_the_feeds(|tenant| change(tenant, user)), "{what}");
            let report = world.sync_completely().await;
            assert_eq!(report.verification, None, "{what}: none is due");
            assert_eq!(state(&world, user).await, before, "{what}: no feed tells of it");
            let found = verify(&world).await;
            assert_eq!((found.complete, &found.drift), (true, expected), "{what}, {scope}");
            assert_eq!(state(&world, user).await, *outcome, "{what}, {scope}");
            assert_eq!(drift_findings(&world).await, ["drift"], "{what}");
            expected_runs += 1;
        }
        let found = verify(&world).await;
        assert_eq!((found.complete, found.drift), (true, Drift::default()), "{scope}");
        assert_eq!(drift_findings(&world).await, [""; 0], "what was found is over");
        let recorded = "select count(*) from rollcall.sync_run_verification";
        assert_eq!(world.number(recorded).await, expected_runs + 1);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_verification_comes_an_hour_after_a_round_then_at_its_interval_and_never_if_switched_off() {
    for scope in [Scope::Tenant, Scope::Groups] {
        let (mut world, _) = stage(scope, 3, NO_LIMITS, small()).await;
        let steps = [
            (Duration::from_mins(59), false),
            (Duration::from_mins(1), true),
            (Duration::from_hours(23), false),
            (HOUR, true),
            (Duration::from_mins(5), false),
        ];
        let idle = |world: &World| -> Vec<&'static str> {
            let requests = world.simulator.requests();
            let mut endpoints: Vec<_> = requests.iter().map(|seen| seen.endpoint).collect();
            endpoints.retain(|endpoint| !endpoint.contains("token"));
            endpoints.sort_unstable();
            endpoints
        };
        let mut requests = Vec::new();
        for (wait, is_due) in steps {
            world.advance(wait);
            drop(world.simulator.take_requests());
            let report = world.sync_completely().await;
            assert_eq!(report.verification.is_some(), is_due, "{scope}, {wait:?}");
            if !is_due {
                requests.push(idle(&world));
            }
        }
        world.configure(|settings| settings.verifications = None);
        world.advance(30 * HOUR);
        drop(world.simulator.take_requests());
        let report = world.sync_completely().await;
        assert_eq!(report.verification, None, "{scope}");
        requests.push(idle(&world));
        requests.dedup();
        assert_eq!(requests.len(), 1, "it costs nothing when it is not due: {requests:?}");
        // Only a person wants it then.
        let full = Request {
            full: true,
            ..Request::default()
        };
        let report = world.run(full).await.unwrap();
        assert!(report.verification.is_some_and(|found| found.complete), "{scope}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_product_that_is_suspended_makes_the_same_run_verify_under_the_guard() {
    for scope in [Scope::Tenant, Scope::Groups] {
        let limits = Limits {
            max_disables: 3,
            max_disable_percent: 100.0,
        };
        let (world, users) = stage(scope, 12, limits, small()).await;
        let tenant = world.tenant();
        tenant.behind_the_feeds(|tenant| {
            for user in &users[..5] {
                tenant.update_user(*user, |user| *user = user.clone().with_plans(&[]));
            }
        });
        let mut skus = tenant.skus();
        skus[0].capability_status = "Suspended".to_owned();
        tenant.set_skus(skus);
        let report = world.sync().await;
        assert_eq!(report.outcome, RunOutcome::Held, "{:?}", report.problems);
        assert_eq!(report.environments[0].held, 5);
        let found = report.verification.unwrap();
        assert_eq!(found.drift, drift(5, 0, &[("assignedPlans", 5)]), "{scope}");
        let report = world.sync_completely().await;
        assert_eq!(report.verification, None, "once is enough");
        world.end().await;
    }
}

/// A block that the feed has told stays, however far behind the listings and the look-ups are.
#[tokio::test]
async fn listings_and_look_ups_that_lag_undo_nothing_that_the_feeds_have_told() {
    for scope in [Scope::Tenant, Scope::Groups] {
        for look_up_lag in [Duration::ZERO, Duration::from_mins(10)] {
            let (world, users) = stage(scope, 60, NO_LIMITS, small()).await;
            world.simulator.configure(|settings| {
                settings.listing_lag = Duration::from_mins(10);
                settings.index_lag = Duration::from_mins(12);
                settings.look_up_lag = look_up_lag;
            });
            world.advance(DAY);
            let tenant = world.tenant();
            let (blocked, left, joined) = (users[1], users[2], licensed(tenant, "Just", "Joined"));
            tenant.update_user(blocked, |user| user.account_enabled = Some(false));
            tenant.remove_member(GROUP, left);
            tenant.add_member(GROUP, joined);
            let expected = async |what: &str| {
                for (user, expected) in [
                    (blocked, "directory_account_disabled by sync"),
                    (left, "not_in_security_group by sync"),
                ] {
                    assert_eq!(state(&world, user).await, expected, "{what}, {scope}, {look_up_lag:?}");
                }
            };
            let report = world.sync().await;
            let found = report.verification.unwrap();
            assert_eq!(found.drift, Drift::default(), "{scope}, {look_up_lag:?}");
            expected("while they lag").await;
            for _ in 0..4 {
                world.advance(Duration::from_mins(10));
                world.sync().await;
                expected("later").await;
            }
            assert_eq!(state(&world, joined).await, "enabled", "{scope}, {look_up_lag:?}");
            assert_eq!(world.number("select count(*) from rollcall.directory_recheck").await, 0);
            world.assert_settled().await;
            world.end().await;
        }
    }
}

/// A listing that ends early, as the endpoint has it.
fn cut_short(endpoint: &'static str, to: usize) -> Fault {
    let cut = move |page: &mut Value| {
        page.as_object_mut().unwrap().remove("@odata.nextLink");
        page["value"].as_array_mut().unwrap().truncate(to);
    };
    Fault::forever(When::endpoint(endpoint), Effect::rewrite(cut)).called("short")
}

#[tokio::test]
async fn a_listing_that_ends_early_is_no_evidence_of_absence() {
    const MEMBERS: &str = "/groups/{id}/members";
    for (is_counted, scope) in [(true, Scope::Tenant), (false, Scope::Tenant), (true, Scope::Groups)] {
        let (world, users) = stage(scope, 30, NO_LIMITS, small()).await;
        if !is_counted {
            for endpoint in ["/users/$count", "/groups/{id}/members/$count"] {
                let refusal = Effect::error(400, "Request_UnsupportedQuery");
                world
                    .simulator
                    .faults()
                    .push(Fault::forever(When::endpoint(endpoint), refusal));
            }
        }
        let tenant = world.tenant();
        tenant.behind_the_feeds(|tenant| tenant.remove_member(GROUP, users[29]));
        for endpoint in ["/users", MEMBERS] {
            world.simulator.faults().push(cut_short(endpoint, 20));
        }
        // A verification looks up whom it misses.
        assert_eq!(verify(&world).await.drift, drift(0, 1, &[]));
        assert_eq!(state(&world, users[29]).await, "not_in_security_group by sync");
        for user in &users[..29] {
            assert_eq!(state(&world, *user).await, "enabled");
        }
        let told =
            "select count(*) from rollcall.finding where closed_at is null and detail like '%listed 20 entries%'";
        assert!(world.number(told).await > 0);
        let rows = world.dump().await;
        world.simulator.faults().withdraw("short");
        // A round of the group.
        world.simulator.faults().push(cut_short(MEMBERS, 20));
        world
            .execute("update rollcall.checkpoint set phase = 'full', delta_link = null where source like 'group:%'")
            .await;
        let report = world.sync().await;
        let problem = format!("the listing of group {GROUP} had 20 members, where it should have had");
        assert_eq!(report.outcome, RunOutcome::Incomplete);
        assert!(report.problems[0].contains(&problem), "{:?}", report.problems);
        assert_eq!((report.environments[0].disabled, report.environments[0].held), (0, 9));
        world.simulator.faults().withdraw("short");
        world.sync_completely().await;
        assert_eq!(world.dump().await, rows);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_verification_that_is_interrupted_goes_on_where_it_was_and_delays_no_change() {
    let simulator = SimulatorSettings {
        users: 40,
        listing_page_size: 15,
        ..SimulatorSettings::default()
    };
    let (mut world, users) = stage(Scope::Tenant, 20, NO_LIMITS, simulator).await;
    let tenant = world.tenant();
    tenant.behind_the_feeds(|tenant| tenant.update_user(users[0], |user| user.account_enabled = Some(false)));
    let third = || When::endpoint("/users").carrying(Carrying::SkipToken).after(1);
    // The service fails in the middle: everything else goes on.
    let outage = Fault::forever(third(), Effect::unavailable(None)).called("outage");
    world.simulator.faults().push(outage);
    world.advance(DAY);
    tenant.update_user(users[1], |user| user.account_enabled = Some(false));
    let report = world.sync_completely().await;
    assert!(!report.verification.unwrap().complete);
    assert_eq!(state(&world, users[1]).await, "directory_account_disabled by sync");
    tenant.update_user(users[2], |user| user.account_enabled = Some(false));
    let report = world.sync_completely().await;
    assert!(!report.verification.unwrap().complete);
    assert_eq!(state(&world, users[2]).await, "directory_account_disabled by sync");
    // The process is killed at the next page.
    world.simulator.faults().withdraw("outage");
    let cancel = world.engine.cancel.clone();
    let kill = Effect::meanwhile(move |_| cancel.cancel());
    let page = When::endpoint("/users").carrying(Carrying::SkipToken);
    world.simulator.faults().push(Fault::once(page, kill));
    let killed = world.run(Request::default()).await;
    assert!(
        matches!(killed, Err(CycleError::Failed(Failure::Cancelled))),
        "{killed:?}"
    );
    world.engine.cancel = CancellationToken::new();
    drop(world.simulator.take_requests());
    let report: Report = world.sync_completely().await;
    let found = report.verification.unwrap();
    assert_eq!(
        (found.complete, found.drift),
        (true, drift(1, 0, &[("accountEnabled", 1)]))
    );
    assert_eq!(state(&world, users[0]).await, "directory_account_disabled by sync");
    let listed = world.simulator.requests();
    let listed: Vec<_> = listed.iter().filter(|seen| seen.endpoint == "/users").collect();
    assert!(
        !listed.is_empty() && listed.iter().all(|seen| format!("{seen:?}").contains("skiptoken")),
        "{listed:?}"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_directory_without_plans_or_account_states_is_in_doubt_and_changes_nobody() {
    let (world, _) = stage(Scope::Tenant, 20, NO_LIMITS, small()).await;
    let rows = world.dump().await;
    let spoil = |page: &mut Value| {
        for user in page["value"].as_array_mut().unwrap() {
            user["accountEnabled"] = json!(null);
        }
    };
    world
        .simulator
        .faults()
        .push(Fault::forever(When::endpoint("/users"), Effect::rewrite(spoil)));
    drop(world.simulator.take_requests());
    let found = verify(&world).await;
    assert_eq!((found.complete, found.drift), (true, Drift::default()));
    assert_eq!(world.dump().await, rows);
    assert!(
        !world.simulator.request_counts().contains_key("/$batch"),
        "nobody is looked up"
    );
    world.end().await;
}

/// A user who is nobody's colleague.
#[tokio::test]
async fn a_user_whom_no_feed_announced_is_mirrored_in_tenant_scope() {
    let (world, _) = stage(Scope::Tenant, 3, NO_LIMITS, small()).await;
    let user = world
        .tenant()
        .behind_the_feeds(|tenant| tenant.add_user(User::named("Un", "Announced")));
    let found = verify(&world).await;
    assert_eq!(found.drift, drift(1, 0, &[("@removed", 1)]));
    let known = world.strings("select id::text from rollcall.directory_user").await;
    assert!(known.contains(&user.to_string()));
    world.end().await;
}
