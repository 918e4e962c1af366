//! What the plans that the simulated tenant hands out are worth: rules.md, section 12, read for exactly these plans.
//!
//! Copied from the rules by hand, never from the product's catalogue. A plan that is not here is worth nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a usable plan is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Worth {
    Full,
    FreeM365,
    Viral,
    Marketing,
}

/// App passes are not here: "On a user it counts for nothing: the pass belongs to the environment."
const PLANS: &[(&str, &str, Worth)] = &[
    // Power Apps per user.
    (
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86",
        "POWERAPPS_PER_USER",
        Worth::Full,
    ),
    ("6ea4c1ef-c259-46df-bce2-943342cd3cb2", "DYN365_CDS_P2", Worth::Full),
    (
        "dc789ed8-0170-4b65-a415-eb77d5bb350a",
        "Flow_PowerApps_PerUser",
        Worth::Full,
    ),
    // Dynamics 365 Sales.
    (
        "2da8e897-7791-486b-b08f-cc63c8129df7",
        "DYN365_ENTERPRISE_SALES",
        Worth::Full,
    ),
    (
        "874fc546-6efe-4d22-90b8-5c4e7aa59f4b",
        "POWERAPPS_DYN_APPS",
        Worth::Full,
    ),
    ("7e6d7d78-73de-46ba-83b1-6d25117334ba", "FLOW_DYN_APPS", Worth::Full),
    // Dynamics 365 Team Members.
    (
        "4092fdb5-8d81-41d3-be76-aaba4074530b",
        "DYN365_TEAM_MEMBERS",
        Worth::Full,
    ),
    (
        "52e619e2-2730-439a-b0d3-d09ab7e8b705",
        "POWERAPPS_DYN_TEAM",
        Worth::Full,
    ),
    ("1ec58c70-f69c-486a-8109-4b87ce86e449", "FLOW_DYN_TEAM", Worth::Full),
    (
        "643d201a-9884-45be-962a-06ba97062e5e",
        "DYN365_Enterprise_Talent_Attract_TeamMember",
        Worth::Full,
    ),
    (
        "f2f49eef-4b3f-4853-809a-a055c6103fe0",
        "DYN365_Enterprise_Talent_Onboard_TeamMember",
        Worth::Full,
    ),
    (
        "c0454a3d-32b5-4740-b090-78c32f48f0ad",
        "Dynamics_365_for_Retail_Team_members",
        Worth::Full,
    ),
    (
        "d5156635-0704-4f66-8803-93258f8b2678",
        "Dynamics_365_for_Talent_Team_members",
        Worth::Full,
    ),
    (
        "f5aa7b45-8a36-4cd1-bc37-5d06dea98645",
        "Dynamics_365_for_Operations_Team_members",
        Worth::Full,
    ),
    // What comes with Microsoft 365.
    (
        "28b0fa46-c39a-4188-89e2-58e979a6b014",
        "DYN365_CDS_O365_P3",
        Worth::FreeM365,
    ),
    (
        "4ff01e01-1ba7-4d71-8cf8-ce96c3bbcf14",
        "DYN365_CDS_O365_P2",
        Worth::FreeM365,
    ),
    (
        "ca6e61ec-d4f4-41eb-8b88-d96e0e14323f",
        "DYN365_CDS_O365_F1",
        Worth::FreeM365,
    ),
    ("90db65a7-bf11-4904-a79f-ef657605145b", "CDS_O365_F1", Worth::FreeM365),
    ("95b76021-6a53-4741-ab8b-1d1f3d66a95a", "CDS_O365_P2", Worth::FreeM365),
    ("afa73018-811e-46e9-988f-f75d2b1b8430", "CDS_O365_P3", Worth::FreeM365),
    (
        "9c0dab89-a30c-4117-86e7-97bda240acd2",
        "POWERAPPS_O365_P3",
        Worth::FreeM365,
    ),
    (
        "c68f8d98-5534-41c8-bf36-22fa496fa792",
        "POWERAPPS_O365_P2",
        Worth::FreeM365,
    ),
    (
        "e0287f9f-e222-4f98-9a83-f379e249159a",
        "POWERAPPS_O365_S1",
        Worth::FreeM365,
    ),
    ("07699545-9485-468e-95b6-2fca3738be01", "FLOW_O365_P3", Worth::FreeM365),
    ("76846ad7-7776-4c40-a281-a386362dd1b9", "FLOW_O365_P2", Worth::FreeM365),
    ("bd91b1a4-9f94-4ecf-b45b-3a65e5c8128a", "FLOW_O365_S1", Worth::FreeM365),
    // Self-service.
    ("17ab22cd-a0b3-4536-910a-cb6eb12696c0", "DYN365_CDS_VIRAL", Worth::Viral),
    (
        "d5368ca3-357e-4acb-9c21-8495fb025d1f",
        "POWERAPPS_P2_VIRAL",
        Worth::Viral,
    ),
    ("50e68c76-46c6-4674-81f9-75456511b170", "FLOW_P2_VIRAL", Worth::Viral),
    (
        "d20bfa21-e9ae-43fc-93c2-20783f0840c3",
        "FLOW_P2_VIRAL_REAL",
        Worth::Viral,
    ),
    // The tenant's.
    (MARKETING, "DYN365_BUSINESS_Marketing", Worth::Marketing),
];

/// The plan that makes a tenant's SKU a Marketing licence.
pub const MARKETING: &str = "393a0c96-9ba1-4af0-8975-fa2f853a25ac";

static BY_ID: LazyLock<HashMap<&str, Worth>> =
    LazyLock::new(|| PLANS.iter().map(|(id, _, worth)| (*id, *worth)).collect());

/// What the plan with this id is worth.
pub fn worth(plan: &str) -> Option<Worth> {
    BY_ID.get(plan).copied()
}
