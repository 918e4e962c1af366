//! Section 11 of the rules: a dry run shows what a real one would do, and does it not.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rollcall::domain::run::RunLine;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{LARGE_GROUP, Profile, User};
use rollcall::sync::cycle::Request;
use rollcall::sync::guard::approval::Decision;
use rollcall::sync::{Counts, Report, RunOutcome};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::guard::{block, crowd, limits, without_marketing};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const ENV: &str = "production";

async fn dry(world: &World) -> Report {
    let report = world
        .run(Request {
            dry_run: true,
            ..Request::default()
        })
        .await
        .unwrap();
    assert!(report.dry_run);
    report
}

/// What a dry run says it would change.
async fn planned(world: &World, report: &Report) -> Vec<RunLine> {
    let changes = world.engine.records().changes(report.run, None, i64::MAX).await;
    changes.unwrap().unwrap()
}

/// Everything that a dry run must not touch.
async fn untouched(world: &World) -> Vec<String> {
    let mut all = world.dump().await;
    for query in [
        "select c::text from rollcall.system_user_change c order by environment, id",
        "select r::text from rollcall.removal r order by environment, systemuserid",
        "select h::text from rollcall.held_set h order by environment, run_id",
        "select f::text from rollcall.finding f where azureactivedirectoryobjectid is not null order by id",
    ] {
        all.extend(world.strings(query).await);
    }
    all
}

/// A change without its row's key, which a new row has not got yet.
type Line = (String, Option<Uuid>, String, Option<String>, bool);

fn shown(changes: &[RunLine]) -> BTreeSet<Line> {
    changes
        .iter()
        .map(|change| {
            let fields = if change.operation == "disable" {
                String::new()
            } else {
                change.fields.to_string()
            };
            (
                format!("{} {} {fields}", change.environment, change.operation),
                change.azureactivedirectoryobjectid,
                change.reason.clone().unwrap_or_default(),
                None,
                change.held,
            )
        })
        .collect()
}

/// What a real run wrote, in the same shape.
async fn written(world: &World, run: i64) -> BTreeSet<Line> {
    let mut db = world.sql().await;
    let rows: Vec<(String, Uuid, String, Option<String>, serde_json::Value)> = sqlx::query_as(
        "select environment, azureactivedirectoryobjectid, c.operation, c.reason, c.fields
         from rollcall.system_user_change c join rollcall.system_user s using (environment, systemuserid)
         where c.run_id = $1",
    )
    .bind(run)
    .fetch_all(&mut db)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(environment, id, operation, reason, fields)| {
            let fields = if operation == "disable" {
                String::new()
            } else {
                fields.to_string()
            };
            (
                format!("{environment} {operation} {fields}"),
                Some(id),
                reason.unwrap_or_default(),
                None,
                false,
            )
        })
        .collect()
}

fn sums(counts: &Counts) -> [u64; 5] {
    [
        counts.created,
        counts.updated,
        counts.enabled,
        counts.disabled,
        counts.held,
    ]
}

/// A dry run, then a real one that does exactly that.
async fn dry_then_real(world: &World) -> Report {
    let before = untouched(world).await;
    let said = dry(world).await;
    assert_eq!(untouched(world).await, before, "a dry run writes nothing");
    let did = world.sync().await;
    assert_eq!(said.outcome, did.outcome);
    assert_eq!(said.environments, did.environments);
    let said = shown(&planned(world, &said).await);
    let through = said.iter().filter(|line| !line.4).cloned().collect::<BTreeSet<_>>();
    assert_eq!(through, written(world, did.run).await);
    let held: BTreeSet<_> = said
        .iter()
        .filter(|line| line.4)
        .map(|line| line.1.unwrap().to_string())
        .collect();
    let mut db = world.sql().await;
    let waits = "select distinct object_id::text from rollcall.removal where run_id = $1 and state = 'held'";
    let waits: Vec<String> = sqlx::query_scalar(waits)
        .bind(did.run)
        .fetch_all(&mut db)
        .await
        .unwrap();
    assert_eq!(held, waits.into_iter().collect());
    did
}

#[tokio::test]
async fn a_first_dry_run_creates_nobody_and_says_who_would_be() {
    let environments = vec![guarded_environment(ENV, LARGE_GROUP), open_environment("sandbox")];
    let simulator = SimulatorSettings {
        users: 400,
        ..SimulatorSettings::default()
    };
    let world = World::with(environments, simulator, NO_LIMITS).await;
    world.tenant().furnish();
    without_marketing(world.tenant());
    let report = dry_then_real(&world).await;
    assert!(
        report.environments.iter().all(|counts| counts.created > 50),
        "{report:?}"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_commits_mirror_and_checkpoints_and_is_recorded_as_dry() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let report = dry(&world).await;
    assert_eq!(world.number("select count(*) from rollcall.directory_user").await, 1);
    assert_eq!(
        world
            .strings("select concat_ws(' ', dry_run, outcome) from rollcall.sync_run")
            .await,
        ["t complete"]
    );
    let changes = planned(&world, &report).await;
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].operation.as_str(), changes[0].azureactivedirectoryobjectid),
        ("create", Some(ada))
    );
    assert_eq!(changes[0].fields["domainname"][1], "ada.lovelace@contoso.example");
    assert_eq!(world.number("select count(*) from rollcall.system_user").await, 0);
    let _ = world.simulator.take_requests();
    assert_eq!(world.sync_completely().await.environments[0].created, 1);
    let pages = world.simulator.requests();
    assert_eq!(
        pages.iter().filter(|seen| seen.endpoint.starts_with("/users")).count(),
        1,
        "read once"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn what_a_dry_run_plans_is_read_page_by_page_and_deleted_after_a_day() {
    let (world, users) = crowd(7, NO_LIMITS).await;
    block(&world, &users);
    let run = dry(&world).await.run;
    let records = world.engine.records();
    let page = async |after| records.changes(run, after, 5).await.unwrap().unwrap();
    let first = page(None).await;
    let second = page(first.last().map(|line| line.id)).await;
    let all: BTreeSet<Uuid> = first.iter().chain(&second).map(|line| line.systemuserid).collect();
    assert_eq!((first.len(), second.len(), all.len()), (5, 2, 7));
    world.advance(Duration::from_hours(23));
    world.sync_completely().await;
    assert_eq!(page(None).await.len(), 5);
    world.advance(Duration::from_hours(2));
    world.sync_completely().await;
    assert_eq!(page(None).await.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_names_the_reasons() {
    let (world, users) = crowd(4, NO_LIMITS).await;
    block(&world, &users[..1]);
    world.tenant().give_profile(users[1], Profile::Unlicensed);
    world.tenant().soft_delete(users[2]);
    let report = dry(&world).await;
    let changes = planned(&world, &report).await;
    let reasons: BTreeSet<_> = changes
        .into_iter()
        .map(|change| (change.azureactivedirectoryobjectid.unwrap(), change.reason.unwrap()))
        .collect();
    let expected = ["directory_account_disabled", "unlicensed", "directory_soft_deleted"];
    assert_eq!(reasons, users.into_iter().zip(expected.map(str::to_owned)).collect());
    dry_then_real(&world).await;
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_says_held_where_a_real_one_would_hold() {
    let (world, users) = crowd(5, limits(1, 100.0)).await;
    block(&world, &users[..3]);
    world
        .tenant()
        .update_user(users[3], |user| user.city = Some("London".to_owned()));
    let said = dry(&world).await;
    assert_eq!((said.outcome, said.environments[0].held), (RunOutcome::Held, 3));
    let held = planned(&world, &said).await;
    let held: BTreeSet<_> = held
        .iter()
        .filter(|change| change.held)
        .collect::<Vec<_>>()
        .iter()
        .map(|change| change.azureactivedirectoryobjectid.unwrap())
        .collect();
    assert_eq!(held, users[..3].iter().copied().collect());
    assert!(world.findings().await.is_empty(), "there is no set to approve");
    dry_then_real(&world).await;
    assert_eq!(world.findings().await, ["removals_held production"]);
    // What is held already is not said again.
    assert_eq!(dry(&world).await.outcome, RunOutcome::Complete);
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_passes_names_on_as_a_real_one_does() {
    let (world, users) = crowd(4, NO_LIMITS).await;
    let name = world.tenant().user(users[0]).unwrap().user_principal_name;
    world.tenant().soft_delete(users[0]);
    let heir = world.tenant().add_user(User {
        user_principal_name: name,
        ..User::named("New", "Holder")
    });
    world.tenant().give_profile(heir, Profile::E5PowerApps);
    world.tenant().swap_upns(users[1], users[2]);
    let report = dry_then_real(&world).await;
    assert_eq!(sums(&report.environments[0]), [1, 3, 0, 1, 0]);
    world.assert_settled().await;
    world.end().await;
}

/// What other programs and people do meanwhile; `$` is a digit that the keys of some rows end in.
const EDITS: [&str; 6] = [
    "update rollcall.system_user set accessmode = 4 where systemuserid::text like '%$' and accessmode < 2",
    "update rollcall.system_user set isdisabled = not isdisabled where systemuserid::text like '%$' and azurestate = 0",
    "update rollcall.system_user set internalemailaddress = 'own@mail.example' where systemuserid::text like '%$'",
    "update rollcall.system_user set firstname = 'X', fullname = 'Y' where systemuserid::text like '%$'",
    "update rollcall.system_user set onhold = true, holdreason = 'z' where systemuserid::text like '%0$'",
    "delete from rollcall.system_user where systemuserid::text like '%1$'",
];

#[tokio::test]
async fn a_real_run_does_what_the_dry_run_said_whatever_happened() {
    let mut held = 0;
    for seed in 1..=4 {
        let environments = vec![guarded_environment(ENV, LARGE_GROUP), open_environment("sandbox")];
        let simulator = SimulatorSettings {
            users: 300,
            seed,
            ..SimulatorSettings::default()
        };
        let limits = if seed % 2 == 0 { limits(8, 100.0) } else { NO_LIMITS };
        let world = World::with(environments, simulator, limits).await;
        world.tenant().furnish();
        without_marketing(world.tenant());
        world.sync().await;
        let mut random = StdRng::seed_from_u64(seed);
        for round in 0..4 {
            for _ in 0..40 {
                world.tenant().random_change(&mut random);
            }
            let digit = format!("{:x}", random.random_range(0..16));
            let edit = EDITS[random.random_range(0..EDITS.len())].replace('$', &digit);
            let mut db = world.sql().await;
            if let Err(error) = sqlx::query(AssertSqlSafe(edit)).execute(&mut db).await {
                // One non-interactive user too many: the database refuses the whole edit.
                assert!(error.to_string().contains("non-interactive"), "{error}");
            }
            world.advance(Duration::from_hours(7));
            let report = dry_then_real(&world).await;
            held += report.environments.iter().map(|counts| counts.held).sum::<u64>();
            if report.outcome == RunOutcome::Held && round % 2 == 0 {
                world
                    .engine
                    .guard()
                    .decide(report.run, None, Decision::Approve, "grace")
                    .await
                    .unwrap();
            }
        }
        let counted = "select sum(n)::bigint from (
            select enabled_rows as n from rollcall.environment union all select delta from rollcall.enabled_delta) c";
        let there = "select count(*) from rollcall.system_user
            where not isdisabled and azureactivedirectoryobjectid is not null";
        assert_eq!(
            world.number(counted).await,
            world.number(there).await,
            "the guard's count is kept"
        );
        world.sync().await;
        world.assert_settled().await;
        world.end().await;
    }
    assert!(held > 0, "the smaller limits held something");
}
