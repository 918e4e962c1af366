//! What a run does in one environment alone: it evaluates everyone once per epoch, and those who waited for something.

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::batch::evaluate;
use super::part::{EnvironmentRun, Scope};
use crate::domain::run::Phase;
use crate::store::environments::{self, Progress};
use crate::store::pending::Pending;
use crate::store::{Keys, mirror, pending, quota, refusals, rows};
use crate::sync::Failure;

/// The number of users in a batch: large enough that a batch is cheap, small enough that no one waits long for a
/// locked row.
pub(super) const BATCH: usize = 1000;

/// The number of batches of a walk in progress at once: while one waits for the database, another is evaluated.
const AT_ONCE: usize = 2;

/// After these rounds of an environment's first walk, the run updates the planner's statistics. Without them the
/// planner assumes a handful of rows for a new environment, and autovacuum may start only a minute later.
const STATISTICS_AFTER: [u32; 4] = [1, 8, 64, 512];

impl EnvironmentRun<'_> {
    /// Evaluates everyone, if they are due, and those who were pending while a walk was interrupted. Returns whether the
    /// environment's pending users are all evaluated.
    pub(super) async fn judge_everyone(&mut self, progress: &Progress) -> Result<bool, Failure> {
        if progress.judged_epoch >= progress.epoch {
            return Ok(false);
        }
        self.walk(progress).await?;
        // The walk evaluated everyone after its position, pending or not.
        let Some(up_to) = progress.walk_after else {
            return Ok(true);
        };
        let limit = rows_of(self.base.batch_size(BATCH));
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let list = {
                let mut db = self.base.store.read().await?;
                pending::next(&mut db, self.name(), after, up_to, limit).await?
            };
            let Some(newest) = list.last() else { return Ok(true) };
            after = Some(newest.object_id);
            self.count_batch(Scope::Pending(list)).await?;
        }
    }

    /// Evaluates everyone, in key order.
    async fn walk(&mut self, progress: &Progress) -> Result<(), Failure> {
        let run = self.run;
        let name = self.name();
        let batch = self.base.batch_size(BATCH);
        let mut after = progress.walk_after;
        let total = {
            let mut db = self.base.store.read().await?;
            mirror::count_after(&mut db, after).await?
        };
        self.enter(Phase::Evaluating, Some(total));
        if after.is_none() && !run.dry_run {
            // The walk evaluates the users who are pending now.
            let mut tx = self.base.begin(run.lease).await?;
            pending::clear(&mut tx, name).await?;
            refusals::try_again(&mut tx, name).await?;
            environments::note_walk(&mut tx, name, progress.epoch, Some(Uuid::nil()), run.now).await?;
            tx.commit().await?;
        }
        let at_once = {
            let mut db = self.base.store.read().await?;
            if rows::any_unique_of_others(&mut db).await? {
                1
            } else {
                AT_ONCE
            }
        };
        let mut rounds = 0_u32;
        loop {
            self.base.check_cancelled()?;
            // Users may have become pending since a crash interrupted the walk: this walk evaluates them.
            let (ids, waiting) = {
                let mut db = self.base.store.read().await?;
                let ids = mirror::next_ids(&mut db, after, rows_of(batch * at_once)).await?;
                let waiting = match progress.walk_after {
                    Some(_) => pending::among(&mut db, name, &ids).await?,
                    None => Vec::new(),
                };
                (ids, waiting)
            };
            let last = ids.len() < batch * at_once;
            after = ids.last().copied().or(after);
            let scopes: Vec<Scope> = ids.chunks(batch).map(|ids| Scope::Walk(ids.to_vec())).collect();
            let batches = scopes
                .iter()
                .map(async |scope| evaluate(self.base, run, &[(&self.view, scope)]).await);
            for part in try_join_all(batches).await?.into_iter().flatten().flatten() {
                self.tally.add(part, run.dry_run);
            }
            self.base.progress.add(ids.len());
            if !run.dry_run {
                // Only after all of them are written: a crash repeats work and never skips it.
                let mut tx = self.base.begin(run.lease).await?;
                pending::settle(&mut tx, &Keys::of(name, waiting)).await?;
                let reached = if last { None } else { after };
                environments::note_walk(&mut tx, name, progress.epoch, reached, run.now).await?;
                tx.commit().await?;
            }
            if last {
                return Ok(());
            }
            rounds += 1;
            let fills_the_table = progress.judged_epoch == 0 && !run.dry_run;
            if fills_the_table && STATISTICS_AFTER.contains(&rounds) {
                let mut db = self.base.store.read().await?;
                rows::gather_statistics(&mut db).await?;
            }
        }
    }

    /// Evaluates the users who waited for a slot or a name that this run has freed. Runs after the removals.
    pub(in crate::sync) async fn judge_waiting(&mut self, mut has_waiting: bool) -> Result<(), Failure> {
        loop {
            if has_waiting || !self.tally.late.is_empty() {
                has_waiting = true;
                self.judge_late().await?;
            }
            let woken = std::mem::take(&mut self.tally.woken);
            if woken.is_empty() {
                return Ok(());
            }
            let list = {
                let mut db = self.base.store.read().await?;
                pending::among(&mut db, self.name(), &woken).await?
            };
            if list.is_empty() {
                return Ok(());
            }
            self.count_batch(Scope::Pending(list)).await?;
        }
    }

    /// Evaluates non-interactive users who want one of the few slots, oldest row first. Users who waited for a slot
    /// earlier are included as soon as one is free.
    async fn judge_late(&mut self) -> Result<(), Failure> {
        let late = std::mem::take(&mut self.tally.late);
        let freed = self.tally.freed_slots;
        let list: Vec<Pending> = {
            let mut db = self.base.store.read().await?;
            let environment = self.view.environment;
            let free = quota::free_slots(&mut db, &environment.name, environment.non_interactive_cap).await?;
            let is_free = free + freed > 0;
            pending::in_order_of_creation(&mut db, self.name(), &late, is_free).await?
        };
        if !list.is_empty() {
            self.count_batch(Scope::Slots { list, freed }).await?;
        }
        Ok(())
    }
}

/// A limit as an SQL value.
pub(super) fn rows_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
