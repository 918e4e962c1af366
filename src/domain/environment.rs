//! An environment: one set of SystemUsers with its own gates (rules.md, section 1).

use super::word::words;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::field::Policies;

words! {
    /// The kinds of environment.
    pub enum Kind: "no kind of environment" {
        /// For daily work.
        Production "production"
        /// For tests and changes.
        Sandbox "sandbox"
        /// The tenant's default environment.
        Default "default"
        /// A trial: rows are made on demand only.
        Trial "trial"
        /// One developer's own.
        Developer "developer"
        /// Dataverse for Teams: rows are made on demand only.
        Teams "teams"
    }
}

words! {
    /// What membership through a nested group is worth.
    #[derive(Default)]
    pub enum GroupNesting: "no group nesting" {
        /// Nothing; nested groups are not read in the cycle.
        #[default]
        Ignore "ignore"
        /// Access on demand only.
        OnDemand "on_demand"
        /// As much as direct membership.
        Full "full"
    }
}

words! {
    /// What happens to rows that live on app passes when the capacity drops to 0.
    #[derive(Default)]
    pub enum AppPassLapse: "nothing that can happen when app passes lapse" {
        /// They are disabled after the grace.
        #[default]
        Disable "disable"
        /// They stay until another entitlement has decided.
        Keep "keep"
    }
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
    /// Whether members of groups within the security group count for anything.
    #[must_use]
    pub fn counts_nested(&self) -> bool {
        self.group_nesting != GroupNesting::Ignore
    }

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

/// An environment with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownEnvironment {
    /// Its name.
    pub name: String,
    /// Its kind as configured last; none where that was before anybody wrote it down.
    pub kind: Option<String>,
    /// When everyone was last judged.
    pub judged_at: Option<DateTime<Utc>>,
    /// When somebody took leave of it.
    pub closed_at: Option<DateTime<Utc>>,
    /// Enabled rows of users and applications.
    pub enabled: i64,
    /// Disabled ones.
    pub disabled: i64,
    /// Rows whose removal waits for a person.
    pub held: i64,
    /// Whether there is any row at all, a placeholder perhaps.
    pub has_rows: bool,
}
