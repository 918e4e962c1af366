//! What happens in the directory before the database goes away.

use rollcall::domain::environment::{Environment, Kind};
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, LARGE_GROUP, Profile, Tenant, TokenDeath, User};
use rollcall::sync::imports::ImportRequest;
use uuid::Uuid;

use crate::guard::{block, limits, sync_held, without_marketing};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

/// Users whom the founding brings, beside ten with a part to play.
const FOUNDERS: u64 = 24;

const GUARDED: &str = "production";
const OPEN: &str = "sandbox";

async fn small_batches(environments: Vec<Environment>, users: u64) -> World {
    let simulator = SimulatorSettings {
        users,
        page_size: 10,
        listing_page_size: 10,
        ..SimulatorSettings::default()
    };
    let mut world = World::with(environments, simulator, NO_LIMITS).await;
    world.configure(|settings| settings.max_batch = 10);
    without_marketing(world.tenant());
    world
}

/// A tenant that nobody has read yet.
pub async fn founded() -> World {
    let environments = vec![guarded_environment(GUARDED, LARGE_GROUP), open_environment(OPEN)];
    let world = small_batches(environments, FOUNDERS).await;
    world.tenant().furnish();
    world
}

fn employ(tenant: &Tenant, count: usize) -> Vec<Uuid> {
    let people: Vec<Uuid> = (0..count)
        .map(|number| licensed(tenant, "Employee", &format!("Number {number:02}")))
        .collect();
    tenant.add_members(LARGE_GROUP, people.iter().copied());
    people
}

fn allow(tenant: &Tenant, user: Uuid, allowed: bool) {
    assert!(tenant.update_user(user, |user| user.account_enabled = Some(allowed)));
}

/// Everything that can happen to somebody has happened since the last cycle.
pub async fn changed() -> World {
    let world = founded().await;
    let tenant = world.tenant();
    let people = employ(tenant, 20);
    let administrator = licensed(tenant, "Anna", "Admin");
    tenant.give_profile(administrator, Profile::Unlicensed);
    let outsider = licensed(tenant, "Otto", "Outsider");
    tenant.give_profile(people[8], Profile::Unlicensed);
    world.sync_completely().await;
    allow(tenant, people[10], false);
    tenant.soft_delete(people[12]);
    tenant.soft_delete(people[11]);
    world.sync_completely().await;

    // Names: two swap, three pass theirs on in a ring, one is left by the dead to an heir.
    tenant.swap_upns(people[0], people[1]);
    tenant.swap_upns(people[2], people[3]);
    tenant.swap_upns(people[3], people[4]);
    let left = tenant.user(people[5]).unwrap().user_principal_name;
    tenant.soft_delete(people[5]);
    let heir = licensed(tenant, "Hans", "Heir");
    tenant.update_user(heir, |user| user.user_principal_name = left);
    // The group, licences, sign-in, going and coming back.
    tenant.add_members(LARGE_GROUP, [heir, outsider]);
    tenant.remove_member(LARGE_GROUP, people[6]);
    tenant.give_profile(people[7], Profile::Unlicensed);
    tenant.give_profile(people[8], Profile::E5PowerApps);
    allow(tenant, people[9], false);
    allow(tenant, people[10], true);
    tenant.purge(people[11]);
    tenant.restore(people[12]);
    for person in &people[13..16] {
        tenant.update_user(*person, |user| user.job_title = Some("Engineer".to_owned()));
    }
    tenant.update_user(people[16], |user| user.mail = Some("no address".to_owned()));
    tenant.assign_role(GLOBAL_ADMINISTRATOR, administrator, "/");
    let newcomer = tenant.add_user(User::named("Nadia", "Newcomer"));
    tenant.give_profile(newcomer, Profile::E3Sales);
    // And somebody wrote by hand.
    world
        .execute("update rollcall.system_user set jobtitle = 'x' where lastname = 'Number 17'")
        .await;
    world
}

/// The same, and the feeds have to begin anew.
pub async fn changed_with_dead_tokens() -> World {
    let world = changed().await;
    world.tenant().expire_tokens(TokenDeath::SyncStateNotFound);
    world.simulator.configure(|settings| {
        settings.page_size = 20;
        settings.listing_page_size = 20;
    });
    world
}

/// Two jobs wait: one for everybody, one for selected users, some of whom have a row by then.
pub async fn imported() -> World {
    let trial = Environment::new(GUARDED, Kind::Trial);
    let world = small_batches(vec![trial, open_environment(OPEN)], FOUNDERS).await;
    world.tenant().furnish();
    world.sync_completely().await;
    let newcomers: Vec<Uuid> = (0..12)
        .map(|number| licensed(world.tenant(), "Late", &format!("Number {number:02}")))
        .collect();
    let known = world.tenant().user_ids().into_iter().take(8);
    let nobody = [Uuid::from_u128(0x6060)];
    let selected = newcomers.iter().copied().chain(known).chain(nobody);
    let everybody = ImportRequest {
        all: true,
        ..ImportRequest::new(GUARDED, "USMF")
    };
    let some = ImportRequest {
        users: selected.map(|user| user.to_string()).collect(),
        ..ImportRequest::new(GUARDED, "DEMF")
    };
    for request in [everybody, some] {
        world.engine.imports().submit_import(&request, "grace").await.unwrap();
    }
    world
}

/// A run that holds removals in two environments, and its number.
pub async fn held() -> (World, i64) {
    let environments = vec![open_environment(GUARDED), open_environment(OPEN)];
    let mut world = small_batches(environments, 0).await;
    world.configure(|settings| settings.limits = limits(5, 100.0));
    let people: Vec<Uuid> = (0..40)
        .map(|number| licensed(world.tenant(), "Employee", &format!("Number {number:02}")))
        .collect();
    world.sync_completely().await;
    block(&world, &people[..25]);
    let run = sync_held(&world, 25).await.run;
    // One of them qualifies again, and one was disabled by hand since.
    allow(world.tenant(), people[0], true);
    world.sync().await;
    world
        .execute("update rollcall.system_user set isdisabled = true where lastname = 'Number 01'")
        .await;
    (world, run)
}
