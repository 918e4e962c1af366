//! The columns that `[[extra_field]]` maps: those of a batch are read by one statement and written by another, however many
//! there are. Which columns they are is known only when the program runs, so the statements take them as values.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::extra_field::ExtraColumns;
use crate::domain::system_user::SystemUser;
use crate::plan::Change;
use crate::store::{Connection, Keys, StoreError, StoreResult};

/// Completes rows, which the transaction has locked, with the mapped columns that the table has.
pub async fn read_extra(
    db: &mut Connection,
    rows: impl Iterator<Item = &mut SystemUser>,
    columns: &[String],
) -> StoreResult<()> {
    let mut rows: HashMap<(String, Uuid), &mut SystemUser> = rows
        .map(|row| ((row.environment.clone(), row.systemuserid), row))
        .collect();
    if rows.is_empty() || columns.is_empty() {
        return Ok(());
    }
    let keys: Keys = rows.keys().map(|(name, id)| (name.as_str(), *id)).collect();
    let read = sqlx::query!(
        r#"select found.environment as "environment!", found.systemuserid as "systemuserid!", found.extra as "extra?"
           from unnest($1::text[], $2::uuid[]) as wanted (name, id) cross join lateral (
               select environment, systemuserid,
                      (select jsonb_object_agg(key, value) from jsonb_each(to_jsonb(s)) where key = any($3)) as extra
               from system_user s
               where s.environment = wanted.name and s.systemuserid = wanted.id limit 1) as found"#,
        &keys.environments,
        &keys.keys,
        columns
    )
    .fetch_all(db)
    .await?;
    for found in read {
        if let (Some(row), Some(Value::Object(extra))) =
            (rows.get_mut(&(found.environment, found.systemuserid)), found.extra)
        {
            row.extra = ExtraColumns(extra.into_iter().collect());
        }
    }
    Ok(())
}

/// Writes the mapped columns that changes change.
///
/// # Errors
/// [`StoreError::Refused`] when a column does not take a value.
pub async fn write_extra(db: &mut Connection, changes: &[&Change]) -> StoreResult<()> {
    let given = shown_extra(changes);
    if !given.is_empty() {
        sqlx::query!("select write_extra($1)", Value::Array(given))
            .execute(db)
            .await
            .map_err(StoreError::of_rows)?;
    }
    Ok(())
}

/// The mapped columns that changes change, in the form that `rollcall.write_extra` takes.
pub(super) fn shown_extra(changes: &[&Change]) -> Vec<Value> {
    let shown = changes.iter().filter_map(|change| {
        let values = change.extra();
        let row = &change.after;
        (!values.is_empty())
            .then(|| json!({"environment": row.environment, "systemuserid": row.systemuserid, "values": values}))
    });
    shown.collect()
}
