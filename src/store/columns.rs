//! Columns of `rollcall.system_user` one by one: who owns them, and those that customers have added.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreError, StoreResult};

/// The program's own columns. Everything else in the table is a customer's.
pub const OWN: [&str; 41] = [
    "environment",
    "systemuserid",
    "azureactivedirectoryobjectid",
    "applicationid",
    "domainname",
    "fullname",
    "firstname",
    "lastname",
    "jobtitle",
    "internalemailaddress",
    "address1_telephone1",
    "mobilephone",
    "address1_line1",
    "address1_city",
    "address1_stateorprovince",
    "address1_postalcode",
    "address1_country",
    "accessmode",
    "accessmode_origin",
    "isdisabled",
    "disabledreason",
    "disabled_by",
    "islicensed",
    "issyncwithdirectory",
    "setupuser",
    "azurestate",
    "azuredeletedon",
    "deletedstate",
    "isstub",
    "company",
    "onhold",
    "holdreason",
    "createdon",
    "createdby",
    "modifiedon",
    "modifiedby",
    "customer_owned",
    "last_entitlement",
    "due_at",
    "upn_key",
    "unheld_upn_key",
];

/// The columns that customers have added.
///
/// # Errors
/// When the database does not answer.
pub async fn custom(db: &mut Connection) -> StoreResult<Vec<String>> {
    let own: Vec<String> = OWN.map(str::to_owned).to_vec();
    Ok(sqlx::query_scalar!(
        r#"select attname::text as "name!" from pg_attribute
           where attrelid = 'rollcall.system_user'::regclass and attnum > 0 and not attisdropped
             and attname::text <> all($1) order by attnum"#,
        &own
    )
    .fetch_all(db)
    .await?)
}

/// The columns of a row that customers have added.
///
/// # Errors
/// When the database does not answer.
pub async fn read_custom(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<Map<String, Value>> {
    let own: Vec<String> = OWN.map(str::to_owned).to_vec();
    let custom = sqlx::query_scalar!(
        r#"select to_jsonb(s) - $3::text[] as "custom!" from rollcall.system_user s
           where environment = $1 and systemuserid = $2"#,
        environment,
        row,
        &own
    )
    .fetch_optional(db)
    .await?;
    Ok(match custom {
        Some(Value::Object(custom)) => custom,
        _ => Map::new(),
    })
}

/// The value of a column that a customer has added.
///
/// # Errors
/// When the database does not answer.
pub async fn read(db: &mut Connection, environment: &str, row: Uuid, column: &str) -> StoreResult<Value> {
    let value = sqlx::query_scalar!(
        "select to_jsonb(s) -> $3 from rollcall.system_user s where environment = $1 and systemuserid = $2",
        environment,
        row,
        column
    )
    .fetch_optional(db)
    .await?;
    Ok(value.flatten().unwrap_or(Value::Null))
}

/// Writes a column that a customer has added. The inner error says why the database does not take the value.
///
/// # Errors
/// When the database does not answer.
pub async fn write(
    db: &mut Connection,
    environment: &str,
    row: Uuid,
    column: &str,
    value: &Value,
) -> StoreResult<Result<(), String>> {
    let written = sqlx::query!(
        "select rollcall.set_custom_column($1, $2, $3, $4)",
        environment,
        row,
        column,
        value
    )
    .execute(db)
    .await;
    match written {
        Ok(_) => Ok(Ok(())),
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| is_about_the_value(&code)) => {
            Ok(Err(error.message().to_owned()))
        }
        Err(error) => Err(StoreError::from(error)),
    }
}

/// Whether the database refuses the value rather than the request: class 22, a value of another type; class 23, a
/// constraint of the customer's; P0001, a trigger of the customer's; 428C9, a column that the database computes.
fn is_about_the_value(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23") || code == "P0001" || code == "428C9"
}

/// Notes who changed a row last.
///
/// # Errors
/// When the database does not answer.
pub async fn touch(db: &mut Connection, environment: &str, row: Uuid, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "update rollcall.system_user set modifiedon = greatest($3, modifiedon), modifiedby = $4 where environment = $1 and systemuserid = $2",
        environment,
        row,
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes which columns of a row are the customer's.
///
/// # Errors
/// When the database does not answer.
pub async fn set_customer_owned(
    db: &mut Connection,
    environment: &str,
    row: Uuid,
    owned: &[String],
) -> StoreResult<()> {
    sqlx::query!(
        "update rollcall.system_user set customer_owned = $3 where environment = $1 and systemuserid = $2",
        environment,
        row,
        owned
    )
    .execute(db)
    .await?;
    Ok(())
}
