//! Who is signed in to the console. A session is found by the hash of its secret.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreResult};
use crate::domain::api_role::ApiRole;
use crate::domain::session::{KeptForm, Session};

/// The period after which the use of a session is recorded again.
const SEEN_EVERY: chrono::Duration = chrono::Duration::minutes(1);

/// The number of ended sessions that one statement deletes.
const PURGED_AT_ONCE: i64 = 1_000;

/// Stores a session, or an invitation to begin one.
pub async fn insert(
    db: &mut Connection,
    secret_hash: &[u8],
    is_invitation: bool,
    session: &Session,
) -> StoreResult<()> {
    let roles: Vec<String> = session.roles.iter().map(|role| role.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into console_session (
             secret_hash, is_invitation, actor, display_name, object_id, roles, signed_in_at, seen_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)",
        secret_hash,
        is_invitation,
        session.actor,
        session.display_name,
        session.object_id,
        &roles,
        session.signed_in_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finds a session that began and was used after the given times, unless the directory has blocked or deleted its
/// person. Records that it is used.
pub async fn find(
    db: &mut Connection,
    secret_hash: &[u8],
    began_after: DateTime<Utc>,
    used_after: DateTime<Utc>,
    now: DateTime<Utc>,
) -> StoreResult<Option<Session>> {
    let found = sqlx::query!(
        "select actor, display_name, object_id, roles, signed_in_at, seen_at from console_session s
         where secret_hash = $1 and not is_invitation and signed_in_at > $2 and seen_at > $3
           and not exists (
               select from directory_user u
               where u.id = s.object_id and (u.state <> 0 or u.account_enabled is false))",
        secret_hash,
        began_after,
        used_after
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if now - found.seen_at > SEEN_EVERY {
        sqlx::query!(
            "update console_session set seen_at = $2 where secret_hash = $1",
            secret_hash,
            now
        )
        .execute(db)
        .await?;
    }
    Ok(Some(session(
        found.actor,
        found.display_name,
        found.object_id,
        &found.roles,
        found.signed_in_at,
    )))
}

/// Takes an invitation that was made after a time: it works once.
pub async fn accept(
    db: &mut Connection,
    secret_hash: &[u8],
    made_after: DateTime<Utc>,
) -> StoreResult<Option<Session>> {
    let found = sqlx::query!(
        "delete from console_session where secret_hash = $1 and is_invitation and signed_in_at > $2
         returning actor, display_name, object_id, roles, signed_in_at",
        secret_hash,
        made_after
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|it| session(it.actor, it.display_name, it.object_id, &it.roles, it.signed_in_at)))
}

/// Keeps a form of a session, in place of another.
pub async fn keep_form(db: &mut Connection, secret_hash: &[u8], form: &KeptForm) -> StoreResult<()> {
    sqlx::query!(
        "update console_session set form_path = $2, form_fields = $3 where secret_hash = $1",
        secret_hash,
        form.path,
        form.fields
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops every form that waits for a sign-in: any may name a person who is forgotten.
pub async fn drop_forms(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!("update console_session set form_path = null, form_fields = null where form_fields is not null")
        .execute(db)
        .await?;
    Ok(())
}

/// The form that a session keeps; of a certain actor, if one is given.
pub async fn form(db: &mut Connection, secret_hash: &[u8], actor: Option<&str>) -> StoreResult<Option<KeptForm>> {
    let found = sqlx::query!(
        "select form_path, form_fields from console_session
         where secret_hash = $1 and not is_invitation and ($2::text is null or actor = $2)",
        secret_hash,
        actor
    )
    .fetch_optional(db)
    .await?;
    Ok(found.and_then(|found| {
        Some(KeptForm {
            path: found.form_path?,
            fields: found.form_fields?,
        })
    }))
}

/// Ends a session.
pub async fn delete(db: &mut Connection, secret_hash: &[u8]) -> StoreResult<()> {
    sqlx::query!("delete from console_session where secret_hash = $1", secret_hash)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes sessions that began before a time.
pub async fn purge(db: &mut Connection, began_before: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!(
        "delete from console_session where secret_hash in (
             select secret_hash from console_session where signed_in_at <= $1 limit $2)",
        began_before,
        PURGED_AT_ONCE
    )
    .execute(db)
    .await?;
    Ok(())
}

fn session(
    actor: String,
    display_name: String,
    object_id: Option<Uuid>,
    roles: &[String],
    signed_in_at: DateTime<Utc>,
) -> Session {
    Session {
        actor,
        display_name,
        object_id,
        roles: roles.iter().filter_map(|role| ApiRole::parse(role)).collect(),
        signed_in_at,
    }
}
