//! Item 1: what a first round may bring.

use rollcall::simulator::tenant::{Profile, Removal, User};
use rollcall::simulator::{Effect, When};
use uuid::Uuid;

use super::{SALES, USERS, asked, assert_all_enabled, beginnings, has_row, once, page, paged, row, staff};

#[tokio::test]
async fn item_1_many_pages_are_one_round() {
    let world = paged(3).await;
    let users = staff(&world, 10);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 10);
    assert_all_enabled(&world, &users).await;
    let pages = asked(&world, USERS);
    assert_eq!((pages.len(), beginnings(&pages)), (4, 1), "{pages:?}");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_an_empty_page_in_the_middle_is_passed_over() {
    let world = paged(3).await;
    let users = staff(&world, 9);
    once(&world, page(2), Effect::EmptyPage);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(asked(&world, USERS).len(), 4, "three pages and an empty one");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_user_repeated_on_a_later_page_has_her_newer_data() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    let early = users[0];
    once(
        &world,
        page(3),
        Effect::meanwhile(move |tenant| {
            tenant.update_user(early, |user| user.job_title = Some("Newer".to_owned()));
        }),
    );
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(row(&world, early).await.jobtitle.as_deref(), Some("Newer"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_user_repeated_within_a_page_has_her_last_data() {
    let world = paged(5).await;
    let users = staff(&world, 3);
    once(
        &world,
        page(1),
        Effect::rewrite(|page| {
            let value = page["value"].as_array_mut().unwrap();
            let mut again = value[0].clone();
            value[0]["jobTitle"] = "Older".into();
            again["jobTitle"] = "Newer".into();
            value.push(again);
        }),
    );
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(row(&world, users[0]).await.jobtitle.as_deref(), Some("Newer"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_tombstone_of_a_soft_deleted_user_takes_back_an_earlier_page() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    let early = users[0];
    once(
        &world,
        page(3),
        Effect::meanwhile(move |tenant| assert!(tenant.soft_delete(early))),
    );
    world.sync_completely().await;
    assert!(
        !has_row(&world, early).await,
        "nobody is created who is deleted by the end of the round"
    );
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_tombstone_of_a_purged_user_takes_back_an_earlier_page() {
    let world = paged(2).await;
    let users = staff(&world, 6);
    let early = users[1];
    once(
        &world,
        page(3),
        Effect::meanwhile(move |tenant| assert!(tenant.purge(early))),
    );
    world.sync_completely().await;
    assert!(!has_row(&world, early).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_user_both_removed_and_live_in_one_page_is_what_came_last() {
    let world = paged(5).await;
    let users = staff(&world, 3);
    let [first, second] = [users[0], users[1]];
    once(
        &world,
        page(1),
        Effect::rewrite(move |page| {
            let value = page["value"].as_array_mut().unwrap();
            value.insert(0, serde_json::json!({"id": first, "@removed": {"reason": "changed"}}));
            value.push(serde_json::json!({"id": second, "@removed": {"reason": "changed"}}));
        }),
    );
    world.sync_completely().await;
    assert!(has_row(&world, first).await);
    assert!(!has_row(&world, second).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_unknown_tombstones_of_each_reason_mean_nothing() {
    let world = paged(2).await;
    let users = staff(&world, 3);
    world.tenant().add_stray_tombstone(Uuid::from_u128(1), Removal::Soft);
    world
        .tenant()
        .add_stray_tombstone(Uuid::from_u128(2), Removal::Permanent);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 3);
    assert!(report.environments[0].skipped.is_empty(), "{report:?}");
    assert_all_enabled(&world, &users).await;
    assert!(world.findings().await.is_empty());

    // The same in a later round.
    world.tenant().add_stray_tombstone(Uuid::from_u128(3), Removal::Soft);
    world
        .tenant()
        .add_stray_tombstone(Uuid::from_u128(4), Removal::Permanent);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_a_user_without_given_name_gets_a_number_sign() {
    let world = paged(5).await;
    let user = world.tenant().add_user(User {
        given_name: None,
        ..User::named("Prince", "Rogers").with_plans(&[SALES])
    });
    world.sync_completely().await;
    let before = row(&world, user).await;
    assert_eq!(before.firstname.as_deref(), Some("#"));
    assert_eq!(before.lastname.as_deref(), Some("Rogers"));
    assert_eq!(before.fullname.as_deref(), Some("Rogers"));
    world.assert_settled().await;

    world
        .tenant()
        .update_user(user, |user| user.given_name = Some("Prince".to_owned()));
    world.sync_completely().await;
    assert_eq!(row(&world, user).await.firstname.as_deref(), Some("Prince"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_an_agent_user_is_never_created_in_the_background() {
    let world = paged(5).await;
    let agent = world.tenant().add_user(User {
        is_agent: true,
        ..User::named("Aide", "Agent")
    });
    world.tenant().give_profile(agent, Profile::E5PowerApps);
    let report = world.sync_completely().await;
    assert!(!has_row(&world, agent).await);
    assert_eq!(report.environments[0].skipped.get("on_demand_only"), Some(&1));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_1_an_entry_without_a_usable_id_is_set_aside() {
    let world = paged(5).await;
    let users = staff(&world, 3);
    once(
        &world,
        When::path(USERS),
        Effect::rewrite(|page| {
            let value = page["value"].as_array_mut().unwrap();
            value.push(serde_json::json!({"displayName": "Nobody"}));
            value.push(serde_json::json!({"id": "no guid", "displayName": "Nobody"}));
            value.push(serde_json::json!({"id": 7}));
        }),
    );
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 3);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}
