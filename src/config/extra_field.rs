//! Sections `[[extra_field]]`: properties of the directory in further columns. What only the database can tell, whether a
//! column exists and has the right type, is checked at start.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Issue;
use super::value::{quoted, requoted};
use crate::domain::extra_field::{ExtraField, ExtraProperty, Kind, PROFILE_COLUMNS};
use crate::domain::field::{Field, Policy};
use crate::domain::system_user::SystemUser;
use crate::domain::unknowns::Property;

/// The longest name of a column, in bytes.
const COLUMN_BYTES: usize = 63;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExtraField {
    column: String,
    graph: String,
    #[serde(default = "until_edited")]
    policy: String,
}

/// A mapping does not overwrite what people write unless it is told to.
fn until_edited() -> String {
    Policy::UntilEdited.as_str().to_owned()
}

/// All mappings; a column has one source.
pub(super) fn validate(raw: Vec<RawExtraField>) -> Result<Vec<ExtraField>, Issue> {
    let mut columns = BTreeSet::new();
    let mut fields = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let key = |key: &str| format!("extra_field[{index}].{key}");
        let column = check_column(&raw.column).map_err(|problem| Issue::new(&key("column"), problem))?;
        if !columns.insert(column.clone()) {
            let problem = format!("another mapping fills {} too; a column has one source", quoted(&column));
            return Err(Issue::new(&key("column"), problem));
        }
        let property = find(&raw.graph).map_err(|problem| Issue::new(&key("graph"), problem))?;
        if PROFILE_COLUMNS.contains(&column.as_str()) && property.kind != Kind::Text {
            let problem = format!(
                "`{}` is {}, and the column `{column}` holds a text; expected a property that is a text",
                property.name,
                property.kind.as_str()
            );
            return Err(Issue::new(&key("graph"), problem));
        }
        let policy = raw.policy.parse::<Policy>();
        let policy = policy.map_err(|problem| Issue::new(&key("policy"), requoted(&problem, &raw.policy)))?;
        fields.push(ExtraField {
            column,
            property,
            policy,
        });
    }
    Ok(fields)
}

fn check_column(column: &str) -> Result<String, String> {
    let expected = format!(
        "expected a column that you have added to system_user, or one of {}",
        PROFILE_COLUMNS.join(", ")
    );
    if column.is_empty() || column.len() > COLUMN_BYTES || column.contains('\0') {
        return Err(format!("{} is no name of a column; {expected}", quoted(column)));
    }
    if column.parse::<Field>().is_ok() {
        return Err(format!(
            "`{column}` follows the directory already, and [fields] sets its policy; {expected}"
        ));
    }
    if SystemUser::COLUMNS.contains(&column) && !PROFILE_COLUMNS.contains(&column) {
        return Err(format!("`{column}` is a column of this program; {expected}"));
    }
    Ok(column.to_owned())
}

fn find(name: &str) -> Result<&'static ExtraProperty, String> {
    if let Some(property) = ExtraProperty::find(name) {
        return Ok(property);
    }
    if name == "manager" {
        return Err(
            "`manager` is a relation to another user and not a value, so no column can take it; \
                    set a manager with `rollcall user edit USER --set manager=OTHER`"
                .to_owned(),
        );
    }
    let names: Vec<_> = ExtraProperty::ALL.iter().map(|property| property.name).collect();
    let expected = format!("expected one of {}", names.join(", "));
    Err(if Property::ALL.iter().any(|own| own.as_str() == name) {
        format!("`{name}` is read already, for the program's own columns; {expected}")
    } else {
        format!("{} is no property that can be mapped; {expected}", quoted(name))
    })
}
