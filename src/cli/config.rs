//! `rollcall config`: validates, and shows what is in force.

use std::process::ExitCode;

use serde_json::json;

use super::error::CliResult;
use super::output::print_json;
use super::{Context, Output, wire};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Validates the configuration.
    Check,
    /// Prints the effective configuration, secrets redacted.
    Show,
}

pub fn run(context: &Context, command: &Command) -> CliResult<ExitCode> {
    let config = wire::load(&context.config)?;
    match (command, context.output) {
        (Command::Show, Output::Table) => print!("{}", config.show()),
        (Command::Show, Output::Json) => print_json(&config.show_json()),
        (Command::Check, Output::Json) => print_json(&json!({ "ok": true, "warnings": config.warnings })),
        (Command::Check, Output::Table) => {
            for warning in &config.warnings {
                println!("warning: {warning}");
            }
            println!(
                "{} is valid: {} environment(s).",
                config.file.display(),
                config.environments.len()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
