//! `rollcall runs`: history, and decisions on held removals.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::chosen::OnlyOne;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, say, value_text};
use super::{CliError, Context, Output, sync, wire};
use crate::domain::removal::{HeldKey, HeldRow};
use crate::domain::run::{Run, RunLine};
use crate::sync::daemon::asked;
use crate::sync::guard::approval::{Decided, Decision};
use crate::sync::records::{Records, RunDetails};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists runs, newest first.
    #[command(after_help = "Example:\n  rollcall runs list --limit 20")]
    List(Extent),
    /// Shows a run, and who would lose access if it holds removals.
    #[command(after_help = "Examples:\n  rollcall runs show 42\n  rollcall runs show 42 --output json")]
    Show {
        /// The run's number.
        run: i64,
        #[command(flatten)]
        extent: Extent,
    },
    /// Shows what a run changed, or what a dry run would change, in order.
    #[command(
        after_help = "Examples:\n  rollcall runs changes 42\n  rollcall runs changes 42 --limit 100 --output json"
    )]
    Changes {
        /// The run's number.
        run: i64,
        #[command(flatten)]
        extent: Extent,
    },
    /// Disables exactly the rows that a run holds; each is re-evaluated first.
    #[command(
        after_help = "Examples:\n  rollcall runs approve 42\n  rollcall runs approve 42 --environment production"
    )]
    Approve(Held),
    /// Leaves the rows that a run holds enabled until their cause changes.
    #[command(after_help = "Examples:\n  rollcall runs reject 42\n  rollcall runs reject 42 --environment production")]
    Reject(Held),
}

#[derive(Debug, clap::Args)]
pub struct Held {
    /// The run's number.
    run: i64,
    #[command(flatten)]
    environment: OnlyOne,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    match command {
        Command::List(extent) => list_runs(context, &context.records().await?, &extent).await?,
        Command::Show { run, extent } => show(context, &context.records().await?, run, &extent).await?,
        Command::Changes { run, extent } => {
            let records = context.records().await?;
            print_changes(context, &records, run, &extent, NOTHING, Map::new()).await?;
        }
        Command::Approve(held) => decide(context, &held, Decision::Approve).await?,
        Command::Reject(held) => decide(context, &held, Decision::Reject).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_runs(context: &Context, records: &Records, extent: &Extent) -> CliResult<()> {
    let heading = [
        "RUN",
        "STARTED (UTC)",
        "TRIGGER",
        "OUTCOME",
        "CREATED",
        "UPDATED",
        "ENABLED",
        "DISABLED",
        "HELD",
    ];
    list::print(
        context,
        extent,
        Layout {
            spare: &["UPDATED", "ENABLED"],
            ..Layout::new(&heading, run_cells)
        },
        |run: &Run| run.id,
        async |before, limit| Ok(records.runs(before, limit).await?),
    )
    .await?;
    if context.output == Output::Table {
        for left in records.left_over().await? {
            say!();
            say!("Left over: {}", left.sentence());
        }
    }
    Ok(())
}

fn run_cells(run: &Run) -> Vec<String> {
    let total = |what: &str| -> u64 {
        let counts = run.counts.as_object().into_iter().flatten();
        counts.filter_map(|(_, one)| one.get(what)?.as_u64()).sum()
    };
    let mut cells = vec![
        run.id.to_string(),
        run.started_at.format("%Y-%m-%d %H:%M").to_string(),
        if run.dry_run {
            format!("{} (dry)", run.trigger)
        } else {
            run.trigger.clone()
        },
        run.outcome.clone().unwrap_or_else(|| "running".to_owned()),
    ];
    cells.extend(["created", "updated", "enabled", "disabled", "held"].map(|what| total(what).to_string()));
    cells
}

/// The text for a run without changes.
const NOTHING: &str = "No changes. What a dry run would change is kept for a day.";

/// Prints the changes of a run, or says that there is nothing, page by page; in JSON, after other members of the
/// document.
pub async fn print_changes(
    context: &Context,
    records: &Records,
    run: i64,
    extent: &Extent,
    nothing: &str,
    beside: Map<String, Value>,
) -> CliResult<()> {
    let is_result = !beside.is_empty();
    let layout = Layout {
        nothing: Some(nothing),
        has_sentences: true,
        items: if is_result { "changes" } else { "items" },
        beside,
        ..Layout::new(&["ENVIRONMENT", "CHANGE", "USER", "REASON", "COLUMNS"], change_cells)
    };
    let read = async |after, limit| records.changes(run, after, limit).await?.ok_or_else(|| no_run(run));
    list::print(context, extent, layout, |line: &RunLine| line.id, read).await
}

fn change_cells(line: &RunLine) -> Vec<String> {
    let held = if line.held { " (held)" } else { "" };
    let fields = line.fields.as_object().into_iter().flatten();
    let fields: Vec<String> = match line.operation.as_str() {
        "create" => Vec::new(),
        "grant" | "revoke" => fields.map(|(_, role)| value_text(role)).collect(),
        _ => fields.map(|(name, _)| name.clone()).collect(),
    };
    vec![
        line.environment.clone(),
        format!("{}{held}", line.operation),
        line.domainname.clone().unwrap_or_else(|| line.systemuserid.to_string()),
        or_dash(line.reason.as_deref()),
        fields.join(" "),
    ]
}

fn no_run(id: i64) -> CliError {
    CliError::Usage(format!("there is no run {id}; see `rollcall runs list`"))
}

async fn show(context: &Context, records: &Records, id: i64, extent: &Extent) -> CliResult<()> {
    let Some(found) = records.run_without_rows(id).await? else {
        return Err(no_run(id));
    };
    let RunDetails {
        run,
        held_sets: sets,
        progress,
        held_total,
        ..
    } = found;
    if context.output == Output::Json {
        let beside = json!({ "run": run, "held_sets": sets, "progress": progress });
        return print_held(context, records, id, extent, beside).await;
    }
    say!("Run {id}: {}", run.outcome.as_deref().unwrap_or("running"));
    say!("  started  {}", run.started_at.format("%Y-%m-%d %H:%M:%S UTC"));
    if let Some(ended) = run.ended_at {
        say!("  ended    {}", ended.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    say!(
        "  trigger  {}{}",
        run.trigger,
        if run.dry_run { " (dry run)" } else { "" }
    );
    if let Some(progress) = progress {
        say!("  progress {progress}");
    }
    if let Some(verification) = asked::verification_of(run.verification.clone()) {
        say!("  verified {verification}");
    }
    let counts = asked::counts_of(&run.counts);
    if !counts.is_empty() {
        say!();
        sync::counts_table(&counts);
    }
    for problem in &run.problems {
        say!("  problem: {problem}");
    }
    for left in asked::left_over_of(run.left_over.clone()) {
        say!("  left over: {}", left.sentence());
    }
    for set in &sets {
        let state = match (&set.decision, &set.decided_by) {
            (None, _) if !set.can_be_decided => format!(
                "{} rows; nobody can decide them, since the environment is not in this configuration; they expire at {}",
                set.rows,
                set.expires_at.format("%Y-%m-%d %H:%M UTC")
            ),
            (None, _) => format!(
                "{} rows wait until {}",
                set.rows,
                set.expires_at.format("%Y-%m-%d %H:%M UTC")
            ),
            (Some(decision), Some(by)) => format!("{decision} by {by}"),
            (Some(decision), None) => decision.clone(),
        };
        say!();
        say!("Held in {}: {state}", set.environment);
        say!("  {}", set.why);
    }
    if held_total > 0 {
        say!();
        print_held(context, records, id, extent, Value::Null).await?;
        if sets.iter().any(|set| set.can_be_decided) {
            say!();
            say!("Decide with `rollcall runs approve {id}` or `rollcall runs reject {id}`.");
        }
    }
    Ok(())
}

/// Prints who would lose access, page by page; in JSON, after other members of the document.
async fn print_held(context: &Context, records: &Records, run: i64, extent: &Extent, beside: Value) -> CliResult<()> {
    let cells = |row: &HeldRow| {
        vec![
            row.environment.clone(),
            or_dash(row.domainname.as_deref()),
            row.reason.clone(),
            row.systemuserid.to_string(),
        ]
    };
    let layout = Layout {
        items: "held",
        spare: &["SYSTEMUSERID"],
        beside: beside.as_object().cloned().unwrap_or_default(),
        ..Layout::new(&["ENVIRONMENT", "WOULD LOSE ACCESS", "REASON", "SYSTEMUSERID"], cells)
    };
    let read = async |after, limit| records.held(run, after, limit).await?.ok_or_else(|| no_run(run));
    list::print(context, extent, layout, |row: &HeldRow| HeldKey::from(row), read).await
}

async fn decide(context: &Context, held: &Held, decision: Decision) -> CliResult<()> {
    let engine = context.engine(wire::Patience::Long).await?;
    let actor = wire::operator();
    let records = engine.records();
    let environment = held.environment.name(&records).await?;
    let decisions = engine.guard().decide(held.run, environment, decision, &actor).await?;
    if context.output == Output::Json {
        print_json(&json!({ "run": held.run, "decided_by": actor, "environments": decisions.environments }));
    } else {
        for decided in &decisions.environments {
            say!("{}", sentence(decided, &actor));
        }
    }
    match decisions.failure {
        Some(failure) => Err(failure.into()),
        None if decisions.environments.iter().any(|decided| decided.error.is_some()) => {
            Err(CliError::Other("not everything was carried out".to_owned()))
        }
        None => Ok(()),
    }
}

/// The result of a decision in one environment.
fn sentence(decided: &Decided, actor: &str) -> String {
    let Decided {
        counts,
        decision,
        dropped,
        waiting,
        directory,
        error,
    } = decided;
    let mut text = match decision {
        Some(Decision::Reject) => format!(
            "{}: {} rows stay enabled, rejected by {actor}.",
            counts.environment, counts.held
        ),
        Some(_) => format!(
            "{}: {} rows disabled, approved by {actor}.",
            counts.environment, counts.disabled
        ),
        None => format!(
            "{}: {} rows disabled, {waiting} still wait for a decision: {}.",
            counts.environment,
            counts.disabled,
            error.as_deref().unwrap_or_default()
        ),
    };
    if *dropped > 0 {
        let _ = write!(
            text,
            " {dropped} were dropped, since they qualify again or cannot be evaluated now."
        );
    }
    if let Some(directory) = directory.as_deref().filter(|directory| *directory != "fresh") {
        let _ = write!(text, " Evaluated by directory data {directory}.");
    }
    text
}
