//! An environment: one set of SystemUsers with its own gates (rules.md, section 1).

use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

use super::field::Policies;

/// The kinds of environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// For daily work.
    Production,
    /// For tests and changes.
    Sandbox,
    /// The tenant's default environment.
    Default,
    /// A trial: rows are made on demand only.
    Trial,
    /// One developer's own.
    Developer,
    /// Dataverse for Teams: rows are made on demand only.
    Teams,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Production,
        Self::Sandbox,
        Self::Default,
        Self::Trial,
        Self::Developer,
        Self::Teams,
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Default => "default",
            Self::Trial => "trial",
            Self::Developer => "developer",
            Self::Teams => "teams",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            format!("`{name}` is no kind of environment; expected \"production\", \"sandbox\", \"default\", \"trial\", \"developer\" or \"teams\"")
        })
    }
}

/// What membership through a nested group is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GroupNesting {
    /// Nothing; nested groups are not read in the cycle.
    #[default]
    Ignore,
    /// Access on demand only.
    OnDemand,
    /// As much as direct membership.
    Full,
}

impl GroupNesting {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::OnDemand => "on_demand",
            Self::Full => "full",
        }
    }
}

impl FromStr for GroupNesting {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Ignore, Self::OnDemand, Self::Full]
            .into_iter()
            .find(|nesting| nesting.as_str() == name)
            .ok_or_else(|| format!("`{name}` is no group nesting; expected \"ignore\", \"on_demand\" or \"full\""))
    }
}

/// What happens to rows that live on app passes when the capacity drops to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum AppPassLapse {
    /// They are disabled after the grace.
    #[default]
    Disable,
    /// They stay until another entitlement has decided.
    Keep,
}

/// One configured environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct Environment {
    /// Unique name, `[a-z0-9-]`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Whether it has a database; without one nobody gets a row.
    pub has_database: bool,
    /// The security group whose members may have access; none lets everybody through.
    pub security_group: Option<Uuid>,
    /// What nested membership is worth.
    pub group_nesting: GroupNesting,
    /// The creator of a developer environment, by object id.
    pub creator: Option<Uuid>,
    /// App passes allocated to the environment; 0 means none.
    pub app_pass_capacity: u32,
    /// What a drop to 0 means.
    pub app_pass_lapse: AppPassLapse,
    /// How long rows that live on app passes outlast them.
    pub app_pass_grace: Duration,
    /// Whether pay-as-you-go is on.
    pub pay_as_you_go: bool,
    /// How many enabled non-interactive users there may be; 7 by default (seeds.md, row B20).
    pub non_interactive_cap: u32,
    /// Whether disabled users may be given security roles.
    pub allow_role_assignment_on_disabled_users: bool,
    /// Whether `license_roles` are kept by the sync.
    pub license_role_management: bool,
    /// Names of the security roles that exist here.
    pub roles: Vec<String>,
    /// Roles that come and go with a plan: plan id and role name.
    pub license_roles: Vec<(Uuid, String)>,
    /// Who owns each column.
    pub policies: Policies,
}

impl Environment {
    /// An environment with every default.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            has_database: true,
            security_group: None,
            group_nesting: GroupNesting::default(),
            creator: None,
            app_pass_capacity: 0,
            app_pass_lapse: AppPassLapse::default(),
            app_pass_grace: Duration::from_hours(7 * 24),
            pay_as_you_go: false,
            non_interactive_cap: 7,
            allow_role_assignment_on_disabled_users: false,
            license_role_management: true,
            roles: Vec::new(),
            license_roles: Vec::new(),
            policies: Policies::default(),
        }
    }

    /// Whether the environment has a security role of that name.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }

    /// Whether the sync gives and takes the roles that `license_roles` maps from plans (rules.md, section 8).
    #[must_use]
    pub fn manages_license_roles(&self) -> bool {
        self.license_role_management && !matches!(self.kind, Kind::Teams | Kind::Trial | Kind::Developer)
    }
}
