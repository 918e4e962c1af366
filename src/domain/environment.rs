//! An environment: one set of SystemUsers with its own gates (rules.md, section 1).

use super::word::words;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::extra_field::ExtraField;
use super::field::Policies;
use super::unit::Name;

words! {
    /// The kinds of environment.
    pub enum Kind: "no kind of environment" {
        /// For daily work.
        Production "production"
        /// For testing and for changes.
        Sandbox "sandbox"
        /// The tenant's default environment.
        Default "default"
        /// A trial: rows are created on demand only.
        Trial "trial"
        /// One developer's own.
        Developer "developer"
        /// Dataverse for Teams: rows are created on demand only.
        Teams "teams"
    }
}

words! {
    /// How membership through a nested group counts.
    #[derive(Default)]
    pub enum GroupNesting: "no group nesting" {
        /// It does not count; nested groups are not read in the cycle.
        #[default]
        Ignore "ignore"
        /// It counts for access on demand only.
        OnDemand "on_demand"
        /// It counts as direct membership.
        Full "full"
    }
}

words! {
    /// What happens to rows that depend on app passes when the capacity drops to 0.
    #[derive(Default)]
    pub enum AppPassLapse: "nothing that can happen when app passes lapse" {
        /// They are disabled after the grace period.
        #[default]
        Disable "disable"
        /// They stay until another entitlement decides.
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
    /// Whether it has a database; without one no user gets a row.
    pub has_database: bool,
    /// The security group whose members may have access; if there is none, everyone may.
    pub security_group: Option<Uuid>,
    /// How nested membership counts.
    pub group_nesting: GroupNesting,
    /// The creator of a developer environment, by object id.
    pub creator: Option<Uuid>,
    /// App passes allocated to the environment; 0 means none.
    pub app_pass_capacity: u32,
    /// The effect of a drop to 0.
    pub app_pass_lapse: AppPassLapse,
    /// The grace period of rows that depend on app passes.
    pub app_pass_grace: Duration,
    /// Whether pay-as-you-go is on.
    pub pay_as_you_go: bool,
    /// The maximum number of enabled non-interactive users; 7 by default (seeds.md, row B20).
    pub non_interactive_cap: u32,
    /// The name of the business unit of new rows; without one, the root.
    pub default_business_unit: Option<Name>,
    /// Whether disabled users may be granted security roles.
    pub allow_role_assignment_on_disabled_users: bool,
    /// Whether the sync maintains `license_roles`.
    pub license_role_management: bool,
    /// The names of its security roles.
    pub roles: Vec<String>,
    /// Roles that the sync grants and revokes with a plan: plan id and role name.
    pub license_roles: Vec<(Uuid, String)>,
    /// Who owns each column.
    pub policies: Policies,
    /// Properties in columns beside the synchronised ones.
    pub extra_fields: Vec<ExtraField>,
}

impl Environment {
    /// Whether members of groups within the security group count at all.
    #[must_use]
    pub fn counts_nested(&self) -> bool {
        self.group_nesting != GroupNesting::Ignore
    }

    /// An environment with default settings.
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
            default_business_unit: None,
            allow_role_assignment_on_disabled_users: false,
            license_role_management: true,
            roles: Vec::new(),
            license_roles: Vec::new(),
            policies: Policies::default(),
            extra_fields: Vec::new(),
        }
    }

    /// Whether the environment has a security role of that name.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }

    /// Whether the sync grants and revokes the roles that `license_roles` maps from plans (rules.md, section 8).
    #[must_use]
    pub fn manages_license_roles(&self) -> bool {
        self.license_role_management && !matches!(self.kind, Kind::Teams | Kind::Trial | Kind::Developer)
    }
}

/// An environment with its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownEnvironment {
    /// Its name.
    pub name: String,
    /// Its kind as last configured; none if that was before kinds were recorded.
    pub kind: Option<String>,
    /// When everyone was last evaluated.
    pub judged_at: Option<DateTime<Utc>>,
    /// When it was retired.
    pub closed_at: Option<DateTime<Utc>>,
    /// Enabled rows of users and applications.
    pub enabled: i64,
    /// Disabled rows.
    pub disabled: i64,
    /// Rows whose removal waits for a person.
    pub held: i64,
    /// Whether it has any row, including placeholders.
    pub has_rows: bool,
}
