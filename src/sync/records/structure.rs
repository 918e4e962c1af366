//! The structure of an environment: its business units, teams and positions.

use uuid::Uuid;

use super::Records;
use crate::domain::system_user::SystemUser;
use crate::domain::team::{Member, Team, TeamRole};
use crate::domain::unit::{BusinessUnit, Position};
use crate::store::{Connection, StoreResult, positions, team_roles, teams, units};
use crate::sync::DeskError;
use crate::sync::desk::places::no_such;

impl Records {
    /// Business units of an environment, in the order of their creation.
    pub async fn units(
        &self,
        environment: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<BusinessUnit>, DeskError> {
        self.base.environment(environment)?;
        Ok(units::list(&mut self.db().await?, environment, after, limit).await?)
    }

    /// Finds a business unit by its id or name.
    pub async fn unit(&self, environment: &str, unit: &str) -> Result<BusinessUnit, DeskError> {
        let known = self.base.environment(environment)?;
        let found = units::find(&mut self.db().await?, environment, unit).await?;
        found.ok_or_else(|| no_such("business unit", unit, known))
    }

    /// Teams of an environment, in the order of their creation; optionally only those of one user.
    pub async fn teams(
        &self,
        environment: &str,
        user: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Team>, DeskError> {
        self.base.environment(environment)?;
        let row = match user {
            Some(user) => Some(self.user(environment, user).await?.systemuserid),
            None => None,
        };
        Ok(teams::list(&mut self.db().await?, environment, row, after, limit).await?)
    }

    /// Finds a team by its id or name.
    pub async fn team(&self, environment: &str, team: &str) -> Result<Team, DeskError> {
        let known = self.base.environment(environment)?;
        let found = teams::find(&mut self.db().await?, environment, team).await?;
        found.ok_or_else(|| no_such("team", team, known))
    }

    /// The members of a team, in the order of their rows' keys.
    pub async fn members(
        &self,
        environment: &str,
        team: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Member>, DeskError> {
        let team = self.team(environment, team).await?.teamid;
        Ok(teams::members(&mut self.db().await?, environment, team, after, limit).await?)
    }

    /// The roles of a team.
    pub async fn team_roles(&self, environment: &str, team: &str) -> Result<Vec<TeamRole>, DeskError> {
        let team = self.team(environment, team).await?.teamid;
        Ok(team_roles::list(&mut self.db().await?, environment, team).await?)
    }

    /// Positions of an environment, in the order of their creation.
    pub async fn positions(
        &self,
        environment: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Position>, DeskError> {
        self.base.environment(environment)?;
        Ok(positions::list(&mut self.db().await?, environment, after, limit).await?)
    }

    /// Finds a position by its id or name.
    pub async fn position(&self, environment: &str, position: &str) -> Result<Position, DeskError> {
        let known = self.base.environment(environment)?;
        let found = positions::find(&mut self.db().await?, environment, position).await?;
        found.ok_or_else(|| no_such("position", position, known))
    }
}

/// Rows that are not filled in yet belong to the root.
pub(super) async fn with_units(db: &mut Connection, environment: &str, rows: &mut [SystemUser]) -> StoreResult<()> {
    if rows.iter().all(|row| row.businessunitid.is_some()) {
        return Ok(());
    }
    let root = units::root(db, environment).await?;
    for row in rows.iter_mut().filter(|row| row.businessunitid.is_none()) {
        row.businessunitid = root;
    }
    Ok(())
}
