//! The errors of each part of the engine. Each part has only its own: a run cannot return "unknown job".

use super::desk::Refusal;
use crate::graph::GraphError;
pub use crate::store::StoreError;

/// A failure that ends any work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database failed.
    #[error("keep the directory in the database")]
    Store(#[from] StoreError),
    /// The daemon is stopping.
    #[error("finish the work before the stop")]
    Cancelled,
}

/// An environment was named that is not configured.
#[derive(Debug, thiserror::Error)]
#[error("find the environment `{0}`")]
pub struct UnknownEnvironment(pub String);

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// An environment was named that is not configured.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
}

/// Why the desk does not carry out a request.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(Failure),
    /// An environment was named that is not configured.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
    /// The rules refuse the request.
    #[error("do what was asked: {}", .0.detail)]
    Refused(Box<Refusal>),
    /// An object was named that the environment does not have.
    #[error("find the {what} `{given}` in {environment}")]
    NotFound {
        /// What it is.
        what: &'static str,
        /// Its id or name, as given.
        given: String,
        /// The environment.
        environment: String,
    },
    /// An invalid value was given.
    #[error("take the value of `{field}`: {problem}")]
    BadInput {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Why an import job is not accepted, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// As for any other request.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// A job was named that does not exist, or that the caller may not see.
    #[error("find the import job {0}")]
    UnknownJob(i64),
}

/// Why a decision about removals is not carried out, or an environment not retired.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// An environment was named that is neither configured nor in the database.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
    /// A run was named that holds nothing.
    #[error("find removals that run {0} holds")]
    NothingHeld(i64),
    /// An environment to retire is configured, or a process serves it.
    #[error("take leave of the environment `{environment}`, which is in use")]
    EnvironmentInUse {
        /// The environment.
        environment: String,
        /// The process that serves it; none if this configuration contains it.
        served_by: Option<String>,
    },
}

/// Why no part of the change feed can be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// An environment was named that is neither configured nor in the database.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
    /// Lines after the cursor are deleted.
    #[error("read lines of the change feed that are deleted")]
    TooOld,
    /// The database has another line at the cursor: it was restored to an earlier state.
    #[error("find the cursor in the change feed")]
    NotHere,
}

/// Conversions of a database failure into the error of each part.
macro_rules! from_store {
    ($($error:ident)*) => {$(
        impl From<StoreError> for $error {
            fn from(error: StoreError) -> Self {
                Failure::Store(error).into()
            }
        }
    )*};
}

from_store!(CycleError DeskError FeedError ImportError GuardError);

/// A row that the database rejects is a refusal, whatever the request.
impl From<Failure> for DeskError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(StoreError::Refused(fault)) => Refusal::from(&fault).into(),
            failure => Self::Failed(failure),
        }
    }
}

impl From<Refusal> for DeskError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl DeskError {
    /// The same error about a field of the request: what the field names does not exist.
    pub(super) fn of_field(self, field: &str) -> Self {
        match self {
            Self::NotFound {
                what,
                given,
                environment,
            } => Self::BadInput {
                field: field.to_owned(),
                problem: format!("{environment} has no {what} `{given}`"),
            },
            error => error,
        }
    }
}

impl From<Failure> for ImportError {
    fn from(failure: Failure) -> Self {
        Self::Desk(failure.into())
    }
}

impl ImportError {
    /// The failure that ended the work; none if the request itself is at fault.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Desk(DeskError::Failed(failure)) => Some(failure),
            Self::Desk(_) | Self::UnknownJob(_) => None,
        }
    }
}

impl From<UnknownEnvironment> for ImportError {
    fn from(unknown: UnknownEnvironment) -> Self {
        Self::Desk(unknown.into())
    }
}

impl From<Refusal> for ImportError {
    fn from(refusal: Refusal) -> Self {
        Self::Desk(refusal.into())
    }
}

impl Failure {
    /// Separates a directory error from a failure of the daemon: it is stopping, or the database is unavailable.
    pub(super) fn unless_directory(error: GraphError) -> Result<GraphError, Self> {
        match error {
            GraphError::Cancelled => Err(Self::Cancelled),
            GraphError::Moment(error) => Err(match error.downcast::<StoreError>() {
                Ok(error) => Self::Store(*error),
                Err(_) => Self::Store(StoreError::Inconsistent("the error of a moment")),
            }),
            error => Ok(error),
        }
    }

    /// The database error; none if the daemon is stopping.
    #[must_use]
    pub const fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Cancelled => None,
        }
    }
}
