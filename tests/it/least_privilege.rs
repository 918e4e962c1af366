//! `deploy/database-roles.sql`: what the daemon's role does, and what no role but the owner's can.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rollcall::simulator::cluster::{TestDatabase, test_database};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Settings, Simulator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::process::Command;
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::Daemon;

const ENVIRONMENTS: &str = "
[[environment]]
name = \"production\"
kind = \"production\"
roles = [\"Owner\", \"Helper\"]

[[environment]]
name = \"intake\"
kind = \"trial\"
";

/// Roles are the server's and other tests run beside, so these have names of their own.
struct Roles {
    owner: String,
    daemon: String,
    reader: String,
}

impl Roles {
    fn new() -> Self {
        let one = |what: &str| format!("{what}_{}", Uuid::new_v4().simple());
        Self {
            owner: one("owner"),
            daemon: one("daemon"),
            reader: one("reader"),
        }
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("owner", &self.owner),
            ("daemon", &self.daemon),
            ("reader", &self.reader),
        ]
    }
}

/// `psql`, beside the server's other programs where they are named.
fn psql() -> PathBuf {
    std::env::var_os("ROLLCALL_PG_BIN").map_or_else(|| "psql".into(), |folder| Path::new(&folder).join("psql"))
}

/// Runs `deploy/database-roles.sql`, with variables.
pub async fn run_script(database: &TestDatabase, variables: &[(&str, &str)]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/database-roles.sql");
    let variables = variables
        .iter()
        .flat_map(|(name, value)| ["-v".to_owned(), format!("{name}={value}")]);
    let output: Output = Command::new(psql())
        .args(["-X", "-q", "-d", &database.url, "-f"])
        .arg(script)
        .args(variables)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

pub async fn execute(url: &str, statement: String) {
    let mut db = PgConnection::connect(url).await.unwrap();
    db.execute(AssertSqlSafe(statement)).await.unwrap();
}

/// The database's URL for a role, which gets a password for it.
pub async fn url_of(database: &TestDatabase, role: &str) -> String {
    execute(&database.url, format!("alter role {role} password 'of the test'")).await;
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_username(role).unwrap();
    url.set_password(Some("of%20the%20test")).unwrap();
    url.into()
}

pub fn person(simulator: &Simulator, name: &str) -> Uuid {
    let id = simulator.tenant().add_user(User::named(name, "Person"));
    simulator.tenant().give_profile(id, Profile::E5PowerApps);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_s_role_can_do_all_of_the_daemon_s_work_and_nothing_else() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
    let database = test_database("roles").await.unwrap();
    let roles = Roles::new();
    run_script(&database, &roles.variables()).await;
    let as_daemon = Installation::new(&simulator, &url_of(&database, &roles.daemon).await, ENVIRONMENTS);
    let as_owner = Installation::new(&simulator, &url_of(&database, &roles.owner).await, ENVIRONMENTS);
    let said = as_daemon.run("serve").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("permission denied for schema rollcall") && said.stderr.contains("rollcall migrate"));

    assert_eq!(as_owner.run("migrate").await.code, Some(0));
    run_script(&database, &roles.variables()).await;
    run_script(&database, &roles.variables()).await;
    work(&simulator, &as_daemon, &database).await;
    assert_bounded(&database, &roles).await;

    end(database, &roles.variables().map(|(_, role)| role)).await;
}

/// Drops a database and the roles that were made for it.
pub async fn end(database: TestDatabase, roles: &[&str]) {
    let mut server = url::Url::parse(&database.url).unwrap();
    server.set_path("postgres");
    database.drop_database().await.unwrap();
    execute(server.as_str(), format!("drop role {}", roles.join(", "))).await;
}

/// Every kind of work, by the daemon's role.
async fn work(simulator: &Simulator, installation: &Installation, database: &TestDatabase) {
    let good = async |arguments: &str| {
        let said = installation.run(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments}: {said:?}");
        said.stdout
    };
    let [ada, bob, eve, mia] = ["Ada", "Bob", "Eve", "Mia"].map(|name| person(simulator, name));
    assert_eq!(good("migrate").await, "The database is up to date.\n");
    good("check").await;
    good("sync --dry-run").await;
    good("sync").await;
    good("sync --full").await;
    execute(
        &database.url,
        "alter table rollcall.system_user add column cost_centre text".to_owned(),
    )
    .await;
    let (_, robot) = simulator.tenant().add_service_principal("Robot");
    let new = person(simulator, "New");
    for user in [
        format!("add {new}"),
        format!("access {ada}"),
        format!("refresh {ada}"),
        format!("edit {ada} --set jobtitle=Countess --set cost_centre=4711"),
        format!("edit {bob} --set accessmode=4"),
        format!("disable {bob}"),
        format!("enable {bob}"),
        format!("hold {eve} --reason away"),
        format!("release {eve}"),
        format!("own {ada} --field internalemailaddress --by customer"),
        "stub old@contoso.example".to_owned(),
        "stub older@contoso.example".to_owned(),
        format!("application {robot}"),
        "delete older@contoso.example".to_owned(),
        format!("show {ada}"),
        "list".to_owned(),
    ] {
        good(&format!("user {user} --environment production")).await;
    }
    let late = person(simulator, "Late");
    good(&format!("user map old@contoso.example {late} --environment production")).await;
    good(&format!("role grant {ada} Owner --environment production")).await;
    good(&format!("role grant {bob} Owner --environment production")).await;
    good(&format!("role revoke {ada} Owner --environment production")).await;
    good("role list --environment production").await;
    good(&format!("explain {ada} --environment production")).await;
    good("candidates --environment intake").await;
    good(&format!(
        "import --environment intake --company USMF --user {ada} {bob}"
    ))
    .await;
    good("import --environment intake --company USMF --all").await;
    let later = "--background --private --batch-group night";
    good(&format!("import --environment intake --company USMF --all {later}")).await;
    good("job list").await;
    good("job show 1 --items").await;
    good("job cancel 3").await;
    good("job requeue 3").await;
    good("findings").await;

    // The guard holds, one set is rejected and the other approved.
    installation.amend(
        "[[environment]]\nname = \"production\"",
        "[guard]\nmax_disables = 0\n\n[[environment]]\nname = \"production\"",
    );
    simulator
        .tenant()
        .update_user(mia, |user| user.account_enabled = Some(false));
    let said = installation.run("sync --output json").await;
    assert_eq!(said.code, Some(3), "{said:?}");
    let run = said.json()["run"].to_string();
    good("runs list").await;
    good(&format!("runs reject {run} --environment intake")).await;
    good(&format!("runs approve {run}")).await;

    let daemon = Daemon::start(installation);
    daemon.becomes_ready().await;
    let log = daemon.stop().await;
    assert!(!log.contains("permission denied"), "{log}");
}

/// What each role cannot do, and what the reader can.
async fn assert_bounded(database: &TestDatabase, roles: &Roles) {
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    let refused = async |db: &mut PgConnection, role: &str, statement: &'static str| {
        db.execute(AssertSqlSafe(format!("set role {role}"))).await.unwrap();
        let error = db.execute(statement).await.err();
        let code = error.as_ref().and_then(|error| error.as_database_error()?.code());
        assert_eq!(code.as_deref(), Some("42501"), "{role}: {statement}: {error:?}");
    };
    for statement in [
        "alter table rollcall.system_user add column mine text",
        "alter table rollcall.system_user disable trigger z_foreign_write",
        "set session_replication_role = replica",
        "drop table rollcall.system_user_change",
        "truncate rollcall.system_user",
        "delete from rollcall.system_user",
        "update rollcall.system_user_change set actor = 'nobody'",
        "delete from rollcall.system_user_change",
        "truncate rollcall.system_user_change",
        "delete from rollcall.sync_run",
        "update rollcall.sync_run set outcome = 'complete'",
        "insert into rollcall.sync_run (trigger, started_at, ended_at, outcome) values ('interval', now(), now(), 'complete')",
        "insert into rollcall.held_set (environment, run_id, why, held_at, expires_at) values ('production', 1, 'x', now(), now())",
        "update rollcall.held_set set decided_by = 'somebody else'",
        "update rollcall.held_set set decision = null",
        "update rollcall.change_feed set position = position + 1",
        "delete from rollcall.change_feed",
        "update rollcall.installation set tenant = gen_random_uuid()",
        "delete from rollcall.installation",
        "select rollcall.note_foreign_write()",
        "delete from rollcall._sqlx_migrations",
        "update rollcall._sqlx_migrations set success = false",
        "create table rollcall.mine (a integer)",
        "create table public.mine (a integer)",
        "create temporary table mine (a integer)",
        "create schema mine",
        "create or replace function rollcall.keep_non_interactive_cap() returns trigger language sql as 'select null'",
        "create role mine",
    ] {
        refused(&mut db, &roles.daemon, statement).await;
    }
    assert_history_stands(&mut db, roles).await;
    for statement in [
        "update rollcall.system_user set company = 'USMF'",
        "insert into rollcall.system_user (environment, systemuserid) values ('production', gen_random_uuid())",
        "delete from rollcall.system_user_role",
        "select rollcall.set_custom_column('production', systemuserid, 'cost_centre', '\"1\"') from rollcall.system_user",
        "select from rollcall.directory_user",
        "select from rollcall.import_item",
        "select from rollcall.checkpoint",
        "select from rollcall.console_session",
        "select nextval('rollcall.round')",
        "create table rollcall.mine (a integer)",
    ] {
        refused(&mut db, &roles.reader, statement).await;
    }
    for table in [
        "system_user",
        "system_user_role",
        "system_user_change",
        "change_feed",
        "sync_run",
        "finding",
        "business_unit",
        "position",
        "team",
        "team_member",
        "team_role",
        "team_membership",
        "effective_role",
    ] {
        let read = format!("select from rollcall.{table} limit 1");
        db.execute(AssertSqlSafe(read))
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}

/// What the owner's functions let the daemon's role do, once, and no more.
async fn assert_history_stands(db: &mut PgConnection, roles: &Roles) {
    let history = "select md5(string_agg(t, '' order by t)) from (
                       select r::text from rollcall.sync_run r union all select h::text from rollcall.held_set h
                       union all select c::text from rollcall.system_user_change c
                       union all select f::text from rollcall.finding f) as all_of_it (t)";
    let role = format!("set role {}", roles.daemon);
    db.execute(AssertSqlSafe(role)).await.unwrap();
    let before: String = sqlx::query_scalar(history).fetch_one(&mut *db).await.unwrap();
    for again in [
        "select rollcall.end_run(id, now(), 'complete', '{}', '{}') from rollcall.sync_run",
        "select rollcall.keep_planned(id, '[]') from rollcall.sync_run",
        "select rollcall.decide_set(environment, run_id, 'approved', 'somebody else', now()) from rollcall.held_set",
        "select rollcall.close_set(environment, run_id, 'expired', 'infinity') from rollcall.held_set",
        "select rollcall.dissolve_sets(environment, 'somebody else', now()) from rollcall.held_set",
        "select rollcall.purge(h, 'infinity', 0, 1000000) from unnest(array['changes', 'runs', 'findings']) h",
        "select rollcall.hold_set(environment, run_id, 'another reason', now(), now()) from rollcall.held_set",
    ] {
        db.execute(again).await.unwrap();
        let after: String = sqlx::query_scalar(history).fetch_one(&mut *db).await.unwrap();
        assert_eq!(after, before, "{again}");
    }
    db.execute("begin").await.unwrap();
    let back_dated: bool = sqlx::query_scalar(
        "insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
         select environment, '2020-01-01', 'ada', systemuserid, o from rollcall.system_user, unnest(array['create', 'edit']) o
         where domainname = 'crmoln@microsoft.com' and environment = 'production' returning at < now()",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap()
    .into_iter()
    .any(|is_back_dated| is_back_dated);
    assert!(!back_dated);
    db.execute("rollback").await.unwrap();
}
