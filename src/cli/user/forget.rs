//! `rollcall user forget`: blanks the values of a person who is gone.

use crate::cli::error::CliResult;
use crate::cli::output::{print_json, say};
use crate::cli::{Context, Output, wire};
use crate::sync::Engine;
use crate::sync::desk::forget::Forgotten;

pub async fn run(context: &Context, engine: &Engine, user: &str) -> CliResult<()> {
    let forgotten = engine.desk().forget(user, &wire::operator()).await?;
    match context.output {
        Output::Json => print_json(&forgotten),
        Output::Table => print(user, &forgotten),
    }
    Ok(())
}

fn print(user: &str, forgotten: &Forgotten) {
    let id = forgotten.object_id.map(|id| format!(" (object id {id})"));
    say!("Forgotten: {user}{}", id.unwrap_or_default());
    for row in &forgotten.rows {
        say!("  row {} in {}", row.systemuserid, row.environment);
    }
    let blanked = forgotten.blanked.as_object().into_iter().flatten();
    let blanked: Vec<String> = blanked
        .filter(|(_, rows)| rows.as_i64() != Some(0))
        .map(|(table, rows)| format!("{table} {rows}"))
        .collect();
    if !blanked.is_empty() {
        say!("Rows with blanked values: {}", blanked.join(", "));
    }
    if !forgotten.custom_columns.is_empty() {
        say!(
            "Not touched, for you to look at: the columns {}",
            forgotten.custom_columns.join(", ")
        );
    }
    if !forgotten.held_names.is_empty() {
        say!(
            "Somebody else has these names by now, so they stay where the person acted or is mentioned: {}",
            forgotten.held_names.join(", ")
        );
    }
}
