//! Directory users who have no row in an environment: the candidates for an import.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::import::Candidate;

/// Present users without a row, after a key; with a text, those whose name or user principal name contains it.
pub async fn list(
    db: &mut Connection,
    environment: &str,
    text: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<Candidate>> {
    Ok(sqlx::query_as!(
        Candidate,
        "select id, user_principal_name, display_name, mail, account_enabled, is_agent from directory_user u
         where state = 0 and id > $3 and not exists (
                   select from system_user s where s.environment = $1 and s.azureactivedirectoryobjectid = u.id)
           and ($2::text is null or strpos(lower(concat_ws(' ', display_name, user_principal_name)), lower($2)) > 0)
         order by id limit $4",
        environment,
        text,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The next users for an import of everybody, after a key. It skips AI agents: they get a row only when a request names
/// them.
pub async fn next(db: &mut Connection, environment: &str, after: Option<Uuid>, limit: i64) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select id from directory_user u
         where state = 0 and not is_agent and id > $2 and not exists (
                   select from system_user s where s.environment = $1 and s.azureactivedirectoryobjectid = u.id)
         order by id limit $3",
        environment,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The number of users in an import of everybody.
pub async fn count(db: &mut Connection, environment: &str) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from directory_user u
           where state = 0 and not is_agent and not exists (
               select from system_user s where s.environment = $1 and s.azureactivedirectoryobjectid = u.id)"#,
        environment
    )
    .fetch_one(db)
    .await?)
}

/// The users among `ids` that have a row, with the row's id. Locks nothing.
pub async fn with_row(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Uuid>> {
    Ok(sqlx::query!(
        r#"select azureactivedirectoryobjectid as "id!", systemuserid from system_user
           where environment = $1 and azureactivedirectoryobjectid = any($2)"#,
        environment,
        ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.id, row.systemuserid))
    .collect())
}
