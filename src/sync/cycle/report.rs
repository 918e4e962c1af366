//! The result of a run, for people and for `sync --output json`.

use crate::domain::word::words;
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::run::LeftOver;
use crate::plan::{Change, RoleChange};

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

/// One change of a dry run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedChange {
    /// The environment.
    pub environment: String,
    /// The row; a new one where it would be created.
    pub systemuserid: uuid::Uuid,
    /// The directory user.
    pub azureactivedirectoryobjectid: Option<uuid::Uuid>,
    /// The user principal name.
    pub domainname: Option<String>,
    /// `create`, `update`, `enable`, `disable`; `grant` and `revoke` of a security role.
    pub operation: Cow<'static, str>,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Whether the guard would hold it.
    pub held: bool,
    /// Column → [old, new].
    pub fields: Value,
}

impl ReportedChange {
    pub(super) fn new(environment: &str, change: &Change, held: bool) -> Self {
        Self {
            environment: environment.to_owned(),
            systemuserid: change.after.systemuserid,
            azureactivedirectoryobjectid: change.after.azureactivedirectoryobjectid,
            domainname: change.after.domainname.clone(),
            operation: change.operation.as_str().into(),
            reason: change.reason.map(|code| code.as_str().to_owned()),
            held,
            fields: crate::store::changes::fields_json(change),
        }
    }

    pub(super) fn of_role(environment: &str, change: &RoleChange) -> Self {
        let (operation, role) = if change.is_granted {
            ("grant", json!([null, change.role]))
        } else {
            ("revoke", json!([change.role, null]))
        };
        Self {
            environment: environment.to_owned(),
            systemuserid: change.systemuserid,
            azureactivedirectoryobjectid: None,
            domainname: None,
            operation: operation.into(),
            reason: None,
            held: false,
            fields: json!({ "role": role }),
        }
    }
}

/// The result of a run.
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
    /// Environments that are in the database but not in the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<LeftOver>,
    /// What would change; dry runs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<ReportedChange>>,
    /// Whether removals are held although the run is incomplete.
    #[serde(skip)]
    pub holds: bool,
}
