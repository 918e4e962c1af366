//! `rollcall environment`: lists the environments, and retires one that is gone.

use std::io::IsTerminal;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, progress, say};
use super::{CliError, Context, Output, chosen, wire};
use crate::domain::environment::KnownEnvironment;
use crate::domain::text::Text;
use crate::sync::Engine;
use crate::sync::records::Records;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the configured environments, and those that are left over in the database.
    #[command(after_help = "Example:\n  rollcall environment list")]
    List(Extent),
    /// Retires an environment that is no longer configured: disables its rows.
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
    /// Leave its rows as they are. It is only no longer reported as left over.
    #[arg(long)]
    keep: bool,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    match command {
        Command::List(extent) => list(context, &context.records().await?, &extent).await?,
        Command::Retire(asked) => retire(context, &context.engine(wire::Patience::Short).await?, &asked).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An environment as it is listed.
#[derive(Serialize)]
struct Listed {
    name: String,
    kind: Option<String>,
    configured: bool,
    enabled: i64,
    disabled: i64,
    held: i64,
    last_judged: Option<DateTime<Utc>>,
}

impl Listed {
    fn cells(&self) -> Vec<String> {
        let judged = self.last_judged.map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        vec![
            self.name.clone(),
            or_dash(self.kind.as_deref()),
            if self.configured { "configured" } else { "left over" }.to_owned(),
            self.enabled.to_string(),
            self.disabled.to_string(),
            self.held.to_string(),
            or_dash(judged.as_deref()),
        ]
    }
}

async fn list(context: &Context, records: &Records, extent: &Extent) -> CliResult<()> {
    let heading = [
        "ENVIRONMENT",
        "KIND",
        "STATE",
        "ENABLED",
        "DISABLED",
        "HELD",
        "EVALUATED (UTC)",
    ];
    let names = records.listed_names().await?;
    let mut has_left_over = false;
    list::print(
        context,
        extent,
        Layout {
            spare: &["EVALUATED (UTC)", "KIND"],
            ..Layout::new(&heading, Listed::cells)
        },
        |listed: &Listed| listed.name.clone(),
        async |after: Option<String>, limit| {
            let behind = match &after {
                Some(after) => names.iter().position(|name| name == after).map(|at| at + 1),
                None => Some(0),
            };
            let Some(behind) = behind else {
                chosen::check(&names, after.as_deref().unwrap_or_default())?;
                return Ok(Vec::new());
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let wanted = &names[behind..names.len().min(behind.saturating_add(limit))];
            let known = records.known(wanted).await?.into_iter().map(|known| Listed {
                configured: records.is_configured(&known.name),
                name: known.name,
                kind: known.kind,
                enabled: known.enabled,
                disabled: known.disabled,
                held: known.held,
                last_judged: known.judged_at,
            });
            let listed: Vec<Listed> = known.collect();
            has_left_over |= listed.iter().any(|listed| !listed.configured);
            Ok(listed)
        },
    )
    .await?;
    if has_left_over && context.output == Output::Table {
        say!();
        say!("Environments that are left over are not kept up to date: configure them again, or retire them with");
        say!("`rollcall environment retire NAME`.");
    }
    Ok(())
}

async fn retire(context: &Context, engine: &Engine, asked: &Retire) -> CliResult<()> {
    let name = &asked.environment;
    chosen::check(&engine.records().environment_names().await?, name)?;
    let known = engine.guard().leaving(name).await?;
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
        Output::Table if asked.keep => say!(
            "{name} is retired; its {} enabled rows stay as they are.",
            known.enabled
        ),
        Output::Table if is_left => say!("{name} is retired: {} rows disabled.", retired.disabled),
        Output::Table => say!("{name}: {} rows disabled.", retired.disabled),
    }
    if is_left {
        Ok(())
    } else {
        Err(CliError::Other(format!(
            "the database rejected {} rows of {name}, so it is not retired yet: the log above says why",
            retired.refused
        )))
    }
}

/// A preview of the effects, without any change.
fn preview(context: &Context, known: &KnownEnvironment, keep: bool) -> CliResult<()> {
    let KnownEnvironment {
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
                say!("With --keep all of them stay as they are, and it is no longer reported as left over.");
            } else {
                say!(
                    "The {enabled} enabled rows would be disabled (environment_retired); --keep leaves them as they are."
                );
            }
        }
    }
    Err(CliError::Usage(format!(
        "nothing was changed; retire {name} with --yes"
    )))
}
