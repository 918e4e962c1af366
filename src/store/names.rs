//! Names that other programs wrote: the trigger queues them by row, the program folds them (rules.md, section 7).

use uuid::Uuid;

use super::{Connection, StoreResult};

/// A row with its name and its stored keys.
#[derive(Clone, Debug)]
pub struct NamedRow {
    /// The row.
    pub systemuserid: Uuid,
    /// Its name.
    pub domainname: Option<String>,
    /// Whether it may hold the name.
    pub is_live: bool,
    /// The key of a name that it holds.
    pub upn_key: Option<String>,
    /// The key of a name that it does not hold.
    pub unheld_upn_key: Option<String>,
}

/// The new keys of a row.
#[derive(Clone, Debug)]
pub struct NameKeys {
    /// The row.
    pub systemuserid: Uuid,
    /// The key of a name that it holds.
    pub held: Option<String>,
    /// The key of a name that it does not hold.
    pub unheld: Option<String>,
}

/// The next rows of an environment, in key order.
pub async fn next(db: &mut Connection, environment: &str, after: Uuid, limit: i64) -> StoreResult<Vec<NamedRow>> {
    Ok(sqlx::query_as!(
        NamedRow,
        r#"select systemuserid, domainname, azurestate = 0 and deletedstate = 0 as "is_live!", upn_key, unheld_upn_key
           from system_user where environment = $1 and systemuserid > $2 order by systemuserid limit $3"#,
        environment,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Queues names to be folded.
pub async fn queue(db: &mut Connection, environment: &str, rows: &[Uuid]) -> StoreResult<()> {
    sqlx::query!(
        "insert into name_to_fold select $1, unnest($2::uuid[]) on conflict do nothing",
        environment,
        rows
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The next rows whose names are queued, in key order.
pub async fn queued(db: &mut Connection, environment: &str, after: Uuid, limit: i64) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select systemuserid from name_to_fold
         where environment = $1 and systemuserid > $2 order by systemuserid limit $3",
        environment,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Removes names from the queue.
pub async fn settle(db: &mut Connection, environment: &str, rows: &[Uuid]) -> StoreResult<()> {
    sqlx::query!(
        "delete from name_to_fold where environment = $1 and systemuserid = any($2)",
        environment,
        rows
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The keys among `keys` that rows hold.
pub async fn held(db: &mut Connection, environment: &str, keys: &[String]) -> StoreResult<Vec<String>> {
    Ok(sqlx::query_scalar!(
        r#"select upn_key as "key!" from system_user where environment = $1 and upn_key = any($2)"#,
        environment,
        keys
    )
    .fetch_all(db)
    .await?)
}

/// Writes keys, and nothing else of the rows.
///
/// # Errors
/// [`super::StoreError::Conflict`] when a concurrent writer has taken one of the names.
pub async fn write(db: &mut Connection, environment: &str, keys: &[NameKeys]) -> StoreResult<()> {
    sqlx::query!(
        "update system_user s set upn_key = k.held, unheld_upn_key = k.unheld
         from unnest($2::uuid[], $3::text[], $4::text[]) as k (id, held, unheld)
         where s.environment = $1 and s.systemuserid = k.id",
        environment,
        &keys.iter().map(|keys| keys.systemuserid).collect::<Vec<_>>(),
        &keys.iter().map(|keys| keys.held.clone()).collect::<Vec<_>>() as &[Option<String>],
        &keys.iter().map(|keys| keys.unheld.clone()).collect::<Vec<_>>() as &[Option<String>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A live row whose name is held by another live row.
#[derive(Clone, Debug)]
pub struct Clash {
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
    /// Its directory user.
    pub object_id: Option<Uuid>,
    /// The folded name.
    pub key: String,
}

/// Rows of some environments that wait for a name held by another row.
pub async fn clashes(db: &mut Connection, environments: &[String]) -> StoreResult<Vec<Clash>> {
    Ok(sqlx::query_as!(
        Clash,
        r#"select s.environment, s.systemuserid, s.azureactivedirectoryobjectid as object_id, s.unheld_upn_key as "key!"
           from name_to_fold q
           join system_user s on s.environment = q.environment and s.systemuserid = q.systemuserid
           join system_user holder
               on holder.environment = s.environment and holder.upn_key = s.unheld_upn_key
           where q.environment = any($1) and s.upn_key is null and s.azurestate = 0 and s.deletedstate = 0"#,
        environments
    )
    .fetch_all(db)
    .await?)
}
