//! Users whose row the database refuses, with the refused change, so that it is not retried every run.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::keys::by_environment;
use super::{ByEnvironment, Connection, Keys, StoreResult};

/// The placeholder rows belong to no directory user.
pub const PLACEHOLDERS: Uuid = Uuid::nil();

/// The stored refusal of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A hash of the refused change; none if the next run retries whatever the change is.
    pub plan: Option<String>,
    /// One sentence without personal data.
    pub detail: String,
}

/// Which of some users' rows were refused.
pub async fn among(db: &mut Connection, users: &Keys) -> StoreResult<ByEnvironment<HashMap<Uuid, Refused>>> {
    let found = sqlx::query!(
        "select r.environment, object_id, plan, detail
         from unnest($1::text[], $2::uuid[]) as wanted (environment, id)
         join refusal r on r.environment = wanted.environment and r.object_id = wanted.id",
        &users.environments,
        &users.keys
    )
    .fetch_all(db)
    .await?;
    Ok(by_environment(found.into_iter().map(|row| {
        let (plan, detail) = (row.plan, row.detail);
        (row.environment, (row.object_id, Refused { plan, detail }))
    })))
}

/// The refusals of the placeholder rows of some environments.
pub async fn of_placeholders(db: &mut Connection, environments: &[String]) -> StoreResult<ByEnvironment<Refused>> {
    let placeholders = environments.iter().map(|name| (name.as_str(), PLACEHOLDERS));
    let found = among(db, &placeholders.collect()).await?;
    let found = found
        .into_iter()
        .flat_map(|(name, refused)| refused.into_values().map(move |one| (name.clone(), one)));
    Ok(found.collect())
}

/// Stores refusals.
pub async fn note(db: &mut Connection, refused: &[(&str, Uuid, Refused)], now: DateTime<Utc>) -> StoreResult<()> {
    if !refused.is_empty() {
        sqlx::query!(
            "insert into refusal (environment, object_id, plan, detail, at)
             select *, $5::timestamptz from unnest($1::text[], $2::uuid[], $3::text[], $4::text[])
             on conflict (environment, object_id) do update set
                 plan = excluded.plan, detail = excluded.detail, at = excluded.at",
            &refused.iter().map(|(name, ..)| (*name).to_owned()).collect::<Vec<_>>(),
            &refused.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(),
            &refused
                .iter()
                .map(|(.., refused)| refused.plan.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &refused
                .iter()
                .map(|(.., refused)| refused.detail.clone())
                .collect::<Vec<_>>(),
            now
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Deletes the refusals of users whose row is written or no longer needed.
pub async fn settle(db: &mut Connection, users: &Keys) -> StoreResult<()> {
    if !users.is_empty() {
        sqlx::query!(
            "delete from refusal r using unnest($1::text[], $2::uuid[]) as v (environment, id)
             where r.environment = v.environment and r.object_id = v.id",
            &users.environments,
            &users.keys
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Everybody is about to be evaluated: retries every refused change.
pub async fn try_again(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!(
        "update refusal set plan = null where environment = $1 and plan is not null",
        environment
    )
    .execute(db)
    .await?;
    Ok(())
}
