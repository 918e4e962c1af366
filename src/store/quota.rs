//! The limited resource of an environment: slots for non-interactive users. The database enforces the cap for every
//! writer. This module counts the enabled ones, with a lock before a slot is taken.

use super::{Connection, StoreResult, rows};

/// The number of non-interactive users that can still be enabled under a cap.
pub async fn free_slots(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    Ok(i64::from(cap) - rows::count_non_interactive(db, environment).await?)
}

/// Locks out every other transaction that counts over the whole environment, and returns the free slots. Call it after
/// locking the rows, or two such transactions deadlock.
pub async fn lock(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    sqlx::query!(
        "insert into environment_quota as q (environment, non_interactive_cap) values ($1, $2)
         on conflict (environment) do update set non_interactive_cap = excluded.non_interactive_cap",
        environment,
        i32::try_from(cap).unwrap_or(i32::MAX)
    )
    .execute(&mut *db)
    .await?;
    free_slots(db, environment, cap).await
}

/// Writes the configured cap to the database.
pub async fn set_cap(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<()> {
    sqlx::query!(
        "insert into environment_quota as q (environment, non_interactive_cap) values ($1, $2)
         on conflict (environment) do update set non_interactive_cap = excluded.non_interactive_cap
         where q.non_interactive_cap <> excluded.non_interactive_cap",
        environment,
        i32::try_from(cap).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}
