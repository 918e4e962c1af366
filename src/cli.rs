//! The command line: one file per command. Results go to standard output, everything else to standard error.
//!
//! A command builds the edges it needs from the configuration, calls the engine and prints. It decides nothing.

mod candidates;
mod check;
mod chosen;
mod config;
#[cfg(feature = "simulator")]
mod demo;
mod environment;
mod error;
mod explain;
mod findings;
mod health;
mod import;
mod job;
mod list;
mod many;
mod output;
mod position;
mod role;
mod rules;
mod runs;
mod serve;
#[cfg(feature = "simulator")]
mod simulate;
mod status;
mod sync;
mod team;
mod unit;
mod user;
mod webhook;
mod wire;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use error::{CliError, CliResult, exit};
use output::note;

use crate::domain::text::escaped;
use crate::http::problem::Problem;
use crate::telemetry::logs;

/// The default path of the configuration.
const DEFAULT_CONFIG: &str = "/etc/rollcall/rollcall.toml";

/// Keeps a table of SystemUsers true to a Microsoft Entra ID directory.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "Try it without a tenant: rollcall demo"
)]
struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, env = "ROLLCALL_CONFIG", default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// How results are printed.
    #[arg(long, global = true, default_value = "table")]
    output: Output,
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as `warn,rollcall=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon: migrates, syncs on the interval, serves HTTP.
    #[command(
        after_help = "Examples:\n  rollcall serve\n  rollcall --config /etc/rollcall/rollcall.toml --log info serve"
    )]
    Serve,
    /// Runs one cycle in the foreground.
    Sync(sync::Arguments),
    /// Shows who leads, the latest runs, and the state of each environment.
    #[command(after_help = "Examples:\n  rollcall status\n  rollcall status --output json")]
    Status,
    /// Tests configuration, database, token, permissions, groups and licences.
    #[command(after_help = "Examples:\n  rollcall check\n  rollcall check --output json")]
    Check,
    /// Asks the daemon on this machine whether it is ready.
    Health(health::Arguments),
    /// Explains why a user has access or not.
    Explain(explain::Arguments),
    /// Lists, shows, adds and changes SystemUsers.
    #[command(subcommand)]
    User(user::Command),
    /// Lists, grants and revokes security roles.
    #[command(subcommand)]
    Role(role::Command),
    /// Lists and changes business units.
    #[command(subcommand)]
    Unit(unit::Command),
    /// Lists and changes teams and their members.
    #[command(subcommand)]
    Team(team::Command),
    /// Lists and changes positions.
    #[command(subcommand)]
    Position(position::Command),
    /// Imports directory users who have no row yet.
    Import(import::Arguments),
    /// Lists, shows, cancels and requeues import jobs.
    #[command(subcommand)]
    Job(job::Command),
    /// Lists directory users who have no row in an environment.
    Candidates(candidates::Arguments),
    /// Lists and shows runs; approves or rejects the removals that the guard holds.
    #[command(subcommand)]
    Runs(runs::Command),
    /// Lists environments, and retires one that is no longer configured.
    #[command(subcommand)]
    Environment(environment::Command),
    /// Lists the programs that are told of changes, and tries again what they have missed.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Lists open findings: what an operator should look at.
    Findings(findings::Arguments),
    /// Prints the rules: gates, entitlements, outcomes and reason codes.
    #[command(after_help = "Examples:\n  rollcall rules\n  rollcall rules --output json")]
    Rules,
    /// Applies the database migrations.
    #[command(after_help = "Example:\n  rollcall migrate")]
    Migrate,
    /// Validates and shows the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Demonstrates the program with a simulated tenant and a private PostgreSQL. Needs no tenant and no database.
    #[cfg(feature = "simulator")]
    Demo(demo::Arguments),
    /// Serves a simulated tenant to try a configuration against.
    #[cfg(feature = "simulator")]
    Simulator(simulate::Arguments),
    /// Prints a completion script for a shell.
    #[command(after_help = "Example:\n  rollcall completions bash > /etc/bash_completion.d/rollcall")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages into a folder, for packages.
    #[command(hide = true, after_help = "Example:\n  rollcall man target/man")]
    Man {
        /// The folder, which must be there.
        folder: PathBuf,
    },
}

/// The context of every command.
#[derive(Debug)]
struct Context {
    config: PathBuf,
    output: Output,
    log: Option<String>,
}

/// Parses, runs, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Both TLS users, reqwest and sqlx, are built to take the process's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return told(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note!("rollcall: could not start its threads: {error}");
            return ExitCode::from(1);
        }
    };
    let context = Context {
        config: arguments.config,
        output: arguments.output,
        log: arguments.log,
    };
    let result = runtime.block_on(run(&context, arguments.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let code = result.unwrap_or_else(|error| {
        if let (CliError::Refused(refusal), Output::Json) = (&error, context.output) {
            output::print_json(&Problem::from((**refusal).clone()));
        }
        let priority = if logs::is_journal() { "<3>" } else { "" };
        note!("{priority}rollcall: {error}");
        error.exit_code()
    });
    output::finish(code)
}

/// Prints the parser's message: help, the version, or what is wrong with the arguments.
fn told(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // The message quotes the arguments among its own lines: parse again with escaped arguments.
        let typed = std::env::args_os().map(|argument| escaped(&argument.to_string_lossy()).into_owned());
        let again = Arguments::try_parse_from(typed).err();
        let text = again.as_ref().unwrap_or(error).render().to_string();
        text.lines().for_each(output::note_line);
        return ExitCode::from(exit::USAGE);
    }
    let text = error.render();
    let is_coloured = std::io::stdout().is_terminal();
    output::raw(
        if is_coloured {
            text.ansi().to_string()
        } else {
            text.to_string()
        }
        .as_bytes(),
    );
    output::finish(ExitCode::SUCCESS)
}

async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    match command {
        Command::Serve => serve::run(context).await,
        Command::Sync(arguments) => sync::run(context, arguments).await,
        Command::Status => status::run(context).await,
        Command::Check => check::run(context).await,
        Command::Health(arguments) => health::run(context, arguments).await,
        Command::Explain(arguments) => explain::run(context, arguments).await,
        Command::User(command) => user::run(context, command).await,
        Command::Role(command) => role::run(context, command).await,
        Command::Unit(command) => unit::run(context, command).await,
        Command::Team(command) => team::run(context, command).await,
        Command::Position(command) => position::run(context, command).await,
        Command::Import(arguments) => import::run(context, arguments).await,
        Command::Job(command) => job::run(context, command).await,
        Command::Candidates(arguments) => candidates::run(context, &arguments).await,
        Command::Runs(command) => runs::run(context, command).await,
        Command::Environment(command) => environment::run(context, command).await,
        Command::Webhook(command) => webhook::run(context, command).await,
        Command::Findings(arguments) => findings::run(context, arguments).await,
        Command::Rules => Ok(rules::run(context)),
        Command::Migrate => wire::migrate(context).await,
        Command::Config(command) => config::run(context, &command).await,
        #[cfg(feature = "simulator")]
        Command::Demo(arguments) => demo::run(context, arguments).await,
        #[cfg(feature = "simulator")]
        Command::Simulator(arguments) => simulate::run(context, arguments).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "rollcall", &mut script);
            output::raw(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            let written = clap_mangen::generate_to(Arguments::command(), &folder);
            let failed = |error| CliError::Other(format!("could not write into {}: {error}", folder.display()));
            written.map(|()| ExitCode::SUCCESS).map_err(failed)
        }
    }
}

impl Context {
    /// Starts logging: `--log` wins over the configuration. Commands that print for people log warnings only.
    fn start_logs(&self, configured: Option<(&str, logs::Format)>, quiet: bool) -> CliResult<()> {
        let (filter, format) = configured.unwrap_or(("warn", logs::Format::Text));
        let filter = match (&self.log, quiet) {
            (Some(log), _) => log.as_str(),
            (None, true) => "error",
            (None, false) => filter,
        };
        logs::init(filter, format).map_err(CliError::Usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of an example as a shell splits them, up to a redirection.
    fn split(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('>') {
            let (word, after) = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => rest[1..].split_once(quote).unwrap(),
                _ => rest.split_once(' ').unwrap_or((rest, "")),
            };
            words.push(word.to_owned());
            rest = after.trim_start();
        }
        words
    }

    /// The examples in the help of a command that has no subcommands, and of all below.
    fn examples(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let below: Vec<_> = command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
            .collect();
        for one in &below {
            examples(one, &format!("{path} {}", one.get_name()), found);
        }
        if below.is_empty() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{path}");
            let lines = help
                .lines()
                .filter_map(|line| Some(&line[line.find("rollcall ").filter(|_| line.starts_with("  "))?..]));
            let own: Vec<String> = lines.map(str::to_owned).collect();
            assert!(
                own.iter().any(|line| line.contains(path.trim_start())),
                "{path}: {own:?}"
            );
            found.extend(own);
        }
    }

    #[test]
    fn every_command_has_examples_and_every_example_is_a_command() {
        let mut found = Vec::new();
        examples(&Arguments::command(), "", &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for example in found {
            let parsed = Arguments::try_parse_from(split(&example));
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
        }
    }
}
