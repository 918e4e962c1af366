//! Positions (rules.md, section 13), changed by a person.

use super::places::{named, no_such};
use super::{Desk, Refusal};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::unit::Position;
use crate::store::{Transaction, positions};
use crate::sync::DeskError;

/// What to change of a position; what is not given stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct PositionEdit<'a> {
    /// A new name.
    pub name: Option<&'a str>,
    /// The position above, by id or name; none for a place at the top.
    pub parent: Option<Option<&'a str>>,
}

impl Desk {
    /// Creates a position, below another or at the top.
    ///
    /// # Errors
    /// [`DeskError::BadInput`] for a name or a parent that cannot be, [`DeskError::Refused`] for a name that is taken, or
    /// when the database fails.
    pub async fn add_position(
        &self,
        environment: &str,
        name: &str,
        parent: Option<&str>,
        actor: &str,
    ) -> Result<Position, DeskError> {
        let environment = self.with_database(environment)?;
        let name = named(name)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                if positions::find(&mut tx, &environment.name, name.as_str())
                    .await?
                    .is_some()
                {
                    return Err(Refusal::new(Code::NameTaken).into());
                }
                let parent = match parent {
                    Some(parent) => Some(self.parent_position(&mut tx, environment, parent).await?.positionid),
                    None => None,
                };
                let id = positions::insert(&mut tx, &environment.name, &name, parent, self.by(actor)).await?;
                let position = self.position(&mut tx, environment, &id.to_string()).await?;
                tx.commit().await?;
                Ok(position)
            })
            .await
    }

    /// Renames or moves a position.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::BadInput`], [`DeskError::Refused`] when the name is taken or the position
    /// would be above itself; or when the database fails.
    pub async fn edit_position(
        &self,
        environment: &str,
        position: &str,
        edit: PositionEdit<'_>,
        actor: &str,
    ) -> Result<Position, DeskError> {
        let environment = self.with_database(environment)?;
        let new_name = edit.name.map(named).transpose()?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let before = self.position(&mut tx, environment, position).await?;
                let mut after = before.clone();
                if let Some(parent) = edit.parent {
                    after.parentpositionid = match parent {
                        Some(parent) => Some(self.position_above(&mut tx, environment, &before, parent).await?),
                        None => None,
                    };
                }
                let name = match &new_name {
                    Some(name) => name.clone(),
                    None => named(&before.name)?,
                };
                name.as_str().clone_into(&mut after.name);
                if after == before {
                    return Ok(before);
                }
                let holder = positions::find(&mut tx, &environment.name, name.as_str()).await?;
                if holder.is_some_and(|holder| holder.positionid != before.positionid) {
                    return Err(Refusal::new(Code::NameTaken).into());
                }
                positions::update(&mut tx, &after, &name, self.by(actor)).await?;
                let after = self
                    .position(&mut tx, environment, &before.positionid.to_string())
                    .await?;
                tx.commit().await?;
                Ok(after)
            })
            .await
    }

    /// Deletes a position that nobody has and that has none below it.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`], or when the database fails.
    pub async fn delete_position(&self, environment: &str, position: &str) -> Result<Position, DeskError> {
        let environment = self.with_database(environment)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let position = self.position(&mut tx, environment, position).await?;
                if positions::is_in_use(&mut tx, &environment.name, position.positionid).await? {
                    return Err(Refusal::new(Code::PositionInUse).into());
                }
                positions::delete(&mut tx, &environment.name, position.positionid).await?;
                tx.commit().await?;
                Ok(position)
            })
            .await
    }

    /// A position by id or name.
    pub(super) async fn position(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        position: &str,
    ) -> Result<Position, DeskError> {
        let found = positions::find(tx, &environment.name, position).await?;
        found.ok_or_else(|| no_such("position", position, environment))
    }

    async fn parent_position(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        position: &str,
    ) -> Result<Position, DeskError> {
        let found = self.position(tx, environment, position).await;
        found.map_err(|error| error.of_field("parentpositionid"))
    }

    /// The position that another goes below.
    async fn position_above(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        below: &Position,
        parent: &str,
    ) -> Result<uuid::Uuid, DeskError> {
        let parent = self.parent_position(&mut *tx, environment, parent).await?;
        if positions::is_above(tx, &environment.name, below.positionid, parent.positionid).await? {
            let detail = format!("`{}` is `{}` or below it", parent.name, below.name);
            return Err(Refusal::saying(Code::WouldCycle, detail).into());
        }
        Ok(parent.positionid)
    }
}
