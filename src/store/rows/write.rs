//! Writing rows, a batch at a time.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::directory_user::name_key;
use crate::domain::system_user::{DELEGATED_ADMIN_UPN, SUPPORT_UPN, SYNC_ACTOR, SystemUser, access_mode};
use crate::store::{Connection, StoreError, StoreResult, expect_rows};

/// Takes user principal names away from rows, so that others can have them within this transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn release_names(db: &mut Connection, environment: &str, rows: &[Uuid]) -> StoreResult<()> {
    if !rows.is_empty() {
        sqlx::query!(
            "update system_user set upn_key = null where environment = $1 and systemuserid = any($2)",
            environment,
            rows
        )
        .execute(db)
        .await
        .map_err(StoreError::of_rows)?;
    }
    Ok(())
}

/// Writes the two placeholder rows of an environment, once.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_placeholders(db: &mut Connection, environment: &str, now: DateTime<Utc>) -> StoreResult<()> {
    for (upn, name, mode) in [
        (SUPPORT_UPN, "Support User", access_mode::SUPPORT),
        (DELEGATED_ADMIN_UPN, "Delegated Admin", access_mode::DELEGATED_ADMIN),
    ] {
        sqlx::query!(
            "with placeholder as (
                 insert into system_user (
                     environment, systemuserid, domainname, upn_key, fullname, firstname, lastname, accessmode,
                     createdon, createdby, modifiedon, modifiedby)
                 values ($1, $2, $3::text, $3::text, $4::text, split_part($4, ' ', 1), split_part($4, ' ', 2), $5, $6, $7, $6, $7)
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

/// Writes rows by a statement that reads them as `v`: the columns, listed and bound once.
macro_rules! write_rows {
    ($environment:expr, $rows:expr, $before:literal, $after:literal) => {{
        let columns = Columns::of($rows);
        sqlx::query!(
            $before
                + "unnest(
             $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
             $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
             $18::smallint[], $19::text[], $20::boolean[], $21::text[], $22::text[], $23::boolean[], $24::boolean[],
             $25::boolean[], $26::smallint[], $27::timestamptz[], $28::smallint[], $29::boolean[], $30::text[],
             $31::boolean[], $32::text[], $33::text[], $34::timestamptz[], $35::timestamptz[], $36::text[],
             $37::text[], $38::text[]) as v (
             systemuserid, azureactivedirectoryobjectid, applicationid, domainname, fullname, firstname, lastname,
             jobtitle, internalemailaddress, address1_telephone1, mobilephone, address1_line1, address1_city,
             address1_stateorprovince, address1_postalcode, address1_country, accessmode, accessmode_origin,
             isdisabled, disabledreason, disabled_by, islicensed, issyncwithdirectory, setupuser, azurestate,
             azuredeletedon, deletedstate, isstub, company, onhold, holdreason, last_entitlement, due_at, modifiedon,
             modifiedby, upn_key, unheld_upn_key)"
                + $after,
            $environment,
            &columns.systemuserid,
            &columns.azureactivedirectoryobjectid as &[Option<Uuid>],
            &columns.applicationid as &[Option<Uuid>],
            &columns.domainname as &[Option<String>],
            &columns.fullname as &[Option<String>],
            &columns.firstname as &[Option<String>],
            &columns.lastname as &[Option<String>],
            &columns.jobtitle as &[Option<String>],
            &columns.internalemailaddress as &[Option<String>],
            &columns.address1_telephone1 as &[Option<String>],
            &columns.mobilephone as &[Option<String>],
            &columns.address1_line1 as &[Option<String>],
            &columns.address1_city as &[Option<String>],
            &columns.address1_stateorprovince as &[Option<String>],
            &columns.address1_postalcode as &[Option<String>],
            &columns.address1_country as &[Option<String>],
            &columns.accessmode,
            &columns.accessmode_origin,
            &columns.isdisabled,
            &columns.disabledreason as &[Option<String>],
            &columns.disabled_by as &[Option<String>],
            &columns.islicensed,
            &columns.issyncwithdirectory,
            &columns.setupuser,
            &columns.azurestate,
            &columns.azuredeletedon as &[Option<DateTime<Utc>>],
            &columns.deletedstate,
            &columns.isstub,
            &columns.company as &[Option<String>],
            &columns.onhold,
            &columns.holdreason as &[Option<String>],
            &columns.last_entitlement as &[Option<String>],
            &columns.due_at as &[Option<DateTime<Utc>>],
            &columns.modifiedon,
            &columns.modifiedby,
            &columns.upn_key as &[Option<String>],
            &columns.unheld_upn_key as &[Option<String>],
        )
    }};
}

/// Inserts new rows of one environment.
///
/// # Errors
/// [`StoreError::Refused`] when the database does not take one, also because somebody else has made it meanwhile.
pub async fn insert(db: &mut Connection, environment: &str, rows: &[&SystemUser]) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let insert = write_rows!(
        environment,
        rows,
        "insert into system_user (
             environment, createdon, createdby,
             systemuserid, azureactivedirectoryobjectid, applicationid, domainname, fullname, firstname, lastname,
             jobtitle, internalemailaddress, address1_telephone1, mobilephone, address1_line1, address1_city,
             address1_stateorprovince, address1_postalcode, address1_country, accessmode, accessmode_origin,
             isdisabled, disabledreason, disabled_by, islicensed, issyncwithdirectory, setupuser, azurestate,
             azuredeletedon, deletedstate, isstub, company, onhold, holdreason, last_entitlement, due_at, modifiedon,
             modifiedby, upn_key, unheld_upn_key)
         select $1::text, modifiedon, modifiedby, v.* from ",
        ""
    );
    let inserted = insert.execute(db).await.map_err(StoreError::of_rows)?;
    expect_rows(inserted.rows_affected(), rows.len())
}

/// Writes rows of one environment that exist and were locked. `customer_owned` is not written: the sync
/// never takes or gives ownership; nor is `applicationid`, which never changes.
///
/// # Errors
/// [`StoreError::Refused`] when the database does not take one, also because a user principal name is taken.
pub async fn update(db: &mut Connection, environment: &str, rows: &[&SystemUser]) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let update = write_rows!(
        environment,
        rows,
        "update system_user s set
             azureactivedirectoryobjectid = v.azureactivedirectoryobjectid, domainname = v.domainname,
             fullname = v.fullname, firstname = v.firstname, lastname = v.lastname, jobtitle = v.jobtitle,
             internalemailaddress = v.internalemailaddress, address1_telephone1 = v.address1_telephone1,
             mobilephone = v.mobilephone, address1_line1 = v.address1_line1, address1_city = v.address1_city,
             address1_stateorprovince = v.address1_stateorprovince, address1_postalcode = v.address1_postalcode,
             address1_country = v.address1_country, accessmode = v.accessmode,
             accessmode_origin = v.accessmode_origin, isdisabled = v.isdisabled, disabledreason = v.disabledreason,
             disabled_by = v.disabled_by, islicensed = v.islicensed, issyncwithdirectory = v.issyncwithdirectory,
             setupuser = v.setupuser, azurestate = v.azurestate, azuredeletedon = v.azuredeletedon,
             deletedstate = v.deletedstate, isstub = v.isstub, company = v.company, onhold = v.onhold,
             holdreason = v.holdreason, last_entitlement = v.last_entitlement, due_at = v.due_at,
             modifiedon = v.modifiedon, modifiedby = v.modifiedby, upn_key = v.upn_key,
             unheld_upn_key = v.unheld_upn_key
         from ",
        " where s.environment = $1 and s.systemuserid = v.systemuserid"
    );
    let updated = update.execute(db).await.map_err(StoreError::of_rows)?;
    expect_rows(updated.rows_affected(), rows.len())
}

/// Notes into which row a stub went.
///
/// # Errors
/// When the database does not answer.
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

/// Rows turned by columns, as `unnest` wants them.
macro_rules! columns {
    ($($column:ident: $type:ty,)*) => {
        #[derive(Default)]
        struct Columns {
            $($column: Vec<$type>,)*
            unheld_upn_key: Vec<Option<String>>,
        }

        impl Columns {
            fn of(rows: &[&SystemUser]) -> Self {
                let mut columns = Self::default();
                for row in rows {
                    $(columns.$column.push(row.$column.clone().into());)*
                    columns.unheld_upn_key.push(unheld_key(row));
                }
                columns
            }
        }
    };
}

columns! {
    systemuserid: Uuid,
    azureactivedirectoryobjectid: Option<Uuid>,
    applicationid: Option<Uuid>,
    domainname: Option<String>,
    fullname: Option<String>,
    firstname: Option<String>,
    lastname: Option<String>,
    jobtitle: Option<String>,
    internalemailaddress: Option<String>,
    address1_telephone1: Option<String>,
    mobilephone: Option<String>,
    address1_line1: Option<String>,
    address1_city: Option<String>,
    address1_stateorprovince: Option<String>,
    address1_postalcode: Option<String>,
    address1_country: Option<String>,
    accessmode: i16,
    accessmode_origin: String,
    isdisabled: bool,
    disabledreason: Option<String>,
    disabled_by: Option<String>,
    islicensed: bool,
    issyncwithdirectory: bool,
    setupuser: bool,
    azurestate: i16,
    azuredeletedon: Option<DateTime<Utc>>,
    deletedstate: i16,
    isstub: bool,
    company: Option<String>,
    onhold: bool,
    holdreason: Option<String>,
    last_entitlement: Option<String>,
    due_at: Option<DateTime<Utc>>,
    modifiedon: DateTime<Utc>,
    modifiedby: String,
    upn_key: Option<String>,
}
