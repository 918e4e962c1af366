//! `rollcall user where`: one person in every environment.

use crate::cli::error::CliResult;
use crate::cli::output::{mode_name, or_dash, print_json, say, sparing_table};
use crate::cli::{Context, Output};
use crate::sync::Engine;
use crate::sync::desk::whereabouts::{Presence, PresenceState, Whereabouts};

pub async fn run(context: &Context, engine: &Engine, user: &str) -> CliResult<()> {
    let found = engine.desk().whereabouts(user).await?;
    match context.output {
        Output::Json => print_json(&found),
        Output::Table => print(&found),
    }
    Ok(())
}

fn print(found: &Whereabouts) {
    if found.directory != "fresh" {
        say!("Directory data: {}", found.directory);
        say!();
    }
    let heading = ["ENVIRONMENT", "STATE", "REASON", "ACCESS MODE", "SYSTEMUSERID"];
    let rows: Vec<Vec<String>> = found.items.iter().map(cells).collect();
    sparing_table(&heading, &["SYSTEMUSERID", "ACCESS MODE"], &rows);
    if found.items.iter().any(|one| one.reason.is_some()) {
        say!();
        say!("For the reason in full:");
        say!("  rollcall explain {} --environment NAME", found.user);
    }
}

fn cells(one: &Presence) -> Vec<String> {
    let state = match (one.state, one.held_by, one.created_by) {
        (PresenceState::NoRow, _, Some("background")) => "no row yet".to_owned(),
        (PresenceState::NoRow, _, Some("on_demand")) => "no row, on demand".to_owned(),
        (PresenceState::NoRow, ..) => "no row".to_owned(),
        (PresenceState::Enabled, Some(run), _) => format!("enabled, held by run {run}"),
        (state, ..) => state.as_str().to_owned(),
    };
    vec![
        one.environment.clone(),
        if one.configured {
            state
        } else {
            format!("{state}, left over")
        },
        or_dash(one.reason.as_deref()),
        or_dash(one.accessmode.map(mode_name)),
        or_dash(one.systemuserid.map(|id| id.to_string()).as_deref()),
    ]
}
