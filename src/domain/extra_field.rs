//! `[[extra_field]]`: properties of the directory in columns beside the fourteen synchronised ones (rules.md, section 7).
//!
//! Off unless an operator maps them. The list of properties is part of the program: each is tracked by `users/delta` and
//! needs no permission beyond the usual ones.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::feed::Patch;
use super::field::Policy;

/// The type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A text.
    Text,
    /// A time in UTC.
    Date,
    /// True or false.
    Boolean,
}

impl Kind {
    /// The types of columns that take its values, as PostgreSQL's catalogue names them.
    #[must_use]
    pub const fn column_types(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["text", "varchar", "citext"],
            Self::Date => &["date", "timestamptz"],
            Self::Boolean => &["bool"],
        }
    }

    /// What it is, with an article.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Date => "a date",
            Self::Boolean => "a boolean",
        }
    }
}

/// A property of a directory user that can be mapped to a column.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ExtraProperty {
    /// The name in Graph.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

macro_rules! properties {
    ($($name:literal $kind:ident)*) => {
        &[$(ExtraProperty { name: $name, kind: Kind::$kind }),*]
    };
}

impl ExtraProperty {
    /// All of them, in the order of the alphabet.
    pub const ALL: &'static [Self] = properties! {
        "ageGroup" Text
        "companyName" Text
        "consentProvidedForMinor" Text
        "createdDateTime" Date
        "creationType" Text
        "department" Text
        "displayName" Text
        "employeeHireDate" Date
        "employeeId" Text
        "employeeType" Text
        "externalUserState" Text
        "externalUserStateChangeDateTime" Date
        "faxNumber" Text
        "isResourceAccount" Boolean
        "lastPasswordChangeDateTime" Date
        "legalAgeGroupClassification" Text
        "mailNickname" Text
        "officeLocation" Text
        "onPremisesDistinguishedName" Text
        "onPremisesDomainName" Text
        "onPremisesImmutableId" Text
        "onPremisesLastSyncDateTime" Date
        "onPremisesSamAccountName" Text
        "onPremisesSecurityIdentifier" Text
        "onPremisesSyncEnabled" Boolean
        "onPremisesUserPrincipalName" Text
        "preferredDataLocation" Text
        "preferredLanguage" Text
        "securityIdentifier" Text
        "showInAddressList" Boolean
        "signInSessionsValidFromDateTime" Date
        "usageLocation" Text
        "userType" Text
    };

    /// The property with this name in Graph.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|property| property.name == name)
    }

    /// Whether the fourteen columns need it anyway: it is in every selection and in the mirror's own columns.
    #[must_use]
    pub fn is_always_read(&self) -> bool {
        matches!(self.name, "displayName" | "userType")
    }
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraField {
    /// The column of `system_user`.
    pub column: String,
    /// The property whose value it takes.
    pub property: &'static ExtraProperty,
    /// When a sync writes it.
    pub policy: Policy,
}

/// The properties to select for some mappings, beside those that every row needs.
pub fn selected<'a>(fields: impl IntoIterator<Item = &'a ExtraField>) -> BTreeSet<&'static str> {
    let properties = fields.into_iter().map(|field| field.property);
    let further = properties.filter(|property| !property.is_always_read());
    further.map(|property| property.name).collect()
}

/// The columns of a profile that may be mapped; all of them are texts. Every other column of the program has a
/// meaning of its own.
pub const PROFILE_COLUMNS: [&str; 5] = ["title", "nickname", "middlename", "employeeid", "preferredlanguage"];

/// The values of mapped columns of a row, as JSON. Columns that the table lacks are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraColumns(pub BTreeMap<String, Value>);

/// A row is read without them; evaluations add them.
impl From<Option<String>> for ExtraColumns {
    fn from(_: Option<String>) -> Self {
        Self::default()
    }
}

impl ExtraColumns {
    /// Sets a column unless it holds the value already. A column of dates holds the day.
    pub fn set(&mut self, column: &str, wanted: Value) {
        if !self.0.get(column).is_some_and(|held| is_same(held, &wanted)) {
            self.0.insert(column.to_owned(), wanted);
        }
    }
}

/// Whether a column that holds a value already holds the directory's. PostgreSQL writes times in another way.
fn is_same(held: &Value, wanted: &Value) -> bool {
    if held == wanted {
        return true;
    }
    let (Some(held), Some(wanted)) = (held.as_str(), wanted.as_str()) else {
        return false;
    };
    let Some(wanted) = time(wanted) else { return false };
    match held.parse::<NaiveDate>() {
        Ok(day) => day == wanted.date_naive(),
        Err(_) => time(held) == Some(wanted),
    }
}

/// A time, as exact as PostgreSQL stores it.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.with_timezone(&Utc).trunc_subsecs(6))
}

impl Kind {
    /// A text from the directory as a value of this type; none if it is not one.
    #[must_use]
    pub fn decode(self, text: String) -> Option<Value> {
        match self {
            Self::Text => Some(Value::String(text)),
            Self::Date => time(&text).map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()),
            Self::Boolean => None,
        }
    }
}

/// What the mirror knows of the mapped properties of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtraProperties {
    /// Property → value, without those that are null.
    pub values: BTreeMap<String, Value>,
    /// Those whose value could not be decoded at the last reading; their known values stand.
    pub undecodable: BTreeSet<String>,
}

impl ExtraProperties {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.undecodable.is_empty()
    }

    /// Applies what the directory sent. Answers whether NUL characters were removed, if any text was sent.
    pub(super) fn absorb(&mut self, sent: &[(&'static ExtraProperty, Patch<Value>)], absent_is_null: bool) -> bool {
        if absent_is_null {
            let is_sent = |name: &str| sent.iter().any(|(property, _)| property.name == name);
            self.values.retain(|name, _| is_sent(name));
            self.undecodable.retain(|name| is_sent(name));
        }
        let mut has_nul = false;
        for (property, patch) in sent {
            let name = property.name;
            match patch {
                Patch::Absent => continue,
                Patch::Undecodable => {
                    self.undecodable.insert(name.to_owned());
                    continue;
                }
                Patch::Null => {
                    self.values.remove(name);
                }
                Patch::Value(value) => {
                    let mut value = value.clone();
                    if let Value::String(text) = &mut value
                        && text.contains('\0')
                    {
                        text.retain(|character| character != '\0');
                        has_nul = true;
                    }
                    self.values.insert(name.to_owned(), value);
                }
            }
            self.undecodable.remove(name);
        }
        has_nul
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_that_holds_the_directorys_value_in_another_form_is_left_alone() {
        let cases = [
            (json!("2024-02-29"), json!("2024-02-29T08:00:00Z"), true),
            (json!("2024-02-28"), json!("2024-02-29T08:00:00Z"), false),
            (json!("2024-02-29T09:00:00+01:00"), json!("2024-02-29T08:00:00Z"), true),
            (
                json!("2024-02-29T08:00:00.123456+00:00"),
                json!("2024-02-29T08:00:00.123456Z"),
                true,
            ),
            (json!("infinity"), json!("2024-02-29T08:00:00Z"), false),
            (json!("2024-02-29"), json!("Sales"), false),
            (json!("Sales"), json!("Sales"), true),
            (json!(true), json!(false), false),
            (json!(null), json!(null), true),
            (json!(null), json!(true), false),
        ];
        for (held, wanted, is_same) in cases {
            let mut columns = ExtraColumns(BTreeMap::from([("c".to_owned(), held.clone())]));
            columns.set("c", wanted.clone());
            assert_eq!(columns.0["c"], if is_same { held } else { wanted });
        }
    }

    #[test]
    fn every_property_is_found_by_its_name_and_dates_are_times_in_utc() {
        for property in ExtraProperty::ALL {
            assert_eq!(ExtraProperty::find(property.name), Some(property));
        }
        assert!(ExtraProperty::ALL.is_sorted_by_key(|property| property.name));
        assert_eq!(
            Kind::Date.decode("2024-02-29T09:00:00.1234567+01:00".to_owned()),
            Some(json!("2024-02-29T08:00:00.123456Z"))
        );
        assert_eq!(Kind::Date.decode("Thursday".to_owned()), None);
    }
}
