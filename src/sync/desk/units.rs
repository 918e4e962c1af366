//! Business units (rules.md, section 13), changed by a person. One change of an environment's structure at a time: each
//! takes the environment's quota lock.

use super::places::{named, no_such};
use super::{Desk, Refusal};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::unit::BusinessUnit;
use crate::store::units::{self, Contents};
use crate::store::{StoreError, Transaction, quota};
use crate::sync::DeskError;

/// What to change of a unit; what is not given stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitEdit<'a> {
    /// A new name.
    pub name: Option<&'a str>,
    /// The unit above, by id or name.
    pub parent: Option<&'a str>,
    /// Whether it is disabled.
    pub isdisabled: Option<bool>,
}

impl Desk {
    /// Creates a unit with its default team, below a unit or below the root.
    ///
    /// # Errors
    /// [`DeskError::BadInput`] for a name or a parent that cannot be, [`DeskError::Refused`] for a name that is taken, or
    /// when the database fails.
    pub async fn add_unit(
        &self,
        environment: &str,
        name: &str,
        parent: Option<&str>,
        actor: &str,
    ) -> Result<BusinessUnit, DeskError> {
        let environment = self.with_database(environment)?;
        let name = named(name)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                if units::is_name_taken(&mut tx, &environment.name, &name, None).await? {
                    return Err(Refusal::new(Code::NameTaken).into());
                }
                let parent = if let Some(parent) = parent {
                    self.parent_unit(&mut tx, environment, parent).await?.businessunitid
                } else {
                    let root = units::root(&mut tx, &environment.name).await?;
                    root.ok_or(StoreError::Inconsistent("the root of the business units"))?
                };
                let id = units::insert(&mut tx, &environment.name, &name, parent, self.by(actor)).await?;
                let unit = self.unit(&mut tx, environment, &id.to_string()).await?;
                tx.commit().await?;
                Ok(unit)
            })
            .await
    }

    /// Renames, moves, disables or enables a unit. Its default team has its name.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::BadInput`], [`DeskError::Refused`] when the root would be more than renamed,
    /// the name is taken or the unit would be above itself; or when the database fails.
    pub async fn edit_unit(
        &self,
        environment: &str,
        unit: &str,
        edit: UnitEdit<'_>,
        actor: &str,
    ) -> Result<BusinessUnit, DeskError> {
        let environment = self.with_database(environment)?;
        let new_name = edit.name.map(named).transpose()?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let before = self.unit(&mut tx, environment, unit).await?;
                let mut after = before.clone();
                if before.parentbusinessunitid.is_none() && (edit.parent.is_some() || edit.isdisabled == Some(true)) {
                    return Err(Refusal::new(Code::RootUnit).into());
                }
                if let Some(parent) = edit.parent {
                    let parent = self.parent_unit(&mut tx, environment, parent).await?;
                    let (id, above) = (before.businessunitid, parent.businessunitid);
                    if units::is_above(&mut tx, &environment.name, id, above).await? {
                        let detail = format!("`{}` is `{}` or below it", parent.name, before.name);
                        return Err(Refusal::saying(Code::WouldCycle, detail).into());
                    }
                    after.parentbusinessunitid = Some(above);
                }
                after.isdisabled = edit.isdisabled.unwrap_or(before.isdisabled);
                let name = match &new_name {
                    Some(name) => name.clone(),
                    None => named(&before.name)?,
                };
                name.as_str().clone_into(&mut after.name);
                if after == before {
                    return Ok(before);
                }
                let itself = Some(before.businessunitid);
                if new_name.is_some() && units::is_name_taken(&mut tx, &environment.name, &name, itself).await? {
                    return Err(Refusal::new(Code::NameTaken).into());
                }
                units::update(&mut tx, &after, &name, self.by(actor)).await?;
                let after = self
                    .unit(&mut tx, environment, &before.businessunitid.to_string())
                    .await?;
                tx.commit().await?;
                Ok(after)
            })
            .await
    }

    /// Deletes a unit that is disabled and empty, with its default team.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`], or when the database fails.
    pub async fn delete_unit(&self, environment: &str, unit: &str) -> Result<BusinessUnit, DeskError> {
        let environment = self.with_database(environment)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let unit = self.unit(&mut tx, environment, unit).await?;
                if unit.parentbusinessunitid.is_none() {
                    return Err(Refusal::new(Code::RootUnit).into());
                }
                let contents = units::contents(&mut tx, &environment.name, unit.businessunitid).await?;
                if let Some(left) = left_in(&unit, contents) {
                    let detail = format!("business unit `{}` {left}", unit.name);
                    return Err(Refusal::saying(Code::UnitNotEmpty, detail).into());
                }
                units::delete(&mut tx, &environment.name, unit.businessunitid).await?;
                tx.commit().await?;
                Ok(unit)
            })
            .await
    }

    /// Begins a transaction that changes the structure of an environment.
    pub(super) async fn begin_structure(&self, environment: &Environment) -> Result<Transaction, DeskError> {
        let mut tx = self.base.begin(None).await?;
        quota::lock(&mut tx, &environment.name, environment.non_interactive_cap).await?;
        units::ensure_root(&mut tx, &environment.name).await?;
        Ok(tx)
    }

    /// A unit by id or name.
    pub(super) async fn unit(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        unit: &str,
    ) -> Result<BusinessUnit, DeskError> {
        let found = units::find(tx, &environment.name, unit).await?;
        found.ok_or_else(|| no_such("business unit", unit, environment))
    }

    async fn parent_unit(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        unit: &str,
    ) -> Result<BusinessUnit, DeskError> {
        let found = self.unit(tx, environment, unit).await;
        found.map_err(|error| error.of_field("parentbusinessunitid"))
    }
}

/// Why a unit cannot be deleted.
fn left_in(unit: &BusinessUnit, contents: Contents) -> Option<String> {
    match contents {
        _ if !unit.isdisabled => Some("is enabled".to_owned()),
        Contents { any_user: true, .. } => Some("has users".to_owned()),
        Contents { teams, .. } if teams > 0 => Some(format!("has {teams} team(s) beside its default one")),
        Contents { units, .. } if units > 0 => Some(format!("has {units} unit(s) below it")),
        _ => None,
    }
}
