//! Import jobs, and whom they can be about (rules.md, section 9).

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// One import job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Where users are imported to.
    pub environment: String,
    /// The default company of every row it makes.
    pub company: String,
    /// Everybody without a row, instead of selected users.
    pub all: bool,
    /// Nobody waits for it.
    pub background: bool,
    /// Jobs of one group run one after another.
    pub batch_group: Option<String>,
    /// Only its owner and operators see it.
    pub private: bool,
    /// It is never purged, and its failure is an alert.
    pub critical: bool,
    /// The label of its metrics.
    pub monitoring_category: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Cron, in UTC: it makes a run at each due time and imports nobody itself.
    pub schedule: Option<String>,
    /// The scheduled job whose run this is.
    pub scheduled_by: Option<i64>,
    /// How often it is tried again in a row when the directory is unavailable.
    pub max_retries: i16,
    /// Its owner.
    pub submitted_by: String,
    /// Since when it is there.
    pub submitted_at: DateTime<Utc>,
    /// `waiting`, `running`, `ended`, `failed`, `cancelled`.
    pub state: String,
    /// `complete`, `ended_with_refusals`, `failed`, `cancelled`; none before its end.
    pub outcome: Option<String>,
    /// How often in a row the directory was unavailable.
    pub attempts: i16,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When a scheduled job makes its next run.
    pub next_run_at: Option<DateTime<Utc>>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many users it is about; of everybody, how many there were when it began.
    pub total: i32,
    /// Users who got a row.
    pub created: i32,
    /// Users who had one.
    pub already_present: i32,
    /// Users whom the rules refuse.
    pub refused: i32,
    /// Why it failed, or is tried again.
    pub error: Option<String>,
    /// Who wants it to stop.
    pub cancelled_by: Option<String>,
    /// How far an import of everybody has come.
    #[serde(skip)]
    pub walk_after: Option<Uuid>,
    /// And that it has come to the end.
    #[serde(skip)]
    pub is_walked: bool,
}

impl Job {
    /// How many of its users have a result.
    #[must_use]
    pub const fn done(&self) -> i32 {
        self.created + self.already_present + self.refused
    }

    /// Whether nothing will happen to it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "waiting" | "running")
    }
}

/// One user of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Its place in the job.
    pub position: i64,
    /// The user as given; an import of everybody gives object ids.
    #[serde(rename = "user")]
    pub given: String,
    /// Who that is, once known.
    pub object_id: Option<Uuid>,
    /// `waiting`, `created`, `already_present`, `refused`.
    pub state: String,
    /// The reason code of a refusal.
    pub code: Option<String>,
    /// More about it, where there is more to say than the code does.
    pub detail: Option<String>,
    /// The row.
    pub systemuserid: Option<Uuid>,
}

/// A directory user without a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Candidate {
    /// The object id.
    pub id: Uuid,
    /// `userPrincipalName`.
    pub user_principal_name: Option<String>,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `mail`.
    pub mail: Option<String>,
    /// Whether sign-in is allowed, where that is known.
    pub account_enabled: Option<bool>,
    /// An AI agent's account.
    pub is_agent: bool,
}
