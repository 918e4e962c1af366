//! `users/delta`: a full round, then changes, indefinitely.
//!
//! Absence has two meanings. In a full round a property that is not sent is null, and a user who is not listed by its
//! last page is looked up in deletedItems and swept. In an incremental round both mean unchanged.

use std::collections::BTreeSet;

use super::Puller;
use super::facts::{self, Origin};
use super::feed::{Feed, Pages};
use super::follow::{Followed, Follower};
use super::{Problem, PullError, survive};
use crate::domain::feed::checkpoint::{Checkpoint, Input, PageStats, State, Todo};
use crate::domain::feed::{Link, UserChange};
use crate::domain::source::Source;
use crate::graph::{GraphError, SELECTION_FINGERPRINT};
use crate::store::lease::Lease;
use crate::store::{StoreResult, Transaction, answers, checkpoints, environments, mirror, pending, recheck};
use crate::sync::Failure;

/// The number of users that one transaction of a sweep looks at.
const SWEPT_TOGETHER: usize = 2000;

/// The users, for every environment.
struct Users<'a>(&'a Puller);

impl Followed for Users<'_> {
    type Item = UserChange;
    const SELECTION: Option<&'static str> = Some(SELECTION_FINGERPRINT);
    const WRITES_TOGETHER: bool = false;

    fn source(&self) -> Source {
        Source::Users
    }

    async fn latest(&self) -> Result<Link, GraphError> {
        let what = "the users are walked, not listed".to_owned();
        Err(GraphError::Protocol {
            endpoint: "users/delta",
            what,
        })
    }

    fn read(&self, todo: Todo) -> Option<Feed<UserChange>> {
        let at = match todo {
            Todo::Round(at) => at,
            Todo::Changes(at) => Some(at),
            _ => return None,
        };
        let graph = self.0.directory();
        Some(Feed::begin("users/delta", at, move |at| {
            let graph = graph.clone();
            async move { graph.users_delta(at.as_ref()).await }
        }))
    }

    async fn store(
        &self,
        tx: &mut Transaction,
        before: &Checkpoint,
        pages: &Pages<UserChange>,
        step: impl Fn(PageStats) -> (Checkpoint, Todo),
    ) -> StoreResult<(Checkpoint, Todo)> {
        let names = self.0.base.settings.names();
        let is_round = before.is_round();
        let mut seen = PageStats::default();
        for item in &pages.items {
            seen.add(&item.value, is_round);
        }
        if before.state == State::Begin {
            seen.had_plans = mirror::any_plans(&mut *tx).await?;
        }
        let origin = if is_round { Origin::Round } else { Origin::Changes };
        let taken = facts::take_in(&mut *tx, &pages.items, origin).await?;
        recheck::add(&mut *tx, &taken.older).await?;
        let (checkpoint, todo) = step(seen);
        if !is_round {
            pending::mark(&mut *tx, &names, &taken.changed).await?;
        } else if todo == Todo::Sweep {
            environments::judge_everyone(&mut *tx, &names).await?;
        }
        Ok((checkpoint, todo))
    }
}

impl Puller {
    /// Reads the users up to the checkpoint, and returns the number of entries that could not be read. The separate
    /// problem does not delay evaluation.
    pub(super) async fn pull_users(&self, lease: &Lease) -> Result<(Option<Problem>, Result<usize, Problem>), Failure> {
        let users = Users(self);
        let mut follower = Follower::new(self, lease, &users, self.read_checkpoint(Source::Users).await?);
        let result = follower.follow().await;
        let todo = match survive(Source::Users, result)? {
            Ok(todo) => todo,
            Err(problem) => return Ok((None, Err(problem))),
        };
        let skipped = follower.skipped;
        let swept = match todo {
            Todo::Sweep => self.sweep_users(lease, follower.checkpoint).await,
            _ => Ok(()),
        };
        Ok((survive(Source::Users, swept)?.err(), Ok(skipped)))
    }

    /// After a full round: users who were not listed are soft-deleted or permanently deleted. If deletedItems cannot be
    /// read, no user is swept. A crash between two parts repeats the sweep, with deletedItems as it is then.
    async fn sweep_users(&self, lease: &Lease, mut checkpoint: Checkpoint) -> Result<(), PullError> {
        let deleted = self.directory().deleted_users().await?;
        // A missing user may be among the unreadable entries; the next run requests it.
        let is_whole = checkpoint.seen.unreadable == 0 && deleted.unreadable == 0;
        let round = checkpoint.round;
        if checkpoint.seen.had.is_none() {
            let mut tx = self.base.begin(lease).await?;
            checkpoint.seen.had = Some(mirror::count_present(&mut tx, round).await?.0);
            checkpoints::write(&mut tx, std::slice::from_ref(&checkpoint)).await?;
            tx.commit().await?;
        }
        for part in deleted.items.chunks(self.base.batch_size(SWEPT_TOGETHER)) {
            let mut tx = self.base.begin(lease).await?;
            mirror::note_deleted(&mut tx, round, part).await?;
            tx.commit().await?;
        }
        let at = deleted.items.iter().map(|user| (user.id, user.deleted_at)).collect();
        let (mut swept, mut after) = (0, None);
        loop {
            self.base.check_cancelled()?;
            let sweep = async || {
                let mut tx = self.base.begin(lease).await?;
                let part = mirror::sweep(
                    &mut tx,
                    round,
                    &at,
                    is_whole,
                    after,
                    self.base.batch_size(SWEPT_TOGETHER),
                )
                .await?;
                answers::note(&mut tx, &BTreeSet::from([round]), self.base.clock.now()).await?;
                tx.commit().await?;
                Ok::<_, Failure>(part)
            };
            let part = self.base.retry(sweep).await?;
            swept += part.swept;
            after = part.last;
            if after.is_none() {
                break;
            }
        }
        if swept > 0 {
            tracing::info!(swept, "users that a full round did not list");
        }
        let mut tx = self.base.begin(lease).await?;
        let (_, listed) = mirror::count_present(&mut tx, round).await?;
        let had = checkpoint.seen.had.unwrap_or(listed);
        if listed < had {
            environments::judge_everyone(&mut tx, &self.base.settings.names()).await?;
        }
        checkpoints::step(&mut tx, checkpoint, Input::Swept { listed, had, is_whole }).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::sync) async fn read_checkpoint(&self, source: Source) -> Result<Checkpoint, Failure> {
        let mut db = self.base.store.read().await?;
        Ok(checkpoints::read(&mut db, source).await?)
    }

    pub(super) async fn write_checkpoints(&self, lease: &Lease, checkpoints: &[Checkpoint]) -> Result<(), Failure> {
        if checkpoints.is_empty() {
            return Ok(());
        }
        let mut tx = self.base.begin(lease).await?;
        checkpoints::write(&mut tx, checkpoints).await?;
        tx.commit().await?;
        Ok(())
    }
}
