//! The real daemon is killed twice during an import: every user has a row once, and the report says what is true.
//!
//! `ROLLCALL_IMPORT_USERS` sets how many users there are; with 50,000 it shows how long such an import takes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::{Settings, Simulator};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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

/// Stops the batch that brings the job to so many results, or to so many roles granted, right before it commits.
const GATE: &str = "
create schema test;
create table test.gate (done bigint not null, roles bigint not null);
insert into test.gate values (1000000000, 1000000000);
create function test.at_grants() returns trigger language plpgsql as $$
begin
    if (select count(*) from rollcall.system_user_role) >= (select roles from test.gate) then
        perform pg_advisory_xact_lock(1);
    end if;
    return null;
end $$;
create constraint trigger at_grants after insert on rollcall.system_user_role
    deferrable initially deferred for each row execute function test.at_grants();
create function test.at_batch() returns trigger language plpgsql as $$
begin
    if new.created + new.already_present + new.refused >= (select done from test.gate) then
        perform pg_advisory_xact_lock(1);
    end if;
    return null;
end $$;
create constraint trigger at_batch after update of created on rollcall.import_job
    deferrable initially deferred for each row execute function test.at_batch();
create view test.stopped as select pid from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'";

struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        let ended = said(self.child).await;
        assert_eq!(ended.code, None, "{ended:?}");
    }

    async fn signal(&self) {
        let pid = self.child.id().unwrap().to_string();
        let killed = tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await;
        assert!(killed.unwrap().success());
    }

    async fn ends_well(self) {
        let ended = said(self.child).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("not everything has ended in time"), "{ended:?}");
    }

    /// Ends it as a service manager would, which waits until it has begun.
    async fn stop(self) {
        for _ in 0..LOOKS {
            if TcpStream::connect(self.address).await.is_ok() {
                break;
            }
            Clock::system().sleep(PAUSE).await;
        }
        self.signal().await;
        self.ends_well().await;
    }

    /// The line of its metrics that has counted jobs.
    async fn counted_jobs(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let line = answer
            .lines()
            .find(|line| line.starts_with("rollcall_import_jobs_total{") && !line.ends_with(" 0"))?;
        Some(line.to_owned())
    }
}

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
            listing_page_size: 200,
            ..Settings::default()
        })
        .unwrap();
        simulator.tenant().furnish();
        let database = migrated_database().await;
        let environment = "[sync]\ninterval = \"1h\"\n[[environment]]\nname = \"production\"\nkind = \"trial\"\n\
                           roles = [\"Reader\"]\n";
        let installation = Installation::new(&simulator, &database.url, environment);
        let said = installation.run("sync").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        execute(&mut PgConnection::connect(&database.url).await.unwrap(), GATE).await;
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

    /// Starts a daemon on a port that was free a moment ago.
    fn serve(&self) -> Daemon {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = self
            .installation
            .command("serve --log warn")
            .env("ROLLCALL__HTTP__LISTEN", address.to_string())
            .spawn()
            .unwrap();
        Daemon { child, address }
    }

    async fn number(&self, query: &'static str) -> i64 {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    /// Starts a daemon and lets it come to the commit at a gate, such as `done = 100`: so many users have a result then.
    async fn stopped_at(&self, gate: &str) -> (Daemon, PgConnection) {
        let mut db = PgConnection::connect(&self.database.url).await.unwrap();
        execute(&mut db, "select pg_advisory_lock(1)").await;
        execute(&mut db, &format!("update test.gate set {gate}")).await;
        let mut daemon = self.serve();
        self.wait_for("(select count(*) from test.stopped) > 0", &mut daemon)
            .await;
        (daemon, db)
    }

    /// Starts a daemon and kills it there; the commit is lost, or carried out with nobody to tell. What it held is
    /// free again at once.
    async fn kill_at(&self, gate: &str, is_lost: bool) {
        let (daemon, mut db) = self.stopped_at(gate).await;
        daemon.kill().await;
        if is_lost {
            execute(&mut db, "select pg_terminate_backend(pid) from test.stopped").await;
        }
        execute(&mut db, "update test.gate set done = 1000000000, roles = 1000000000").await;
        execute(&mut db, "select pg_advisory_unlock(1)").await;
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
        let cut_off = "select count(*) from rollcall.import_job where state = 'running'";
        assert_eq!(self.number(cut_off).await, 1);
        execute(
            &mut db,
            "update rollcall.import_job set claim_expires_at = '-infinity';
             update rollcall.lease set expires_at = '-infinity'",
        )
        .await;
    }

    /// Starts a daemon and tells it to stop there: it finishes the batch in hand and gives the job back.
    async fn stop_at(&self, gate: &str) {
        let (mut daemon, mut db) = self.stopped_at(gate).await;
        daemon.signal().await;
        while TcpStream::connect(daemon.address).await.is_ok() {
            assert!(daemon.child.try_wait().unwrap().is_none());
            Clock::system().sleep(PAUSE).await;
        }
        execute(&mut db, "update test.gate set done = 1000000000, roles = 1000000000").await;
        execute(&mut db, "select pg_advisory_unlock(1)").await;
        daemon.ends_well().await;
        let given_back = "select count(*) from rollcall.import_job where state = 'waiting' and claimed_by is null";
        assert_eq!(self.number(given_back).await, 1);
    }

    async fn wait_for(&self, holds: &str, daemon: &mut Daemon) {
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
            assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon has ended");
            Clock::system().sleep(PAUSE).await;
        }
        panic!("never: {holds}");
    }

    /// Lets a daemon finish, and compares the report with the table.
    async fn finish(self, users: i64) {
        let mut daemon = self.serve();
        self.wait_for("state = 'ended'", &mut daemon).await;
        daemon.stop().await;
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
        let roles = report["roles"].as_array().unwrap().len();
        let granted = count("created") * i64::try_from(roles).unwrap();
        let once = "select count(*) from rollcall.system_user_change where operation = 'grant'";
        assert_eq!(self.number(once).await, granted);
        let held = "select count(*) from rollcall.system_user_role where role = 'Reader' and granted_by = 'tester'";
        assert_eq!(self.number(held).await, granted);
        assert_eq!(report["role_results"].as_array().unwrap().len(), roles, "{report}");
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
    let tenant = stage.simulator.tenant();
    let everybody = tenant.user_ids().into_iter().filter_map(|id| tenant.user(id));
    let users = i64::try_from(everybody.filter(|user| !user.is_agent).count()).unwrap();
    stage
        .good("import --environment production --company USMF --all --background --critical --category finance")
        .await;
    let clock = Clock::system();
    let began = clock.now();
    stage.kill_at(&format!("done = {}", users / 5), true).await;
    stage.kill_at(&format!("done = {}", users / 2), false).await;
    let mut daemon = stage.serve();
    stage.wait_for("state = 'ended'", &mut daemon).await;
    println!(
        "{users} users, killed twice: {:.1} s",
        (clock.now() - began).as_seconds_f64()
    );
    let counted = daemon.counted_jobs().await.unwrap();
    for label in [
        "outcome=\"ended_with_refusals\"",
        "category=\"finance\"",
        "critical=\"true\"",
    ] {
        assert!(counted.contains(label) && counted.ends_with(" 1"), "{counted}");
    }
    daemon.stop().await;
    stage.finish(users).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_with_a_role_whose_daemon_is_killed_four_times_does_everything_once() {
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
        "import --environment production --company USMF --role Reader --background --file {}",
        file.display()
    );
    stage.good(&import).await;
    stage.kill_at("done = 100", true).await;
    stage.kill_at("done = 300", false).await;
    stage.stop_at("done = 400").await;
    stage.kill_at("roles = 1", false).await;
    stage.kill_at("roles = 201", true).await;
    stage.finish(i64::try_from(users.len()).unwrap()).await;
}

async fn execute(db: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await.unwrap();
}
