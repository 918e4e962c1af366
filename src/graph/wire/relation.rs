//! The wire format of groups, their members and owners, roles, SKUs, deleted users and service principals.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::user::Removed;
use super::{Compared, Object, ObjectType, Raw, RawId, Tolerant, Usable};
use crate::domain::feed::{
    DeletedUser, GroupChange, Principal, PrincipalKind, RoleAssignment, ServicePrincipal, SubscribedSku,
};

/// A member, owner or container of something.
#[derive(Deserialize)]
pub(in crate::graph) struct RawPrincipal {
    #[serde(default)]
    id: Tolerant<RawId>,
    #[serde(default, rename = "@odata.type")]
    object_type: Tolerant<Compared<ObjectType>>,
    #[serde(default, rename = "@removed")]
    removed: Removed,
}

impl RawPrincipal {
    /// The type of the object, if present and decodable.
    fn object_type(&self) -> Option<ObjectType> {
        Some(self.object_type.0.as_ref()?.0)
    }
}

impl Raw for RawPrincipal {
    type Item = Principal;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<Principal> {
        let id = self.id.id().or_complain("a member", unreadable)?;
        let kind = match self.object_type() {
            Some(ObjectType::Unnamed | ObjectType::User | ObjectType::AgentUser) => PrincipalKind::User,
            Some(ObjectType::Group) => PrincipalKind::Group,
            Some(ObjectType::Other) => PrincipalKind::Other,
            None => PrincipalKind::Unknown,
        };
        Some(Principal { id, kind })
    }
}

/// One group, for the question whether it can be a gate.
#[derive(Deserialize)]
pub(in crate::graph) struct RawGroupKind {
    #[serde(default, rename = "securityEnabled")]
    security_enabled: Tolerant<Option<bool>>,
    #[serde(default, rename = "groupTypes")]
    types: Tolerant<Option<Vec<String>>>,
}

impl Raw for RawGroupKind {
    /// Whether it is a security group or a Microsoft 365 group.
    type Item = bool;
    type Tolerant = Self;

    fn finish(self, _: &mut Vec<String>) -> Option<bool> {
        let types = self.types.0.flatten().unwrap_or_default();
        // What is not told is no reason to warn.
        Some(self.security_enabled.0.flatten().unwrap_or(true) || types.iter().any(|kind| kind == "Unified"))
    }
}

/// One entry of `groups/delta`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawGroup {
    #[serde(default)]
    id: Tolerant<RawId>,
    #[serde(default, rename = "@removed")]
    removed: Removed,
    #[serde(default, rename = "members@delta")]
    members: Tolerant<Option<Vec<Tolerant<Object<RawPrincipal>>>>>,
}

impl Raw for RawGroup {
    type Item = GroupChange;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<GroupChange> {
        let group = self.id.id().or_complain("a group", unreadable)?;
        if self.removed == Removed::Undecodable || self.members.0.is_none() {
            unreadable.push("the changes of a group cannot be decoded".to_owned());
        }
        let mut joined = Vec::new();
        let mut left = Vec::new();
        // Backwards, so that the last of several entries about one member counts.
        let mut settled = HashSet::new();
        for Tolerant(member) in self.members.0.flatten().unwrap_or_default().into_iter().rev() {
            let Some(Object(member)) = member.filter(|member| member.0.removed != Removed::Undecodable) else {
                unreadable.push("the change of a member cannot be decoded".to_owned());
                continue;
            };
            let gone = member.removed != Removed::No;
            let Some(member) = member.finish(unreadable) else {
                continue;
            };
            if !settled.insert(member.id) {
                continue;
            }
            if gone {
                left.push(member.id);
            } else {
                joined.push(member);
            }
        }
        joined.reverse();
        left.reverse();
        Some(GroupChange {
            group,
            removed: matches!(self.removed, Removed::For(_)),
            joined,
            left,
        })
    }
}

/// One active role assignment, with its principal expanded.
#[derive(Deserialize)]
pub(in crate::graph) struct RawRoleAssignment {
    #[serde(default, rename = "principalId")]
    principal_id: Tolerant<RawId>,
    #[serde(default, rename = "directoryScopeId")]
    directory_scope_id: Tolerant<Compared<WholeTenant>>,
    #[serde(default)]
    principal: Tolerant<Option<Object<RawPrincipal>>>,
}

/// Whether a scope is the whole tenant, rather than an administrative unit or an object.
#[derive(Default)]
struct WholeTenant(bool);

impl From<&str> for WholeTenant {
    fn from(text: &str) -> Self {
        Self(text == "/")
    }
}

impl Raw for RawRoleAssignment {
    type Item = RoleAssignment;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<RoleAssignment> {
        let expanded = self.principal.0.flatten().map(|principal| principal.0);
        // An expanded principal has a type: without one it may be a group as well as a user.
        let kind = match expanded.as_ref().and_then(RawPrincipal::object_type) {
            Some(ObjectType::User | ObjectType::AgentUser) => PrincipalKind::User,
            Some(ObjectType::Group) => PrincipalKind::Group,
            Some(ObjectType::Other) => PrincipalKind::Other,
            Some(ObjectType::Unnamed) | None => PrincipalKind::Unknown,
        };
        let named = match (self.principal_id.id(), expanded) {
            (RawId::Guid(id), _) => RawId::Guid(id),
            (_, Some(principal)) => principal.id.id(),
            (unnamed, None) => unnamed,
        };
        let id = named.or_complain("a role assignment's principal", unreadable)?;
        let Some(Compared(WholeTenant(tenant_wide))) = self.directory_scope_id.0 else {
            unreadable.push("the scope of a role assignment cannot be decoded".to_owned());
            return None;
        };
        Some(RoleAssignment {
            principal: Principal { id, kind },
            tenant_wide,
        })
    }
}

/// One entry of `subscribedSkus`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawSku {
    #[serde(default, rename = "skuId")]
    sku_id: Tolerant<RawId>,
    #[serde(default, rename = "skuPartNumber")]
    part_number: Tolerant<Option<String>>,
    #[serde(default, rename = "capabilityStatus")]
    capability_status: Tolerant<Compared<String>>,
    #[serde(default, rename = "prepaidUnits")]
    units: Tolerant<Option<Object<RawUnits>>>,
    #[serde(default, rename = "servicePlans")]
    plans: Tolerant<Option<Vec<Tolerant<Object<RawSkuPlan>>>>>,
}

/// The units of a SKU by their state.
#[derive(Default, Deserialize)]
struct RawUnits {
    #[serde(default)]
    enabled: Tolerant<Option<i64>>,
    #[serde(default)]
    warning: Tolerant<Option<i64>>,
    #[serde(default)]
    suspended: Tolerant<Option<i64>>,
    #[serde(default, rename = "lockedOut")]
    locked_out: Tolerant<Option<i64>>,
}

#[derive(Deserialize)]
struct RawSkuPlan {
    #[serde(default, rename = "servicePlanId")]
    id: Tolerant<RawId>,
    #[serde(default, rename = "servicePlanName")]
    name: Tolerant<Option<String>>,
}

impl Raw for RawSku {
    type Item = SubscribedSku;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<SubscribedSku> {
        let sku_id = self.sku_id.id().or_complain("a SKU", unreadable)?;
        if self.capability_status.0.is_none() || self.plans.0.is_none() {
            unreadable.push("the status or the plans of a SKU cannot be decoded".to_owned());
        }
        let plans = self.plans.0.flatten().unwrap_or_default().into_iter();
        let plans = plans
            .filter_map(|Tolerant(plan)| {
                let (id, name) = plan.map_or((RawId::Malformed, None), |Object(plan)| {
                    (plan.id.id(), plan.name.0.flatten())
                });
                Some((id.or_complain("a SKU's plan", unreadable)?, name.unwrap_or_default()))
            })
            .collect();
        let status = self.capability_status.0.unwrap_or_default().0;
        let units = self.units.0.flatten().map(|Object(units)| units).unwrap_or_default();
        let units = [units.enabled, units.warning, units.suspended, units.locked_out];
        Some(SubscribedSku {
            sku_id,
            part_number: self.part_number.0.flatten().unwrap_or_default(),
            usable: Usable::from(status.as_str()).0,
            status,
            units: units.map(|count| count.0.flatten()),
            plans,
        })
    }
}

/// One entry of `directory/deletedItems/microsoft.graph.user`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawDeletedUser {
    #[serde(default)]
    id: Tolerant<RawId>,
    #[serde(default, rename = "deletedDateTime")]
    deleted_at: Tolerant<Compared<Moment>>,
}

/// A time, if it can be decoded.
#[derive(Default)]
struct Moment(Option<DateTime<Utc>>);

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self(DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc()))
    }
}

impl Tolerant<Compared<Moment>> {
    fn time(self) -> Option<DateTime<Utc>> {
        self.0?.0.0
    }
}

impl Raw for RawDeletedUser {
    type Item = DeletedUser;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<DeletedUser> {
        let id = self.id.id().or_complain("a deleted user", unreadable)?;
        Some(DeletedUser {
            id,
            deleted_at: self.deleted_at.time(),
        })
    }
}

/// The answer of `directory/deletedItems/{id}`, an object of any kind: none unless it is a user.
#[derive(Deserialize)]
pub(in crate::graph) struct RawDeletedItem {
    #[serde(default)]
    id: Tolerant<RawId>,
    #[serde(default, rename = "@odata.type")]
    object_type: Tolerant<Compared<ObjectType>>,
    #[serde(default, rename = "deletedDateTime")]
    deleted_at: Tolerant<Compared<Moment>>,
}

impl Raw for RawDeletedItem {
    type Item = Option<DeletedUser>;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<Option<DeletedUser>> {
        let id = self.id.id().or_complain("a deleted object", unreadable)?;
        let object_type = self.object_type.0.map(|object| object.0);
        let is_other = matches!(object_type, Some(ObjectType::Group | ObjectType::Other));
        Some((!is_other).then_some(DeletedUser {
            id,
            deleted_at: self.deleted_at.time(),
        }))
    }
}

/// One entry of `servicePrincipals`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawServicePrincipal {
    #[serde(default)]
    id: Tolerant<RawId>,
    #[serde(default, rename = "appId")]
    app_id: Tolerant<RawId>,
    #[serde(default, rename = "displayName")]
    display_name: Tolerant<Option<String>>,
    #[serde(default, rename = "accountEnabled")]
    account_enabled: Tolerant<Option<bool>>,
}

impl Raw for RawServicePrincipal {
    type Item = ServicePrincipal;
    type Tolerant = Self;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<ServicePrincipal> {
        Some(ServicePrincipal {
            object_id: self.id.id().or_complain("a service principal", unreadable)?,
            app_id: self
                .app_id
                .id()
                .or_complain("a service principal's application", unreadable)?,
            display_name: self.display_name.0.flatten(),
            account_enabled: self.account_enabled.0.flatten(),
        })
    }
}
