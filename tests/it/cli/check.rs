//! `check`: what it warns of although everything works, and the hosts that it names.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use rollcall::simulator::tenant::{GroupKind, LARGE_GROUP};
use sqlx::{Connection, PgConnection};
use url::Url;

use super::Stage;

impl Stage {
    /// The lines of `check` about this, as status and detail.
    async fn checked(&self, what: &str) -> Vec<(String, String)> {
        let said = self.run("check --output json").await;
        let report = said.json();
        let lines = report["checks"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        lines
            .filter(|line| text(&line["check"]).starts_with(what))
            .map(|line| (text(&line["status"]), text(&line["detail"])))
            .collect()
    }
}

fn line(status: &str, detail: &str) -> (String, String) {
    (status.to_owned(), detail.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_the_hosts_it_has_reached() {
    let stage = Stage::new().await;
    let database = Url::parse(&stage.database.url).unwrap();
    let database = format!(
        "127.0.0.1:{} is reachable, migrations applied",
        database.port().unwrap()
    );
    assert_eq!(stage.checked("database").await, [line("ok", &database)]);
    let token = stage.checked("token").await;
    assert!(token[0].1.starts_with("issued by 127.0.0.1, valid until "), "{token:?}");
    assert_eq!(stage.checked("users").await, [line("ok", "readable at 127.0.0.1")]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_for_mail_only_is_no_gate() {
    let stage = Stage::new().await;
    let readable = line("ok", &format!("security group {LARGE_GROUP} is readable"));
    let mail = line(
        "warning",
        &format!(
            "{LARGE_GROUP} is neither a security group nor a Microsoft 365 group, and so no gate for Dataverse: choose \
             another group in security_group"
        ),
    );
    for (kind, expected) in [
        (GroupKind::Security, vec![readable.clone()]),
        (GroupKind::Microsoft365, vec![readable.clone()]),
        (GroupKind::Distribution, vec![readable.clone(), mail]),
    ] {
        stage.simulator.tenant().set_group_kind(LARGE_GROUP, kind);
        assert_eq!(stage.checked("environment production").await, expected, "{kind:?}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_beyond_the_needed_ones_are_named() {
    let stage = Stage::new().await;
    let none = [line("ok", "none that is not needed")];
    assert_eq!(stage.checked("permissions").await, none);
    let grant = |permission: &str| {
        let permission = permission.to_owned();
        stage.simulator.configure(|settings| {
            settings.permissions.insert(permission);
        });
    };
    grant("Application.Read.All");
    assert_eq!(stage.checked("permissions").await, none, "it is optional");
    grant("User.ReadWrite.All");
    grant("Directory.ReadWrite.All");
    let detail =
        "granted and not needed: Directory.ReadWrite.All, User.ReadWrite.All; remove them from the application";
    assert_eq!(stage.checked("permissions").await, [line("warning", detail)]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_others_may_read_or_change_are_named_with_the_remedy() {
    let stage = Stage::new().await;
    let (secret, config) = (stage.installation.folder.join("secret"), &stage.installation.config);
    let mode = |path: &std::path::Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let of_secret = |may: &str, right: &str| {
        format!(
            "tenant.credential.file: {} can be {may} by every user of this machine; take the right away with chmod \
             o-{right}",
            secret.display()
        )
    };
    let of_password = format!(
        "database.url: holds a password, and every user of this machine can read {}; use url_file",
        config.display()
    );
    let of_config = format!(
        "every user of this machine can change {}; take the right away with chmod o-w",
        config.display()
    );
    for (secret_mode, config_mode, expected) in [
        (0o600, 0o600, vec![]),
        (0o640, 0o600, vec![]),
        (0o644, 0o600, vec![of_secret("read", "r")]),
        (0o602, 0o600, vec![of_secret("changed", "w")]),
        (
            0o666,
            0o644,
            vec![of_secret("read and changed", "rw"), of_password.clone()],
        ),
        (0o600, 0o666, vec![of_password, of_config]),
    ] {
        mode(&secret, secret_mode);
        mode(config, config_mode);
        let lines = stage.checked("configuration").await.into_iter();
        let warnings: Vec<String> = lines
            .filter(|(status, _)| status == "warning")
            .map(|(_, detail)| detail)
            .collect();
        assert_eq!(warnings, expected, "{secret_mode:o} {config_mode:o}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_belong_to_its_key_is_told() {
    let stage = Stage::new().await;
    let file = |name: &str, text: &str| std::fs::write(stage.installation.folder.join(name), text).unwrap();
    file(
        "cert.pem",
        include_str!("../../../src/graph/tests/keys/certificate.pem"),
    );
    file("key.pem", include_str!("../../../src/graph/tests/keys/pkcs8.pem"));
    file(
        "other.pem",
        include_str!("../../../src/simulator/keys/signing-key-1.pem"),
    );
    let secret = format!(
        "kind = \"secret\", file = \"{}\"",
        stage.installation.folder.join("secret").display()
    );
    let pair = "kind = \"certificate\", certificate = \"cert.pem\", key = \"key.pem\"";
    stage.installation.amend(&secret, pair);
    let fits = line("ok", "belongs to the key, valid until 2126-10-29");
    assert_eq!(stage.checked("certificate").await, [fits]);
    stage.installation.amend("key.pem", "other.pem");
    let differs = "it does not belong to the key: name the two files that were made together";
    assert_eq!(stage.checked("certificate").await, [line("warning", differs)]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_column_that_is_missing_or_of_another_type_is_named_and_nothing_starts() {
    let stage = Stage::new().await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    let mapping = "[[extra_field]]\ncolumn = \"hired\"\ngraph = \"createdDateTime\"\n\n[database]";
    stage.installation.amend("[database]", mapping);
    let at = format!("{}: extra_field[0].column: ", stage.installation.config.display());
    for (statement, problem) in [
        (
            "select",
            Some("system_user has no column `hired`; add it as date or timestamptz, or remove the mapping"),
        ),
        (
            "alter table rollcall.system_user add column hired varchar(10)",
            Some(
                "the column `hired` is of type character varying(10), and `createdDateTime` is a date; expected a column \
                 of type date or timestamptz",
            ),
        ),
        (
            "alter table rollcall.system_user drop column hired, add column hired date generated always as (null) stored",
            Some("the database computes the column `hired`; map `createdDateTime` to another one"),
        ),
        (
            "alter table rollcall.system_user drop column hired, add column hired date",
            None,
        ),
    ] {
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
        let expected = problem.map_or(line("ok", "takes createdDateTime"), |problem| line("failed", problem));
        assert_eq!(stage.checked("extra field hired").await, [expected]);
        match problem {
            Some(problem) => {
                for command in ["serve", "sync"] {
                    let said = stage.run(command).await;
                    assert_eq!(said.code, Some(2), "{said:?}");
                    assert!(said.stderr.ends_with(&format!("rollcall: {at}{problem}\n")), "{said:?}");
                }
            }
            None => drop(stage.good("sync").await),
        }
    }
    let shown = stage.good("config show").await;
    assert!(
        shown.contains("[[extra_field]]\ncolumn = \"hired\"\ngraph = \"createdDateTime\"\npolicy = \"until_edited\""),
        "{shown}"
    );
    stage.end().await;
}
