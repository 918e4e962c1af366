//! The stored state of each environment: its configuration, and how far its evaluation is. Environments outside a
//! process's configuration stay known here (rules.md, section 11).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{ByEnvironment, Connection, Keys, StoreResult, units};
use crate::domain::environment::KnownEnvironment;
use crate::domain::run::LeftOver;

/// How far "judge everyone" has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// What the configuration says of an environment that the database has to know.
#[derive(Clone, Debug, Serialize)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether its users have rows.
    pub has_database: bool,
    /// Everything that shapes its verdicts.
    pub fingerprint: String,
    /// The columns that belong to customers once they edit them.
    pub until_edited: Vec<String>,
    /// How many enabled non-interactive users there may be.
    pub cap: u32,
    /// The folded name of the business unit of new rows.
    pub default_unit_key: Option<String>,
}

/// What there is to do in an environment, found out for all of them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Survey {
    /// How far "judge everyone" has come.
    pub progress: Progress,
    /// It is registered as it is configured, and nothing of earlier runs or of the clock waits for it.
    pub is_prepared: bool,
    /// Some users wait to be evaluated.
    pub has_pending: bool,
    /// Some rows wait for a free non-interactive slot.
    pub has_waiting: bool,
    /// Nothing is held or in doubt, no name waits, and no finding about a source is open.
    pub is_calm: bool,
}

impl Survey {
    /// There is nothing to do.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.is_calm && !self.has_pending && !self.has_waiting && self.progress.judged_epoch >= self.progress.epoch
    }
}

/// Looks what there is to do in some environments, at a time. Where everyone was last judged before `judged_before`,
/// everyone is due again.
pub async fn survey(
    db: &mut Connection,
    registrations: &[Registration],
    folding: i16,
    now: DateTime<Utc>,
    judged_before: Option<DateTime<Utc>>,
) -> StoreResult<HashMap<String, Survey>> {
    let found = sqlx::query!(
        r#"select name as "name!", epoch as "epoch!", judged_epoch as "judged_epoch!", walk_epoch, walk_after, judged_at,
                  is_set_up as "is_set_up!", folding as "folding!",
                  exists (select from pending p where p.environment = name) as "has_pending!",
                  exists (
                      select from system_user s
                      where s.environment = name and s.disabledreason = 'non_interactive_cap') as "has_waiting!",
                  (is_set_up or not has_database)
                      and not has_names
                      and not exists (select from environment_doubt d where d.environment = name)
                      and not exists (select from held_set h where h.environment = name and h.decision is null)
                      and not exists (
                          select from finding f
                          where f.environment = name and f.azureactivedirectoryobjectid is null and f.closed_at is null)
                      as "is_calm!",
                  coalesce(
                      is_as_configured and has_root and folding >= $2 and (is_set_up or not has_database) and not has_names
                      and not (judged_epoch = epoch and coalesce(judged_at <= $4, false))
                      and not exists (select from removal r where r.environment = name and r.state = 'collected')
                      and not exists (
                          select from held_set h
                          where h.environment = name and h.decision is null and h.expires_at <= $3)
                      and not exists (
                          select from system_user s
                          where s.environment = name and s.due_at <= $3 and s.azureactivedirectoryobjectid is not null),
                      false) as "is_prepared!"
           from (select e.*, w.has_database,
                        e.closed_at is null and e.kind = w.kind and e.fingerprint = w.fingerprint
                            and to_jsonb(e.until_edited) = w.until_edited and q.non_interactive_cap = w.cap
                            and e.default_unit_key is not distinct from w.default_unit_key
                            as is_as_configured,
                        exists (select from name_to_fold n where n.environment = e.name) as has_names,
                        exists (
                            select from business_unit b
                            where b.environment = e.name and b.parentbusinessunitid is null) as has_root
                 from jsonb_to_recordset($1) as w (
                     name text, kind text, has_database boolean, fingerprint text, until_edited jsonb, cap int,
                     default_unit_key text)
                 join environment e on e.name = w.name
                 left join environment_quota q on q.environment = w.name) as known"#,
        json!(registrations),
        folding,
        now,
        judged_before
    )
    .fetch_all(db)
    .await?;
    let surveys = found.into_iter().map(|row| {
        let progress = Progress {
            epoch: row.epoch,
            judged_epoch: row.judged_epoch,
            walk_after: row.walk_after.filter(|_| row.walk_epoch == Some(row.epoch)),
            judged_at: row.judged_at,
            is_set_up: row.is_set_up,
            folding: row.folding,
        };
        let survey = Survey {
            progress,
            is_prepared: row.is_prepared,
            has_pending: row.has_pending,
            has_waiting: row.has_waiting,
            is_calm: row.is_calm,
        };
        (row.name, survey)
    });
    Ok(surveys.collect())
}

/// Adds up what has changed in the row counts since. What belongs to an environment that is not registered yet waits.
pub async fn add_up(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!(
        "with folded as (delete from enabled_delta where environment in (select name from environment)
                         returning environment, delta, bound),
              total as (select environment, sum(delta)::bigint as delta, sum(bound)::bigint as bound
                        from folded group by environment),
              locked as (select name, total.delta, total.bound
                         from environment join total on name = total.environment
                         where total.delta <> 0 or total.bound <> 0 order by name for update of environment)
         update environment e
         set enabled_rows = enabled_rows + locked.delta, bound_rows = bound_rows + locked.bound
         from locked where e.name = locked.name"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Registers an environment and its configuration, and creates the root of its business units. If the configuration has changed, or the environment was retired and
/// has come back, every user is re-evaluated in it.
pub async fn register(db: &mut Connection, registration: &Registration) -> StoreResult<Progress> {
    let name = &registration.name;
    sqlx::query!(
        "insert into environment as e (name, kind, fingerprint, until_edited, default_unit_key) values ($1, $2, $3, $4, $5)
         on conflict (name) do update set
             epoch = e.epoch + (e.fingerprint <> excluded.fingerprint or e.until_edited <> excluded.until_edited
                                or e.closed_at is not null)::int,
             kind = excluded.kind, fingerprint = excluded.fingerprint, until_edited = excluded.until_edited,
             default_unit_key = excluded.default_unit_key, closed_at = null
         where e.fingerprint <> excluded.fingerprint or e.until_edited <> excluded.until_edited
            or e.kind is distinct from excluded.kind or e.default_unit_key is distinct from excluded.default_unit_key
            or e.closed_at is not null",
        name,
        registration.kind,
        registration.fingerprint,
        &registration.until_edited,
        registration.default_unit_key
    )
    .execute(&mut *db)
    .await?;
    units::ensure_root(&mut *db, name).await?;
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

/// Counts the enabled rows with an object id of some environments one by one, each up to a number: the guard trusts no
/// counter that others can write.
pub async fn count_enabled(db: &mut Connection, at_most: &Keys<i64>) -> StoreResult<ByEnvironment<i64>> {
    let counts = sqlx::query!(
        r#"select wanted.name as "name!", found.count as "count!"
           from unnest($1::text[], $2::bigint[]) as wanted (name, at_most) cross join lateral (
               select count(*) from (
                   select from system_user s
                   where s.environment = wanted.name and not s.isdisabled and s.azureactivedirectoryobjectid is not null
                   order by s.systemuserid limit wanted.at_most) as enabled) as found"#,
        &at_most.environments,
        &at_most.keys
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.name, row.count)).collect())
}

/// The rows with an object id of each environment, by the running count.
#[derive(Clone, Debug, Default)]
pub struct RowCounts {
    /// The environment.
    pub environment: String,
    /// Enabled rows.
    pub enabled: i64,
    /// Disabled ones.
    pub disabled: i64,
    /// Enabled non-interactive users, counted one by one.
    pub non_interactive: i64,
}

/// Counts the rows of every environment, or of one.
pub async fn count_rows(db: &mut Connection, only: Option<&str>) -> StoreResult<Vec<RowCounts>> {
    Ok(sqlx::query_as!(
        RowCounts,
        r#"select name as "environment!", sum(enabled)::bigint as "enabled!",
                  sum(bound - enabled)::bigint as "disabled!",
                  (select count(*) from system_user s
                   where s.environment = name and not s.isdisabled and s.accessmode = 4 and s.applicationid is null) as "non_interactive!"
           from (select name, enabled_rows as enabled, bound_rows as bound from environment
                 union all
                 select environment, delta, bound from enabled_delta) as counted
           where $1::text is null or name = $1 group by name"#,
        only
    )
    .fetch_all(db)
    .await?)
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
