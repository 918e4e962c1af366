//! Directory roles, who holds them, and the products the tenant subscribes to.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

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

/// A product of the tenant as `subscribedSkus` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sku {
    /// `skuId`.
    pub id: String,
    /// `skuPartNumber`.
    pub part_number: String,
    /// `capabilityStatus`: Enabled, Warning, Suspended, Deleted, LockedOut.
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
