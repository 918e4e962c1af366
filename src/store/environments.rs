//! What the store keeps of each environment: which configuration it was judged under, and how far.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};

/// How far "judge everyone" has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everyone shall be judged at this epoch.
    pub epoch: i64,
    /// Everyone was judged at this epoch.
    pub judged_epoch: i64,
    /// The walk under way, where there is one at this epoch.
    pub walk_after: Option<Uuid>,
    /// When everyone was last judged.
    pub judged_at: Option<DateTime<Utc>>,
    /// Whether the placeholder rows have been written.
    pub is_set_up: bool,
    /// Enabled rows with an object id.
    pub enabled_rows: i64,
}

/// Registers an environment and its configuration; a changed configuration judges everyone anew.
/// Adds up the changes of the row count.
///
/// # Errors
/// When the database does not answer.
pub async fn register(
    db: &mut Connection,
    name: &str,
    fingerprint: &str,
    until_edited: &[String],
) -> StoreResult<Progress> {
    sqlx::query!(
        "insert into rollcall.environment as e (name, fingerprint, until_edited) values ($1, $2, $3)
         on conflict (name) do update set
             epoch = e.epoch + 1, fingerprint = excluded.fingerprint, until_edited = excluded.until_edited
         where e.fingerprint <> excluded.fingerprint or e.until_edited <> excluded.until_edited",
        name,
        fingerprint,
        until_edited
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "with folded as (delete from rollcall.enabled_delta where environment = $1 returning delta, bound),
              total as (select coalesce(sum(delta), 0)::bigint as delta, coalesce(sum(bound), 0)::bigint as bound
                        from folded)
         update rollcall.environment
         set enabled_rows = enabled_rows + total.delta, bound_rows = bound_rows + total.bound from total
         where name = $1 and (total.delta <> 0 or total.bound <> 0)",
        name
    )
    .execute(&mut *db)
    .await?;
    let row = sqlx::query!(
        "select epoch, judged_epoch, walk_epoch, walk_after, judged_at, is_set_up, enabled_rows
         from rollcall.environment where name = $1",
        name
    )
    .fetch_one(db)
    .await?;
    Ok(Progress {
        epoch: row.epoch,
        judged_epoch: row.judged_epoch,
        walk_after: row.walk_after.filter(|_| row.walk_epoch == row.epoch),
        judged_at: row.judged_at,
        is_set_up: row.is_set_up,
        enabled_rows: row.enabled_rows,
    })
}

/// Counts an environment's rows with an object id: enabled, disabled.
///
/// # Errors
/// When the database does not answer.
pub async fn count_rows(db: &mut Connection, name: &str) -> StoreResult<(i64, i64)> {
    let counts = sqlx::query!(
        r#"select coalesce(sum(enabled), 0)::bigint as "enabled!", coalesce(sum(bound), 0)::bigint as "bound!"
           from (select enabled_rows as enabled, bound_rows as bound from rollcall.environment where name = $1
                 union all
                 select delta, bound from rollcall.enabled_delta where environment = $1) as counted"#,
        name
    )
    .fetch_one(db)
    .await?;
    Ok((counts.enabled, counts.bound - counts.enabled))
}

/// When everyone in an environment was last judged.
///
/// # Errors
/// When the database does not answer.
pub async fn judged_at(db: &mut Connection, name: &str) -> StoreResult<Option<DateTime<Utc>>> {
    Ok(
        sqlx::query_scalar!("select judged_at from rollcall.environment where name = $1", name)
            .fetch_optional(db)
            .await?
            .flatten(),
    )
}

/// Asks for everyone to be judged anew, in all environments or some.
///
/// # Errors
/// When the database does not answer.
pub async fn judge_everyone(db: &mut Connection, names: &[String]) -> StoreResult<()> {
    sqlx::query!(
        "update rollcall.environment set epoch = epoch + 1 where name = any($1)",
        names
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes how far a walk at `epoch` has come; `None` means that it is finished.
///
/// # Errors
/// When the database does not answer.
pub async fn note_walk(
    db: &mut Connection,
    name: &str,
    epoch: i64,
    after: Option<Uuid>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update rollcall.environment set walk_epoch = $2, walk_after = $3,
             judged_epoch = case when $3::uuid is null then $2 else judged_epoch end,
             judged_at = case when $3::uuid is null then $4 else judged_at end
         where name = $1",
        name,
        epoch,
        after,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that the placeholder rows are there.
///
/// # Errors
/// When the database does not answer.
pub async fn note_set_up(db: &mut Connection, name: &str) -> StoreResult<()> {
    sqlx::query!("update rollcall.environment set is_set_up = true where name = $1", name)
        .execute(db)
        .await?;
    Ok(())
}
