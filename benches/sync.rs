//! What a sync costs, printed, not asserted: machines differ, so speed is shown as a ratio to a floor that is
//! measured in the same run.
//!
//! `cargo bench --bench sync [-- USERS]`: the first sync of USERS users (100,000 unless told otherwise) from the
//! simulated tenant, with its peak memory, against plain `COPY` of the same rows into the same tables; then a cycle
//! with ten changes in a tenant of 1,000 and in one of USERS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::{Cluster, Options};
use rollcall::simulator::tenant::LARGE_GROUP;
use rollcall::simulator::{Settings, Simulator};
use rollcall::store::Store;
use sqlx::{Connection, Executor, PgConnection};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The tables a first sync fills, in an order in which they can be copied.
const TABLES: [&str; 6] = [
    "plan_set",
    "directory_user",
    "directory_group_member",
    "directory_role_member",
    "system_user",
    "system_user_change",
];

const ROUNDS: usize = 3;

fn main() -> Fallible<()> {
    let users = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000);
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Runtime::new()?.block_on(async {
        let cluster = Cluster::start_temporary(&Options::durable()).await?;
        first_sync(&cluster, users).await?;
        ten_changes(&cluster, &[1_000, users]).await?;
        cluster.stop().await?;
        Ok(())
    })
}

/// A tenant, a database and a configuration on disk.
struct Stage {
    simulator: Simulator,
    url: String,
    config: PathBuf,
}

impl Stage {
    async fn new(cluster: &Cluster, name: &str, users: u64) -> Fallible<Self> {
        let simulator = Simulator::start(Settings {
            users,
            cache_pages: true,
            ..Settings::default()
        })?;
        simulator.tenant().furnish();
        let url = cluster.create_database(name).await?;
        let config = cluster.directory().join(format!("{name}.toml"));
        std::fs::write(cluster.directory().join("graph-secret"), simulator.client_secret())?;
        std::fs::write(&config, configuration(&simulator, &url))?;
        let store = Store::connect(&url, &Schema::default(), 1).await?;
        store.migrate().await?;
        store.close().await;
        Ok(Self { simulator, url, config })
    }

    /// Everybody's pages rendered and kept, so that the simulator costs little while the clock runs.
    async fn warm_up(&self) -> Fallible<()> {
        let child = sync(&self.config)?;
        watch(child)?;
        let mut db = PgConnection::connect(&self.url).await?;
        db.execute(
            "truncate rollcall.plan_set, rollcall.directory_user, rollcall.directory_group_member,
                 rollcall.directory_role_member, rollcall.system_user, rollcall.system_user_role,
                 rollcall.system_user_change, rollcall.environment_quota,
                 rollcall.checkpoint, rollcall.environment, rollcall.enabled_delta, rollcall.pending, rollcall.finding,
                 rollcall.sync_run, rollcall.removal, rollcall.held_set, rollcall.lease",
        )
        .await?;
        db.execute("vacuum analyze").await?;
        db.execute("checkpoint").await?;
        Ok(())
    }
}

fn configuration(simulator: &Simulator, url: &str) -> String {
    format!(
        "[tenant]\nid = \"{}\"\nclient_id = \"{}\"\ncredential = {{ kind = \"secret\", file = \"graph-secret\" }}\n\
         cloud = \"custom\"\nauthority = \"{root}\"\ngraph_root = \"{root}\"\n\n\
         [database]\nurl = \"{url}\"\n\n\
         [[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n",
        simulator.tenant_id(),
        simulator.client_id(),
        root = simulator.root(),
    )
}

fn sync(config: &Path) -> Fallible<Child> {
    let program = env!("CARGO_BIN_EXE_rollcall");
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(config)
        .args(["--output", "json", "sync"])
        .stdout(Stdio::null());
    Ok(command.spawn()?)
}

/// Waits for a child; answers its time and its peak resident memory in MiB.
fn watch(mut child: Child) -> Fallible<(Duration, u64)> {
    let started = Instant::now();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let resident = text
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))
                .map(|rest| rest.trim().to_owned());
            peak = resident
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or(peak)
                .max(peak);
        }
        if let Some(exit) = child.try_wait()? {
            assert!(exit.success(), "the sync ended with {exit}");
            return Ok((started.elapsed(), peak / 1024));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred thousand users")]
async fn first_sync(cluster: &Cluster, users: u64) -> Fallible<()> {
    println!("First sync of {users} users, {ROUNDS} rounds, each beside its own floor");
    let stage = Stage::new(cluster, "first_sync", users).await?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        stage.warm_up().await?;
        let (elapsed, peak) = tokio::task::block_in_place(|| watch(sync(&stage.config)?))?;
        let floor = floor(cluster, &stage.url, round).await?;
        let ratio = elapsed.as_secs_f64() / floor.as_secs_f64();
        ratios.push(ratio);
        println!(
            "  round {round}: {:.2} s, {:.0} users per second, peak {peak} MiB; floor (COPY) {:.2} s; ratio {ratio:.2}",
            elapsed.as_secs_f64(),
            users as f64 / elapsed.as_secs_f64(),
            floor.as_secs_f64(),
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.2}\n", ratios[ratios.len() / 2]);
    Ok(())
}

/// The same rows by plain `COPY` into the same tables of another database.
async fn floor(cluster: &Cluster, from: &str, round: usize) -> Fallible<Duration> {
    let url = cluster.create_database(&format!("floor_{round}")).await?;
    let store = Store::connect(&url, &Schema::default(), 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut source = PgConnection::connect(from).await?;
    let mut target = PgConnection::connect(&url).await?;
    target.execute("set rollcall.writer = 'rollcall'").await?;
    target.execute("checkpoint").await?;
    let mut spent = Duration::ZERO;
    for table in TABLES {
        let out = format!("copy rollcall.{table} to stdout (format binary)");
        let chunks: Vec<_> = source.copy_out_raw(&out).await?.try_collect().await?;
        let started = Instant::now();
        let mut sink = target
            .copy_in_raw(&format!("copy rollcall.{table} from stdin (format binary)"))
            .await?;
        for chunk in chunks {
            sink.send(chunk).await?;
        }
        sink.finish().await?;
        spent += started.elapsed();
    }
    Ok(spent)
}

/// What one cycle cost.
struct Cost {
    users: u64,
    requests: u64,
    statements: usize,
    rows_read: i64,
    rows_written: i64,
    milliseconds: f64,
}

async fn ten_changes(cluster: &Cluster, sizes: &[u64]) -> Fallible<()> {
    println!("A cycle with ten changes");
    println!("      users  requests  statements  rows read  rows written  best of 3, ms");
    for &users in sizes {
        let stage = Stage::new(cluster, &format!("ten_{users}"), users).await?;
        watch(sync(&stage.config)?)?;
        let mut db = PgConnection::connect(&stage.url).await?;
        db.execute("vacuum analyze").await?;
        let mut best: Option<Cost> = None;
        for round in 0..3_usize {
            let cost = ten_changes_once(cluster, &stage, &mut db, users, round).await?;
            if best.as_ref().is_none_or(|best| cost.milliseconds < best.milliseconds) {
                best = Some(cost);
            }
        }
        if let Some(cost) = best {
            println!(
                "  {:>9}  {:>8}  {:>10}  {:>9}  {:>12}  {:>13.0}",
                cost.users, cost.requests, cost.statements, cost.rows_read, cost.rows_written, cost.milliseconds
            );
        }
    }
    Ok(())
}

async fn ten_changes_once(
    cluster: &Cluster,
    stage: &Stage,
    db: &mut PgConnection,
    users: u64,
    round: usize,
) -> Fallible<Cost> {
    for id in stage
        .simulator
        .tenant()
        .user_ids()
        .into_iter()
        .skip(100 + 10 * round)
        .take(10)
    {
        stage
            .simulator
            .tenant()
            .update_user(id, |user| user.job_title = Some(format!("Round {round}")));
    }
    db.execute("select pg_stat_reset()").await?;
    let requests: u64 = stage.simulator.request_counts().values().sum();
    let log = cluster.directory().join("postgres.log");
    let database = stage.url.rsplit('/').next().unwrap_or_default().to_owned();
    db.execute(sqlx::AssertSqlSafe(format!(
        "alter database {database} set log_statement = 'all'"
    )))
    .await?;
    let before = count_statements(&log)?;
    let (elapsed, _) = watch(sync(&stage.config)?)?;
    let statements = count_statements(&log)? - before;
    db.execute(sqlx::AssertSqlSafe(format!(
        "alter database {database} reset log_statement"
    )))
    .await?;
    Clock::system().sleep(Duration::from_millis(1500)).await;
    db.execute("select pg_stat_clear_snapshot()").await?;
    let (read, written): (i64, i64) = sqlx::query_as(
        "select (sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)))::bigint,
                (sum(n_tup_ins) + sum(n_tup_upd) + sum(n_tup_del))::bigint
         from pg_stat_user_tables where schemaname = 'rollcall' and relname <> '_sqlx_migrations'",
    )
    .fetch_one(&mut *db)
    .await?;
    Ok(Cost {
        users,
        requests: stage.simulator.request_counts().values().sum::<u64>() - requests,
        statements,
        rows_read: read,
        rows_written: written,
        milliseconds: elapsed.as_secs_f64() * 1000.0,
    })
}

fn count_statements(log: &Path) -> Fallible<usize> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    Ok(text
        .lines()
        .filter(|line| line.contains("LOG:  execute") || line.contains("LOG:  statement"))
        .count())
}
