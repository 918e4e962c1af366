//! `rollcall import`, `job`, `candidates` and `user add --file`: what people read, and the exit codes of scripts.

use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{crowd, unlicensed};
use crate::binary::{Installation, Said};
use crate::world::migrated_database;

struct Stage {
    simulator: Simulator,
    database: TestDatabase,
    installation: Installation,
    /// Licensed users.
    users: Vec<Uuid>,
    /// An unlicensed one.
    bob: Uuid,
}

impl Stage {
    /// A tenant that has been read into an environment in which the cycle makes no row.
    async fn new() -> Self {
        let simulator = Simulator::start(Settings {
            users: 0,
            ..Settings::default()
        })
        .unwrap();
        let users = crowd(simulator.tenant(), 4);
        let bob = unlicensed(simulator.tenant(), "Bob");
        let database = migrated_database().await;
        let environment = "[[environment]]\nname = \"production\"\nkind = \"trial\"\n";
        let installation = Installation::new(&simulator, &database.url, environment);
        let stage = Self {
            simulator,
            database,
            installation,
            users,
            bob,
        };
        stage.good("sync --log error").await;
        stage
    }

    async fn run(&self, arguments: &str) -> Said {
        self.installation.run(arguments).await
    }

    async fn good(&self, arguments: &str) -> String {
        let said = self.run(arguments).await;
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(0), ""),
            "{arguments}: {said:?}"
        );
        said.stdout
    }

    async fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.good(&format!("{arguments} --output json")).await).unwrap()
    }

    async fn end(self) {
        self.database.drop_database().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_at_once_tells_what_became_of_whom_and_its_exit_code_does_too() {
    let stage = Stage::new().await;
    let import = "import --environment production --company USMF";
    let (ada, eve) = (stage.users[0], stage.users[1]);
    let text = stage
        .good(&format!("{import} --user {ada} {eve} --category sales"))
        .await;
    assert!(text.starts_with("Import job 1: complete\n"), "{text}");
    assert!(text.contains("by tester") && text.contains("category sales"), "{text}");
    assert!(
        text.contains("2 of the users created have no security role")
            && text.contains("rollcall role grant --job 1 ROLE")
            && text.contains("rollcall role grant USER ROLE --environment production"),
        "{text}"
    );
    let said = stage.run(&format!("{import} --all --output json")).await;
    assert_eq!(said.code, Some(6), "{said:?}");
    let report = said.json();
    assert_eq!(
        (report["outcome"].as_str(), &report["created"], &report["refused"]),
        (Some("ended_with_refusals"), &2.into(), &1.into())
    );
    assert_eq!(report["refused_by_code"][0]["code"], "unlicensed");
    let items = stage.json("job show 2 --items --state refused").await;
    assert_eq!(items["items"][0]["object_id"], stage.bob.to_string());
    let text = stage.good("job show 2 --items").await;
    assert!(
        text.contains("REFUSED BECAUSE") && text.contains("rollcall job requeue 2"),
        "{text}"
    );

    stage.simulator.faults().push(Fault::forever(
        When::path("/$batch"),
        Effect::error(401, "InvalidAuthenticationToken"),
    ));
    let said = stage.run(&format!("{import} --user {ada} --max-retries 0")).await;
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(
        said.stdout.contains("Import job 3: failed") && said.stdout.contains("problem"),
        "{said:?}"
    );
    stage.simulator.faults().clear();
    let text = stage.good("job requeue 3").await;
    assert_eq!(text, "Job 3 is waiting.\n");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_in_the_background_are_listed_cancelled_and_scheduled() {
    let stage = Stage::new().await;
    let import = "import --environment production --company USMF --background";
    let users = stage.installation.folder.join("users.txt");
    let lines: Vec<String> = stage.users.iter().map(Uuid::to_string).collect();
    std::fs::write(&users, format!("{}\n\n", lines.join("\n"))).unwrap();
    let file = format!("--file {}", users.display());
    stage
        .good(&format!("{import} {file} --batch-group intake --private --critical"))
        .await;
    let mut command = stage.installation.command(&format!("{import} --all"));
    let schedule = command.args(["--schedule", "0 2 * * 1-5"]).output().await.unwrap();
    assert!(schedule.status.success(), "{schedule:?}");
    let shown = String::from_utf8(schedule.stdout).unwrap();
    assert!(
        shown.contains("scheduled") && shown.contains("0 2 * * 1-5 (UTC)"),
        "{shown}"
    );
    let listed = stage.good("job list").await;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("JOB  SUBMITTED (UTC)"), "{listed}");
    assert!(
        lines[1].contains("scheduled") && lines[2].contains("intake"),
        "{listed}"
    );
    assert_eq!(stage.good("job cancel 1").await, "Job 1 is cancelled.\n");
    let cancelled = stage.json("job list --state cancelled").await;
    assert_eq!(cancelled["items"][0]["id"], 1);
    assert_eq!(
        (&cancelled["items"][0]["private"], &cancelled["items"][0]["total"]),
        (&true.into(), &4.into())
    );

    for (arguments, told) in [
        (format!("{import} --all {file}"), "cannot be used with"),
        (import.to_owned(), "--all"),
        (
            format!("{import} --all --max-retries 6").replace("--company USMF", ""),
            "max-retries",
        ),
    ] {
        let said = stage.run(&arguments).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(told), "{said:?}");
    }
    let said = stage.run(&format!("{import} --all --schedule never")).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.one_line().contains("schedule: "), "{said:?}");
    let said = stage.run("job show 99").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.one_line().contains("rollcall job list"), "{said:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_are_listed_and_a_file_of_them_added() {
    let stage = Stage::new().await;
    let found = stage.json("candidates --environment production").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 5);
    assert!(found["next"].is_null());
    let stopped = stage
        .run("candidates --environment production --limit 2 --output json")
        .await;
    let page = stopped.json();
    assert_eq!(page["next"], page["items"][1]["id"]);
    let table = stage.good("candidates --environment production --text bob").await;
    assert!(
        table.starts_with("USER") && table.contains("Bob Nobody") && table.contains("allowed"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2);

    let users = stage.installation.folder.join("users.txt");
    let lines: Vec<String> = stage.users.iter().chain([&stage.bob]).map(Uuid::to_string).collect();
    std::fs::write(&users, lines.join("\n")).unwrap();
    let add = format!("user add --environment production --file {}", users.display());
    let said = stage.run(&add).await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(
        said.stdout.matches("created").count() == 4 && said.stdout.contains("refused (unlicensed)"),
        "{said:?}"
    );
    let said = stage.run(&format!("{add} --output json")).await;
    let outcomes: Vec<String> = said.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        outcomes,
        ["unchanged", "unchanged", "unchanged", "unchanged", "refused"]
    );
    let left = stage.json("candidates --environment production").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_ends_with_the_roles_that_its_users_need() {
    let stage = Stage::new().await;
    let kind = "kind = \"trial\"";
    stage
        .installation
        .amend(kind, &format!("{kind}\nroles = [\"Reader\", \"Writer\"]"));
    let [ada, eve, ida, una] = stage.users[..] else {
        panic!()
    };
    let import = "import --environment production --company USMF";
    stage.good(&format!("{import} --user {ada} {eve}")).await;
    stage.good(&format!("role grant {ada} Reader")).await;
    stage.good(&format!("user disable {eve}")).await;

    // Present and new users alike, each with a result; a disabled one gets no role.
    let users = format!("--user {ada} {eve} {ida} {una}");
    let said = stage
        .run(&format!("{import} {users} --role Reader --role Writer --output json"))
        .await;
    assert_eq!(said.code, Some(6), "{said:?}");
    let report = said.json();
    assert_eq!(report["created_without_role"], 0, "{report}");
    assert_eq!(report["outcome"], "ended_with_refusals");
    assert_eq!(report["roles"], json!(["Reader", "Writer"]));
    assert_eq!(
        report["role_results"],
        json!([
            {"role": "Reader", "granted": 3, "refused": {"user_disabled": 1}},
            {"role": "Writer", "granted": 3, "refused": {"user_disabled": 1}},
        ])
    );
    let shown = stage.good("job show 2").await;
    for line in [
        "  roles        Reader, Writer",
        "Writer        3        1",
        "Writer was refused: user_disabled 1",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let said = stage.run("role grant --job 2 Writer --output json").await;
    assert_eq!(said.code, Some(6), "{said:?}");
    let results: Vec<Value> = said.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["outcome"].clone())
        .collect();
    assert_eq!(results, ["unchanged", "refused", "unchanged", "unchanged"]);
    let said = stage.run("role grant --job 1 Writer").await;
    assert!(said.stdout.contains("refused (user_disabled)"), "{said:?}");
    stage.good(&format!("user enable {eve}")).await;
    let text = stage.good(&format!("{import} {users} --role Writer")).await;
    assert!(text.contains("Writer        4        0"), "{text}");

    for (command, code, told) in [
        (format!("{import} {users} --role Emperor"), 6, "role_not_found"),
        (
            format!("role grant --job 1 {ada} Reader"),
            2,
            "cannot be named together with --job",
        ),
        ("role grant --job 99 Reader".to_owned(), 2, "rollcall job list"),
    ] {
        let said = stage.run(&command).await;
        assert_eq!(said.code, Some(code), "{command}: {said:?}");
        assert!(said.one_line().contains(told), "{command}: {said:?}");
    }
    let jobs = stage.json("job list").await;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 3, "a refused import is no job");
    let job = stage
        .json(&format!("{import} {users} --role Reader --role Reader --background"))
        .await;
    assert_eq!((&job["state"], &job["roles"]), (&json!("waiting"), &json!(["Reader"])));
    assert_eq!(job["role_results"], json!([]));
    stage.end().await;
}
