//! The command line as people and scripts meet it: the real binary, its output and its exit codes.

mod acts;
mod check;
mod daemon;
mod environments;
mod failures;
mod guard;
mod leadership;
mod lists;
mod many;
mod metrics;
mod pipes;
mod rules;
mod status;
mod terminal;
mod text;
mod units;
mod whereabouts;

use rollcall::clock::Clock;
use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::tenant::Furnished;
use rollcall::simulator::{Settings, Simulator};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::binary::{Installation, Said};
use crate::world::migrated_database;

/// Two environments, one of them behind a group.
const ENVIRONMENTS: &str = "
[[environment]]
name = \"production\"
kind = \"production\"
security_group = \"51331a7e-0000-4000-8000-000000000001\"

[[environment]]
name = \"sandbox\"
kind = \"sandbox\"
";

struct Stage {
    simulator: Simulator,
    furnished: Furnished,
    database: TestDatabase,
    installation: Installation,
}

impl Stage {
    async fn new() -> Self {
        Self::at(Clock::system()).await
    }

    /// With a tenant whose clock may differ from ours.
    async fn at(clock: Clock) -> Self {
        let simulator = Simulator::start(Settings {
            users: 60,
            clock,
            ..Settings::default()
        })
        .unwrap();
        let furnished = simulator.tenant().furnish();
        let database = migrated_database().await;
        let installation = Installation::new(&simulator, &database.url, ENVIRONMENTS);
        Self {
            simulator,
            furnished,
            database,
            installation,
        }
    }

    async fn run(&self, arguments: &str) -> Said {
        self.installation.run(arguments).await
    }

    /// Runs a command that must succeed; its standard output.
    async fn good(&self, arguments: &str) -> String {
        let said = self.run(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments}: {said:?}");
        said.stdout
    }

    /// Runs a command that must fail with one line; the line.
    async fn bad(&self, arguments: &str, code: i32) -> String {
        let said = self.run(arguments).await;
        assert_eq!(said.code, Some(code), "{arguments}: {said:?}");
        said.one_line().to_owned()
    }

    async fn number(&self, query: &'static str) -> i64 {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    async fn disabled(&self) -> i64 {
        self.number("select count(*) from rollcall.system_user where isdisabled")
            .await
    }

    /// Blocks the sign-in of so many users: more than the guard lets through.
    fn block(&self, users: usize) {
        for id in self.simulator.tenant().user_ids().into_iter().take(users) {
            let tenant = self.simulator.tenant();
            tenant.update_user(id, |user| user.account_enabled = Some(false));
        }
    }

    async fn end(self) {
        self.database.drop_database().await.unwrap();
    }
}

/// The cells of a table, by line.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_reports_what_it_did_and_a_dry_run_what_it_would_do() {
    let stage = Stage::new().await;
    let dry = stage.run("sync --dry-run --output json").await;
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""), "{dry:?}");
    let dry = dry.json();
    let created = dry["environments"][1]["created"].as_u64().unwrap();
    assert_eq!(dry["dry_run"], true);
    let changes = dry["changes"].as_array().unwrap();
    let in_sandbox = changes
        .iter()
        .filter(|change| change["environment"] == "sandbox")
        .count();
    assert_eq!(in_sandbox as u64, created);
    assert!(
        changes
            .iter()
            .all(|change| change["operation"] == "create" && change["fields"].is_object())
    );
    assert_eq!(
        stage.number("select count(*) from rollcall.system_user").await,
        0,
        "nothing is written"
    );

    let said = stage.run("sync --output json").await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    let report = said.json();
    let counts = |at: usize| {
        let one = &report["environments"][at];
        assert!(
            one["skipped"].is_object() && one["created"].as_u64().unwrap() > 10,
            "{report}"
        );
        json!({
            "environment": one["environment"], "created": one["created"], "updated": 0, "enabled": 0,
            "disabled": 0, "held": 0, "skipped": one["skipped"],
        })
    };
    let expected = json!({
        "run": report["run"].as_i64().unwrap(), "outcome": "complete", "dry_run": false,
        "environments": [counts(0), counts(1)],
    });
    assert_eq!(report, expected);
    assert_eq!(report["environments"][1]["created"], created);

    let table = stage.good("sync --environment sandbox").await;
    assert_eq!(
        cells(&table)[..2],
        [
            vec![
                "ENVIRONMENT",
                "CREATED",
                "UPDATED",
                "ENABLED",
                "DISABLED",
                "HELD",
                "SKIPPED"
            ],
            vec!["sandbox", "0", "0", "0", "0", "0", "-"]
        ]
    );
    assert!(table.ends_with("Run 3 is complete.\n"), "{table}");
    let line = stage.bad("sync --environment attic --output json", 2).await;
    assert_eq!(
        line,
        "rollcall: there is no environment `attic`; known: production, sandbox"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guard_holds_is_shown_and_decided_by_a_person() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    stage.block(40);
    let dry = stage.run("sync --dry-run").await;
    assert_eq!(dry.code, Some(3), "{dry:?}");
    assert!(
        dry.stdout.contains("disable (held)") && dry.stdout.contains("@contoso.example"),
        "{dry:?}"
    );
    assert!(
        dry.stdout
            .contains("removals until somebody approves them.\nENVIRONMENT  CHANGE"),
        "{dry:?}"
    );
    assert_eq!(stage.number("select count(*) from rollcall.held_set").await, 0);

    let said = stage.run("sync --output json").await;
    assert_eq!(said.code, Some(3), "{said:?}");
    let report = said.json();
    assert_eq!(report["outcome"], "held");
    let held = |at: usize| report["environments"][at]["held"].as_u64().unwrap();
    assert!(held(0) > 0 && held(1) > 0);
    assert_eq!(stage.disabled().await, 0);

    let shown = stage.good("runs show 3").await;
    assert!(
        shown.contains("WOULD LOSE ACCESS") && shown.contains("max_disable_percent"),
        "{shown}"
    );
    let shown: Value = serde_json::from_str(&stage.good("runs show 3 --output json").await).unwrap();
    assert_eq!(shown["held"].as_array().unwrap().len() as u64, held(0) + held(1));
    let listed = stage.good("runs list").await;
    assert_eq!(cells(&listed)[1][..2].len(), 2, "{listed}");
    let listed: Value = serde_json::from_str(&stage.good("runs list --output json").await).unwrap();
    assert_eq!(listed["items"][0]["outcome"], "held");
    assert!(stage.good("findings").await.contains("removals_held"));

    let said = stage.good("runs reject 3 --environment sandbox").await;
    assert_eq!(
        said,
        format!("sandbox: {} rows stay enabled, rejected by tester.\n", held(1))
    );
    let said = stage.good("runs approve 3").await;
    assert_eq!(
        said,
        format!("production: {} rows disabled, approved by tester.\n", held(0))
    );
    assert_eq!(stage.disabled().await, i64::try_from(held(0)).unwrap());
    assert!(stage.bad("runs approve 3", 2).await.contains("holds nothing"));
    assert!(stage.bad("runs show 99", 2).await.contains("runs list"));
    stage.good("sync").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_listed_shown_and_explained() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    let greta = stage.furnished.global_administrator;
    let list = stage.good("user list --environment production --mode 1").await;
    assert!(
        cells(&list)
            .iter()
            .any(|line| line.starts_with(&["greta.global@contoso.example"])),
        "{list}"
    );
    let list: Value = serde_json::from_str(
        &stage
            .good("user list --environment sandbox --text greta --output json")
            .await,
    )
    .unwrap();
    assert_eq!(list["items"][0]["azureactivedirectoryobjectid"], greta.to_string());
    assert_eq!(list["next"], Value::Null);
    let shown: Value = serde_json::from_str(
        &stage
            .good("user show GRETA.global@contoso.example --environment production --output json")
            .await,
    )
    .unwrap();
    assert_eq!(shown["user"]["accessmode"], 1);
    assert_eq!(shown["history"][0]["operation"], "create");

    let dana = stage.furnished.dynamics_administrator;
    let page = stage
        .good(&format!("explain {dana} --environment production --trigger access"))
        .await;
    for part in [
        "FAIL",
        "security_group",
        "Add the user to the security group",
        "background",
        "not_in_security_group",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let verdict: Value = serde_json::from_str(
        &stage
            .good(&format!(
                "explain {dana} --environment production --trigger access --output json"
            ))
            .await,
    )
    .unwrap();
    let keys: Vec<&str> = verdict.as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "environment",
        "user",
        "trigger",
        "outcome",
        "code",
        "entitlement",
        "accessmode",
        "checks",
    ] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert_eq!(
        (&verdict["outcome"], &verdict["code"]),
        (&json!("refuse"), &json!("not_in_security_group"))
    );
    let check = verdict["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["status"] == "fail")
        .unwrap();
    assert!(
        check["gate"] == "security_group" && check["remedy"].is_string() && check["detail"].is_string(),
        "{check}"
    );

    for command in ["user show", "explain"] {
        let line = stage
            .bad(&format!("{command} nobody@contoso.example --environment production"), 6)
            .await;
        assert!(line.contains("user_not_found"), "{line}");
        stage
            .bad(&format!("{command} nobody@contoso.example --environment attic"), 2)
            .await;
    }
    stage.bad("explain x --environment production --trigger whim", 2).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_and_checks_show_no_secret() {
    let stage = Stage::new().await;
    let password = url::Url::parse(&stage.database.url)
        .unwrap()
        .password()
        .unwrap_or("simulated~secret")
        .to_owned();
    for command in [
        "config show",
        "config show --output json",
        "config check",
        "check",
        "check --output json",
    ] {
        let said = stage.run(command).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        for secret in [stage.simulator.client_secret(), password.clone()] {
            assert!(
                !said.stdout.contains(&secret) && !said.stderr.contains(&secret),
                "{command}: {said:?}"
            );
        }
    }
    let check: Value = serde_json::from_str(&stage.good("check --output json").await).unwrap();
    assert!(
        check["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|line| line["status"] != "failed"),
        "{check}"
    );
    assert_eq!(stage.good("migrate").await, "The database is up to date.\n");
    let applications = async |stage: &Stage| {
        let check: Value = serde_json::from_str(&stage.good("check --output json").await).unwrap();
        let line = check["checks"].as_array().unwrap().iter().find(|line| {
            let what = line["check"].as_str().unwrap();
            what.starts_with("applications (")
        });
        let line = line.unwrap().clone();
        (line["status"].clone(), line["detail"].as_str().unwrap().to_owned())
    };
    let (status, detail) = applications(&stage).await;
    assert_eq!(status, "warning", "the permission is optional");
    assert!(
        detail.contains("application users cannot be created") && detail.contains("Application.Read.All"),
        "{detail}"
    );
    stage.simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
    assert_eq!(applications(&stage).await, (Value::from("ok"), "readable".to_owned()));
    stage.end().await;
}
