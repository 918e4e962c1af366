//! What an environment has few of: slots for non-interactive users. The database itself holds the cap, for every writer;
//! here those who are enabled are counted, with a lock by whoever is about to take a slot.

use super::{Connection, StoreResult, rows};

/// How many non-interactive users may still be enabled under a cap.
pub async fn free_slots(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    Ok(i64::from(cap) - rows::count_non_interactive(db, environment).await?)
}

/// Makes everybody who counts on something of the whole environment wait for this transaction, and answers the
/// free slots. Call it after the rows have been locked, else two such transactions wait for each other.
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

/// Tells the database the configured cap.
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
