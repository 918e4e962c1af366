//! One change of one row, as it is applied and as the change log keeps it.

use serde_json::Value;

use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;

/// What a change is, for the change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new row.
    Create,
    /// Columns follow the directory.
    Update,
    /// The row is enabled again.
    Enable,
    /// The row is disabled.
    Disable,
}

impl Operation {
    /// The name in the change log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
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
}

/// Lists the columns in which two rows differ; bookkeeping columns (`modifiedon` and the like) do not count.
pub(super) fn differences(before: Option<&SystemUser>, after: &SystemUser) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    macro_rules! compare {
        ($($column:ident)*) => {$(
            let old = before.map_or(Value::Null, |row| serde_json::json!(row.$column));
            let new = serde_json::json!(after.$column);
            if old != new {
                changes.push(FieldChange { column: stringify!($column), old, new });
            }
        )*};
    }
    compare! {
        azureactivedirectoryobjectid applicationid domainname fullname firstname lastname jobtitle
        internalemailaddress address1_telephone1 mobilephone address1_line1 address1_city
        address1_stateorprovince address1_postalcode address1_country accessmode accessmode_origin isdisabled
        disabledreason disabled_by islicensed issyncwithdirectory setupuser azurestate azuredeletedon
        deletedstate isstub company onhold holdreason customer_owned
    }
    changes
}
