//! The one list of metrics. Labels are bounded: never a user, never an object id.

use std::time::Duration;

use metrics::{counter, histogram};

/// Records what happened; free to copy and share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// One answered or failed Graph request. `endpoint` is a template such as `users/delta`; `status` the
    /// HTTP status, or `error` where none came.
    pub fn graph_request(self, endpoint: &'static str, status: &str, elapsed: Duration) {
        counter!("rollcall_graph_requests_total", "endpoint" => endpoint, "status" => status.to_owned()).increment(1);
        histogram!("rollcall_graph_request_seconds", "endpoint" => endpoint).record(elapsed.as_secs_f64());
    }

    /// A request was throttled (429).
    pub fn graph_throttled(self) {
        counter!("rollcall_graph_throttled_total").increment(1);
    }

    /// A request is repeated because of `reason` (`throttled`, `unavailable`, `broken_body`, `network`, `unauthorized`).
    pub fn graph_retry(self, reason: &'static str) {
        counter!("rollcall_graph_retries_total", "reason" => reason).increment(1);
    }

    /// A source begins a full round because its link died. `cause` is one of the service's codes.
    pub fn resync(self, resource: &str, cause: &str) {
        let cause = match cause {
            "resyncrequired"
            | "syncstatenotfound"
            | "request_unsupportedquery"
            | "directory_expiredpagetoken"
            | "gone" => cause,
            _ => "other",
        };
        counter!("rollcall_resyncs_total", "resource" => resource.to_owned(), "cause" => cause.to_owned()).increment(1);
    }
}
