//! Removals that wait for the guard, or for a person (rules.md, section 11).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::reason::Code;
use super::word::words;

/// The state of a removal that was not carried out immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalState {
    /// A run has found it; it is undecided.
    Collected,
    /// It waits for a person.
    Held,
    /// A person has rejected it: the row stays enabled until the cause changes.
    Rejected,
}

impl RemovalState {
    /// The state with this name; any other name means collected.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "held" => Self::Held,
            "rejected" => Self::Rejected,
            _ => Self::Collected,
        }
    }
}

words! {
    /// A person's decision about a held set.
    pub enum Decision {
        /// Carry it out.
        Approve "approved"
        /// Leave the rows enabled until their cause changes.
        Reject "rejected"
    }
}

/// A row whose removal waits for a person, or was rejected by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Held {
    /// The run that holds it.
    pub run: i64,
    /// `held` or `rejected`.
    #[schema(value_type = String)]
    pub state: RemovalState,
    /// The rule that would disable it.
    #[schema(value_type = String)]
    pub reason: Code,
    /// Why the run's removals are held.
    pub why: Option<String>,
    /// Until when the set can be approved.
    pub expires_at: Option<DateTime<Utc>>,
}

/// One held set.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HeldSet {
    /// The environment.
    pub environment: String,
    /// The run that collected it.
    pub run_id: i64,
    /// Why it is held.
    pub why: String,
    /// When it was held.
    pub held_at: DateTime<Utc>,
    /// Until when it can be approved.
    pub expires_at: DateTime<Utc>,
    /// The decision.
    pub decision: Option<String>,
    /// Who decided it.
    pub decided_by: Option<String>,
    /// Rows still waiting.
    pub rows: i64,
    /// Whether it can be decided: it is open, and its environment is configured.
    pub can_be_decided: bool,
}

/// One row of a held set.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HeldRow {
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
    /// Its directory user.
    pub azureactivedirectoryobjectid: Uuid,
    /// Its name.
    pub domainname: Option<String>,
    /// The rule.
    pub reason: String,
}

/// The position after which a list of held rows continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub(crate) environment: String,
    pub(crate) systemuserid: Uuid,
}

impl From<&HeldRow> for HeldKey {
    fn from(row: &HeldRow) -> Self {
        Self {
            environment: row.environment.clone(),
            systemuserid: row.systemuserid,
        }
    }
}

impl fmt::Display for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.systemuserid)
    }
}

impl FromStr for HeldKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (environment, row) = text.rsplit_once('/')?;
            Some(Self {
                environment: Some(environment).filter(|name| !name.contains('\0'))?.to_owned(),
                systemuserid: row.parse().ok()?,
            })
        };
        read().ok_or("expected `next` of the page before")
    }
}
