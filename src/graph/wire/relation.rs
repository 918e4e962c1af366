//! Groups, their members and owners, roles, SKUs, deleted users and service principals as they travel.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Compared, ObjectType, Raw, RawId, Usable};
use crate::domain::feed::{
    DeletedUser, GroupChange, Principal, PrincipalKind, RoleAssignment, ServicePrincipal, SubscribedSku,
};

impl From<ObjectType> for PrincipalKind {
    fn from(object: ObjectType) -> Self {
        match object {
            ObjectType::Unnamed | ObjectType::User | ObjectType::AgentUser => Self::User,
            ObjectType::Group => Self::Group,
            ObjectType::Other => Self::Other,
        }
    }
}

/// A member, owner or container of something.
#[derive(Deserialize)]
pub(in crate::graph) struct RawPrincipal {
    #[serde(default)]
    id: RawId,
    #[serde(default, rename = "@odata.type")]
    object_type: Compared<ObjectType>,
    #[serde(default, rename = "@removed")]
    removed: Option<IgnoredAny>,
}

impl Raw for RawPrincipal {
    type Item = Principal;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<Principal> {
        let id = self.id.or_complain("a member", unreadable)?;
        Some(Principal {
            id,
            kind: self.object_type.0.into(),
        })
    }
}

/// One entry of `groups/delta`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawGroup {
    #[serde(default)]
    id: RawId,
    #[serde(default, rename = "@removed")]
    removed: Option<IgnoredAny>,
    #[serde(default, rename = "members@delta")]
    members: Option<Vec<RawPrincipal>>,
}

impl Raw for RawGroup {
    type Item = GroupChange;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<GroupChange> {
        let group = self.id.or_complain("a group", unreadable)?;
        let mut joined = Vec::new();
        let mut left = Vec::new();
        // Backwards, so that of several words about one member the last counts.
        let mut settled = HashSet::new();
        for member in self.members.unwrap_or_default().into_iter().rev() {
            let gone = member.removed.is_some();
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
            removed: self.removed.is_some(),
            joined,
            left,
        })
    }
}

/// One active role assignment, with its principal expanded.
#[derive(Deserialize)]
pub(in crate::graph) struct RawRoleAssignment {
    #[serde(default, rename = "principalId")]
    principal_id: RawId,
    #[serde(default, rename = "directoryScopeId")]
    directory_scope_id: Compared<WholeTenant>,
    #[serde(default)]
    principal: Option<RawPrincipal>,
}

/// Whether a scope is the whole tenant; administrative units and objects are not.
#[derive(Default)]
struct WholeTenant(bool);

impl From<&str> for WholeTenant {
    fn from(text: &str) -> Self {
        Self(text == "/")
    }
}

impl Raw for RawRoleAssignment {
    type Item = RoleAssignment;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<RoleAssignment> {
        let (expanded_id, kind) = match self.principal {
            Some(principal) => (principal.id, principal.object_type.0.into()),
            None => (RawId::Missing, PrincipalKind::User),
        };
        let named = if self.principal_id == RawId::Missing {
            expanded_id
        } else {
            self.principal_id
        };
        let id = named.or_complain("a role assignment's principal", unreadable)?;
        Some(RoleAssignment {
            principal: Principal { id, kind },
            tenant_wide: self.directory_scope_id.0.0,
        })
    }
}

/// One entry of `subscribedSkus`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawSku {
    #[serde(default, rename = "skuId")]
    sku_id: RawId,
    #[serde(default, rename = "skuPartNumber")]
    part_number: Option<String>,
    #[serde(default, rename = "capabilityStatus")]
    capability_status: Compared<Usable>,
    #[serde(default, rename = "servicePlans")]
    plans: Option<Vec<RawSkuPlan>>,
}

#[derive(Deserialize)]
struct RawSkuPlan {
    #[serde(default, rename = "servicePlanId")]
    id: RawId,
    #[serde(default, rename = "servicePlanName")]
    name: Option<String>,
}

impl Raw for RawSku {
    type Item = SubscribedSku;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<SubscribedSku> {
        let sku_id = self.sku_id.or_complain("a SKU", unreadable)?;
        let plans = self.plans.unwrap_or_default().into_iter();
        let plans = plans
            .filter_map(|plan| {
                Some((
                    plan.id.or_complain("a SKU's plan", unreadable)?,
                    plan.name.unwrap_or_default(),
                ))
            })
            .collect();
        Some(SubscribedSku {
            sku_id,
            part_number: self.part_number.unwrap_or_default(),
            usable: self.capability_status.0.0,
            plans,
        })
    }
}

/// One entry of `directory/deletedItems/microsoft.graph.user`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawDeletedUser {
    #[serde(default)]
    id: RawId,
    #[serde(default, rename = "deletedDateTime")]
    deleted_at: Compared<Moment>,
}

/// A time, where it can be read.
#[derive(Default)]
struct Moment(Option<DateTime<Utc>>);

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self(DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc()))
    }
}

impl Raw for RawDeletedUser {
    type Item = DeletedUser;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<DeletedUser> {
        let id = self.id.or_complain("a deleted user", unreadable)?;
        Some(DeletedUser {
            id,
            deleted_at: self.deleted_at.0.0,
        })
    }
}

/// The answer of `directory/deletedItems/{id}`, which may be an object of any kind: nothing unless it is a user.
#[derive(Deserialize)]
pub(in crate::graph) struct RawDeletedItem {
    #[serde(default)]
    id: RawId,
    #[serde(default, rename = "@odata.type")]
    object_type: Compared<ObjectType>,
    #[serde(default, rename = "deletedDateTime")]
    deleted_at: Compared<Moment>,
}

impl Raw for RawDeletedItem {
    type Item = Option<DeletedUser>;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<Option<DeletedUser>> {
        let id = self.id.or_complain("a deleted object", unreadable)?;
        let is_user = PrincipalKind::from(self.object_type.0) == PrincipalKind::User;
        Some(is_user.then_some(DeletedUser {
            id,
            deleted_at: self.deleted_at.0.0,
        }))
    }
}

/// One entry of `servicePrincipals`.
#[derive(Deserialize)]
pub(in crate::graph) struct RawServicePrincipal {
    #[serde(default)]
    id: RawId,
    #[serde(default, rename = "appId")]
    app_id: RawId,
    #[serde(default, rename = "displayName")]
    display_name: Option<String>,
    #[serde(default, rename = "accountEnabled")]
    account_enabled: Option<bool>,
}

impl Raw for RawServicePrincipal {
    type Item = ServicePrincipal;

    fn finish(self, unreadable: &mut Vec<String>) -> Option<ServicePrincipal> {
        Some(ServicePrincipal {
            object_id: self.id.or_complain("a service principal", unreadable)?,
            app_id: self
                .app_id
                .or_complain("a service principal's application", unreadable)?,
            display_name: self.display_name,
            account_enabled: self.account_enabled,
        })
    }
}
