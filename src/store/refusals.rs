//! Users whose row the database refuses, with the refused change, so that it is not retried every run.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};

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

/// The users among `ids` whose row was refused.
pub async fn among(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Refused>> {
    Ok(sqlx::query!(
        "select object_id, plan, detail from refusal where environment = $1 and object_id = any($2)",
        environment,
        ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let (plan, detail) = (row.plan, row.detail);
        (row.object_id, Refused { plan, detail })
    })
    .collect())
}

/// Stores refusals.
pub async fn note(
    db: &mut Connection,
    environment: &str,
    refused: &[(Uuid, Refused)],
    now: DateTime<Utc>,
) -> StoreResult<()> {
    if !refused.is_empty() {
        sqlx::query!(
            "insert into refusal (environment, object_id, plan, detail, at)
             select $1::text, *, $5::timestamptz from unnest($2::uuid[], $3::text[], $4::text[])
             on conflict (environment, object_id) do update set
                 plan = excluded.plan, detail = excluded.detail, at = excluded.at",
            environment,
            &refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            &refused
                .iter()
                .map(|(_, refused)| refused.plan.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &refused
                .iter()
                .map(|(_, refused)| refused.detail.clone())
                .collect::<Vec<_>>(),
            now
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Deletes the refusals of users whose row is written or no longer needed.
pub async fn settle(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<()> {
    if !ids.is_empty() {
        sqlx::query!(
            "delete from refusal where environment = $1 and object_id = any($2)",
            environment,
            ids
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
