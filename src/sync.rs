//! The engine: pull the directory into the mirror, judge who changed, apply.
//!
//! A run takes no hints: it reads checkpoints, rows and configuration, is safe to repeat, and the next run is
//! the retry. Start with `cycle`; `pull` and `judge` are its two halves, `removals` the wait between them.

pub mod approval;
mod batch;
pub mod cycle;
pub mod explain;
mod facts;
pub mod gauges;
pub mod import;
mod judge;
mod left_over;
mod names;
pub mod on_demand;
pub mod pull;
mod removals;
mod report;
pub mod retire;
pub mod schedule;
mod walk;

use std::sync::Arc;
use std::time::Duration;

pub use report::{Counts, Outcome, Report, ReportedChange};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::licence::{Catalogue, ViralCountsAs};
use crate::graph::{Graph, GraphError};
use crate::plan::guard::Limits;
use crate::store::lease::Lease;
use crate::store::{Fault, Store, StoreError, StoreResult, Transaction};

/// What the engine is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The environments, each with the fingerprint of everything that shapes its verdicts.
    pub environments: Vec<(Environment, String)>,
    /// What plans are worth.
    pub catalogue: Catalogue,
    /// What viral plans are worth.
    pub viral_counts_as: ViralCountsAs,
    /// Overrides what `subscribedSkus` says of a Marketing licence.
    pub tenant_marketing: Option<bool>,
    /// The guard's limits.
    pub limits: Limits,
    /// How long a held set can be approved.
    pub hold_expiry: Duration,
    /// How often everyone is judged anew.
    pub full_interval: Duration,
    /// How old the directory data may be that an access is judged by.
    pub access_freshness: Duration,
    /// The most users that a batch takes, where its own limit is not lower.
    pub max_batch: usize,
}

impl Settings {
    /// The names of all environments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.environments
            .iter()
            .map(|(environment, _)| environment.name.clone())
            .collect()
    }

    /// The names of those in which members of nested groups count.
    #[must_use]
    pub fn nesting(&self) -> Vec<String> {
        self.environments
            .iter()
            .filter(|(environment, _)| environment.group_nesting != GroupNesting::Ignore)
            .map(|(environment, _)| environment.name.clone())
            .collect()
    }
}

/// The engine with its two edges.
#[derive(Clone)]
pub struct Engine {
    /// Microsoft Graph.
    pub graph: Graph,
    /// PostgreSQL.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Ends every wait.
    pub cancel: CancellationToken,
    /// What is remembered between requests.
    pub desk: Arc<on_demand::Desk>,
}

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The database failed.
    #[error("keep the directory in the database")]
    Store(#[source] StoreError),
    /// The daemon is stopping.
    #[error("finish the run before the stop")]
    Cancelled,
    /// A run was named that holds nothing.
    #[error("find removals that run {0} holds")]
    NothingHeld(i64),
    /// A user was named that neither the mirror nor the table has.
    #[error("find the user `{0}`")]
    UnknownUser(String),
    /// A job was named that does not exist, or that the asker may not see.
    #[error("find the import job {0}")]
    UnknownJob(i64),
    /// The rules refuse what was asked for.
    #[error("do what was asked: {}", .0.detail)]
    Refused(Box<on_demand::Refusal>),
    /// A value was given that cannot be taken.
    #[error("take the value of `{field}`: {problem}")]
    BadInput {
        /// Which.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody wants to take leave of an environment that is configured, or that a process serves.
    #[error("take leave of the environment `{environment}`, which is in use")]
    EnvironmentInUse {
        /// Which.
        environment: String,
        /// The process that serves it; none where this configuration has it.
        served_by: Option<String>,
    },
    /// An environment was named that the configuration does not have.
    #[error("find the environment `{0}`")]
    UnknownEnvironment(String),
}

impl SyncError {
    /// A failure of a read that is not the directory's: the daemon stops, or the database is away.
    fn unless_directory(error: GraphError) -> Result<GraphError, Self> {
        match error {
            GraphError::Cancelled => Err(Self::Cancelled),
            GraphError::Moment(error) => Err(match error.downcast::<StoreError>() {
                Ok(error) => Self::Store(*error),
                Err(_) => Self::Store(StoreError::Conflict),
            }),
            error => Ok(error),
        }
    }
}

/// A failure of a transaction.
trait MayConflict {
    /// Whether repeating the transaction at once may succeed.
    fn is_conflict(&self) -> bool;
    /// What is the matter with a single row, where it may be the fault of one.
    fn fault(&self) -> Option<Fault>;
    /// The database has said that it does not take a row.
    fn is_refusal(&self) -> bool;
}

impl MayConflict for StoreError {
    fn is_conflict(&self) -> bool {
        self.is_conflict()
    }

    fn fault(&self) -> Option<Fault> {
        self.fault()
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl MayConflict for SyncError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Store(error) => error.is_conflict(),
            Self::Refused(refusal) => refusal.fault.as_ref().is_some_and(Fault::may_pass),
            _ => false,
        }
    }

    fn fault(&self) -> Option<Fault> {
        match self {
            Self::Store(error) => error.fault(),
            Self::Refused(refusal) => refusal.fault.clone(),
            _ => None,
        }
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.fault.is_some())
    }
}

/// A row that the database does not take is refused, whoever asked for it and in whatever way.
impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(fault) => on_demand::Refusal::from(&fault).into(),
            error => Self::Store(error),
        }
    }
}

/// A short pause before a transaction that met somebody else's is repeated, and how often that is done.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);
const CONFLICT_TRIES: u32 = 8;

impl Engine {
    /// Begins a transaction. One of a run commits only while its lease is ours; one that a person asked for needs
    /// no lease, only row locks.
    async fn begin<'a>(&self, lease: impl Into<Option<&'a Lease>>) -> StoreResult<Transaction> {
        let mut tx = self.store.begin().await?;
        if let Some(lease) = lease.into() {
            crate::store::lease::check(&mut tx, lease).await?;
        }
        Ok(tx)
    }

    /// Repeats a transaction that met somebody else's. The one place where that happens.
    async fn retry<T, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, E>
    where
        E: MayConflict,
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 1;
        loop {
            match attempt().await {
                Err(error) if error.is_conflict() && tries < CONFLICT_TRIES => {
                    tracing::debug!(tries, "repeating a transaction that met another one");
                    self.clock.sleep(CONFLICT_PAUSE * tries).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Microsoft Graph, with a number from the database on every answer, by which what the mirror holds is ordered.
    fn directory(&self) -> Graph {
        let store = self.store.clone();
        self.graph.ordered_by(move || {
            let store = store.clone();
            Box::pin(async move { store.next_moment().await.map_err(Into::into) })
        })
    }

    /// How many users a batch takes whose own limit is `limit`.
    fn batch_size(&self, limit: usize) -> usize {
        self.settings.max_batch.clamp(1, limit)
    }

    fn check_cancelled(&self) -> Result<(), SyncError> {
        if self.cancel.is_cancelled() {
            Err(SyncError::Cancelled)
        } else {
            Ok(())
        }
    }
}
