//! The stored state of each environment: its configuration, and how far its evaluation is. Environments outside a
//! process's configuration stay known here (rules.md, section 11).

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::environment::KnownEnvironment;
use crate::domain::run::LeftOver;

/// Progress of "judge everyone".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The epoch at which everyone must be evaluated.
    pub epoch: i64,
    /// The last epoch at which everyone was evaluated.
    pub judged_epoch: i64,
    /// The position of the walk under way at this epoch, if there is one.
    pub walk_after: Option<Uuid>,
    /// When everyone was last evaluated.
    pub judged_at: Option<DateTime<Utc>>,
    /// Whether the placeholder rows are written.
    pub is_set_up: bool,
    /// The folding version that its rows' names were last checked with.
    pub folding: i16,
}

/// Registers an environment and its configuration, and adds up the changes of the row count. A changed configuration
/// re-evaluates everyone, and so does the return of a retired environment.
pub async fn register(
    db: &mut Connection,
    name: &str,
    kind: &str,
    fingerprint: &str,
    until_edited: &[String],
) -> StoreResult<Progress> {
    sqlx::query!(
        "insert into environment as e (name, kind, fingerprint, until_edited) values ($1, $2, $3, $4)
         on conflict (name) do update set
             epoch = e.epoch + (e.fingerprint <> excluded.fingerprint or e.until_edited <> excluded.until_edited
                                or e.closed_at is not null)::int,
             kind = excluded.kind, fingerprint = excluded.fingerprint, until_edited = excluded.until_edited,
             closed_at = null
         where e.fingerprint <> excluded.fingerprint or e.until_edited <> excluded.until_edited
            or e.kind is distinct from excluded.kind or e.closed_at is not null",
        name,
        kind,
        fingerprint,
        until_edited
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "with folded as (delete from enabled_delta where environment = $1 returning delta, bound),
              total as (select coalesce(sum(delta), 0)::bigint as delta, coalesce(sum(bound), 0)::bigint as bound
                        from folded)
         update environment
         set enabled_rows = enabled_rows + total.delta, bound_rows = bound_rows + total.bound from total
         where name = $1 and (total.delta <> 0 or total.bound <> 0)",
        name
    )
    .execute(&mut *db)
    .await?;
    let row = sqlx::query!(
        "select epoch, judged_epoch, walk_epoch, walk_after, judged_at, is_set_up, folding
         from environment where name = $1",
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
        folding: row.folding,
    })
}

/// Counts the enabled rows with an object id one by one, up to a number: the guard trusts no counter that others can
/// write.
pub async fn count_enabled(db: &mut Connection, name: &str, at_most: i64) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from system_user
               where environment = $1 and not isdisabled and azureactivedirectoryobjectid is not null
               order by systemuserid limit $2) as found"#,
        name,
        at_most
    )
    .fetch_one(db)
    .await?)
}

/// The rows with an object id, from the running count: enabled, disabled.
pub async fn count_rows(db: &mut Connection, name: &str) -> StoreResult<(i64, i64)> {
    let counts = sqlx::query!(
        r#"select coalesce(sum(enabled), 0)::bigint as "enabled!", coalesce(sum(bound), 0)::bigint as "bound!"
           from (select enabled_rows as enabled, bound_rows as bound from environment where name = $1
                 union all
                 select delta, bound from enabled_delta where environment = $1) as counted"#,
        name
    )
    .fetch_one(db)
    .await?;
    Ok((counts.enabled, counts.bound - counts.enabled))
}

/// When everyone in an environment was last evaluated.
pub async fn judged_at(db: &mut Connection, name: &str) -> StoreResult<Option<DateTime<Utc>>> {
    Ok(
        sqlx::query_scalar!("select judged_at from environment where name = $1", name)
            .fetch_optional(db)
            .await?
            .flatten(),
    )
}

/// Requests a re-evaluation of everyone, in all environments or some.
pub async fn judge_everyone(db: &mut Connection, names: &[String]) -> StoreResult<()> {
    sqlx::query!(
        "update environment e set epoch = epoch + 1
         from (select name from environment where name = any($1) order by name for update) as locked
         where e.name = locked.name",
        names
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records the position of a walk at `epoch`; `None` means that it is finished.
pub async fn note_walk(
    db: &mut Connection,
    name: &str,
    epoch: i64,
    after: Option<Uuid>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update environment set walk_epoch = $2, walk_after = $3,
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

/// Records the folding version that its rows' names were checked with.
pub async fn note_folding(db: &mut Connection, name: &str, folding: i16) -> StoreResult<()> {
    sqlx::query!("update environment set folding = $2 where name = $1", name, folding)
        .execute(db)
        .await?;
    Ok(())
}

/// Records that the placeholder rows exist.
pub async fn note_set_up(db: &mut Connection, name: &str) -> StoreResult<()> {
    sqlx::query!("update environment set is_set_up = true where name = $1", name)
        .execute(db)
        .await?;
    Ok(())
}

/// The known environments that are not configured, retired or not.
pub async fn others(db: &mut Connection, configured: &[String]) -> StoreResult<Vec<String>> {
    Ok(sqlx::query_scalar!(
        "select name from environment where name <> all($1) order by name",
        configured
    )
    .fetch_all(db)
    .await?)
}

/// Sets environments aside. Changes are not reported to them meanwhile: they are fully re-evaluated on return, and drop
/// their pending users.
pub async fn set_aside(db: &mut Connection, away: &[String]) -> StoreResult<()> {
    sqlx::query!(
        "update environment set epoch = epoch + 1
         where name = any($1) and (judged_epoch = epoch or walk_epoch = epoch)",
        away
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("delete from pending where environment = any($1)", away)
        .execute(db)
        .await?;
    Ok(())
}

/// Locks an environment against registration until the transaction ends. Returns false when it is unknown.
pub async fn lock(db: &mut Connection, name: &str) -> StoreResult<bool> {
    let found = sqlx::query!("select name from environment where name = $1 for update", name)
        .fetch_optional(db)
        .await?;
    Ok(found.is_some())
}

/// Retires an environment: it is no longer reported as left over, and is fully re-evaluated if it returns.
pub async fn close(db: &mut Connection, name: &str, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!("update environment set closed_at = $2 where name = $1", name, now)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from pending where environment = $1", name)
        .execute(&mut *db)
        .await?;
    sqlx::query!(
        "update finding set closed_at = $2 where environment = $1 and closed_at is null",
        name,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The environments of these names, with their rows counted one by one.
pub async fn known(db: &mut Connection, names: &[String]) -> StoreResult<Vec<KnownEnvironment>> {
    Ok(sqlx::query_as!(
        KnownEnvironment,
        r#"select e.name as "name!", e.kind, e.judged_at, e.closed_at, rows.enabled as "enabled!",
                  rows.disabled as "disabled!", rows.any as "has_rows!",
                  (select count(*) from removal r
                   where r.environment = e.name and r.state = 'held') as "held!"
           from environment e
           cross join lateral (
               select count(*) filter (where is_somebody and not isdisabled) as enabled,
                      count(*) filter (where is_somebody and isdisabled) as disabled, count(*) > 0 as any
               from (select isdisabled, coalesce(azureactivedirectoryobjectid, applicationid) is not null as is_somebody
                     from system_user s where s.environment = e.name) as found) as rows
           where e.name = any($1) order by e.name"#,
        names
    )
    .fetch_all(db)
    .await?)
}

/// The environments that are left over beside the configured ones.
pub async fn left_over(db: &mut Connection, configured: &[String]) -> StoreResult<Vec<LeftOver>> {
    let others = others(&mut *db, configured).await?;
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let known = known(db, &others).await?;
    Ok(known
        .into_iter()
        .filter(|known| known.closed_at.is_none() && known.has_rows)
        .map(|known| LeftOver {
            environment: known.name,
            enabled: known.enabled,
            held: known.held,
        })
        .collect())
}
