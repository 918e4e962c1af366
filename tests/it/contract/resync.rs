//! Item 4: a full round after the token died lists who exists now, and nothing else.

use rollcall::plan::guard::Limits;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Carrying, Effect, When};
use rollcall::sync::RunOutcome;
use rollcall::sync::guard::approval::Decision;

use super::{
    ENVIRONMENT, USERS, asked, assert_all_enabled, disabled, forever, heal, page, paged, row, staff, sync_incompletely,
};
use crate::world::{NO_LIMITS, World, open_environment, start};

const DELETED_ITEMS: &str = "/directory/deletedItems/microsoft.graph.user";

#[tokio::test]
async fn item_4_an_absent_property_is_cleared_by_a_resync() {
    let world = paged(3).await;
    let users = staff(&world, 4);
    world.tenant().update_user(users[0], |user| {
        user.job_title = Some("Countess".to_owned());
        user.city = Some("London".to_owned());
    });
    world.sync_completely().await;
    assert_eq!(row(&world, users[0]).await.jobtitle.as_deref(), Some("Countess"));
    world.tenant().update_user(users[0], |user| user.job_title = None);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.sync_completely().await;
    let row = row(&world, users[0]).await;
    assert_eq!(
        (row.jobtitle.as_deref(), row.address1_city.as_deref()),
        (None, Some("London"))
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_4_unseen_users_are_disabled_only_after_the_delta_link() {
    let world = paged(2).await;
    let users = staff(&world, 8);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    let later = |after| When::path(USERS).carrying(Carrying::SkipToken).after(after);
    // Each cycle gets one page further and no more.
    for failing in [page(1), later(0), later(1), later(1)] {
        forever(&world, failing, Effect::error(503, "serviceNotAvailable"));
        sync_incompletely(&world).await;
        assert_all_enabled(&world, &users).await;
        assert_eq!(row(&world, users[0]).await.azurestate, 0);
        heal(&world);
    }
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    assert_eq!(row(&world, users[0]).await.azurestate, 2);
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_4_an_unseen_user_in_deleted_items_is_soft_deleted_since_then() {
    let world = paged(3).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.advance(std::time::Duration::from_hours(1));
    world.tenant().soft_delete(users[2]);
    world.tenant().expire_tokens(TokenDeath::SyncStateNotFound);
    world.advance(std::time::Duration::from_hours(1));
    world.sync_completely().await;
    let row = row(&world, users[2]).await;
    assert_eq!(row.disabledreason.as_deref(), Some("directory_soft_deleted"));
    assert_eq!(row.azurestate, 1);
    let deleted = row.azuredeletedon.unwrap() - start();
    assert_eq!(deleted.num_minutes(), 60, "the time deletedItems tells, not the run's");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_4_nobody_is_swept_while_deleted_items_cannot_be_read() {
    let world = paged(3).await;
    let users = staff(&world, 6);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    world.tenant().soft_delete(users[1]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(
        &world,
        When::path(DELETED_ITEMS),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    for _ in 0..2 {
        let report = sync_incompletely(&world).await;
        assert!(report.problems[0].starts_with("users: "), "{report:?}");
        assert_all_enabled(&world, &users).await;
    }
    // Who is there is judged all the same.
    world
        .tenant()
        .update_user(users[5], |user| user.job_title = Some("Meanwhile".to_owned()));
    sync_incompletely(&world).await;
    assert_eq!(row(&world, users[5]).await.jobtitle.as_deref(), Some("Meanwhile"));

    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    assert_eq!(
        disabled(&world, users[1]).await.as_deref(),
        Some("directory_soft_deleted")
    );
    assert_all_enabled(&world, &users[2..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_4_deleted_items_are_asked_for_once_a_full_round_and_never_else() {
    let world = paged(3).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.assert_settled().await;
    assert_eq!(asked(&world, DELETED_ITEMS).len(), 1);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.sync_completely().await;
    assert_eq!(asked(&world, DELETED_ITEMS).len(), 2);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

async fn guarded(count: usize) -> (World, Vec<uuid::Uuid>) {
    let simulator = SimulatorSettings {
        users: 0,
        page_size: 10,
        listing_page_size: 10,
        ..SimulatorSettings::default()
    };
    let limits = Limits {
        max_disables: 2,
        ..NO_LIMITS
    };
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, limits).await;
    let users = staff(&world, count);
    world.sync_completely().await;
    for user in &users[..3] {
        world.tenant().purge(*user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    (world, users)
}

#[tokio::test]
async fn item_4_the_guard_holds_a_mass_disable_after_a_resync() {
    let (world, users) = guarded(12).await;
    let joined = world
        .tenant()
        .add_user(rollcall::simulator::tenant::User::named("New", "Comer").with_plans(&[super::SALES]));
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Held, "{report:?}");
    let counts = &report.environments[0];
    assert_eq!((counts.created, counts.disabled, counts.held), (1, 0, 3));
    for user in &users[..3] {
        let row = row(&world, *user).await;
        assert!(!row.isdisabled);
        assert_eq!(row.azurestate, 2, "what the directory says is written at once");
    }
    assert_all_enabled(&world, &users[3..]).await;
    assert_all_enabled(&world, &[joined]).await;
    assert!(world.findings().await.contains(&"removals_held production".to_owned()));
    world.assert_settled().await;

    let decided = world
        .engine
        .guard()
        .decide(report.run, None, Decision::Approve, "admin@contoso.example")
        .await
        .unwrap();
    assert_eq!(decided.environments[0].counts.disabled, 3);
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.end().await;
}

#[tokio::test]
async fn item_4_the_guard_holds_until_the_directory_has_changed_back() {
    let simulator = SimulatorSettings {
        users: 0,
        ..SimulatorSettings::default()
    };
    let limits = Limits {
        max_disables: 2,
        ..NO_LIMITS
    };
    let world = super::stage(vec![open_environment(ENVIRONMENT)], simulator, limits).await;
    let users = staff(&world, 12);
    world.sync_completely().await;
    for user in &users[..3] {
        world.tenant().soft_delete(*user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    assert_eq!(world.sync().await.outcome, RunOutcome::Held);
    for user in &users[..3] {
        world.tenant().restore(*user);
    }
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    assert_eq!(row(&world, users[0]).await.azurestate, 0);
    assert_eq!(
        world.strings("select decision from rollcall.held_set").await,
        ["changed_back"]
    );
    world.assert_settled().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}
