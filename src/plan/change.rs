//! One change of one row, as applied and as recorded in the change log.

use std::borrow::Cow;

use crate::domain::word::words;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;

/// Columns that record a row's ownership, author and times, in addition to the hidden ones.
const BOOKKEEPING: [&str; 6] = [
    "environment",
    "systemuserid",
    "createdon",
    "createdby",
    "modifiedon",
    "modifiedby",
];

words! {
    /// The kind of a change, for the change log.
    pub enum Operation {
        /// A new row.
        Create "create"
        /// Columns are updated from the directory.
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

/// One column's old and new value.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// The column.
    pub column: Cow<'static, str>,
    /// The old value.
    pub old: Value,
    /// The new value.
    pub new: Value,
}

/// A row to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The operation.
    pub operation: Operation,
    /// The rule behind it, if there is one.
    pub reason: Option<Code>,
    /// The row after the change.
    pub after: SystemUser,
    /// The columns that differ.
    pub fields: Vec<FieldChange>,
    /// The change in the number of enabled rows that are bound to the directory.
    pub enabled_delta: i64,
    /// The change in the number of rows that are bound to the directory.
    pub bound_delta: i64,
}

impl Change {
    /// The change from one row to another; none if they are equal. `otherwise` is the operation if the change neither
    /// creates, enables nor disables the row.
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
    /// The removal without the other columns, if the change disables the row and has others. It does not have to wait
    /// until the database takes them.
    #[must_use]
    pub fn removal_alone(&self, before: &SystemUser) -> Option<Self> {
        if self.operation != Operation::Disable {
            return None;
        }
        let after = SystemUser {
            isdisabled: self.after.isdisabled,
            disabledreason: self.after.disabledreason.clone(),
            disabled_by: self.after.disabled_by.clone(),
            last_entitlement: self.after.last_entitlement,
            due_at: self.after.due_at,
            ..before.clone()
        };
        let author = (self.after.modifiedby.as_str(), self.after.modifiedon);
        let alone = Self::between(Some(before), after, self.operation, self.reason, author)?;
        (alone.fields.len() < self.fields.len()).then_some(alone)
    }

    /// The new values of the columns that `[[extra_field]]` maps, as far as they change.
    #[must_use]
    pub fn extra(&self) -> Map<String, Value> {
        let mapped = self
            .fields
            .iter()
            .filter(|field| self.after.extra.0.contains_key(&*field.column));
        mapped
            .map(|field| (field.column.to_string(), field.new.clone()))
            .collect()
    }

    /// Sets the default company of a row to be created. An existing row keeps its company.
    #[must_use]
    pub fn with_company(mut self, company: Option<&str>) -> Self {
        if let (Operation::Create, Some(company)) = (self.operation, company) {
            self.after.company = Some(company.to_owned());
            self.fields.push(FieldChange {
                column: "company".into(),
                old: Value::Null,
                new: Value::String(company.to_owned()),
            });
        }
        self
    }
}

/// The columns in which two rows differ; bookkeeping columns (`modifiedon` and the like) do not count.
fn differences(before: Option<&SystemUser>, after: &SystemUser) -> Vec<FieldChange> {
    let (old, new) = (json!(before), json!(after));
    let columns = SystemUser::COLUMNS.iter();
    let counted = columns.filter(|column| !BOOKKEEPING.contains(column) && old[**column] != new[**column]);
    let change = |column: &&'static str| FieldChange {
        column: (*column).into(),
        old: old[*column].clone(),
        new: new[*column].clone(),
    };
    let mut changes: Vec<FieldChange> = counted.map(change).collect();
    let extra = after.extra.0.iter();
    changes.extend(extra.filter_map(|(column, new)| {
        let old = before.and_then(|row| row.extra.0.get(column)).unwrap_or(&Value::Null);
        let counts = old != new && !SystemUser::COLUMNS.contains(&column.as_str());
        counts.then(|| FieldChange {
            column: column.clone().into(),
            old: old.clone(),
            new: new.clone(),
        })
    }));
    changes
}
