//! How far the run in progress is. The run notes it in memory; the leader writes it to the database about once a second,
//! so that any process can show it. Nothing depends on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::domain::run::{Phase, RunProgress};

/// The progress of the engine's run, if there is one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<(i64, RunProgress)>>>);

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Option<(i64, RunProgress)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run has begun and reads the directory.
    pub(super) fn start(&self, run_id: i64, now: DateTime<Utc>) {
        let reading = RunProgress {
            phase: Phase::Reading,
            environment: None,
            done: 0,
            total: None,
            began_at: now,
            at: now,
        };
        *self.lock() = Some((run_id, reading));
    }

    /// The run begins to verify the mirror.
    pub(super) fn verify(&self, now: DateTime<Utc>) {
        self.enter(Phase::Verifying, None, None, now);
    }

    /// The run begins with an environment, or with all of them together.
    pub(super) fn enter(&self, phase: Phase, environment: Option<&String>, total: Option<i64>, now: DateTime<Utc>) {
        if let Some((_, progress)) = self.lock().as_mut() {
            *progress = RunProgress {
                phase,
                environment: environment.cloned(),
                done: 0,
                total,
                began_at: now,
                at: now,
            };
        }
    }

    /// So many more are done.
    pub(super) fn add(&self, count: usize) {
        if let Some((_, progress)) = self.lock().as_mut() {
            progress.done = progress.done.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The run is over.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// The run in progress and how far it is now.
    #[must_use]
    pub fn at(&self, now: DateTime<Utc>) -> Option<(i64, RunProgress)> {
        let (run_id, progress) = self.lock().clone()?;
        Some((run_id, RunProgress { at: now, ..progress }))
    }
}
