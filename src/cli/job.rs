//! `rollcall job`: import jobs.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, json};

use super::chosen::OnlyOne;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, say, table};
use super::{Context, Output, wire};
use crate::domain::import::{Item, ItemState, Job, JobState};
use crate::sync::Engine;
use crate::sync::imports::{JobFilter, JobReport, Viewer};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists jobs, newest first.
    #[command(after_help = "Example:\n  rollcall job list --environment production --state failed")]
    List {
        #[command(flatten)]
        environment: OnlyOne,
        /// One state only.
        #[arg(long, value_parser = PossibleValuesParser::new(JobState::ALL.map(JobState::as_str)).try_map(|word| word.parse::<JobState>()))]
        state: Option<JobState>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Shows a job with its results.
    #[command(
        after_help = "Examples:\n  rollcall job show 7\n  rollcall job show 7 --items --state refused --output json"
    )]
    Show {
        /// The job's number.
        job: i64,
        /// Also show the result for each user; --limit says for how many.
        #[arg(long)]
        items: bool,
        /// Users with this result only.
        #[arg(long, requires = "items", value_parser = PossibleValuesParser::new(ItemState::ALL.map(ItemState::as_str)).try_map(|word| word.parse::<ItemState>()))]
        state: Option<ItemState>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Stops a job after its current batch. Users who have a row keep it.
    #[command(after_help = "Example:\n  rollcall job cancel 7")]
    Cancel {
        /// The job's number.
        job: i64,
    },
    /// Runs the rest of a job that is over: refused users are re-evaluated.
    #[command(after_help = "Example:\n  rollcall job requeue 7")]
    Requeue {
        /// The job's number.
        job: i64,
    },
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let name = wire::operator();
    // A person with the configuration and the database is an operator.
    let viewer = Viewer {
        name: &name,
        is_operator: true,
    };
    match command {
        Command::List {
            environment,
            state,
            extent,
        } => {
            let records = engine.records();
            let environment = environment.name(&records).await?;
            let layout = Layout {
                spare: &["GROUP", "COMPANY", "BY", "USERS", "PRESENT", "TOTAL"],
                ..Layout::new(&JOBS, job_cells)
            };
            list::print(
                context,
                &extent,
                layout,
                |job: &Job| job.id,
                async |before, limit| {
                    wire::go_on(&engine)?;
                    let filter = JobFilter {
                        environment: environment.map(str::to_owned),
                        state,
                        before,
                        limit,
                    };
                    Ok(engine.imports().import_jobs(viewer, &filter).await?)
                },
            )
            .await?;
        }
        Command::Show {
            job,
            items,
            state,
            extent,
        } => {
            let report = engine.imports().import_job(viewer, job).await?;
            if context.output == Output::Table || !items {
                print_report(context, &report);
            }
            if items {
                if context.output == Output::Table {
                    say!();
                }
                let layout = Layout {
                    beside: Map::from_iter([("job".to_owned(), json!(report))]),
                    has_sentences: true,
                    spare: &["SYSTEMUSERID"],
                    ..Layout::new(&ITEMS, item_cells)
                };
                list::print(
                    context,
                    &extent,
                    layout,
                    |item: &Item| item.position,
                    async |after, limit| {
                        wire::go_on(&engine)?;
                        Ok(engine.imports().import_items(viewer, job, state, after, limit).await?)
                    },
                )
                .await?;
            }
        }
        Command::Cancel { job } => {
            let job = engine.imports().cancel_import(viewer, job).await?;
            tell(context, &engine, viewer, &job).await?;
        }
        Command::Requeue { job } => {
            let job = engine.imports().requeue_import(viewer, job).await?;
            tell(context, &engine, viewer, &job).await?;
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn tell(context: &Context, engine: &Engine, viewer: Viewer<'_>, job: &Job) -> CliResult<()> {
    if context.output == Output::Json {
        print_json(&engine.imports().import_job(viewer, job.id).await?);
    } else if job.state == JobState::Running {
        say!("Job {} stops after its current batch.", job.id);
    } else {
        say!("Job {} is {}.", job.id, state_of(job));
    }
    Ok(())
}

const JOBS: [&str; 12] = [
    "JOB",
    "SUBMITTED (UTC)",
    "BY",
    "ENVIRONMENT",
    "COMPANY",
    "USERS",
    "GROUP",
    "STATE",
    "TOTAL",
    "CREATED",
    "PRESENT",
    "REFUSED",
];

fn job_cells(job: &Job) -> Vec<String> {
    let mut cells = vec![
        job.id.to_string(),
        job.submitted_at.format("%Y-%m-%d %H:%M").to_string(),
        job.submitted_by.clone(),
        job.environment.clone(),
        job.company.clone(),
        if job.all { "everybody" } else { "selected" }.to_owned(),
        or_dash(job.batch_group.as_deref()),
        state_of(job),
    ];
    cells.extend([job.total, job.created, job.already_present, job.refused].map(|count| count.to_string()));
    cells
}

const ITEMS: [&str; 5] = ["USER", "RESULT", "CODE", "SYSTEMUSERID", "DETAIL"];

fn item_cells(item: &Item) -> Vec<String> {
    vec![
        item.given.clone(),
        item.state.to_string(),
        or_dash(item.code.as_deref()),
        or_dash(item.systemuserid.map(|id| id.to_string()).as_deref()),
        or_dash(item.detail.as_deref()),
    ]
}

/// State and outcome in one or two words.
fn state_of(job: &Job) -> String {
    match (job.state, job.outcome) {
        (JobState::Waiting, _) if job.schedule.is_some() => "scheduled".to_owned(),
        (JobState::Ended, Some(outcome)) => outcome.as_str().replace('_', " "),
        (JobState::Running, _) if job.cancelled_by.is_some() => "stopping".to_owned(),
        (state, _) => state.to_string(),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Prints a job with its result so far.
pub fn print_report(context: &Context, report: &JobReport) {
    if context.output == Output::Json {
        return print_json(report);
    }
    let job = &report.job;
    say!("Import job {}: {}", job.id, state_of(job));
    let who = if job.all {
        "everybody without a row".to_owned()
    } else {
        format!("{} selected user{}", job.total, if job.total == 1 { "" } else { "s" })
    };
    say!("  imports      {who} into {}, company {}", job.environment, job.company);
    say!("  submitted    {} UTC by {}", time(job.submitted_at), job.submitted_by);
    let mut options: Vec<String> = Vec::new();
    options.extend(job.background.then(|| "background".to_owned()));
    options.extend(job.private.then(|| "private".to_owned()));
    options.extend(job.critical.then(|| "critical".to_owned()));
    options.extend(job.batch_group.as_ref().map(|group| format!("group {group}")));
    options.push(format!("category {}", job.monitoring_category));
    options.extend(job.scheduled_by.map(|by| format!("a run of job {by}")));
    say!("  options      {}", options.join(", "));
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            say!("  {name:<12} {value}");
        }
    };
    line("roles", (!job.roles.is_empty()).then(|| job.roles.join(", ")));
    line("description", job.description.clone());
    line("schedule", job.schedule.as_ref().map(|cron| format!("{cron} (UTC)")));
    line("next run", job.next_run_at.map(|at| format!("{} UTC", time(at))));
    line("started", job.started_at.map(|at| format!("{} UTC", time(at))));
    line("ended", job.ended_at.map(|at| format!("{} UTC", time(at))));
    line("tries again", job.next_attempt_at.map(|at| format!("{} UTC", time(at))));
    line("problem", job.error.clone());
    if job.schedule.is_some() {
        return;
    }
    let counts = [job.total, job.created, job.already_present, job.refused].map(|count| count.to_string());
    say!();
    table(&["TOTAL", "CREATED", "ALREADY PRESENT", "REFUSED"], &[counts.to_vec()]);
    if !report.refused_by_code.is_empty() {
        let refused = report.refused_by_code.iter();
        let rows: Vec<Vec<String>> = refused
            .map(|one| vec![one.code.clone(), one.count.to_string()])
            .collect();
        say!();
        table(&["REFUSED BECAUSE", "USERS"], &rows);
        say!();
        say!("To list them: rollcall job show {} --items --state refused", job.id);
        say!("To re-evaluate them: rollcall job requeue {}", job.id);
    }
    print_roles(job);
    if let Some(step) = &report.next_step {
        say!();
        say!(
            "{} of the users created have no security role and cannot use data yet.",
            report.created_without_role
        );
        say!("{step}");
    }
}

/// Prints how many users of a job got each of its roles.
fn print_roles(job: &Job) {
    let results = &job.role_results.0;
    if results.is_empty() {
        return;
    }
    let rows = results.iter().map(|one| {
        let refused: u64 = one.refused.values().sum();
        vec![one.role.clone(), one.granted.to_string(), refused.to_string()]
    });
    say!();
    table(&["ROLE", "GRANTED", "REFUSED"], &rows.collect::<Vec<_>>());
    for one in results.iter().filter(|one| !one.refused.is_empty()) {
        let reasons: Vec<String> = one
            .refused
            .iter()
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        say!("{} was refused: {}", one.role, reasons.join(", "));
        say!(
            "To retry and see each user: rollcall role grant --job {} '{}'",
            job.id,
            one.role
        );
    }
}
