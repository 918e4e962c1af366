//! The first hour of an operator: each thing that may be wrong, the exact line about it, and the exit code.

mod server;

use std::net::TcpListener;

use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::{TestDatabase, test_database};
use rollcall::simulator::{Settings, Simulator};
use rollcall::store::Store;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use self::server::{Answer, When};
use crate::binary::{Installation, said};
use crate::world::migrated_database;

const ENVIRONMENT: &str = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";

const CLOSED: &str = "postgres://rollcall@127.0.0.1:1/rollcall";

/// The whole of standard error, and the exit code; `{port}` is the port.
type Expected<'a> = (i32, &'a str);

async fn assert_says(url: &str, command: &str, port: u16, (code, line): Expected<'_>) {
    let simulator = Simulator::start(Settings::default()).unwrap();
    let installation = Installation::new(&simulator, url, ENVIRONMENT);
    let said = installation.run(command).await;
    let line = format!("rollcall: {}", line.replace("{port}", &port.to_string()));
    assert_eq!((said.code, said.one_line()), (Some(code), line.as_str()), "{command}");
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn execute(database: &TestDatabase, statement: String) {
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_finds_is_named_at_once() {
    let port = closed_port();
    for command in ["user list", "serve --log off", "migrate", "sync --log off", "status"] {
        assert_says(
            &format!("postgres://rollcall@127.0.0.1:{port}/rollcall"),
            command,
            port,
            (
                5,
                "could not reach the database at 127.0.0.1:{port}: Connection refused (os error 111). Start PostgreSQL \
                 there, or correct host and port in database.url.",
            ),
        )
        .await;
    }
    assert_says(
        "postgres://rollcall@db.invalid/rollcall?sslmode=verify-full",
        "user list",
        5432,
        (
            5,
            "could not reach the database at db.invalid:{port}: no host of that name is known. Correct the host in \
             database.url, or this machine's name service (DNS).",
        ),
    )
    .await;
}

/// As one behind a firewall that drops what it is sent: a person waits less long than a daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_given_up_soon_by_a_command_and_later_by_a_daemon() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://rollcall@127.0.0.1:{port}/rollcall");
    let lines = [3, 10].map(|seconds| {
        format!(
            "could not reach the database at 127.0.0.1:{{port}}: no answer within {seconds} s. Check host and port in \
             database.url, and the firewalls on the way."
        )
    });
    tokio::join!(
        assert_says(&url, "user list", port, (5, &lines[0])),
        assert_says(&url, "status", port, (5, &lines[0])),
        assert_says(&url, "serve --log off", port, (5, &lines[1])),
    );
}

/// `answers.txt`: `start` or `statement`, when the server answers; its severity, SQLSTATE and message, and where it
/// happened. Then the exit code and the line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_of_a_server_has_its_own_line() {
    for case in include_str!("messages/answers.txt").trim().split("\n\n") {
        let [question, expected] = *case.lines().collect::<Vec<_>>() else {
            panic!("two lines a case: {case}");
        };
        let [when, severity, code, rest] = *question.splitn(4, ' ').collect::<Vec<_>>() else {
            panic!("four words: {question}");
        };
        let (message, context) = rest.split_once(" | ").unwrap_or((rest, ""));
        let when = if when == "start" {
            When::SigningIn
        } else {
            When::Stating
        };
        let answer = Answer {
            severity,
            code,
            message,
            context,
        };
        let (exit, line) = expected.split_once(' ').unwrap();
        let port = server::that_answers(answer, when).await;
        let url = format!("postgres://rollcall@127.0.0.1:{port}/rollcall");
        assert_says(&url, "user list", port, (exit.parse().unwrap(), line)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_certificate_that_is_not_accepted_is_called_that() {
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/src/graph/tests/keys/tls/ca.pem");
    let known = format!("sslmode=verify-full&sslrootcert={ca}");
    let cases: [(&[u8], &str, Expected); 6] = [
        (
            include_bytes!("../../src/graph/tests/keys/tls/good.pem"),
            "sslmode=verify-full",
            (
                2,
                "could not trust the server certificate of the database at 127.0.0.1:{port}: it is signed by an \
                 authority that is not trusted here. Name the authority's certificate in database.url: \
                 sslmode=verify-full&sslrootcert=FILE. sslmode=require encrypts without verifying the server.",
            ),
        ),
        (
            include_bytes!("../../src/graph/tests/keys/tls/other_name.pem"),
            &known,
            (
                2,
                "could not trust the server certificate of the database at 127.0.0.1:{port}: it is for another host \
                 name. Connect by the name in the certificate, or use sslmode=verify-ca in database.url, which does \
                 not compare names.",
            ),
        ),
        (
            include_bytes!("../../src/graph/tests/keys/tls/expired.pem"),
            &known,
            (
                2,
                "could not trust the server certificate of the database at 127.0.0.1:{port}: it is outside its period \
                 of validity. Renew it, or set the clocks. sslmode=require encrypts without verifying the server.",
            ),
        ),
        (
            include_bytes!("../../src/graph/tests/keys/tls/ca.pem"),
            &known,
            (
                2,
                "could not trust the server certificate of the database at 127.0.0.1:{port}: it is self-signed, made \
                 for an authority and not for a server. Give the server a certificate that an authority has signed. \
                 sslmode=require in database.url encrypts without verifying the server.",
            ),
        ),
        (include_bytes!("messages/version-1.pem"), &known, VERSION_1),
        // It can be neither verified nor read.
        (include_bytes!("messages/version-1.pem"), "sslmode=require", VERSION_1),
    ];
    for (certificate, parameters, expected) in cases {
        let port = server::with_certificate(certificate).await;
        let url = format!("postgres://rollcall@127.0.0.1:{port}/rollcall?{parameters}");
        assert_says(&url, "user list", port, expected).await;
    }
    let port = server::that_answers(
        Answer {
            severity: "FATAL",
            code: "57P03",
            message: "not reached",
            context: "",
        },
        When::SigningIn,
    )
    .await;
    let expected = (
        2,
        "could not encrypt the connection to the database at 127.0.0.1:{port}: the server does not offer TLS. Turn \
         `ssl` on in the server's postgresql.conf. Where the network is trusted, sslmode=prefer in database.url does \
         without.",
    );
    let url = format!("postgres://rollcall@127.0.0.1:{port}/rollcall?sslmode=require");
    assert_says(&url, "user list", port, expected).await;
}

const VERSION_1: Expected<'static> = (
    2,
    "could not trust the server certificate of the database at 127.0.0.1:{port}: it is an X.509 certificate of version \
     1. Give the server a certificate of version 3, as `openssl req -x509` makes it. Until then only sslmode=disable in \
     database.url works, which does not encrypt.",
);

/// With a real server: passwords, databases, and a user who may connect and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_rights_is_told_which_and_who_gives_them() {
    let (empty, migrated) = (test_database("weak").await.unwrap(), migrated_database().await);
    let role = format!("weak_{}", Uuid::new_v4().simple());
    execute(&empty, format!("create role {role} login password 'weak'")).await;
    let url = |database: &TestDatabase, user: &str, password: &str| {
        let mut url = Url::parse(&database.url).unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url
    };
    let port = Url::parse(&empty.url).unwrap().port().unwrap();
    let name = |database: &TestDatabase| Url::parse(&database.url).unwrap().path()[1..].to_owned();

    let mut missing = Url::parse(&empty.url).unwrap();
    missing.set_path("/nowhere");
    let may_not_migrate = format!(
        "could not apply the database migrations as this user of the database at 127.0.0.1:{{port}}: permission denied \
         for database {} (SQLSTATE 42501). Run `rollcall migrate` with the schema's owner as the user in database.url \
         (deploy/database-roles.sql makes one), or let the database's owner grant this user CREATE on the database.",
        name(&empty)
    );
    let may_not_migrate = (2, may_not_migrate.as_str());
    let may_not_read = (
        2,
        "could not use the database at 127.0.0.1:{port}: permission denied for schema rollcall (SQLSTATE 42501). \
         Correct the user in database.url, or grant the right: deploy/database-roles.sql, run again after a migration, \
         grants what the daemon's role needs.",
    );
    let wrong_password = (
        2,
        "could not sign in to the database at 127.0.0.1:{port}: password authentication failed for user \"postgres\" \
         (SQLSTATE 28P01). Correct user and password in database.url, or let the server's pg_hba.conf admit them.",
    );
    let no_database = (
        2,
        "could not open the database at 127.0.0.1:{port}: database \"nowhere\" does not exist (SQLSTATE 3D000). Create \
         it with `createdb`, or correct its name in database.url.",
    );
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let is_sql = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|end| end == "sql");
    let not_migrated = format!(
        "the database lacks {} migration(s): run `rollcall migrate`, or let `rollcall serve` or `rollcall sync` do it",
        migrations.filter(|file| is_sql(file.as_ref().unwrap())).count()
    );
    let not_migrated = (2, not_migrated.as_str());
    let cases = [
        (url(&empty, "postgres", "wrong"), "user list", wrong_password),
        (missing, "user list", no_database),
        (url(&empty, &role, "weak"), "user list", not_migrated),
        (url(&empty, &role, "weak"), "migrate", may_not_migrate),
        (url(&empty, &role, "weak"), "sync --log off", may_not_migrate),
        (url(&migrated, &role, "weak"), "user list", may_not_read),
        (url(&migrated, &role, "weak"), "migrate", may_not_read),
    ];
    for (url, command, expected) in cases {
        assert_says(url.as_str(), command, port, expected).await;
    }
    execute(&empty, format!("drop role {role}")).await;
    empty.drop_database().await.unwrap();
    migrated.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_a_free_connection_is_not_taken_for_a_server_that_is_away() {
    let database = migrated_database().await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    let held = store.read().await.unwrap();
    let waited = store.read().await.unwrap_err();
    assert_eq!(
        (rollcall::error::chain(&waited).as_str(), waited.remedy()),
        (
            "get a connection to the database: all connections of the pool were in use for 10 s",
            "Raise database.max_connections, or ask for less at once."
        )
    );
    assert!(waited.is_unavailable() && !waited.is_away());
    drop(held);
    store.close().await;
    database.drop_database().await.unwrap();
}

/// What is wrong beside the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_names_and_schedules_that_are_wrong_are_said_in_our_words() {
    let database = migrated_database().await;
    let simulator = Simulator::start(Settings::default()).unwrap();
    let installation = Installation::new(&simulator, &database.url, ENVIRONMENT);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _busy = TcpListener::bind(taken).unwrap();
    installation.amend("[database]", &format!("[http]\nlisten = \"{taken}\"\n\n[database]"));
    let in_use = format!(
        "http.listen: could not listen on {taken}: Address already in use (os error 98); stop the program that listens \
         there, or choose another address with this key"
    );
    let unknown = "there is no environment `test`; known: production";
    let expected =
        "expected five fields of cron: minute, hour, day of the month, month, day of the week, as in `0 2 * * 1-5`";
    let import = "import --company C --all";
    let cases = [
        ("serve --log off".to_owned(), vec![], in_use),
        (
            "sync --log off --environment test".to_owned(),
            vec![],
            unknown.to_owned(),
        ),
        ("user list --environment test".to_owned(), vec![], unknown.to_owned()),
        ("environment retire test".to_owned(), vec![], unknown.to_owned()),
        (
            import.to_owned(),
            vec!["--schedule", "daily"],
            format!("schedule: `daily` is no schedule; {expected}"),
        ),
        (
            import.to_owned(),
            vec!["--schedule", "0 0 30 2 *"],
            format!("schedule: `0 0 30 2 *` is never due; {expected}"),
        ),
    ];
    for (command, arguments, line) in cases {
        let said = said(installation.command(&command).args(arguments).spawn().unwrap()).await;
        assert_eq!(
            (said.code, said.one_line()),
            (Some(2), format!("rollcall: {line}").as_str()),
            "{command}"
        );
    }
    database.drop_database().await.unwrap();
}

/// A directory that was not asked has not said that it knows nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whom_an_unreachable_directory_may_have_is_not_called_unknown() {
    let database = migrated_database().await;
    let simulator = Simulator::start(Settings::default()).unwrap();
    let installation = Installation::new(&simulator, &database.url, ENVIRONMENT);
    installation.amend(simulator.root(), &format!("http://127.0.0.1:{}", closed_port()));
    for user in ["nobody@contoso.example", "51331a7e-0000-4000-8000-000000006060"] {
        for command in ["explain", "user where", "user add", "user access", "user refresh"] {
            let said = installation.run(&format!("{command} {user}")).await;
            assert_eq!(said.code, Some(4), "{command}: {said:?}");
            let line = said.one_line();
            let problem = "could not reach the token service (no answer): 127.0.0.1: Connection refused";
            assert!(
                line.contains(problem) && line.contains("(directory_unavailable)"),
                "{line}"
            );
        }
    }
    database.drop_database().await.unwrap();
}

/// The host, the proxy if there is one, and what to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_out_of_reach_is_named_with_the_way_to_it() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    let installation = Installation::new(&simulator, CLOSED, ENVIRONMENT);
    installation.amend(simulator.root(), "https://login.invalid");
    let check = |proxy: Option<&str>| {
        let mut command = installation.command("check --output json");
        command
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env_remove("ALL_PROXY");
        command.envs(proxy.map(|proxy| ("HTTPS_PROXY", proxy)));
        command
    };
    let cases = [
        (
            None,
            "could not reach the token service (no answer): login.invalid: failed to lookup address information: Name \
             or service not known. Let this machine reach login.invalid: check firewall and DNS; if it needs a proxy, \
             set HTTPS_PROXY, which is not set.",
        ),
        (
            Some("http://user:secret@127.0.0.1:1/"),
            "could not reach the token service (no answer): login.invalid: Connection refused (os error 111). Let this \
             machine reach login.invalid through the proxy 127.0.0.1:1, which HTTPS_PROXY names: check the proxy, \
             firewall and DNS.",
        ),
    ];
    for (proxy, line) in cases {
        let said = said(check(proxy).spawn().unwrap()).await;
        let report = said.json();
        let token = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["check"] == "token");
        assert_eq!(token.unwrap()["detail"], line);
        assert!(!said.stdout.contains("secret@"), "{said:?}");
    }
}
