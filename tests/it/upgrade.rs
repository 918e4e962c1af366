//! Upgrades: from every earlier schema with data in it to the latest; while the version before serves; and back.

mod adoption;
mod meanwhile;
mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::{TestDatabase, test_database};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Settings as SimulatorSettings, Simulator};
use rollcall::store::Store;
use rollcall::sync::RunOutcome;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use uuid::Uuid;

use crate::binary::Installation;
use crate::world::{NO_LIMITS, World, migrated_database, open_environment, settings, start};

/// In the rows of the first version and in the simulated directory.
const ADA: Uuid = Uuid::from_u128(0xad);

/// The program's migrations.
fn migrations() -> Vec<Migration> {
    sqlx::migrate!("./migrations").iter().cloned().collect()
}

/// A migration of a version to come.
fn of_tomorrow(version: i64, sql: &str) -> Migration {
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    Migration::new(version, "tomorrow".into(), MigrationType::Simple, sql, false)
}

/// The rows that the tests have for a migration.
fn rows_of(migration: &Migration) -> String {
    let file = format!("tests/it/upgrade/data/{:04}.sql", migration.version);
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file))
        .unwrap_or_else(|_| panic!("migration {} has no rows: write {file}", migration.version))
}

/// A database that has lived through the first versions: each found the rows of those before and wrote its own.
async fn lived_through(versions: usize) -> (TestDatabase, Store) {
    let database = test_database("upgrade").await.unwrap();
    let store = Store::connect(&database.url, &Schema::default(), 4).await.unwrap();
    for version in 1..=versions {
        let so_far = Migrator::with_migrations(migrations()[..version].to_vec());
        store.apply(&so_far).await.unwrap();
        let rows = rows_of(&migrations()[version - 1]);
        let mut db = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut db).await.unwrap();
    }
    (database, store)
}

async fn strings(url: &str, query: String) -> Vec<String> {
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(&mut db)
        .await
        .unwrap()
}

/// Every row of every table, as JSON.
async fn everything(url: &str) -> BTreeMap<String, Vec<String>> {
    let tables = "select table_name::text from information_schema.tables
                  where table_schema = 'rollcall' and table_name <> '_sqlx_migrations'";
    let mut all = BTreeMap::new();
    for table in strings(url, tables.to_owned()).await {
        let rows = strings(
            url,
            format!("select to_jsonb(t)::text from rollcall.{table} t order by 1"),
        )
        .await;
        all.insert(table, rows);
    }
    all
}

/// Columns in which no row has anything.
async fn empty_columns(url: &str) -> Vec<String> {
    let columns = "select table_name || '.' || column_name from information_schema.columns
                   where table_schema = 'rollcall' and table_name <> '_sqlx_migrations'";
    let columns = strings(url, columns.to_owned()).await;
    let are_empty = columns.iter().map(|column| {
        let (table, name) = column.split_once('.').unwrap();
        format!("select '{column}' where not exists (select from rollcall.{table} where {name} is not null)")
    });
    strings(url, are_empty.collect::<Vec<_>>().join(" union all ")).await
}

#[tokio::test]
async fn from_every_earlier_schema_each_row_is_kept_and_the_next_cycle_settles() {
    let all = migrations();
    // A migration that only adds an index brings no rows, so its schema holds what the one before holds.
    let has_rows = |version: &usize| rows_of(&all[version - 1]).contains("insert into");
    for versions in (1..=all.len()).filter(has_rows) {
        let (database, store) = lived_through(versions).await;
        let empty = empty_columns(&database.url).await;
        assert!(empty.is_empty(), "no row of tests/it/upgrade/data has {empty:?}");
        let before = everything(&database.url).await;

        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        assert_kept(&database.url, before).await;
        assert_rules_hold(&database.url).await;
        assert_settles(database).await;
    }
}

/// Every row is there with what it held; columns may have come.
async fn assert_kept(url: &str, before: BTreeMap<String, Vec<String>>) {
    let mut db = PgConnection::connect(url).await.unwrap();
    for (table, rows) in before {
        for row in rows {
            let kept = format!("select count(*) from rollcall.{table} t where to_jsonb(t) @> $1::jsonb");
            let kept = sqlx::query_scalar(AssertSqlSafe(kept)).bind(&row);
            let kept: i64 = kept.fetch_one(&mut db).await.unwrap();
            assert_ne!(kept, 0, "{table} has lost {row}");
        }
    }
}

/// Constraints and triggers work on the rows of earlier versions.
async fn assert_rules_hold(url: &str) {
    let miscounted = "select environment from rollcall.environment_quota q where non_interactive_taken <> (
                          select count(*) from rollcall.system_user u where u.environment = q.environment
                          and accessmode = 4 and not isdisabled and applicationid is null)";
    assert_eq!(strings(url, miscounted.to_owned()).await, [""; 0], "quotas");
    assert_eq!(
        strings(url, "select count(*)::text from rollcall.environment_quota".to_owned()).await,
        ["2"]
    );

    let mut db = PgConnection::connect(url).await.unwrap();
    for (statement, refused) in [
        // The ninth of eight too many, a role of nobody, a shoe that the customer refuses.
        (
            "insert into rollcall.system_user (environment, systemuserid, accessmode) values ('crowded', gen_random_uuid(), 4)",
            "system_user_non_interactive_cap",
        ),
        (
            "insert into rollcall.system_user_role (environment, systemuserid, role) values ('production', gen_random_uuid(), 'a')",
            "system_user_role_environment_systemuserid_fkey",
        ),
        (
            "update rollcall.system_user set shoe_size = 3 where shoe_size = 37",
            "system_user_shoe_size_check",
        ),
    ] {
        let error = sqlx::query(statement).execute(&mut db).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some(refused), "{statement}: {error}");
    }

    let edit = "update rollcall.system_user set internalemailaddress = 'held@mail.example', fullname = 'Held'
                where domainname = 'held@contoso.example'";
    sqlx::query(edit).execute(&mut db).await.unwrap();
    let noted =
        "select concat_ws(' ', c.operation, c.fields ->> 'fullname', u.customer_owned::text, p.version is not null)
                 from rollcall.system_user u
                 join rollcall.system_user_change c using (environment, systemuserid)
                 left join rollcall.pending p on p.object_id = u.azureactivedirectoryobjectid
                 where u.domainname = 'held@contoso.example'";
    assert_eq!(
        strings(url, noted.to_owned()).await,
        [r#"edit [null, "Held"] {internalemailaddress} t"#]
    );
}

/// The program goes on with what it finds: Ada stays who she is, and a second cycle has nothing to do.
async fn assert_settles(database: TestDatabase) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let clock = Clock::simulated(start());
    let simulator = Simulator::start(SimulatorSettings {
        clock: clock.clone(),
        ..SimulatorSettings::default()
    })
    .unwrap();
    simulator.tenant().add_user(User {
        id: ADA,
        job_title: Some("Analyst".to_owned()),
        ..User::named("Ada", "Lovelace")
    });
    simulator.tenant().give_profile(ADA, Profile::E5PowerApps);
    simulator.tenant().create_group_with_id(Uuid::from_u128(0x96), "Agents");
    let settings = settings(vec![open_environment("production")], NO_LIMITS);
    let world = World::over(database, Arc::new(simulator), clock, settings).await;
    // The group was in doubt when the old version stopped, and lists nobody now.
    assert_eq!(world.sync().await.outcome, RunOutcome::Incomplete);
    world.sync_completely().await;
    let ada = world.row("production", ADA).await.unwrap();
    assert_eq!(ada.systemuserid, Uuid::from_u128(0x1_0000_0000_00ad), "{ada:?}");
    assert_eq!(
        (
            ada.isdisabled,
            ada.jobtitle.as_deref(),
            ada.internalemailaddress.as_deref()
        ),
        (false, Some("Analyst"), Some("ada@mail.example"))
    );
    let shoe = "select shoe_size::text from rollcall.system_user where shoe_size is not null";
    assert_eq!(world.strings(shoe).await, ["37"]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_older_than_the_schema_works_and_says_so() {
    let simulator = Simulator::start(SimulatorSettings {
        users: 20,
        ..SimulatorSettings::default()
    })
    .unwrap();
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    let mut newer = migrations();
    newer.push(of_tomorrow(
        9001,
        "alter table rollcall.system_user add column tomorrow text; create table rollcall.shoe (size integer);",
    ));
    store.apply(&Migrator::with_migrations(newer.clone())).await.unwrap();
    let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
    let installation = Installation::new(&simulator, &database.url, environments);
    let said = installation.run("migrate").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.stdout,
        "The database is newer than this program: it has 1 migration(s) that this version does not know, and lacks none. \
         Nothing was changed.\n"
    );
    let said = installation.run("migrate --output json").await;
    assert_eq!(said.json(), serde_json::json!({"applied": 0, "unknown": 1}));
    for command in ["check", "sync", "user list --environment production", "runs list"] {
        let said = installation.run(command).await;
        assert_eq!(said.code, Some(0), "{command}: {said:?}");
    }

    // A schema that went another way is not touched.
    let mut other = migrations();
    other.push(of_tomorrow(9002, "drop table rollcall.system_user cascade"));
    let refused = store.apply(&Migrator::with_migrations(other)).await.unwrap_err();
    assert!(refused.remedy().contains("no older than the schema"), "{refused:?}");
    store.close().await;
    database.drop_database().await.unwrap();
}
