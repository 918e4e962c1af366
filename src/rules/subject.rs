//! The subject of a verdict: everything the rules may use, and nothing else.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::domain::directory_user::DirectoryUser;
use crate::domain::feed::AdminRole;
use crate::domain::licence::Licences;
use crate::domain::system_user::SystemUser;

/// The cause of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The cycle.
    Background,
    /// A sign-in attempt.
    Access(Client),
    /// A script.
    Api,
    /// An administrator.
    AdminAdd,
    /// An import job.
    Import,
    /// Re-sync of an existing row.
    Refresh,
    /// Explanation only.
    Diagnostics,
}

/// The client through which the user works; non-interactive users have no web access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The web interface.
    Interactive,
    /// A program.
    Api,
}

impl Trigger {
    /// Every trigger by name; access as an interactive one.
    pub const ALL: [Self; 7] = [
        Self::Background,
        Self::Access(Client::Interactive),
        Self::Api,
        Self::AdminAdd,
        Self::Import,
        Self::Refresh,
        Self::Diagnostics,
    ];

    /// The trigger's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Access(_) => "access",
            Self::Api => "api",
            Self::AdminAdd => "admin_add",
            Self::Import => "import",
            Self::Refresh => "refresh",
            Self::Diagnostics => "diagnostics",
        }
    }

    /// Whether a caller requests access for the user and waits for the answer: access, api, `admin_add` and import.
    #[must_use]
    pub const fn is_on_demand(self) -> bool {
        matches!(self, Self::Access(_) | Self::Api | Self::AdminAdd | Self::Import)
    }

    /// Whether it is the cycle; every other trigger evaluates on demand.
    #[must_use]
    pub const fn is_background(self) -> bool {
        matches!(self, Self::Background)
    }

    /// Refresh and diagnostics, which returns refresh's verdict.
    #[must_use]
    pub const fn is_refresh(self) -> bool {
        matches!(self, Self::Refresh | Self::Diagnostics)
    }

    /// Refresh and diagnostics evaluate as access does, but never create.
    #[must_use]
    pub const fn may_create(self) -> bool {
        !self.is_refresh()
    }
}

impl FromStr for Trigger {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|trigger| trigger.as_str() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|trigger| trigger.as_str()).collect();
                format!("`{name}` is no trigger; expected one of {}", names.join(", "))
            })
    }
}

/// The directory's answer about the user.
#[derive(Clone, Copy, Debug)]
pub enum DirectoryAnswer<'a> {
    /// The mirror's record, or a fresh one.
    Known(&'a DirectoryUser),
    /// Nothing is known: the look-up failed.
    Unknown,
}

/// The user's relation to the environment's security group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupRelation {
    /// A direct member.
    Member,
    /// An owner who is not a member.
    OwnerOnly,
    /// A member through a nested group only.
    NestedOnly,
    /// None of these.
    None,
    /// The group cannot be read.
    Unreadable,
}

/// The administrator roles a user holds, active and tenant-wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AdminRoles {
    /// Global Administrator.
    pub global: bool,
    /// Power Platform Administrator.
    pub power_platform: bool,
    /// Dynamics 365 Administrator.
    pub dynamics_365: bool,
}

impl AdminRoles {
    /// Whether the user holds any of the three.
    #[must_use]
    pub const fn any(self) -> bool {
        self.global || self.power_platform || self.dynamics_365
    }

    /// Whether the security group does not apply to the user: Global and Power Platform administrators are exempt.
    #[must_use]
    pub const fn escapes_group(self) -> bool {
        self.global || self.power_platform
    }

    /// Adds the roles of another reading.
    pub fn add(&mut self, other: Self) {
        self.global |= other.global;
        self.power_platform |= other.power_platform;
        self.dynamics_365 |= other.dynamics_365;
    }

    /// Adds a role.
    pub fn insert(&mut self, role: AdminRole) {
        match role {
            AdminRole::Global => self.global = true,
            AdminRole::PowerPlatform => self.power_platform = true,
            AdminRole::Dynamics365 => self.dynamics_365 = true,
        }
    }
}

/// Everything an evaluation uses in addition to the environment and the trigger.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one input of rules.md, section 1")]
pub struct Subject<'a> {
    /// The directory's answer.
    pub answer: DirectoryAnswer<'a>,
    /// How the user's plans count.
    pub licences: Licences,
    /// Administrator roles.
    pub roles: AdminRoles,
    /// Relation to the security group; `None` if the environment has no group.
    pub relation: GroupRelation,
    /// The row in this environment, by object id or by name.
    pub row: Option<&'a SystemUser>,
    /// Another live row keeps the user principal name, after this run's renames.
    pub upn_blocked: bool,
    /// The tenant has a Marketing licence.
    pub tenant_marketing: bool,
    /// One more non-interactive user may be enabled.
    pub non_interactive_slot: bool,
    /// The row is the last enabled System Administrator.
    pub last_system_administrator: bool,
    /// The administrator roles could not be read in this run: no user loses access for lack of group or licence.
    pub stale_roles: bool,
    /// The SKUs could not be read in this run: no user loses access for lack of a licence.
    pub stale_skus: bool,
    /// The time of the evaluation.
    pub now: DateTime<Utc>,
}
