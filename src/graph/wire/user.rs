//! Users, as `users/delta` and `users/{id}` send them: about 6 kB each, nearly all of it `assignedPlans`.
//!
//! Only what the daemon keeps is turned into values; the rest is skipped without being copied.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::{Compared, ObjectType, Raw, RawId, Usable};
use crate::domain::feed::{Patch, Removal, UserChange, UserPatch};

/// The `$select` of every request for users: exactly what stands behind [`UserPatch`]. Only these properties are
/// tracked, so a change here needs a full round.
pub(in crate::graph) const SELECTION: &str = "id,userPrincipalName,displayName,givenName,surname,jobTitle,mail,\
    businessPhones,mobilePhone,streetAddress,city,state,postalCode,country,accountEnabled,assignedPlans";

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "id")]
    Id,
    #[serde(rename = "@odata.type")]
    Type,
    #[serde(rename = "@removed")]
    Removed,
    #[serde(rename = "accountEnabled")]
    AccountEnabled,
    #[serde(rename = "assignedPlans")]
    AssignedPlans,
    #[serde(rename = "userPrincipalName")]
    UserPrincipalName,
    #[serde(rename = "displayName")]
    DisplayName,
    #[serde(rename = "givenName")]
    GivenName,
    #[serde(rename = "surname")]
    Surname,
    #[serde(rename = "jobTitle")]
    JobTitle,
    #[serde(rename = "mail")]
    Mail,
    #[serde(rename = "businessPhones")]
    BusinessPhones,
    #[serde(rename = "mobilePhone")]
    MobilePhone,
    #[serde(rename = "streetAddress")]
    StreetAddress,
    #[serde(rename = "city")]
    City,
    #[serde(rename = "state")]
    State,
    #[serde(rename = "postalCode")]
    PostalCode,
    #[serde(rename = "country")]
    Country,
    #[serde(other)]
    Other,
}

/// One user or tombstone.
#[derive(Default)]
pub(in crate::graph) struct RawUser {
    id: RawId,
    removed: Option<Removal>,
    patch: Box<UserPatch>,
}

impl Raw for RawUser {
    type Item = UserChange;

    fn finish(mut self, unreadable: &mut Vec<String>) -> Option<UserChange> {
        let id = self.id.or_complain("a user", unreadable)?;
        if let Some(reason) = self.removed {
            return Some(UserChange::Removed {
                id,
                reason,
                deleted_at: None,
            });
        }
        self.patch.id = id;
        Some(UserChange::Present(self.patch))
    }
}

impl<'de> Deserialize<'de> for RawUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawUserVisitor)
    }
}

struct RawUserVisitor;

impl<'de> Visitor<'de> for RawUserVisitor {
    type Value = RawUser;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawUser, A::Error> {
        let mut user = RawUser::default();
        let patch = user.patch.as_mut();
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Id => user.id = map.next_value()?,
                Key::Type => patch.is_agent = map.next_value::<Compared<ObjectType>>()?.0 == ObjectType::AgentUser,
                Key::Removed => {
                    user.removed = map
                        .next_value::<Option<RawRemoved>>()?
                        .map(|removed| removed.reason.0.0);
                }
                Key::AccountEnabled => patch.account_enabled = said(map.next_value()?),
                Key::AssignedPlans => {
                    patch.usable_plans = said(map.next_value::<Option<Plans>>()?.map(|plans| plans.0));
                }
                Key::UserPrincipalName => patch.user_principal_name = said(map.next_value()?),
                Key::DisplayName => patch.display_name = said(map.next_value()?),
                Key::GivenName => patch.given_name = said(map.next_value()?),
                Key::Surname => patch.surname = said(map.next_value()?),
                Key::JobTitle => patch.job_title = said(map.next_value()?),
                Key::Mail => patch.mail = said(map.next_value()?),
                Key::BusinessPhones => {
                    patch.business_phone = said(map.next_value::<Option<FirstOf>>()?.and_then(|first| first.0));
                }
                Key::MobilePhone => patch.mobile_phone = said(map.next_value()?),
                Key::StreetAddress => patch.street_address = said(map.next_value()?),
                Key::City => patch.city = said(map.next_value()?),
                Key::State => patch.state = said(map.next_value()?),
                Key::PostalCode => patch.postal_code = said(map.next_value()?),
                Key::Country => patch.country = said(map.next_value()?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(user)
    }
}

/// A property that was mentioned.
fn said<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Null, Patch::Value)
}

#[derive(Deserialize)]
struct RawRemoved {
    #[serde(default)]
    reason: Compared<Reason>,
}

/// `deleted` is for good; `changed`, and any word we do not know, may come back.
struct Reason(Removal);

impl Default for Reason {
    fn default() -> Self {
        Self(Removal::SoftDeleted)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self(if text.eq_ignore_ascii_case("deleted") {
            Removal::Gone
        } else {
            Removal::SoftDeleted
        })
    }
}

/// The first text of a collection.
struct FirstOf(Option<String>);

impl<'de> Deserialize<'de> for FirstOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor;
        impl<'de> Visitor<'de> for FirstVisitor {
            type Value = FirstOf;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a collection of texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FirstOf, A::Error> {
                let first = seq.next_element::<Option<String>>()?.flatten();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstOf(first))
            }
        }
        deserializer.deserialize_seq(FirstVisitor)
    }
}

/// The usable plans of `assignedPlans`, sorted, without repeats: the list keeps history, and any usable entry wins.
struct Plans(Vec<Uuid>);

impl<'de> Deserialize<'de> for Plans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlansVisitor;
        impl<'de> Visitor<'de> for PlansVisitor {
            type Value = Plans;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a collection of plans")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plans, A::Error> {
                let mut plans = Vec::new();
                while let Some(plan) = seq.next_element::<RawPlan>()? {
                    if plan.capability_status.0.0 {
                        plans.extend(plan.service_plan_id.guid());
                    }
                }
                plans.sort_unstable();
                plans.dedup();
                Ok(Plans(plans))
            }
        }
        deserializer.deserialize_seq(PlansVisitor)
    }
}

/// One entry of `assignedPlans`; `assignedDateTime` and `service` are skipped.
#[derive(Deserialize)]
struct RawPlan {
    #[serde(default, rename = "capabilityStatus")]
    capability_status: Compared<Usable>,
    #[serde(default, rename = "servicePlanId")]
    service_plan_id: RawId,
}
