//! The overview of an installation: who leads, the latest runs, and the state of each environment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// The overview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Status {
    /// The time of this overview.
    pub at: DateTime<Utc>,
    /// The process that makes runs; none if there is none.
    pub leader: Option<Leader>,
    /// The run in progress.
    pub running: Option<RunBrief>,
    /// The latest run that has ended, dry runs excepted.
    pub last_run: Option<RunBrief>,
    /// The latest run that succeeded: it is complete, or only holds removals.
    pub last_success: Option<RunBrief>,
    /// Whether no run has succeeded for three intervals.
    pub is_stale: bool,
    /// About when the leading daemon starts its next cycle: the interval after the start of the last one. The daemon
    /// varies the interval by up to a tenth. None if no daemon leads.
    pub next_cycle_at: Option<DateTime<Utc>>,
    /// When the mirror was last verified since the users were last read completely.
    pub verified_at: Option<DateTime<Utc>>,
    /// From when on a run verifies the mirror again. None if it is never verified, or has not been read yet.
    pub next_verification_at: Option<DateTime<Utc>>,
    /// The number of open findings about the tenant, by code.
    pub findings: BTreeMap<String, i64>,
    /// The configured environments, then those that are left over in the database.
    pub environments: Vec<EnvironmentStatus>,
}

/// The process that makes runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Leader {
    /// Its host, process id and a random id.
    pub holder: String,
    /// Whether it is a daemon, which goes on after this run and answers requests for runs.
    pub is_daemon: bool,
}

/// A run in brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunBrief {
    /// Its number.
    pub id: i64,
    /// What started it: `interval`, `sync`.
    pub trigger: String,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `complete`, `incomplete`, `held` or `failed`; none while it runs.
    pub outcome: Option<String>,
}

impl RunBrief {
    /// Whether it left nothing to do, except removals that wait for a person.
    #[must_use]
    pub fn is_success(&self) -> bool {
        !self.dry_run && matches!(self.outcome.as_deref(), Some("complete" | "held"))
    }
}

/// The state of one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EnvironmentStatus {
    /// Its name.
    pub environment: String,
    /// Whether it is configured. One that is not is left over in the database, and not kept up to date.
    pub configured: bool,
    /// Enabled rows of directory users.
    pub enabled: i64,
    /// Disabled ones.
    pub disabled: i64,
    /// Rows whose removal waits for a person.
    pub held: i64,
    /// Enabled non-interactive users.
    pub non_interactive: i64,
    /// The maximum number of them; none if the environment is not configured.
    pub non_interactive_cap: Option<u32>,
    /// The number of open findings, by code.
    pub findings: BTreeMap<String, i64>,
}
