//! One change of one row, as it is applied and as the change log keeps it.

use crate::domain::word::words;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;

/// Columns that say whose a row is and who wrote it when, beside those that nobody is shown.
const BOOKKEEPING: [&str; 6] = [
    "environment",
    "systemuserid",
    "createdon",
    "createdby",
    "modifiedon",
    "modifiedby",
];

words! {
    /// What a change is, for the change log.
    pub enum Operation {
        /// A new row.
        Create "create"
        /// Columns follow the directory.
        Update "update"
        /// The row is enabled again.
        Enable "enable"
        /// The row is disabled.
        Disable "disable"
        /// A person changes columns.
        Edit "edit"
        /// The row is deleted in the store.
        Delete "delete"
    }
}

/// One column: what it held and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// The column.
    pub column: &'static str,
    /// The old value.
    pub old: Value,
    /// The new value.
    pub new: Value,
}

/// A row to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What it is.
    pub operation: Operation,
    /// The rule behind it, where there is one.
    pub reason: Option<Code>,
    /// The row as it shall be.
    pub after: SystemUser,
    /// The columns that differ.
    pub fields: Vec<FieldChange>,
    /// By how much the number of enabled rows that are bound to the directory changes.
    pub enabled_delta: i64,
    /// By how much the number of rows that are bound to the directory changes.
    pub bound_delta: i64,
}

impl Change {
    /// What has to be written to get from one row to another; nothing where they are the same.
    /// `otherwise` is what it is called if it neither makes, enables nor disables the row.
    #[must_use]
    pub fn between(
        before: Option<&SystemUser>,
        mut after: SystemUser,
        otherwise: Operation,
        reason: Option<Code>,
        author: (&str, DateTime<Utc>),
    ) -> Option<Self> {
        let fields = differences(before, &after);
        if fields.is_empty() && before == Some(&after) {
            return None;
        }
        if !fields.is_empty() && before.is_some() {
            author.0.clone_into(&mut after.modifiedby);
            after.modifiedon = author.1;
        }
        let operation = match before {
            None => Operation::Create,
            Some(_) if otherwise == Operation::Delete => Operation::Delete,
            Some(before) if before.isdisabled && !after.isdisabled => Operation::Enable,
            Some(before) if !before.isdisabled && after.isdisabled => Operation::Disable,
            Some(_) => otherwise,
        };
        let is_enabled = |row: &SystemUser| i64::from(row.is_enabled_and_bound());
        let is_bound = |row: &SystemUser| i64::from(row.azureactivedirectoryobjectid.is_some());
        Some(Self {
            operation,
            reason,
            enabled_delta: is_enabled(&after) - before.map_or(0, is_enabled),
            bound_delta: is_bound(&after) - before.map_or(0, is_bound),
            fields,
            after,
        })
    }
}

impl Change {
    /// Gives a row that is being made its default company. A row that exists keeps the one it has.
    #[must_use]
    pub fn with_company(mut self, company: Option<&str>) -> Self {
        if let (Operation::Create, Some(company)) = (self.operation, company) {
            self.after.company = Some(company.to_owned());
            self.fields.push(FieldChange {
                column: "company",
                old: Value::Null,
                new: Value::String(company.to_owned()),
            });
        }
        self
    }
}

/// Lists the columns in which two rows differ; bookkeeping columns (`modifiedon` and the like) do not count.
fn differences(before: Option<&SystemUser>, after: &SystemUser) -> Vec<FieldChange> {
    let (old, new) = (json!(before), json!(after));
    let columns = SystemUser::COLUMNS.iter();
    let counted = columns.filter(|column| !BOOKKEEPING.contains(column) && old[**column] != new[**column]);
    let change = |column: &&'static str| FieldChange {
        column,
        old: old[*column].clone(),
        new: new[*column].clone(),
    };
    counted.map(change).collect()
}
