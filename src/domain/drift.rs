//! What a verification found: how the mirror differed from the directory although no change told it. Counts and names of
//! properties, nothing about anybody.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::directory_user::{DirectoryState, DirectoryUser, Property};

/// How many of each kind differed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Drift {
    /// Users.
    pub users: u64,
    /// Memberships in groups.
    pub members: u64,
    /// Ownerships of groups. Each run reads all owners, so nothing can differ.
    pub owners: u64,
    /// How many users differed in each property; `@removed` is whether they exist.
    pub properties: BTreeMap<String, u64>,
}

/// The verification of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RunVerification {
    /// Whether it has ended. Otherwise the next run continues it.
    pub complete: bool,
    /// What it found in this run.
    pub drift: Drift,
}

impl Drift {
    /// Whether nothing differed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users == 0 && self.members == 0 && self.owners == 0
    }

    /// Adds a user, as known before a look-up and after it.
    pub fn add_user(&mut self, before: Option<&DirectoryUser>, after: Option<&DirectoryUser>) {
        let differing = match (before, after) {
            (Some(before), Some(after)) => differing(before, after),
            (None, Some(after)) if after.state == DirectoryState::Present => vec![Property::Removed],
            _ => Vec::new(),
        };
        self.users += u64::from(!differing.is_empty());
        for property in differing {
            *self.properties.entry(property.as_str().to_owned()).or_default() += 1;
        }
    }
}

/// The properties in which two records of a user differ.
fn differing(one: &DirectoryUser, other: &DirectoryUser) -> Vec<Property> {
    if one.state != other.state {
        return vec![Property::Removed];
    }
    let is_different = |property: &Property| match property {
        Property::UserPrincipalName => one.user_principal_name != other.user_principal_name,
        Property::DisplayName => one.display_name != other.display_name,
        Property::GivenName => one.given_name != other.given_name,
        Property::Surname => one.surname != other.surname,
        Property::JobTitle => one.job_title != other.job_title,
        Property::Mail => one.mail != other.mail,
        Property::BusinessPhones => one.business_phone != other.business_phone,
        Property::MobilePhone => one.mobile_phone != other.mobile_phone,
        Property::StreetAddress => one.street_address != other.street_address,
        Property::City => one.city != other.city,
        Property::State => one.state_or_province != other.state_or_province,
        Property::PostalCode => one.postal_code != other.postal_code,
        Property::Country => one.country != other.country,
        Property::AccountEnabled => one.account_enabled != other.account_enabled,
        Property::AssignedPlans => one.usable_plans != other.usable_plans,
        Property::Type => one.is_agent != other.is_agent,
        Property::Removed => false,
        Property::UserType => one.user_type != other.user_type,
        Property::Extra => one.extra != other.extra,
    };
    Property::ALL.iter().copied().filter(is_different).collect()
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no difference");
        }
        let mut parts = Vec::new();
        if self.users > 0 {
            let properties = self.properties.iter().map(|(name, count)| format!("{name} {count}"));
            let properties: Vec<String> = properties.collect();
            parts.push(format!("{} ({})", counted(self.users, "user"), properties.join(", ")));
        }
        for (count, what) in [(self.members, "membership"), (self.owners, "ownership")] {
            if count > 0 {
                parts.push(counted(count, what));
            }
        }
        f.write_str(&parts.join(" and "))
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for RunVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.drift;
        if self.complete {
            write!(f, "complete: {found}")
        } else {
            write!(f, "not complete, the next run continues: {found} so far")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_counts_users_once_and_each_property_they_differ_in() {
        let user = DirectoryUser {
            account_enabled: Some(true),
            ..DirectoryUser::default()
        };
        let blocked = DirectoryUser {
            account_enabled: Some(false),
            job_title: Some("Elsewhere".to_owned()),
            ..user.clone()
        };
        let gone = DirectoryUser {
            state: DirectoryState::Gone,
            ..user.clone()
        };
        let mut drift = Drift::default();
        for (before, after) in [
            (Some(&user), Some(&user)),
            (Some(&user), None),
            (None, None),
            (None, Some(&gone)),
        ] {
            drift.add_user(before, after);
        }
        assert_eq!((drift.is_empty(), drift.to_string().as_str()), (true, "no difference"));
        drift.add_user(Some(&user), Some(&blocked));
        drift.add_user(Some(&user), Some(&gone));
        drift.add_user(None, Some(&user));
        drift.members = 2;
        assert_eq!(
            drift.to_string(),
            "3 users (@removed 2, accountEnabled 1, jobTitle 1) and 2 memberships"
        );
    }
}
