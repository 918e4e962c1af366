//! Single columns of `rollcall.system_user`: who owns them, and those that customers have added.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreError, StoreResult};
use crate::domain::system_user::SystemUser;

/// The customer-added columns.
pub async fn custom(db: &mut Connection) -> StoreResult<Vec<String>> {
    Ok(sqlx::query_scalar!(
        r#"select attname::text as "name!" from pg_attribute
           where attrelid = 'system_user'::regclass and attnum > 0 and not attisdropped
             and attname::text <> all($1) order by attnum"#,
        SystemUser::COLUMNS as &[&str]
    )
    .fetch_all(db)
    .await?)
}

/// The type of a column.
#[derive(Clone, Debug)]
pub struct ColumnType {
    /// The name in the catalogue, of the base type where it is a domain.
    pub name: String,
    /// The name for people.
    pub shown: String,
    /// The database computes it.
    pub is_computed: bool,
}

/// The types of some columns, as far as they exist.
pub async fn types(db: &mut Connection, columns: &[String]) -> StoreResult<HashMap<String, ColumnType>> {
    let found = sqlx::query!(
        r#"select a.attname::text as "column!", b.typname::text as "name!",
                  format_type(a.atttypid, a.atttypmod) as "shown!",
                  a.attgenerated <> '' or a.attidentity = 'a' as "is_computed!"
           from pg_attribute a join pg_type t on t.oid = a.atttypid
           join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
           where a.attrelid = 'system_user'::regclass and a.attnum > 0 and not a.attisdropped
             and a.attname::text = any($1)"#,
        columns
    )
    .fetch_all(db)
    .await?;
    let found = found.into_iter().map(|row| {
        let found = ColumnType {
            name: row.name,
            shown: row.shown,
            is_computed: row.is_computed,
        };
        (row.column, found)
    });
    Ok(found.collect())
}

/// The customer-added columns of a row.
pub async fn read_custom(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<Map<String, Value>> {
    let custom = sqlx::query_scalar!(
        r#"select to_jsonb(s) - $3::text[] as "custom!" from system_user s
           where environment = $1 and systemuserid = $2"#,
        environment,
        row,
        SystemUser::COLUMNS as &[&str]
    )
    .fetch_optional(db)
    .await?;
    Ok(match custom {
        Some(Value::Object(custom)) => custom,
        _ => Map::new(),
    })
}

/// The value of a customer-added column.
pub async fn read(db: &mut Connection, environment: &str, row: Uuid, column: &str) -> StoreResult<Value> {
    let value = sqlx::query_scalar!(
        "select to_jsonb(s) -> $3 from system_user s where environment = $1 and systemuserid = $2",
        environment,
        row,
        column
    )
    .fetch_optional(db)
    .await?;
    Ok(value.flatten().unwrap_or(Value::Null))
}

/// Writes a customer-added column.
pub async fn write(db: &mut Connection, environment: &str, row: Uuid, column: &str, value: &Value) -> StoreResult<()> {
    let written = sqlx::query!(
        "select set_custom_column($1, $2, $3, $4)",
        environment,
        row,
        column,
        value
    )
    .execute(db)
    .await;
    written.map(drop).map_err(refused)
}

/// Checks the customer's deferred constraints now instead of at commit.
pub async fn check_deferred(db: &mut Connection) -> StoreResult<()> {
    let checked = sqlx::query!("set constraints all immediate").execute(db).await;
    checked.map(drop).map_err(refused)
}

/// Why the database refuses a value. The statement is always the same, so a refusal is about the column and its value:
/// its type, a constraint, a right. Errors raised by a function, and errors that affect everybody, are not.
fn refused(error: sqlx::Error) -> StoreError {
    // Elsewhere this code means an outdated plan. These statements have none: here the column's type takes no values.
    if let sqlx::Error::Database(said) = &error
        && said.code().as_deref() == Some("0A000")
    {
        return StoreError::Value("the database takes no value for a column of this type".to_owned());
    }
    StoreError::Value(match StoreError::of_rows(error) {
        StoreError::Refused(fault) if fault.is_about_value() => format!("the database refuses it: {fault}"),
        StoreError::Database(said) if said.is_code("428C9") => "the database computes this column".to_owned(),
        StoreError::Database(_) => "the database refuses a value of this type".to_owned(),
        error => return error,
    })
}

/// Records who changed a row last.
pub async fn touch(db: &mut Connection, environment: &str, row: Uuid, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "update system_user set modifiedon = greatest($3, modifiedon), modifiedby = $4 where environment = $1 and systemuserid = $2",
        environment,
        row,
        author.at,
        author.actor
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}

/// Writes which columns of a row the customer owns.
pub async fn set_customer_owned(
    db: &mut Connection,
    environment: &str,
    row: Uuid,
    owned: &[String],
) -> StoreResult<()> {
    sqlx::query!(
        "update system_user set customer_owned = $3 where environment = $1 and systemuserid = $2",
        environment,
        row,
        owned
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}
