//! Programs that are told of changes: who, of which, and when a delivery is tried again.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::change_feed::{FeedCursor, FeedLine};

/// A receiver, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, the key of its progress.
    pub name: String,
    /// Where changes are sent.
    pub url: Url,
    /// The secrets that sign; several while one is replaced by another.
    pub secrets: Vec<Vec<u8>>,
    /// The file that holds them.
    pub secret_file: std::path::PathBuf,
    /// Only these environments; all if empty.
    pub environments: Vec<String>,
    /// Only these operations; all if empty.
    pub operations: Vec<String>,
    /// Whether a new receiver gets the lines that there are already.
    pub from_beginning: bool,
    /// Whether it gets actors and values.
    pub include_values: bool,
    /// Who sends, for the receiver: `source` of every event.
    pub source: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A message, the same at each attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id: a receiver that has seen it ignores it.
    pub id: String,
    /// The body.
    pub body: String,
}

impl Webhook {
    /// Whether the receiver wants a line.
    #[must_use]
    pub fn wants(&self, line: &FeedLine) -> bool {
        let among = |wanted: &[String], one: &String| wanted.is_empty() || wanted.contains(one);
        among(&self.environments, &line.environment) && among(&self.operations, &line.operation)
    }

    /// A line as an event, in the JSON format of `CloudEvents` 1.0.
    #[must_use]
    pub fn message(&self, line: &FeedLine) -> Message {
        let id = FeedCursor::after(line.position, Some(line.at)).to_string();
        let columns: Vec<&String> = line
            .fields
            .as_object()
            .into_iter()
            .flatten()
            .map(|(column, _)| column)
            .collect();
        let mut data = json!({
            "id": line.id,
            "at": line.at,
            "run_id": line.run_id,
            "environment": line.environment,
            "systemuserid": line.systemuserid,
            "operation": line.operation,
            "reason": line.reason,
            "columns": columns,
        });
        if self.include_values {
            data["actor"] = Value::from(line.actor.clone());
            data["fields"] = line.fields.clone();
        }
        let event = json!({
            "specversion": "1.0",
            "id": id,
            "source": self.source,
            "type": format!("rollcall.user.{}", line.operation),
            "subject": format!("{}/{}", line.environment, line.systemuserid),
            "time": line.at,
            "datacontenttype": "application/json",
            "data": data,
        });
        Message {
            id,
            body: event.to_string(),
        }
    }
}

/// The pauses before the next attempts; the last repeats.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

/// The longest pause of a receiver: one that is back gets the next change soon.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How long a line is tried.
const GIVEN_UP_AFTER: chrono::Duration = chrono::Duration::hours(24);

/// When a line is tried again after some failed attempts.
#[must_use]
pub fn next_attempt(attempts: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    now + PAUSES[at.min(PAUSES.len() - 1)]
}

/// Until when a receiver is left alone after some failures in a row.
#[must_use]
pub fn paused_until(failures: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    next_attempt(failures, now).min(now + LONGEST_PAUSE)
}

/// Whether a line that fails, and has waited since a time, is given up.
#[must_use]
pub fn is_given_up(waiting_since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - waiting_since >= GIVEN_UP_AFTER
}

/// What is known of a receiver.
#[derive(Clone, Debug, Serialize)]
pub struct WebhookStatus {
    /// The name.
    pub name: String,
    /// Lines of the feed that it has not been told of.
    pub backlog: i64,
    /// Those of them that have failed before, or that wait for one of the same row.
    pub waiting: i64,
    /// Lines that are given up.
    pub dead: i64,
    /// Failed attempts since the last success.
    pub failures: i32,
    /// Until when nothing is sent.
    pub paused_until: Option<DateTime<Utc>>,
    /// The last success.
    pub delivered_at: Option<DateTime<Utc>>,
    /// The last failure.
    pub failed_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub failure: Option<String>,
}
