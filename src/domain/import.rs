//! Imports: requests, jobs, and the users they can select (rules.md, section 9).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::word::words;

/// The parameters of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Import)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct ImportRequest {
    /// The target environment.
    #[serde(skip)]
    pub environment: String,
    /// The default company of every row that is created.
    #[schema(required, min_length = 1, max_length = 256)]
    pub company: String,
    /// The business unit of every row that is created, by name or id; without it, that of the environment.
    pub default_business_unit: Option<String>,
    /// The same, as found.
    #[serde(skip)]
    pub businessunitid: Option<Uuid>,
    /// Selected users, by object id or user principal name. Not together with `all`.
    pub users: Vec<String>,
    /// Everyone in the directory who has no row and whom the rules admit.
    pub all: bool,
    /// Answer immediately instead of waiting for the end.
    pub background: bool,
    /// The queue: jobs of one group run one after another.
    pub batch_group: Option<String>,
    /// Only its owner and operators see, cancel or requeue it.
    pub private: bool,
    /// It is never purged, and its failure is an alert.
    pub critical: bool,
    /// The label of its metrics.
    pub monitoring_category: Option<String>,
    /// The owner's description.
    pub description: Option<String>,
    /// Cron, in UTC: a run at each due time.
    pub schedule: Option<String>,
    /// How often it is retried in a row when the directory is unavailable.
    #[schema(minimum = 0, maximum = 5)]
    pub max_retries: Option<u8>,
    /// Security roles to grant, before the job ends, to everyone who got a row or already had one.
    pub roles: Vec<String>,
}

impl ImportRequest {
    /// An immediate import with every other option omitted; users must still be added.
    #[must_use]
    pub fn new(environment: &str, company: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            company: company.to_owned(),
            ..Self::default()
        }
    }
}

words! {
    /// States of jobs.
    #[derive(Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum JobState: "no state of a job" {
        /// In the queue.
        Waiting "waiting"
        /// A worker has it.
        Running "running"
        /// Finished, with a result for every user.
        Ended "ended"
        /// Finished, without a result for every user.
        Failed "failed"
        /// Cancelled.
        Cancelled "cancelled"
    }
}

words! {
    /// How a job ended.
    pub enum JobOutcome {
        /// Every user has a row.
        Complete "complete"
        /// Some users were refused.
        EndedWithRefusals "ended_with_refusals"
        /// It could not be carried out.
        Failed "failed"
        /// It was cancelled.
        Cancelled "cancelled"
    }
}

impl JobOutcome {
    /// The state of a job with this outcome.
    #[must_use]
    pub const fn state(self) -> JobState {
        match self {
            Self::Complete | Self::EndedWithRefusals => JobState::Ended,
            Self::Failed => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
        }
    }
}

words! {
    /// Results by user.
    #[derive(Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ItemState: "no result of an import" {
        /// Not evaluated yet.
        Waiting "waiting"
        /// A row was created.
        Created "created"
        /// The user already had a row.
        AlreadyPresent "already_present"
        /// The rules refuse it.
        Refused "refused"
    }
}

/// One import job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// The target environment.
    pub environment: String,
    /// The default company of every row it creates.
    pub company: String,
    /// The business unit of every row it creates; null: that of the environment.
    pub businessunitid: Option<Uuid>,
    /// Everyone without a row, instead of selected users.
    pub all: bool,
    /// No caller waits for it.
    pub background: bool,
    /// Jobs of one group run one after another.
    pub batch_group: Option<String>,
    /// Only its owner and operators see it.
    pub private: bool,
    /// It is never purged, and its failure is an alert.
    pub critical: bool,
    /// The label of its metrics.
    pub monitoring_category: String,
    /// The owner's description.
    pub description: Option<String>,
    /// Cron, in UTC: it starts a run at each due time and imports no users itself.
    pub schedule: Option<String>,
    /// The scheduled job whose run this is.
    pub scheduled_by: Option<i64>,
    /// How often it is retried in a row when the directory is unavailable.
    pub max_retries: i16,
    /// Its owner.
    pub submitted_by: String,
    /// When it was submitted.
    pub submitted_at: DateTime<Utc>,
    /// `waiting`, `running`, `ended`, `failed`, `cancelled`.
    #[schema(value_type = String)]
    pub state: JobState,
    /// `complete`, `ended_with_refusals`, `failed`, `cancelled`; none before its end.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<JobOutcome>,
    /// How often in a row the directory was unavailable.
    pub attempts: i16,
    /// When it is retried.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When a scheduled job starts its next run.
    pub next_run_at: Option<DateTime<Utc>>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub ended_at: Option<DateTime<Utc>>,
    /// The number of its users; for an import of everyone, the number when it began.
    pub total: i32,
    /// Users who got a row.
    pub created: i32,
    /// Users who already had a row.
    pub already_present: i32,
    /// Users whom the rules refuse.
    pub refused: i32,
    /// Why it failed, or is retried.
    pub error: Option<String>,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
    /// The security roles that its users get before it ends.
    pub roles: Vec<String>,
    /// The result for each of these roles; empty before the end.
    pub role_results: RoleResults,
    /// The position of an import of everyone.
    #[serde(skip)]
    pub walk_after: Option<Uuid>,
    /// Whether an import of everyone has reached its end.
    #[serde(skip)]
    pub is_walked: bool,
}

/// The results of granting a job's roles, in the order of the roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoleResults(pub Vec<RoleResult>);

impl RoleResults {
    /// Whether a user was refused a role.
    #[must_use]
    pub fn has_refusals(&self) -> bool {
        self.0.iter().any(|one| !one.refused.is_empty())
    }
}

/// The result of granting one role to the users of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoleResult {
    /// The role.
    pub role: String,
    /// The number of users who hold it now.
    pub granted: u64,
    /// The number of refused users, by reason code.
    pub refused: BTreeMap<String, u64>,
}

impl Job {
    /// The number of its users that have a result.
    #[must_use]
    pub const fn done(&self) -> i32 {
        self.created + self.already_present + self.refused
    }

    /// Whether it ended early because the directory stayed unavailable.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.outcome == Some(JobOutcome::Failed) && self.attempts > self.max_retries
    }

    /// Whether it is finished.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self.state, JobState::Waiting | JobState::Running)
    }
}

/// One user of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Its position in the job.
    pub position: i64,
    /// The user as given; for an import of everyone, the object id.
    #[serde(rename = "user")]
    pub given: String,
    /// The user's object id, once known.
    pub object_id: Option<Uuid>,
    /// `waiting`, `created`, `already_present`, `refused`.
    #[schema(value_type = String)]
    pub state: ItemState,
    /// The reason code of a refusal.
    pub code: Option<String>,
    /// Details beyond the code, if there are any.
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
    /// Whether sign-in is allowed, if known.
    pub account_enabled: Option<bool>,
    /// An AI agent's account.
    pub is_agent: bool,
}
