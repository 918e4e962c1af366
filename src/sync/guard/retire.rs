//! Retires an environment that the configuration lacks (rules.md, section 11): disables its rows, regardless of the
//! guard's limits and of anything else that keeps a row enabled, and no longer reports it as left over.

use tracing::warn;
use uuid::Uuid;

use super::Guard;
use crate::domain::environment::KnownEnvironment;
use crate::domain::reason::Code;
use crate::plan::{Change, Operation};
use crate::store::changes::Author;
use crate::store::environments;
use crate::store::{Keys, Transaction, removals, rows, serving};
use crate::sync::judge::{self, Parts, WriteAttempt};
use crate::sync::{GuardError, UnknownEnvironment};

/// The number of rows disabled at once.
const BATCH: usize = 500;

/// The result of retiring an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Rows that were disabled.
    pub disabled: u64,
    /// Rows that the database refused to disable, by a constraint of its owner. The environment is then not retired.
    pub refused: u64,
}

impl Guard {
    /// An environment that can be retired, with its counts.
    ///
    /// # Errors
    /// [`GuardError::UnknownEnvironment`]; [`GuardError::EnvironmentInUse`] while it is configured here or a process
    /// serves it.
    pub async fn leaving(&self, name: &str) -> Result<KnownEnvironment, GuardError> {
        if self.base.environment(name).is_ok() {
            return Err(GuardError::EnvironmentInUse {
                environment: name.to_owned(),
                served_by: None,
            });
        }
        let mut db = self.base.store.read().await?;
        let known = environments::known(&mut db, &[name.to_owned()]).await?.pop();
        let known = known.ok_or_else(|| UnknownEnvironment(name.to_owned()))?;
        match serving::holders(&mut db, name).await?.pop() {
            Some(holder) => Err(in_use(name, holder)),
            None => Ok(known),
        }
    }

    /// Retires an environment; `keep` leaves its rows as they are. Works in batches: if it is interrupted, the next
    /// attempt continues with the rows that are still enabled.
    ///
    /// # Errors
    /// As [`Self::leaving`], or when the database fails.
    pub async fn retire(
        &self,
        name: &str,
        actor: &str,
        keep: bool,
        progress: impl Fn(u64),
    ) -> Result<Retired, GuardError> {
        self.leaving(name).await?;
        let retired = if keep {
            Retired::default()
        } else {
            self.disable_all(name, actor, progress).await?
        };
        if retired.refused == 0 {
            self.base.retry(|| self.try_close(name, actor)).await?;
        }
        Ok(retired)
    }

    /// Disables all rows. A row that the database refuses to disable does not keep any other enabled.
    async fn disable_all(&self, name: &str, actor: &str, progress: impl Fn(u64)) -> Result<Retired, GuardError> {
        let mut retired = Retired::default();
        let mut after = None;
        let size = self.base.batch_size(BATCH);
        loop {
            let ids = {
                let mut db = self.base.store.read().await?;
                rows::next_enabled(&mut db, name, after, i64::try_from(size).unwrap_or(i64::MAX)).await?
            };
            after = ids.last().copied();
            if after.is_none() {
                return Ok(retired);
            }
            let mut parts = Parts::of(ids.len());
            while let Some((range, effort)) = parts.next() {
                self.base.check_cancelled()?;
                let part = &ids[range.clone()];
                let tried = self.base.retry(|| self.try_retire(name, actor, part, &effort)).await;
                if let Some(done) = parts.settle((range, effort), tried)? {
                    retired.disabled += done.disabled;
                    retired.refused += done.refused;
                }
            }
            progress(retired.disabled);
        }
    }

    async fn try_retire(
        &self,
        name: &str,
        actor: &str,
        ids: &[Uuid],
        effort: &WriteAttempt,
    ) -> Result<Retired, GuardError> {
        let now = self.base.clock.now();
        let mut tx = self.base.begin(None).await?;
        lock(&mut tx, name).await?;
        let found = rows::lock_by_ids(&mut tx, name, ids).await?;
        let mut changes = Vec::with_capacity(found.len());
        for row in found.iter().filter(|row| !row.isdisabled) {
            let mut after = row.clone();
            after.disable(actor, Code::EnvironmentRetired);
            after.due_at = None;
            let reason = Some(Code::EnvironmentRetired);
            let change = Change::between(Some(row), after, Operation::Update, reason, (actor, now));
            changes.extend(change.map(|change| (Some(row), change)));
        }
        let author = Author {
            actor,
            run_id: None,
            by_rule: false,
            at: now,
        };
        let planned = changes.len() as u64;
        let refused = match effort {
            WriteAttempt::Write(care) => judge::write_by_hand(&mut tx, name, changes, author, *care).await?,
            WriteAttempt::GiveUp(fault) => changes
                .iter()
                .map(|(_, change)| (change.after.systemuserid, fault.clone()))
                .collect(),
        };
        for (row, fault) in &refused {
            warn!(environment = name, %row, %fault, "a row cannot be disabled");
        }
        let refused = refused.len() as u64;
        removals::drop_rows(&mut tx, &Keys::of(name, ids.iter().copied())).await?;
        tx.commit().await?;
        Ok(Retired {
            disabled: planned - refused,
            refused,
        })
    }

    async fn try_close(&self, name: &str, actor: &str) -> Result<(), GuardError> {
        let now = self.base.clock.now();
        let mut tx = self.base.begin(None).await?;
        lock(&mut tx, name).await?;
        removals::dissolve(&mut tx, name, actor, now).await?;
        environments::close(&mut tx, name, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Keeps an environment from coming back until the transaction ends; fails if a process serves it by now.
async fn lock(tx: &mut Transaction, name: &str) -> Result<(), GuardError> {
    if !environments::lock(&mut *tx, name).await? {
        return Err(UnknownEnvironment(name.to_owned()).into());
    }
    match serving::holders(tx, name).await?.pop() {
        Some(holder) => Err(in_use(name, holder)),
        None => Ok(()),
    }
}

fn in_use(name: &str, holder: String) -> GuardError {
    GuardError::EnvironmentInUse {
        environment: name.to_owned(),
        served_by: Some(holder),
    }
}
