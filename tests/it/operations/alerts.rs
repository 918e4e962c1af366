//! The alerts: one list, from which `deploy/prometheus/alerts.yml` is written (`./dev alerts`). Durations are multiplied
//! by a factor: 1 is shipped, and a small one fires while a test waits.
//!
//! Replicas of one tenant share a `job`. What only the leader keeps up to date is read from the leader. An external label `rollcall` with the console's address makes links of the
//! annotation `console`.

use std::fmt::Write;

/// One alert.
pub struct Alert {
    pub name: &'static str,
    pub severity: &'static str,
    /// `PromQL`; a number in braces is of seconds, and multiplied by the factor.
    pub expression: &'static str,
    /// For how many seconds it must hold.
    pub lasting: u64,
    pub summary: &'static str,
    pub action: &'static str,
    /// The page of the console.
    pub page: &'static str,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

pub const ALERTS: &[Alert] = &[
    Alert {
        name: "RollcallNoCompleteCycle",
        severity: "critical",
        expression: "time() - max by (job) (rollcall_cycle_last_success_timestamp_seconds) > 3.3 * max by (job) (rollcall_cycle_interval_seconds)
          or max by (job) (rollcall_leader) unless on (job) max by (job) (rollcall_cycle_last_success_timestamp_seconds)",
        lasting: 5 * MINUTE,
        summary: "No cycle has succeeded for three intervals.",
        action: "Look at the problems of the latest run (rollcall runs list), and run rollcall check.",
        page: "/console/runs",
    },
    Alert {
        name: "RollcallLag",
        severity: "warning",
        expression: "max by (job) (rollcall_lag_seconds and on (job, instance) rollcall_leader == 1) > 4 * max by (job) (rollcall_cycle_interval_seconds)",
        lasting: 5 * MINUTE,
        summary: "The users were last read completely more than four intervals ago.",
        action: "Look at the log for requests to Microsoft Graph that fail; rollcall check names missing permissions.",
        page: "/console/runs",
    },
    Alert {
        name: "RollcallRemovalsHeld",
        severity: "warning",
        expression: "max by (job) (rollcall_guard_held and on (job, instance) rollcall_leader == 1) > 0",
        lasting: HOUR,
        summary: "{{ $value }} removals have waited for a decision for an hour.",
        action: "Look at whom they concern (rollcall runs show), then approve or reject the run.",
        page: "/console/held",
    },
    Alert {
        name: "RollcallSourceInDoubt",
        severity: "warning",
        expression: "max by (job, environment) (rollcall_findings{code=\"directory_unavailable\"} and on (job, instance) rollcall_leader == 1) > 0",
        lasting: DAY,
        summary: "A source of the directory has been unreadable or in doubt for a day.",
        action: "Look at what the finding says (rollcall findings), and run rollcall check.",
        page: "/console/findings",
    },
    Alert {
        name: "RollcallNoLeader",
        severity: "critical",
        expression: "sum by (job) (rollcall_leader) == 0 or absent(rollcall_leader)",
        lasting: 2 * MINUTE,
        summary: "No process leads, so nothing is synced.",
        action: "Look whether the daemon runs and whether the database answers (rollcall status, /health/ready).",
        page: "/console/",
    },
    Alert {
        name: "RollcallSeveralLeaders",
        severity: "critical",
        expression: "sum by (job) (rollcall_leader) > 1",
        lasting: 2 * MINUTE,
        summary: "{{ $value }} processes say that they lead.",
        action: "Look whether replicas use different databases or schemas, or whether tenants share a Prometheus job.",
        page: "/console/",
    },
    Alert {
        name: "RollcallDeltaLinkOld",
        severity: "critical",
        expression: "max by (job, resource) (rollcall_delta_token_age_seconds and on (job, instance) rollcall_leader == 1) > {432000}",
        lasting: 5 * MINUTE,
        summary: "The delta link of {{ $labels.resource }} is older than five days; after seven days it expires.",
        action: "Find out why no run completes: an expired link makes the next run read everything.",
        page: "/console/runs",
    },
    Alert {
        name: "RollcallThrottled",
        severity: "warning",
        expression: "sum by (job) (rate(rollcall_graph_throttled_total[{300}s])) > 0",
        lasting: 15 * MINUTE,
        summary: "Microsoft Graph has throttled rollcall for 15 minutes.",
        action: "Look which other applications read this tenant, or use a longer sync.interval.",
        page: "/console/runs",
    },
    Alert {
        name: "RollcallResyncStorm",
        severity: "warning",
        expression: "sum by (job) (increase(rollcall_resyncs_total[{86400}s])) > 5",
        lasting: 0,
        summary: "Links have expired {{ $value | humanize }} times within a day, and each time everything was read anew.",
        action: "Look at the causes (rollcall_resyncs_total by cause) and at how long runs are apart.",
        page: "/console/runs",
    },
    Alert {
        name: "RollcallDrift",
        severity: "warning",
        expression: "sum by (job) (increase(rollcall_drift_total[{86400}s])) > 0",
        lasting: 0,
        summary: "A verification has found {{ $value | humanize }} differences that no change of the directory had told.",
        action: "Look at the finding drift (rollcall findings). The mirror is corrected; if it comes back, verify more often (sync.verify_interval).",
        page: "/console/findings",
    },
    Alert {
        name: "RollcallCriticalImportFailed",
        severity: "critical",
        expression: "sum by (job) (increase(rollcall_import_jobs_total{critical=\"true\",outcome=\"failed\"}[{3600}s])) > 0",
        lasting: 0,
        summary: "A critical import job has failed.",
        action: "Look at its error (rollcall job list), then requeue it.",
        page: "/console/imports",
    },
    Alert {
        name: "RollcallPoolExhausted",
        severity: "warning",
        expression: "rollcall_db_pool_idle == 0 and rollcall_db_pool_connections >= rollcall_db_pool_max_connections",
        lasting: 10 * MINUTE,
        summary: "Every database connection of {{ $labels.instance }} is in use.",
        action: "Look for locks that last long in PostgreSQL, or raise database.max_connections.",
        page: "/console/",
    },
    Alert {
        name: "RollcallEnvironmentLeftOver",
        severity: "warning",
        expression: "max by (job, environment) (rollcall_left_over_rows and on (job, instance) rollcall_leader == 1) > 0",
        lasting: HOUR,
        summary: "Environment {{ $labels.environment }} has enabled rows but is not in the configuration.",
        action: "Configure it again, or take leave of it with rollcall environment retire.",
        page: "/console/findings",
    },
    Alert {
        name: "RollcallCredentialExpires",
        severity: "warning",
        expression: "min by (job) (rollcall_credential_expires_timestamp_seconds) - time() < 1209600",
        lasting: HOUR,
        summary: "The certificate for Microsoft Entra ID ends in {{ $value | humanizeDuration }}.",
        action: "Add a new certificate to the app registration, replace the files, and send SIGHUP.",
        page: "/console/",
    },
    Alert {
        name: "RollcallChangeFeedBehind",
        severity: "warning",
        expression: "max by (job) (rollcall_change_feed_backlog and on (job, instance) rollcall_leader == 1) > 10000",
        lasting: 15 * MINUTE,
        summary: "{{ $value }} changes wait to enter the change feed.",
        action: "Look at the leader's log for the change feed, and for locks in PostgreSQL.",
        page: "/console/",
    },
];

/// A number of seconds times the factor, as Prometheus writes durations: at least a second.
fn seconds(seconds: u64, factor: f64) -> u64 {
    let scaled = std::time::Duration::from_secs(seconds).mul_f64(factor);
    if seconds == 0 { 0 } else { scaled.as_secs().max(1) }
}

/// An expression with its durations multiplied.
pub fn expression(alert: &Alert, factor: f64) -> String {
    let mut text = String::new();
    let mut rest = alert.expression;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').unwrap();
        text.push_str(before);
        match inside.parse() {
            Ok(given) => text.push_str(&seconds(given, factor).to_string()),
            Err(_) => write!(text, "{{{inside}}}").unwrap(),
        }
        rest = after;
    }
    text + rest
}

/// The same for the Prometheus Operator.
pub fn operator_rules() -> String {
    let rules = rules(1.0);
    let (_, groups) = rules.split_once("groups:\n").unwrap();
    let mut text = "\
# Written by `./dev alerts` from tests/it/operations/alerts.rs; do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rollcall
spec:
  groups:
"
    .to_owned();
    for line in groups.lines() {
        writeln!(text, "  {line}").unwrap();
    }
    text
}

/// The file of rules.
pub fn rules(factor: f64) -> String {
    let mut text = "\
# Alerts of rollcall, written by `./dev alerts` from tests/it/operations/alerts.rs; do not edit.
#
#   rule_files: [alerts.yml]
#   global: { external_labels: { rollcall: \"https://rollcall.example\" } }   # makes links into the console
#
# Replicas of one tenant share a job; every tenant has its own.
groups:
  - name: rollcall
    rules:
"
    .to_owned();
    for alert in ALERTS {
        let Alert {
            name,
            severity,
            lasting,
            summary,
            action,
            page,
            ..
        } = alert;
        let expression = expression(alert, factor)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let lasting = seconds(*lasting, factor);
        write!(
            text,
            "      - alert: {name}
        expr: |-
          {expression}
        for: {lasting}s
        labels: {{ severity: {severity} }}
        annotations:
          summary: {summary:?}
          action: {action:?}
          console: \"{{{{ $externalLabels.rollcall }}}}{page}\"
"
        )
        .unwrap();
    }
    text
}
