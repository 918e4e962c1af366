//! `rollcall webhook`: how far programs have been told of changes, and changes that are given up.

use std::process::ExitCode;

use serde_json::json;

use super::error::CliResult;
use super::output::{or_dash, print_json, say, sparing_table};
use super::{CliError, Context, Output};
use crate::domain::text::Text;
use crate::domain::webhook::WebhookStatus;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the webhooks, and how far each has been told of changes.
    #[command(
        after_help = "BACKLOG: changes that the webhook has not been told of. DEAD: changes that are given up after a day.\n\nExamples:\n  rollcall webhook list\n  rollcall webhook list --output json"
    )]
    List,
    /// Tries again what a webhook has given up.
    #[command(after_help = "Examples:\n  rollcall webhook replay\n  rollcall webhook replay crm.example")]
    Replay {
        /// The webhook's name; may be left out where there is one.
        webhook: Option<Text>,
    },
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let webhooks = context.webhooks_of(&config).await?;
    match command {
        Command::List => {
            let known = webhooks.list().await?;
            let begun = |name: &str| known.iter().any(|one| one.name == name);
            let new: Vec<&str> = config
                .webhooks
                .iter()
                .map(|one| one.name.as_str())
                .filter(|name| !begun(name))
                .collect();
            match context.output {
                Output::Json => print_json(&json!({ "items": known, "not_begun": new, "next": null })),
                Output::Table => print(&known, &new),
            }
        }
        Command::Replay { webhook } => {
            let name = named(
                webhook.as_deref(),
                &config.webhooks.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            )?;
            let replayed = webhooks.replay(&name).await?;
            match context.output {
                Output::Json => print_json(&json!({ "webhook": name, "replayed": replayed })),
                Output::Table if replayed == 0 => say!("{name} has given up no change."),
                Output::Table => say!("{name}: {replayed} change(s) are tried again by the leading daemon."),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(given: Option<&str>, names: &[&str]) -> CliResult<String> {
    let known = names.join(", ");
    match (given, names) {
        (_, []) => Err(CliError::Usage("the configuration has no [[webhook]]".to_owned())),
        (Some(given), _) if names.contains(&given) => Ok(given.to_owned()),
        (Some(given), _) => Err(CliError::Usage(format!(
            "there is no webhook `{given}`; expected one of {known}"
        ))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(CliError::Usage(format!(
            "there are several webhooks; name one of {known}"
        ))),
    }
}

fn print(known: &[WebhookStatus], new: &[&str]) {
    if known.is_empty() && new.is_empty() {
        say!("The configuration has no [[webhook]].");
        return;
    }
    let heading = [
        "WEBHOOK",
        "BACKLOG",
        "WAITING",
        "DEAD",
        "LAST SUCCESS (UTC)",
        "LAST FAILURE",
    ];
    let cells = |one: &WebhookStatus| {
        vec![
            one.name.clone(),
            one.backlog.to_string(),
            one.waiting.to_string(),
            one.dead.to_string(),
            or_dash(
                one.delivered_at
                    .map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string())
                    .as_deref(),
            ),
            or_dash(one.failure.as_deref().filter(|_| one.failures > 0 || one.dead > 0)),
        ]
    };
    let rows: Vec<Vec<String>> = known.iter().map(cells).collect();
    sparing_table(&heading, &["WAITING", "LAST SUCCESS (UTC)"], &rows);
    if !new.is_empty() {
        say!("Not begun by a daemon yet: {}", new.join(", "));
    }
}
