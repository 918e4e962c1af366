//! A row as the pages show it: the person's name, never an id, and the state in a word.

use serde_json::Value;

use crate::domain::reason::Code;
use crate::domain::system_user::{SystemUser, access_mode};

/// A state with its class and word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Badge {
    pub class: &'static str,
    pub word: &'static str,
}

impl Badge {
    /// Of a row.
    pub fn of(row: &SystemUser) -> Self {
        let (class, word) = match row {
            row if row.deletedstate != 0 => ("disabled", "deleted"),
            row if row.isdisabled => ("disabled", "disabled"),
            row if row.onhold => ("enabled", "enabled, on hold"),
            _ => ("enabled", "enabled"),
        };
        Self { class, word }
    }

    /// Of a run; none means that it runs.
    pub fn of_run(outcome: Option<&str>) -> Self {
        let (class, word) = match outcome {
            Some("complete") => ("enabled", "complete"),
            Some("held") => ("held", "held"),
            Some("incomplete") => ("failed", "incomplete"),
            Some(_) => ("failed", "failed"),
            None => ("running", "running"),
        };
        Self { class, word }
    }
}

/// A person in a list.
#[derive(Debug)]
pub(super) struct Person {
    pub name: String,
    /// The user principal name, if the name is not the same.
    pub upn: String,
    /// `application`, `stub` and the like.
    pub word: &'static str,
    /// The last part of the address of the page.
    pub id: String,
    pub badge: Badge,
    pub mode: &'static str,
    /// Why the row is disabled.
    pub reason: Option<&'static str>,
    pub mail: String,
    pub title: String,
}

impl From<&SystemUser> for Person {
    fn from(row: &SystemUser) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let upn = text(&row.domainname);
        let full = row.fullname.clone().filter(|name| !name.trim().is_empty());
        Self {
            name: full.unwrap_or_else(|| {
                if upn.is_empty() {
                    "(no name)".to_owned()
                } else {
                    upn.clone()
                }
            }),
            upn,
            word: kind(row),
            id: row.systemuserid.to_string(),
            badge: Badge::of(row),
            mode: mode(row.accessmode),
            reason: reason(row),
            mail: text(&row.internalemailaddress),
            title: text(&row.jobtitle),
        }
    }
}

/// Why a row is disabled, in a sentence.
pub(super) fn reason(row: &SystemUser) -> Option<&'static str> {
    let code = row.disabledreason.as_deref().filter(|_| row.isdisabled)?;
    Some(Code::parse(code).map_or("", Code::sentence))
}

/// The kind of a row that is not a regular user's.
fn kind(row: &SystemUser) -> &'static str {
    match row {
        row if row.applicationid.is_some() => "application",
        row if row.isstub => "stub",
        row if row.azureactivedirectoryobjectid.is_none() => "reserved",
        row if row.accessmode == access_mode::NON_INTERACTIVE => "non-interactive",
        row if row.accessmode == access_mode::ADMINISTRATIVE => "administrator",
        _ => "",
    }
}

/// The columns of a change: name, old and new value.
pub(super) fn columns(fields: &Value) -> Vec<(String, String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    let fields = fields.as_object().into_iter().flatten();
    fields
        .map(|(column, values)| (column.clone(), shown(&values[0]), shown(&values[1])))
        .collect()
}

/// An access mode in words.
pub(super) fn mode(mode: i16) -> &'static str {
    match mode {
        access_mode::READ_WRITE => "Read-Write",
        access_mode::ADMINISTRATIVE => "Administrative",
        access_mode::READ => "Read",
        access_mode::SUPPORT => "Support",
        access_mode::NON_INTERACTIVE => "Non-interactive",
        access_mode::DELEGATED_ADMIN => "Delegated admin",
        _ => "unknown",
    }
}
