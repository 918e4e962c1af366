//! `rollcall sync`: one cycle in the foreground, or one requested from the leading daemon.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::error::{CliResult, exit};
use super::list::Extent;
use super::output::{note, print_json, progress, say, sentences};
use super::{CliError, Context, Output, chosen, runs, wire};
use crate::domain::run::RunProgress;
use crate::domain::text::Text;
use crate::sync::cycle::Request;
use crate::sync::daemon::asked::{self, Followed};
use crate::sync::daemon::{self, Led};
use crate::sync::records::Records;
use crate::sync::{Counts, Engine, Failure, Report, RunOutcome};

/// The interval of checks for a free lease.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rollcall sync\n  rollcall sync --environment production --dry-run\n  rollcall sync --full --output json"
)]
pub struct Arguments {
    /// Evaluate this environment only; may be repeated.
    #[arg(long, value_name = "NAME")]
    environment: Vec<Text>,
    /// List every source again and verify the mirror by it, then evaluate everyone.
    #[arg(long)]
    full: bool,
    /// Write nothing to `system_user`; show what would change and why. `rollcall runs changes RUN` shows it again for a
    /// day.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    // A terminal shows the progress and the summary instead of the log.
    let config = context.load(context.output == Output::Json || std::io::stderr().is_terminal())?;
    let cancel = wire::cancelled_by_signals()?;
    let store = wire::connect(&config, wire::Patience::Long).await?;
    wire::prepare_store(&config, &store).await?;
    let engine = wire::engine(&config, store, cancel, wire::Patience::Long)?;
    let request = Request {
        trigger: "sync".to_owned(),
        environments: arguments.environment.into_iter().map(String::from).collect(),
        full: arguments.full,
        dry_run: arguments.dry_run,
    };
    for name in &request.environments {
        chosen::check(&engine.settings.names(), name)?;
    }
    let shown = show_progress(&engine);
    let report = lead_or_ask(&engine, &request).await;
    drop(shown);
    progress(None);
    let report = report?;
    print_result(context, &engine.records(), &report).await?;
    engine.store.close().await;
    Ok(exit_code(&report))
}

/// Shows how far this process's own run is, until the handle is dropped.
fn show_progress(engine: &Engine) -> AbortOnDropHandle<()> {
    let (clock, own) = (engine.clock.clone(), engine.progress.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            clock.sleep(POLL).await;
            if let Some((run, at)) = own.at(clock.now()) {
                progress(Some(&format!("Run {run}: {at}")));
            }
        }
    }))
}

/// Prints a run; of a dry run, the changes that it would make after it, page by page.
async fn print_result(context: &Context, records: &Records, report: &Report) -> CliResult<()> {
    if context.output == Output::Table {
        print_report(report);
    } else if !report.dry_run {
        print_json(report);
    }
    if report.dry_run {
        let mut beside = json!(report);
        let beside = beside.as_object_mut().map(std::mem::take).unwrap_or_default();
        let is_unrecorded = is_unrecorded(records, report).await?;
        if is_unrecorded && context.output == Output::Json {
            note!("{UNRECORDED}");
        }
        let nothing = if is_unrecorded { UNRECORDED } else { "No changes." };
        runs::print_changes(context, records, report.run, &Extent::default(), nothing, beside).await?;
    }
    Ok(())
}

/// Why a dry run that would change something shows no change.
const UNRECORDED: &str = "The changes themselves are not shown: the daemon that made this dry run is of an older \
                          version, which only counts them. Update the daemon, then run this again.";

/// Whether a dry run has counted changes that it has not recorded.
async fn is_unrecorded(records: &Records, report: &Report) -> CliResult<bool> {
    let counted = |one: &Counts| one.created + one.updated + one.enabled + one.disabled + one.held;
    let is_nothing = report.environments.iter().map(counted).sum::<u64>() == 0;
    Ok(!is_nothing
        && records
            .changes(report.run, None, 1)
            .await?
            .is_none_or(|lines| lines.is_empty()))
}

/// The exit code of a run.
pub fn exit_code(report: &Report) -> ExitCode {
    match report.outcome {
        RunOutcome::Complete => ExitCode::SUCCESS,
        RunOutcome::Held => ExitCode::from(exit::HELD),
        RunOutcome::Incomplete => ExitCode::from(exit::DIRECTORY),
        RunOutcome::Failed => ExitCode::from(1),
    }
}

async fn lead_or_ask(engine: &Engine, request: &Request) -> CliResult<Report> {
    let holder = wire::holder();
    let mut told = false;
    loop {
        match daemon::run_once(engine, &holder, request).await? {
            Led::Done(report) => return Ok(report),
            Led::Elsewhere { by_daemon: true, .. } => {
                if let Some(report) = ask(engine, request).await? {
                    return Ok(report);
                }
            }
            Led::Elsewhere { by_daemon: false, .. } if !told => {
                note!("Another sync is under way; waiting for it to end.");
                told = true;
            }
            Led::Elsewhere { by_daemon: false, .. } => {}
        }
        if engine.cancel.is_cancelled() {
            return Err(CliError::Other("stopped while waiting for another run".to_owned()));
        }
        engine.clock.sleep(POLL).await;
    }
}

/// Requests a run from the daemon and follows it. None when the daemon does not answer.
async fn ask(engine: &Engine, request: &Request) -> CliResult<Option<Report>> {
    let mut request = request.clone();
    if request.environments.is_empty() {
        request.environments = engine.settings.names();
    }
    let id = asked::ask(engine, &request).await?;
    note!("Asked the daemon that leads; following its run.");
    let told = |run: i64, at: Option<&RunProgress>| {
        progress(at.map(|at| format!("Run {run}: {at}")).as_deref());
    };
    let text = match asked::follow(engine, id, told).await {
        Ok(Followed::Done(report)) => return Ok(Some(report)),
        Ok(Followed::Unanswered) => return Ok(None),
        Ok(Followed::Unknown) => {
            "the daemon that leads has another configuration, which lacks an environment asked for; reload it with SIGHUP"
        }
        Err(Failure::Cancelled) => "stopped following the daemon's run",
        Err(failure) => return Err(failure.into()),
    };
    Err(CliError::Other(text.to_owned()))
}

/// Prints a run for people.
pub fn print_report(report: &Report) {
    counts_table(&report.environments);
    say!();
    for problem in &report.problems {
        say!("{problem}");
    }
    if let Some(verification) = &report.verification {
        say!("Verification of the mirror: {verification}.");
    }
    for left in &report.left_over {
        say!("Left over: {}", left.sentence());
    }
    let run = report.run;
    let kind = if report.dry_run { "Dry run" } else { "Run" };
    let held: u64 = report.environments.iter().map(|counts| counts.held).sum();
    match report.outcome {
        RunOutcome::Complete => say!("{kind} {run} is complete."),
        RunOutcome::Held if report.dry_run => {
            say!("{kind} {run} is complete: a real one would hold {held} removals until somebody approves them.");
        }
        RunOutcome::Held => say!(
            "{kind} {run} holds removals: see `rollcall runs show {run}`, then `rollcall runs approve {run}` or `reject`."
        ),
        RunOutcome::Incomplete => {
            say!("{kind} {run} is incomplete; nobody was disabled on doubt, and the next run goes on from here.");
            if report.holds && !report.dry_run {
                say!("It also holds removals: see `rollcall runs show {run}`.");
            }
        }
        RunOutcome::Failed => say!("{kind} {run} broke off; the next run goes on where it stopped."),
    }
}

/// Prints the changes of a run, by environment.
pub fn counts_table(environments: &[Counts]) {
    let rows: Vec<Vec<String>> = environments
        .iter()
        .map(|counts| {
            let skipped: Vec<String> = counts
                .skipped
                .iter()
                .map(|(code, count)| format!("{code} {count}"))
                .collect();
            vec![
                counts.environment.clone(),
                counts.created.to_string(),
                counts.updated.to_string(),
                counts.enabled.to_string(),
                counts.disabled.to_string(),
                counts.held.to_string(),
                if skipped.is_empty() {
                    "-".to_owned()
                } else {
                    skipped.join(", ")
                },
            ]
        })
        .collect();
    let heading = [
        "ENVIRONMENT",
        "CREATED",
        "UPDATED",
        "ENABLED",
        "DISABLED",
        "HELD",
        "SKIPPED",
    ];
    sentences(&heading, &rows);
}
