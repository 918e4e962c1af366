//! What is asked for between cycles (sections 4, 6, 8 and 9 of the rules): add, access, refresh, and what a person
//! decides about a row. Each test goes through the engine, and ends with a cycle that has nothing to add.

mod administrators;
mod applications;
mod asked;
mod by_hand;
mod columns;
mod deletion;
mod directory;
mod environments;
mod explained;
mod held;
mod meanwhile;
mod names;
mod outcomes;
mod ownership;
mod processes;
mod roles;
mod slots;
mod stubs;

use rollcall::domain::environment::Environment;
use rollcall::domain::system_user::SystemUser;
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, Profile, User};
use rollcall::sync::DeskError;
use rollcall::sync::desk::{Answer, Ask, Refusal};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::world::{World, licensed, open_environment};

pub const ENV: &str = "production";

/// A request of the help desk.
pub fn ask(user: &str) -> Ask<'_> {
    Ask {
        environment: ENV,
        user,
        actor: "helpdesk",
    }
}

/// What came of a request, as a word.
pub fn said(result: &Result<Answer, DeskError>) -> String {
    match result {
        Ok(answer) => answer.outcome.as_str().to_owned(),
        Err(DeskError::Refused(refusal)) => refusal.code.to_string(),
        Err(DeskError::BadInput { field, .. }) => format!("bad input: {field}"),
        Err(error) => error.to_string(),
    }
}

/// The refusal that a request met.
pub fn refusal(result: Result<Answer, DeskError>) -> Refusal {
    match result {
        Err(DeskError::Refused(refusal)) => *refusal,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

/// A stage with one open environment and no Marketing licence, so that nobody is entitled by accident.
pub async fn stage() -> World {
    stage_of(open_environment(ENV)).await
}

/// The same around another environment.
pub async fn stage_of(environment: Environment) -> World {
    let world = World::new(vec![environment]).await;
    without_marketing(world.tenant());
    world
}

/// A stage with one licensed user who has a row.
pub async fn one_user() -> (World, Uuid) {
    let world = stage().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    (world, ada)
}

/// Every way to ask.
pub const WAYS: [&str; 6] = ["access", "access by a program", "api", "admin_add", "import", "refresh"];

/// Asks for a user in one of these ways.
pub async fn ask_by(world: &World, way: &str, user: impl ToString) -> Result<Answer, DeskError> {
    ask_as(world, way, ask(&user.to_string())).await
}

/// The same for any environment and actor.
pub async fn ask_as(world: &World, way: &str, ask: Ask<'_>) -> Result<Answer, DeskError> {
    let engine = &world.engine;
    match way {
        "access" => engine.desk().access(ask, Client::Interactive).await,
        "access by a program" => engine.desk().access(ask, Client::Api).await,
        "api" => engine.desk().add(ask, Trigger::Api).await,
        "admin_add" => engine.desk().add(ask, Trigger::AdminAdd).await,
        "import" => engine.desk().add(ask, Trigger::Import).await,
        "refresh" => engine.desk().refresh(ask).await,
        "disable" => engine.desk().disable(ask).await,
        "enable" => engine.desk().enable(ask).await,
        "hold" => engine.desk().hold(ask, "under investigation").await,
        "release" => engine.desk().release(ask).await,
        "delete" => engine.desk().delete(ask).await,
        "stub" => engine.desk().stub(ask, None).await,
        way => panic!("nobody can {way}"),
    }
}

/// What comes of that, as a word.
pub async fn word(world: &World, way: &str, user: impl ToString) -> String {
    said(&ask_by(world, way, user).await)
}

/// Sets columns of a row by hand.
pub async fn edit(world: &World, user: impl ToString, values: Value) -> Result<Answer, DeskError> {
    let Value::Object(values) = values else {
        panic!("an object of columns is expected");
    };
    let values: Map<String, Value> = values;
    world.engine.desk().edit(ask(&user.to_string()), &values).await
}

/// The row of a user who has one.
pub async fn row(world: &World, user: Uuid) -> SystemUser {
    world.row(ENV, user).await.unwrap()
}

/// `none`, `enabled`, or why and by whom it is disabled.
pub async fn state(world: &World, user: Uuid) -> String {
    world
        .row(ENV, user)
        .await
        .map_or("none".to_owned(), |row| state_of(&row))
}

pub fn state_of(row: &SystemUser) -> String {
    if row.isdisabled {
        let reason = row.disabledreason.as_deref().unwrap_or("?");
        format!("{reason} by {}", row.disabled_by.as_deref().unwrap_or("?"))
    } else {
        "enabled".to_owned()
    }
}

/// Gives a user what makes for one line of the outcome table.
pub fn entitle(world: &World, user: Uuid, entitlement: &str) {
    let (profile, is_admin) = match entitlement {
        "full" => (Profile::E5PowerApps, false),
        "admin" => (Profile::Unlicensed, true),
        "on_demand_only" => (Profile::E3, false),
        "none" => (Profile::Unlicensed, false),
        other => panic!("{other} is no entitlement"),
    };
    world.tenant().give_profile(user, profile);
    if is_admin {
        world.tenant().assign_role(GLOBAL_ADMINISTRATOR, user, "/");
    }
}

/// A user with an entitlement.
pub fn person(world: &World, given: &str, family: &str, entitlement: &str) -> Uuid {
    let id = world.tenant().add_user(User::named(given, family));
    entitle(world, id, entitlement);
    id
}

/// How many disables the guard counts.
pub async fn counted_disables(world: &World) -> i64 {
    world
        .number("select count(*) from rollcall.system_user_change where by_rule and operation = 'disable'")
        .await
}
