//! Directory roles, who holds them, and the products the tenant subscribes to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Tenant;
use super::catalogue::{PLANS, PRODUCTS};

/// The template id of the Global Administrator.
pub const GLOBAL_ADMINISTRATOR: Uuid = Uuid::from_u128(0x62e9_0394_69f5_4237_9190_0121_7714_5e10);
/// The template id of the Power Platform Administrator.
pub const POWER_PLATFORM_ADMINISTRATOR: Uuid = Uuid::from_u128(0x1164_8597_926c_4cf3_9c36_bceb_b0ba_8dcc);
/// The template id of the Dynamics 365 Administrator.
pub const DYNAMICS_365_ADMINISTRATOR: Uuid = Uuid::from_u128(0x4436_7163_eba1_44c3_98af_f578_7879_f96a);
/// The template id of the Global Reader, who administers nothing.
pub const GLOBAL_READER: Uuid = Uuid::from_u128(0xf2ef_992c_3afb_46b9_b7cf_a126_ee74_c451);

/// How a role is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Assigned for good.
    Assigned,
    /// Activated through PIM until then.
    Activated(DateTime<Utc>),
    /// May be activated, and is not.
    Eligible,
}

/// A role, its holder, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Opaque.
    pub id: String,
    /// The template id, which is the definition id of a built-in role.
    pub role: Uuid,
    /// A user, a role-assignable group or a service principal.
    pub principal: Uuid,
    /// `/` is the whole tenant.
    pub scope: String,
    /// How it is held.
    pub hold: Hold,
}

impl RoleAssignment {
    /// Whether the role is held at this moment.
    pub(crate) fn active(&self, now: DateTime<Utc>) -> bool {
        match self.hold {
            Hold::Assigned => true,
            Hold::Activated(end) => end > now,
            Hold::Eligible => false,
        }
    }
}

/// A product of the tenant as `subscribedSkus` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sku {
    /// `skuId`.
    pub id: String,
    /// `skuPartNumber`.
    pub part_number: String,
    /// `capabilityStatus`: Enabled, Warning, Suspended, Deleted, `LockedOut`.
    pub capability_status: String,
    /// How many were bought.
    pub units: u32,
    /// Plan id, plan name, whether the plan applies to the company instead of to users.
    pub plans: Vec<(String, String, bool)>,
}

impl Sku {
    /// Every product of the catalogue, all bought.
    #[must_use]
    pub fn catalogue() -> Vec<Self> {
        PRODUCTS
            .iter()
            .map(|product| Self {
                id: product.id.into(),
                part_number: product.part_number.into(),
                capability_status: "Enabled".into(),
                units: 1_000_000,
                plans: product
                    .plans
                    .iter()
                    .map(|index| &PLANS[usize::from(*index)])
                    .map(|plan| (plan.id.into(), plan.name.into(), plan.company))
                    .collect(),
            })
            .collect()
    }

    pub(crate) fn to_json(&self, tenant: Uuid) -> Value {
        let units = |status: &str| {
            if self.capability_status == status {
                self.units
            } else {
                0
            }
        };
        let plans: Vec<Value> = self
            .plans
            .iter()
            .map(|(id, name, company)| {
                json!({
                    "servicePlanId": id,
                    "servicePlanName": name,
                    "provisioningStatus": if self.capability_status == "Suspended" { "Disabled" } else { "Success" },
                    "appliesTo": if *company { "Company" } else { "User" },
                })
            })
            .collect();
        json!({
            "accountName": "contoso",
            "accountId": tenant,
            "appliesTo": "User",
            "capabilityStatus": self.capability_status,
            "consumedUnits": self.units / 2,
            "id": format!("{tenant}_{}", self.id),
            "skuId": self.id,
            "skuPartNumber": self.part_number,
            "subscriptionIds": [],
            "prepaidUnits": {
                "enabled": units("Enabled"),
                "suspended": units("Suspended"),
                "warning": units("Warning"),
                "lockedOut": units("LockedOut"),
            },
            "servicePlans": plans,
        })
    }
}

impl Tenant {
    /// Assigns a role for good; `/` is the scope of the whole tenant. The id of the assignment.
    pub fn assign_role(&self, role: Uuid, principal: Uuid, scope: &str) -> String {
        self.hold(role, principal, scope, Hold::Assigned)
    }

    /// Lets the principal activate a role. She does not hold it yet.
    pub fn make_eligible(&self, role: Uuid, principal: Uuid, scope: &str) -> String {
        self.hold(role, principal, scope, Hold::Eligible)
    }

    /// Activates a role through PIM for so long, by the tenant's clock.
    pub fn activate_role(&self, role: Uuid, principal: Uuid, scope: &str, lasting: Duration) -> String {
        let end = self.clock.now() + chrono::Duration::from_std(lasting).unwrap_or(chrono::Duration::MAX);
        self.hold(role, principal, scope, Hold::Activated(end))
    }

    fn hold(&self, role: Uuid, principal: Uuid, scope: &str, hold: Hold) -> String {
        let mut state = self.write();
        let id = format!("{}-1", &state.birth().simple().to_string()[..24]);
        state.assignments.push(RoleAssignment {
            id: id.clone(),
            role,
            principal,
            scope: scope.into(),
            hold,
        });
        id
    }

    /// Takes a role away, assigned or activated, whatever the scope. Whether there was one.
    pub fn unassign_role(&self, role: Uuid, principal: Uuid) -> bool {
        self.release(|held| held.role == role && held.principal == principal && held.hold != Hold::Eligible)
    }

    /// Takes an eligibility away.
    pub fn end_eligibility(&self, role: Uuid, principal: Uuid) -> bool {
        self.release(|held| held.role == role && held.principal == principal && held.hold == Hold::Eligible)
    }

    fn release(&self, which: impl Fn(&RoleAssignment) -> bool) -> bool {
        let mut state = self.write();
        let before = state.assignments.len();
        state.assignments.retain(|held| !which(held));
        state.assignments.len() < before
    }

    /// Every assignment and eligibility, ended activations excepted.
    #[must_use]
    pub fn role_assignments(&self) -> Vec<RoleAssignment> {
        let now = self.clock.now();
        let state = self.read();
        state
            .assignments
            .iter()
            .filter(|held| !matches!(held.hold, Hold::Activated(end) if end <= now))
            .cloned()
            .collect()
    }

    /// The tenant's products.
    #[must_use]
    pub fn skus(&self) -> Vec<Sku> {
        self.read().skus.clone()
    }

    /// Replaces the tenant's products.
    pub fn set_skus(&self, skus: Vec<Sku>) {
        self.write().skus = skus;
    }
}
