//! One error line for the user, and the exit code for scripts (interfaces.md, section 1).

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use super::wire;
use crate::config::ConfigError;
use crate::domain::reason::Code;
use crate::error::chain;
use crate::graph::{GraphError, describe};
use crate::sync::daemon::BELIEVED_FOR;
use crate::sync::desk::Refusal;
use crate::sync::{CycleError, DeskError, Failure, GuardError, ImportError, StoreError, UnknownEnvironment};

/// Shorthand.
pub type CliResult<T> = Result<T, CliError>;

/// The exit codes.
pub mod exit {
    /// Usage or configuration.
    pub const USAGE: u8 = 2;
    /// Something is held.
    pub const HELD: u8 = 3;
    /// The directory or one of its sources was unavailable.
    pub const DIRECTORY: u8 = 4;
    /// The database was unavailable.
    pub const DATABASE: u8 = 5;
    /// Refused by the rules.
    pub const REFUSED: u8 = 6;
}

/// Why a command failed.
#[derive(Debug)]
pub enum CliError {
    /// The command line is wrong.
    Usage(String),
    /// The configuration is wrong.
    Config(ConfigError),
    /// Graph failed.
    Graph(GraphError),
    /// The database failed.
    Store(StoreError),
    /// The rules refuse, or the requested object does not exist.
    Refused(Box<Refusal>),
    /// The rules refused part of the request, and the results say which.
    AlreadyShown(Code),
    /// A conflict with the present state, with a code that is not a rule's.
    InTheWay(&'static str, String),
    /// Anything else.
    Other(String),
}

impl CliError {
    /// The exit code.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Graph(GraphError::Settings(_)) => exit::USAGE,
            Self::Graph(_) | Self::AlreadyShown(Code::DirectoryUnavailable) => exit::DIRECTORY,
            Self::Store(error) if error.is_away() => exit::DATABASE,
            Self::Store(error) if error.is_misconfigured() => exit::USAGE,
            Self::Refused(refusal) if refusal.code == Code::DirectoryUnavailable => exit::DIRECTORY,
            Self::Refused(_) | Self::AlreadyShown(_) | Self::InTheWay(..) => exit::REFUSED,
            Self::Store(_) | Self::Other(_) => 1,
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::InTheWay(code, text) => write!(f, "{text} ({code})"),
            Self::Config(error) => error.fmt(f),
            Self::Graph(error) => f.write_str(&describe(error)),
            Self::Store(error) => {
                write!(f, "could not {error}")?;
                if let (true, Some(server)) = (error.is_of_server(), wire::server()) {
                    write!(f, " at {server}")?;
                }
                let cause = error.source().map(|cause| format!(": {}", chain(cause)));
                write!(f, "{}. {}", cause.unwrap_or_default(), error.remedy())
            }
            Self::AlreadyShown(code @ Code::DirectoryUnavailable) => {
                write!(
                    f,
                    "the directory was unavailable for some: run the command again for those ({code})"
                )
            }
            Self::AlreadyShown(code) => write!(f, "some were refused ({code})"),
            Self::Refused(refusal) => {
                let text = refusal.detail.trim_end_matches('.');
                write!(f, "{text} ({}). {}", refusal.code, refusal.code.remedy())
            }
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<GraphError> for CliError {
    fn from(error: GraphError) -> Self {
        Self::Graph(error)
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::Store(error),
            Failure::Cancelled => Self::Other("stopped; the next run goes on where this one left off".to_owned()),
        }
    }
}

impl From<UnknownEnvironment> for CliError {
    fn from(UnknownEnvironment(name): UnknownEnvironment) -> Self {
        Self::Usage(format!("there is no environment `{name}` in the configuration"))
    }
}

impl From<CycleError> for CliError {
    fn from(error: CycleError) -> Self {
        match error {
            CycleError::Failed(failure) => failure.into(),
            CycleError::UnknownEnvironment(unknown) => unknown.into(),
        }
    }
}

impl From<DeskError> for CliError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Failed(failure) => failure.into(),
            DeskError::UnknownEnvironment(unknown) => unknown.into(),
            DeskError::Refused(refusal) => Self::Refused(refusal),
            DeskError::NotFound {
                what,
                given,
                environment,
            } => {
                let command = what.split(' ').next_back().unwrap_or(what);
                Self::Usage(format!(
                    "{environment} has no {what} `{given}`; `rollcall {command} list` shows which there are"
                ))
            }
            DeskError::BadInput { field, problem } => Self::Usage(format!("{field}: {problem}")),
        }
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Desk(error) => error.into(),
            ImportError::UnknownJob(job) => Self::Usage(format!(
                "there is no import job {job}; `rollcall job list` shows which there are"
            )),
        }
    }
}

impl From<GuardError> for CliError {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Failed(failure) => failure.into(),
            GuardError::UnknownEnvironment(unknown) => unknown.into(),
            GuardError::EnvironmentInUse {
                environment,
                served_by: None,
            } => Self::InTheWay(
                "environment_configured",
                format!("environment {environment} is in this configuration: take it out first"),
            ),
            GuardError::EnvironmentInUse {
                environment,
                served_by: Some(holder),
            } => Self::InTheWay(
                "environment_served",
                format!(
                    "environment {environment} is served by the running process {holder}: take it out of that one's \
                     configuration and reload it, or stop it; after a kill it counts as running for {} s more",
                    BELIEVED_FOR.as_secs()
                ),
            ),
            GuardError::NothingHeld(run) => Self::Usage(format!(
                "run {run} holds nothing there; `rollcall runs list` shows which runs do"
            )),
        }
    }
}
