//! Which users the mirror holds: the whole tenant, or only those whom some environment concerns.

use std::fmt;

use super::environment::{Environment, Kind};
use super::word::words;

words! {
    /// The configured scope.
    #[derive(Default)]
    pub enum ScopeSetting: "no scope" {
        /// The smallest scope that the environments allow.
        #[default]
        Auto "auto"
        /// Every user of the tenant.
        Tenant "tenant"
        /// Only the users around the security groups.
        Groups "groups"
    }
}

/// The scope in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every user of the tenant.
    Tenant,
    /// The population: members and owners of the environments' groups, holders of the administrator roles, creators of
    /// developer environments, users with a row, and users who were just looked up on demand.
    Groups,
}

impl Scope {
    /// The scope that a setting means for some environments.
    #[must_use]
    pub fn of<'a>(setting: ScopeSetting, mut environments: impl Iterator<Item = &'a Environment>) -> Self {
        match setting {
            ScopeSetting::Tenant => Self::Tenant,
            ScopeSetting::Auto if environments.any(needs_everybody) => Self::Tenant,
            ScopeSetting::Auto | ScopeSetting::Groups => Self::Groups,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Groups => "groups",
        })
    }
}

/// Whether the background may create a row for any user of the tenant: the environment has a database, no security
/// group, and is of a kind that the background fills.
#[must_use]
pub fn needs_everybody(environment: &Environment) -> bool {
    environment.has_database
        && environment.security_group.is_none()
        && matches!(environment.kind, Kind::Production | Kind::Sandbox | Kind::Default)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_environment_that_the_background_fills_from_the_whole_tenant_widens_the_scope() {
        let group = Some(Uuid::from_u128(7));
        let cases = [
            (Kind::Production, None, true, Scope::Tenant),
            (Kind::Sandbox, None, true, Scope::Tenant),
            (Kind::Default, None, true, Scope::Tenant),
            (Kind::Production, group, true, Scope::Groups),
            (Kind::Production, None, false, Scope::Groups),
            (Kind::Trial, None, true, Scope::Groups),
            (Kind::Teams, None, true, Scope::Groups),
            (Kind::Developer, None, true, Scope::Groups),
        ];
        for (kind, security_group, has_database, expected) in cases {
            let behind_group = Environment {
                security_group: group,
                ..Environment::new("behind-group", Kind::Sandbox)
            };
            let other = Environment {
                has_database,
                security_group,
                ..Environment::new("other", kind)
            };
            let environments = [behind_group, other];
            let scope = |setting| Scope::of(setting, environments.iter());
            assert_eq!(
                scope(ScopeSetting::Auto),
                expected,
                "{kind} {security_group:?} {has_database}"
            );
            assert_eq!(scope(ScopeSetting::Tenant), Scope::Tenant);
            assert_eq!(scope(ScopeSetting::Groups), Scope::Groups);
        }
    }
}
