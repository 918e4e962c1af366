//! Every kind of mistake and the line it gets.

use std::path::Path;

use super::super::Config;
use super::{Folder, MINIMAL};

/// One mistake in the file.
#[derive(Default)]
struct Case {
    /// Text of the minimal file that is replaced; empty to append.
    from: Vec<&'static str>,
    /// What takes its place.
    to: Vec<&'static str>,
}

/// `refusals.txt`: lines `-` are replaced, lines `+` take their place (or are appended), `=` is the line expected.
#[test]
fn mistakes_in_the_file_get_one_clear_line() {
    let folder = Folder::new();
    folder.write("empty", "\n", 0o600);
    folder.write("text", "no PEM", 0o600);
    let mut case = Case::default();
    for line in include_str!("refusals.txt").lines() {
        match line.split_once(' ') {
            Some(("-", from)) => case.from.push(from),
            Some(("+", to)) => case.to.push(to),
            Some(("=", expected)) => {
                let Case { from, to } = std::mem::take(&mut case);
                let (from, to) = (from.join("\n"), to.join("\n"));
                let text = if from.is_empty() {
                    format!("{MINIMAL}{to}\n")
                } else {
                    MINIMAL.replace(&from, &to)
                };
                assert_ne!(text, MINIMAL, "replaces nothing: {from}");
                assert_eq!(folder.refusal(&text, &[]), format!("rollcall.toml: {expected}"), "{to}");
                assert!(!expected.contains("s3cret"), "repeats a secret: {expected}");
            }
            _ => assert_eq!(line, "", "neither -, + nor ="),
        }
    }
}

#[test]
fn mistakes_in_a_variable_name_the_variable() {
    let cases = [
        (
            "SYNC__INTERVALL",
            "5m",
            "sync.intervall: unknown key; expected one of interval, full_interval, verify_interval, access_freshness, scope",
        ),
        (
            "SYNC__INTERVAL",
            "often",
            r#"sync.interval: this is no duration; expected a number and a unit, such as "60s", "15m", "24h" or "7d""#,
        ),
        (
            "SYNC__INTERVAL",
            "",
            r#"sync.interval: this is no duration; expected a number and a unit, such as "60s", "15m", "24h" or "7d""#,
        ),
        (
            "DATABASE__MAX_CONNECTIONS",
            "many",
            "database.max_connections: expected a whole number from 0 to 4294967295",
        ),
        (
            "DATABASE__MAX_CONNECTIONS",
            "5000",
            "database.max_connections: out of bounds; expected 1 to 1000",
        ),
        (
            "DATABASE__URL",
            "mysql://rollcall:s3cret@localhost/rollcall",
            "database.url: this is no PostgreSQL URL; expected postgres://user:password@host:port/database (percent-encode special characters in the password)",
        ),
        (
            "LICENSES__TENANT_MARKETING",
            "yes",
            "licenses.tenant_marketing: expected true or false",
        ),
        (
            "LICENSES__FULL",
            "PLAN",
            "licenses.full: a variable sets a single value; lists and tables are set in the configuration file",
        ),
        (
            "HTTP__LISTEN",
            "0.0.0.0:80",
            "http.listen: 0.0.0.0:80 can be reached from outside, but the API has no credential; set http.audience, add an [[http.token]], or listen on 127.0.0.1",
        ),
        (
            "HTTP__TOKEN",
            "s3cret",
            "http.token: a variable sets a single value; lists and tables are set in the configuration file",
        ),
        (
            "TENANT__CREDENTIAL",
            "s3cret",
            "tenant.credential: a variable sets a single value; lists and tables are set in the configuration file",
        ),
        (
            "TENANT__CREDENTIAL__SECRET",
            "s3cret",
            "tenant.credential.secret: a secret is never written into the configuration, where backups, version control and `config show` would spread it; name the place that holds it",
        ),
        (
            "FIELDS__DOMAINNAME",
            "never",
            r#"fields.domainname: `domainname` cannot be "never": it identifies the user"#,
        ),
        (
            "FIELDS__FULLNAME",
            "5",
            r#"fields.fullname: `5` is no field policy; expected "always", "on_create", "until_edited" or "never""#,
        ),
        ("SYNC", "5m", "names no key; expected ROLLCALL__SECTION__KEY"),
        (
            "SYNC____INTERVAL",
            "5m",
            "names no key; expected ROLLCALL__SECTION__KEY",
        ),
        (
            "ENVIRONMENT__0__KIND",
            "trial",
            "environments are set in the configuration file only",
        ),
    ];
    let folder = Folder::new();
    for (key, value, expected) in cases {
        let variable = format!("ROLLCALL__{key}");
        let line = folder.refusal(MINIMAL, &[(&variable, value)]);
        assert_eq!(line, format!("environment variable {variable}: {expected}"));
    }
}

#[test]
fn a_missing_file_says_how_to_choose_another() {
    let error = Config::load(Path::new("/nowhere/rollcall.toml"), std::iter::empty()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/rollcall.toml: there is no such configuration file; choose another with --config FILE or ROLLCALL_CONFIG"
    );
}

#[test]
fn an_environment_list_that_is_empty_is_refused() {
    let (without, _) = MINIMAL.split_once("[[environment]]").unwrap();
    let line = Folder::new().refusal(&format!("environment = []\n{without}"), &[]);
    assert_eq!(
        line,
        "rollcall.toml: environment: the list is empty; expected at least one [[environment]]"
    );
}
