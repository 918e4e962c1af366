//! The sources of the directory. Each is read, stored and doubted separately.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A source of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The users, in a feed.
    Users,
    /// The members of a group, in a feed.
    Group(Uuid),
    /// The holders of administrator roles; read in full each time.
    Roles,
    /// The tenant's SKUs; read in full each time.
    Skus,
}

impl Source {
    /// The kind of source, as a metric label.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Group(_) => "group",
            Self::Roles => "roles",
            Self::Skus => "skus",
        }
    }

    /// Whether it is a feed, which has rounds and changes.
    #[must_use]
    pub const fn is_feed(self) -> bool {
        matches!(self, Self::Users | Self::Group(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Group(group) => write!(f, ":{group}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Source {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "users" => Self::Users,
            "roles" => Self::Roles,
            "skus" => Self::Skus,
            text => Self::Group(text.strip_prefix("group:").unwrap_or(text).parse()?),
        })
    }
}
