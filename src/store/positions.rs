//! `rollcall.position`: the trees of positions of each environment.

use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreResult};
use crate::domain::directory_user::upn_key;
use crate::domain::unit::{Name, Position};

/// Positions after a key, in key order.
pub async fn list(
    db: &mut Connection,
    environment: &str,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<Position>> {
    Ok(sqlx::query_as!(
        Position,
        r#"select u.environment, u.positionid, u.name, u.parentpositionid, above.name as "parentpositionidname?", u.createdon, u.createdby,
                  u.modifiedon, u.modifiedby
           from position u
           left join position above on above.environment = u.environment and above.positionid = u.parentpositionid
           where u.environment = $1 and u.positionid > $2 order by u.positionid limit $3"#,
        environment,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A position by its id or its name.
pub async fn find(db: &mut Connection, environment: &str, given: &str) -> StoreResult<Option<Position>> {
    Ok(sqlx::query_as!(
        Position,
        r#"select u.environment, u.positionid, u.name, u.parentpositionid, above.name as "parentpositionidname?", u.createdon, u.createdby,
                  u.modifiedon, u.modifiedby
           from position u
           left join position above on above.environment = u.environment and above.positionid = u.parentpositionid
           where u.environment = $1 and (u.positionid = $2 or u.name_key = $3)
           order by u.positionid = $2 desc nulls last limit 1"#,
        environment,
        Uuid::parse_str(given).ok(),
        upn_key(given)
    )
    .fetch_optional(db)
    .await?)
}

/// Creates a position.
pub async fn insert(
    db: &mut Connection,
    environment: &str,
    name: &Name,
    parent: Option<Uuid>,
    author: Author<'_>,
) -> StoreResult<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into position (environment, positionid, name, name_key, parentpositionid, createdon, createdby, modifiedon, modifiedby)
         values ($1, $2, $3, $4, $5, $6::timestamptz, $7::text, $6, $7)",
        environment,
        id,
        name.as_str(),
        name.key(),
        parent,
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(id)
}

/// Writes the name of a position and what is above it.
pub async fn update(db: &mut Connection, position: &Position, name: &Name, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "update position set name = $3, name_key = $4, parentpositionid = $5,
             modifiedon = greatest($6, modifiedon), modifiedby = $7
         where environment = $1 and positionid = $2",
        position.environment,
        position.positionid,
        name.as_str(),
        name.key(),
        position.parentpositionid,
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a position has another below it, or a row that is not deleted.
pub async fn is_in_use(db: &mut Connection, environment: &str, position: Uuid) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from position where environment = $1 and parentpositionid = $2)
               or exists (
                   select from system_user
                   where environment = $1 and positionid = $2 and deletedstate = 0) as "is_in_use!""#,
        environment,
        position
    )
    .fetch_one(db)
    .await?)
}

/// Deletes a position that is not in use.
pub async fn delete(db: &mut Connection, environment: &str, position: Uuid) -> StoreResult<()> {
    sqlx::query!(
        "delete from position where environment = $1 and positionid = $2",
        environment,
        position
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a position is `above` another, or is it.
pub async fn is_above(db: &mut Connection, environment: &str, above: Uuid, position: Uuid) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"with recursive up as (
               select positionid, parentpositionid from position where environment = $1 and positionid = $3
               union
               select p.positionid, p.parentpositionid from up
               join position p on p.environment = $1 and p.positionid = up.parentpositionid)
           select exists (select from up where positionid = $2) as "is_above!""#,
        environment,
        above,
        position
    )
    .fetch_one(db)
    .await?)
}
