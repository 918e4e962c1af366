//! `rollcall candidates`: whom an import can be about.

use std::process::ExitCode;

use serde_json::json;
use uuid::Uuid;

use super::error::CliResult;
use super::output::{or_dash, print_json, table};
use super::{Context, Output, wire};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rollcall candidates --environment production --text lovelace\n  rollcall candidates --environment production --limit 1000 --output json\n\nWhether the rules let somebody in is shown by `rollcall explain USER --environment NAME --trigger import`."
)]
pub struct Arguments {
    /// The environment.
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// Users whose display name or user principal name contains this text.
    #[arg(long)]
    text: Option<String>,
    /// Go on after this object id, the last one of the list before.
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
    /// At most so many; 0 means all.
    #[arg(long, default_value_t = 100)]
    limit: i64,
}

pub async fn run(context: &Context, arguments: &Arguments) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let store = context.open_store(&config).await?;
    let engine = wire::engine(&config, store, wire::cancelled_by_signals()?)?;
    let limit = if arguments.limit <= 0 {
        i64::MAX - 1
    } else {
        arguments.limit
    };
    let text = arguments.text.as_deref();
    let mut found = engine
        .candidates(&arguments.environment, text, arguments.after, limit + 1)
        .await?;
    engine.store.close().await;
    let more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let next = found.last().filter(|_| more).map(|last| last.id);
    if context.output == Output::Json {
        print_json(&json!({ "items": found, "next": next }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|user| {
            let sign_in = match user.account_enabled {
                Some(true) => "allowed",
                Some(false) => "blocked",
                None => "unknown",
            };
            vec![
                or_dash(user.user_principal_name.as_deref()),
                or_dash(user.display_name.as_deref()),
                sign_in.to_owned(),
                user.id.to_string(),
            ]
        })
        .collect();
    print!("{}", table(&["USER", "NAME", "SIGN-IN", "OBJECT ID"], &rows));
    if let Some(next) = next {
        println!("\nThere are more: go on with --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}
