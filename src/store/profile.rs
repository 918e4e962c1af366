//! The columns of a profile that only people edit: the sync never writes them, so batches leave them out.

use uuid::Uuid;

use super::{Connection, StoreError, StoreResult};
use crate::domain::system_user::SystemUser;

/// Writes the columns of a locked row.
///
/// # Errors
/// [`StoreError::Refused`] when a constraint of a customer refuses one.
pub async fn write(db: &mut Connection, row: &SystemUser) -> StoreResult<()> {
    sqlx::query!(
        "update system_user set businessunitid = $3, parentsystemuserid = $4, positionid = $5, title = $6,
             nickname = $7, middlename = $8, employeeid = $9, preferredlanguage = $10
         where environment = $1 and systemuserid = $2",
        row.environment,
        row.systemuserid,
        row.businessunitid,
        row.parentsystemuserid,
        row.positionid,
        row.title,
        row.nickname,
        row.middlename,
        row.employeeid,
        row.preferredlanguage
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}

/// Puts new rows into a business unit, if it still exists.
pub async fn put_in_unit(db: &mut Connection, environment: &str, rows: &[Uuid], unit: Uuid) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update system_user s set businessunitid = u.businessunitid
         from business_unit u
         where s.environment = $1 and s.systemuserid = any($2)
           and u.environment = s.environment and u.businessunitid = $3",
        environment,
        rows,
        unit
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}

/// Whether a row is `above` another in the chain of managers, or is it.
pub async fn is_manager_above(db: &mut Connection, environment: &str, above: Uuid, row: Uuid) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"with recursive up as (
               select systemuserid, parentsystemuserid from system_user where environment = $1 and systemuserid = $3
               union
               select s.systemuserid, s.parentsystemuserid from up
               join system_user s on s.environment = $1 and s.systemuserid = up.parentsystemuserid)
           select exists (select from up where systemuserid = $2) as "is_above!""#,
        environment,
        above,
        row
    )
    .fetch_one(db)
    .await?)
}
