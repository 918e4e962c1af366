//! Sections `[fields]` and `[[environment]]`: the environments with every default filled in.
//!
//! This module refuses contradictions that rules.md names, so that the rules need not check them. An environment cannot
//! be set through variables: which ones exist is a decision for a reviewed file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::Issue;
use super::secret::Surroundings;
use super::value::{DAY, Parsed, quoted, requoted, within};
use crate::domain::environment::{AppPassLapse, Environment, GroupNesting, Kind};
use crate::domain::field::{Field, Policies, Policy};
use crate::domain::unit::Name;

/// The default roles, if the configuration lists none: the ones that rules.md names and every environment has.
pub const DEFAULT_ROLES: [&str; 3] = ["System Administrator", "Basic User", "Environment Maker"];

/// Column → policy, as text.
pub(super) type RawFields = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnvironment {
    name: String,
    kind: Parsed<Kind>,
    has_database: Option<bool>,
    security_group: Option<Parsed<Uuid>>,
    group_nesting: Option<Parsed<GroupNesting>>,
    creator: Option<Parsed<Uuid>>,
    app_pass_capacity: Option<u32>,
    app_pass_lapse: Option<Parsed<AppPassLapse>>,
    app_pass_grace: Option<Parsed<Duration>>,
    pay_as_you_go: Option<bool>,
    non_interactive_cap: Option<u32>,
    default_business_unit: Option<String>,
    allow_role_assignment_on_disabled_users: Option<bool>,
    license_role_management: Option<bool>,
    roles: Option<Vec<String>>,
    #[serde(default)]
    license_roles: Vec<RawLicenseRole>,
    #[serde(default)]
    fields: RawFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLicenseRole {
    plan: Parsed<Uuid>,
    role: String,
}

/// All environments, each with its own policies over those of `[fields]`.
pub(super) fn validate(
    raw: Vec<RawEnvironment>,
    fields: &RawFields,
    surroundings: &mut Surroundings<'_>,
) -> Result<Vec<Environment>, Issue> {
    let mut policies = Policies::default();
    merge("fields", fields, &mut policies)?;
    if raw.is_empty() {
        return Err(Issue::new(
            "environment",
            "the list is empty; expected at least one [[environment]]",
        ));
    }
    let mut names = BTreeSet::new();
    let mut environments = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("environment[{index}]");
        let environment = raw.validate(&path, policies, surroundings)?;
        if !names.insert(environment.name.clone()) {
            return Err(Issue::new(
                &format!("{path}.name"),
                format!(
                    "another environment is called {} too; names must differ",
                    quoted(&environment.name)
                ),
            ));
        }
        environments.push(environment);
    }
    Ok(environments)
}

/// Merges the given policies over the existing ones.
fn merge(path: &str, fields: &RawFields, policies: &mut Policies) -> Result<(), Issue> {
    for (column, policy) in fields {
        let path = format!("{path}.{column}");
        column
            .parse::<Field>()
            .and_then(|field| policies.set(field, policy.parse::<Policy>()?))
            .map_err(|problem| Issue::new(&path, requoted(&problem, policy)))?;
    }
    Ok(())
}

impl RawEnvironment {
    fn validate(
        self,
        path: &str,
        mut policies: Policies,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<Environment, Issue> {
        let key = |key: &str| format!("{path}.{key}");
        let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || !self.name.bytes().all(usual) {
            return Err(Issue::new(
                &key("name"),
                format!(
                    "{} is no name; expected lower-case letters, digits and hyphens",
                    quoted(&self.name)
                ),
            ));
        }
        let kind = self.kind.0;
        // The product itself writes the all-zero GUID for "no group".
        let security_group = self.security_group.map(|group| group.0).filter(|group| !group.is_nil());
        if security_group.is_some() && matches!(kind, Kind::Default | Kind::Developer) {
            return Err(Issue::new(
                &key("security_group"),
                format!(
                    "a {} environment cannot have a security group; leave it out",
                    kind.as_str()
                ),
            ));
        }
        let creator = self.creator.map(|creator| creator.0);
        if kind == Kind::Developer && creator.is_none_or(|creator| creator.is_nil()) {
            return Err(Issue::new(
                &key("creator"),
                "missing; a developer environment is for its creator alone, so expected the creator's object id",
            ));
        }
        merge(&key("fields"), &self.fields, &mut policies)?;
        let mut environment = Environment {
            security_group,
            creator,
            policies,
            ..Environment::new(&self.name, kind)
        };
        if let Some(grace) = self.app_pass_grace {
            environment.app_pass_grace = within(&key("app_pass_grace"), grace.0, &(Duration::ZERO..=365 * DAY))?;
        }
        replace(&mut environment.has_database, self.has_database);
        replace(
            &mut environment.group_nesting,
            self.group_nesting.map(|nesting| nesting.0),
        );
        replace(&mut environment.app_pass_capacity, self.app_pass_capacity);
        replace(
            &mut environment.app_pass_lapse,
            self.app_pass_lapse.map(|lapse| lapse.0),
        );
        replace(&mut environment.pay_as_you_go, self.pay_as_you_go);
        replace(&mut environment.non_interactive_cap, self.non_interactive_cap);
        environment.default_business_unit = unit(&key("default_business_unit"), self.default_business_unit)?;
        replace(
            &mut environment.allow_role_assignment_on_disabled_users,
            self.allow_role_assignment_on_disabled_users,
        );
        replace(&mut environment.license_role_management, self.license_role_management);
        environment.roles = roles(&key("roles"), self.roles)?;
        environment.license_roles = license_roles(&key("license_roles"), self.license_roles, &environment.roles)?;
        warn(path, &environment, surroundings);
        Ok(environment)
    }
}

fn replace<T>(default: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *default = given;
    }
}

fn unit(path: &str, given: Option<String>) -> Result<Option<Name>, Issue> {
    let named = |given: String| {
        Name::parse(&given).map_err(|_| {
            let expected = "expected the name of a business unit, of at most 160 characters";
            Issue::new(path, format!("{} is no name; {expected}", quoted(&given)))
        })
    };
    given.map(named).transpose()
}

fn roles(path: &str, given: Option<Vec<String>>) -> Result<Vec<String>, Issue> {
    let Some(given) = given else {
        return Ok(DEFAULT_ROLES.map(str::to_owned).to_vec());
    };
    let mut seen = BTreeSet::new();
    for (index, role) in given.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if role.trim().is_empty() {
            return Err(Issue::new(&path, "empty; expected the name of a security role"));
        }
        if !seen.insert(role) {
            return Err(Issue::new(&path, format!("{} is listed twice", quoted(role))));
        }
    }
    Ok(given)
}

fn license_roles(path: &str, given: Vec<RawLicenseRole>, roles: &[String]) -> Result<Vec<(Uuid, String)>, Issue> {
    let mut pairs = BTreeSet::new();
    for (
        index,
        RawLicenseRole {
            plan: Parsed(plan),
            role,
        },
    ) in given.into_iter().enumerate()
    {
        if !roles.contains(&role) {
            return Err(Issue::new(
                &format!("{path}[{index}].role"),
                format!(
                    "{} does not exist in this environment; add it to roles or choose one of {}",
                    quoted(&role),
                    roles.join(", ")
                ),
            ));
        }
        pairs.insert((plan, role));
    }
    Ok(pairs.into_iter().collect())
}

/// Warns about settings that are legal but probably unintended.
fn warn(path: &str, environment: &Environment, surroundings: &mut Surroundings<'_>) {
    let kind = environment.kind;
    let mut warn = |key: &str, problem: String| surroundings.warnings.push(format!("{path}.{key}: {problem}"));
    if environment.creator.is_some() && kind != Kind::Developer {
        warn(
            "creator",
            format!(
                "only developer environments look at it, this one is of kind {}",
                kind.as_str()
            ),
        );
    }
    if !environment.license_roles.is_empty() && matches!(kind, Kind::Teams | Kind::Trial | Kind::Developer) {
        warn(
            "license_roles",
            format!("not applied in {} environments", kind.as_str()),
        );
    }
    if kind == Kind::Default {
        for role in ["Basic User", "Environment Maker"] {
            if !environment.roles.iter().any(|known| known == role) {
                warn(
                    "roles",
                    format!("`{role}` is missing, so the users of this default environment will not get it"),
                );
            }
        }
    }
}
