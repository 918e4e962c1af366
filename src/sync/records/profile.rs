//! Where a row stands in its environment: the unit, position and manager by name, the reports, and the teams.

use super::Records;
use crate::domain::system_user::SystemUser;
use crate::domain::team::Team;
use crate::domain::unit::{BusinessUnit, Position};
use crate::store::{positions, teams};
use crate::store::{rows, units};
use crate::sync::DeskError;

/// The most reports and teams that a profile names.
const NAMED: i64 = 50;

/// Where a row stands in its environment.
#[derive(Debug, Default)]
pub struct Profile {
    /// The business unit.
    pub unit: Option<BusinessUnit>,
    /// The position.
    pub position: Option<Position>,
    /// The manager.
    pub manager: Option<SystemUser>,
    /// Rows whose manager this is, at most fifty.
    pub reports: Vec<SystemUser>,
    /// The teams, at most fifty.
    pub teams: Vec<Team>,
}

impl Records {
    /// Where a row stands.
    pub async fn profile(&self, row: &SystemUser) -> Result<Profile, DeskError> {
        let (environment, id) = (row.environment.as_str(), row.systemuserid);
        let mut db = self.db().await?;
        let unit = match row.businessunitid {
            Some(unit) => units::find(&mut db, environment, &unit.to_string()).await?,
            None => None,
        };
        let position = match row.positionid {
            Some(position) => positions::find(&mut db, environment, &position.to_string()).await?,
            None => None,
        };
        let manager = match row.parentsystemuserid {
            Some(manager) => rows::find_by_ids(&mut db, environment, &[manager]).await?.pop(),
            None => None,
        };
        Ok(Profile {
            unit,
            position,
            manager,
            reports: rows::reports(&mut db, environment, id, NAMED).await?,
            teams: teams::list(&mut db, environment, Some(id), None, NAMED).await?,
        })
    }
}
