//! What the guard holds, from the cycle that found it to the decision: through the real daemon, which is killed in
//! between, by the command line and by the API.

use reqwest::Method;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::Stage;
use crate::daemon::{Daemon, eventually};

const HELD_RUNS: &str = "select count(distinct run_id) from rollcall.held_set where decision is null";

/// An installation with an operator's token for the API.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    let hash: String = digest(&SHA256, b"the helpdesk's token")
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    stage.installation.amend(
        "\n[database]",
        &format!(
            "\n[[http.token]]\nname = \"helpdesk\"\nsha256 = \"{hash}\"\nroles = [\"Rollcall.Operate\"]\n\n[database]"
        ),
    );
    stage
}

impl Stage {
    async fn execute(&self, statement: &'static str) {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
    }

    async fn strings(&self, query: &'static str) -> Vec<String> {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        sqlx::query_scalar(query).fetch_all(&mut db).await.unwrap()
    }

    /// The daemon dies without a word, and another one takes its place; the lease is taken to have run out by then.
    async fn replace(&self, daemon: Daemon) -> Daemon {
        daemon.kill().await;
        self.execute("update rollcall.lease set expires_at = '-infinity'").await;
        Daemon::start(&self.installation)
    }

    /// The run that holds something, once there is one.
    async fn held_run(&self, daemon: &Daemon) -> i64 {
        let holds = eventually(async || self.number(HELD_RUNS).await == 1).await;
        assert!(holds, "{}", daemon.log());
        self.number("select run_id from rollcall.held_set where decision is null limit 1")
            .await
    }

    /// So many lose their accounts between two cycles, not one by one during one.
    async fn block_at_once(&self, users: usize, daemon: &Daemon) {
        daemon.signal("-STOP").await;
        self.block(users);
        daemon.signal("-CONT").await;
    }

    fn allow_all(&self) {
        for id in self.simulator.tenant().user_ids() {
            let tenant = self.simulator.tenant();
            tenant.update_user(id, |user| user.account_enabled = Some(true));
        }
    }
}

impl Daemon {
    async fn shows_held(&self, count: i64) {
        let expected = count.to_string();
        let shows = eventually(async || self.metric("rollcall_guard_held").await.as_deref() == Some(&expected)).await;
        assert!(
            shows,
            "{:?} instead of {count}: {}",
            self.metric("rollcall_guard_held").await,
            self.log()
        );
    }

    /// Calls the API as the help desk.
    async fn call(&self, method: Method, path: &str) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method, format!("http://{}/api/v1/{path}", self.address));
        let answer = request.bearer_auth("the helpdesk's token").send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_run_survives_a_kill_says_who_would_lose_what_and_is_approved_by_names() {
    let stage = stage().await;
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    daemon.shows_held(0).await;
    stage.block_at_once(40, &daemon).await;
    let run = stage.held_run(&daemon).await;
    let rows = stage
        .number("select count(*) from rollcall.removal where state = 'held'")
        .await;
    daemon.shows_held(rows).await;

    let daemon = stage.replace(daemon).await;
    daemon.shows_held(rows).await;
    daemon.becomes_ready().await;
    assert_eq!(stage.disabled().await, 0);
    assert_eq!(stage.held_run(&daemon).await, run, "the same set, not another one");

    // Who, what, why, in words and as a document, on the command line and in the API.
    let shown = stage.good(&format!("runs show {run}")).await;
    let names = stage
        .strings(
            "select distinct s.domainname from rollcall.removal r join rollcall.system_user s using (environment, systemuserid)
             where r.state = 'held'",
        )
        .await;
    assert!(names.len() > 20);
    for part in names.iter().map(String::as_str).chain([
        "WOULD LOSE ACCESS",
        "directory_account_disabled",
        "max_disable_percent",
        "rows wait until",
    ]) {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let document: Value = serde_json::from_str(&stage.good(&format!("runs show {run} --output json")).await).unwrap();
    let (status, by_api) = daemon.call(Method::GET, &format!("runs/{run}")).await;
    assert_eq!((status, &by_api["held"]), (200, &document["held"]));
    assert_eq!(
        document["held"].as_array().unwrap().len(),
        usize::try_from(rows).unwrap()
    );
    for row in document["held"].as_array().unwrap() {
        assert_eq!(row["reason"], "directory_account_disabled");
        assert!(row["domainname"].is_string() && row["systemuserid"].is_string());
    }
    let listed: Value = serde_json::from_str(&stage.good("runs list --limit 100 --output json").await).unwrap();
    let item = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["id"] == run);
    assert_eq!(item.unwrap()["outcome"], "held", "{listed}");

    // One environment by the command line, the other by the API.
    let said = stage
        .good(&format!("runs approve {run} --environment production"))
        .await;
    assert!(said.contains("rows disabled, approved by tester."), "{said}");
    let disabled = stage.disabled().await;
    assert!(disabled > 0 && disabled < rows);
    daemon.shows_held(rows - disabled).await;
    let (status, decided) = daemon.call(Method::POST, &format!("runs/{run}/approve")).await;
    assert_eq!((status, decided["decided_by"].as_str()), (200, Some("helpdesk")));
    assert_eq!(decided["environments"][0]["environment"], "sandbox");
    assert_eq!(stage.disabled().await, rows);
    daemon.shows_held(0).await;

    let actors = stage
        .strings(
            "select distinct concat_ws(' ', environment, actor, reason, run_id = (select max(run_id) from rollcall.held_set))
             from rollcall.system_user_change where operation = 'disable' order by 1",
        )
        .await;
    assert_eq!(
        actors,
        [
            "production tester directory_account_disabled t",
            "sandbox helpdesk directory_account_disabled t"
        ]
    );
    let sets =
        stage.strings("select concat_ws(' ', environment, decision, decided_by) from rollcall.held_set order by 1");
    assert_eq!(sets.await, ["production approved tester", "sandbox approved helpdesk"]);

    // A second decision is refused, whoever makes it; nothing is open any more, without waiting for a cycle.
    for decision in ["approve", "reject"] {
        let (status, problem) = daemon.call(Method::POST, &format!("runs/{run}/{decision}")).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (409, Some("nothing_held")),
            "{problem}"
        );
        let line = stage.bad(&format!("runs {decision} {run}"), 2).await;
        assert!(line.contains("holds nothing there"), "{line}");
    }
    assert!(!stage.good("findings").await.contains("removals_held"));
    daemon.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_run_closes_by_itself_expires_and_is_rejected_over_restarts() {
    let stage = stage().await;
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    stage.block_at_once(40, &daemon).await;
    let first = stage.held_run(&daemon).await;
    // The directory changes back while nobody looks.
    daemon.kill().await;
    stage.allow_all();
    stage
        .execute("update rollcall.lease set expires_at = '-infinity'")
        .await;
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    let closed = "select count(*) from rollcall.held_set where decision = 'changed_back' and decided_by is null";
    assert!(
        eventually(async || stage.number(closed).await == 2).await,
        "{}",
        daemon.log()
    );
    daemon.shows_held(0).await;
    assert!(!stage.good("findings").await.contains("removals_held"));
    let shown = stage.good(&format!("runs show {first}")).await;
    assert!(shown.contains("Held in production: changed_back"), "{shown}");

    // Nobody decides in time: the rows are judged anew, and held anew by another run.
    stage.block_at_once(40, &daemon).await;
    let second = stage.held_run(&daemon).await;
    assert!(second > first);
    stage
        .execute("update rollcall.held_set set expires_at = now() - interval '1 second' where decision is null")
        .await;
    let expired = "select count(*) from rollcall.held_set where decision = 'expired'";
    assert!(
        eventually(async || stage.number(expired).await == 2).await,
        "{}",
        daemon.log()
    );
    let third = stage.held_run(&daemon).await;
    assert!(third > second);
    let (status, problem) = daemon.call(Method::POST, &format!("runs/{second}/approve")).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (409, Some("nothing_held")),
        "{problem}"
    );

    // Rejected, and the next daemon knows it.
    let (status, decided) = daemon.call(Method::POST, &format!("runs/{third}/reject")).await;
    assert_eq!((status, decided["decided_by"].as_str()), (200, Some("helpdesk")));
    let daemon = stage.replace(daemon).await;
    daemon.becomes_ready().await;
    let runs = "select count(*) from rollcall.sync_run where outcome = 'complete'";
    let before = stage.number(runs).await;
    assert!(
        eventually(async || stage.number(runs).await > before + 1).await,
        "{}",
        daemon.log()
    );
    daemon.shows_held(0).await;
    assert_eq!(stage.disabled().await, 0, "rejected rows stay enabled");
    assert_eq!(stage.number(HELD_RUNS).await, 0);
    let shown = stage.good(&format!("runs show {third}")).await;
    assert!(shown.contains("rejected by helpdesk"), "{shown}");
    daemon.stop().await;
    stage.end().await;
}
