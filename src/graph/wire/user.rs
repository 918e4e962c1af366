//! The wire format of users in `users/delta` and `users/{id}`: about 6 kB each, nearly all of it `assignedPlans`.
//!
//! Only what the daemon keeps is decoded; the rest is skipped without a copy.

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, DeserializeOwned, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Compared, Object, ObjectType, Raw, RawId, Tolerant, Usable};
use crate::domain::directory_user::Property;
use crate::domain::extra_field::{ExtraProperty, Kind};
use crate::domain::feed::{Patch, Removal, UserChange, UserPatch};

/// The `$select` of every request for users where nothing more is mapped: the properties of [`UserPatch`]. The service tracks only these properties, so a change here needs a full round.
pub(in crate::graph) const SELECTION: &str = "id,userPrincipalName,displayName,givenName,surname,jobTitle,mail,\
    businessPhones,mobilePhone,streetAddress,city,state,postalCode,country,userType,accountEnabled,assignedPlans";

/// The name of a property.
enum Key {
    Known(Known),
    /// One that is sent only where it is mapped.
    Extra(&'static ExtraProperty),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a property")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Key, E> {
                let known = Known::deserialize(name.into_deserializer())?;
                let extra = matches!(known, Known::Other)
                    .then(|| ExtraProperty::find(name))
                    .flatten();
                Ok(extra.map_or(Key::Known(known), Key::Extra))
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// The selection with the properties that `[[extra_field]]` maps.
pub(in crate::graph) fn selection<'a>(extra: impl IntoIterator<Item = &'a &'static str>) -> String {
    let names = std::iter::once(&SELECTION).chain(extra);
    names.copied().collect::<Vec<_>>().join(",")
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Known {
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
    #[serde(rename = "userType")]
    UserType,
    #[serde(other)]
    Other,
}

/// One user or tombstone.
#[derive(Default)]
pub(in crate::graph) struct RawUser {
    id: RawId,
    removed: Removed,
    patch: Box<UserPatch>,
}

/// The same for an entry with an undecodable value: each value is read on its own.
pub(in crate::graph) struct TolerantUser(RawUser);

impl Raw for RawUser {
    type Item = UserChange;
    type Tolerant = TolerantUser;

    fn finish(mut self, unreadable: &mut Vec<String>) -> Option<UserChange> {
        let id = self.id.or_complain("a user", unreadable)?;
        match self.removed {
            Removed::For(reason) => {
                return Some(UserChange::Removed {
                    id,
                    reason,
                    deleted_at: None,
                });
            }
            Removed::Undecodable => self.patch.undecodable.set(Property::Removed, true),
            Removed::No => {}
        }
        self.patch.id = id;
        Some(UserChange::Present(self.patch))
    }
}

impl Raw for TolerantUser {
    type Item = UserChange;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<UserChange> {
        self.0.finish(unreadable)
    }
}

impl<'de> Deserialize<'de> for RawUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawUserVisitor { tolerant: false })
    }
}

impl<'de> Deserialize<'de> for TolerantUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(RawUserVisitor { tolerant: true })
            .map(Self)
    }
}

struct RawUserVisitor {
    tolerant: bool,
}

impl RawUserVisitor {
    /// The next value; none if it cannot be decoded, which is an error unless the reader is tolerant.
    fn read<'de, T: DeserializeOwned, A: MapAccess<'de>>(&self, map: &mut A) -> Result<Option<T>, A::Error> {
        if self.tolerant {
            map.next_value::<Tolerant<T>>().map(|value| value.0)
        } else {
            map.next_value().map(Some)
        }
    }

    /// A property that is present.
    fn patch<'de, T: DeserializeOwned, A: MapAccess<'de>>(&self, map: &mut A) -> Result<Patch<T>, A::Error> {
        Ok(match self.read::<Option<T>, A>(map)? {
            Some(Some(value)) => Patch::Value(value),
            Some(None) => Patch::Null,
            None => Patch::Undecodable,
        })
    }

    /// A property that `[[extra_field]]` maps.
    fn extra<'de, A: MapAccess<'de>>(&self, kind: Kind, map: &mut A) -> Result<Patch<Value>, A::Error> {
        if kind == Kind::Boolean {
            return Ok(self.patch::<bool, A>(map)?.map(Value::Bool));
        }
        Ok(match self.patch::<String, A>(map)? {
            Patch::Value(text) => kind.decode(text).map_or(Patch::Undecodable, Patch::Value),
            patch => patch.map(Value::String),
        })
    }

    /// The plans, and whether some of them cannot be decoded.
    fn plans<'de, A: MapAccess<'de>>(&self, map: &mut A) -> Result<(Patch<Vec<Uuid>>, bool), A::Error> {
        if !self.tolerant {
            let plans = self.patch::<Plans, A>(map)?;
            return Ok((plans.map(|plans| plans.0), false));
        }
        let mut is_incomplete = false;
        let plans = self
            .patch::<Vec<Tolerant<Object<TolerantPlan>>>, A>(map)?
            .map(|entries| {
                let plans;
                (plans, is_incomplete) = tolerate(entries);
                plans.0
            });
        Ok((plans, is_incomplete))
    }
}

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
                Key::Known(Known::Id) => user.id = self.read(&mut map)?.unwrap_or(RawId::Malformed),
                Key::Known(Known::Type) => match self.read::<Compared<ObjectType>, A>(&mut map)? {
                    Some(Compared(object)) => patch.is_agent = object == ObjectType::AgentUser,
                    None => patch.undecodable.set(Property::Type, true),
                },
                Key::Known(Known::Removed) => user.removed = map.next_value()?,
                Key::Known(Known::AccountEnabled) => patch.account_enabled = self.patch(&mut map)?,
                Key::Known(Known::AssignedPlans) => {
                    let (plans, is_incomplete) = self.plans(&mut map)?;
                    patch.usable_plans = plans;
                    patch.undecodable.set(Property::AssignedPlans, is_incomplete);
                }
                Key::Known(Known::UserPrincipalName) => patch.user_principal_name = self.patch(&mut map)?,
                Key::Known(Known::DisplayName) => patch.display_name = self.patch(&mut map)?,
                Key::Known(Known::GivenName) => patch.given_name = self.patch(&mut map)?,
                Key::Known(Known::Surname) => patch.surname = self.patch(&mut map)?,
                Key::Known(Known::JobTitle) => patch.job_title = self.patch(&mut map)?,
                Key::Known(Known::Mail) => patch.mail = self.patch(&mut map)?,
                Key::Known(Known::BusinessPhones) => {
                    patch.business_phone = match self.patch::<FirstOf, A>(&mut map)? {
                        Patch::Value(FirstOf(first)) => first.map_or(Patch::Null, Patch::Value),
                        Patch::Undecodable => Patch::Undecodable,
                        Patch::Null | Patch::Absent => Patch::Null,
                    };
                }
                Key::Known(Known::MobilePhone) => patch.mobile_phone = self.patch(&mut map)?,
                Key::Known(Known::StreetAddress) => patch.street_address = self.patch(&mut map)?,
                Key::Known(Known::City) => patch.city = self.patch(&mut map)?,
                Key::Known(Known::State) => patch.state = self.patch(&mut map)?,
                Key::Known(Known::PostalCode) => patch.postal_code = self.patch(&mut map)?,
                Key::Known(Known::Country) => patch.country = self.patch(&mut map)?,
                Key::Known(Known::UserType) => patch.user_type = self.patch(&mut map)?,
                Key::Extra(property) => patch.extra.push((property, self.extra(property.kind, &mut map)?)),
                Key::Known(Known::Other) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(user)
    }
}

/// The content of `@removed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Removed {
    /// Absent.
    #[default]
    No,
    /// The object is removed, for this reason.
    For(Removal),
    /// Present, but undecodable: the object may be removed.
    Undecodable,
}

impl<'de> Deserialize<'de> for Removed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tolerant(removed) = Tolerant::<Option<HashMap<String, Box<RawValue>>>>::deserialize(deserializer)?;
        Ok(match removed {
            Some(None) => Self::No,
            Some(Some(removed)) => {
                let reason = removed.get("reason").map(|reason| serde_json::from_str(reason.get()));
                // A reason of another type counts as an unknown word.
                let Compared(Reason(reason)) = reason.and_then(Result::ok).unwrap_or_default();
                Self::For(reason)
            }
            None => Self::Undecodable,
        })
    }
}

/// `deleted` is permanent; `changed`, and any unknown word, may be undone.
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

/// The first string of a collection.
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

/// The usable plans of `assignedPlans`, sorted, without duplicates: the list keeps history, and any usable entry wins.
struct Plans(Vec<Uuid>);

impl FromIterator<Uuid> for Plans {
    fn from_iter<I: IntoIterator<Item = Uuid>>(plans: I) -> Self {
        let mut plans: Vec<Uuid> = plans.into_iter().collect();
        plans.sort_unstable();
        plans.dedup();
        Self(plans)
    }
}

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
                while let Some(Object(plan)) = seq.next_element::<Object<RawPlan>>()? {
                    if let (Usable(true), RawId::Guid(id)) = (plan.capability_status.0, plan.service_plan_id) {
                        plans.push(id);
                    }
                }
                Ok(plans.into_iter().collect())
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

/// The same, each value on its own.
#[derive(Deserialize)]
struct TolerantPlan {
    #[serde(default, rename = "capabilityStatus")]
    capability_status: Tolerant<Compared<Usable>>,
    #[serde(default, rename = "servicePlanId")]
    service_plan_id: Tolerant<RawId>,
}

/// The plans that are certainly usable, and whether undecodable entries may hold others.
fn tolerate(entries: Vec<Tolerant<Object<TolerantPlan>>>) -> (Plans, bool) {
    let mut is_incomplete = false;
    let plans = entries.into_iter().filter_map(|Tolerant(plan)| {
        let (usable, id) = plan.map_or((None, None), |Object(plan)| {
            (
                plan.capability_status.0.map(|status| status.0.0),
                plan.service_plan_id.0,
            )
        });
        match (usable, id) {
            (Some(true), Some(RawId::Guid(id))) => return Some(id),
            // Not usable, or without a valid id: the entry does not count, whatever else is undecodable.
            (Some(false), _) | (_, Some(RawId::Missing | RawId::Malformed)) => {}
            (None, Some(RawId::Guid(_))) | (_, None) => is_incomplete = true,
        }
        None
    });
    let plans = plans.collect();
    (plans, is_incomplete)
}
