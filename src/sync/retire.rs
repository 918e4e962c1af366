//! Taking leave of an environment that the configuration lacks (rules.md, section 11): its rows are disabled, outside the
//! guard's limits and whatever else keeps a row enabled, and it is no longer named as left over.

use tracing::warn;
use uuid::Uuid;

use super::cycle::chain;
use super::write::{Care, write};
use super::{Engine, SyncError};
use crate::domain::reason::Code;
use crate::plan::{Change, Operation};
use crate::store::changes::Author;
use crate::store::environments::{self, Known};
use crate::store::{StoreResult, Transaction, removals, rows, serving};

/// How many rows are disabled at once.
const BATCH: usize = 500;

/// How an environment was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Rows that were disabled.
    pub disabled: u64,
    /// Rows that the database would not have disabled, by a constraint of its owner's. Then it is not left.
    pub refused: u64,
}

impl Engine {
    /// An environment that can be left, with what is in it.
    ///
    /// # Errors
    /// [`SyncError::UnknownEnvironment`]; [`SyncError::EnvironmentInUse`] while it is configured here or served by
    /// somebody.
    pub async fn leaving(&self, name: &str) -> Result<Known, SyncError> {
        if self.environment(name).is_ok() {
            return Err(SyncError::EnvironmentInUse {
                environment: name.to_owned(),
                served_by: None,
            });
        }
        let mut db = self.store.read().await?;
        let known = environments::known(&mut db, &[name.to_owned()]).await?.pop();
        let known = known.ok_or_else(|| SyncError::UnknownEnvironment(name.to_owned()))?;
        match serving::holders(&mut db, name).await?.pop() {
            Some(holder) => Err(in_use(name, holder)),
            None => Ok(known),
        }
    }

    /// Takes leave of an environment; `keep` leaves its rows as they are. It is done in batches: whatever breaks it off,
    /// the next try goes on with what is still enabled.
    ///
    /// # Errors
    /// As [`Self::leaving`], or when the database fails.
    pub async fn retire(
        &self,
        name: &str,
        actor: &str,
        keep: bool,
        progress: impl Fn(u64),
    ) -> Result<Retired, SyncError> {
        self.leaving(name).await?;
        let retired = if keep {
            Retired::default()
        } else {
            self.disable_all(name, actor, progress).await?
        };
        if retired.refused == 0 {
            self.retry(|| self.try_close(name, actor)).await??;
        }
        Ok(retired)
    }

    /// A row that the database does not take as disabled keeps no other enabled. Where it takes too long, it is looked
    /// for by halves.
    async fn disable_all(&self, name: &str, actor: &str, progress: impl Fn(u64)) -> Result<Retired, SyncError> {
        let mut retired = Retired::default();
        let mut after = None;
        let mut size = self.batch_size(BATCH);
        loop {
            self.check_cancelled()?;
            let ids = {
                let mut db = self.store.read().await?;
                rows::next_enabled(&mut db, name, after, i64::try_from(size).unwrap_or(i64::MAX)).await?
            };
            let Some(last) = ids.last().copied() else {
                return Ok(retired);
            };
            match self.with_care(|care| self.try_retire(name, actor, &ids, care)).await {
                Ok(done) => {
                    let done = done?;
                    retired.disabled += done.disabled;
                    retired.refused += done.refused;
                    after = Some(last);
                    size = self.batch_size(BATCH).min(size * 2);
                    progress(retired.disabled);
                }
                Err(error) if error.fault().is_some() && ids.len() > 1 => size = ids.len().div_ceil(2),
                Err(error) if error.fault().is_some() => {
                    warn!(environment = name, row = %last, error = %chain(&error), "a row cannot be disabled");
                    retired.refused += 1;
                    after = Some(last);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn try_retire(
        &self,
        name: &str,
        actor: &str,
        ids: &[Uuid],
        care: Care,
    ) -> StoreResult<Result<Retired, SyncError>> {
        let now = self.clock.now();
        let mut tx = self.begin(None).await?;
        if let Err(error) = lock(&mut tx, name).await? {
            return Ok(Err(error));
        }
        let found = rows::lock_by_ids(&mut tx, name, ids).await?;
        let disabled = found.into_iter().filter(|row| !row.isdisabled).filter_map(|row| {
            let mut after = row.clone();
            after.disable(actor, Code::EnvironmentRetired);
            after.due_at = None;
            let reason = Some(Code::EnvironmentRetired);
            let change = Change::between(Some(&row), after, Operation::Update, reason, (actor, now))?;
            Some((Some(row), change))
        });
        let author = Author {
            actor,
            run_id: None,
            by_rule: false,
            at: now,
        };
        let written = write(&mut tx, name, disabled.collect(), &[], author, actor, care).await?;
        for (row, fault) in &written.refused {
            warn!(environment = name, %row, %fault, "a row cannot be disabled");
        }
        removals::drop_rows(&mut tx, name, ids).await?;
        tx.commit().await?;
        Ok(Ok(Retired {
            disabled: written.changes.len() as u64,
            refused: written.refused.len() as u64,
        }))
    }

    async fn try_close(&self, name: &str, actor: &str) -> StoreResult<Result<(), SyncError>> {
        let now = self.clock.now();
        let mut tx = self.begin(None).await?;
        if let Err(error) = lock(&mut tx, name).await? {
            return Ok(Err(error));
        }
        removals::dissolve(&mut tx, name, actor, now).await?;
        environments::close(&mut tx, name, now).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }
}

/// Keeps an environment from coming back until the transaction ends, unless somebody serves it by now.
async fn lock(tx: &mut Transaction, name: &str) -> StoreResult<Result<(), SyncError>> {
    if !environments::lock(&mut *tx, name).await? {
        return Ok(Err(SyncError::UnknownEnvironment(name.to_owned())));
    }
    Ok(match serving::holders(tx, name).await?.pop() {
        Some(holder) => Err(in_use(name, holder)),
        None => Ok(()),
    })
}

fn in_use(name: &str, holder: String) -> SyncError {
    SyncError::EnvironmentInUse {
        environment: name.to_owned(),
        served_by: Some(holder),
    }
}
