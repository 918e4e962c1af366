//! The result of a run, for people and for `sync --output json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::drift::RunVerification;
use crate::domain::run::LeftOver;
use crate::domain::word::words;

words! {
    /// How a run ended.
    pub enum RunOutcome {
        /// All sources were read, all users evaluated, all changes applied.
        Complete "complete"
        /// A source could not be read to its end, or is in doubt.
        Incomplete "incomplete"
        /// Removals wait for a person.
        Held "held"
        /// The run ended early.
        Failed "failed"
    }
}

/// The counts of one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// The environment.
    pub environment: String,
    /// Rows created.
    pub created: u64,
    /// Rows whose columns were updated from the directory.
    pub updated: u64,
    /// Rows enabled again.
    pub enabled: u64,
    /// Rows disabled.
    pub disabled: u64,
    /// Rows whose removal has waited for a person since this run.
    pub held: u64,
    /// Users who have no row and get none, by reason.
    pub skipped: BTreeMap<String, u64>,
}

impl Counts {
    /// All counts at zero.
    pub(in crate::sync) fn of(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            ..Self::default()
        }
    }
}

/// The result of a run. The changes that a dry run would make are in the database (`store::planned`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The run's number.
    pub run: i64,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// By environment.
    pub environments: Vec<Counts>,
    /// The problems of the run, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What its verification of the mirror found, if it verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<RunVerification>,
    /// Environments that are in the database but not in the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<LeftOver>,
    /// Whether removals are held although the run is incomplete.
    #[serde(skip)]
    pub holds: bool,
}
