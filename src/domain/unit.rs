//! Business units and positions: a tree of each in every environment.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::directory_user::name_key;
use super::text::trimmed;

/// The longest name of a unit, a position or a team, in Unicode code points.
pub const NAME_CHARACTERS: usize = 160;

/// A business unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BusinessUnit {
    /// The environment's name.
    pub environment: String,
    /// The unit's key.
    pub businessunitid: Uuid,
    /// Its name, unique in the environment.
    pub name: String,
    /// The unit above; null for the root.
    pub parentbusinessunitid: Option<Uuid>,
    /// The name of the unit above.
    pub parentbusinessunitidname: Option<String>,
    /// Whether it is disabled: only a disabled unit can be deleted.
    pub isdisabled: bool,
    /// When it was created.
    pub createdon: DateTime<Utc>,
    /// Who created it.
    pub createdby: String,
    /// When it last changed.
    pub modifiedon: DateTime<Utc>,
    /// Who changed it.
    pub modifiedby: String,
}

/// A position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Position {
    /// The environment's name.
    pub environment: String,
    /// The position's key.
    pub positionid: Uuid,
    /// Its name, unique in the environment.
    pub name: String,
    /// The position above; null for one at the top.
    pub parentpositionid: Option<Uuid>,
    /// The name of the position above.
    pub parentpositionidname: Option<String>,
    /// When it was created.
    pub createdon: DateTime<Utc>,
    /// Who created it.
    pub createdby: String,
    /// When it last changed.
    pub modifiedon: DateTime<Utc>,
    /// Who changed it.
    pub modifiedby: String,
}

/// A valid name with the key under which it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    key: String,
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// A clause that says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = trimmed(text);
        match name_key(text) {
            Some(key) if text.chars().count() <= NAME_CHARACTERS && !text.contains('\0') => Ok(Self {
                text: text.to_owned(),
                key,
            }),
            _ => Err("expected a name of at most 160 characters"),
        }
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folded name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}
