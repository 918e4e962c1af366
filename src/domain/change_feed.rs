//! The change feed: the lines of the change log in the order in which programs read them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// A line of the change log.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FeedLine {
    /// Its place in the feed.
    #[serde(skip)]
    pub position: i64,
    /// Its number in the change log, the same however often it is read.
    pub id: i64,
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// The run, if there was one.
    pub run_id: Option<i64>,
    /// The actor.
    pub actor: String,
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
    /// The operation: `create`, `update`, `enable`, `disable`, `edit`, `delete`, `grant`, `revoke` and others.
    pub operation: String,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Column → [old, new].
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// Which lines a reader wants.
#[derive(Clone, Debug, Default)]
pub struct FeedFilter {
    /// One environment only.
    pub environment: Option<String>,
    /// One operation only.
    pub operation: Option<String>,
}

/// How far a reader has come. Opaque to readers: a position, and when the line there was written. The time tells a
/// database that was restored to an earlier state, where the same position has another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    pub(crate) position: i64,
    /// In microseconds, as the database keeps it; 0 at the beginning and after a line that is deleted.
    pub(crate) written_at: i64,
}

impl FeedCursor {
    /// The cursor after a line.
    #[must_use]
    pub fn after(position: i64, written_at: Option<DateTime<Utc>>) -> Self {
        Self {
            position,
            written_at: written_at.map_or(0, |at| at.timestamp_micros()),
        }
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A time before 1970 is written as a large number.
        write!(f, "{:x}-{:x}", self.position, self.written_at)
    }
}

impl FromStr for FeedCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (position, written_at) = text.split_once('-')?;
            let number = |digits: &str| {
                let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u64::from_str_radix(digits, 16).ok().filter(|_| is_plain)
            };
            Some(Self {
                position: number(position)?.try_into().ok()?,
                written_at: number(written_at)?.cast_signed(),
            })
        };
        read().ok_or("expected `next` of an answer before")
    }
}

/// A part of the feed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FeedPage {
    /// The lines, oldest first.
    pub items: Vec<FeedLine>,
    /// Where the next part begins, also if there is none yet: `after` of the next request.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub next: FeedCursor,
}

fn as_text<S: serde::Serializer>(cursor: &FeedCursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        for (position, written_at) in [(0, 0), (1, 1_772_438_400_000_000), (i64::MAX, -7)] {
            let cursor = FeedCursor { position, written_at };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "1", "-", "1-", "-1", "+1-1", "1-1-1", "g-1", "8000000000000000-0"] {
            assert!(text.parse::<FeedCursor>().is_err(), "{text}");
        }
    }
}
