//! Writes rows, a batch at a time.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::directory_user::name_key;
use crate::domain::system_user::{DELEGATED_ADMIN_UPN, SUPPORT_UPN, SYNC_ACTOR, SystemUser, access_mode, with_columns};
use crate::store::{Connection, Keys, StoreError, StoreResult, expect_rows};

/// Releases the user principal names of rows, so that others can take them within this transaction.
pub async fn release_names(db: &mut Connection, rows: &Keys) -> StoreResult<()> {
    if !rows.is_empty() {
        sqlx::query!(
            "update system_user s set upn_key = null from unnest($1::text[], $2::uuid[]) as v (environment, id)
             where s.environment = v.environment and s.systemuserid = v.id",
            &rows.environments,
            &rows.keys
        )
        .execute(db)
        .await
        .map_err(StoreError::of_rows)?;
    }
    Ok(())
}

/// Writes the two placeholder rows of an environment, once.
pub async fn insert_placeholders(db: &mut Connection, environment: &str, now: DateTime<Utc>) -> StoreResult<()> {
    for (upn, name, mode) in [
        (SUPPORT_UPN, "Support User", access_mode::SUPPORT),
        (DELEGATED_ADMIN_UPN, "Delegated Admin", access_mode::DELEGATED_ADMIN),
    ] {
        sqlx::query!(
            "with placeholder as (
                 insert into system_user (
                     environment, systemuserid, domainname, upn_key, fullname, firstname, lastname, accessmode,
                     businessunitid, createdon, createdby, modifiedon, modifiedby)
                 values ($1, $2, $3::text, $3::text, $4::text, split_part($4, ' ', 1), split_part($4, ' ', 2), $5,
                     (select businessunitid from business_unit where environment = $1 and parentbusinessunitid is null),
                     $6, $7, $6, $7)
                 on conflict (environment, upn_key) do nothing returning environment, systemuserid)
             insert into system_user_change (environment, at, actor, systemuserid, operation, fields)
             select environment, $6, $7, systemuserid, 'create', jsonb_build_object('domainname', jsonb_build_array(null, $3::text))
             from placeholder",
            environment,
            Uuid::now_v7(),
            upn,
            name,
            mode,
            now,
            SYNC_ACTOR
        )
        .execute(&mut *db)
        .await
        .map_err(StoreError::of_rows)?;
    }
    Ok(())
}

/// Writes rows with a statement that lists their columns, and then the columns of `v`, where it reads them.
macro_rules! write_rows {
    ([$rows:expr, $into:literal, $of:literal, $from:literal, $which:literal]
        written { $($(#[$_about:meta])* $name:ident $sql:literal $_null:literal $type:ty, $kind:literal $at:literal $(, $_field:ident)?;)* }
        apart $_apart:tt) => {
        sqlx::query!(
            $into + "last_entitlement, unheld_upn_key" $(+ ", " + $sql)*
                + $of + "v.last_entitlement, v.unheld_upn_key" $(+ ", v." + $sql)*
                + $from + "unnest($1::text[], $2::uuid[], $3::text[], $4::text[]" $(+ ", " + $at + "::" + $kind)*
                + ") as v (environment, systemuserid, last_entitlement, unheld_upn_key" $(+ ", " + $sql)* + ")" + $which,
            &column($rows, |row| row.environment.clone()),
            &column($rows, |row| row.systemuserid),
            &column($rows, |row| Option::<String>::from(row.last_entitlement)) as &[Option<String>],
            &column($rows, unheld_key) as &[Option<String>],
            $(&column($rows, |row| row.$name.clone()) as &[$type],)*
        )
    };
}

/// Inserts new rows, into the business unit that new rows get: the configured one, else the root.
///
/// # Errors
/// [`StoreError::Refused`] when the database refuses one, also because a concurrent writer has inserted it.
pub async fn insert(db: &mut Connection, rows: &[&SystemUser]) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let insert = with_columns!(write_rows [
        rows,
        "insert into system_user (environment, createdon, createdby, businessunitid, systemuserid, ",
        ") select v.environment, v.modifiedon, v.modifiedby, coalesce(chosen.businessunitid, root.businessunitid), v.systemuserid, ",
        " from ",
        " left join business_unit root on root.environment = v.environment and root.parentbusinessunitid is null
          left join environment e on e.name = v.environment
          left join business_unit chosen on chosen.environment = e.name and chosen.name_key = e.default_unit_key"
    ]);
    let inserted = insert.execute(db).await.map_err(StoreError::of_rows)?;
    expect_rows(inserted.rows_affected(), rows.len())
}

/// Updates existing, locked rows. Does not write `customer_owned`: the sync never changes ownership.
///
/// # Errors
/// [`StoreError::Refused`] when the database refuses one, also because a user principal name is taken.
pub async fn update(db: &mut Connection, rows: &[&SystemUser]) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let update = with_columns!(write_rows [
        rows,
        "update system_user s set (",
        ") = (",
        ") from ",
        " where s.environment = v.environment and s.systemuserid = v.systemuserid"
    ]);
    let updated = update.execute(db).await.map_err(StoreError::of_rows)?;
    expect_rows(updated.rows_affected(), rows.len())
}

/// Records the row that a stub was merged into.
pub async fn note_merged(db: &mut Connection, environment: &str, stub: Uuid, into: Uuid) -> StoreResult<()> {
    sqlx::query!(
        "update system_user set merged_into = $3 where environment = $1 and systemuserid = $2",
        environment,
        stub,
        into
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The folded name of a row that does not hold it.
pub(super) fn unheld_key(row: &SystemUser) -> Option<String> {
    row.domainname
        .as_deref()
        .filter(|_| row.upn_key.is_none())
        .and_then(name_key)
}

/// One column of some rows, for `unnest`.
fn column<T>(rows: &[&SystemUser], value: impl Fn(&SystemUser) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}
