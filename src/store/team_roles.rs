//! `rollcall.team_role`: the security roles of teams.

use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreResult};
use crate::domain::team::{Team, TeamRole};

/// The roles of a team, in alphabetical order.
pub async fn list(db: &mut Connection, environment: &str, team: Uuid) -> StoreResult<Vec<TeamRole>> {
    Ok(sqlx::query_as!(
        TeamRole,
        "select role, granted_at, granted_by from team_role where environment = $1 and teamid = $2 order by role",
        environment,
        team
    )
    .fetch_all(db)
    .await?)
}

/// Grants a role to a team, unless it has it.
pub async fn grant(db: &mut Connection, team: &Team, role: &str, author: Author<'_>) -> StoreResult<()> {
    let granted = sqlx::query!(
        "insert into team_role (environment, teamid, role, granted_at, granted_by) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        team.environment,
        team.teamid,
        role,
        author.at,
        author.actor
    )
    .execute(&mut *db)
    .await?;
    if granted.rows_affected() > 0 {
        note(db, team, author).await?;
    }
    Ok(())
}

/// Revokes a role of a team. Returns false if it did not have it.
pub async fn revoke(db: &mut Connection, team: &Team, role: &str, author: Author<'_>) -> StoreResult<bool> {
    let revoked = sqlx::query!(
        "delete from team_role where environment = $1 and teamid = $2 and role = $3",
        team.environment,
        team.teamid,
        role
    )
    .execute(&mut *db)
    .await?;
    let had = revoked.rows_affected() > 0;
    if had {
        note(db, team, author).await?;
    }
    Ok(had)
}

/// Records who changed the roles of a team last.
async fn note(db: &mut Connection, team: &Team, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "update team set modifiedon = greatest($3, modifiedon), modifiedby = $4
         where environment = $1 and teamid = $2",
        team.environment,
        team.teamid,
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(())
}
