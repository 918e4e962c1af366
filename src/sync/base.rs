//! What every part of the engine is built on: the database, the clock, the configuration and the cancellation token.
//! This module depends on none of those parts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pull::{known, view};
use super::{DeskError, Failure, GuardError, Progress, Settings, UnknownEnvironment};
use crate::clock::Clock;
use crate::domain::directory_user::upn_key;
use crate::domain::environment::Environment;
use crate::domain::system_user::SystemUser;
use crate::graph::Graph;
use crate::plan::EnvironmentView;
use crate::store::lease::{self, Lease};
use crate::store::{Fault, Store, StoreError, StoreResult, Transaction, mirror, rows};

/// The pause before a transaction that conflicted with another is repeated, and how often it is repeated.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);
const CONFLICT_TRIES: u32 = 8;

/// The database, the time, the configuration and the stop.
#[derive(Clone)]
pub struct Base {
    /// PostgreSQL.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Cancels every wait.
    pub cancel: CancellationToken,
    /// How far the run in progress is.
    pub progress: Progress,
}

impl Base {
    /// Begins a transaction. A transaction of a run commits only while the run holds its lease. One that a person
    /// requested needs no lease, only row locks.
    pub(super) async fn begin<'a>(&self, lease: impl Into<Option<&'a Lease>>) -> StoreResult<Transaction> {
        let mut tx = self.store.begin().await?;
        if let Some(lease) = lease.into() {
            lease::check(&mut tx, lease).await?;
        }
        Ok(tx)
    }

    /// Repeats a transaction that conflicted with another. No other code does this.
    pub(super) async fn retry<T, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, E>
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

    /// The number of users in a batch whose own limit is `limit`.
    pub(super) fn batch_size(&self, limit: usize) -> usize {
        self.settings.max_batch.clamp(1, limit)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            Err(Failure::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits until the duration is over or the token is cancelled.
    pub(super) async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = self.clock.sleep(duration) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// The configured environment with this name.
    pub(super) fn environment(&self, name: &str) -> Result<&Environment, UnknownEnvironment> {
        let mut known = self.settings.environments.iter().map(|(environment, _)| environment);
        known
            .find(|known| known.name == name)
            .ok_or_else(|| UnknownEnvironment(name.to_owned()))
    }

    /// Finds a row by its id, object id, application id or name.
    pub(super) async fn find_row(&self, environment: &str, user: &str) -> Result<Option<SystemUser>, Failure> {
        let mut db = self.store.read().await?;
        Ok(super::desk::find_row(&mut db, environment, user).await?)
    }

    /// The view of the environment's sources, as last read.
    pub(super) async fn present_view<'a>(
        &'a self,
        environment: &'a Environment,
    ) -> Result<EnvironmentView<'a>, Failure> {
        Ok(view(&self.settings, environment, &known(self).await?))
    }

    /// Finds the object id of a user named by object id or user principal name, in the mirror or the table.
    pub(super) async fn find_user(&self, environment: &str, user: &str) -> Result<Option<Uuid>, Failure> {
        if let Ok(id) = Uuid::parse_str(user) {
            return Ok(Some(id));
        }
        let mut db = self.store.read().await?;
        let key = upn_key(user);
        if let Some(id) = mirror::find_by_upn(&mut db, &key).await? {
            return Ok(Some(id));
        }
        let row = rows::find_by_upn_key(&mut db, environment, &key).await?;
        Ok(row.and_then(|row| row.azureactivedirectoryobjectid))
    }

    /// The Graph client with a number from the database on every answer. The mirror orders its facts by this number.
    pub(super) fn ordered(&self, graph: &Graph) -> Graph {
        let store = self.store.clone();
        graph.ordered_by(move || {
            let store = store.clone();
            Box::pin(async move { store.next_moment().await.map_err(Into::into) })
        })
    }
}

/// An error of a transaction.
pub(super) trait MayConflict {
    /// The database error, if it is one.
    fn store(&self) -> Option<&StoreError>;

    /// Why the database rejected a row.
    fn refused(&self) -> Option<&Fault> {
        match self.store()? {
            StoreError::Refused(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether repeating the transaction immediately may succeed.
    fn is_conflict(&self) -> bool {
        self.refused().is_some_and(Fault::may_pass) || self.store().is_some_and(StoreError::is_conflict)
    }

    /// The fault of a single row, if a single row may have caused the error.
    fn fault(&self) -> Option<Fault> {
        self.refused().cloned().or_else(|| self.store()?.fault())
    }
}

impl MayConflict for StoreError {
    fn store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl MayConflict for Failure {
    fn store(&self) -> Option<&StoreError> {
        self.store()
    }
}

impl MayConflict for DeskError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Failed(failure) => failure.store(),
            _ => None,
        }
    }

    fn refused(&self) -> Option<&Fault> {
        match self {
            Self::Refused(refusal) => refusal.fault.as_deref(),
            _ => None,
        }
    }
}

impl MayConflict for GuardError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Failed(failure) => failure.store(),
            _ => None,
        }
    }
}
