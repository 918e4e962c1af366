//! The fourteen synchronised columns and who owns them (rules.md, section 7).

use super::word::words;
use std::fmt;
use std::str::FromStr;

/// A column of `system_user` that comes from the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `userPrincipalName`
    DomainName,
    /// `id`
    ObjectId,
    /// `givenName`
    FirstName,
    /// `surname`
    LastName,
    /// `givenName` and `surname`
    FullName,
    /// `jobTitle`
    JobTitle,
    /// `mail`
    InternalEmailAddress,
    /// `businessPhones[0]`
    Telephone1,
    /// `mobilePhone`
    MobilePhone,
    /// `streetAddress`
    Line1,
    /// `city`
    City,
    /// `state`
    StateOrProvince,
    /// `postalCode`
    PostalCode,
    /// `country`
    Country,
}

words! {
    /// When a sync writes a column.
    pub enum Policy: "no field policy" {
        /// The directory wins at every sync.
        Always "always"
        /// Written at creation, never after.
        OnCreate "on_create"
        /// Follows the directory until anyone but the sync changes the column.
        UntilEdited "until_edited"
        /// Never written.
        Never "never"
    }
}

impl Policy {
    /// Whether a sync writes the column of a row, which is new or not, and which a person owns or not.
    #[must_use]
    pub const fn writes(self, is_new: bool, is_owned: bool) -> bool {
        match self {
            Self::Always => true,
            Self::OnCreate => is_new,
            Self::UntilEdited => is_new || !is_owned,
            Self::Never => false,
        }
    }
}

impl Field {
    /// All columns, in the order of rules.md.
    pub const ALL: [Self; 14] = [
        Self::DomainName,
        Self::ObjectId,
        Self::FirstName,
        Self::LastName,
        Self::FullName,
        Self::JobTitle,
        Self::InternalEmailAddress,
        Self::Telephone1,
        Self::MobilePhone,
        Self::Line1,
        Self::City,
        Self::StateOrProvince,
        Self::PostalCode,
        Self::Country,
    ];

    /// The longest value, in Unicode code points.
    #[must_use]
    pub const fn max_characters(self) -> usize {
        match self {
            Self::DomainName | Self::Line1 => 1024,
            Self::ObjectId => 36,
            Self::FirstName | Self::LastName => 256,
            Self::FullName => 200,
            Self::JobTitle | Self::City | Self::StateOrProvince | Self::Country => 128,
            Self::InternalEmailAddress => 100,
            Self::Telephone1 | Self::MobilePhone => 64,
            Self::PostalCode => 40,
        }
    }

    /// The policy if none is configured.
    #[must_use]
    pub const fn default_policy(self) -> Policy {
        match self {
            Self::FullName | Self::ObjectId => Policy::OnCreate,
            Self::InternalEmailAddress => Policy::UntilEdited,
            _ => Policy::Always,
        }
    }

    /// Whether it identifies the user: such a column follows the directory, and cannot be edited.
    #[must_use]
    pub const fn is_identity(self) -> bool {
        matches!(self, Self::DomainName | Self::ObjectId)
    }

    /// Whether a policy is valid for the column: identity columns have no choice.
    #[must_use]
    pub fn allows(self, policy: Policy) -> bool {
        !self.is_identity() || policy == self.default_policy()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.column())
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|field| field.column() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|field| field.column()).collect();
                format!(
                    "`{name}` is no synchronised column; expected one of {}",
                    names.join(", ")
                )
            })
    }
}

/// The policy of every column in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies([Policy; 14]);

impl Default for Policies {
    fn default() -> Self {
        Self(Field::ALL.map(Field::default_policy))
    }
}

impl Policies {
    /// The policy of one column.
    #[must_use]
    pub fn of(&self, field: Field) -> Policy {
        self.0[field as usize]
    }

    /// Sets one column's policy.
    ///
    /// # Errors
    /// A sentence, if the policy is not valid for the column.
    pub fn set(&mut self, field: Field, policy: Policy) -> Result<(), String> {
        if !field.allows(policy) {
            return Err(format!(
                "`{}` cannot be \"{}\": it identifies the user",
                field,
                policy.as_str()
            ));
        }
        self.0[field as usize] = policy;
        Ok(())
    }
}
