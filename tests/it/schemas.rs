//! `database.schema`: tenants side by side in one database, each with a daemon, a lease, roles and rows of its own; and
//! what a search path could lead astray.

use rollcall::simulator::cluster::{TestDatabase, test_database};
use rollcall::simulator::{Settings, Simulator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::{Daemon, eventually};
use crate::least_privilege::{end, execute, person, run_script, url_of};
use crate::world::{World, licensed, open_environment};

const ENVIRONMENTS: &str = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";

/// A tenant with a schema, and roles that are named after it.
struct Tenant {
    schema: String,
    simulator: Simulator,
    as_daemon: Installation,
}

impl Tenant {
    async fn moves_into(database: &TestDatabase) -> Self {
        let schema = format!("tenant_{:.8}", Uuid::new_v4().simple());
        let simulator = Simulator::start(Settings {
            tenant_id: Uuid::new_v4(),
            ..Settings::default()
        })
        .unwrap();
        run_script(database, &[("schema", &schema)]).await;
        let settings = format!("schema = \"{schema}\"\n\n{ENVIRONMENTS}");
        let installation = async |role: &str| {
            let installation = Installation::new(&simulator, &url_of(database, role).await, ENVIRONMENTS);
            installation.amend(ENVIRONMENTS, &settings);
            installation
        };
        let as_owner = installation(&format!("{schema}_owner")).await;
        let migrated = as_owner.run("migrate").await;
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        run_script(database, &[("schema", &schema)]).await;
        let as_daemon = installation(&schema).await;
        Self {
            schema,
            simulator,
            as_daemon,
        }
    }

    fn roles(&self) -> [String; 3] {
        ["", "_owner", "_reader"].map(|what| format!("{}{what}", self.schema))
    }

    async fn number(&self, db: &mut PgConnection, what: &str, table: &str) -> i64 {
        let count = format!("select {what} from {}.{table}", self.schema);
        sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(db).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_sync_into_two_schemas_of_one_database_and_know_nothing_of_each_other() {
    let database = test_database("schemas").await.unwrap();
    let one = Tenant::moves_into(&database).await;
    let two = Tenant::moves_into(&database).await;
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    let people = "count(*) filter (where azureactivedirectoryobjectid is not null)";
    let runs = "count(*) filter (where trigger = 'sync')";
    for (tenant, names) in [(&one, ["Ada", "Bob"].as_slice()), (&two, &["Eve"])] {
        for name in names {
            person(&tenant.simulator, name);
        }
    }

    let (first, second) = (Daemon::start(&one.as_daemon), Daemon::start(&two.as_daemon));
    first.becomes_ready().await;
    second.becomes_ready().await;
    for (tenant, rows) in [(&one, 2), (&two, 1)] {
        assert_eq!(tenant.number(&mut db, people, "system_user").await, rows);
        assert_eq!(
            tenant
                .number(&mut db, "count(*)", "lease where is_daemon and fence = 1")
                .await,
            1
        );
    }

    // Who is asked is the daemon of the schema, and nobody else hears of it.
    let asked = one.as_daemon.run("sync").await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert_eq!(one.number(&mut db, runs, "sync_run").await, 1);
    assert_eq!(two.number(&mut db, runs, "sync_run").await, 0);
    assert_eq!(two.number(&mut db, "count(*)", "sync_request").await, 0);

    // One ends; the other leads, syncs, and writes in its schema as before.
    first.stop().await;
    let led = one.number(&mut db, "max(id)", "sync_run").await;
    person(&two.simulator, "Mia");
    assert!(eventually(async || two.number(&mut db, people, "system_user").await == 2).await);
    assert_eq!(two.number(&mut db, "fence", "lease").await, 1);
    assert_eq!(one.number(&mut db, "max(id)", "sync_run").await, led);
    assert_eq!(one.number(&mut db, people, "system_user").await, 2);
    let log = second.stop().await;
    assert!(!log.contains("permission denied"), "{log}");

    strangers_are_kept_out(&mut db, &one, &two).await;
    let roles = [one.roles(), two.roles()].concat();
    end(database, &roles.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// No role of one schema reads or calls anything of the other, and no tenant takes the other's schema.
async fn strangers_are_kept_out(db: &mut PgConnection, one: &Tenant, two: &Tenant) {
    for role in one.roles() {
        db.execute(AssertSqlSafe(format!("set role {role}"))).await.unwrap();
        for statement in [
            "select from S.system_user",
            "select S.write_as_sync()",
            "create table S.mine ()",
        ] {
            let error = db.execute(AssertSqlSafe(statement.replace('S', &two.schema))).await;
            let error = error.unwrap_err();
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            assert_eq!(code.as_deref(), Some("42501"), "{role}: {statement}");
        }
    }
    db.execute("reset role").await.unwrap();
    let marks = format!(
        "select count(*) from pg_proc
         where pronamespace = '{}'::regnamespace and (prosecdef and proconfig is null or prosrc ~ '\\mrollcall\\M')",
        one.schema
    );
    let loose: i64 = sqlx::query_scalar(AssertSqlSafe(marks))
        .fetch_one(&mut *db)
        .await
        .unwrap();
    assert_eq!(
        loose, 0,
        "functions with the owner's rights pin their path; none names another schema"
    );

    two.as_daemon.amend(
        &two.simulator.tenant_id().to_string(),
        &one.simulator.tenant_id().to_string(),
    );
    let said = two.as_daemon.run("sync").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("database.schema"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_of_sql_is_refused_as_a_schema_s_name() {
    let database = test_database("word").await.unwrap();
    let simulator = Simulator::start(Settings::default()).unwrap();
    let installation = Installation::new(&simulator, &database.url, ENVIRONMENTS);
    installation.amend(ENVIRONMENTS, &format!("schema = \"order\"\n\n{ENVIRONMENTS}"));
    let said = installation.run("migrate").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stderr.contains("with order, a word of its own") && said.stderr.contains("database.schema"),
        "{said:?}"
    );
    database.drop_database().await.unwrap();
}

/// A customer's trigger that fires as the sync commits, in the sync's own session.
const ASTRAY: &str = "
    create schema crm;
    create table crm.checkpoint (source text);
    create function crm.note() returns trigger language plpgsql as $$
    begin
        create temporary table if not exists pending (mine text);
        perform set_config('search_path', 'crm, pg_temp', false);
        return null;
    end $$;
    create constraint trigger note after insert or update on rollcall.system_user deferrable initially deferred
        for each row execute function crm.note()";

#[tokio::test]
async fn no_object_and_no_path_of_a_customer_s_trigger_hides_a_table_of_ours() {
    let world = World::new(vec![open_environment("production")]).await;
    execute(world.database_url(), ASTRAY.to_owned()).await;
    let users = ["Ada", "Bob", "Eve"].map(|name| licensed(world.tenant(), name, "Person"));
    let report = world.sync().await;
    assert_eq!(report.problems, [""; 0]);
    for user in users {
        world
            .tenant()
            .update_user(user, |user| user.job_title = Some("Countess".to_owned()));
    }
    let report = world.sync().await;
    assert_eq!(report.problems, [""; 0]);
    let titled = "select count(*) from rollcall.system_user where jobtitle = 'Countess'";
    assert_eq!(world.number(titled).await, 3);
    world.end().await;
}
