//! The users to re-evaluate. A line is written in the transaction of its cause, and deleted when its user has been
//! evaluated at that version.

use uuid::Uuid;

use super::{Connection, Keys, StoreResult};

/// One user to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The user.
    pub object_id: Uuid,
    /// The version seen.
    pub version: i64,
}

/// Marks users in some environments.
pub async fn mark(db: &mut Connection, environments: &[String], ids: &[Uuid]) -> StoreResult<()> {
    if ids.is_empty() || environments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into pending (environment, object_id)
         select distinct e, id from unnest($1::text[]) e, unnest($2::uuid[]) id order by e, id
         on conflict (environment, object_id) do update set version = excluded.version",
        environments,
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks users, each in an environment.
pub async fn mark_keys(db: &mut Connection, users: &Keys) -> StoreResult<()> {
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into pending (environment, object_id)
         select distinct * from unnest($1::text[], $2::uuid[]) as m (e, id) order by e, id
         on conflict (environment, object_id) do update set version = excluded.version",
        &users.environments,
        &users.keys
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks users in every environment in the database, whether or not this process has it configured. A retired
/// environment is fully re-evaluated if it returns.
pub async fn mark_everywhere(db: &mut Connection, ids: &[Uuid]) -> StoreResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into pending (environment, object_id)
         select distinct name, id from environment cross join unnest($1::uuid[]) id
         where closed_at is null order by name, id
         on conflict (environment, object_id) do update set version = excluded.version",
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The next users to evaluate after `after` and up to `up_to`, in key order.
pub async fn next(
    db: &mut Connection,
    environment: &str,
    after: Option<Uuid>,
    up_to: Uuid,
    limit: i64,
) -> StoreResult<Vec<Pending>> {
    Ok(sqlx::query_as!(
        Pending,
        "select object_id, version from pending
         where environment = $1 and object_id > $2 and object_id <= $3 order by object_id limit $4",
        environment,
        after.unwrap_or(Uuid::nil()),
        up_to,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The next users to evaluate in some environments, after one of them, in key order.
pub async fn next_in(
    db: &mut Connection,
    environments: &[String],
    after: Option<&(String, Uuid)>,
    limit: i64,
) -> StoreResult<Vec<(String, Pending)>> {
    let (name, id) = after.map_or(("", Uuid::nil()), |(name, id)| (name, *id));
    let found = sqlx::query!(
        "select environment, object_id, version from pending
         where environment = any($1) and (environment, object_id) > ($2, $3) order by environment, object_id limit $4",
        environments,
        name,
        id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let (object_id, version) = (row.object_id, row.version);
            (row.environment, Pending { object_id, version })
        })
        .collect())
}

/// The users among `ids` that are pending.
pub async fn among(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<Vec<Pending>> {
    Ok(sqlx::query_as!(
        Pending,
        "select object_id, version from pending
         where environment = $1 and object_id = any($2) order by object_id",
        environment,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// Removes evaluated users from the list, unless they were marked again.
pub async fn settle(db: &mut Connection, judged: &Keys<Pending>) -> StoreResult<()> {
    if judged.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from pending p using unnest($1::text[], $2::uuid[], $3::bigint[]) as j (environment, object_id, version)
         where p.environment = j.environment and p.object_id = j.object_id and p.version = j.version",
        &judged.environments,
        &judged.keys.iter().map(|pending| pending.object_id).collect::<Vec<_>>(),
        &judged.keys.iter().map(|pending| pending.version).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks rows that are due (the grace of app passes), unless the database has refused the resulting change.
pub async fn mark_due(db: &mut Connection, environment: &str, now: chrono::DateTime<chrono::Utc>) -> StoreResult<()> {
    sqlx::query!(
        "insert into pending (environment, object_id)
         select environment, azureactivedirectoryobjectid from system_user s
         where environment = $1 and due_at <= $2 and azureactivedirectoryobjectid is not null
           and not exists (
               select from refusal r
               where r.environment = s.environment and r.object_id = s.azureactivedirectoryobjectid
                 and r.plan is not null and r.at >= s.due_at)
         on conflict (environment, object_id) do update set version = excluded.version",
        environment,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Clears the list, before everyone is evaluated.
pub async fn clear(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!("delete from pending where environment = $1", environment)
        .execute(db)
        .await?;
    Ok(())
}

/// Some users, ordered by the creation of their rows, each with the version of its pending line if any. `with_waiting`
/// adds users who wait for a free non-interactive slot, unless the database refuses their row.
pub async fn in_order_of_creation(
    db: &mut Connection,
    environment: &str,
    ids: &[Uuid],
    with_waiting: bool,
) -> StoreResult<Vec<Pending>> {
    if ids.is_empty() && !with_waiting {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_as!(
        Pending,
        r#"select s.azureactivedirectoryobjectid as "object_id!", coalesce(p.version, 0) as "version!"
           from system_user s
           left join pending p
               on p.environment = s.environment and p.object_id = s.azureactivedirectoryobjectid
           where s.environment = $1 and s.azureactivedirectoryobjectid in (
               select unnest($2::uuid[])
               union
               select azureactivedirectoryobjectid from system_user
               where environment = $1 and disabledreason = 'non_interactive_cap' and $3
                 and not exists (
                     select from refusal r
                     where r.environment = $1 and r.object_id = azureactivedirectoryobjectid and r.plan is not null))
           order by s.createdon, s.systemuserid"#,
        environment,
        ids,
        with_waiting
    )
    .fetch_all(db)
    .await?)
}
