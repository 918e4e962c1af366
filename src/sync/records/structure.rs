//! The structure of an environment: its business units and positions.

use uuid::Uuid;

use super::Records;
use crate::domain::system_user::SystemUser;
use crate::domain::unit::{BusinessUnit, Position};
use crate::store::{Connection, StoreResult, positions, units};
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
