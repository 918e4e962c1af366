//! Item 11: what counts as a licence.

use rollcall::simulator::tenant::{AssignedLicense, AssignedPlan, Profile, User};
use rollcall::simulator::{Effect, When};
use uuid::Uuid;

use super::{
    ENVIRONMENT, OFFICE_DATAVERSE, POWER_APPS, SALES, assert_all_enabled, disabled, forever, has_row, heal, paged, row,
    staff, sync_incompletely, unlicense,
};
use crate::world::World;

/// `DYN365_ENTERPRISE_SALES`, the product.
const SALES_PRODUCT: &str = "1e1a282c-9c54-43a2-9310-98ef728faace";

fn with_plans(world: &World, given: &str, plans: Vec<AssignedPlan>) -> Uuid {
    world.tenant().add_user(User {
        plans: plans.into(),
        ..User::named(given, "Licensed")
    })
}

fn set_plans(world: &World, user: Uuid, plans: Vec<AssignedPlan>) {
    world.tenant().update_user(user, |user| user.plans = plans.into());
}

/// A user with only this: whether she gets a row.
async fn is_a_licence(plans: Vec<AssignedPlan>) -> bool {
    let world = paged(10).await;
    let user = with_plans(&world, "Only", plans.clone());
    world.sync_completely().await;
    let created = has_row(&world, user).await;
    world.assert_settled().await;

    // The same verdict for a row that exists already.
    let before = with_plans(&world, "Before", vec![AssignedPlan::new(SALES, "Enabled")]);
    world.sync_completely().await;
    set_plans(&world, before, plans);
    world.sync_completely().await;
    assert_eq!(row(&world, before).await.islicensed, created);
    world.assert_settled().await;
    world.end().await;
    created
}

#[tokio::test]
async fn item_11_a_product_with_the_plan_disabled_is_no_licence() {
    let world = paged(10).await;
    let user = world.tenant().add_user(User {
        licenses: vec![AssignedLicense {
            sku_id: SALES_PRODUCT.to_owned(),
            disabled_plans: vec![SALES.to_string()],
        }]
        .into(),
        plans: vec![AssignedPlan::new(SALES, "Deleted")].into(),
        ..User::named("Product", "Without")
    });
    world.sync_completely().await;
    assert!(!has_row(&world, user).await, "plans are judged, never products");
    set_plans(&world, user, vec![AssignedPlan::new(SALES, "Enabled")]);
    world.sync_completely().await;
    assert_all_enabled(&world, &[user]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_11_a_plan_in_warning_is_a_licence() {
    assert!(is_a_licence(vec![AssignedPlan::new(SALES, "Warning")]).await);
}

#[tokio::test]
async fn item_11_a_suspended_plan_is_no_licence() {
    assert!(!is_a_licence(vec![AssignedPlan::new(SALES, "Suspended")]).await);
}

#[tokio::test]
async fn item_11_a_locked_out_plan_is_no_licence() {
    assert!(!is_a_licence(vec![AssignedPlan::new(SALES, "LockedOut")]).await);
}

#[tokio::test]
async fn item_11_a_plan_goes_from_warning_to_suspended_and_back() {
    let world = paged(10).await;
    let user = with_plans(&world, "Grace", vec![AssignedPlan::new(SALES, "Enabled")]);
    world.sync_completely().await;
    for (status, reason) in [
        ("Warning", None),
        ("Suspended", Some("unlicensed")),
        ("Enabled", None),
        ("Deleted", Some("unlicensed")),
        ("Warning", None),
    ] {
        set_plans(&world, user, vec![AssignedPlan::new(SALES, status)]);
        world.sync_completely().await;
        assert_eq!(disabled(&world, user).await.as_deref(), reason, "{status}");
        world.assert_settled().await;
    }
    world.end().await;
}

#[tokio::test]
async fn item_11_deleted_beside_enabled_for_one_plan_is_a_licence() {
    let [deleted, enabled] = ["Deleted", "Enabled"].map(|status| AssignedPlan::new(SALES, status));
    assert!(is_a_licence(vec![deleted.clone(), enabled.clone()]).await);
    assert!(is_a_licence(vec![enabled, deleted]).await);
}

#[tokio::test]
async fn item_11_only_an_office_dataverse_plan_creates_nobody_and_keeps_a_row() {
    let world = paged(10).await;
    let user = with_plans(&world, "Office", vec![AssignedPlan::new(OFFICE_DATAVERSE, "Enabled")]);
    let report = world.sync_completely().await;
    assert!(!has_row(&world, user).await);
    assert_eq!(report.environments[0].skipped.get("on_demand_only"), Some(&1));
    world.assert_settled().await;

    set_plans(&world, user, vec![AssignedPlan::new(POWER_APPS, "Enabled")]);
    world.sync_completely().await;
    set_plans(&world, user, vec![AssignedPlan::new(OFFICE_DATAVERSE, "Enabled")]);
    world.sync_completely().await;
    assert_eq!(disabled(&world, user).await, None, "create narrowly, keep widely");
    assert!(!row(&world, user).await.islicensed);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_11_an_upper_case_guid_is_the_same_plan() {
    let shouted = SALES.to_string().to_uppercase();
    assert!(is_a_licence(vec![AssignedPlan::new(shouted, "Enabled")]).await);
}

#[tokio::test]
async fn item_11_an_unknown_plan_id_is_no_licence() {
    assert!(!is_a_licence(vec![AssignedPlan::new(Uuid::from_u128(0xabcd), "Enabled")]).await);
}

#[tokio::test]
async fn item_11_an_unreadable_plan_id_does_not_block_the_user() {
    let plans = vec![
        AssignedPlan::new("no guid", "Enabled"),
        AssignedPlan::new(SALES, "Enabled"),
    ];
    assert!(is_a_licence(plans).await);
}

#[tokio::test]
async fn item_11_an_unknown_capability_status_is_no_licence() {
    assert!(!is_a_licence(vec![AssignedPlan::new(SALES, "Sleeping")]).await);
    assert!(!is_a_licence(vec![AssignedPlan::new(SALES, "")]).await);
}

#[tokio::test]
async fn item_11_each_sort_of_holder_gets_what_is_due() {
    let world = paged(10).await;
    let mut expected = Vec::new();
    for profile in Profile::ALL {
        let user = with_plans(&world, &format!("{profile:?}"), Vec::new());
        world.tenant().give_profile(user, profile);
        let creates = match profile {
            Profile::E5PowerApps
            | Profile::E3Sales
            | Profile::E3Viral
            | Profile::E3TeamMember
            | Profile::Renewed
            | Profile::Grace
            | Profile::SalesPlanDisabled => true,
            Profile::E3
            | Profile::F3
            | Profile::E3PerApp
            | Profile::Lapsed
            | Profile::Suspended
            | Profile::Unlicensed => false,
        };
        expected.push((profile, user, creates));
    }
    world.sync_completely().await;
    for (profile, user, creates) in expected {
        assert_eq!(has_row(&world, user).await, creates, "{profile:?}");
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn skus_that_cannot_be_read_disable_nobody_as_unlicensed() {
    let world = paged(10).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    forever(
        &world,
        When::path("/subscribedSkus"),
        Effect::error(503, "serviceNotAvailable"),
    );
    unlicense(&world, users[0]);
    world.tenant().purge(users[1]);
    for _ in 0..2 {
        let report = sync_incompletely(&world).await;
        assert!(report.problems[0].starts_with("skus: "), "{report:?}");
        assert_all_enabled(&world, &[users[0], users[2]]).await;
        assert_eq!(disabled(&world, users[1]).await.as_deref(), Some("directory_deleted"));
    }
    assert!(world.findings().await.contains(&"directory_unavailable".to_owned()));
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn the_last_reading_of_a_tenant_marketing_licence_counts_while_skus_cannot_be_read() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    let mut skus = world.tenant().skus();
    skus.truncate(1);
    skus[0].plans = vec![(
        "a3a4fa10-5092-401a-af30-0462a95a7ac8".to_owned(),
        "DYN365_MARKETING_APP".to_owned(),
        true,
    )];
    world.tenant().set_skus(skus.clone());
    world.sync_completely().await;
    unlicense(&world, users[0]);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await,
        None,
        "the tenant's Marketing licence counts on demand"
    );
    world.assert_settled().await;

    forever(
        &world,
        When::path("/subscribedSkus"),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    unlicense(&world, users[1]);
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users).await;
    heal(&world);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;

    // It ends, and with it what lived on it.
    skus[0].capability_status = "Suspended".to_owned();
    world.tenant().set_skus(skus);
    world.sync_completely().await;
    for user in users {
        assert_eq!(disabled(&world, user).await.as_deref(), Some("unlicensed"));
    }
    world.assert_settled().await;
    assert_eq!(world.rows(ENVIRONMENT).await.len(), 2);
    world.end().await;
}
