//! Users whose row the database does not take: what was tried, so that it is not tried again and again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};

/// The placeholder rows belong to no directory user.
pub const PLACEHOLDERS: Uuid = Uuid::nil();

/// What is remembered of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What would have been written, as a hash; none where it is to be tried again whatever it is.
    pub plan: Option<String>,
    /// One sentence without personal data.
    pub detail: String,
}

/// Those of some users whose row was refused.
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

/// Remembers refusals.
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

/// Forgets users whose row is written, or who need none.
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

/// Everybody is about to be judged: what was refused is tried again.
pub async fn try_again(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!(
        "update refusal set plan = null where environment = $1 and plan is not null",
        environment
    )
    .execute(db)
    .await?;
    Ok(())
}
