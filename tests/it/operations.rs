//! The operations kit in `deploy/`: it fits the daemon, and what it is generated from.
//!
//! The ignored tests need Prometheus; `./dev operations` gets it and runs them.

mod alerts;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rollcall::simulator::Simulator;
use rollcall::simulator::cluster::TestDatabase;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::binary::{Installation, said};
use crate::credentials::{CERTIFICATE, KEY, tenant};
use crate::daemon::{Daemon, eventually, free_address};
use crate::least_privilege::person;
use crate::world::migrated_database;

/// Durations of the alerts that a test can wait for: an hour is four seconds.
const QUICK: f64 = 0.001;

/// A secret of a webhook.
const HOOK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn text_of(file: &str) -> String {
    fs::read_to_string(deployed(file)).unwrap()
}

#[test]
fn the_shipped_alerts_are_those_of_the_list() {
    for (file, rules) in [
        ("prometheus/alerts.yml", alerts::rules(1.0)),
        ("kubernetes/monitoring/prometheus-rule.yaml", alerts::operator_rules()),
    ] {
        if std::env::var_os("ROLLCALL_WRITE_ALERTS").is_some() {
            fs::write(deployed(file), &rules).unwrap();
        }
        assert_eq!(text_of(file), rules, "run ./dev alerts");
    }
    // Each alert fires in a unit test.
    let tests = text_of("prometheus/alerts_test.yml");
    for alert in alerts::ALERTS {
        assert!(
            tests.contains(&format!("alertname=\"{}\"", alert.name)),
            "{}",
            alert.name
        );
    }
}

/// A daemon with a certificate, over a directory of some people.
struct Stage {
    simulator: Simulator,
    database: TestDatabase,
    installation: Installation,
    daemon: Daemon,
}

impl Stage {
    /// After its first complete cycle.
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulator = tenant();
        let database = migrated_database().await;
        let rest = "[guard]\nmax_disables = 0\n\n[[environment]]\nname = \"production\"\nkind = \"production\"\n\n\
                    [[webhook]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/\"\nsecret_file = \"hook\"\n\n\
                    [notifications]\npublic_url = \"http://HEARS/hint\"\nlisten = \"HEARS\"\n"
            .replace("HEARS", &free_address().to_string());
        let installation = Installation::new(&simulator, &database.url, &rest);
        for (name, text) in [("cert.pem", CERTIFICATE), ("key.pem", KEY), ("hook", HOOK)] {
            fs::write(installation.folder.join(name), text).unwrap();
        }
        let secret = format!(
            "kind = \"secret\", file = \"{}\"",
            installation.folder.join("secret").display()
        );
        installation.amend(
            &secret,
            "kind = \"certificate\", certificate = \"cert.pem\", key = \"key.pem\"",
        );
        let daemon = Daemon::start(&installation);
        daemon.becomes_ready().await;
        let has_measured = async || daemon.metric("rollcall_lag_seconds").await.is_some();
        assert!(eventually(has_measured).await, "{}", daemon.log());
        Self {
            simulator,
            database,
            installation,
            daemon,
        }
    }

    async fn metrics(&self) -> String {
        self.daemon.get("/metrics").await.unwrap().1
    }

    async fn end(self) {
        self.daemon.stop().await;
        drop(self.installation);
        self.database.drop_database().await.unwrap();
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    let names = words.filter(|word| word.starts_with("rollcall_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

/// The queries of the dashboard, with their variables filled in.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text_of("grafana/rollcall.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| {
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
        let query = target["expr"].as_str().unwrap();
        query.replace("$job", "rollcall").replace("$__rate_interval", "1m")
    });
    queries.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_the_alerts_and_the_dashboard_is_one_that_the_daemon_shows() {
    let stage = Stage::new().await;
    let metrics = stage.metrics().await;
    let typed = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown: BTreeSet<&str> = typed.collect();
    let rules = alerts::ALERTS.iter().map(|alert| alert.expression.to_owned());
    let texts: Vec<String> = rules
        .chain(queries())
        .chain([text_of("prometheus/alerts_test.yml")])
        .collect();
    assert!(texts.len() > 40, "{}", texts.len());
    for text in &texts {
        let missing: Vec<&str> = named(text).difference(&shown).copied().collect();
        assert!(missing.is_empty(), "the daemon has no {missing:?}: {text}");
    }
    // What can be watched is on the dashboard.
    let on_board = queries().join(" ");
    let left_out: Vec<&&str> = shown.iter().filter(|name| !named(&on_board).contains(**name)).collect();
    assert!(left_out.is_empty(), "the dashboard shows no {left_out:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_how_the_daemon_of_this_machine_is() {
    let stage = Stage::new().await;
    let address = stage.daemon.address.to_string();
    let health = async |arguments: &str| {
        let mut command = stage.installation.command(arguments);
        command.env("ROLLCALL__HTTP__LISTEN", &address);
        said(command.spawn().unwrap()).await
    };
    let ready = health("health --output json").await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
    assert!(ready.json()["last_success_age_seconds"].is_number(), "{ready:?}");
    assert_eq!(health("health --live").await.code, Some(0));
    // The process answers, but a daemon with this database is not ready.
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    db.execute("delete from rollcall.sync_run; alter table rollcall.sync_run rename to away")
        .await
        .unwrap();
    assert_eq!(health("health").await.code, Some(1));
    assert_eq!(health("health --live").await.code, Some(0));
    db.execute("alter table rollcall.away rename to sync_run")
        .await
        .unwrap();
    drop(db);

    let stopped = free_address().to_string();
    let mut command = stage.installation.command("health");
    command.env("ROLLCALL__HTTP__LISTEN", &stopped);
    let gone = said(command.spawn().unwrap()).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.one_line().contains(&stopped), "{gone:?}");
    stage.end().await;
}

#[tokio::test]
async fn the_configuration_for_kubernetes_loads_and_listens_where_the_manifests_say() {
    let folder = std::env::temp_dir().join(format!("rollcall-kit-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(folder.join("credentials")).unwrap();
    let config = text_of("kubernetes/base/rollcall.toml");
    fs::write(folder.join("rollcall.toml"), &config).unwrap();
    let secrets = [
        (
            "database",
            "postgres://rollcall:x@database/rollcall?sslmode=verify-full",
        ),
        ("graph.pem", CERTIFICATE),
        ("graph-key.pem", KEY),
    ];
    for (name, text) in secrets {
        let file = folder.join("credentials").join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o440)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .args(["config", "check", "--config"])
        .arg(folder.join("rollcall.toml"));
    let checked = command.output().await.unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let manifests = text_of("kubernetes/base/rollcall.yaml");
    for (key, name) in [("listen", "api"), ("metrics_listen", "metrics")] {
        let line = config
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key} = \"0.0.0.0:")))
            .unwrap();
        let port = line.trim_end_matches('"');
        assert!(
            manifests.contains(&format!("{{ name: {name}, containerPort: {port} }}")),
            "{port}"
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Runs `promtool`, which must find nothing to say against it.
async fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
#[ignore = "needs Prometheus: ./dev operations"]
async fn the_alerts_pass_their_unit_tests() {
    let path = |file: &str| deployed(file).display().to_string();
    promtool(&["check", "rules", &path("prometheus/alerts.yml")], "").await;
    promtool(&["test", "rules", &path("prometheus/alerts_test.yml")], "").await;
}

/// A Prometheus that scrapes a daemon each second.
struct Prometheus {
    api: String,
    _process: tokio::process::Child,
}

impl Prometheus {
    fn start(installation: &Installation, daemon: &Daemon) -> Self {
        let folder = &installation.folder;
        fs::write(folder.join("alerts.yml"), alerts::rules(QUICK)).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [alerts.yml]\n\
             scrape_configs: [{{ job_name: rollcall, static_configs: [{{ targets: [\"{}\"] }}] }}]\n",
            daemon.address
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = free_address();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("prometheus.log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            api: format!("http://{address}/api/v1"),
            _process: process,
        }
    }

    async fn get(&self, path: &str, query: &str) -> Option<Value> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut url = url::Url::parse(&format!("{}/{path}", self.api)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let answer = client.get(url).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    /// Whether a query has a result.
    async fn has(&self, query: &str) -> bool {
        let answer = self.get("query", query).await.unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        answer["data"]["result"]
            .as_array()
            .is_some_and(|found| !found.is_empty())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: ./dev operations"]
async fn a_real_prometheus_answers_every_query_of_the_dashboard_and_an_alert_fires() {
    let stage = Stage::new().await;
    let said = promtool(&["check", "metrics"], &stage.metrics().await).await;
    assert_eq!(said, "", "promtool check metrics");
    let prometheus = Prometheus::start(&stage.installation, &stage.daemon);
    let is_scraped = async || prometheus.has("rollcall_leader == 1").await;
    assert!(
        eventually(is_scraped).await,
        "{}",
        fs::read_to_string(stage.installation.folder.join("prometheus.log")).unwrap()
    );
    for query in queries() {
        // A query that shows only what is above 0 may show nothing.
        let query = query.trim_end_matches(" > 0").to_owned();
        assert!(
            eventually(async || prometheus.has(&query).await).await,
            "{query} shows nothing"
        );
    }
    assert!(!prometheus.has("ALERTS{alertname=\"RollcallRemovalsHeld\"}").await);

    let leaver = person(&stage.simulator, "Leaver");
    let came = async || {
        stage.daemon.metric("rollcall_change_feed_backlog").await.as_deref() == Some("0") && {
            let said = stage.installation.run(&format!("user show {leaver}")).await;
            said.code == Some(0)
        }
    };
    assert!(eventually(came).await, "{}", stage.daemon.log());
    stage
        .simulator
        .tenant()
        .update_user(leaver, |user| user.account_enabled = Some(false));
    let fires = async || {
        prometheus
            .has("ALERTS{alertname=\"RollcallRemovalsHeld\",alertstate=\"firing\",severity=\"warning\"}")
            .await
    };
    assert!(eventually(fires).await, "{}", stage.daemon.log());
    drop(prometheus);
    stage.end().await;
}
