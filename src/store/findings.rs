//! Findings: what an operator should look at. One open line per cause, closed when the cause is gone.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::keys::by_environment;
use super::{ByEnvironment, Connection, Keys, StoreResult};
use crate::domain::run::{LeftOver, OpenFinding};

/// The code of a finding about a set of removals that the guard holds.
pub const REMOVALS_HELD: &str = "removals_held";

/// The code of a finding about an environment whose rows the database refuses.
pub const ENVIRONMENT_REFUSED: &str = "environment_refused";

/// The code of a finding about a role that is assigned to a user who does not exist.
pub const ORPHANED_ROLE_ASSIGNMENT: &str = "orphaned_role_assignment";

/// The code of a finding about a property whose value in the directory cannot be decoded.
pub const VALUE_UNDECODABLE: &str = "value_undecodable";

/// The code of a finding about an environment that the configuration lacks.
pub const ENVIRONMENT_LEFT_OVER: &str = "environment_left_over";

/// The code of a finding about a user whose last security role ended with a group team.
pub const NO_SECURITY_ROLE: &str = "no_security_role";

/// The code of a finding about changes that a webhook could not be told of.
pub const WEBHOOK_UNDELIVERED: &str = "webhook_undelivered";

/// The code of a finding about differences that a verification has found.
pub const DRIFT: &str = "drift";

/// The codes of findings that are not reason codes.
pub const OTHER_CODES: [&str; 8] = [
    REMOVALS_HELD,
    ENVIRONMENT_REFUSED,
    ORPHANED_ROLE_ASSIGNMENT,
    VALUE_UNDECODABLE,
    ENVIRONMENT_LEFT_OVER,
    NO_SECURITY_ROLE,
    WEBHOOK_UNDELIVERED,
    DRIFT,
];

/// A cause as observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedFinding {
    /// The directory user, if it concerns one.
    pub object_id: Option<Uuid>,
    /// The code.
    pub code: String,
    /// What it concerns beside the user.
    pub subject: String,
    /// One sentence without personal data.
    pub detail: String,
}

/// After an evaluation of some users: opens new findings about them, closes those that no longer apply.
pub async fn reconcile_users(
    db: &mut Connection,
    judged: &Keys,
    seen: &[(&str, ObservedFinding)],
    run_id: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update finding f set closed_at = $3
         from unnest($1::text[], $2::uuid[]) as j (environment, id)
         where f.environment = j.environment and f.azureactivedirectoryobjectid = j.id and f.closed_at is null
           and not exists (
               select from unnest($4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[])
                   as s (environment, id, code, subject, detail)
               where s.environment = f.environment and s.id = f.azureactivedirectoryobjectid and s.code = f.code
                 and s.subject = f.subject and s.detail = f.detail)",
        &judged.environments,
        &judged.keys,
        now,
        &seen.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
        &seen
            .iter()
            .map(|(_, seen)| seen.object_id.unwrap_or_default())
            .collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.code.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.subject.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.detail.clone()).collect::<Vec<_>>()
    )
    .execute(&mut *db)
    .await?;
    let seen: Vec<_> = seen.iter().map(|(name, seen)| (Some(*name), seen)).collect();
    open(db, &seen, run_id, now).await
}

/// After a run checked the sources of some environments: opens new findings, closes those that no longer apply. Without
/// environments, they concern the tenant.
pub async fn reconcile_sources(
    db: &mut Connection,
    environments: Option<&[String]>,
    seen: &[(Option<&str>, ObservedFinding)],
    run_id: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update finding f set closed_at = $2
         where (environment = any($1) or $1 is null and environment is null)
           and azureactivedirectoryobjectid is null and closed_at is null and code <> all($7)
           and not exists (
               select from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as s (environment, code, subject, detail)
               where s.environment is not distinct from f.environment and s.code = f.code and s.subject = f.subject
                 and s.detail = f.detail)",
        environments,
        now,
        &seen.iter().map(|(name, _)| name.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
        &seen.iter().map(|(_, seen)| seen.code.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.subject.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.detail.clone()).collect::<Vec<_>>(),
        // These are no sources.
        &[WEBHOOK_UNDELIVERED.to_owned(), DRIFT.to_owned()]
    )
    .execute(&mut *db)
    .await?;
    let seen: Vec<_> = seen.iter().map(|(name, seen)| (*name, seen)).collect();
    open(db, &seen, run_id, now).await
}

/// After a verification: replaces the finding about what the one before found; without a detail there is nothing.
pub async fn reconcile_drift(
    db: &mut Connection,
    detail: Option<String>,
    run_id: i64,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update finding set closed_at = $1 where code = $2 and closed_at is null",
        now,
        DRIFT
    )
    .execute(&mut *db)
    .await?;
    let finding = detail.map(|detail| ObservedFinding {
        object_id: None,
        code: DRIFT.to_owned(),
        subject: "mirror".to_owned(),
        detail,
    });
    let seen: Vec<_> = finding.iter().map(|finding| (None, finding)).collect();
    open(db, &seen, Some(run_id), now).await
}

/// Reconciles the findings about left-over environments. A change of their row count does not make a new finding.
pub async fn reconcile_left_over(
    db: &mut Connection,
    left_over: &[LeftOver],
    run_id: i64,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    let names: Vec<String> = left_over.iter().map(|left| left.environment.clone()).collect();
    let details: Vec<String> = left_over.iter().map(LeftOver::sentence).collect();
    sqlx::query!(
        "update finding set closed_at = $2 where code = $3 and closed_at is null and environment <> all($1)",
        &names,
        now,
        ENVIRONMENT_LEFT_OVER
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update finding f set detail = s.detail
         from unnest($1::text[], $2::text[]) as s (environment, detail)
         where f.code = $3 and f.closed_at is null and f.environment = s.environment and f.detail <> s.detail",
        &names,
        &details,
        ENVIRONMENT_LEFT_OVER
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into finding (code, environment, detail, run_id, opened_at)
         select $3, environment, detail, $4, $5 from unnest($1::text[], $2::text[]) as s (environment, detail)
         on conflict do nothing",
        &names,
        &details,
        ENVIRONMENT_LEFT_OVER,
        run_id,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reconciles the findings about webhooks that have given up some changes.
pub async fn reconcile_webhooks(db: &mut Connection, dead: &[(String, i64)], now: DateTime<Utc>) -> StoreResult<()> {
    let names: Vec<String> = dead.iter().map(|(name, _)| name.clone()).collect();
    let detail = |(name, count): &(String, i64)| {
        let changes = if *count == 1 {
            "1 change".to_owned()
        } else {
            format!("{count} changes")
        };
        format!(
            "{changes} could not be delivered to {name} within a day. Look at `rollcall webhook list`, then try again \
             with `rollcall webhook replay`."
        )
    };
    let details: Vec<String> = dead.iter().map(detail).collect();
    sqlx::query!(
        "update finding set closed_at = $2 where code = $3 and closed_at is null and subject <> all($1)",
        &names,
        now,
        WEBHOOK_UNDELIVERED
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update finding f set detail = s.detail from unnest($1::text[], $2::text[]) as s (subject, detail)
         where f.code = $3 and f.closed_at is null and f.subject = s.subject and f.detail <> s.detail",
        &names,
        &details,
        WEBHOOK_UNDELIVERED
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into finding (code, subject, detail, opened_at)
         select $3, subject, detail, $4 from unnest($1::text[], $2::text[]) as s (subject, detail)
         on conflict do nothing",
        &names,
        &details,
        WEBHOOK_UNDELIVERED,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Closes the open findings about one subject.
pub async fn close_subject(
    db: &mut Connection,
    environment: &str,
    code: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update finding set closed_at = $4
         where environment = $1 and code = $2 and subject = $3 and closed_at is null",
        environment,
        code,
        subject,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// After a person granted roles: closes the findings about users who have one again.
pub async fn close_regained(db: &mut Connection, environment: &str, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "update finding f set closed_at = $2
         from system_user s
         where f.environment = $1 and f.code = $3 and f.closed_at is null and s.environment = f.environment
           and s.azureactivedirectoryobjectid = f.azureactivedirectoryobjectid and exists (
               select from effective_role e
               where e.environment = s.environment and e.systemuserid = s.systemuserid)",
        environment,
        now,
        NO_SECURITY_ROLE
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn open(
    db: &mut Connection,
    seen: &[(Option<&str>, &ObservedFinding)],
    run_id: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    if seen.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into finding (
             code, environment, azureactivedirectoryobjectid, subject, detail, run_id, opened_at)
         select distinct code, name, id, subject, detail, $2::bigint, $3::timestamptz
         from unnest($1::text[], $4::uuid[], $5::text[], $6::text[], $7::text[]) as s (name, id, code, subject, detail)
         on conflict do nothing",
        &seen.iter().map(|(name, _)| name.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
        run_id,
        now,
        &seen.iter().map(|(_, seen)| seen.object_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &seen.iter().map(|(_, seen)| seen.code.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.subject.clone()).collect::<Vec<_>>(),
        &seen.iter().map(|(_, seen)| seen.detail.clone()).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks the users who wait for one of some user principal names, now that it may be free. Returns them.
pub async fn wake_waiting(db: &mut Connection, freed: &Keys<String>) -> StoreResult<ByEnvironment<Vec<Uuid>>> {
    if freed.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let woken = sqlx::query!(
        "insert into pending (environment, object_id)
         select distinct f.environment, azureactivedirectoryobjectid
         from unnest($1::text[], $2::text[]) as freed (environment, name)
         join finding f on f.environment = freed.environment and f.subject = freed.name
         where code = 'upn_conflict' and closed_at is null and azureactivedirectoryobjectid is not null
         on conflict (environment, object_id) do update set version = excluded.version
         returning environment, object_id",
        &freed.environments,
        &freed.keys
    )
    .fetch_all(db)
    .await?;
    Ok(by_environment(
        woken.into_iter().map(|row| (row.environment, row.object_id)),
    ))
}

/// Lists open findings after a number, oldest first.
pub async fn list_open(
    db: &mut Connection,
    environment: Option<&str>,
    after: Option<i64>,
    limit: i64,
) -> StoreResult<Vec<OpenFinding>> {
    Ok(sqlx::query_as!(
        OpenFinding,
        r#"select id, code,
                  case code when 'last_system_administrator' then 'critical' else 'warning' end as "severity!",
                  environment, azureactivedirectoryobjectid, detail, opened_at
         from finding where closed_at is null and ($1::text is null or environment = $1) and id > $2 order by id limit $3"#,
        environment,
        after.unwrap_or(0),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Counts open findings by environment and code.
pub async fn count_open(db: &mut Connection) -> StoreResult<Vec<(Option<String>, String, i64)>> {
    Ok(sqlx::query!(
        r#"select environment, code, count(*) as "count!" from finding
           where closed_at is null group by environment, code"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.environment, row.code, row.count))
    .collect())
}

/// The subject of the finding about a held set.
#[must_use]
pub fn held_subject(run_id: i64) -> String {
    format!("run:{run_id}")
}
