//! Blanks what the store holds about a person, by the owner's function `forget`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Keys, StoreError, StoreResult, Transaction};

/// Blanks the values of a person, whose rows are given, everywhere. Returns how many rows of which table it has changed,
/// and the names that somebody else holds by now, which stay in texts and as actors.
///
/// # Errors
/// When the directory has the person, or a row is not deleted; when the database does not answer.
pub async fn forget(
    tx: &mut Transaction,
    person: Option<Uuid>,
    rows: &Keys,
    actor: &str,
    now: DateTime<Utc>,
) -> StoreResult<(Value, Vec<String>)> {
    let answer = sqlx::query_scalar!(
        r#"select forget($1, $2, $3, $4, $5) as "answer!""#,
        person,
        &rows.environments,
        &rows.keys,
        actor,
        now
    )
    .fetch_one(&mut **tx)
    .await?;
    let held = answer["held_names"].as_array().into_iter().flatten();
    let held = held.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    Ok((answer["blanked"].clone(), held))
}

/// Blanks what `[[extra_field]]` has brought of a person: the properties in the mirror, and the given columns of the rows.
pub async fn forget_extra(
    tx: &mut Transaction,
    person: Option<Uuid>,
    rows: &Keys,
    columns: &[String],
) -> StoreResult<()> {
    sqlx::query!(
        "update directory_user set extra = null where id = $1 and extra is not null",
        person
    )
    .execute(&mut **tx)
    .await?;
    let values: Map<String, Value> = columns.iter().map(|column| (column.clone(), Value::Null)).collect();
    let given = rows.environments.iter().zip(&rows.keys);
    let given =
        given.map(|(environment, id)| json!({"environment": environment, "systemuserid": id, "values": values}));
    sqlx::query!("select write_extra($1)", Value::Array(given.collect()))
        .execute(&mut **tx)
        .await
        .map_err(StoreError::of_rows)?;
    Ok(())
}
