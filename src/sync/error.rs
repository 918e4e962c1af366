//! What can go wrong, for each part what can go wrong there: a run cannot answer "unknown job".

use super::desk::Refusal;
use crate::graph::GraphError;
pub use crate::store::StoreError;

/// What ends any work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database failed.
    #[error("keep the directory in the database")]
    Store(#[from] StoreError),
    /// The daemon is stopping.
    #[error("finish the work before the stop")]
    Cancelled,
}

/// An environment was named that the configuration does not have.
#[derive(Debug, thiserror::Error)]
#[error("find the environment `{0}`")]
pub struct UnknownEnvironment(pub String);

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// An environment was named that the configuration does not have.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
}

/// Why the desk does not do what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(Failure),
    /// An environment was named that the configuration does not have.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
    /// A user was named that neither the mirror nor the table has.
    #[error("find the user `{0}`")]
    UnknownUser(String),
    /// The rules refuse what was asked for.
    #[error("do what was asked: {}", .0.detail)]
    Refused(Box<Refusal>),
    /// A value was given that cannot be taken.
    #[error("take the value of `{field}`: {problem}")]
    BadInput {
        /// Which.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Why an import job is not taken, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// As for any other request.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// A job was named that does not exist, or that the asker may not see.
    #[error("find the import job {0}")]
    UnknownJob(i64),
}

/// Why a decision about removals is not carried out, or an environment not left.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// An environment was named that the configuration does not have, or nobody knows.
    #[error(transparent)]
    UnknownEnvironment(#[from] UnknownEnvironment),
    /// A run was named that holds nothing.
    #[error("find removals that run {0} holds")]
    NothingHeld(i64),
    /// Somebody wants to take leave of an environment that is configured, or that a process serves.
    #[error("take leave of the environment `{environment}`, which is in use")]
    EnvironmentInUse {
        /// Which.
        environment: String,
        /// The process that serves it; none where this configuration has it.
        served_by: Option<String>,
    },
}

/// The database failed a part whose errors have a place for it.
macro_rules! from_store {
    ($($error:ident)*) => {$(
        impl From<StoreError> for $error {
            fn from(error: StoreError) -> Self {
                Failure::Store(error).into()
            }
        }
    )*};
}

from_store!(CycleError DeskError ImportError GuardError);

/// A row that the database does not take is refused, whoever asked for it and in whatever way.
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

impl From<Failure> for ImportError {
    fn from(failure: Failure) -> Self {
        Self::Desk(failure.into())
    }
}

impl ImportError {
    /// What ended the work; none where the request itself is to blame.
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
    /// A failure of a read that is not the directory's: the daemon stops, or the database is away.
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

    /// The database failed; none where the daemon is stopping.
    #[must_use]
    pub const fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Cancelled => None,
        }
    }
}
