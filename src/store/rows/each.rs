//! Writes a batch row by row within one statement, so that a refused row does not affect the others.

use serde_json::{Value, json};
use uuid::Uuid;

use super::extra::shown_extra;
use super::write::unheld_key;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::plan::{Change, Operation, RoleChange};
use crate::store::changes::{Author, fields_json};
use crate::store::fault::Report;
use crate::store::{Connection, Fault, StoreError, StoreResult};

/// A unit that is written as a whole or not at all: mostly one row, or the rows that exchange a name.
#[derive(Clone, Debug, Default)]
pub struct Unit<'a> {
    /// Rows that release their name.
    pub released: Vec<Uuid>,
    /// The new rows.
    pub changes: Vec<&'a Change>,
    /// The changes of their security roles.
    pub roles: Vec<&'a RoleChange>,
}

/// Writes units, and returns the refused ones by position. `roles_by` is the actor of the role changes.
///
/// # Errors
/// When the database does not answer, or a unit makes the whole statement time out.
pub async fn write_each(
    db: &mut Connection,
    environment: &str,
    units: &[Unit<'_>],
    author: Author<'_>,
    roles_by: &str,
) -> StoreResult<Vec<(usize, Fault)>> {
    let units: Vec<Value> = units.iter().map(|unit| shown(unit, author)).collect();
    let refused = sqlx::query!(
        r#"select unit as "unit!", code as "code!", by_constraint, by_table, by_column, context
           from write_each($1, $2, $3, $4, $5)"#,
        environment,
        author.run_id,
        author.at,
        roles_by,
        Value::Array(units)
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of_rows)?;
    let fault = |code: &str, [constraint, table, column, context]: [Option<&str>; 4]| {
        Fault::told(Report {
            code,
            constraint: constraint.unwrap_or_default(),
            table: table.unwrap_or_default(),
            column: column.unwrap_or_default(),
            context: context.unwrap_or_default(),
        })
    };
    Ok(refused
        .iter()
        .map(|row| {
            let said = [&row.by_constraint, &row.by_table, &row.by_column, &row.context].map(Option::as_deref);
            (usize::try_from(row.unit).unwrap_or_default(), fault(&row.code, said))
        })
        .collect())
}

/// A unit in the form that `rollcall.write_each` takes.
fn shown(unit: &Unit<'_>, author: Author<'_>) -> Value {
    let rows = |is_new: bool| -> Vec<Value> {
        let chosen = unit
            .changes
            .iter()
            .filter(|change| (change.operation == Operation::Create) == is_new);
        chosen.map(|change| shown_row(&change.after)).collect()
    };
    let logged = unit
        .changes
        .iter()
        .filter(|change| !change.fields.is_empty())
        .map(|change| {
            json!({
                "id": change.after.systemuserid,
                "at": change.after.modifiedon,
                "actor": change.after.modifiedby,
                "operation": change.operation.as_str(),
                "reason": change.reason.map(Code::as_str),
                "by_rule": author.by_rule && change.operation == Operation::Disable,
                "fields": fields_json(change),
            })
        });
    let roles = |is_granted: bool| -> Vec<Value> {
        let chosen = unit.roles.iter().filter(|change| change.is_granted == is_granted);
        let shown = |change: &&RoleChange| {
            json!({
                "id": change.systemuserid, "role": change.role, "provenance": change.provenance.as_str(),
            })
        };
        chosen.map(shown).collect()
    };
    json!({
        "release": unit.released,
        "update": rows(false),
        "insert": rows(true),
        "extra": shown_extra(&unit.changes),
        "log": logged.collect::<Vec<_>>(),
        "grant": roles(true),
        "take": roles(false),
    })
}

fn shown_row(row: &SystemUser) -> Value {
    let mut shown = json!(row);
    shown["upn_key"] = json!(row.upn_key);
    shown["unheld_upn_key"] = json!(unheld_key(row));
    shown["last_entitlement"] = json!(Option::<String>::from(row.last_entitlement));
    shown["due_at"] = json!(row.due_at);
    shown
}
