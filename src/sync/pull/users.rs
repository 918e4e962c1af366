//! Users: a full round, then the changes of `users/delta`, indefinitely.
//!
//! A round is the plain listing between the link of the changes and the changes themselves, since the listing has large
//! pages; or a walk through `users/delta`, where the directory refuses that.
//!
//! Absence has two meanings. In a full round a property that is not sent is null, and a user who is not listed by its
//! end is looked for in deletedItems and then by name: a listing may be old, or break off without a sign. In an
//! incremental round both mean unchanged.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Puller;
use super::facts::{self, Origin};
use super::feed::{Feed, Pages, Start};
use super::follow::{Followed, Follower};
use super::{Problem, PullError, survive};
use crate::domain::feed::checkpoint::{Checkpoint, Input, PageStats, State, Todo};
use crate::domain::feed::{Asked, Page, UserChange};
use crate::domain::source::Source;
use crate::graph::{GraphError, Latest, SELECTION_FINGERPRINT, describe};
use crate::store::lease::Lease;
use crate::store::{StoreResult, Transaction, answers, checkpoints, environments, mirror, pending, recheck};
use crate::sync::Failure;

/// The number of users that one transaction of a sweep looks at.
const SWEPT_TOGETHER: usize = 2000;

/// The number of users looked up for a doubtful listing, which is read again.
const MOST_IN_DOUBT: usize = 1000;

/// The users, for every environment.
struct Users<'a>(&'a Puller);

impl Followed for Users<'_> {
    type Item = UserChange;
    const SELECTION: Option<&'static str> = Some(SELECTION_FINGERPRINT);
    const CAN_WALK: bool = true;
    const WRITES_TOGETHER: bool = false;

    fn source(&self) -> Source {
        Source::Users
    }

    async fn latest(&self) -> Result<Latest<UserChange>, GraphError> {
        self.0.directory().users_delta_latest().await
    }

    fn read(&self, todo: Todo, arrived: Option<Page<UserChange>>) -> Option<Feed<UserChange>> {
        let graph = self.0.directory();
        let start = |at| arrived.map_or(Start::At(at), Start::After);
        let at = match todo {
            Todo::List(at) => {
                return Some(Feed::begin("users", Start::At(at), move |at| {
                    let graph = graph.clone();
                    async move { graph.users_listing(at.as_ref()).await }
                }));
            }
            Todo::Walk(at) => start(at),
            Todo::Changes(at) => Start::At(Some(at)),
            Todo::Latest | Todo::GoOn | Todo::Sweep | Todo::Rest => return None,
        };
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
        if matches!(before.state, State::Begin | State::Listing { next: None, .. }) {
            seen.had_plans = mirror::any_plans(&mut *tx).await?;
        }
        let origin = if is_round { Origin::Round } else { Origin::Changes };
        let taken = facts::take_in(&mut *tx, &pages.items, origin).await?;
        recheck::add(&mut *tx, &taken.older).await?;
        let (checkpoint, todo) = step(seen);
        if !is_round {
            pending::mark(&mut *tx, &names, &taken.changed).await?;
        } else if !checkpoint.is_round() {
            environments::judge_everyone(&mut *tx, &names).await?;
        }
        Ok((checkpoint, todo))
    }
}

/// The result of reading the users.
#[derive(Default)]
pub(super) struct UsersPull {
    /// Why they have not reached their checkpoint.
    pub unread: Option<Problem>,
    /// A problem that does not delay evaluation.
    pub problem: Option<Problem>,
    /// Entries that could not be read and were skipped.
    pub skipped: usize,
    /// Why the round was a walk.
    pub walked: Option<Problem>,
    /// Users about whom the listings contradict each other: they have to be looked up.
    pub unsure: Vec<Asked<Uuid>>,
}

impl Puller {
    /// Reads the users up to the checkpoint.
    pub(super) async fn pull_users(&self, lease: &Lease) -> Result<UsersPull, Failure> {
        let users = Users(self);
        let mut follower = Follower::new(self, lease, &users, self.read_checkpoint(Source::Users).await?);
        let todo = survive(Source::Users, follower.follow().await)?;
        let mut pull = UsersPull {
            skipped: follower.skipped,
            walked: follower.refused.as_ref().map(walked),
            ..UsersPull::default()
        };
        match todo {
            Err(problem) => pull.unread = Some(problem),
            Ok(Todo::Sweep) => match survive(Source::Users, self.sweep_users(lease, follower.checkpoint).await)? {
                Ok(unsure) => pull.unsure = unsure,
                Err(problem) => pull.problem = Some(problem),
            },
            Ok(_) => {}
        }
        Ok(pull)
    }

    /// After a full round: users whom it did not list are soft-deleted if deletedItems has them. Returns the others, and
    /// the users who are both listed and deleted: only a look-up can tell. If deletedItems cannot be read, the next run
    /// tries again. A crash between two parts repeats the sweep, with deletedItems as it is then.
    async fn sweep_users(&self, lease: &Lease, mut checkpoint: Checkpoint) -> Result<Vec<Asked<Uuid>>, PullError> {
        let deleted = self.directory().deleted_users().await?;
        let round = checkpoint.round;
        if checkpoint.seen.had.is_none() {
            checkpoint = self.count_users(lease, checkpoint).await?;
        }
        let together = self.base.batch_size(SWEPT_TOGETHER);
        let mut unsure = Vec::new();
        for part in deleted.items.chunks(together) {
            let mut tx = self.base.begin(lease).await?;
            mirror::note_deleted(&mut tx, round, part).await?;
            let listed = mirror::listed_among(&mut tx, round, part).await?;
            recheck::add(&mut tx, &listed).await?;
            tx.commit().await?;
            unsure.extend(listed);
        }
        let at = deleted.items.iter().map(|user| (user.id, user.deleted_at)).collect();
        // A doubtful listing is read again, and most of those whom it omits will be in it.
        let mut room = if checkpoint.doubt.is_some() {
            MOST_IN_DOUBT
        } else {
            usize::MAX
        };
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let sweep = async || {
                let mut tx = self.base.begin(lease).await?;
                let mut part = mirror::sweep(&mut tx, round, &at, after, together).await?;
                part.missing.truncate(room);
                pending::mark(&mut tx, &self.base.settings.names(), &part.deleted).await?;
                recheck::add(&mut tx, &part.missing).await?;
                answers::note(&mut tx, &BTreeSet::from([round]), self.base.clock.now()).await?;
                tx.commit().await?;
                Ok::<_, Failure>(part)
            };
            let part = self.base.retry(sweep).await?;
            room -= part.missing.len();
            unsure.extend(part.missing);
            after = part.last;
            if after.is_none() {
                break;
            }
        }
        if !unsure.is_empty() {
            tracing::info!(
                users = unsure.len(),
                "the listings are contradictory or silent about some users"
            );
        }
        let mut tx = self.base.begin(lease).await?;
        checkpoints::step(&mut tx, checkpoint, Input::Swept).await?;
        tx.commit().await?;
        Ok(unsure)
    }

    /// Counts what a round listed, and what it should have listed.
    async fn count_users(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<Checkpoint, PullError> {
        // A walk has a mark at its end.
        let count = if checkpoint.seen.is_listing {
            self.directory().users_count().await?
        } else {
            None
        };
        let mut tx = self.base.begin(lease).await?;
        let (had, seen) = mirror::count_present(&mut tx, checkpoint.round).await?;
        let listed = seen + checkpoint.seen.unreadable;
        let (checkpoint, _) = checkpoint.step(Input::Counted { listed, had, count });
        checkpoints::write(&mut tx, std::slice::from_ref(&checkpoint)).await?;
        tx.commit().await?;
        Ok(checkpoint)
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

/// What a refusal means for the round.
fn walked(refused: &GraphError) -> Problem {
    let detail = format!(
        "{}; so this round has read the users through users/delta, which is slower and misses nobody",
        describe(refused)
    );
    Problem::new(Source::Users, detail)
}
