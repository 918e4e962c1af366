//! Item 2: a crash after any page repeats work and loses nothing.

use std::sync::Arc;

use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Carrying, Effect, When};
use rollcall::sync::cycle::Request;
use tokio::sync::Notify;

use super::{
    ENVIRONMENT, SALES, USERS, asked, assert_all_enabled, beginnings, disabled, forever, forget_requests, heal, once,
    page, paged, paged_with, restart, staff, sync_incompletely,
};
use crate::world::{World, guarded_environment};

/// Starts a run and drops it while the request that `when` describes is being answered.
pub(super) async fn killed_at(world: &mut World, when: When) {
    let reached = Arc::new(Notify::new());
    let tell = Arc::clone(&reached);
    once(world, when, Effect::meanwhile(move |_| tell.notify_one()));
    tokio::select! {
        biased;
        () = reached.notified() => {}
        report = world.run(Request::default()) => panic!("the run was to be killed: {report:?}"),
    }
    heal(world);
    restart(world).await;
}

#[tokio::test]
async fn item_2_a_first_round_killed_at_any_page_is_repeated_without_loss() {
    for number in 1..=5 {
        let mut world = paged(2).await;
        let users = staff(&world, 10);
        killed_at(&mut world, page(number)).await;
        let report = world.sync_completely().await;
        assert_eq!(report.environments[0].created, 10, "killed at page {number}");
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_2_a_first_round_killed_at_every_page_in_turn_is_repeated_without_loss() {
    let mut world = paged(2).await;
    let users = staff(&world, 10);
    killed_at(&mut world, page(1)).await;
    for _ in 0..2 {
        // Each process gets one page further, at least.
        killed_at(&mut world, When::path(USERS).carrying(Carrying::SkipToken).after(1)).await;
    }
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 10);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_2_a_later_round_killed_at_any_page_is_repeated_without_loss() {
    for number in 0..3 {
        let mut world = paged(2).await;
        let users = staff(&world, 6);
        world.sync_completely().await;
        for user in &users {
            world
                .tenant()
                .update_user(*user, |user| user.job_title = Some("Changed".to_owned()));
        }
        killed_at(&mut world, When::path(USERS).after(number)).await;
        world.sync_completely().await;
        let rows = world.rows(ENVIRONMENT).await;
        assert!(
            rows.values().all(|row| row.jobtitle.as_deref() == Some("Changed")),
            "killed at page {number}: {rows:?}"
        );
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_2_a_resync_killed_at_any_page_disables_only_who_is_gone() {
    for number in 1..=4 {
        let mut world = paged(2).await;
        let users = staff(&world, 8);
        world.sync_completely().await;
        world.tenant().purge(users[7]);
        world.tenant().expire_tokens(TokenDeath::Gone);
        killed_at(&mut world, page(number)).await;
        assert_all_enabled(&world, &users).await;
        world.sync_completely().await;
        assert_all_enabled(&world, &users[..7]).await;
        assert_eq!(disabled(&world, users[7]).await.as_deref(), Some("directory_deleted"));
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_2_a_run_killed_between_the_last_page_and_deleted_items_still_sweeps() {
    let mut world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    world.tenant().soft_delete(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    killed_at(&mut world, When::path("/directory/deletedItems/microsoft.graph.user")).await;
    assert_all_enabled(&world, &users).await;
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("directory_soft_deleted")
    );
    assert_all_enabled(&world, &users[1..]).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_2_a_round_that_lists_nobody_is_doubted_although_its_sweep_is_killed_before_its_end() {
    let mut world = paged(2).await;
    world.configure(|settings| settings.max_batch = 3);
    let users = staff(&world, 8);
    world.sync_completely().await;
    for user in &users {
        world.tenant().soft_delete(*user);
        world.tenant().purge(*user);
    }
    world.tenant().expire_tokens(TokenDeath::Gone);
    // Everybody is missed, in three parts, and then the end of the sweep fails.
    world
        .execute(
            "create function stop() returns trigger language plpgsql as $$ begin raise exception 'stop'; end $$;
             create trigger stop before update on rollcall.checkpoint for each row
             when (old.phase = 'full' and new.phase = 'delta' and old.source = 'users') execute function stop()",
        )
        .await;
    world.run(Request::default()).await.unwrap_err();
    let missing = "select count(*) from rollcall.directory_recheck";
    assert_eq!(world.number(missing).await, 8);
    world.execute("drop trigger stop on rollcall.checkpoint").await;
    let report = sync_incompletely(&world).await;
    assert!(
        format!("{:?}", report.problems).contains("listed nobody, where there had been 8"),
        "{report:?}"
    );
    assert_all_enabled(&world, &users).await;
    world.end().await;
}

#[tokio::test]
async fn item_2_a_group_listing_killed_at_any_page_is_repeated_without_loss() {
    for number in 0..5 {
        let group = uuid::Uuid::from_u128(0x9999);
        let mut world = paged_with(vec![guarded_environment(ENVIRONMENT, group)], 200).await;
        let users = staff(&world, 250);
        world.tenant().create_group_with_id(group, "Gate");
        world.tenant().add_members(group, users.iter().copied());
        killed_at(&mut world, When::path("/groups/").after(number)).await;
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_2_a_page_that_fails_for_good_is_where_the_next_process_goes_on() {
    for number in 2..=5 {
        let mut world = paged(2).await;
        let users = staff(&world, 10);
        forever(&world, page(number), Effect::error(500, "generalException"));
        sync_incompletely(&world).await;
        assert!(
            world.rows(ENVIRONMENT).await.is_empty(),
            "nobody is judged in mid-round"
        );
        heal(&world);
        restart(&mut world).await;
        forget_requests(&world);
        world.sync_completely().await;
        let pages = asked(&world, USERS);
        assert_eq!(
            (beginnings(&pages), pages.len() as u64),
            (0, 6 - number),
            "what was stored is not fetched again"
        );
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_2_a_crash_between_pulling_and_applying_judges_everyone_later() {
    let mut world = paged(10).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    let joined = staff(&world, 2);
    for id in &joined {
        world.tenant().update_user(*id, |user| {
            user.user_principal_name = Some(format!("{id}@contoso.example"));
        });
    }
    world
        .tenant()
        .update_user(users[0], |user| user.plans = Vec::new().into());
    // The mirror is brought up to date, and the process ends before anybody is judged.
    Box::pin(world.engine.puller().pull(&world.lease)).await.unwrap();
    restart(&mut world).await;
    let report = world.sync_completely().await;
    assert_eq!(
        (report.environments[0].created, report.environments[0].disabled),
        (2, 1)
    );
    world
        .tenant()
        .update_user(users[0], |user| user.plans = vec![plan(SALES)].into());
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

fn plan(id: uuid::Uuid) -> rollcall::simulator::tenant::AssignedPlan {
    rollcall::simulator::tenant::AssignedPlan::new(id, "Enabled")
}
