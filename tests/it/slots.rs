//! Non-interactive users (sections 4 and 6 of the rules): the sync enables at most the cap, oldest first, after
//! the removals of the run.

use std::time::Duration;

use rollcall::domain::environment::Environment;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::sync::cycle::Request;
use uuid::Uuid;

use crate::guard::{block, without_marketing};
use crate::world::{NO_LIMITS, World, licensed, open_environment};

const ENV: &str = "production";

/// Non-interactive users, oldest row first, all disabled by the sync, under a cap of two.
async fn waiting(count: usize) -> (World, Vec<Uuid>) {
    let environment = Environment {
        non_interactive_cap: 2,
        ..open_environment(ENV)
    };
    let world = World::with(vec![environment], SimulatorSettings::default(), NO_LIMITS).await;
    without_marketing(world.tenant());
    let mut users = Vec::new();
    for number in 0..count {
        users.push(licensed(world.tenant(), "Robot", &number.to_string()));
        world.sync_completely().await;
        world.advance(Duration::from_mins(15));
    }
    block(&world, &users);
    world.sync_completely().await;
    world
        .execute("update rollcall.system_user set accessmode = 4 where azureactivedirectoryobjectid is not null")
        .await;
    world.sync_completely().await;
    (world, users)
}

fn allow(world: &World, users: &[Uuid]) {
    for user in users {
        world
            .tenant()
            .update_user(*user, |user| user.account_enabled = Some(true));
    }
}

/// The positions of the users whose rows are enabled.
async fn enabled(world: &World, users: &[Uuid]) -> Vec<usize> {
    let rows = world.rows(ENV).await;
    (0..users.len()).filter(|at| !rows[&users[*at]].isdisabled).collect()
}

#[tokio::test]
async fn the_oldest_rows_get_the_slots_and_the_others_wait() {
    let (world, users) = waiting(5).await;
    allow(&world, &users);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].enabled, 2);
    assert_eq!(enabled(&world, &users).await, [0, 1]);
    for user in &users[2..] {
        let row = world.row(ENV, *user).await.unwrap();
        assert_eq!(row.disabledreason.as_deref(), Some("non_interactive_cap"));
        assert_eq!(row.accessmode, 4, "the mode stays");
    }
    assert_eq!(world.findings().await.len(), 3, "one for each who waits");
    assert!(world.findings().await[0].starts_with("non_interactive_cap production"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_slot_that_a_removal_frees_goes_to_the_oldest_who_waits_in_the_same_run() {
    let (world, users) = waiting(5).await;
    allow(&world, &users[..4]);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 1]);
    // A younger one comes back in the very run that frees the slot.
    world.tenant().soft_delete(users[0]);
    allow(&world, &users[4..]);
    let report = world.sync_completely().await;
    assert_eq!(
        (report.environments[0].disabled, report.environments[0].enabled),
        (1, 1)
    );
    assert_eq!(enabled(&world, &users).await, [1, 2]);
    assert_eq!(world.findings().await.len(), 2);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_slot_that_somebody_frees_by_hand_is_given_on_in_the_next_cycle() {
    let (world, users) = waiting(4).await;
    allow(&world, &users);
    world.sync_completely().await;
    world
        .execute("update rollcall.system_user set accessmode = 0 where lastname = '0'")
        .await;
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 1, 2]);
    world
        .execute("update rollcall.system_user set isdisabled = true where lastname = '1'")
        .await;
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 2, 3]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_larger_cap_lets_more_in_and_a_smaller_one_turns_nobody_out() {
    let (mut world, users) = waiting(5).await;
    allow(&world, &users);
    world.sync_completely().await;
    world.configure(|settings| settings.environments[0].0.non_interactive_cap = 4);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 1, 2, 3]);
    world.configure(|settings| settings.environments[0].0.non_interactive_cap = 1);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 1, 2, 3]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_counts_slots_as_a_real_one_does() {
    let (world, users) = waiting(5).await;
    allow(&world, &users[..2]);
    world.sync_completely().await;
    world.tenant().soft_delete(users[1]);
    allow(&world, &users[2..]);
    let dry = Request {
        dry_run: true,
        ..Request::default()
    };
    let said = world.run(dry).await.unwrap();
    let did = world.sync_completely().await;
    assert_eq!(said.environments, did.environments);
    assert_eq!((did.environments[0].disabled, did.environments[0].enabled), (1, 1));
    assert_eq!(enabled(&world, &users).await, [0, 2]);
    world.end().await;
}

#[tokio::test]
async fn a_marked_user_needs_no_licence_but_an_account() {
    let (world, users) = waiting(2).await;
    allow(&world, &users);
    world
        .tenant()
        .give_profile(users[0], rollcall::simulator::tenant::Profile::Unlicensed);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0, 1]);
    assert!(!world.row(ENV, users[0]).await.unwrap().islicensed);
    block(&world, &users[1..]);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [0]);
    world.end().await;
}

/// A row that is left alone keeps its name although its user has gone: gate 2 comes first.
#[tokio::test]
async fn a_name_that_a_reserved_user_leaves_behind_stays_with_the_row() {
    let (world, users) = waiting(1).await;
    let name = world.tenant().user(users[0]).unwrap().user_principal_name;
    let rename = |id, to: Option<String>| world.tenant().update_user(id, |user| user.user_principal_name = to);
    rename(users[0], Some("crmoln2@microsoft.com".to_owned()));
    world.sync_completely().await;
    world.tenant().soft_delete(users[0]);
    let heir = licensed(world.tenant(), "Robot", "heir");
    rename(heir, name.clone());
    world.sync_completely().await;
    let left = world.row(ENV, users[0]).await.unwrap();
    assert_eq!((left.azurestate, left.domainname), (0, name));
    assert!(world.row(ENV, heir).await.is_none());
    assert_eq!(
        world.findings().await.last().unwrap(),
        &format!("upn_conflict {ENV} {heir}")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_name_of_somebody_who_waits_for_a_slot_passes_on_at_once() {
    let (world, users) = waiting(4).await;
    let name = |id| world.tenant().user(id).unwrap().user_principal_name.unwrap();
    let [gone, first, second] = [name(users[1]), name(users[2]), name(users[3])];
    // One leaves and a newcomer takes the name; two others swap theirs and get the slots in the same run.
    world.tenant().soft_delete(users[1]);
    let heir = licensed(world.tenant(), "Robot", "heir");
    world
        .tenant()
        .update_user(heir, |user| user.user_principal_name = Some(gone.clone()));
    world.tenant().swap_upns(users[2], users[3]);
    allow(&world, &users[2..]);
    world.sync_completely().await;
    assert_eq!(enabled(&world, &users).await, [2, 3]);
    let rows = world.rows(ENV).await;
    for (id, name) in [(heir, gone), (users[2], second), (users[3], first)] {
        assert_eq!(rows[&id].domainname.as_deref(), Some(name.as_str()));
    }
    assert_eq!(rows[&users[1]].azurestate, 1);
    assert!(world.findings().await.is_empty(), "nobody waits any more");
    world.assert_settled().await;
    world.end().await;
}
