//! The two documents that everything begins with, sentence by sentence: `docs/seeds.md` names for each what shows it
//! or why it does not apply. Here is checked that what the list names exists, and here are the tests that only the
//! list asks for.

mod adding;
mod columns;
mod enabling;
mod kinds;

use rollcall::domain::environment::Environment;
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::sync::on_demand::Ask;
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::on_demand::said;
use crate::world::World;

const ENV: &str = "production";
const GROUP: Uuid = Uuid::from_u128(0x6060);

/// A stage whose tenant has no Marketing licence: with one, everybody could be let in on demand.
async fn stage(environments: Vec<Environment>) -> World {
    let world = World::new(environments).await;
    without_marketing(world.tenant());
    world
}

/// Adds a user with these licences.
fn employee(world: &World, given: &str, family: &str, profile: Profile) -> Uuid {
    let id = world.tenant().add_user(User::named(given, family));
    world.tenant().give_profile(id, profile);
    id
}

fn ask<'a>(environment: &'a str, user: &'a str) -> Ask<'a> {
    Ask {
        environment,
        user,
        actor: "helpdesk",
    }
}

/// What somebody is told who signs in on the web.
async fn access(world: &World, user: Uuid) -> String {
    let user = user.to_string();
    said(&world.engine.access(ask(ENV, &user), Client::Interactive).await)
}

/// What somebody is told who adds a user.
async fn add(world: &World, user: Uuid, trigger: Trigger) -> String {
    said(&world.engine.add(ask(ENV, &user.to_string()), trigger).await)
}

/// Why a row is disabled; none for an enabled one.
async fn disabled(world: &World, user: Uuid) -> Option<String> {
    let row = world.row(ENV, user).await.unwrap();
    assert_eq!(row.isdisabled, row.disabledreason.is_some(), "{row:?}");
    row.disabledreason
}

/// The roles of a user, `name provenance`.
async fn roles(world: &World, user: Uuid) -> Vec<String> {
    let user = user.to_string();
    let held = world.engine.role_holders(ENV, Some(&user), None, 10).await.unwrap();
    held.iter()
        .map(|held| format!("{} {}", held.role, held.provenance))
        .collect()
}
