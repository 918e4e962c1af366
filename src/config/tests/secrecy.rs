//! Secrets are read from where they are and shown nowhere.

use super::*;

/// A configuration with a secret in every place that can have one.
fn with_all_secrets(folder: &Folder) -> Vec<Config> {
    folder.write(
        "key.pem",
        "-----BEGIN PRIVATE KEY-----\ns3cret-key\n-----END PRIVATE KEY-----\n",
        0o600,
    );
    folder.write(
        "cert.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        0o644,
    );
    folder.write("graph", "s3cret-of-graph\r\n", 0o644);
    folder.write(
        "url",
        "postgres://rollcall:s3cret-db@db/rollcall?sslmode=require&password=s3cret-query\n",
        0o600,
    );
    folder.write("console", "s3cret-of-console\n", 0o600);
    let sign_in = "[http]\naudience = \"22222222-2222-2222-2222-222222222222\"\n[console]\n\
                   public_url = \"https://rollcall.example\"\n\
                   credential = { kind = \"secret\", file = \"console\" }\n";
    let token = format!(
        "{MINIMAL}\n{sign_in}\n[[http.token]]\nname = \"helpdesk\"\nsha256 = \"{}\"\nroles = [\"Rollcall.Read\"]\n",
        "0123456789abcdef".repeat(4)
    );
    let database = |text: &str, line: &str| text.replace("url = \"postgres://rollcall@localhost/rollcall\"", line);
    let by_file = database(&token, "url_file = \"url\"").replace(
        "{ kind = \"workload_identity\" }",
        "{ kind = \"secret\", file = \"graph\" }",
    );
    let by_certificate = database(
        &token,
        "url = \"postgresql://rollcall:s3cret-db@db/rollcall?password=s3cret-query&sslmode=require\"",
    )
    .replace(
        "{ kind = \"workload_identity\" }",
        "{ kind = \"certificate\", certificate = \"cert.pem\", key = \"key.pem\" }",
    );
    vec![
        folder.load(&by_file, &[]).unwrap(),
        folder.load(&by_certificate, &[]).unwrap(),
    ]
}

#[test]
fn secrets_are_read_and_never_shown() {
    let folder = Folder::new();
    let configs = with_all_secrets(&folder);
    let Credential::Secret(value) = &configs[0].tenant.credential else {
        panic!("a secret")
    };
    assert_eq!(value.expose(), "s3cret-of-graph");
    assert!(configs[0].database.at.url.expose().ends_with("password=s3cret-query"));
    let Credential::Certificate { key_pem, .. } = &configs[1].tenant.credential else {
        panic!("a certificate")
    };
    assert!(key_pem.expose().contains("s3cret-key"));

    for config in &configs {
        let json = config.show_json().to_string();
        let shown = [
            config.show(),
            json,
            format!("{config:?}"),
            format!("{config:#?}"),
            config.warnings.join("\n"),
            config.database.at.url.to_string(),
        ];
        for text in shown {
            assert!(!text.contains("s3cret"), "{text}");
        }
        // The hash of a weak token could be guessed.
        assert!(!config.show().contains("0123456789abcdef"), "{}", config.show());
    }
    assert!(
        configs[1]
            .show()
            .contains("postgresql://rollcall:redacted@db/rollcall?password=redacted&sslmode=require")
    );
    assert!(configs[0].show().contains("url_file = \"url\""));
    assert!(configs[0].show().contains("file = \"graph\""));
}

#[test]
fn a_secret_that_everybody_can_read_is_a_warning() {
    let folder = Folder::new();
    let configs = with_all_secrets(&folder);
    assert_eq!(
        configs[0].warnings,
        [
            "tenant.credential.file: graph can be read by every user of this machine; take the right away with chmod o-r",
            "database.url_file: nobody verifies that db is the database's server; add sslmode=verify-full (and \
             sslrootcert=… for an authority of your own)",
        ]
    );
    folder.write(
        "rollcall.toml",
        &MINIMAL.replace("rollcall@", "rollcall:s3cret-db@"),
        0o644,
    );
    let config = Config::load(&folder.0.join("rollcall.toml"), std::iter::empty()).unwrap();
    let [warning] = config.warnings.as_slice() else {
        panic!("one warning")
    };
    assert!(
        warning.starts_with("database.url: holds a password, and every user of this machine can read "),
        "{warning}"
    );
}

#[test]
fn what_is_shown_loads_again_as_the_same() {
    let folder = Folder::new();
    folder.write("graph", "s3cret-of-graph", 0o600);
    let text = format!("{MINIMAL}license_roles = [{{ plan = \"{PLAN}\", role = \"Basic User\" }}]\n[licenses]\nviral = [\"{PLAN}\"]\ntenant_marketing = true\n[sync]\ninterval = \"1h 30m\"")
        .replace("{ kind = \"workload_identity\" }", "{ kind = \"secret\", file = \"graph\" }");
    let first = folder.load(&text, &[]).unwrap();
    let second = folder
        .load(&first.show(), &[])
        .unwrap_or_else(|error| panic!("{error}\n{}", first.show()));
    assert_eq!(first.show(), second.show());
    assert_eq!(first.environments, second.environments);
    assert_eq!(first.tenant, second.tenant);
}

#[test]
fn a_database_on_another_machine_is_verified_or_warned_of() {
    let folder = Folder::new();
    for (url, warned) in [
        ("postgres://rollcall@localhost/rollcall", false),
        ("postgres://rollcall@[::1]:5433/rollcall", false),
        ("postgres://rollcall@%2Frun%2Fpostgresql/rollcall", false),
        ("postgres:///rollcall?host=/run/postgresql", false),
        ("postgres://rollcall@db.example/rollcall?sslmode=verify-full", false),
        ("postgres://rollcall@db.example/rollcall?sslmode=require", true),
        ("postgres://rollcall@db.example/rollcall", true),
        ("postgres://rollcall@localhost/rollcall?host=db.example", true),
    ] {
        let text = MINIMAL.replace("postgres://rollcall@localhost/rollcall", url);
        let config = folder.load(&text, &[]).unwrap();
        assert_eq!(
            config.warnings.len(),
            usize::from(warned),
            "{url}: {:?}",
            config.warnings
        );
    }
    let elsewhere = MINIMAL.replace("@localhost/", "@db.example/");
    let config = folder.load(&elsewhere, &[("PGSSLMODE", "verify-full")]).unwrap();
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let folder = Folder::new();
    for (right, wrong) in [
        (
            "kind = \"workload_identity\"",
            "kind = \"secret\", file = \"aBc8Q~s3cret.of_graph-0123456789abcdef\"",
        ),
        (
            "kind = \"workload_identity\"",
            "kind = \"secret\", env = \"aBc8Q~s3cret\"",
        ),
        (
            "url = \"postgres://rollcall@localhost/rollcall\"",
            "url_file = \"postgres://rollcall:s3cret@db/rollcall\"",
        ),
        ("[database]", "cloud = \"aBc8Q~s3cret\"\n[database]"),
        ("[database]", "[telemetry]\nlog = \"aBc8Q~s3cret\"\n[database]"),
        (
            "[database]",
            "[http]\nlisten = \"https://user:s3cret@host\"\n[database]",
        ),
        ("name = \"production\"", "name = \"aBc8Q~s3cret\""),
        (
            "kind = \"production\"",
            "kind = \"a very long text that ends with the word s3cret\"",
        ),
    ] {
        let line = folder.refusal(&MINIMAL.replace(right, wrong), &[]);
        assert!(line != "loaded" && !line.contains("s3cret"), "{line}");
    }
    // A typing error is.
    let line = folder.refusal(&MINIMAL.replace("kind = \"production\"", "kind = \"prodction\""), &[]);
    assert!(line.contains("`prodction`"), "{line}");
}
