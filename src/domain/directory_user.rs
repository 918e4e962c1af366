//! One record of the mirror: a directory user as last read.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::extra_field::{ExtraProperties, ExtraProperty};
use super::feed::{Patch, UserPatch};
use super::field::Field;
pub use super::unknowns::{Property, Unknowns};

/// Whether the user exists in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DirectoryState {
    /// Present.
    #[default]
    Present,
    /// Soft-deleted, restorable.
    SoftDeleted,
    /// Permanently deleted.
    Gone,
}

/// A directory user: its identity and the properties that the rules use.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DirectoryUser {
    /// The object id: the only identity.
    pub id: Uuid,
    /// Whether the user exists in the directory.
    pub state: DirectoryState,
    /// When it was soft-deleted, if deletedItems reported that.
    pub deleted_at: Option<DateTime<Utc>>,
    /// `accountEnabled`; none if the application may not read it.
    pub account_enabled: Option<bool>,
    /// An AI agent's account.
    pub is_agent: bool,
    /// Usable plan ids, sorted, without duplicates.
    pub usable_plans: Vec<Uuid>,
    /// Which texts had NUL characters, which no column can store and which were removed: one bit for each [`Property`].
    pub nul_removed: i32,
    /// What could not be decoded at the last reading.
    pub undecodable: Unknowns,
    /// `userPrincipalName`.
    pub user_principal_name: Option<String>,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `givenName`.
    pub given_name: Option<String>,
    /// `surname`.
    pub surname: Option<String>,
    /// `jobTitle`.
    pub job_title: Option<String>,
    /// `mail`.
    pub mail: Option<String>,
    /// `businessPhones[0]`.
    pub business_phone: Option<String>,
    /// `mobilePhone`.
    pub mobile_phone: Option<String>,
    /// `streetAddress`.
    pub street_address: Option<String>,
    /// `city`.
    pub city: Option<String>,
    /// `state`.
    pub state_or_province: Option<String>,
    /// `postalCode`.
    pub postal_code: Option<String>,
    /// `country`.
    pub country: Option<String>,
    /// `userType`: `Guest`, `Member`, or none, which counts as a member.
    pub user_type: Option<String>,
    /// The properties that `[[extra_field]]` maps.
    pub extra: ExtraProperties,
}

impl DirectoryUser {
    /// Applies what the directory sent. Set `absent_is_null` in a full round, where a property that was never set is
    /// omitted; in an incremental round absent means unchanged (rules.md, section 7). A user that is sent exists: an
    /// earlier deletion is over. A property that cannot be decoded keeps its known value.
    pub fn absorb(&mut self, patch: &UserPatch, absent_is_null: bool) {
        let is_new = self.id.is_nil();
        self.id = patch.id;
        // If the entry is a tombstone, neither its presence nor what it omits is evidence.
        let may_be_removed = patch.undecodable.has(Property::Removed);
        let absent_is_null = absent_is_null && !may_be_removed;
        if !may_be_removed {
            self.state = DirectoryState::Present;
            self.deleted_at = None;
        }
        self.undecodable.set(Property::Removed, may_be_removed);
        self.is_agent |= patch.is_agent;
        self.undecodable
            .set(Property::Type, patch.undecodable.has(Property::Type));
        let some_plans = patch.undecodable.has(Property::AssignedPlans);
        self.absorb_plans(&patch.usable_plans, some_plans, is_new, absent_is_null);
        if patch.account_enabled != Patch::Absent || absent_is_null {
            let is_undecodable = patch.account_enabled == Patch::Undecodable;
            self.undecodable.set(Property::AccountEnabled, is_undecodable);
        }
        patch
            .account_enabled
            .apply_to(&mut self.account_enabled, absent_is_null);
        for (property, patch, known) in [
            (
                Property::UserPrincipalName,
                &patch.user_principal_name,
                &mut self.user_principal_name,
            ),
            (Property::DisplayName, &patch.display_name, &mut self.display_name),
            (Property::GivenName, &patch.given_name, &mut self.given_name),
            (Property::Surname, &patch.surname, &mut self.surname),
            (Property::JobTitle, &patch.job_title, &mut self.job_title),
            (Property::Mail, &patch.mail, &mut self.mail),
            (
                Property::BusinessPhones,
                &patch.business_phone,
                &mut self.business_phone,
            ),
            (Property::MobilePhone, &patch.mobile_phone, &mut self.mobile_phone),
            (Property::StreetAddress, &patch.street_address, &mut self.street_address),
            (Property::City, &patch.city, &mut self.city),
            (Property::State, &patch.state, &mut self.state_or_province),
            (Property::PostalCode, &patch.postal_code, &mut self.postal_code),
            (Property::Country, &patch.country, &mut self.country),
            (Property::UserType, &patch.user_type, &mut self.user_type),
        ] {
            let bit = 1 << property as i32;
            match patch {
                Patch::Undecodable => self.undecodable.set(property, true),
                Patch::Absent if !absent_is_null => {}
                _ => {
                    self.undecodable.set(property, false);
                    self.nul_removed &= !bit;
                }
            }
            patch.apply_to(known, absent_is_null);
            if let Some(text) = known
                && text.contains('\0')
            {
                text.retain(|character| character != '\0');
                self.nul_removed |= bit;
            }
        }
        self.absorb_extra(patch, absent_is_null);
    }

    fn absorb_extra(&mut self, patch: &UserPatch, absent_is_null: bool) {
        if patch.extra.is_empty() && !absent_is_null {
            return;
        }
        let bit = 1 << Property::Extra as i32;
        self.nul_removed &= !bit;
        if self.extra.absorb(&patch.extra, absent_is_null) {
            self.nul_removed |= bit;
        }
        self.undecodable
            .set(Property::Extra, !self.extra.undecodable.is_empty());
    }

    /// The value of a property that can be mapped, as last read: null where the directory has none, and where a text is
    /// blank.
    #[must_use]
    pub fn extra_value(&self, property: &ExtraProperty) -> Value {
        let value = match property.name {
            "displayName" => self.display_name.clone().map(Value::String),
            "userType" => self.user_type.clone().map(Value::String),
            name => self.extra.values.get(name).cloned(),
        };
        let is_blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        value.filter(|value| !is_blank(value)).unwrap_or(Value::Null)
    }

    /// Applies the plans. If some cannot be decoded, the known plans are kept in addition to the decoded ones.
    fn absorb_plans(&mut self, patch: &Patch<Vec<Uuid>>, is_incomplete: bool, is_new: bool, absent_is_null: bool) {
        let is_undecodable = is_incomplete || *patch == Patch::Undecodable;
        let is_decoded = matches!(patch, Patch::Value(_) | Patch::Absent) && !is_undecodable;
        match patch {
            Patch::Value(plans) if is_incomplete => {
                self.usable_plans.extend(plans);
                self.usable_plans.sort_unstable();
                self.usable_plans.dedup();
            }
            Patch::Value(plans) => self.usable_plans.clone_from(plans),
            Patch::Absent if absent_is_null => self.usable_plans.clear(),
            // The collection is never null in the directory (graph.md, section 2.2): null means that the application
            // may not read it, and the known plans stand.
            Patch::Null | Patch::Undecodable => {}
            Patch::Absent => return,
        }
        self.undecodable.set(Property::AssignedPlans, is_undecodable);
        if is_decoded || (is_undecodable && is_new) {
            self.undecodable.note_plans(is_decoded);
        }
    }

    /// The key under which user principal names are unique: lower-cased by Unicode's rules. None if there is no name,
    /// or none that a row could store: names are never truncated.
    #[must_use]
    pub fn upn_key(&self) -> Option<String> {
        let usable =
            |name: &&str| !name.trim().is_empty() && name.chars().count() <= Field::DomainName.max_characters();
        self.user_principal_name.as_deref().filter(usable).and_then(name_key)
    }
}

/// The version of [`upn_key`]. Increment it with every change, including a newer Unicode version of the standard
/// library: stored keys are then recomputed.
pub const FOLDING: i16 = 1;

/// The longest key that an index of the database accepts, in bytes.
const KEY_BYTES: usize = 2600;

/// Folds a user principal name; no other code does. Lower case by Unicode's rules, independent of locale, so that İ
/// becomes i with a dot above (two code points) and not i. Not normalised: the directory compares code points, and two
/// names that only look alike may be two people.
#[must_use]
pub fn upn_key(upn: &str) -> String {
    upn.to_lowercase()
}

/// The key of a row's name; none for a blank name, and for one that no index accepts.
#[must_use]
pub fn name_key(name: &str) -> Option<String> {
    Some(upn_key(name)).filter(|key| !key.trim().is_empty() && key.len() <= KEY_BYTES)
}
