//! Which environments the running processes serve. Each process announces them repeatedly; an announcement is valid for
//! a while by the database's clock, so a killed process is dropped when that time is over.

use std::time::Duration;

use super::lease::Server;
use super::{Connection, StoreResult};

/// How long an announcement is valid.
pub const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// Announces that a process serves exactly these environments.
pub async fn announce(db: &mut Connection, holder: &str, environments: &[String]) -> StoreResult<()> {
    let now = Server::ask(db).await?.now;
    sqlx::query!(
        "delete from serving where holder = $1 and environment <> all($2) or expires_at < $3",
        holder,
        environments,
        now
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into serving (environment, holder, expires_at)
         select environment, $1, $3 from unnest($2::text[]) as e (environment)
         on conflict (environment, holder) do update set expires_at = excluded.expires_at",
        holder,
        environments,
        now + BELIEVED_FOR
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The processes that serve an environment now.
pub async fn holders(db: &mut Connection, environment: &str) -> StoreResult<Vec<String>> {
    let now = Server::ask(db).await?.now;
    Ok(sqlx::query_scalar!(
        "select holder from serving where environment = $1 and expires_at >= $2 order by holder",
        environment,
        now
    )
    .fetch_all(db)
    .await?)
}
