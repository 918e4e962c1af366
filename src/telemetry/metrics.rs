//! The list of all metrics. Labels are bounded: never a user, never an object id.
//!
//! Every metric has a help text, and every counter exists from the first scrape, at 0, with each label that is known
//! beforehand: `rate()` and `increase()` miss what a counter begins with.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::domain::drift::Drift;
use crate::domain::import::JobOutcome;
use crate::domain::notifications::NotificationResult;
use crate::domain::reason::Code;
use crate::domain::retention::Kept;

/// The labels that are known beforehand and are listed elsewhere.
#[derive(Clone, Debug)]
pub struct KnownLabels<'a> {
    /// The configured environments.
    pub environments: &'a [String],
    /// The outcomes of a cycle.
    pub outcomes: &'a [&'static str],
    /// The endpoints of Graph.
    pub endpoints: &'a [&'static str],
    /// The reasons for a retry.
    pub retries: &'a [&'static str],
    /// The kinds of source that have links, and the causes for which one expires.
    pub resyncs: (&'a [&'static str], &'a [&'static str]),
    /// The limits of the API.
    pub bounds: &'a [&'static str],
    /// The configured webhooks.
    pub webhooks: &'a [String],
}

/// The category of an import job that names none.
pub const UNDEFINED: &str = "undefined";

/// What a cycle does to rows.
const OPERATIONS: [&str; 4] = ["create", "update", "enable", "disable"];

/// Records metrics; free to copy and share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// Gives each metric its help text.
    pub fn describe(self) {
        describe_counter!("rollcall_cycles_total", "Cycles that have ended, by outcome.");
        describe_histogram!("rollcall_cycle_seconds", "Duration of cycles.");
        describe_gauge!(
            "rollcall_cycle_last_success_timestamp_seconds",
            "When a cycle last succeeded, as Unix time."
        );
        describe_gauge!(
            "rollcall_lag_seconds",
            "Time since the users were last read completely."
        );
        describe_gauge!("rollcall_leader", "1 if this process leads, else 0.");
        describe_gauge!("rollcall_guard_held", "Rows whose removal waits for approval.");
        describe_gauge!("rollcall_users", "SystemUsers, by environment and state.");
        describe_gauge!(
            "rollcall_non_interactive_users",
            "Enabled non-interactive users of an environment."
        );
        describe_gauge!(
            "rollcall_users_without_role",
            "Enabled users of an environment without any security role."
        );
        describe_gauge!(
            "rollcall_left_over_rows",
            "Enabled rows of an environment that is no longer configured."
        );
        describe_gauge!(
            "rollcall_left_over_held",
            "Rows with a held removal in an environment that is no longer configured."
        );
        describe_counter!("rollcall_changes_total", "Rows that cycles have changed, by operation.");
        describe_counter!(
            "rollcall_skips_total",
            "Users for whom cycles have created no row, by reason; each cycle counts those it evaluates."
        );
        describe_gauge!(
            "rollcall_findings",
            "Open findings; those of the tenant as a whole have an empty environment."
        );
        describe_counter!(
            "rollcall_graph_requests_total",
            "Requests to Microsoft Graph, by endpoint and HTTP status."
        );
        describe_histogram!(
            "rollcall_graph_request_seconds",
            "Duration of requests to Microsoft Graph."
        );
        describe_counter!(
            "rollcall_graph_throttled_total",
            "Answers of Microsoft Graph with status 429."
        );
        describe_counter!(
            "rollcall_graph_retries_total",
            "Repeated requests to Microsoft Graph, by reason."
        );
        describe_gauge!(
            "rollcall_delta_token_age_seconds",
            "Age of the delta token of a source."
        );
        describe_counter!(
            "rollcall_resyncs_total",
            "Full rounds that an expired link has begun, by source and cause."
        );
        describe_counter!(
            "rollcall_drift_total",
            "Differences that verifications of the mirror have found and corrected, by kind."
        );
        Self::describe_feed();
        describe_counter!("rollcall_import_jobs_total", "Import jobs that are over, by outcome.");
        describe_counter!(
            "rollcall_api_limited_total",
            "API requests refused with status 429, by limit."
        );
        describe_gauge!("rollcall_db_pool_connections", "Open connections to the database.");
        describe_gauge!(
            "rollcall_db_pool_idle",
            "Open connections to the database that are idle."
        );
        describe_gauge!(
            "rollcall_db_pool_max_connections",
            "The most connections to the database that are opened."
        );
        describe_gauge!(
            "rollcall_cycle_interval_seconds",
            "The configured time between two cycles."
        );
        describe_gauge!(
            "rollcall_credential_expires_timestamp_seconds",
            "When the certificate for Microsoft Entra ID ends, as Unix time; missing with other credentials."
        );
        describe_gauge!("rollcall_build_info", "Always 1; the label is the version.");
    }

    fn describe_feed() {
        describe_gauge!(
            "rollcall_change_feed_backlog",
            "Lines of the change log that are not in the change feed yet."
        );
        describe_counter!(
            "rollcall_webhook_deliveries_total",
            "Attempts to tell a webhook of a change, by result; dead: given up after a day."
        );
        describe_gauge!(
            "rollcall_webhook_backlog",
            "Changes that a webhook has not been told of."
        );
        describe_counter!(
            "rollcall_notifications_total",
            "Requests to the listener for change notifications, by what became of them."
        );
        describe_gauge!(
            "rollcall_subscription_expires_timestamp_seconds",
            "When the subscription to change notifications ends, as Unix time; missing without one."
        );
        describe_counter!(
            "rollcall_retention_deleted_total",
            "Rows that were deleted because they were old, by what they were."
        );
    }

    /// Starts every counter at 0. Counters that exist already stay as they are.
    pub fn start(self, known: &KnownLabels<'_>) {
        for outcome in known.outcomes {
            counter!("rollcall_cycles_total", "outcome" => *outcome).increment(0);
        }
        for environment in known.environments {
            self.changes(environment, 0, 0, 0, 0);
            for reason in Code::ALL {
                self.skips(environment, reason.as_str(), 0);
            }
        }
        for endpoint in known.endpoints {
            for status in ["200", "error"] {
                counter!("rollcall_graph_requests_total", "endpoint" => *endpoint, "status" => status).increment(0);
            }
        }
        counter!("rollcall_graph_throttled_total").increment(0);
        for reason in known.retries {
            counter!("rollcall_graph_retries_total", "reason" => *reason).increment(0);
        }
        let (resources, causes) = known.resyncs;
        for resource in resources {
            for cause in causes {
                counter!("rollcall_resyncs_total", "resource" => *resource, "cause" => *cause).increment(0);
            }
        }
        self.drift(&Drift::default());
        for outcome in JobOutcome::ALL {
            for critical in [false, true] {
                import_jobs(outcome.as_str(), UNDEFINED, critical).increment(0);
            }
        }
        for what in Kept::ALL {
            self.retention_deleted(what.as_str(), 0);
        }
        for result in NotificationResult::ALL {
            notifications(result).increment(0);
        }
        for webhook in known.webhooks {
            for result in ["delivered", "failed", "dead"] {
                webhook_deliveries(webhook, result).increment(0);
            }
        }
        for bound in known.bounds {
            counter!("rollcall_api_limited_total", "bound" => *bound).increment(0);
        }
    }

    /// One answered or failed Graph request. `endpoint` is a template such as `users/delta`; `status` is the HTTP
    /// status, or `error` without one.
    pub fn graph_request(self, endpoint: &'static str, status: &str, elapsed: Duration) {
        counter!("rollcall_graph_requests_total", "endpoint" => endpoint, "status" => status.to_owned()).increment(1);
        histogram!("rollcall_graph_request_seconds", "endpoint" => endpoint).record(elapsed.as_secs_f64());
    }

    /// A request was throttled (429).
    pub fn graph_throttled(self) {
        counter!("rollcall_graph_throttled_total").increment(1);
    }

    /// A request is retried because of `reason` (`throttled`, `unavailable`, `broken_body`, `network`, `unauthorized`).
    pub fn graph_retry(self, reason: &'static str) {
        counter!("rollcall_graph_retries_total", "reason" => reason).increment(1);
    }

    /// A source begins a full round because its link expired. `cause` is one of the Graph edge's bounded causes.
    pub fn resync(self, resource: &'static str, cause: &'static str) {
        counter!("rollcall_resyncs_total", "resource" => resource, "cause" => cause).increment(1);
    }

    /// What a verification has found.
    pub fn drift(self, drift: &Drift) {
        for (kind, count) in [
            ("users", drift.users),
            ("members", drift.members),
            ("owners", drift.owners),
        ] {
            counter!("rollcall_drift_total", "kind" => kind).increment(count);
        }
    }

    /// A cycle ended.
    pub fn cycle(self, outcome: &'static str, elapsed: Duration) {
        counter!("rollcall_cycles_total", "outcome" => outcome).increment(1);
        histogram!("rollcall_cycle_seconds").record(elapsed.as_secs_f64());
    }

    /// When a cycle last succeeded.
    pub fn last_success(self, at: DateTime<Utc>) {
        gauge!("rollcall_cycle_last_success_timestamp_seconds").set(whole(at.timestamp()));
    }

    /// Whether this process leads.
    pub fn leader(self, leads: bool) {
        gauge!("rollcall_leader").set(if leads { 1.0 } else { 0.0 });
    }

    /// Rows of an environment.
    pub fn users(self, environment: &str, enabled: i64, disabled: i64) {
        for (state, count) in [("enabled", enabled), ("disabled", disabled)] {
            gauge!("rollcall_users", "environment" => environment.to_owned(), "state" => state).set(whole(count));
        }
    }

    /// Enabled non-interactive users of an environment.
    pub fn non_interactive(self, environment: &str, count: i64) {
        gauge!("rollcall_non_interactive_users", "environment" => environment.to_owned()).set(whole(count));
    }

    /// Enabled users of an environment without any security role.
    pub fn without_role(self, environment: &str, count: i64) {
        gauge!("rollcall_users_without_role", "environment" => environment.to_owned()).set(whole(count));
    }

    /// The changes of a cycle.
    pub fn changes(self, environment: &str, created: u64, updated: u64, enabled: u64, disabled: u64) {
        for (operation, count) in OPERATIONS.into_iter().zip([created, updated, enabled, disabled]) {
            counter!("rollcall_changes_total", "environment" => environment.to_owned(), "operation" => operation)
                .increment(count);
        }
    }

    /// Users without a row for whom none was created.
    pub fn skips(self, environment: &str, reason: &str, count: u64) {
        counter!("rollcall_skips_total", "environment" => environment.to_owned(), "reason" => reason.to_owned())
            .increment(count);
    }

    /// Open findings; an empty environment is the tenant.
    pub fn findings(self, environment: &str, code: &'static str, count: i64) {
        gauge!("rollcall_findings", "environment" => environment.to_owned(), "code" => code).set(whole(count));
    }

    /// Rows whose removal waits for approval.
    pub fn guard_held(self, count: i64) {
        gauge!("rollcall_guard_held").set(whole(count));
    }

    /// The rows of an environment that is in the database but not in the configuration: enabled rows, and rows with a
    /// held removal, which nobody can decide.
    pub fn left_over(self, environment: &str, enabled: i64, held: i64) {
        gauge!("rollcall_left_over_rows", "environment" => environment.to_owned()).set(whole(enabled));
        gauge!("rollcall_left_over_held", "environment" => environment.to_owned()).set(whole(held));
    }

    /// The API refused a request over a limit. `bound` is one of three.
    pub fn api_limited(self, bound: &'static str) {
        counter!("rollcall_api_limited_total", "bound" => bound).increment(1);
    }

    /// Lines of the change log that wait for their place in the change feed.
    pub fn change_feed_backlog(self, lines: i64) {
        gauge!("rollcall_change_feed_backlog").set(whole(lines));
    }

    /// A request to the listener for change notifications.
    pub fn notification(self, result: NotificationResult) {
        notifications(result).increment(1);
    }

    /// When the subscription to change notifications ends.
    pub fn subscription_expires(self, at: DateTime<Utc>) {
        gauge!("rollcall_subscription_expires_timestamp_seconds").set(whole(at.timestamp()));
    }

    /// An attempt to tell a webhook of a change.
    pub fn webhook_delivery(self, webhook: &str, result: &'static str) {
        webhook_deliveries(webhook, result).increment(1);
    }

    /// Changes that a webhook has not been told of.
    pub fn webhook_backlog(self, webhook: &str, lines: i64) {
        gauge!("rollcall_webhook_backlog", "webhook" => webhook.to_owned()).set(whole(lines));
    }

    /// Rows of a table that were deleted because they were old.
    pub fn retention_deleted(self, table: &'static str, rows: u64) {
        counter!("rollcall_retention_deleted_total", "table" => table).increment(rows);
    }

    /// An import job is over. There are few categories, because submitters cannot add any.
    pub fn import_job(self, outcome: &'static str, category: &str, critical: bool) {
        import_jobs(outcome, category, critical).increment(1);
    }

    /// The age of a delta token.
    pub fn delta_token_age(self, resource: &'static str, age: TimeDelta) {
        gauge!("rollcall_delta_token_age_seconds", "resource" => resource).set(whole(age.num_seconds()));
    }

    /// The time since the users were last read completely.
    pub fn lag(self, age: TimeDelta) {
        gauge!("rollcall_lag_seconds").set(whole(age.num_seconds()));
    }

    /// The connection pool.
    pub fn db_pool(self, open: u32, idle: usize, most: u32) {
        gauge!("rollcall_db_pool_max_connections").set(f64::from(most));
        gauge!("rollcall_db_pool_connections").set(f64::from(open));
        gauge!("rollcall_db_pool_idle").set(whole(i64::try_from(idle).unwrap_or(i64::MAX)));
    }

    /// The configured time between two cycles.
    pub fn cycle_interval(self, interval: Duration) {
        gauge!("rollcall_cycle_interval_seconds").set(interval.as_secs_f64());
    }

    /// When the certificate of the credential ends.
    pub fn credential_expires(self, at: DateTime<Utc>) {
        gauge!("rollcall_credential_expires_timestamp_seconds").set(whole(at.timestamp()));
    }

    /// The build that is running.
    pub fn build_info(self) {
        gauge!("rollcall_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }
}

fn notifications(result: NotificationResult) -> Counter {
    counter!("rollcall_notifications_total", "result" => result.as_str())
}

fn webhook_deliveries(webhook: &str, result: &'static str) -> Counter {
    counter!("rollcall_webhook_deliveries_total", "webhook" => webhook.to_owned(), "result" => result)
}

fn import_jobs(outcome: &'static str, category: &str, critical: bool) -> Counter {
    let critical = if critical { "true" } else { "false" };
    counter!(
        "rollcall_import_jobs_total",
        "outcome" => outcome, "category" => category.to_owned(), "critical" => critical
    )
}

/// Metrics are floating-point numbers; ours are counts far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn whole(count: i64) -> f64 {
    count as f64
}
