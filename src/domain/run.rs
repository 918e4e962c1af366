//! What runs leave to be looked at: themselves, what they changed, and what an operator should know.

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
    /// Whether it only showed what would change.
    pub dry_run: bool,
    /// The environments it judged.
    pub environments: Vec<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `complete`, `incomplete`, `held` or `failed`; none while it runs.
    pub outcome: Option<String>,
    /// What it did, by environment.
    #[schema(value_type = Object)]
    pub counts: Value,
    /// What stood in its way, a sentence each.
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
    /// When.
    pub at: DateTime<Utc>,
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
    /// The row's name now.
    pub domainname: Option<String>,
    /// What.
    pub operation: String,
    /// By which rule.
    pub reason: Option<String>,
    /// Column → [old, new].
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// One line of a row's history.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeLine {
    /// When.
    pub at: DateTime<Utc>,
    /// In which run.
    pub run_id: Option<i64>,
    /// By whom.
    pub actor: String,
    /// What.
    pub operation: String,
    /// By which rule.
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
    /// `critical` where an environment is left, or would be, without a System Administrator; else `warning`.
    pub severity: String,
    /// The environment; none where it is about the tenant.
    pub environment: Option<String>,
    /// The directory user, if it is about one.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// One sentence.
    pub detail: String,
    /// Since when.
    pub opened_at: DateTime<Utc>,
}

/// An environment that is in the database with rows, but not in the configuration, and that nobody has taken leave of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftOver {
    /// The environment.
    pub environment: String,
    /// Its enabled rows, which nothing keeps true any more.
    pub enabled: i64,
    /// Rows whose removal was held when it went, and which nobody can decide.
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
