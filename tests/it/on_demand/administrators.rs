//! The last enabled System Administrator (sections 4 and 8), and the findings about it.

use rollcall::domain::environment::Environment;
use rollcall::domain::role::SYSTEM_ADMINISTRATOR;
use rollcall::simulator::tenant::Profile;
use uuid::{Uuid, uuid};

use super::{ENV, ask, counted_disables, said, stage_of, state, word};
use crate::guard::{allow, block};
use crate::world::{World, guarded_environment, licensed, open_environment};

const GROUP: Uuid = Uuid::from_u128(0x6060);
/// `POWERAPPS_PER_USER`.
const POWER_APPS: Uuid = uuid!("ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86");

fn with_roles(environment: Environment) -> Environment {
    Environment {
        roles: vec![SYSTEM_ADMINISTRATOR.to_owned(), "Basic User".to_owned()],
        ..environment
    }
}

async fn grant(world: &World, user: Uuid) {
    let granted = world
        .engine
        .desk()
        .grant(ask(&user.to_string()), SYSTEM_ADMINISTRATOR)
        .await;
    assert_eq!(said(&granted), "updated");
}

/// A stage with so many System Administrators and one who is none.
async fn administrators(count: usize, environment: Environment) -> (World, Vec<Uuid>) {
    let world = stage_of(with_roles(environment)).await;
    let users: Vec<Uuid> = (0..=count)
        .map(|number| licensed(world.tenant(), "Admin", &number.to_string()))
        .collect();
    world.tenant().create_group_with_id(GROUP, "Sales");
    world.tenant().add_members(GROUP, users.iter().copied());
    world.sync_completely().await;
    for user in &users[..count] {
        grant(&world, *user).await;
    }
    (world, users)
}

async fn last_one() -> (World, Uuid, Uuid) {
    let (world, users) = administrators(1, open_environment(ENV)).await;
    (world, users[0], users[1])
}

fn finding(user: Uuid) -> Vec<String> {
    vec![format!("last_system_administrator {ENV} {user}")]
}

#[tokio::test]
async fn nobody_disables_holds_or_demotes_the_last_one_by_hand() {
    let (world, last, other) = last_one().await;
    for way in ["disable", "hold"] {
        assert_eq!(word(&world, way, last).await, "last_system_administrator", "{way}");
    }
    let revoked = world
        .engine
        .desk()
        .revoke(ask(&last.to_string()), SYSTEM_ADMINISTRATOR)
        .await;
    assert_eq!(said(&revoked), "last_system_administrator");
    assert_eq!(state(&world, last).await, "enabled");
    // With another one there is nothing to protect; a disabled one is none.
    grant(&world, other).await;
    assert_eq!(word(&world, "disable", other).await, "disabled");
    assert_eq!(word(&world, "disable", last).await, "last_system_administrator");
    assert_eq!(word(&world, "enable", other).await, "enabled");
    assert_eq!(word(&world, "disable", last).await, "disabled");
    let revoked = world
        .engine
        .desk()
        .revoke(ask(&last.to_string()), SYSTEM_ADMINISTRATOR)
        .await;
    assert_eq!(said(&revoked), "updated", "a disabled one may lose the role");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn two_who_are_disabled_at_the_same_moment_leave_one() {
    let (world, users) = administrators(2, open_environment(ENV)).await;
    let names = users.iter().map(Uuid::to_string).collect::<Vec<_>>();
    let desk = world.engine.desk();
    let (one, other) = tokio::join!(desk.disable(ask(&names[0])), desk.disable(ask(&names[1])));
    let mut words = [said(&one), said(&other)];
    words.sort();
    assert_eq!(words, ["disabled", "last_system_administrator"]);
    world.end().await;
}

#[tokio::test]
async fn two_who_lose_the_licence_in_one_cycle_leave_one_with_a_finding() {
    let (world, users) = administrators(2, open_environment(ENV)).await;
    for user in &users[..2] {
        world.tenant().give_profile(*user, Profile::Unlicensed);
    }
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 1);
    let states = [state(&world, users[0]).await, state(&world, users[1]).await];
    let left = usize::from(states[0] != "enabled");
    assert_eq!(states[left], "enabled");
    assert_eq!(states[1 - left], "unlicensed by sync");
    assert_eq!(world.findings().await, finding(users[left]));
    world.assert_settled().await;
    assert_eq!(
        world.findings().await,
        finding(users[left]),
        "one for as long as it lasts"
    );
    // With another administrator the cycle goes on where it was held back.
    grant(&world, users[2]).await;
    world.sync_completely().await;
    assert_eq!(state(&world, users[left]).await, "unlicensed by sync");
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_group_does_not_take_the_last_one_either() {
    let (world, users) = administrators(1, guarded_environment(ENV, GROUP)).await;
    let last = users[0];
    world.tenant().remove_member(GROUP, last);
    for way in ["access", "admin_add"] {
        assert_eq!(word(&world, way, last).await, "last_system_administrator", "{way}");
    }
    assert_eq!(word(&world, "refresh", last).await, "unchanged");
    world.sync_completely().await;
    assert_eq!(state(&world, last).await, "enabled");
    assert_eq!(world.findings().await, finding(last));
    assert_eq!(counted_disables(&world).await, 0);
    world.tenant().add_member(GROUP, last);
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_directory_takes_the_last_one_and_somebody_is_told_until_there_is_one_again() {
    for on_demand in [false, true] {
        for blow in ["blocked", "soft-deleted", "purged"] {
            let (world, last, other) = last_one().await;
            match blow {
                "blocked" => block(&world, &[last]),
                "soft-deleted" => assert!(world.tenant().soft_delete(last)),
                _ => assert!(world.tenant().purge(last)),
            }
            if on_demand {
                assert_eq!(word(&world, "refresh", last).await, "disabled");
            }
            world.sync_completely().await;
            assert!(state(&world, last).await.starts_with("directory_"), "{blow}");
            assert_eq!(world.findings().await, finding(last), "{blow}, on demand: {on_demand}");
            world.assert_settled().await;
            assert_eq!(world.findings().await, finding(last), "nobody has taken over");
            grant(&world, other).await;
            world.sync_completely().await;
            assert!(world.findings().await.is_empty());
            world.assert_settled().await;
            world.end().await;
        }
    }
}

#[tokio::test]
async fn the_last_one_who_comes_back_closes_the_finding() {
    let (world, last, _) = last_one().await;
    block(&world, &[last]);
    world.sync_completely().await;
    assert_eq!(world.findings().await, finding(last));
    allow(&world, &[last]);
    world.sync_completely().await;
    assert_eq!(state(&world, last).await, "enabled");
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_licence_does_not_take_the_role_from_the_last_one() {
    let environment = Environment {
        license_roles: vec![(POWER_APPS, SYSTEM_ADMINISTRATOR.to_owned())],
        ..with_roles(open_environment(ENV))
    };
    let world = stage_of(environment).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let other = licensed(world.tenant(), "Other", "One");
    world.tenant().give_profile(other, Profile::E3Sales);
    world.sync_completely().await;
    let holders = || async {
        let held = world
            .engine
            .desk()
            .role_holders(ENV, None, Some(SYSTEM_ADMINISTRATOR), None, 10)
            .await;
        held.unwrap()
            .into_iter()
            .map(|held| (held.domainname.unwrap(), held.provenance))
            .collect::<Vec<_>>()
    };
    assert_eq!(holders().await.len(), 1);
    // Another licence, which gives no role: she stays, and stays an administrator.
    world.tenant().give_profile(ada, Profile::E3Sales);
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    world.sync_completely().await;
    assert_eq!(holders().await.len(), 1);
    assert_eq!(world.findings().await, finding(ada));
    world.assert_settled().await;
    grant(&world, other).await;
    world.sync_completely().await;
    assert_eq!(
        holders().await,
        [("other.one@contoso.example".to_owned(), "manual".to_owned())]
    );
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_held_back_row_is_disabled_by_the_directory_all_the_same() {
    let (world, last, _) = last_one().await;
    world.tenant().give_profile(last, Profile::Unlicensed);
    world.sync_completely().await;
    assert_eq!(world.findings().await, finding(last));
    world.tenant().soft_delete(last);
    world.sync_completely().await;
    assert_eq!(state(&world, last).await, "directory_soft_deleted by sync");
    assert_eq!(world.findings().await, finding(last), "one, not two");
    world.end().await;
}
