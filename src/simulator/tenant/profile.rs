//! What kinds of licence holders the tenant employs.

use std::sync::LazyLock;

use super::catalogue::{self, PLANS};
use super::user::{AssignedLicense, AssignedPlan, List};

/// A bundle of products a user holds, named for what makes it worth having.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Office E5, security, and Power Apps per user: a paid Dataverse plan.
    E5PowerApps,
    /// Microsoft 365 E3 and Dynamics 365 Sales.
    E3Sales,
    /// Microsoft 365 E3 and security: only the free Dataverse plans of Office.
    E3,
    /// A frontline worker: Microsoft 365 F3 alone.
    F3,
    /// Microsoft 365 E3 and the viral Power Apps plan.
    E3Viral,
    /// Microsoft 365 E3 and the Dynamics 365 Team Members product.
    E3TeamMember,
    /// Microsoft 365 E3 and a Power Apps per-app pass.
    E3PerApp,
    /// Dynamics 365 Sales was taken away, and the plans stay behind as Deleted.
    Lapsed,
    /// Deleted entries beside Enabled ones for the same Sales plans: it was taken away and given back.
    Renewed,
    /// Dynamics 365 Sales in its grace period (Warning).
    Grace,
    /// Dynamics 365 Sales whose subscription is Suspended.
    Suspended,
    /// Dynamics 365 Sales with the Sales plan itself switched off.
    SalesPlanDisabled,
    /// No licence at all.
    Unlicensed,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 13] = [
        Self::E5PowerApps,
        Self::E3Sales,
        Self::E3,
        Self::F3,
        Self::E3Viral,
        Self::E3TeamMember,
        Self::E3PerApp,
        Self::Lapsed,
        Self::Renewed,
        Self::Grace,
        Self::Suspended,
        Self::SalesPlanDisabled,
        Self::Unlicensed,
    ];

    /// The profile of a user who drew this number out of a hundred.
    pub(super) fn drawn(percent: u64) -> Self {
        match percent {
            0..25 => Self::E5PowerApps,
            25..50 => Self::E3Sales,
            50..72 => Self::E3,
            72..80 => Self::F3,
            80..84 => Self::E3Viral,
            84..87 => Self::E3TeamMember,
            87..89 => Self::E3PerApp,
            89..91 => Self::Lapsed,
            91..94 => Self::Renewed,
            94 => Self::Grace,
            95 => Self::Suspended,
            96 => Self::SalesPlanDisabled,
            _ => Self::Unlicensed,
        }
    }

    /// Products, the state of their plans, and the plans switched off in them.
    fn products(self) -> &'static [Holding] {
        const E3: Holding = ("SPE_E3", "Enabled", &[]);
        const SECURITY: Holding = ("EMS", "Enabled", &[]);
        match self {
            Self::E5PowerApps => &[
                ("ENTERPRISEPREMIUM", "Enabled", &[]),
                SECURITY,
                ("POWERAPPS_PER_USER", "Enabled", &[]),
            ],
            Self::E3Sales => &[E3, SECURITY, (SALES, "Enabled", &[])],
            Self::E3 => &[E3, SECURITY],
            Self::F3 => &[("SPE_F1", "Enabled", &[])],
            Self::E3Viral => &[E3, ("POWERAPPS_VIRAL", "Enabled", &[]), ("FLOW_FREE", "Enabled", &[])],
            Self::E3TeamMember => &[E3, ("DYN365_TEAM_MEMBERS", "Enabled", &[])],
            Self::E3PerApp => &[E3, SECURITY, ("POWERAPPS_PER_APP", "Enabled", &[])],
            Self::Lapsed => &[E3, SECURITY, (SALES, "Deleted", &[])],
            Self::Renewed => &[E3, (SALES, "Deleted", &[]), (SALES, "Enabled", &[])],
            Self::Grace => &[E3, SECURITY, (SALES, "Warning", &[])],
            Self::Suspended => &[E3, SECURITY, (SALES, "Suspended", &[])],
            Self::SalesPlanDisabled => &[E3, SECURITY, (SALES, "Enabled", &[SALES_PLAN])],
            Self::Unlicensed => &[],
        }
    }
}

type Holding = (&'static str, &'static str, &'static [&'static str]);

const SALES: &str = "DYN365_ENTERPRISE_SALES";
const SALES_PLAN: &str = "2da8e897-7791-486b-b08f-cc63c8129df7";

/// Users of one profile differ in their dates, so that pages compress as real ones would rather than to nothing.
const VARIANTS: usize = 16;

type Lists = (List<AssignedPlan>, List<AssignedLicense>);

static LISTS: LazyLock<Vec<Lists>> = LazyLock::new(|| {
    Profile::ALL
        .iter()
        .flat_map(|profile| (0..VARIANTS).map(move |variant| build(*profile, variant)))
        .collect()
});

/// The plans and licences of a profile; `variant` is any number.
pub(super) fn lists(profile: Profile, variant: u64) -> Lists {
    let row = Profile::ALL.iter().position(|known| *known == profile).unwrap_or(0);
    let column = usize::try_from(variant % VARIANTS as u64).unwrap_or(0);
    LISTS[row * VARIANTS + column].clone()
}

fn build(profile: Profile, variant: usize) -> Lists {
    let mut plans = Vec::new();
    let mut licenses = Vec::new();
    for (position, (part_number, status, disabled)) in profile.products().iter().enumerate() {
        let Some(product) = catalogue::product(part_number) else {
            continue;
        };
        let (year, month, day) = (2019 + position + variant % 4, 1 + variant % 12, 1 + (variant * 7) % 28);
        let assigned = format!(
            "{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            variant % 24,
            day,
            month * 2
        );
        for index in product.plans {
            let plan = &PLANS[usize::from(*index)];
            let off = disabled.contains(&plan.id);
            plans.push(AssignedPlan {
                plan_id: plan.id.into(),
                capability_status: if off { "Deleted" } else { status }.into(),
                service: plan.service.into(),
                assigned: assigned.clone(),
            });
        }
        if *status != "Deleted" {
            let disabled_plans = disabled.iter().map(|id| (*id).to_owned()).collect();
            licenses.push(AssignedLicense {
                sku_id: product.id.into(),
                disabled_plans,
            });
        }
    }
    (List::prerendered(plans), List::prerendered(licenses))
}
