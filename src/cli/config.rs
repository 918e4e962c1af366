//! `rollcall config`: validates, and shows the effective configuration.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::error::CliResult;
use super::output::{note, page, print_json, say};
use super::{Context, Output, wire};
use crate::config::Config;
use crate::domain::run::LeftOver;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Validates the configuration.
    #[command(after_help = "Examples:\n  rollcall config check\n  rollcall --config ./rollcall.toml config check")]
    Check,
    /// Prints the effective configuration, secrets redacted.
    #[command(after_help = "Examples:\n  rollcall config show\n  rollcall config show --output json")]
    Show,
}

/// The timeout of the query for left-over environments: nothing else here needs the database.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(context: &Context, command: &Command) -> CliResult<ExitCode> {
    let config = wire::load(&context.config)?;
    match (command, context.output) {
        (Command::Show, Output::Table) => page(&config.show()),
        (Command::Show, Output::Json) => print_json(&config.show_json()),
        (Command::Check, Output::Json) => {
            let left_over = left_over(&config).await;
            let console = config.console.why_off();
            print_json(&json!({
                "ok": true,
                "warnings": config.warnings,
                "left_over": left_over,
                "console": { "on": console.is_none(), "why": console },
            }));
        }
        (Command::Check, Output::Table) => {
            for warning in &config.warnings {
                say!("warning: {warning}");
            }
            match left_over(&config).await {
                Some(left_over) => {
                    for left in left_over {
                        say!("warning: {}", left.sentence());
                    }
                }
                None => note!("The database could not be asked for environments that are left over in it."),
            }
            if let Some(why) = config.console.why_off() {
                say!("The console is off: {why}.");
            }
            say!(
                "{} is valid; environments: {}.",
                config.file.display(),
                config.environments.len()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The environments in the database beside the configured ones, if it answers.
async fn left_over(config: &Config) -> Option<Vec<LeftOver>> {
    let asked = async {
        let store = wire::connect(config, wire::Patience::Short).await.ok()?;
        if store.missing_migrations().await.ok()? > 0 {
            return None;
        }
        wire::records(config, store).left_over().await.ok()
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.ok().flatten()
}
