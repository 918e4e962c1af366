//! A database that is not the one for this program and its configuration: every command says so, and what to do.

use rollcall::simulator::cluster::TestDatabase;
use rollcall::simulator::{Settings, Simulator};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::binary::Installation;
use crate::folding::database_with;

const ENVIRONMENTS: &str = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";

/// Every way in which a command opens the database.
const COMMANDS: [&str; 6] = [
    "migrate",
    "serve",
    "sync",
    "sync --dry-run",
    "user list --environment production",
    "user stub old@contoso.example --environment production",
];

async fn installed(options: &str) -> (Simulator, TestDatabase, Installation) {
    let simulator = Simulator::start(Settings {
        users: 3,
        ..Settings::default()
    })
    .unwrap();
    let database = database_with(options).await;
    let installation = Installation::new(&simulator, &database.url, ENVIRONMENTS);
    (simulator, database, installation)
}

async fn execute(database: &TestDatabase, statement: &str) {
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut db)
        .await
        .unwrap();
}

/// Each command refuses with these words, and `check` has a failed line with them.
async fn assert_refused(installation: &Installation, words: &[&str]) {
    for command in COMMANDS {
        let said = installation.run(command).await;
        assert_eq!(said.code, Some(2), "{command}: {said:?}");
        for word in words {
            assert!(said.stderr.contains(word), "{command} does not say {word}: {said:?}");
        }
    }
    let said = installation.run("check --output json").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let report = said.json();
    let lines = report["checks"].as_array().unwrap();
    let line = lines.iter().find(|line| line["check"] == "database").unwrap();
    assert_eq!(line["status"], "failed");
    for word in words {
        assert!(line["detail"].as_str().unwrap().contains(word), "{word}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_4_an_encoding_other_than_utf8_is_refused_with_the_remedy() {
    for (options, encoding) in [
        ("encoding 'SQL_ASCII' locale 'C'", "SQL_ASCII"),
        ("encoding 'LATIN1' locale 'C'", "LATIN1"),
    ] {
        let (_simulator, database, installation) = installed(options).await;
        assert_refused(&installation, &[encoding, "createdb --encoding=UTF8"]).await;
        database.drop_database().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_belongs_to_the_tenant_that_came_first() {
    let (simulator, database, installation) = installed("encoding 'UTF8' locale 'C.UTF-8'").await;
    let said = installation.run("migrate").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let own = format!("[tenant]\nid = \"{}\"", simulator.tenant_id());
    let other = format!("[tenant]\nid = \"{}\"", Uuid::from_u128(0x0e));
    installation.amend(&own, &other);
    let owner = simulator.tenant_id().to_string();
    assert_refused(&installation, &[&owner, "tenant.id", "database.schema", "installation"]).await;
    let rows: i64 = {
        let mut db = PgConnection::connect(&database.url).await.unwrap();
        let count = "select count(*) from rollcall.system_user";
        sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
    };
    assert_eq!(rows, 0, "nothing was written for the other");

    installation.amend(&other, &own);
    let said = installation.run("sync").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    // A database of an older version learns whose it is when the new one starts.
    execute(&database, "delete from rollcall.installation").await;
    assert_eq!(
        installation.run("user list --environment production").await.code,
        Some(0)
    );
    installation.amend(&own, &other);
    assert_refused(&installation, &[&owner]).await;
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_from_other_files_are_refused_and_newer_ones_are_not() {
    let (_simulator, database, installation) = installed("encoding 'UTF8' locale 'C.UTF-8'").await;
    assert_eq!(installation.run("migrate").await.code, Some(0));
    let newer = "insert into rollcall._sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9001, 'of tomorrow', true, '\\x00', 0)";
    execute(&database, newer).await;
    assert_eq!(installation.run("check").await.code, Some(0));
    execute(
        &database,
        "update rollcall._sqlx_migrations set checksum = '\\x00' where version = 2",
    )
    .await;
    assert_refused(&installation, &["migrations [2]", "other files", "backup"]).await;
    database.drop_database().await.unwrap();
}
