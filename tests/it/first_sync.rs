//! The main job end to end.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::LARGE_GROUP;

use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

#[tokio::test]
async fn a_licensed_user_becomes_a_system_user_and_stays_true() {
    let world = World::new(vec![open_environment("production")]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 1);
    let row = world.row("production", ada).await.unwrap();
    assert_eq!(row.firstname.as_deref(), Some("Ada"));
    assert_eq!(row.lastname.as_deref(), Some("Lovelace"));
    assert_eq!(row.fullname.as_deref(), Some("Ada Lovelace"));
    assert!(!row.isdisabled && row.islicensed && row.issyncwithdirectory);
    world.assert_settled().await;

    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].updated, 1);
    assert_eq!(
        world.row("production", ada).await.unwrap().jobtitle.as_deref(),
        Some("Countess")
    );
    world.assert_settled().await;

    world
        .tenant()
        .update_user(ada, |user| user.account_enabled = Some(false));
    world.sync_completely().await;
    let row = world.row("production", ada).await.unwrap();
    assert_eq!(row.disabledreason.as_deref(), Some("directory_account_disabled"));
    assert_eq!(row.disabled_by.as_deref(), Some("sync"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_furnished_tenant_settles_after_one_cycle() {
    let environments = vec![
        guarded_environment("production", LARGE_GROUP),
        open_environment("sandbox"),
    ];
    let simulator = SimulatorSettings {
        users: 1500,
        ..SimulatorSettings::default()
    };
    let world = World::with(environments, simulator, NO_LIMITS).await;
    world.tenant().furnish();
    let report = world.sync_completely().await;
    assert!(
        report.environments.iter().all(|counts| counts.created > 100),
        "{report:?}"
    );
    world.assert_settled().await;
    world.end().await;
}

/// A first sync is bound by round trips: each page counts.
#[tokio::test]
async fn a_first_sync_sends_a_request_for_each_999_users_and_a_dozen_more() {
    for users in [0_u64, 998, 2500] {
        let simulator = SimulatorSettings {
            users,
            ..SimulatorSettings::default()
        };
        let world = World::with(vec![open_environment("sandbox")], simulator, NO_LIMITS).await;
        world.sync_completely().await;
        let sent = world.simulator.request_counts();
        let all: u64 = sent.values().sum();
        assert!(all <= users / 999 + 12, "{all} requests for {users} users: {sent:?}");
        assert_eq!(world.rows("sandbox").await.is_empty(), users == 0);
        world.assert_settled().await;
        world.end().await;
    }
}
