//! `rollcall serve`: health, metrics, leadership, signals, and what the log keeps to itself.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Effect, Fault, When};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::Stage;
use crate::daemon::{Daemon, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_is_alive_at_once_and_ready_after_a_cycle_and_ends_on_a_signal() {
    let stage = Stage::new().await;
    let refuse = Effect::error(403, "Authorization_RequestDenied");
    stage
        .simulator
        .faults()
        .push(Fault::forever(When::path("/users/delta"), refuse));
    let daemon = Daemon::start(&stage.installation);
    assert!(
        eventually(async || daemon.has_status("/health/live", 200).await).await,
        "{}",
        daemon.log()
    );
    let incomplete = "select count(*) from rollcall.sync_run where outcome = 'incomplete'";
    assert!(
        eventually(async || stage.number(incomplete).await > 0).await,
        "{}",
        daemon.log()
    );
    let (status, body) = daemon.get("/health/ready").await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("no cycle has succeeded yet"), "{body}");

    stage.simulator.faults().clear();
    daemon.becomes_ready().await;
    let (_, body) = daemon.get("/health/ready").await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(body["last_success_age_seconds"].is_number(), "{body}");

    let expected = [
        "rollcall_cycles_total{outcome=\"complete\"}",
        "rollcall_cycle_seconds_bucket",
        "rollcall_cycle_last_success_timestamp_seconds",
        "rollcall_users{environment=\"production\",state=\"enabled\"}",
        "rollcall_changes_total{environment=\"production\",operation=\"create\"}",
        "rollcall_skips_total{environment=\"production\",reason=\"not_in_security_group\"}",
        "rollcall_findings{environment=\"production\",code=\"removals_held\"}",
        "rollcall_guard_held 0",
        "rollcall_non_interactive_users{environment=\"production\"} 0",
        "rollcall_users_without_role{environment=\"production\"} ",
        "rollcall_graph_requests_total{endpoint=\"users/delta\",status=\"200\"}",
        "rollcall_graph_request_seconds_bucket{endpoint=\"users/delta\"",
        "rollcall_delta_token_age_seconds{resource=\"users\"}",
        "rollcall_lag_seconds",
        "rollcall_leader 1",
        "rollcall_change_feed_backlog 0",
        "rollcall_db_pool_",
        "rollcall_build_info{version=",
    ];
    let complete = async || {
        daemon
            .get("/metrics")
            .await
            .is_some_and(|(_, text)| expected.iter().all(|name| text.contains(name)))
    };
    assert!(eventually(complete).await, "{:#?}", daemon.get("/metrics").await);
    let (_, metrics) = daemon.get("/metrics").await.unwrap();
    let users = metrics
        .lines()
        .find_map(|line| line.strip_prefix("rollcall_users{environment=\"sandbox\",state=\"enabled\"} "));
    let rows = "select count(*) from rollcall.system_user where environment = 'sandbox' and azureactivedirectoryobjectid is not null";
    assert_eq!(users, Some(stage.number(rows).await.to_string().as_str()), "{metrics}");

    let log = daemon.stop().await;
    assert!(
        log.contains("stopping: finishing the batch in hand") && log.trim_end().ends_with("stopped"),
        "{log}"
    );
    assert!(
        stage.good("sync").await.ends_with("is complete.\n"),
        "the lease was given back"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_daemons_leads_and_a_sync_asks_it() {
    let stage = Stage::new().await;
    // No cycle of its own comes before what is asked for.
    let seldom = |command: &mut tokio::process::Command| {
        command.env("ROLLCALL__SYNC__INTERVAL", "1h");
    };
    let first = Daemon::start_with(&stage.installation, seldom);
    first.becomes_ready().await;
    let second = Daemon::start_with(&stage.installation, seldom);
    second.becomes_ready().await;
    assert_eq!(first.metric("rollcall_leader").await.as_deref(), Some("1"));
    assert_eq!(second.metric("rollcall_leader").await.as_deref(), Some("0"));

    let newcomer = stage.simulator.tenant().user_id_at(3).unwrap();
    stage
        .simulator
        .tenant()
        .update_user(newcomer, |user| user.job_title = Some("Asked for".to_owned()));
    let said = stage.run("sync --dry-run --output json").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let changes = said.json()["changes"].as_array().cloned().unwrap();
    assert!(
        !changes.is_empty(),
        "a dry run by the daemon names its changes: {said:?}"
    );
    assert!(
        changes
            .iter()
            .all(|change| change["fields"]["jobtitle"][1] == "Asked for"),
        "{said:?}"
    );
    let said = stage.run("sync --output json").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("Asked the daemon that leads"), "{said:?}");
    assert_eq!(said.json()["outcome"], "complete");
    assert_eq!(
        stage
            .number("select count(*) from rollcall.sync_run where trigger = 'sync' and not dry_run")
            .await,
        1
    );

    first.stop().await;
    let leads = async || second.metric("rollcall_leader").await.as_deref() == Some("1");
    assert!(eventually(leads).await, "{}", second.log());
    assert!(second.has_status("/health/ready", 200).await);
    second.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_takes_a_good_configuration_and_keeps_the_old_one_for_a_broken_one() {
    let stage = Stage::new().await;
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    stage.installation.amend("max_connections", "maximum_connections");
    daemon.signal("-HUP").await;
    assert!(
        eventually(async || daemon.log().contains("is not reloaded")).await,
        "{}",
        daemon.log()
    );
    assert!(
        daemon.log().contains("database.maximum_connections"),
        "{}",
        daemon.log()
    );
    let runs = "select count(*) from rollcall.sync_run where outcome = 'complete'";
    let before = stage.number(runs).await;
    assert!(
        eventually(async || stage.number(runs).await > before + 1).await,
        "{}",
        daemon.log()
    );

    stage.installation.amend("maximum_connections", "max_connections");
    stage.installation.amend("name = \"sandbox\"", "name = \"annex\"");
    daemon.signal("-HUP").await;
    let taken_over = "select count(*) from rollcall.system_user where environment = 'annex'";
    assert!(
        eventually(async || stage.number(taken_over).await > 2).await,
        "{}",
        daemon.log()
    );
    daemon.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_at_info_tells_no_names_and_no_secrets() {
    let stage = Stage::new().await;
    let daemon = Daemon::start(&stage.installation);
    daemon.becomes_ready().await;
    stage.simulator.tenant().expire_tokens(TokenDeath::SyncStateNotFound);
    let people = stage.simulator.tenant().user_ids();
    for pair in people.chunks(2) {
        stage.simulator.tenant().swap_upns(pair[0], *pair.last().unwrap());
    }
    stage.block(40);
    let faults = stage.simulator.faults();
    faults.push(Fault::times(When::path("/groups/delta"), 2, Effect::html(502)));
    faults.push(Fault::once(When::path("/users/delta"), Effect::Truncate));
    faults.push(Fault::once(When::path("/users/delta"), Effect::unauthorized()));
    let held = "select count(*) from rollcall.sync_run where outcome = 'held'";
    assert!(
        eventually(async || stage.number(held).await > 0).await,
        "{}",
        daemon.log()
    );
    let log = daemon.stop().await;
    assert!(log.contains("INFO") && log.contains("cycle{run=1"), "{log}");

    let mut private: Vec<String> = vec![stage.simulator.client_secret()];
    private.extend(
        url::Url::parse(&stage.database.url)
            .unwrap()
            .password()
            .map(str::to_owned),
    );
    for user in people.into_iter().filter_map(|id| stage.simulator.tenant().user(id)) {
        private.extend(user.business_phones);
        private.extend(
            [user.user_principal_name, user.mail, user.display_name]
                .into_iter()
                .flatten(),
        );
        private.extend([user.mobile_phone, user.street_address].into_iter().flatten());
    }
    let lower = log.to_lowercase();
    let told: Vec<&String> = private
        .iter()
        .filter(|text| lower.contains(&text.to_lowercase()))
        .collect();
    assert!(told.is_empty(), "{told:?} in {log}");
    for sign in [
        "deltatoken=",
        "skiptoken=",
        "bearer ",
        "access_token",
        "client_secret",
        "eyj",
    ] {
        assert!(!lower.contains(sign), "{sign} in {log}");
    }
    stage.end().await;
}

/// The schema is being made by somebody else, so that the migrations wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_during_the_start_is_answered_after_it_and_a_stop_at_once() {
    let stage = Stage::new().await;
    let mut other = PgConnection::connect(&stage.database.url).await.unwrap();
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'rollcall' and wait_event_type = 'Lock'";
    for signal in ["-HUP", "-TERM"] {
        for statement in ["drop schema rollcall cascade", "begin", "create schema rollcall"] {
            sqlx::raw_sql(statement).execute(&mut other).await.unwrap();
        }
        let mut daemon = Daemon::start(&stage.installation);
        assert!(
            eventually(async || stage.number(waits).await > 0).await,
            "{}",
            daemon.log()
        );
        daemon.signal(signal).await;
        if signal == "-TERM" {
            let ended = eventually(async || daemon.child.try_wait().unwrap().is_some()).await;
            assert!(ended, "{}", daemon.log());
            assert_eq!(daemon.child.wait().await.unwrap().code(), Some(0), "{}", daemon.log());
            assert!(daemon.log().contains("stopped while starting"), "{}", daemon.log());
            sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
        } else {
            sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
            daemon.becomes_ready().await;
            let log = daemon.stop().await;
            assert!(log.contains("the configuration is reloaded"), "{log}");
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_for_the_journal_begin_with_a_priority_and_others_do_not() {
    let stage = Stage::new().await;
    for is_journal in [true, false] {
        let path = stage.installation.folder.join("journal");
        let file = File::create(&path).unwrap();
        let stderr = file.metadata().unwrap();
        let inode = stderr.ino() + u64::from(!is_journal);
        let mut command = stage.installation.command("sync --environment none --log info");
        command
            .stderr(file)
            .env("JOURNAL_STREAM", format!("{}:{inode}", stderr.dev()));
        assert_eq!(command.status().await.unwrap().code(), Some(2));
        let log = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert!(
            lines.len() > 1 && lines.last().unwrap().contains("rollcall: there is no environment"),
            "{log}"
        );
        for line in &lines {
            assert_eq!(line.starts_with('<'), is_journal, "{log}");
        }
        assert_eq!(lines.last().unwrap().starts_with("<3>"), is_journal, "{log}");
    }
    stage.end().await;
}
