//! Business units, positions, teams and the profile (rules.md, section 13).

mod groups;
mod members;
mod structure;

use rollcall::domain::environment::Environment;
use rollcall::sync::DeskError;

use crate::on_demand::{ENV, stage_of};
use crate::world::{World, open_environment};

/// What came of a request that answers something else than a user: `ok`, or what is wrong.
pub fn outcome<T>(result: Result<T, DeskError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(DeskError::Refused(refusal)) => refusal.code.to_string(),
        Err(DeskError::BadInput { field, .. }) => format!("bad input: {field}"),
        Err(error) => error.to_string(),
    }
}

/// A stage with security roles that has been synchronised once.
pub async fn stage() -> World {
    let roles = ["System Administrator", "Basic User", "Salesperson"];
    let world = stage_of(Environment {
        roles: roles.map(str::to_owned).to_vec(),
        ..open_environment(ENV)
    })
    .await;
    world.sync_completely().await;
    world
}
