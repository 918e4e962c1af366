//! The real daemon is killed twice during an import: every user has a row once, and the report says what is true.
//!
//! `ROLLCALL_IMPORT_USERS` sets how many users there are; with 50,000 it shows how long such an import takes.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::{Settings, Simulator};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Child;
use uuid::Uuid;

use crate::binary::{Installation, Said, said};
use crate::world::migrated_database;

/// How many users there are, unless the environment says otherwise, and how many of them are selected where they are.
const USERS: u64 = 2_000;
const SELECTED: usize = 600;

/// How often something is looked for before the test gives up, and the pause between.
const LOOKS: u32 = 120_000;
const PAUSE: Duration = Duration::from_millis(5);

struct Stage {
    simulator: Simulator,
    database: TestDatabase,
    installation: Installation,
}

impl Stage {
    async fn new(users: u64) -> Self {
        let simulator = Simulator::start(Settings {
            users,
            page_size: 200,
            ..Settings::default()
        })
        .unwrap();
        simulator.tenant().furnish();
        let database = migrated_database().await;
        let environment = "[sync]\ninterval = \"1h\"\n[[environment]]\nname = \"production\"\nkind = \"trial\"\n";
        let installation = Installation::new(&simulator, &database.url, environment);
        let said = installation.run("sync").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        Self {
            simulator,
            database,
            installation,
        }
    }

    async fn good(&self, arguments: &str) -> Said {
        let said = self.installation.run(arguments).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    }

    fn serve(&self) -> Child {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        self.installation
            .command("serve --log warn")
            .env("ROLLCALL__HTTP__LISTEN", address.to_string())
            .spawn()
            .unwrap()
    }

    async fn number(&self, query: &'static str) -> i64 {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    /// Starts a daemon and kills it once so many users have a result; what it held is free again at once.
    async fn kill_at(&self, done: i64) {
        let mut daemon = self.serve();
        self.wait_for(&format!("created + already_present + refused >= {done}"), &mut daemon)
            .await;
        daemon.start_kill().unwrap();
        let ended = said(daemon).await;
        assert_eq!(ended.code, None, "{ended:?}");
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        let still_there = "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'rollcall'";
        while sqlx::query_scalar::<_, i64>(still_there)
            .fetch_one(&mut db)
            .await
            .unwrap()
            > 0
        {
            Clock::system().sleep(PAUSE).await;
        }
        let waits = sqlx::query_scalar::<_, i64>("select count(*) from rollcall.import_job where state = 'running'");
        assert_eq!(waits.fetch_one(&mut db).await.unwrap(), 1, "the job was cut off");
        sqlx::raw_sql(
            "update rollcall.import_job set claim_expires_at = '-infinity';
             update rollcall.lease set expires_at = '-infinity'",
        )
        .execute(&mut db)
        .await
        .unwrap();
    }

    async fn wait_for(&self, holds: &str, daemon: &mut Child) {
        let query = format!("select {holds} from rollcall.import_job where id = 1");
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        for _ in 0..LOOKS {
            let holds: bool = sqlx::query_scalar(AssertSqlSafe(query.as_str()))
                .fetch_one(&mut db)
                .await
                .unwrap();
            if holds {
                return;
            }
            assert!(daemon.try_wait().unwrap().is_none(), "the daemon has ended");
            Clock::system().sleep(PAUSE).await;
        }
        panic!("never: {holds}");
    }

    /// Lets a daemon finish, and compares the report with the table.
    async fn finish(self, users: i64) {
        let mut daemon = self.serve();
        self.wait_for("state = 'ended'", &mut daemon).await;
        let pid = daemon.id().unwrap().to_string();
        let killed = tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await;
        assert!(killed.unwrap().success());
        let ended = said(daemon).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let report = self.good("job show 1 --output json").await.json();
        let count = |name: &str| report[name].as_i64().unwrap();
        assert_eq!(count("total"), users, "{report}");
        assert_eq!(count("created") + count("refused"), users, "{report}");
        assert_eq!(count("already_present"), 0);
        assert!(
            count("created") > users / 4 && count("refused") > users / 20,
            "{report}"
        );
        let rows = "select count(*) from rollcall.system_user where azureactivedirectoryobjectid is not null";
        assert_eq!(self.number(rows).await, count("created"));
        let truthful = "select count(*) from rollcall.import_item i
             left join rollcall.system_user s on s.environment = 'production'
                 and s.azureactivedirectoryobjectid = i.object_id and s.systemuserid = i.systemuserid
             where (i.state = 'created') = (s.systemuserid is not null) and i.state in ('created', 'refused')";
        assert_eq!(self.number(truthful).await, users);
        let once = "select count(distinct object_id) from rollcall.import_item";
        assert_eq!(self.number(once).await, users);
        let twice = "select count(*) from (select from rollcall.system_user_change where operation = 'create'
             group by environment, systemuserid having count(*) > 1) as twice";
        assert_eq!(self.number(twice).await, 0);
        self.database.drop_database().await.unwrap();
        self.simulator.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_everybody_whose_daemon_is_killed_twice_does_everything_once() {
    let wanted = std::env::var("ROLLCALL_IMPORT_USERS").map_or(USERS, |users| users.parse().unwrap());
    let stage = Stage::new(wanted).await;
    let users = stage
        .number("select count(*) from rollcall.directory_user where state = 0 and not is_agent")
        .await;
    stage
        .good("import --environment production --company USMF --all --background")
        .await;
    let clock = Clock::system();
    let began = clock.now();
    stage.kill_at(users / 5).await;
    stage.kill_at(users / 2).await;
    let mut daemon = stage.serve();
    stage.wait_for("state = 'ended'", &mut daemon).await;
    println!(
        "{users} users, killed twice: {:.1} s",
        (clock.now() - began).as_seconds_f64()
    );
    daemon.start_kill().unwrap();
    said(daemon).await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("update rollcall.lease set expires_at = '-infinity'")
        .execute(&mut db)
        .await
        .unwrap();
    stage.finish(users).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_selected_users_whose_daemon_is_killed_twice_does_everything_once() {
    let stage = Stage::new(USERS).await;
    let users: Vec<String> = stage
        .simulator
        .tenant()
        .user_ids()
        .iter()
        .map(Uuid::to_string)
        .collect();
    let users = &users[..SELECTED];
    let file = stage.installation.folder.join("users.txt");
    std::fs::write(&file, users.join("\n")).unwrap();
    let import = format!(
        "import --environment production --company USMF --background --file {}",
        file.display()
    );
    stage.good(&import).await;
    stage.kill_at(100).await;
    stage.kill_at(300).await;
    stage.finish(i64::try_from(users.len()).unwrap()).await;
}
