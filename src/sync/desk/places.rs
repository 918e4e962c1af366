//! The columns of a profile that only people edit (rules.md, section 13): texts, and where a user stands: the business
//! unit, the manager and the position, each named by id or name.

use uuid::Uuid;

use super::by_hand::changeable;
use super::teams::{administrators, keep_an_administrator};
use super::{Desk, Refusal, bad_input, find_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::unit::Name;
use crate::domain::word::words;
use crate::store::{Transaction, positions, profile, quota, units};
use crate::sync::DeskError;

words! {
    /// A text of the profile.
    pub(super) enum ProfileText {
        Title "title"
        Nickname "nickname"
        MiddleName "middlename"
        EmployeeId "employeeid"
        PreferredLanguage "preferredlanguage"
    }
}

impl ProfileText {
    /// The maximum length, in Unicode code points.
    pub const fn max_characters(self) -> usize {
        match self {
            Self::Title => 128,
            Self::Nickname | Self::MiddleName => 50,
            Self::EmployeeId | Self::PreferredLanguage => 100,
        }
    }

    const fn of(self, row: &SystemUser) -> Option<&String> {
        match self {
            Self::Title => row.title.as_ref(),
            Self::Nickname => row.nickname.as_ref(),
            Self::MiddleName => row.middlename.as_ref(),
            Self::EmployeeId => row.employeeid.as_ref(),
            Self::PreferredLanguage => row.preferredlanguage.as_ref(),
        }
    }

    pub fn set(self, row: &mut SystemUser, value: Option<String>) {
        *match self {
            Self::Title => &mut row.title,
            Self::Nickname => &mut row.nickname,
            Self::MiddleName => &mut row.middlename,
            Self::EmployeeId => &mut row.employeeid,
            Self::PreferredLanguage => &mut row.preferredlanguage,
        } = value;
    }
}

words! {
    /// What a column refers to.
    pub(super) enum Place {
        BusinessUnit "businessunitid"
        Manager "parentsystemuserid"
        Position "positionid"
    }
}

impl Place {
    const fn of(self, row: &SystemUser) -> Option<Uuid> {
        match self {
            Self::BusinessUnit => row.businessunitid,
            Self::Manager => row.parentsystemuserid,
            Self::Position => row.positionid,
        }
    }

    pub fn set(self, row: &mut SystemUser, id: Option<Uuid>) {
        *match self {
            Self::BusinessUnit => &mut row.businessunitid,
            Self::Manager => &mut row.parentsystemuserid,
            Self::Position => &mut row.positionid,
        } = id;
    }
}

impl Desk {
    /// The id of what a column is set to. Without a name, the business unit is the root.
    pub(super) async fn place(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        place: Place,
        given: Option<&str>,
    ) -> Result<Option<Uuid>, DeskError> {
        let name = &environment.name;
        let Some(given) = given else {
            return Ok(match place {
                Place::BusinessUnit => units::root(tx, name).await?,
                Place::Manager | Place::Position => None,
            });
        };
        let id = match place {
            Place::BusinessUnit => units::find(tx, name, given).await?.map(|unit| unit.businessunitid),
            Place::Position => positions::find(tx, name, given)
                .await?
                .map(|position| position.positionid),
            Place::Manager => match find_row(tx, name, given).await? {
                Some(row) => {
                    changeable(&row)?;
                    Some(row.systemuserid)
                }
                None => None,
            },
        };
        let what = match place {
            Place::BusinessUnit => "business unit",
            Place::Manager => "row for the user",
            Place::Position => "position",
        };
        let missing = || bad_input(place.as_str(), format!("{name} has no {what} `{given}`"));
        id.map(Some).ok_or_else(missing)
    }

    /// Writes the columns of the profile of a locked row, if they have changed. With the environment's structure locked,
    /// looks whether the row stands where it may.
    pub(super) async fn write_profile(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        before: &SystemUser,
        after: &SystemUser,
    ) -> Result<(), DeskError> {
        let has_new_text = ProfileText::ALL.iter().any(|text| text.of(before) != text.of(after));
        let mut moved = Place::ALL.to_vec();
        moved.retain(|place| place.of(before) != place.of(after));
        if !has_new_text && moved.is_empty() {
            return Ok(());
        }
        if moved.is_empty() {
            return Ok(profile::write(tx, after).await?);
        }
        let name = &environment.name;
        quota::lock(&mut *tx, name, environment.non_interactive_cap).await?;
        let had = administrators(&mut *tx, environment).await?;
        profile::write(&mut *tx, after).await?;
        for place in moved {
            let Some(id) = place.of(after) else { continue };
            match place {
                Place::BusinessUnit => drop(self.unit(&mut *tx, environment, &id.to_string()).await?),
                Place::Position => drop(self.position(&mut *tx, environment, &id.to_string()).await?),
                Place::Manager => {
                    if profile::is_manager_above(&mut *tx, name, after.systemuserid, id).await? {
                        let detail = "the manager is the user, or somebody below the user";
                        return Err(Refusal::saying(Code::WouldCycle, detail).into());
                    }
                }
            }
        }
        keep_an_administrator(tx, environment, had).await
    }

    /// The configured environment of this name, if its users have rows.
    pub(super) fn with_database(&self, name: &str) -> Result<&Environment, DeskError> {
        let environment = self.base.environment(name)?;
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        Ok(environment)
    }
}

/// A valid name.
pub(super) fn named(name: &str) -> Result<Name, DeskError> {
    Name::parse(name).map_err(|problem| bad_input("name", problem))
}

/// The error for an object that an environment does not have.
pub(in crate::sync) fn no_such(what: &'static str, given: &str, environment: &Environment) -> DeskError {
    DeskError::NotFound {
        what,
        given: given.to_owned(),
        environment: environment.name.clone(),
    }
}
