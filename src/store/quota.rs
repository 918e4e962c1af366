//! The limited resource of an environment: slots for non-interactive users. The database enforces the cap for every
//! writer. This module counts the enabled ones, with a lock before a slot is taken.

use super::{ByEnvironment, Connection, Keys, StoreResult, rows};

/// The number of non-interactive users that can still be enabled under a cap.
pub async fn free_slots(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    let free = free_slots_in(db, &Keys::of(environment, [cap])).await?;
    Ok(free.into_values().sum())
}

/// The free slots of some environments, each given with its cap.
pub async fn free_slots_in(db: &mut Connection, caps: &Keys<u32>) -> StoreResult<ByEnvironment<i64>> {
    let taken = rows::count_non_interactive(db, &caps.environments).await?;
    let caps = caps.environments.iter().zip(&caps.keys);
    let free = |(name, cap): (&String, &u32)| (name.clone(), i64::from(*cap) - taken.get(name).unwrap_or(&0));
    Ok(caps.map(free).collect())
}

/// Locks out every other transaction that counts over the whole environment, and returns the free slots. Call it after
/// locking the rows, or two such transactions deadlock.
pub async fn lock(db: &mut Connection, environment: &str, cap: u32) -> StoreResult<i64> {
    let free = lock_all(db, &Keys::of(environment, [cap])).await?;
    Ok(free.into_values().sum())
}

/// Locks the same in several environments, each given with its cap.
pub async fn lock_all(db: &mut Connection, caps: &Keys<u32>) -> StoreResult<ByEnvironment<i64>> {
    if caps.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let as_stored: Vec<i32> = caps
        .keys
        .iter()
        .map(|cap| i32::try_from(*cap).unwrap_or(i32::MAX))
        .collect();
    sqlx::query!(
        "insert into environment_quota as q (environment, non_interactive_cap)
         select name, cap from unnest($1::text[], $2::integer[]) as c (name, cap) order by name
         on conflict (environment) do update set non_interactive_cap = excluded.non_interactive_cap",
        &caps.environments,
        &as_stored
    )
    .execute(&mut *db)
    .await?;
    free_slots_in(db, caps).await
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
