//! An environment that stays away (case env-2) is named wherever health is shown, with the rows it leaves; what it holds
//! expires, and counts for nobody meanwhile.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::Simulator;
use rollcall::store::removals;
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{GuardError, RunOutcome};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{LAB, STAYS, reload};
use crate::binary::Installation;
use crate::daemon::{Daemon, eventually};
use crate::guard::{HOUR, block, limits, open_sets};
use crate::world::{World, licensed, migrated_database, open_environment};

async fn left_over(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', environment, detail) from rollcall.finding
             where code = 'environment_left_over' and closed_at is null",
        )
        .await
}

/// Two environments with some rows each, of which the guard holds two removals in both.
async fn held_in_both() -> (World, i64) {
    let both = vec![open_environment(STAYS), open_environment(LAB)];
    let world = World::with(both, SimulatorSettings::default(), limits(1, 100.0)).await;
    let users: Vec<Uuid> = (0..5)
        .map(|n| licensed(world.tenant(), "User", &n.to_string()))
        .collect();
    world.sync_completely().await;
    block(&world, &users[..2]);
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Held);
    (world, report.run)
}

#[tokio::test]
async fn env_2_the_finding_about_one_that_stays_away_counts_its_rows_and_closes_when_it_is_back() {
    let both = vec![open_environment(STAYS), open_environment(LAB)];
    let mut world = World::new(both.clone()).await;
    for number in 0..3 {
        licensed(world.tenant(), "User", &number.to_string());
    }
    world.sync_completely().await;
    reload(&mut world, vec![open_environment(STAYS)]);
    world.sync_completely().await;
    let found = left_over(&world).await;
    assert!(
        found.len() == 1 && found[0].starts_with("lab ") && found[0].contains("its 3 enabled rows"),
        "{found:?}"
    );
    let since = "select opened_at::text from rollcall.finding where code = 'environment_left_over'";
    let opened = world.strings(since).await;
    world.advance(HOUR);
    world
        .execute("update rollcall.system_user set isdisabled = true where environment = 'lab' and lastname = '1'")
        .await;
    world.sync_completely().await;
    assert!(left_over(&world).await[0].contains("its 2 enabled rows"));
    assert_eq!(world.strings(since).await, opened, "it is the same finding");
    let recorded = world
        .strings("select left_over::text from rollcall.sync_run order by id desc limit 1")
        .await;
    let recorded: Value = serde_json::from_str(&recorded[0]).unwrap();
    assert_eq!(recorded, json!([{"environment": "lab", "enabled": 2, "held": 0}]));
    reload(&mut world, both);
    let report = world.sync_completely().await;
    assert!(report.left_over.is_empty() && left_over(&world).await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn env_2_what_one_that_stays_away_holds_counts_for_nobody_and_expires() {
    let (mut world, run) = held_in_both().await;
    reload(&mut world, vec![open_environment(STAYS)]);
    world.advance(HOUR);
    let report = world.sync_completely().await;
    assert_eq!((report.left_over[0].enabled, report.left_over[0].held), (5, 2));
    let names = world.engine.settings.names();
    let mut db = world.engine.store.read().await.unwrap();
    assert_eq!(
        removals::count_held(&mut db, &names).await.unwrap(),
        2,
        "what can be decided"
    );
    drop(db);
    let decidable: Vec<(String, bool)> = open_sets(&world)
        .await
        .into_iter()
        .map(|set| (set.environment, set.can_be_decided))
        .collect();
    assert_eq!(decidable, [(LAB.to_owned(), false), (STAYS.to_owned(), true)]);
    let alone = world
        .engine
        .guard()
        .decide(run, Some(LAB), Decision::Approve, "grace")
        .await;
    assert!(matches!(alone, Err(GuardError::UnknownEnvironment(_))), "{alone:?}");

    world.advance(72 * HOUR);
    world.sync().await;
    let sets = "select concat_ws(' ', environment, decision) from rollcall.held_set where run_id <= 2 order by 1";
    assert_eq!(world.strings(sets).await, ["lab expired", "production expired"]);
    let rest = "select count(*) from rollcall.removal where environment = 'lab'";
    assert_eq!(world.number(rest).await, 0);
    assert!(!world.findings().await.contains(&"removals_held lab".to_owned()));

    reload(&mut world, vec![open_environment(STAYS), open_environment(LAB)]);
    let report = world.sync().await;
    assert_eq!(report.environments[1].held, 2, "judged anew, and by the guard");
    world.end().await;
}

#[tokio::test]
async fn a_decision_over_several_environments_tells_what_was_carried_out_in_each() {
    let (mut world, run) = held_in_both().await;
    let refuse = "create function public.refuse() returns trigger language plpgsql as $$
         begin raise exception 'not now' using errcode = '57014'; end $$;
         create trigger refuse before update on rollcall.held_set for each row
         when (new.environment = 'lab') execute function public.refuse()";
    world.execute(refuse).await;
    let decisions = world
        .engine
        .guard()
        .decide(run, None, Decision::Approve, "grace")
        .await
        .unwrap();
    let told: Vec<_> = decisions
        .environments
        .iter()
        .map(|one| {
            (
                one.counts.environment.as_str(),
                one.decision,
                one.counts.disabled,
                one.waiting,
                one.error.is_some(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [(LAB, None, 0, 2, true), (STAYS, Some(Decision::Approve), 2, 0, false)],
        "the second is not undone"
    );
    assert!(
        matches!(decisions.failure, Some(GuardError::Failed(_))),
        "{decisions:?}"
    );
    // Nothing at all is a failure.
    assert!(
        world
            .engine
            .guard()
            .decide(run, None, Decision::Approve, "grace")
            .await
            .is_err()
    );
    world.execute("drop trigger refuse on rollcall.held_set").await;
    // A row that a constraint of the customer's refuses leaves the set, and is told.
    let constraint = "alter table rollcall.system_user add constraint one_stays
         check (environment <> 'lab' or not isdisabled or lastname <> '1')";
    world.execute(constraint).await;
    let decisions = world
        .engine
        .guard()
        .decide(run, None, Decision::Approve, "grace")
        .await
        .unwrap();
    let lab = &decisions.environments[0];
    assert_eq!(
        (lab.decision, lab.counts.disabled, lab.dropped, lab.waiting),
        (Some(Decision::Approve), 1, 1, 0)
    );
    let unwritten = "select count(*) from rollcall.finding where code = 'row_not_written' and closed_at is null";
    assert_eq!(world.number(unwritten).await, 1);

    let (mut other, run) = held_in_both().await;
    reload(&mut other, vec![open_environment(STAYS)]);
    let decisions = other
        .engine
        .guard()
        .decide(run, None, Decision::Reject, "grace")
        .await
        .unwrap();
    let told: Vec<_> = decisions
        .environments
        .iter()
        .map(|one| (one.decision, one.waiting))
        .collect();
    assert_eq!(told, [(None, 2), (Some(Decision::Reject), 0)]);
    assert!(matches!(decisions.failure, Some(GuardError::UnknownEnvironment(_))));
    reload(&mut world, vec![open_environment(STAYS)]);
    world.end().await;
    other.end().await;
}

const PRODUCTION: &str = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
const SANDBOX: &str = "\n[[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n";

/// Everything that shows health names an environment that is left over, and SIGHUP brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn env_2_every_command_the_metrics_and_the_log_name_it_until_a_hangup_brings_it_back() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(SimulatorSettings {
        users: 0,
        ..SimulatorSettings::default()
    })
    .unwrap();
    let people: Vec<Uuid> = (0..4)
        .map(|n| licensed(simulator.tenant(), "User", &n.to_string()))
        .collect();
    let database = migrated_database().await;
    let both = format!("{PRODUCTION}{SANDBOX}");
    let installation = Installation::new(&simulator, &database.url, &both);
    let good = async |arguments: &str| {
        let said = installation.run(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments}: {said:?}");
        said.stdout
    };
    good("sync").await;
    installation.amend(SANDBOX, "");
    let daemon = Daemon::start(&installation);
    daemon.becomes_ready().await;
    let name = "environment sandbox is in the database but not in this configuration: its 4 enabled rows";
    for command in ["check", "config check", "runs list", "findings", "sync"] {
        let said = good(command).await;
        assert!(said.contains(name), "{command}: {said}");
    }
    let listed: Value = serde_json::from_str(&good("runs list --output json").await).unwrap();
    let newest = &listed["items"][0];
    assert_eq!(
        newest["left_over"],
        json!([{"environment": "sandbox", "enabled": 4, "held": 0}])
    );
    let shown = good(&format!("runs show {}", newest["id"])).await;
    assert!(shown.contains(name), "{shown}");
    let report: Value = serde_json::from_str(&good("sync --output json").await).unwrap();
    assert_eq!(report["left_over"][0]["environment"], "sandbox");
    let checked: Value = serde_json::from_str(&good("config check --output json").await).unwrap();
    assert_eq!(checked["left_over"][0]["enabled"], 4);
    let environments: Value = serde_json::from_str(&good("environment list --output json").await).unwrap();
    let told: Vec<_> = environments["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["kind"].as_str().unwrap(),
                one["configured"] == true,
                one["enabled"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("production", "production", true, Some(4)),
            ("sandbox", "sandbox", false, Some(4))
        ]
    );
    let metric = |value: &str| format!("rollcall_left_over_rows{{environment=\"sandbox\"}} {value}");
    let displays = async |line: String| {
        let shown = async || {
            daemon
                .get("/metrics")
                .await
                .is_some_and(|(_, text)| text.lines().any(|one| one == line))
        };
        assert!(eventually(shown).await, "{line}: {:?}", daemon.get("/metrics").await);
    };
    displays(metric("4")).await;
    assert!(daemon.log().contains("an environment is left over"), "{}", daemon.log());

    simulator
        .tenant()
        .update_user(people[0], |user| user.account_enabled = Some(false));
    good("sync").await;
    // A command with another file asks the daemon in vain, and is told.
    let elsewhere = Installation::new(&simulator, &database.url, &both);
    let said = elsewhere.run("sync").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("lacks an environment"), "{said:?}");

    installation.amend(PRODUCTION, &both);
    daemon.signal("-HUP").await;
    displays(metric("0")).await;
    let served = "select count(*) from rollcall.system_user where environment = 'sandbox' and isdisabled";
    let number = async || {
        use sqlx::Connection as _;
        let mut db = sqlx::PgConnection::connect(&database.url).await.unwrap();
        sqlx::query_scalar::<_, i64>(served).fetch_one(&mut db).await.unwrap()
    };
    assert_eq!(number().await, 1, "case env-1 with a hangup");
    daemon.stop().await;
    database.drop_database().await.unwrap();
}
