//! Records of runs: the runs, their changes, and findings for an operator.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// One run.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// What started it: `interval`, `sync`.
    pub trigger: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The environments it evaluated.
    pub environments: Vec<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `complete`, `incomplete`, `held` or `failed`; none while it runs.
    pub outcome: Option<String>,
    /// Its counts, by environment.
    #[schema(value_type = Object)]
    pub counts: Value,
    /// Its problems, one sentence each.
    pub problems: Vec<String>,
    /// Environments that were in the database but not in its configuration.
    #[schema(value_type = Vec<LeftOver>)]
    pub left_over: Value,
}

/// One line of a run's changes.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RunLine {
    /// Its number.
    pub id: i64,
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
    /// The row's name now.
    pub domainname: Option<String>,
    /// The operation.
    pub operation: String,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Column → [old, new].
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// One line of a row's history.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeLine {
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// The run, if there was one.
    pub run_id: Option<i64>,
    /// The actor.
    pub actor: String,
    /// The operation.
    pub operation: String,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Column → [old, new].
    pub fields: Value,
}

/// An open finding.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OpenFinding {
    /// Its number.
    pub id: i64,
    /// The code.
    pub code: String,
    /// `critical` if an environment is left, or would be left, without a System Administrator; otherwise `warning`.
    pub severity: String,
    /// The environment; none if it is about the tenant.
    pub environment: Option<String>,
    /// The directory user, if it is about one.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// One sentence.
    pub detail: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

/// An environment that has rows in the database, is not in the configuration and has not been retired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftOver {
    /// The environment.
    pub environment: String,
    /// Its enabled rows, which are no longer kept up to date.
    pub enabled: i64,
    /// Rows whose removal was held when it left the configuration, and which no one can decide.
    pub held: i64,
}

impl LeftOver {
    /// One sentence with what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            environment, enabled, ..
        } = self;
        format!(
            "environment {environment} is in the database but not in this configuration: its {enabled} enabled rows are \
             not kept true. Configure it again, or take leave of it with `rollcall environment retire {environment}`."
        )
    }
}
