//! What an environment has few of: slots for non-interactive users. The database itself counts them, for every
//! writer; here the count is read, and locked by whoever is about to take one.

use super::{Connection, StoreResult};

/// How many non-interactive users may still be enabled under a cap.
///
/// # Errors
/// When the database does not answer.
pub async fn free_slots(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    let taken = sqlx::query_scalar!(
        "select non_interactive_taken from rollcall.environment_quota where environment = $1",
        environment
    )
    .fetch_optional(db)
    .await?;
    Ok(i64::from(cap) - i64::from(taken.unwrap_or(0)))
}

/// Makes everybody who counts on something of the whole environment wait for this transaction, and answers the
/// free slots. Call it after the rows have been locked, else two such transactions wait for each other.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    let cap = i32::try_from(cap).unwrap_or(i32::MAX);
    let taken = sqlx::query_scalar!(
        "insert into rollcall.environment_quota as q (environment, non_interactive_cap) values ($1, $2)
         on conflict (environment) do update set non_interactive_cap = excluded.non_interactive_cap
         returning non_interactive_taken",
        environment,
        cap
    )
    .fetch_one(db)
    .await?;
    Ok(i64::from(cap) - i64::from(taken))
}

/// Tells the database the configured cap.
///
/// # Errors
/// When the database does not answer.
pub async fn set_cap(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<()> {
    sqlx::query!(
        "insert into rollcall.environment_quota as q (environment, non_interactive_cap) values ($1, $2)
         on conflict (environment) do update set non_interactive_cap = excluded.non_interactive_cap
         where q.non_interactive_cap <> excluded.non_interactive_cap",
        environment,
        i32::try_from(cap).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}
