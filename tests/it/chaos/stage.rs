//! The stage: a simulated tenant, one database, and two daemons that reach it through a proxy each.

use std::fmt::Write as _;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rollcall::clock::Clock;
use rollcall::config::Config;
use rollcall::simulator::tenant::{LARGE_GROUP, SMALL_GROUP, Tenant, User};
use rollcall::simulator::{Settings as SimulatorSettings, Simulator};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::database::Server;
use super::directory::People;
use super::ledger::Ledger;
use super::{Numbers, Tally, pause};
use crate::binary::Installation;
use crate::daemon::{Daemon, eventually};
use crate::proxy::{Proxy, Weather};

/// One daemon of the pair.
pub struct Member {
    pub installation: Installation,
    pub proxy: Proxy,
    /// Whoever starts, ends or replaces the process holds this.
    pub process: tokio::sync::Mutex<Option<Daemon>>,
    /// Where the process of the moment listens.
    address: RwLock<std::net::SocketAddr>,
    /// What the processes that are no more have logged.
    logs: Mutex<Vec<String>>,
}

pub struct Stage {
    pub numbers: Numbers,
    pub simulator: Simulator,
    pub server: Server,
    pub pair: [Member; 2],
    pub people: Mutex<People>,
    pub ledger: Mutex<Ledger>,
    /// The faults that have hit; those of the directory are counted by the simulator.
    pub faults: Mutex<Tally>,
    pub kills: Mutex<Tally>,
    /// What the API has answered.
    pub answers: Mutex<Tally>,
    /// Everything that `/metrics` ever showed, without the numbers.
    pub metrics: Mutex<std::collections::BTreeSet<String>>,
    /// Whoever tells the daemons a lie about everybody holds this alone; the rest holds it together.
    pub calm: tokio::sync::RwLock<()>,
    /// The API's token.
    pub token: String,
    /// Enough has happened.
    pub over: CancellationToken,
}

const USERS: u64 = 160;

/// What the daemons are told beside tenant and database. The guard lets the first removals of each environment through and
/// holds the rest, which is then approved, rejected, or after a while judged anew.
fn configuration(format: &str, token: &str) -> String {
    format!(
        "[sync]\naccess_freshness = \"2s\"\n\n\
         [guard]\nmax_disables = 15\nmax_disable_percent = 100.0\nhold_expiry = \"30s\"\n\n\
         [telemetry]\nformat = \"{format}\"\n\n\
         [[http.token]]\nname = \"chaos\"\nsha256 = \"{}\"\nroles = [\"Rollcall.Operate\"]\n\n\
         [[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
         [[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n\n\
         [[environment]]\nname = \"pilot\"\nkind = \"sandbox\"\nsecurity_group = \"{SMALL_GROUP}\"\n\
         group_nesting = \"full\"\n",
        sha256(token),
    )
}

fn sha256(text: &str) -> String {
    let mut hash = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

impl Stage {
    pub async fn new(numbers: Numbers) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulator = Simulator::start(SimulatorSettings {
            users: USERS,
            seed: numbers.seed,
            page_size: 40,
            listing_page_size: 40,
            ignores_latest: numbers.seed % 2 == 1,
            relations_per_page: 30,
            client_secret: format!("Graph~{}", Uuid::new_v4().simple()),
            ..SimulatorSettings::default()
        })
        .unwrap();
        furnish(simulator.tenant());
        let server = Server::new(numbers.own_server).await;
        let token = Uuid::new_v4().simple().to_string();
        let pair = [
            Member::new(&simulator, &server, &configuration("text", &token)).await,
            Member::new(&simulator, &server, &configuration("json", &token)).await,
        ];
        let config = Config::load(&pair[0].installation.config, std::iter::empty()).unwrap();
        let mut people = People::new(config.environments, config.viral_counts_as);
        let now = Clock::system().now();
        people.look(simulator.tenant(), now, now);
        let stage = Self {
            numbers,
            simulator,
            server,
            pair,
            people: Mutex::new(people),
            ledger: Mutex::default(),
            faults: Mutex::default(),
            kills: Mutex::default(),
            answers: Mutex::default(),
            metrics: Mutex::default(),
            calm: tokio::sync::RwLock::default(),
            token,
            over: CancellationToken::new(),
        };
        for member in &stage.pair {
            let mut process = member.process.lock().await;
            member.start(&mut process);
        }
        stage
    }

    pub fn tenant(&self) -> &Tenant {
        self.simulator.tenant()
    }

    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// A connection past the proxies, as a superuser.
    pub async fn sql(&self) -> PgConnection {
        self.server.sql().await
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.server.number(query).await
    }

    /// Counts a fault that has hit.
    pub fn hit(&self, what: &'static str) {
        self.faults.lock().unwrap().count(what, 1);
    }

    /// How many faults have hit.
    fn hits(&self) -> u64 {
        self.faults.lock().unwrap().sum() + self.simulator.faults().met().values().sum::<u64>()
    }

    /// Keeps the daemons running as a service manager would, reads their metrics, and says when it is enough.
    pub async fn watch(&self) {
        for round in 0.. {
            if self.is_over() {
                return;
            }
            if round % 100 == 99 {
                println!("{} faults, {} kills", self.hits(), self.kills.lock().unwrap().sum());
            }
            for member in &self.pair {
                if let Some((_, text)) = member.get("/metrics").await {
                    let series = text.lines().filter_map(|line| line.rsplit_once(' '));
                    let mut seen = self.metrics.lock().unwrap();
                    seen.extend(series.map(|(series, _)| series.to_owned()));
                }
                member.keep_running();
            }
            let enough = |tally: &Mutex<Tally>, wanted| tally.lock().unwrap().sum() >= wanted;
            if self.hits() >= self.numbers.faults && enough(&self.kills, self.numbers.kills) {
                self.over.cancel();
            }
            pause(200).await;
        }
    }

    /// The member whose metrics say that it leads, or the first.
    pub async fn leader(&self) -> usize {
        for (at, member) in self.pair.iter().enumerate() {
            let metrics = member.get("/metrics").await;
            if metrics.is_some_and(|(_, text)| text.lines().any(|line| line == "rollcall_leader 1")) {
                return at;
            }
        }
        0
    }

    /// Takes every fault away, and makes sure that both daemons run.
    pub async fn calm_down(&self) {
        self.simulator.faults().clear();
        for member in &self.pair {
            member.proxy.weather(Weather::Clear);
            member.proxy.break_at(None);
        }
        self.server.mend().await;
        for member in &self.pair {
            let ready = async || {
                member.keep_running();
                member
                    .get("/health/ready")
                    .await
                    .is_some_and(|(status, _)| status == 200)
            };
            assert!(eventually(ready).await, "{}", member.log());
        }
    }

    /// Waits for two complete cycles that begin from here on; a run that holds removals is complete, too. In the end
    /// exactly one daemon says that it leads.
    pub async fn settle(&self) {
        let now = Clock::system().now();
        let begun =
            format!("select count(*) from rollcall.sync_run where started_at > '{now}' and ended_at is not null");
        let complete = format!("{begun} and outcome in ('complete', 'held')");
        assert!(
            eventually(async || self.number(&complete).await >= 2).await,
            "{}\n{}\n{}",
            self.told(),
            self.pair[0].log(),
            self.pair[1].log()
        );
        println!("two complete cycles among {}", self.number(&begun).await);
        let one_leads = async || {
            let mut leaders = 0;
            for member in &self.pair {
                let metrics = member.get("/metrics").await;
                let leads = |text: String| text.lines().any(|line| line == "rollcall_leader 1");
                leaders += u32::from(metrics.is_some_and(|(_, text)| leads(text)));
            }
            leaders == 1
        };
        assert!(eventually(one_leads).await, "not exactly one daemon leads");
    }

    /// What has happened.
    pub fn told(&self) -> String {
        let of = |tally: &Mutex<Tally>| format!("{:#?}", tally.lock().unwrap().0);
        format!(
            "{} faults: of the directory {:#?}, of the database and the configuration {}\nkills {}\nanswers {}",
            self.hits(),
            self.simulator.faults().met(),
            of(&self.faults),
            of(&self.kills),
            of(&self.answers),
        )
    }

    pub async fn end(self) {
        for member in &self.pair {
            drop(member.process.lock().await.take());
        }
        self.server.end().await;
    }
}

impl Member {
    async fn new(simulator: &Simulator, server: &Server, rest: &str) -> Self {
        let proxy = Proxy::before(&server.url_of_the_daemons().await).await;
        Self {
            installation: Installation::new(simulator, proxy.url(), rest),
            proxy,
            process: tokio::sync::Mutex::new(None),
            address: RwLock::new(([127, 0, 0, 1], 9).into()),
            logs: Mutex::default(),
        }
    }

    /// A new process takes the place of the old one, whose log is kept.
    pub fn start(&self, process: &mut Option<Daemon>) {
        if let Some(old) = process.take() {
            self.logs.lock().unwrap().push(old.log());
        }
        let daemon = Daemon::start(&self.installation);
        *self.address.write().unwrap() = daemon.address;
        *process = Some(daemon);
    }

    /// Starts the process again if it has ended by itself, which it may do only because it found no database or no
    /// free port when it began.
    fn keep_running(&self) {
        let Ok(mut process) = self.process.try_lock() else {
            return;
        };
        let Some(daemon) = process.as_mut() else { return };
        let Some(status) = daemon.child.try_wait().unwrap() else {
            return;
        };
        let log = daemon.log();
        let found_its_port_taken = status.code() == Some(2) && log.contains("could not listen on");
        assert!(status.code() == Some(5) || found_its_port_taken, "{status}: {log}");
        self.start(&mut process);
    }

    pub fn address(&self) -> std::net::SocketAddr {
        *self.address.read().unwrap()
    }

    /// Status and body; nothing while nobody listens, or the process stands still.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = crate::daemon::get(self.address(), path);
        tokio::time::timeout(Duration::from_secs(2), answer).await.ok()?
    }

    /// Everything that was logged, and how the present process goes on.
    pub fn log(&self) -> String {
        let mut logs = self.logs.lock().unwrap().join("");
        if let Ok(process) = self.process.try_lock() {
            logs.extend(process.iter().map(Daemon::log));
        }
        logs
    }
}

/// The tenant as the simulator furnishes it, without the Marketing licence that would let everybody in on demand, and
/// without names that are words: a log may well say "Global".
fn furnish(tenant: &Tenant) {
    tenant.furnish();
    let mut skus = tenant.skus();
    skus.retain(|sku| sku.plans.iter().all(|(_, name, _)| !name.contains("Marketing")));
    tenant.set_skus(skus);
    let founders = usize::try_from(USERS).unwrap();
    for position in founders..tenant.population() {
        let id = tenant.user_id_at(position).unwrap();
        let named = User::named(&format!("Given{position}"), &format!("Family{position}"));
        tenant.update_user(id, |user| {
            user.given_name = named.given_name;
            user.surname = named.surname;
            user.display_name = named.display_name;
            user.mail = named.mail;
            user.user_principal_name = named.user_principal_name;
        });
    }
}
