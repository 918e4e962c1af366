//! Cost follows change, not size: ten changes cost the same in a tenant of a thousand users and of twenty thousand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::domain::schema::Schema;
use rollcall::rules::Client;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{LARGE_GROUP, Profile, Tenant, User};
use rollcall::store::{Store, runs};
use rollcall::sync::daemon::gauges;
use uuid::Uuid;

use crate::on_demand::{ENV, ask, said};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

/// Rows that a cycle with ten changes may read and write in the large tenant, small tables that are scanned included:
/// a fortieth of the tenant.
const MOST_READ: i64 = 500;
const MOST_WRITTEN: i64 = 200;

/// How much more the large tenant may cost than the small one, in which PostgreSQL rather scans what fits a page.
const SLACK: i64 = 50;

/// What a cycle did to a table: rows read by scan, read by index, written.
type Touched = BTreeMap<String, [i64; 3]>;

struct Cost {
    requests: u64,
    touched: Touched,
}

impl Cost {
    fn read(&self) -> i64 {
        self.touched
            .values()
            .map(|[scanned, fetched, _]| scanned + fetched)
            .sum()
    }

    fn written(&self) -> i64 {
        self.touched.values().map(|[.., written]| written).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_changes_cost_the_same_in_a_tenant_of_any_size() {
    let (small, large) = tokio::join!(costs(1_000), costs(20_000));
    let table = side_by_side(&small, &large);
    println!("{table}");
    for (small, large) in small.iter().zip(&large) {
        assert_eq!(small.requests, large.requests, "{table}");
        assert!(large.read() <= small.read() + SLACK, "{table}");
        assert!(large.written() <= small.written() + SLACK, "{table}");
    }
    let [idle, busy] = &large;
    assert!(busy.requests <= idle.requests + 2, "{table}");
    assert!(idle.read() <= MOST_READ && idle.written() <= MOST_WRITTEN, "{table}");
    assert!(busy.read() <= MOST_READ && busy.written() <= MOST_WRITTEN, "{table}");
}

/// Most statements of a cycle over a hundred environments, half of them behind a group of their own, gauges included. How
/// many requests share a number varies.
const MOST_STATEMENTS_IDLE: u64 = 210;

/// Most statements of such a cycle with one changed user.
const MOST_STATEMENTS_OF_A_CHANGE: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_cycle_asks_the_database_once_for_all_environments() {
    let environments = (0..100).map(|at| {
        let name = format!("env{at:03}");
        if at % 2 == 0 {
            open_environment(&name)
        } else {
            guarded_environment(&name, Uuid::from_u128(0x9_0000 + at))
        }
    });
    let simulator = SimulatorSettings {
        gzip: false,
        ..SimulatorSettings::default()
    };
    let mut world = World::with(environments.collect(), simulator, NO_LIMITS).await;
    let users = [("Ada", "Lovelace"), ("Bea", "Babbage"), ("Cy", "Cray")]
        .map(|(given, family)| licensed(world.tenant(), given, family));
    for at in (1..100).step_by(2) {
        let group = Uuid::from_u128(0x9_0000 + at);
        world.tenant().create_group_with_id(group, &format!("Group {at}"));
        world.tenant().add_members(group, users[..2].iter().copied());
    }
    world.sync_completely().await;
    let (idle, requests) = statements(&world).await;
    println!("a hundred environments, idle: {idle} statements, {requests} requests");
    assert!(idle <= MOST_STATEMENTS_IDLE, "{idle}");
    let tenant = Arc::clone(world.tenant());
    let blocks = |blocks: bool| tenant.update_user(users[0], |user| user.account_enabled = Some(!blocks));
    tenant.update_user(users[0], |user| user.job_title = Some("Countess".to_owned()));
    changed(&world, "changed", "jobtitle = 'Countess'").await;
    blocks(true);
    changed(&world, "blocked", "disabledreason = 'directory_account_disabled'").await;
    blocks(false);
    changed(&world, "let in again", "jobtitle = 'Countess' and not isdisabled").await;
    tenant.give_profile(users[1], Profile::Unlicensed);
    changed(
        &world,
        "without a licence",
        "firstname = 'Bea' and not islicensed and isdisabled",
    )
    .await;
    world.configure(|settings| settings.limits.max_disables = 0);
    blocks(true);
    let held = "systemuserid in (select systemuserid from rollcall.removal where state = 'held')";
    changed(&world, "held", held).await;
    changed(&world, "still held", held).await;
    world.end().await;
}

/// A cycle after which a hundred environments have a row that meets a condition sends few statements.
async fn changed(world: &World, what: &str, condition: &str) {
    let (statements, requests) = statements(world).await;
    println!("a hundred environments, one user {what}: {statements} statements, {requests} requests");
    let query = format!("select count(*) from rollcall.system_user where {condition}");
    let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_one(&mut world.sql().await)
        .await
        .unwrap();
    assert_eq!(count, 100, "{what}");
    assert!(statements <= MOST_STATEMENTS_OF_A_CHANGE, "{what}: {statements}");
}

/// What a cycle sends to the database and to Graph, the gauges included.
async fn statements(world: &World) -> (u64, u64) {
    let before = (world.engine.store.statements(), sent(world));
    world.sync().await;
    gauges::refresh(&world.engine).await.unwrap();
    (world.engine.store.statements() - before.0, sent(world) - before.1)
}

/// An idle cycle and one with ten changes.
async fn costs(users: u64) -> [Cost; 2] {
    let simulator = SimulatorSettings {
        users,
        page_size: 1_000,
        listing_page_size: 999,
        gzip: false,
        ..SimulatorSettings::default()
    };
    let environments = vec![
        guarded_environment("production", LARGE_GROUP),
        open_environment("sandbox"),
    ];
    let mut world = World::with(environments, simulator, NO_LIMITS).await;
    world.tenant().furnish();
    world.sync_completely().await;
    // A plan for a small table that has become large is only as good as its statistics.
    world.execute("analyze").await;
    // The pages of the last hour are remembered.
    world.advance(Duration::from_hours(2));
    measure(&mut world).await;
    let idle = measure(&mut world).await;
    change(world.tenant());
    let busy = measure(&mut world).await;
    world.end().await;
    [idle, busy]
}

/// A long history: runs that failed, requests that were answered, findings that are closed, sets that are decided.
const HISTORY: [&str; 6] = [
    "insert into rollcall.sync_run (trigger, started_at, ended_at, outcome)
     select 'interval', '2026-01-01', '2026-01-01', 'failed' from generate_series(1, 20000)",
    "insert into rollcall.sync_request (environments, is_full, dry_run, requested_at, run_id)
     select '{}', false, false, '2026-01-01', 1 from generate_series(1, 20000)",
    "insert into rollcall.finding (code, detail, opened_at, closed_at)
     select 'upn_conflict', at::text, '2026-01-01', '2026-01-02' from generate_series(1, 20000) at",
    "insert into rollcall.held_set (environment, run_id, why, held_at, expires_at, decision, decided_at)
     select 'production', -at, 'a test', '2026-01-01', '2026-01-02', 'rejected', '2026-01-01'
     from generate_series(1, 20000) at",
    "insert into rollcall.removal (environment, systemuserid, object_id, reason, run_id, state, at)
     select 'production', gen_random_uuid(), gen_random_uuid(), 'unlicensed', -at, 'rejected', '2026-01-01'
     from generate_series(1, 20000) at",
    "analyze",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_not_read_again_by_what_is_polled() {
    let environments = vec![open_environment("production")];
    let mut world = World::with(environments, SimulatorSettings::default(), NO_LIMITS).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    measure(&mut world).await;
    let young = polled(&mut world).await;
    for statement in HISTORY {
        world.execute(statement).await;
    }
    let old = polled(&mut world).await;
    println!("rows read by a cycle and what is polled: {young}, with 100,000 rows of history {old}");
    assert!(old <= young + SLACK, "{young}, {old}");
    world.end().await;
}

/// Rows read by an idle cycle and everything that is asked for each second.
async fn polled(world: &mut World) -> i64 {
    reconnect(world).await;
    let before = touched(world).await;
    world.sync_completely().await;
    gauges::refresh(&world.engine).await.unwrap();
    gauges::refresh_held(&world.engine).await.unwrap();
    let records = world.engine.records();
    records.readiness().await.unwrap();
    records.status(Duration::from_mins(15)).await.unwrap();
    records.findings(None, None, 100).await.unwrap();
    {
        let mut db = world.engine.store.read().await.unwrap();
        assert!(runs::next_request(&mut db).await.unwrap().is_none());
        assert!(!runs::is_idle(&mut db, 0).await.unwrap());
    }
    reconnect(world).await;
    let after = touched(world).await;
    let read = |all: &Touched| all.values().map(|[scanned, fetched, _]| scanned + fetched).sum::<i64>();
    read(&after) - read(&before)
}

/// The same ten changes, whatever the size.
fn change(tenant: &Tenant) {
    let user = |position| tenant.user_id_at(position).unwrap();
    for position in [20, 21, 22] {
        tenant.update_user(user(position), |user| user.job_title = Some("Something new".to_owned()));
    }
    tenant.update_user(user(23), |user| {
        user.account_enabled = Some(user.account_enabled == Some(false));
    });
    tenant.give_profile(user(24), Profile::Unlicensed);
    tenant.give_profile(user(25), Profile::E5PowerApps);
    let new = tenant.add_user(User::named("Nora", "Newcomer"));
    tenant.give_profile(new, Profile::E5PowerApps);
    tenant.soft_delete(user(26));
    let members = tenant.members(LARGE_GROUP).unwrap();
    let outsider = (30..100).map(user).find(|id| !members.contains(id)).unwrap();
    tenant.add_member(LARGE_GROUP, outsider);
    tenant.remove_member(LARGE_GROUP, insider(&members, &user));
}

fn insider(members: &[Uuid], user: &impl Fn(usize) -> Uuid) -> Uuid {
    (40..100).map(user).find(|id| members.contains(id)).unwrap()
}

/// One cycle as the daemon makes it, the gauges included.
async fn measure(world: &mut World) -> Cost {
    reconnect(world).await;
    let (requests, before) = (sent(world), touched(world).await);
    world.sync_completely().await;
    gauges::refresh(&world.engine).await.unwrap();
    let requests = sent(world) - requests;
    reconnect(world).await;
    let after = touched(world).await;
    let difference = |(table, counts): (String, [i64; 3])| {
        let before = before.get(&table).copied().unwrap_or_default();
        let counts = [0, 1, 2].map(|at: usize| counts[at] - before[at]);
        (table, counts)
    };
    Cost {
        requests,
        touched: after.into_iter().map(difference).collect(),
    }
}

fn sent(world: &World) -> u64 {
    world.simulator.request_counts().values().sum()
}

/// Ends the engine's connections and makes new ones: a backend tells what it counted at the latest when it ends.
async fn reconnect(world: &mut World) {
    world.engine.store.close().await;
    for _ in 0..1_000 {
        let count =
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                     and application_name = 'rollcall'";
        if world.number(count).await == 0 {
            break;
        }
        Clock::system().sleep(std::time::Duration::from_millis(5)).await;
    }
    world.engine.store = Store::connect(world.database_url(), &Schema::default(), 5)
        .await
        .unwrap();
}

async fn touched(world: &World) -> Touched {
    let query = "select json_build_array(relname, seq_tup_read, coalesce(idx_tup_fetch, 0),
                     n_tup_ins + n_tup_upd + n_tup_del)::text
                 from pg_stat_user_tables where schemaname = 'rollcall'";
    let lines = world.strings(query).await;
    lines
        .iter()
        .map(|line| serde_json::from_str::<(String, i64, i64, i64)>(line).unwrap())
        .map(|(table, scanned, fetched, written)| (table, [scanned, fetched, written]))
        .collect()
}

fn side_by_side(small: &[Cost; 2], large: &[Cost; 2]) -> String {
    let mut text =
        String::from("\nrows scanned, fetched, written: idle and with ten changes, in 1,000 and 20,000 users\n");
    let all = [&small[0], &large[0], &small[1], &large[1]];
    let requests = all.map(|cost| cost.requests);
    let _ = writeln!(text, "requests {requests:?}");
    for table in small[0].touched.keys() {
        let counts = all.map(|cost| cost.touched[table]);
        if counts.iter().flatten().any(|count| *count != 0) {
            let _ = writeln!(text, "{table:<24} {counts:?}");
        }
    }
    text
}

/// Most statements of an access, whatever environments and groups there are that nobody asked about.
const MOST_STATEMENTS_OF_AN_ACCESS: u64 = 63;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_costs_the_same_whatever_environments_and_groups_there_are() {
    let alone = access_statements(1, 2).await;
    let among_many = access_statements(20, 10).await;
    println!("an access: {alone} statements, among 20 environments with 10 nested groups each {among_many}");
    // How many requests share a number varies.
    assert!(among_many <= alone + 5, "{among_many}, alone {alone}");
    assert!(alone <= MOST_STATEMENTS_OF_AN_ACCESS, "{alone}");
}

/// What the first access of somebody in a nested group sends to the database.
async fn access_statements(environments: u128, nested: u128) -> u64 {
    let gate = |at: u128| Uuid::from_u128(0x8_0000 + at);
    let all = (0..environments).map(|at| Environment {
        group_nesting: GroupNesting::OnDemand,
        ..guarded_environment(&if at == 0 { ENV.to_owned() } else { format!("env{at:03}") }, gate(at))
    });
    let world = World::with(all.collect(), SimulatorSettings::default(), NO_LIMITS).await;
    let (ada, bea) = (
        licensed(world.tenant(), "Ada", "Lovelace"),
        licensed(world.tenant(), "Bea", "Babbage"),
    );
    for at in 0..environments {
        world.tenant().create_group_with_id(gate(at), &format!("Gate {at}"));
        let inner = (0..nested).map(|inner| world.tenant().create_group(&format!("Inner {at} {inner}")));
        let inner: Vec<Uuid> = inner.collect();
        for group in &inner {
            world.tenant().add_member(*group, bea);
        }
        if at == 0 {
            world.tenant().add_member(inner[0], ada);
        }
        world.tenant().add_members(gate(at), inner.into_iter().chain([bea]));
    }
    world.sync_completely().await;
    let before = world.engine.store.statements();
    let user = ada.to_string();
    let answer = world.engine.desk().access(ask(&user), Client::Interactive).await;
    assert_eq!(said(&answer), "created");
    let statements = world.engine.store.statements() - before;
    world.end().await;
    statements
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_costs_the_same_whatever_environments_there_are() {
    let statements = async |environments: usize| {
        let all = (0..environments).map(|at| open_environment(&format!("env{at:03}")));
        let mut world = World::with(all.collect(), SimulatorSettings::default(), NO_LIMITS).await;
        licensed(world.tenant(), "Ada", "Lovelace");
        world.sync_completely().await;
        // Half of them are left over.
        world.configure(|settings| settings.environments.truncate(environments.div_ceil(2)));
        let before = world.engine.store.statements();
        let status = world.engine.records().status(Duration::from_mins(15)).await.unwrap();
        let sent = world.engine.store.statements() - before;
        assert_eq!(status.environments.len(), environments);
        assert!(status.environments.iter().all(|one| one.enabled == 1), "{status:?}");
        world.end().await;
        sent
    };
    let (few, many) = (statements(2).await, statements(20).await);
    // A connection that is used again is reset first; a new one is not.
    assert!(few.abs_diff(many) <= 1, "{few}, {many}");
}

/// Most statements about each environment without a row, which is evaluated for every trigger.
const MOST_STATEMENTS_WITHOUT_A_ROW: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_everywhere_is_one_question_for_all_environments_with_a_row() {
    let statements = async |environments: usize, has_rows: bool| {
        let all = (0..environments).map(|at| Environment {
            has_database: at == 0 || has_rows,
            ..open_environment(&format!("env{at:03}"))
        });
        let mut world = World::with(all.collect(), SimulatorSettings::default(), NO_LIMITS).await;
        let ada = licensed(world.tenant(), "Ada", "Lovelace");
        world.sync_completely().await;
        if has_rows {
            // Half of them are left over.
            world.configure(|settings| settings.environments.truncate(environments.div_ceil(2)));
        }
        let before = world.engine.store.statements();
        let found = world.engine.desk().whereabouts(&ada.to_string()).await.unwrap();
        let sent = world.engine.store.statements() - before;
        let rows = found.items.iter().filter(|one| one.systemuserid.is_some()).count();
        assert_eq!(
            (found.items.len(), rows),
            (environments, if has_rows { environments } else { 1 })
        );
        world.end().await;
        sent
    };
    let (few, many) = (statements(2, true).await, statements(20, true).await);
    println!("a person in 2 environments: {few} statements, in 20 {many}");
    // How many requests share a number varies.
    assert!(few.abs_diff(many) <= 3, "{few}, {many}");
    let (few, many) = (statements(2, false).await, statements(20, false).await);
    println!("with a row in one of 2 environments: {few} statements, of 20 {many}");
    assert!(many - few <= 18 * MOST_STATEMENTS_WITHOUT_A_ROW, "{few}, {many}");
}
