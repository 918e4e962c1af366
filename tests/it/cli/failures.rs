//! Bad input and bad surroundings: one clear line each, with what to do, and nobody is disabled for it.

use rollcall::clock::Clock;
use rollcall::simulator::Settings;
use rollcall::simulator::tenant::{LARGE_GROUP, TokenDeath};

use super::{Stage, cells};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_is_one_line_with_the_key_and_what_is_expected() {
    let stage = Stage::new().await;
    let good = std::fs::read_to_string(&stage.installation.config).unwrap();
    let cases = [
        (
            "max_connections = 5",
            "colour = 5",
            "database.colour",
            "expected one of",
        ),
        (
            "max_connections = 5",
            "max_connections = \"many\"",
            "database.max_connections",
            "whole number",
        ),
        ("url = \"postgres", "url = \"mysql", "database.url", "postgres://"),
        (
            "/secret\"",
            "/no-such-secret\"",
            "tenant.credential.file",
            "no-such-secret",
        ),
        ("kind = \"sandbox\"", "kind = \"attic\"", "environment", "\"sandbox\""),
        (
            "kind = \"production\"",
            "kind = \"default\"",
            "environment",
            "security_group",
        ),
        (
            "name = \"sandbox\"",
            "name = \"production\"",
            "environment",
            "production",
        ),
        (
            "[database]",
            "[guard]\nmax_disable_percent = 101.0\n[database]",
            "guard.max_disable_percent",
            "0 to 100",
        ),
        (
            "[database]",
            "[sync]\ninterval = \"soon\"\n[database]",
            "sync.interval",
            "15m",
        ),
    ];
    for (old, new, key, expected) in cases {
        stage.installation.configure(&good);
        stage.installation.amend(old, new);
        for command in [
            "config check",
            "check",
            "sync",
            "serve",
            "migrate",
            "user list --environment sandbox",
        ] {
            let line = stage.bad(command, 2).await;
            for part in ["rollcall.toml", key, expected] {
                assert!(line.contains(part), "{command}: {line} should contain {part}");
            }
            assert!(!line.contains("simulated~secret"), "{line}");
        }
    }
    std::fs::remove_file(&stage.installation.config).unwrap();
    let line = stage.bad("sync", 2).await;
    assert!(line.contains("rollcall.toml"), "{line}");
    assert_eq!(stage.simulator.requests().len(), 0, "nothing was started");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_is_one_line_and_exit_code_5() {
    let stage = Stage::new().await;
    stage
        .installation
        .amend("\"\nmax_connections = 5", "?port=1\"\nmax_connections = 5");
    for command in [
        "sync",
        "serve",
        "migrate",
        "runs list",
        "user list --environment sandbox",
        "findings",
    ] {
        let said = stage.run(command).await;
        let line = said.stderr.lines().last().unwrap();
        assert_eq!(said.code, Some(5), "{command}: {said:?}");
        assert!(
            line.starts_with("rollcall: could not reach the database at 127.0.0.1:1: "),
            "{line}"
        );
        assert!(
            line.contains("Connection refused") && line.contains("Start PostgreSQL"),
            "{line}"
        );
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    let said = stage.run("check").await;
    assert_eq!(said.code, Some(5));
    assert!(
        cells(&said.stdout)
            .iter()
            .any(|line| line[..2] == ["failed", "database"]),
        "{said:?}"
    );
    stage.end().await;
}

/// What stands in the way, who says so, and what to do about it.
async fn assert_incomplete(stage: &Stage, parts: &[&str]) {
    let disabled = stage.disabled().await;
    let said = stage.run("sync --output json").await;
    assert_eq!(said.code, Some(4), "{said:?}");
    let report = said.json();
    assert_eq!(report["outcome"], "incomplete");
    let problems: Vec<&str> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        problems
            .iter()
            .any(|problem| parts.iter().all(|part| problem.contains(part))),
        "{parts:?} in {problems:#?}"
    );
    let said = stage.run("sync").await;
    assert_eq!(said.code, Some(4), "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().filter(|line| line.contains(parts[0])).collect();
    assert_eq!(lines.len(), 1, "{said:?}");
    let said = stage.run("check").await;
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(
        said.stdout
            .lines()
            .any(|line| line.starts_with("failed") && parts.iter().all(|part| line.contains(part))),
        "{said:?}"
    );
    assert_eq!(stage.disabled().await, disabled, "nobody loses access for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_directory_refuses_is_one_line_with_the_remedy_and_disables_nobody() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    stage.block(40);

    stage
        .simulator
        .configure(|settings| settings.client_secret = "another one".to_owned());
    assert_incomplete(&stage, &["AADSTS7000215", "The client secret is wrong"]).await;
    stage
        .simulator
        .configure(|settings| settings.client_secret = Settings::default().client_secret);

    for permission in ["User.Read.All", "GroupMember.Read.All", "RoleManagement.Read.Directory"] {
        stage
            .simulator
            .configure(|settings| assert!(settings.permissions.remove(permission)));
        let grant = format!("Grant the application permission {permission}");
        if permission == "User.Read.All" {
            assert_incomplete(&stage, &["users", &grant]).await;
        } else {
            let report = stage.run("sync --output json").await;
            assert!(matches!(report.code, Some(3 | 4)), "{report:?}");
            assert!(report.json()["problems"].to_string().contains(&grant), "{report:?}");
        }
        stage.simulator.configure(|settings| {
            settings.permissions.insert(permission.to_owned());
        });
    }
    assert_eq!(stage.disabled().await, 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_without_account_state_are_left_alone_until_the_permission_is_there() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    stage
        .simulator
        .configure(|settings| settings.limited_information = true);
    stage.simulator.tenant().expire_tokens(TokenDeath::Gone);
    assert_incomplete(&stage, &["accountEnabled: grant", "User.Read.All"]).await;
    stage
        .simulator
        .configure(|settings| settings.limited_information = false);
    let said = stage.run("sync --output json").await;
    assert!(
        !said.stdout.contains("accountEnabled"),
        "everybody is read again: {said:?}"
    );
    stage.good("sync").await;
    assert_eq!(stage.disabled().await, 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_group_that_does_not_exist_disables_nobody() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    stage.simulator.tenant().delete_group(LARGE_GROUP);
    let group = LARGE_GROUP.to_string();
    assert_incomplete(
        &stage,
        &[&group, "does not exist", "correct security_group, or restore the group"],
    )
    .await;
    assert_eq!(stage.disabled().await, 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_hours_off_is_a_warning_of_the_check_and_stops_nothing() {
    let check = async |stage: &Stage| {
        let said = stage.run("check").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let lines = cells(&said.stdout).into_iter().map(|line| line.join(" "));
        lines
            .filter(|line| line.contains("clock"))
            .collect::<Vec<_>>()
            .join("; ")
    };
    let stage = Stage::new().await;
    let line = check(&stage).await;
    assert!(line.starts_with("ok clock "), "{line}");
    stage.end().await;

    for (clock, side) in [
        (Clock::system().now() - chrono::Duration::hours(3), "ahead of"),
        (Clock::system().now() + chrono::Duration::hours(3), "behind"),
    ] {
        let stage = Stage::at(Clock::simulated(clock)).await;
        let line = check(&stage).await;
        assert!(line.starts_with("warning clock this machine's clock is "), "{line}");
        assert!(
            line.contains(&format!(" {side} the directory's: set it, or let NTP do so")),
            "{line}"
        );
        let said = stage.run("sync").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.stderr.contains("this machine's clock is not the directory's"),
            "{said:?}"
        );
        stage.end().await;
    }
}
