//! Item 12: users who come back, and names that pass from row to row.

use rollcall::simulator::tenant::{TokenDeath, User};
use uuid::Uuid;

use super::{ENVIRONMENT, SALES, assert_all_enabled, disabled, has_row, paged, paged_with, row, staff};
use crate::world::{World, open_environment};

fn rename(world: &World, user: Uuid, upn: &str) {
    assert!(
        world
            .tenant()
            .update_user(user, |user| user.user_principal_name = Some(upn.to_owned()))
    );
}

fn upn(world: &World, user: Uuid) -> String {
    world.tenant().user(user).unwrap().user_principal_name.unwrap()
}

/// Every row has the name its user has now.
async fn assert_names(world: &World, users: &[Uuid]) {
    for user in users {
        assert_eq!(row(world, *user).await.domainname, Some(upn(world, *user)), "{user}");
    }
}

#[tokio::test]
async fn item_12_a_restored_user_gets_the_same_row_back() {
    let world = paged(10).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    let before = row(&world, users[0]).await;
    world.tenant().soft_delete(users[0]);
    world.sync_completely().await;
    let away = row(&world, users[0]).await;
    assert_eq!(away.disabledreason.as_deref(), Some("directory_soft_deleted"));
    assert!(away.azurestate == 1 && away.azuredeletedon.is_some());
    world.assert_settled().await;
    world.tenant().restore(users[0]);
    world.sync_completely().await;
    let mut after = row(&world, users[0]).await;
    after.modifiedon = before.modifiedon;
    assert_eq!(after, before, "the same row as ever");
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_user_restored_after_the_token_died_gets_the_same_row_back() {
    let world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    let before = row(&world, users[0]).await;
    world.tenant().soft_delete(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("directory_soft_deleted")
    );
    world.tenant().restore(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.sync_completely().await;
    assert_eq!(row(&world, users[0]).await.systemuserid, before.systemuserid);
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_user_deleted_and_restored_between_two_cycles_never_left() {
    let world = paged(10).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    world.tenant().soft_delete(users[0]);
    world.tenant().restore(users[0]);
    world.assert_settled().await;
    assert_all_enabled(&world, &users).await;
    world.end().await;
}

#[tokio::test]
async fn item_12_two_users_swap_their_names_in_one_round() {
    for page_size in [10, 1] {
        let world = paged(page_size).await;
        let users = staff(&world, 4);
        world.sync_completely().await;
        assert!(world.tenant().swap_upns(users[0], users[3]));
        let report = world.sync_completely().await;
        assert_eq!(report.environments[0].updated, 2);
        assert_names(&world, &users).await;
        assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn item_12_two_users_swap_their_names_in_every_environment() {
    let world = paged_with(vec![open_environment(ENVIRONMENT), open_environment("sandbox")], 1).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    world.tenant().swap_upns(users[0], users[2]);
    world.sync_completely().await;
    assert_names(&world, &users).await;
    for user in &users {
        let row = world.row("sandbox", *user).await.unwrap();
        assert_eq!(row.domainname, Some(upn(&world, *user)));
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_swap_found_by_a_resync_goes_through() {
    let world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    world.tenant().swap_upns(users[0], users[4]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.sync_completely().await;
    assert_names(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_ring_of_names_turns_in_one_round() {
    let world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    let names: Vec<String> = users.iter().map(|user| upn(&world, *user)).collect();
    for (at, user) in users.iter().enumerate() {
        rename(&world, *user, &names[(at + 1) % names.len()]);
    }
    world.sync_completely().await;
    assert_names(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_chain_of_names_moves_on_in_one_round() {
    let world = paged(2).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    let names: Vec<String> = users.iter().map(|user| upn(&world, *user)).collect();
    // The last takes a new name, everyone else the next one's, and a new user the first.
    for at in 0..4 {
        rename(&world, users[at], &names[at + 1]);
    }
    rename(&world, users[4], "brand.new@contoso.example");
    let newcomer = world.tenant().add_user(User {
        user_principal_name: Some(names[0].clone()),
        ..User::named("New", "Comer").with_plans(&[SALES])
    });
    world.sync_completely().await;
    assert_names(&world, &users).await;
    assert_names(&world, &[newcomer]).await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_change_of_case_alone_is_a_rename() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    world.sync_completely().await;
    rename(&world, users[0], &upn(&world, users[0]).to_uppercase());
    world.sync_completely().await;
    assert_names(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

/// A name passes from a user who is deleted to one who is new, in one round.
async fn passes_on(delete: fn(&World, Uuid), state: i16) {
    let world = paged(10).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    let name = upn(&world, users[0]);
    delete(&world, users[0]);
    let heir = world.tenant().add_user(User {
        user_principal_name: Some(name.clone()),
        ..User::named("New", "Holder").with_plans(&[SALES])
    });
    let report = world.sync_completely().await;
    assert_eq!(
        (report.environments[0].created, report.environments[0].disabled),
        (1, 1)
    );
    let gone = row(&world, users[0]).await;
    assert!(gone.isdisabled && gone.azurestate == state, "{gone:?}");
    assert_eq!(
        gone.domainname.as_deref(),
        Some(name.as_str()),
        "it keeps its last values"
    );
    assert_names(&world, &[heir]).await;
    assert_all_enabled(&world, &[heir, users[1], users[2]]).await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_name_passes_from_a_soft_deleted_user_to_a_new_one() {
    passes_on(
        |world, user| {
            world.tenant().soft_delete(user);
        },
        1,
    )
    .await;
}

#[tokio::test]
async fn item_12_a_name_passes_from_a_purged_user_to_a_new_one() {
    passes_on(
        |world, user| {
            world.tenant().purge(user);
        },
        2,
    )
    .await;
}

#[tokio::test]
async fn item_12_a_name_passes_on_after_a_resync_too() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    world.sync_completely().await;
    let name = upn(&world, users[0]);
    world.tenant().purge(users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    let heir = world.tenant().add_user(User {
        user_principal_name: Some(name),
        ..User::named("New", "Holder").with_plans(&[SALES])
    });
    world.sync_completely().await;
    assert_names(&world, &[heir]).await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_restored_user_whose_name_was_reused_waits_until_it_is_free() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    world.sync_completely().await;
    let name = upn(&world, users[0]);
    world.tenant().soft_delete(users[0]);
    let heir = world.tenant().add_user(User {
        user_principal_name: Some(name.clone()),
        ..User::named("New", "Holder").with_plans(&[SALES])
    });
    world.sync_completely().await;
    world.tenant().restore(users[0]);
    world.sync_completely().await;
    let waiting = row(&world, users[0]).await;
    assert!(waiting.isdisabled && waiting.azurestate == 1, "{waiting:?}");
    assert_names(&world, &[heir]).await;
    assert_eq!(
        world.findings().await,
        [format!("upn_conflict production {}", users[0])]
    );
    world.assert_settled().await;

    rename(&world, heir, "renamed@contoso.example");
    world.sync_completely().await;
    assert_names(&world, &[heir, users[0]]).await;
    assert_all_enabled(&world, &[users[0], users[1], heir]).await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_12_a_name_that_another_row_keeps_is_waited_for() {
    let world = paged(10).await;
    let users = staff(&world, 3);
    world.sync_completely().await;
    let (old, wanted) = (upn(&world, users[0]), upn(&world, users[1]));
    // The directory says so of both for a while: reads are not one snapshot.
    rename(&world, users[0], &wanted);
    world
        .tenant()
        .update_user(users[0], |user| user.job_title = Some("Goes on".to_owned()));
    world.sync_completely().await;
    let kept = row(&world, users[0]).await;
    assert_eq!(kept.domainname, Some(old));
    assert_eq!(kept.jobtitle.as_deref(), Some("Goes on"));
    assert_eq!(
        world.findings().await,
        [format!("upn_conflict production {}", users[0])]
    );
    world.assert_settled().await;
    rename(&world, users[1], "moved.on@contoso.example");
    world.sync_completely().await;
    assert_names(&world, &users).await;
    assert!(world.findings().await.is_empty());
    assert!(has_row(&world, users[2]).await);
    world.assert_settled().await;
    world.end().await;
}
