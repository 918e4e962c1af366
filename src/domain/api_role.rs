//! What callers of the API may do.

use std::fmt;

/// What a caller may do. Entra knows them as app roles of our application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiRole {
    /// Read everything.
    Read,
    /// Ask for access on behalf of somebody who signs in.
    Access,
    /// Change users, decide on held runs, start jobs. Implies the others.
    Operate,
}

impl ApiRole {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Read, Self::Access, Self::Operate];

    /// The name in the configuration and in access tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Rollcall.Read",
            Self::Access => "Rollcall.Access",
            Self::Operate => "Rollcall.Operate",
        }
    }

    /// The role of that name. Other applications may define others.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for ApiRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
