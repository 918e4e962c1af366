//! What a Prometheus reads from the daemon: the rules of `promtool check metrics`, and counters that exist before they
//! count.

use super::Stage;
use crate::daemon::{Daemon, eventually};

/// Units that have a base unit, and abbreviations of units.
const NO_BASE_UNITS: [&str; 16] = [
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "kilobytes",
    "megabytes",
    "bits",
    "percent",
    "ms",
    "us",
    "ns",
    "sec",
    "mb",
];

const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// What `promtool check metrics` would say of a text.
fn complaints(text: &str) -> Vec<String> {
    let described: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
        .filter(|(_, help)| !help.trim().is_empty())
        .map(|(name, _)| name)
        .collect();
    let typed: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut found = Vec::new();
    for (name, kind) in &typed {
        let mut complain = |what: &str| found.push(format!("{name} {what}"));
        if !described.contains(name) {
            complain("has no help text");
        }
        if (*kind == "counter") != name.ends_with("_total") {
            complain("is a counter without _total, or has _total and is none");
        }
        let words: Vec<&str> = name.split('_').collect();
        if words.iter().any(|word| NO_BASE_UNITS.contains(word)) {
            complain("does not use a base unit");
        }
        if words.iter().any(|word| TYPES.contains(word))
            || ["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
        {
            complain("has its type in its name");
        }
        if name
            .bytes()
            .any(|byte| !byte.is_ascii_lowercase() && !byte.is_ascii_digit() && byte != b'_')
        {
            complain("is not in snake case");
        }
        if !name.starts_with("rollcall_") {
            complain("does not say whose it is");
        }
    }
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let is_of = |(typed, kind): &(&str, &str)| {
            name == *typed || (*kind == "histogram" && name.strip_prefix(typed).is_some_and(|end| end.starts_with('_')))
        };
        if !typed.iter().any(is_of) {
            found.push(format!("{name} has no type"));
        }
    }
    found
}

#[test]
fn a_metric_against_the_conventions_is_found() {
    let good = "# HELP rollcall_a_total What.\n# TYPE rollcall_a_total counter\nrollcall_a_total{x=\"1\"} 0\n";
    assert!(complaints(good).is_empty());
    for (from, to, complaint) in [
        (
            "# HELP rollcall_a_total What.\n",
            "",
            "rollcall_a_total has no help text",
        ),
        (
            " counter",
            " gauge",
            "rollcall_a_total is a counter without _total, or has _total and is none",
        ),
        ("a_total", "a_ms_total", "rollcall_a_ms_total does not use a base unit"),
        (
            "a_total",
            "a_gauge_total",
            "rollcall_a_gauge_total has its type in its name",
        ),
        ("a_total", "aB_total", "rollcall_aB_total is not in snake case"),
        ("rollcall_a", "a", "a_total does not say whose it is"),
        ("# TYPE rollcall_a_total counter\n", "", "rollcall_a_total has no type"),
    ] {
        assert_eq!(complaints(&good.replace(from, to)), [complaint]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_follow_the_conventions_and_every_counter_exists_before_it_counts() {
    let stage = Stage::new().await;
    let daemon = Daemon::start(&stage.installation);
    assert!(
        eventually(async || daemon.has_status("/health/live", 200).await).await,
        "{}",
        daemon.log()
    );
    let (_, first) = daemon.get("/metrics").await.unwrap();
    assert_eq!(complaints(&first), [""; 0]);
    // Nothing of this happens in this test.
    for counter in [
        "rollcall_cycles_total{outcome=\"failed\"}",
        "rollcall_cycles_total{outcome=\"held\"}",
        "rollcall_changes_total{environment=\"production\",operation=\"disable\"}",
        "rollcall_changes_total{environment=\"sandbox\",operation=\"disable\"}",
        "rollcall_skips_total{environment=\"production\",reason=\"row_not_written\"}",
        "rollcall_graph_requests_total{endpoint=\"users/delta\",status=\"error\"}",
        "rollcall_graph_throttled_total",
        "rollcall_graph_retries_total{reason=\"unauthorized\"}",
        "rollcall_resyncs_total{resource=\"group\",cause=\"gone\"}",
        "rollcall_import_jobs_total{outcome=\"failed\",category=\"undefined\",critical=\"true\"}",
        "rollcall_api_limited_total{bound=\"strangers\"}",
        "rollcall_retention_deleted_total{table=\"gone_users\"}",
    ] {
        assert!(
            first.contains(&format!("\n{counter} 0\n")),
            "{counter} is not at 0:\n{first}"
        );
    }
    daemon.becomes_ready().await;
    let complete = "\nrollcall_cycles_total{outcome=\"complete\"} 1\n";
    assert!(
        eventually(async || daemon
            .get("/metrics")
            .await
            .is_some_and(|(_, text)| text.contains(complete)))
        .await
    );
    // By now there are those that a cycle sets.
    let (_, after) = daemon.get("/metrics").await.unwrap();
    assert_eq!(complaints(&after), [""; 0]);
    drop(daemon);
    stage.end().await;
}
