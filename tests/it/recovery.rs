//! How long it takes until everything is well again: measured and printed, not asserted, since machines differ.
//!
//! `./dev recovery` runs it. It takes a quarter of an hour, because the outages are as long as real ones.
//! `ROLLCALL_RECOVERY_RUNS` sets how often each is tried.

use std::time::{Duration, Instant};

use rollcall::clock::Clock;
use rollcall::simulator::cluster::{Cluster, Options};
use rollcall::simulator::tenant::LARGE_GROUP;
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::{Daemon, TOKEN, an_operators_token, eventually};
use crate::ending::ask;
use crate::guard::without_marketing;
use crate::proxy::Proxy;

const DATABASE_AWAY: Duration = Duration::from_secs(30);
const GRAPH_AWAY: Duration = Duration::from_mins(2);
const RUNS: usize = 3;
const USERS: u64 = 1_000;
/// Between two looks at what is measured.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 15_000;

const COMPLETE: &str = "select coalesce(max(id), 0) from rollcall.sync_run where outcome = 'complete'";
const BEGUN: &str = "select coalesce(max(id), 0) from rollcall.sync_run";

/// Times of one kind.
struct Times(&'static str, Vec<Duration>);

impl Times {
    fn print(mut self) {
        self.1.sort();
        let seconds = |at: usize| self.1[at].as_secs_f64();
        let (median, last) = (self.1.len() / 2, self.1.len() - 1);
        println!(
            "{:<66} {:>6.2} s  {:>6.2} s  {:>6.2} s   {} runs",
            self.0,
            seconds(0),
            seconds(median),
            seconds(last),
            self.1.len()
        );
    }
}

struct Stage {
    simulator: Simulator,
    cluster: Option<Cluster>,
    directory: std::path::PathBuf,
    front: Proxy,
    installation: Installation,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cluster.take();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Stage {
    async fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("rollcall-recovery-{}", Uuid::new_v4().simple()));
        let cluster = Cluster::start(&directory, &Options::durable()).await.unwrap();
        let url = cluster.create_database("rollcall").await.unwrap();
        let front = Proxy::before(&url).await;
        let simulator = Simulator::start(Settings {
            users: USERS,
            ..Settings::default()
        })
        .unwrap();
        simulator.tenant().furnish();
        without_marketing(simulator.tenant());
        let configuration = format!(
            "{}[[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
             [[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n",
            an_operators_token()
        );
        let installation = Installation::new(&simulator, front.url(), &configuration);
        Self {
            simulator,
            cluster: Some(cluster),
            directory,
            front,
            installation,
        }
    }

    fn database(&self) -> String {
        self.cluster.as_ref().unwrap().url("rollcall")
    }

    /// Two daemons, the first of which leads.
    async fn pair(&self) -> (Daemon, Daemon) {
        let first = Daemon::start(&self.installation);
        first.becomes_ready().await;
        let leads = async || first.metric("rollcall_leader").await.as_deref() == Some("1");
        assert!(eventually(leads).await);
        let second = Daemon::start(&self.installation);
        second.becomes_ready().await;
        (first, second)
    }

    /// The newest run.
    async fn newest(&self) -> i64 {
        ask(&self.database(), BEGUN).await
    }

    /// Until a run with at least this number is complete.
    async fn complete(&self, run: i64) {
        let database = self.database();
        until(async || ask(&database, COMPLETE).await >= run).await;
    }

    /// Something of the directory that a cycle has to bring.
    fn change(&self, title: &str) {
        let tenant = self.simulator.tenant();
        for user in tenant.user_ids() {
            tenant.update_user(user, |user| user.job_title = Some(title.to_owned()));
        }
    }

    /// Whether every row has it.
    async fn has_arrived(&self, title: &str) -> bool {
        let mut db = PgConnection::connect(&self.database()).await.unwrap();
        let missing = sqlx::query_scalar::<_, i64>(
            "select count(*) from rollcall.system_user where azureactivedirectoryobjectid is not null
             and azurestate = 0 and jobtitle is distinct from $1",
        );
        missing.bind(title).fetch_one(&mut db).await.unwrap() == 0
    }
}

/// Looks often: what is waited for is measured.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if holds().await {
            return;
        }
        Clock::system().sleep(LOOK).await;
    }
    panic!("it does not recover");
}

fn runs() -> usize {
    std::env::var("ROLLCALL_RECOVERY_RUNS").map_or(RUNS, |runs| runs.parse().unwrap())
}

/// The leader ends; the other daemon leads, and has completed a cycle.
async fn leader(signal: &str, led: &'static str, cycled: &'static str) -> [Times; 2] {
    let stage = Stage::new().await;
    let mut times = [Times(led, Vec::new()), Times(cycled, Vec::new())];
    for _ in 0..runs() {
        let (mut first, second) = stage.pair().await;
        let newest = stage.newest().await;
        let ended = Instant::now();
        first.signal(signal).await;
        until(async || second.metric("rollcall_leader").await.as_deref() == Some("1")).await;
        times[0].1.push(ended.elapsed());
        stage.complete(newest + 1).await;
        times[1].1.push(ended.elapsed());
        first.child.wait().await.unwrap();
        second.stop().await;
    }
    times
}

async fn database() -> [Times; 2] {
    let mut stage = Stage::new().await;
    let mut times = [
        Times(
            "database away for 30 s: from its return, the API answers 200",
            Vec::new(),
        ),
        Times(
            "database away for 30 s: from its return, a cycle is complete",
            Vec::new(),
        ),
    ];
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let environments = format!("http://{}/api/v1/environments", daemon.address);
    for _ in 0..runs() {
        stage.complete(stage.newest().await).await;
        stage.cluster.take().unwrap().stop().await.unwrap();
        stage.front.cut();
        Clock::system().sleep(DATABASE_AWAY).await;
        stage.cluster = Some(Cluster::start(&stage.directory, &Options::durable()).await.unwrap());
        stage.front.lead_to(&stage.database());
        let back = Instant::now();
        let api = async {
            let answers = async || {
                let answer = http.get(&environments).bearer_auth(TOKEN).send().await;
                answer.is_ok_and(|answer| answer.status() == 200)
            };
            until(answers).await;
            back.elapsed()
        };
        let newest = stage.newest().await;
        let cycle = async {
            stage.complete(newest).await;
            back.elapsed()
        };
        let (api, cycle) = tokio::join!(api, cycle);
        times[0].1.push(api);
        times[1].1.push(cycle);
    }
    daemon.stop().await;
    times
}

async fn directory() -> [Times; 2] {
    let stage = Stage::new().await;
    let mut times = [
        Times(
            "Graph away for 2 min: from its return, what changed meanwhile is written",
            Vec::new(),
        ),
        Times("Graph away for 2 min: from its return, a cycle is complete", Vec::new()),
    ];
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    for run in 0..runs() {
        stage.complete(stage.newest().await).await;
        let faults = stage.simulator.faults();
        faults.push(Fault::forever(When::any(), Effect::unavailable(None)));
        let title = format!("Title {run}");
        stage.change(&title);
        Clock::system().sleep(GRAPH_AWAY).await;
        faults.clear();
        let back = Instant::now();
        let newest = stage.newest().await;
        let written = async {
            until(async || stage.has_arrived(&title).await).await;
            back.elapsed()
        };
        let cycle = async {
            stage.complete(newest).await;
            back.elapsed()
        };
        let (written, cycle) = tokio::join!(written, cycle);
        times[0].1.push(written);
        times[1].1.push(cycle);
    }
    daemon.stop().await;
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement that takes a quarter of an hour: ./dev recovery"]
async fn time_to_recover() {
    rustls::crypto::ring::default_provider().install_default().ok();
    println!(
        "{USERS} users, two environments, sync.interval = 1s, a {} build; from, median, to",
        if cfg!(debug_assertions) {
            "development"
        } else {
            "release"
        }
    );
    let killed = leader(
        "-KILL",
        "leader killed: until the other leads",
        "leader killed: until the other has completed a cycle",
    );
    for times in killed.await {
        times.print();
    }
    let stopped = leader(
        "-TERM",
        "leader stopped: until the other leads",
        "leader stopped: until the other has completed a cycle",
    );
    for times in stopped.await {
        times.print();
    }
    for times in database().await {
        times.print();
    }
    for times in directory().await {
        times.print();
    }
}
