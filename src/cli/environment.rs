//! `rollcall environment`: which environments there are, and taking leave of one that is gone.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::json;

use super::error::CliResult;
use super::output::{or_dash, print_json, progress, say, table};
use super::{CliError, Context, Output, wire};
use crate::domain::text::Text;
use crate::store::Store;
use crate::store::environments::{self, Known};
use crate::sync::{Engine, GuardError, Settings};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the configured environments, and those that are left over in the database.
    List,
    /// Takes leave of an environment that the configuration lacks: disables its rows.
    #[command(after_help = "Examples:\n  rollcall environment retire lab\n  rollcall environment retire lab --yes")]
    Retire(Retire),
}

#[derive(Debug, clap::Args)]
pub struct Retire {
    /// The environment.
    #[arg(value_name = "NAME")]
    environment: Text,
    /// Do it; without this only the counts are shown.
    #[arg(long)]
    yes: bool,
    /// Leave its rows as they are; it is only no longer named as left over.
    #[arg(long)]
    keep: bool,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let store = context.open_store(&config).await?;
    match command {
        Command::List => list(context, &wire::settings(&config), &store).await?,
        Command::Retire(asked) => {
            let engine = wire::engine(&config, store, wire::cancelled_by_signals()?)?;
            retire(context, &engine, &asked).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &Context, settings: &Settings, store: &Store) -> CliResult<()> {
    let configured = settings.names();
    let mut db = store.read().await?;
    let left: Vec<String> = environments::left_over(&mut db, &configured)
        .await?
        .into_iter()
        .map(|left| left.environment)
        .collect();
    let names: Vec<String> = configured.iter().chain(&left).cloned().collect();
    let known = environments::known(&mut db, &names).await?;
    let all = names.iter().map(|name| {
        let known = known.iter().find(|known| known.name == *name);
        let configured = settings
            .environments
            .iter()
            .find(|(environment, _)| environment.name == *name);
        let kind = match configured {
            Some((environment, _)) => Some(environment.kind.as_str()),
            None => known.and_then(|known| known.kind.as_deref()),
        };
        let count = |of: fn(&Known) -> i64| known.map_or(0, of);
        let held = count(|known| known.held);
        json!({
            "name": name, "kind": kind, "configured": configured.is_some(),
            "enabled": count(|known| known.enabled), "disabled": count(|known| known.disabled), "held": held,
            "last_judged": known.and_then(|known| known.judged_at),
        })
    });
    let all: Vec<serde_json::Value> = all.collect();
    if context.output == Output::Json {
        print_json(&json!({ "items": all, "next": null }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let state = if one["configured"] == true {
                "configured"
            } else {
                "left over"
            };
            let judged = one["last_judged"]
                .as_str()
                .map(|at| at.chars().take(16).collect::<String>());
            vec![
                or_dash(one["name"].as_str()),
                or_dash(one["kind"].as_str()),
                state.to_owned(),
                one["enabled"].to_string(),
                one["disabled"].to_string(),
                one["held"].to_string(),
                or_dash(judged.map(|at| at.replace('T', " ")).as_deref()),
            ]
        })
        .collect();
    let heading = [
        "ENVIRONMENT",
        "KIND",
        "STATE",
        "ENABLED",
        "DISABLED",
        "HELD",
        "JUDGED (UTC)",
    ];
    table(&heading, &rows);
    if !left.is_empty() {
        say!();
        say!("What is left over is not kept true: configure it again, or `rollcall environment retire NAME`.");
    }
    Ok(())
}

async fn retire(context: &Context, engine: &Engine, asked: &Retire) -> CliResult<()> {
    let name = &asked.environment;
    let known = engine.guard().leaving(name).await.map_err(|error| match error {
        GuardError::UnknownEnvironment(_) => CliError::Usage(format!(
            "the database knows no environment `{name}`; `rollcall environment list` shows which there are"
        )),
        error => error.into(),
    })?;
    if !asked.yes {
        return preview(context, &known, asked.keep);
    }
    let shows_progress = std::io::stderr().is_terminal();
    let all = known.enabled;
    let retired = engine
        .guard()
        .retire(name, &wire::operator(), asked.keep, |done| {
            if shows_progress {
                progress(Some(&format!("{name}: {done}/{all}")));
            }
        })
        .await;
    if shows_progress {
        progress(None);
    }
    let retired = retired?;
    let is_left = retired.refused == 0;
    match context.output {
        Output::Json => print_json(&json!({
            "environment": name, "enabled": known.enabled, "held": known.held, "disabled": retired.disabled,
            "refused": retired.refused, "kept": asked.keep, "retired": is_left,
        })),
        Output::Table if asked.keep => say!("{name} is left; its {} enabled rows stay as they are.", known.enabled),
        Output::Table if is_left => say!("{name} is left: {} rows disabled.", retired.disabled),
        Output::Table => say!("{name}: {} rows disabled.", retired.disabled),
    }
    if is_left {
        Ok(())
    } else {
        Err(CliError::Other(format!(
            "the database did not take {} rows of {name} as disabled, so it is not left yet: the log above says why",
            retired.refused
        )))
    }
}

/// What would happen; nothing does.
fn preview(context: &Context, known: &Known, keep: bool) -> CliResult<()> {
    let Known {
        name,
        enabled,
        disabled,
        held,
        ..
    } = known;
    match context.output {
        Output::Json => print_json(&json!({
            "environment": name, "enabled": enabled, "held": held, "disabled": 0, "refused": 0, "kept": keep,
            "retired": false,
        })),
        Output::Table => {
            say!("{name} has {enabled} enabled rows, {disabled} disabled ones, and {held} whose removal is held.");
            if keep {
                say!("With --keep all of them stay as they are, and it is no longer named as left over.");
            } else {
                say!(
                    "The {enabled} enabled rows would be disabled (environment_retired); --keep leaves them as they are."
                );
            }
        }
    }
    Err(CliError::Usage(format!(
        "nothing was changed; take leave of {name} with --yes"
    )))
}
