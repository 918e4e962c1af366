//! The change log, and the running count of enabled rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{ByEnvironment, Connection, StoreError, StoreResult};
use crate::domain::run::{ChangeLine, RunLine};
use crate::plan::Change;

/// Who writes, and in which run.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The actor; changes of rows carry their own.
    pub actor: &'a str,
    /// The run, if there is one.
    pub run_id: Option<i64>,
    /// Whether a rule causes the disables, so that the guard counts them.
    pub by_rule: bool,
    /// The time, taken once the rows are locked, so that it is later than every earlier write to them.
    pub at: DateTime<Utc>,
}

/// Appends a line for every change, with the row's new `modified by` and `modified at`.
pub async fn record(db: &mut Connection, changes: &[&Change], author: Author<'_>) -> StoreResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let fields: Vec<Value> = changes.iter().map(|change| fields_json(change)).collect();
    sqlx::query!(
        "insert into system_user_change (
             environment, at, run_id, actor, systemuserid, operation, reason, by_rule, fields)
         select environment, at, $2, actor, id, operation, reason, $3 and operation = 'disable', fields
         from unnest($1::text[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::jsonb[])
             as c (environment, id, at, actor, operation, reason, fields)",
        &changes
            .iter()
            .map(|change| change.after.environment.clone())
            .collect::<Vec<_>>(),
        author.run_id,
        author.by_rule,
        &changes
            .iter()
            .map(|change| change.after.systemuserid)
            .collect::<Vec<Uuid>>(),
        &changes.iter().map(|change| change.after.modifiedon).collect::<Vec<_>>(),
        &changes
            .iter()
            .map(|change| change.after.modifiedby.clone())
            .collect::<Vec<_>>(),
        &changes
            .iter()
            .map(|change| change.operation.as_str().to_owned())
            .collect::<Vec<_>>(),
        &changes
            .iter()
            .map(|change| change.reason.map(|code| code.as_str().to_owned()))
            .collect::<Vec<_>>() as &[Option<String>],
        &fields
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}

/// Appends the line of an edit of customer-added columns: column → [old, new].
pub async fn record_edit(
    db: &mut Connection,
    environment: &str,
    row: Uuid,
    fields: Map<String, Value>,
    author: Author<'_>,
) -> StoreResult<()> {
    sqlx::query!(
        "insert into system_user_change (environment, at, run_id, actor, systemuserid, operation, fields)
         values ($1, $2, $3, $4, $5, 'edit', $6)",
        environment,
        author.at,
        author.run_id,
        author.actor,
        row,
        Value::Object(fields)
    )
    .execute(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(())
}

/// The columns of a change, as in the log and the reports: column → [old, new].
#[must_use]
pub fn fields_json(change: &Change) -> Value {
    let fields = change.fields.iter().map(|field| {
        (
            field.column.to_string(),
            Value::Array(vec![field.old.clone(), field.new.clone()]),
        )
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Records the changes of the counts of enabled and of all rows with an object id.
pub async fn note_enabled<'a>(
    db: &mut Connection,
    changes: impl Iterator<Item = &'a Change> + Send,
) -> StoreResult<()> {
    let mut deltas: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for change in changes.filter(|change| !change.fields.is_empty()) {
        let (enabled, bound) = deltas.entry(&change.after.environment).or_default();
        *enabled += change.enabled_delta;
        *bound += change.bound_delta;
    }
    deltas.retain(|_, deltas| *deltas != (0, 0));
    if deltas.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = deltas.keys().map(|name| (*name).to_owned()).collect();
    let (enabled, bound): (Vec<i64>, Vec<i64>) = deltas.into_values().unzip();
    sqlx::query!(
        "insert into enabled_delta (environment, delta, bound)
         select * from unnest($1::text[], $2::bigint[], $3::bigint[])",
        &names,
        &enabled,
        &bound
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The number of rows of some environments disabled by a rule since a time.
pub async fn disables_since(
    db: &mut Connection,
    environments: &[String],
    since: DateTime<Utc>,
) -> StoreResult<ByEnvironment<i64>> {
    let counts = sqlx::query!(
        r#"select environment, count(*) as "count!" from system_user_change
           where environment = any($1) and by_rule and operation = 'disable' and at > $2 group by environment"#,
        environments,
        since
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.environment, row.count)).collect())
}

/// The latest lines of a row's history before a line, newest first.
pub async fn history(
    db: &mut Connection,
    environment: &str,
    row: Uuid,
    before: Option<i64>,
    limit: i64,
) -> StoreResult<Vec<ChangeLine>> {
    Ok(sqlx::query_as!(
        ChangeLine,
        "select id, at, run_id, actor, operation, reason, fields from system_user_change
         where environment = $1 and systemuserid = $2 and id < $3 order by id desc limit $4",
        environment,
        row,
        before.unwrap_or(i64::MAX),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The changes of a run after a line, in order.
pub async fn of_run(db: &mut Connection, run: i64, after: Option<i64>, limit: i64) -> StoreResult<Vec<RunLine>> {
    Ok(sqlx::query_as!(
        RunLine,
        r#"select c.id as "id!", c.at as "at!", c.environment as "environment!", c.systemuserid as "systemuserid!",
                  s.azureactivedirectoryobjectid as "azureactivedirectoryobjectid?", s.domainname as "domainname?",
                  c.operation as "operation!", c.reason, false as "held!", c.fields as "fields!"
           from system_user_change c
           left join system_user s on s.environment = c.environment and s.systemuserid = c.systemuserid
           where c.run_id = $1 and c.id > $2 order by c.id limit $3"#,
        run,
        after.unwrap_or(0),
        limit
    )
    .fetch_all(db)
    .await?)
}
