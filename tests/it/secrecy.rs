//! Secrets stay where they are: whatever the program prints or logs at any level, and whatever is wrong with its
//! configuration, it shows none.

use ring::digest::{SHA256, digest};
use rollcall::simulator::{Settings, Simulator};
use url::Url;

use crate::binary::{Installation, Said, said};
use crate::daemon::{Daemon, eventually};
use crate::world::migrated_database;

/// Ours and every library's that has anything to say, as loud as can be.
const LOUDEST: &str = "trace,hyper=trace,hyper_util=trace,reqwest=trace,h2=trace,rustls=trace,sqlx=trace,oauth2=trace,\
                       tower=trace,axum=trace,mio=trace,tokio=trace,rustls_platform_verifier=trace,want=trace,log=trace";

const API_TOKEN: &str = "s3cret-of-the-helpdesk";
const GUESS: &str = "s3cret-that-is-guessed";
const GRAPH: &str = "s3cret-of-graph~8Q";
const IDENTITY: &str = "s3cret-of-app-service";
const PASSWORD: &str = "s3cret-of-the-database";
const KEY: &str = include_str!("../../src/graph/tests/keys/pkcs8.pem");
const CERTIFICATE: &str = include_str!("../../src/graph/tests/keys/certificate.pem");

/// What must not be seen: the secrets, and how tokens and links look.
fn signs(database_password: &str) -> Vec<String> {
    let mut signs: Vec<String> = [
        API_TOKEN,
        GUESS,
        GRAPH,
        IDENTITY,
        "deltatoken=",
        "skiptoken=",
        "Bearer ",
        "EwB",
        "eyJ",
    ]
    .map(str::to_owned)
    .to_vec();
    signs.push(url::form_urlencoded::byte_serialize(GRAPH.as_bytes()).collect());
    signs.push(database_password.to_owned());
    signs.push(KEY.lines().nth(3).unwrap().to_owned());
    signs
}

fn assert_silent(what: &str, text: &str, signs: &[String]) {
    for sign in signs {
        let line = text.lines().find(|line| line.contains(sign.as_str()));
        assert!(line.is_none(), "{what} shows {sign}: {line:?}");
    }
}

fn hash(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The database's URL with a password, whether the server asks for one or not.
fn with_password(url: &str) -> (String, String) {
    let mut url = Url::parse(url).unwrap();
    if url.password().is_none() {
        url.set_password(Some(PASSWORD)).unwrap();
    }
    let password = url.password().unwrap().to_owned();
    (url.into(), password)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_printed_or_logged_shows_a_secret() {
    let simulator = Simulator::start(Settings {
        users: 250,
        client_secret: GRAPH.to_owned(),
        identity_header: Some(IDENTITY.to_owned()),
        ..Settings::default()
    })
    .unwrap();
    let database = migrated_database().await;
    let (url, password) = with_password(&database.url);
    let signs = signs(&password);
    let rest = format!(
        "[[http.token]]\nname = \"helpdesk\"\nsha256 = \"{}\"\nroles = [\"Rollcall.Read\"]\n\n\
         [[environment]]\nname = \"production\"\nkind = \"production\"\n",
        hash(API_TOKEN)
    );
    let installation = Installation::new(&simulator, &url, &rest);
    let folder = installation.folder.display().to_string();
    std::fs::write(installation.folder.join("url"), &url).unwrap();
    std::fs::write(installation.folder.join("key.pem"), KEY).unwrap();
    std::fs::write(installation.folder.join("cert.pem"), CERTIFICATE).unwrap();

    let mut present = format!("kind = \"secret\", file = \"{folder}/secret\"");
    for credential in [
        present.clone(),
        "kind = \"secret\", env = \"GRAPH\"".to_owned(),
        "kind = \"certificate\", certificate = \"cert.pem\", key = \"key.pem\"".to_owned(),
        "kind = \"managed_identity\"".to_owned(),
    ] {
        installation.amend(&present, &credential);
        present.clone_from(&credential);
        for command in [
            "config show",
            "config show --output json",
            "config check",
            "check",
            "check --output json",
            "sync",
        ] {
            let mut command_line = installation.command(&format!("--log {LOUDEST} {command}"));
            command_line
                .env("GRAPH", GRAPH)
                .env("IDENTITY_ENDPOINT", simulator.identity_endpoint())
                .env("IDENTITY_HEADER", IDENTITY);
            let said = said(command_line.spawn().unwrap()).await;
            assert_silent(&format!("{credential}: {command}"), &format!("{said:?}"), &signs);
            assert!(
                command != "sync" || said.stderr.contains("TRACE") || said.stderr.contains("DEBUG"),
                "{said:?}"
            );
        }
    }

    installation.amend(&format!("url = \"{url}\""), "url_file = \"url\"");
    installation.amend(&present, &format!("kind = \"secret\", file = \"{folder}/secret\""));
    let daemon = Daemon::start_with(&installation, |command| {
        command.args(["--log", LOUDEST]);
    });
    daemon.becomes_ready().await;
    // Whichever test runs first.
    rustls::crypto::ring::default_provider().install_default().ok();
    for (token, status) in [(API_TOKEN, 200), (GUESS, 401)] {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client
            .get(format!("http://{}/api/v1/environments", daemon.address))
            .bearer_auth(token);
        assert_eq!(asked.send().await.unwrap().status().as_u16(), status);
    }
    let runs = async || daemon.log().matches("the run has ended").count() > 2;
    assert!(eventually(runs).await);
    let log = daemon.stop().await;
    assert_silent("serve", &log, &signs);
    database.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mistake_in_the_configuration_shows_a_secret() {
    let simulator = Simulator::start(Settings {
        client_secret: GRAPH.to_owned(),
        ..Settings::default()
    })
    .unwrap();
    // Nobody listens there.
    let url = format!("postgres://rollcall:{PASSWORD}@127.0.0.1:1/rollcall");
    let installation = Installation::new(
        &simulator,
        &url,
        "[[environment]]\nname = \"a\"\nkind = \"production\"\n",
    );
    let good = std::fs::read_to_string(&installation.config).unwrap();
    let signs = signs(PASSWORD);
    let credential = good.lines().find(|line| line.starts_with("credential")).unwrap();
    let line = format!("url = \"{url}\"");
    let token = |key: &str, value: &str| {
        format!("[[http.token]]\nname = \"a\"\n{key} = \"{value}\"\nroles = [\"Rollcall.Read\"]\n\n[[environment]]")
    };
    let mistakes = [
        (credential, format!("credential = \"{GRAPH}\"")),
        (
            credential,
            format!("credential = {{ kind = \"secret\", value = \"{GRAPH}\" }}"),
        ),
        (credential, format!("credential = {{ kind = \"{GRAPH}\" }}")),
        (
            credential,
            format!("credential = {{ kind = \"secret\", env = \"{GRAPH}\" }}"),
        ),
        (
            credential,
            format!("credential = {{ kind = \"secret\", file = \"{GRAPH}\" }}"),
        ),
        (
            credential,
            format!("credential = {{ kind = \"secret\", file = \"{GRAPH}"),
        ),
        (credential, format!("client_secret = \"{GRAPH}\"")),
        (
            credential,
            format!("credential = {{ kind = \"certificate\", certificate = \"cert.pem\", key = '''{KEY}''' }}"),
        ),
        (
            &line,
            format!("url = \"postgres://rollcall:{PASSWORD}/with/slash@127.0.0.1/rollcall\""),
        ),
        (
            &line,
            format!("url = \"postgres://rollcall:{PASSWORD}#hash@127.0.0.1/rollcall\""),
        ),
        (
            &line,
            format!("url = \"mysql://rollcall:{PASSWORD}@127.0.0.1/rollcall\""),
        ),
        (
            &line,
            format!("url = \"postgres://rollcall:{PASSWORD}@127.0.0.1/rollcall"),
        ),
        (
            &line,
            format!("url = postgres://rollcall:{PASSWORD}@127.0.0.1/rollcall"),
        ),
        (&line, format!("url_file = \"{url}\"")),
        (&line, format!("{line}\npassword = \"{PASSWORD}\"")),
        (&line, format!("url = \"{url}?sslmode=perhaps\"")),
        (
            &line,
            format!("url = \"{url}?password={PASSWORD}&sslmode=verify-full&sslrootcert=none.pem\""),
        ),
        ("[[environment]]", token("sha256", API_TOKEN)),
        ("[[environment]]", token("token", API_TOKEN)),
    ];
    for (old, new) in mistakes {
        installation.configure(&good.replace(old, &new));
        for command in ["config check", "sync"] {
            let said = installation.run(&format!("--log {LOUDEST} {command}")).await;
            assert_silent(&new, &format!("{said:?}"), &signs);
        }
    }

    // The same through variables, and where everything is well but nobody is there.
    for (name, value) in [
        (
            "ROLLCALL__DATABASE__URL",
            format!("postgres//rollcall:{PASSWORD}@127.0.0.1"),
        ),
        ("ROLLCALL__TENANT__CREDENTIAL__ENV", GRAPH.to_owned()),
        ("ROLLCALL__TENANT__CREDENTIAL__FILE", GRAPH.to_owned()),
        ("ROLLCALL__TENANT__CLIENT_SECRET", GRAPH.to_owned()),
        ("HARMLESS", String::new()),
    ] {
        installation.configure(&good);
        for command in ["config check", "check", "serve"] {
            let mut command_line = installation.command(&format!("--log {LOUDEST} {command}"));
            let said: Said = said(command_line.env(name, &value).spawn().unwrap()).await;
            assert_ne!((command == "serve").then_some(0), said.code, "{said:?}");
            assert_silent(name, &format!("{said:?}"), &signs);
        }
    }
}
