//! Blanks what the store holds about a person, by the owner's function `forget`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Keys, StoreResult, Transaction};

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
