//! The subscription to change notifications, and the hint that a notification leaves for the leader.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::notifications::Subscription;

/// What is known of the subscription to a resource.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id; none while it is created, and when the directory has lost it.
    pub id: Option<Uuid>,
    /// Where it sends to.
    pub url: String,
    /// When it is to be renewed.
    pub renew_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Reads what is known of the subscription to a resource.
pub async fn find(db: &mut Connection, resource: &str) -> StoreResult<Option<Known>> {
    Ok(sqlx::query_as!(
        Known,
        "select id, url, renew_at, expires_at from subscription where resource = $1",
        resource
    )
    .fetch_optional(db)
    .await?)
}

/// Records that a subscription is about to be created: until a time, any process answers the handshake.
pub async fn begin(
    db: &mut Connection,
    resource: &str,
    url: &str,
    secret_hash: &[u8],
    pending_until: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "insert into subscription (resource, url, secret_hash, pending_until) values ($1, $2, $3, $4)
         on conflict (resource) do update set id = null, url = excluded.url, secret_hash = excluded.secret_hash,
             pending_until = excluded.pending_until, renew_at = null, expires_at = null",
        resource,
        url,
        secret_hash,
        pending_until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a created or renewed subscription, and when it is to be renewed next.
pub async fn settle(
    db: &mut Connection,
    resource: &str,
    made: &Subscription,
    renew_at: DateTime<Utc>,
) -> StoreResult<()> {
    sqlx::query!(
        "update subscription set id = $2, expires_at = $3, renew_at = $4, pending_until = null where resource = $1",
        resource,
        made.id,
        made.expires_at,
        renew_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a subscription, whose notifications count no more.
pub async fn remove(db: &mut Connection, resource: &str) -> StoreResult<()> {
    sqlx::query!("delete from subscription where resource = $1", resource)
        .execute(db)
        .await?;
    Ok(())
}

/// Makes renewals due: the directory asks for one.
pub async fn renew_soon(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!("update subscription set renew_at = $1 where renew_at > $1", now)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether a subscription is being created.
pub async fn is_pending(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from subscription where pending_until > $1) as "is_pending!""#,
        now
    )
    .fetch_one(db)
    .await?)
}

/// The hashes of the subscriptions' secrets.
pub async fn secret_hashes(db: &mut Connection) -> StoreResult<Vec<Vec<u8>>> {
    Ok(sqlx::query_scalar!("select secret_hash from subscription")
        .fetch_all(db)
        .await?)
}

/// Leaves a hint, unless there is one.
pub async fn leave_hint(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "insert into notification_hint (at) values ($1) on conflict do nothing",
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether there is a hint.
pub async fn has_hint(db: &mut Connection) -> StoreResult<bool> {
    Ok(
        sqlx::query_scalar!(r#"select exists (select from notification_hint) as "has_hint!""#)
            .fetch_one(db)
            .await?,
    )
}

/// Takes the hint away: the run that begins next follows it.
pub async fn take_hint(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!("delete from notification_hint").execute(db).await?;
    Ok(())
}
