//! Environments come and go at random between cycles, in engines with other configurations; in the end each is what it
//! is where nobody ever left. `ROLLCALL_ENVIRONMENTS_SEED` replays a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use rollcall::domain::environment::Environment;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{Profile, Tenant, TokenDeath};
use rollcall::sync::cycle::Request;
use uuid::Uuid;

use super::{GATE, INNER, LAB, STAYS, lab, reload, table};
use crate::guard::without_marketing;
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const SEEDS: [u64; 2] = [20_260_302, 77_003];
const CYCLES: usize = 16;

fn all() -> Vec<Environment> {
    vec![open_environment(STAYS), lab(), guarded_environment("annex", INNER)]
}

fn seeds() -> Vec<u64> {
    match std::env::var("ROLLCALL_ENVIRONMENTS_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => SEEDS.to_vec(),
    }
}

/// Something whose effect does not depend on what was before: whoever has missed it can catch up with it.
fn change(tenant: &Tenant, people: &mut Vec<Uuid>, dice: &mut StdRng) {
    let someone = *people.choose(dice).unwrap();
    let group = if dice.random() { GATE } else { INNER };
    match dice.random_range(0..12) {
        0..2 => {
            let allowed = dice.random();
            tenant.update_user(someone, |user| user.account_enabled = Some(allowed));
        }
        2 => {
            tenant.give_profile(someone, Profile::Unlicensed);
        }
        3 => {
            tenant.give_profile(someone, Profile::E5PowerApps);
        }
        4 => {
            let name = format!("u{}@contoso.example", dice.random::<u32>());
            tenant.update_user(someone, |user| user.user_principal_name = Some(name));
        }
        5 => {
            tenant.soft_delete(someone);
        }
        6 => {
            tenant.restore(someone);
        }
        7..9 => {
            tenant.add_member(group, someone);
        }
        9 => {
            tenant.remove_member(group, someone);
        }
        10 => {
            let hired = licensed(tenant, "Hired", &people.len().to_string());
            tenant.add_member(group, hired);
            people.push(hired);
        }
        _ => {
            if dice.random_ratio(1, 4) {
                tenant.expire_tokens(TokenDeath::Gone);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_that_come_and_go_end_as_those_that_never_left() {
    for seed in seeds() {
        println!("replay with ROLLCALL_ENVIRONMENTS_SEED={seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::with(all(), SimulatorSettings::default(), NO_LIMITS).await;
        // Nothing but what was missed has everybody judged anew.
        world.configure(|settings| settings.full_interval = Duration::from_hours(24 * 365));
        let tenant = world.tenant().clone();
        without_marketing(&tenant);
        tenant.create_group_with_id(GATE, "Lab");
        tenant.create_group_with_id(INNER, "Annex");
        tenant.add_members(GATE, [INNER]);
        let mut people: Vec<Uuid> = (0..30)
            .map(|number| licensed(&tenant, "User", &number.to_string()))
            .collect();
        tenant.add_members(GATE, people[..15].iter().copied());
        tenant.add_members(INNER, people[15..].iter().copied());
        let reference = world.beside().await;
        for cycle in 0..CYCLES {
            for _ in 0..dice.random_range(0..8) {
                change(&tenant, &mut people, &mut dice);
            }
            let mut present = all();
            present.retain(|_| dice.random_ratio(1, 2));
            let chosen: Vec<String> = present
                .iter()
                .filter(|_| dice.random_ratio(1, 4))
                .map(|environment| environment.name.clone())
                .collect();
            if cycle == 0 || cycle + 1 == CYCLES {
                present = all();
            }
            reload(&mut world, present);
            world
                .run(Request {
                    environments: if cycle + 1 == CYCLES { Vec::new() } else { chosen },
                    full: dice.random_ratio(1, 20),
                    dry_run: dice.random_ratio(1, 10) && cycle + 1 < CYCLES,
                    ..Request::default()
                })
                .await
                .unwrap();
            reference.sync().await;
            world.advance(Duration::from_mins(15));
        }
        for environment in [STAYS, LAB, "annex"] {
            let (found, expected) = (table(&world, environment).await, table(&reference, environment).await);
            let rows = reference.rows(environment).await;
            for (id, row) in &expected {
                // Somebody who came and left meanwhile has a row only where she was seen.
                let was_missed = rows[id].isdisabled && !found.contains_key(id);
                assert!(
                    was_missed || found.get(id) == Some(row),
                    "seed {seed}, {environment}, {id}:\n{:?}\n{row}",
                    found.get(id)
                );
            }
            assert!(
                found.keys().all(|id| expected.contains_key(id)),
                "seed {seed}, {environment}"
            );
        }
        world.assert_settled().await;
        reference.engine.store.close().await;
        world.end().await;
        reference.end().await;
    }
}
