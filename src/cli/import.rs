//! `rollcall import`: submits a job, and waits for it unless it is to run in the background.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::chosen::Chosen;
use super::error::{CliResult, exit};
use super::many::lines;
use super::output::progress;
use super::{CliError, Context, job, wire};
use crate::domain::import::{Job, JobOutcome, JobState};
use crate::domain::reason::Code;
use crate::domain::text::Text;
use crate::sync::imports::{ImportRequest, JobReport, Viewer};
use crate::sync::{DeskError, Engine, Failure, ImportError};

/// The interval of the progress display on a terminal.
const PROGRESS: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rollcall import --environment production --company USMF --user ada@contoso.example --user bob@contoso.example
  rollcall import --environment production --company USMF --file users.txt --role \"Basic User\"
  rollcall import --environment production --company USMF --file users.txt --batch-group onboarding
  rollcall import --environment production --company USMF --all --role \"Basic User\" --background --critical
  rollcall import --environment production --company USMF --all --schedule '0 2 * * 1-5'

Users who have a row already are reported and not changed, except that --role gives them the role too. For a job that is
over, `rollcall role grant --job N ROLE` does the same. Exit codes: 0 everybody has a row and the roles, or the job is
in the background; 4 the directory was unavailable, for all or for some; 6 some users were refused a row or a role;
1 the job failed for another reason, or was cancelled.")]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct Arguments {
    #[command(flatten)]
    environment: Chosen,
    /// The default company of every user who gets a row.
    #[arg(long)]
    company: Text,
    /// The business unit of every user who gets a row, by name or id; without it, that of the environment.
    #[arg(long, value_name = "UNIT")]
    business_unit: Option<Text>,
    /// A user to import, by object id or user principal name; may be repeated.
    #[arg(long = "user", value_name = "USER", num_args = 1.., conflicts_with = "all")]
    users: Vec<Text>,
    /// A file with one user a line; `-` reads standard input. Empty lines and lines that begin with `#` are skipped.
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    file: Option<PathBuf>,
    /// Everybody in the directory who has no row and whom the rules admit.
    #[arg(long, required_unless_present_any = ["users", "file"])]
    all: bool,
    /// A security role to grant, at the end, to everyone who got a row or already had one; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Text>,
    /// Do not wait: a daemon carries the job out.
    #[arg(long)]
    background: bool,
    /// A queue: jobs of one group run one after another.
    #[arg(long, value_name = "GROUP")]
    batch_group: Option<Text>,
    /// Only its owner and operators see the job.
    #[arg(long)]
    private: bool,
    /// The job is never purged, and its failure is an alert.
    #[arg(long)]
    critical: bool,
    /// A label for the job's metrics.
    #[arg(long, value_name = "CATEGORY", default_value = "undefined")]
    category: Text,
    /// What the job is for.
    #[arg(long)]
    description: Option<Text>,
    /// Run it again and again, at the times that this cron expression of five fields gives, in UTC.
    #[arg(long, value_name = "CRON")]
    schedule: Option<Text>,
    /// How often in a row it is tried again when the directory is unavailable.
    #[arg(long, value_name = "N", default_value_t = crate::sync::imports::DEFAULT_RETRIES,
        value_parser = clap::value_parser!(u8).range(0..=5))]
    max_retries: u8,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    let mut users: Vec<String> = arguments.users.into_iter().map(String::from).collect();
    if let Some(file) = &arguments.file {
        users.extend(lines(file)?);
    }
    let engine = context.engine(wire::Patience::Long).await?;
    let request = ImportRequest {
        environment: arguments.environment.name(&engine)?.to_owned(),
        company: arguments.company.into(),
        default_business_unit: arguments.business_unit.map(String::from),
        businessunitid: None,
        users,
        all: arguments.all,
        background: arguments.background,
        batch_group: arguments.batch_group.map(String::from),
        private: arguments.private,
        critical: arguments.critical,
        monitoring_category: Some(arguments.category.into()),
        description: arguments.description.map(String::from),
        schedule: arguments.schedule.map(String::from),
        max_retries: Some(arguments.max_retries),
        roles: arguments.roles.into_iter().map(String::from).collect(),
    };
    let actor = wire::operator();
    let submitted = engine.imports().submit_import(&request, &actor).await?;
    let viewer = Viewer {
        name: &actor,
        is_operator: true,
    };
    if !submitted.background {
        wait_for(&engine, &submitted).await?;
    }
    let report = engine.imports().import_job(viewer, submitted.id).await?;
    engine.store.close().await;
    job::print_report(context, &report);
    Ok(exit_code(&report))
}

async fn wait_for(engine: &Engine, submitted: &Job) -> CliResult<()> {
    let shown = std::io::stderr()
        .is_terminal()
        .then(|| show_progress(engine, submitted.id));
    let result = engine.imports().finish_import(submitted.id, &wire::holder()).await;
    drop(shown);
    progress(None);
    match result {
        Ok(_) => Ok(()),
        Err(ImportError::Desk(DeskError::Failed(Failure::Cancelled))) => {
            let id = submitted.id;
            Err(CliError::Other(format!(
                "stopped waiting; job {id} goes on as soon as a daemon takes it: see `rollcall job show {id}`, \
                 stop it with `rollcall job cancel {id}`"
            )))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows the number of finished users, until it is dropped.
fn show_progress(engine: &Engine, id: i64) -> AbortOnDropHandle<()> {
    let engine = engine.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let viewer = Viewer {
            name: "",
            is_operator: true,
        };
        loop {
            if let Ok(JobReport { job, .. }) = engine.imports().import_job(viewer, id).await {
                let note = match &job.error {
                    Some(error) if job.state == JobState::Waiting => format!(", waiting: {error}"),
                    _ => String::new(),
                };
                progress(Some(&format!("Job {id}: {}/{}{note}", job.done(), job.total)));
            }
            engine.clock.sleep(PROGRESS).await;
        }
    }))
}

/// The same code as other commands have for the same cause.
fn exit_code(report: &JobReport) -> ExitCode {
    let refused = &report.refused_by_code;
    let is_unavailable = refused
        .iter()
        .any(|one| one.code == Code::DirectoryUnavailable.as_str());
    match report.job.outcome {
        _ if is_unavailable || report.job.is_given_up() => ExitCode::from(exit::DIRECTORY),
        Some(JobOutcome::Failed | JobOutcome::Cancelled) => ExitCode::from(1),
        Some(JobOutcome::EndedWithRefusals) => ExitCode::from(exit::REFUSED),
        _ => ExitCode::SUCCESS,
    }
}
