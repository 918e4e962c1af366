//! The directory's data in our types: the shapes that `graph` produces and `store` keeps.
//!
//! Absent, null and value are three things on the wire and remain three things here. What absence means depends on the
//! kind of round (rules.md, section 7) and is decided where the mirror is written.

pub mod checkpoint;
mod trail;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::extra_field::ExtraProperty;
use super::unknowns::Unknowns;
pub use trail::{Entry, Extent, Trail};

/// An opaque link of a feed: a next link or a delta link, followed verbatim.
/// It is as sensitive as a secret, so neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Link(String);

impl Link {
    /// Wraps a received link.
    #[must_use]
    pub fn new(link: String) -> Self {
        Self(link)
    }

    /// The link itself, for the request and the checkpoint only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link(…{} characters)", self.0.len())
    }
}

/// The position of an answer among all answers (rules.md, section 2, "Order"): a number from one sequence of the
/// database, drawn before the attempt that was answered. A later request is newer, whichever answer arrives last and
/// whichever daemon sent it; clocks play no part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub i64);

/// An answer, and when it was requested. If it took several requests, when the first of them was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<T> {
    /// The moment.
    pub at: Moment,
    /// The answer.
    pub value: T,
}

impl<T> Asked<T> {
    /// Another value from the same answer.
    pub fn map<U>(self, say: impl FnOnce(T) -> U) -> Asked<U> {
        Asked {
            at: self.at,
            value: say(self.value),
        }
    }
}

/// The users whose entries of a feed are decoded in full. Of the others only the id is read; a tombstone is never
/// dropped.
#[derive(Clone, Debug, Default)]
pub enum Kept {
    /// All users.
    #[default]
    All,
    /// The users with these ids, which are sorted.
    Only(Arc<[Uuid]>),
}

impl Kept {
    /// Whether a user is among them.
    #[must_use]
    pub fn has(&self, id: Uuid) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search(&id).is_ok(),
        }
    }
}

/// One page of a feed.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// When it was requested.
    pub asked: Moment,
    /// What the page lists, in the order sent.
    pub items: Vec<T>,
    /// Entries that could not be read (no id, an id that is not a GUID): skipped, one sentence each, without personal
    /// data.
    pub unreadable: Vec<String>,
    /// The users whose entries were dropped.
    pub dropped: Vec<Uuid>,
    /// The size of the page in bytes.
    pub bytes: usize,
    /// Where the feed continues.
    pub next: Next,
}

impl<T> Page<T> {
    /// The same page with its items converted.
    #[must_use]
    pub fn map<U>(self, of: impl Fn(T) -> U) -> Page<U> {
        Page {
            asked: self.asked,
            items: self.items.into_iter().map(of).collect(),
            unreadable: self.unreadable,
            dropped: self.dropped,
            bytes: self.bytes,
            next: self.next,
        }
    }
}

/// How a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More pages follow.
    Page(Link),
    /// The round is complete; later changes are under this link. Delta feeds only.
    Delta(Link),
    /// The listing is complete. Plain listings only.
    End,
}

/// A property as an incremental feed sends it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Not mentioned.
    #[default]
    Absent,
    /// Explicitly null.
    Null,
    /// A value.
    Value(T),
    /// Something that is not a value of this property: it is unknown.
    Undecodable,
}

impl<T> Patch<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null | Self::Undecodable => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Value(value) => Patch::Value(change(value)),
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Undecodable => Patch::Undecodable,
        }
    }

    /// Applies the patch to the known value: in a full round absent means null, in an incremental one unchanged. A
    /// value that cannot be decoded changes nothing.
    pub fn apply_to(&self, known: &mut Option<T>, absent_is_null: bool)
    where
        T: Clone,
    {
        match self {
            Self::Value(value) => match known {
                Some(known) => known.clone_from(value),
                unknown => *unknown = Some(value.clone()),
            },
            Self::Null => *known = None,
            Self::Absent if absent_is_null => *known = None,
            Self::Absent | Self::Undecodable => {}
        }
    }
}

/// One entry of `users/delta`.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// The user exists; these are its properties.
    Present(Box<UserPatch>),
    /// A tombstone.
    Removed {
        /// The object id.
        id: Uuid,
        /// Soft-deleted or permanently deleted.
        reason: Removal,
        /// When it was deleted, if the answer says so.
        deleted_at: Option<DateTime<Utc>>,
    },
}

impl UserChange {
    /// The user's object id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Present(patch) => patch.id,
            Self::Removed { id, .. } => *id,
        }
    }
}

/// A whole listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed<T> {
    /// Its entries, in the order sent.
    pub items: Vec<T>,
    /// The number of entries that could not be read. If there are any, absence from the listing is not evidence.
    pub unreadable: usize,
}

/// Why a feed reports an object as removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `changed`: soft-deleted, restorable.
    SoftDeleted,
    /// `deleted`: permanently deleted.
    Gone,
}

/// The selected properties of one user.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// The object id.
    pub id: Uuid,
    /// `#microsoft.graph.agentUser`: an AI agent's account.
    pub is_agent: bool,
    /// What cannot be decoded in addition to the properties that are [`Patch::Undecodable`]: entries of `assignedPlans`
    /// (the others are in `usable_plans`), `@odata.type`, `@removed`.
    pub undecodable: Unknowns,
    /// `accountEnabled`.
    pub account_enabled: Patch<bool>,
    /// Ids of the `assignedPlans` whose `capabilityStatus` is `Enabled` or `Warning`; sorted, without duplicates.
    pub usable_plans: Patch<Vec<Uuid>>,
    /// `userPrincipalName`.
    pub user_principal_name: Patch<String>,
    /// `displayName`.
    pub display_name: Patch<String>,
    /// `givenName`.
    pub given_name: Patch<String>,
    /// `surname`.
    pub surname: Patch<String>,
    /// `jobTitle`.
    pub job_title: Patch<String>,
    /// `mail`.
    pub mail: Patch<String>,
    /// The first of `businessPhones`; an empty collection is `Null`.
    pub business_phone: Patch<String>,
    /// `mobilePhone`.
    pub mobile_phone: Patch<String>,
    /// `streetAddress`.
    pub street_address: Patch<String>,
    /// `city`.
    pub city: Patch<String>,
    /// `state`.
    pub state: Patch<String>,
    /// `postalCode`.
    pub postal_code: Patch<String>,
    /// `country`.
    pub country: Patch<String>,
    /// `userType`.
    pub user_type: Patch<String>,
    /// The properties that `[[extra_field]]` maps, as far as they were sent.
    pub extra: Vec<(&'static ExtraProperty, Patch<Value>)>,
}

/// The kind of object that a relation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// The answer does not say, or its value cannot be decoded.
    Unknown,
    /// A user, an agent user, or a member without a type in the answer.
    User,
    /// A group.
    Group,
    /// A device, contact, service principal or anything else.
    Other,
}

impl PrincipalKind {
    /// Whether it is a user, or may be one.
    #[must_use]
    pub const fn may_be_user(self) -> bool {
        matches!(self, Self::User | Self::Unknown)
    }
}

/// A member or owner of a group, or a holder of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The object id.
    pub id: Uuid,
    /// Its kind.
    pub kind: PrincipalKind,
}

/// One entry of `groups/delta`; a large group is sent in several.
#[derive(Clone, Debug)]
pub struct GroupChange {
    /// The group.
    pub group: Uuid,
    /// The group itself is soft-deleted or permanently deleted.
    pub removed: bool,
    /// The members who joined, in order.
    pub joined: Vec<Principal>,
    /// The members who left, in order. An id is never in both lists of one entry.
    pub left: Vec<Uuid>,
}

/// One active role assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The holder: a user, a role-assignable group, a service principal.
    pub principal: Principal,
    /// Whether `directoryScopeId` is "/".
    pub tenant_wide: bool,
}

/// Every active assignment of the three administrator roles.
pub type Assignments = Asked<Vec<(AdminRole, RoleAssignment)>>;

/// One entry of `subscribedSkus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedSku {
    /// The SKU.
    pub sku_id: Uuid,
    /// `skuPartNumber`.
    pub part_number: String,
    /// `capabilityStatus` is `Enabled` or `Warning`.
    pub usable: bool,
    /// `capabilityStatus`.
    pub status: String,
    /// `prepaidUnits`: enabled, warning, suspended, locked out; those that were sent.
    pub units: [Option<i64>; 4],
    /// Its service plans: id and `servicePlanName`.
    pub plans: Vec<(Uuid, String)>,
}

/// A soft-deleted user, as `directory/deletedItems` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedUser {
    /// The object id.
    pub id: Uuid,
    /// `deletedDateTime`, where sent.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// An application in this tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePrincipal {
    /// The object id, specific to this tenant.
    pub object_id: Uuid,
    /// The application id, the same in every tenant.
    pub app_id: Uuid,
    /// `displayName`, where sent.
    pub display_name: Option<String>,
    /// `accountEnabled`, where sent.
    pub account_enabled: Option<bool>,
}

/// The directory's answer about one user on demand.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// The user; `None` if the directory has no such live user.
    pub user: Asked<Option<UserPatch>>,
    /// The groups the user is a direct member of.
    pub groups: Asked<Listed<Uuid>>,
}

/// The three administrator roles that matter (rules.md, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdminRole {
    /// Global Administrator.
    Global,
    /// Power Platform Administrator.
    PowerPlatform,
    /// Dynamics 365 Administrator.
    Dynamics365,
}

impl AdminRole {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Global, Self::PowerPlatform, Self::Dynamics365];

    /// The role template id, which is the `roleDefinitionId` of a built-in role.
    #[must_use]
    pub const fn template_id(self) -> Uuid {
        match self {
            Self::Global => Uuid::from_u128(0x62e9_0394_69f5_4237_9190_0121_7714_5e10),
            Self::PowerPlatform => Uuid::from_u128(0x1164_8597_926c_4cf3_9c36_bceb_b0ba_8dcc),
            Self::Dynamics365 => Uuid::from_u128(0x4436_7163_eba1_44c3_98af_f578_7879_f96a),
        }
    }

    /// The role's display name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "Global Administrator",
            Self::PowerPlatform => "Power Platform Administrator",
            Self::Dynamics365 => "Dynamics 365 Administrator",
        }
    }
}
