//! The sources of the directory, each of which is read, kept and doubted for itself.

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
    /// Who holds an administrator role; read whole each time.
    Roles,
    /// What the tenant has bought; read whole each time.
    Skus,
}

impl Source {
    /// What kind of source it is: a metric label.
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
