//! Item 3: what a later round says and does not say.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{AssignedPlan, User};
use uuid::Uuid;

use super::{ENVIRONMENT, OFFICE_DATAVERSE, POWER_APPS, SALES, asked, disabled, row, unlicense};
use crate::world::{NO_LIMITS, World, open_environment};

/// Somebody with something in every column.
fn everything() -> User {
    User {
        job_title: Some("Countess".to_owned()),
        business_phones: vec!["+1 555 0100".to_owned()],
        mobile_phone: Some("+1 555 0101".to_owned()),
        street_address: Some("1 Analytical Way".to_owned()),
        city: Some("London".to_owned()),
        state: Some("Greater London".to_owned()),
        postal_code: Some("W1".to_owned()),
        country: Some("United Kingdom".to_owned()),
        ..User::named("Ada", "Lovelace").with_plans(&[SALES])
    }
}

/// A stage with one such user, synced. With `minimal` later rounds name only what changed.
async fn stage(minimal: bool) -> (World, Uuid) {
    let simulator = SimulatorSettings {
        users: 0,
        minimal_rounds: minimal,
        ..SimulatorSettings::default()
    };
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, NO_LIMITS).await;
    let ada = world.tenant().add_user(everything());
    world.sync_completely().await;
    (world, ada)
}

#[tokio::test]
async fn item_3_an_absent_property_is_kept() {
    let (world, ada) = stage(true).await;
    let before = row(&world, ada).await;
    world
        .tenant()
        .update_user(ada, |user| user.city = Some("Ockham".to_owned()));
    world.sync_completely().await;
    let mut after = row(&world, ada).await;
    assert_eq!(after.address1_city.as_deref(), Some("Ockham"));
    after.address1_city.clone_from(&before.address1_city);
    after.modifiedon = before.modifiedon;
    assert_eq!(after, before, "nothing else moved, the licence least of all");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_3_an_explicit_null_clears() {
    for minimal in [false, true] {
        let (world, ada) = stage(minimal).await;
        world.tenant().update_user(ada, |user| {
            user.job_title = None;
            user.mobile_phone = None;
            user.street_address = None;
            user.city = None;
            user.state = None;
            user.postal_code = None;
            user.country = None;
        });
        world.sync_completely().await;
        let row = row(&world, ada).await;
        let cleared = [
            &row.jobtitle,
            &row.mobilephone,
            &row.address1_line1,
            &row.address1_city,
            &row.address1_stateorprovince,
            &row.address1_postalcode,
            &row.address1_country,
        ];
        assert!(cleared.iter().all(|column| column.is_none()), "{row:?}");
        assert_eq!(row.address1_telephone1.as_deref(), Some("+1 555 0100"));
        assert!(row.islicensed);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_3_a_cleared_given_name_becomes_a_number_sign() {
    let (world, ada) = stage(false).await;
    world.tenant().update_user(ada, |user| user.given_name = None);
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.firstname.as_deref(), Some("#"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_3_a_collection_of_phones_is_replaced() {
    let (world, ada) = stage(true).await;
    world
        .tenant()
        .update_user(ada, |user| user.business_phones = vec!["+1 555 0199".to_owned()]);
    world.sync_completely().await;
    assert_eq!(
        row(&world, ada).await.address1_telephone1.as_deref(),
        Some("+1 555 0199")
    );
    world
        .tenant()
        .update_user(ada, |user| user.business_phones = Vec::new());
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.address1_telephone1, None);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_3_a_collection_of_plans_is_replaced() {
    let (world, ada) = stage(true).await;
    let give = |plans: Vec<AssignedPlan>| {
        world.tenant().update_user(ada, |user| user.plans = plans.into());
    };
    give(vec![AssignedPlan::new(POWER_APPS, "Enabled")]);
    world.sync_completely().await;
    assert_eq!(disabled(&world, ada).await, None);
    // If the old plan had been kept beside the new one, its loss would go unnoticed.
    give(vec![AssignedPlan::new(OFFICE_DATAVERSE, "Enabled")]);
    world.sync_completely().await;
    assert!(!row(&world, ada).await.islicensed);
    unlicense(&world, ada);
    world.sync_completely().await;
    assert_eq!(disabled(&world, ada).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_3_minimal_answers_are_never_asked_for() {
    let (world, ada) = stage(false).await;
    world
        .tenant()
        .update_user(ada, |user| user.city = Some("Ockham".to_owned()));
    world.sync_completely().await;
    let seen = asked(&world, super::USERS);
    assert!(
        seen.len() > 1 && seen.iter().all(|seen| seen.prefer.is_none()),
        "{seen:?}"
    );
    world.assert_settled().await;
    world.end().await;
}
