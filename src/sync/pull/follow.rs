//! Follows a feed from its checkpoint: carries out what [`Checkpoint::step`] returns, page by page.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::PullError;
use super::Puller;
use super::feed::{Feed, Pages};
use crate::domain::feed::checkpoint::{Checkpoint, Input, PageEnd, PageStats, State, Todo};
use crate::domain::feed::{Asked, Entry, Link, Moment, Next, Page};
use crate::domain::source::Source;
use crate::graph::{GraphError, Latest};
use crate::store::lease::Lease;
use crate::store::{StoreResult, Transaction, answers, checkpoints, environments};
use crate::sync::Failure;
use crate::telemetry::metrics::Metrics;

/// How often a run starts over because its links expire.
pub(super) const MAX_RESTARTS: u32 = 5;

/// A source with a feed.
pub(super) trait Followed {
    /// The entries of its pages.
    type Item: Entry + Send + 'static;
    /// Whether a round can be a walk through the delta feed.
    const CAN_WALK: bool;

    /// Whether a checkpoint without rows may be written later, together with those of other sources.
    const WRITES_TOGETHER: bool;

    /// Whether the directory is asked for the number of entries at the end of a listing. Users are counted when they are
    /// swept.
    const COUNTS_LISTINGS: bool;

    /// The source.
    fn source(&self) -> Source;

    /// The selection with which its rounds begin, if there is one.
    fn selection(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// Whether a round fetches the population in place of a listing.
    fn gathers(&self) -> bool {
        false
    }

    /// The link from which the changes follow.
    async fn latest(&self) -> Result<Latest<Self::Item>, GraphError>;

    /// The pages of a round, or of the changes; none if there is nothing to read. `arrived` is the first page of a
    /// walk that has begun.
    async fn read(&self, todo: Todo, arrived: Option<Page<Self::Item>>) -> Result<Option<Feed<Self::Item>>, Failure>;

    /// Fetches the population for a round, and stores it.
    async fn gather(&self, _round: Moment) -> Result<PageStats, PullError> {
        Ok(PageStats::default())
    }

    /// Writes the rows of pages; `step` computes the checkpoint that follows from them.
    async fn store(
        &self,
        tx: &mut Transaction,
        before: &Checkpoint,
        pages: &Pages<Self::Item>,
        step: impl Fn(PageStats) -> (Checkpoint, Todo),
    ) -> StoreResult<(Checkpoint, Todo)>;

    /// The number of entries that a whole listing has, if the directory counts them.
    async fn count(&self) -> Result<Option<u64>, GraphError>;

    /// Compares pages of a verification's listing with the mirror, and notes the differences.
    async fn compare(&self, tx: &mut Transaction, pages: &Pages<Self::Item>) -> StoreResult<PageStats>;

    /// Fetches the population again for a verification that began at a moment, and notes the differences.
    async fn gather_again(&self, _began: Moment) -> Result<PageStats, PullError> {
        Ok(PageStats::default())
    }

    /// Notes whom the listing of a verification that began at a moment omits, up to a limit.
    async fn note_absent(&self, began: Moment, limit: i64) -> Result<(), PullError>;
}

/// A source in progress.
pub(super) struct Follower<'a, S> {
    pub(super) puller: &'a Puller,
    pub(super) lease: &'a Lease,
    pub(super) source: &'a S,
    pub checkpoint: Checkpoint,
    /// Entries that could not be read and were skipped.
    pub skipped: usize,
    /// Why the round is a walk: the directory refuses the link of the changes or the listing.
    pub refused: Option<GraphError>,
    /// The checkpoint has advanced and is not written yet.
    pub is_unwritten: bool,
    /// No page has been stored in this run.
    is_first: bool,
    /// A listing that is short has been read again in this run.
    has_listed_again: bool,
}

impl<'a, S: Followed> Follower<'a, S> {
    pub(super) fn new(puller: &'a Puller, lease: &'a Lease, source: &'a S, checkpoint: Checkpoint) -> Self {
        Self {
            puller,
            lease,
            source,
            checkpoint,
            skipped: 0,
            refused: None,
            is_unwritten: false,
            is_first: true,
            has_listed_again: false,
        }
    }

    /// Follows the feed to its end. Returns what remains to do: [`Todo::Sweep`] or [`Todo::Rest`].
    pub(super) async fn follow(&mut self) -> Result<Todo, PullError> {
        let mut todo = self.step(Input::Run(self.source.selection()));
        let mut restarts = 0;
        loop {
            self.puller.base.check_cancelled()?;
            todo = match self.advance(todo).await {
                Ok(todo @ (Todo::Sweep | Todo::Rest)) => return Ok(todo),
                Ok(todo) => todo,
                Err(PullError::Graph(GraphError::LinkExpired { cause, .. })) if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    let todo = self.step(Input::DeadLink);
                    if self.checkpoint.state == State::Begin {
                        let source = self.source.source();
                        tracing::info!(%source, cause, "a link has expired: beginning a full round");
                        Metrics.resync(source.kind(), cause);
                    }
                    self.write().await?;
                    todo
                }
                Err(error) => {
                    if matches!(&error, PullError::Graph(error) if error.is_bad_answer()) {
                        let before = self.checkpoint.state.clone();
                        let is_first = self.is_first;
                        self.step(Input::BadAnswer { is_first });
                        if self.checkpoint.state != before {
                            self.write().await?;
                        }
                    }
                    return Err(error);
                }
            };
        }
    }

    async fn write(&self) -> Result<(), Failure> {
        let checkpoint = std::slice::from_ref(&self.checkpoint);
        self.puller.write_checkpoints(self.lease, checkpoint).await
    }

    fn step(&mut self, input: Input) -> Todo {
        let (checkpoint, todo) = self.checkpoint.clone().step(input);
        self.checkpoint = checkpoint;
        todo
    }

    /// Carries out one step, to the end of its pages.
    async fn advance(&mut self, todo: Todo) -> Result<Todo, PullError> {
        let (todo, arrived) = match todo {
            Todo::Latest => match self.source.latest().await? {
                Latest::Link(changes) => return self.begin(changes).await,
                Latest::Walk(page) => (Todo::Walk(None), Some(page)),
                Latest::Refused(error) => return Ok(self.refuse(error)),
            },
            Todo::Gather => return self.gather().await,
            todo => (todo, None),
        };
        let begins_listing = todo == Todo::List(None);
        let Some(mut feed) = self.source.read(todo, arrived).await? else {
            return Ok(Todo::Rest);
        };
        loop {
            self.puller.base.check_cancelled()?;
            let pages = match feed.next().await {
                Err(error) if begins_listing && S::CAN_WALK && error.is_refusal() => return Ok(self.refuse(error)),
                pages => pages?,
            };
            self.is_first = false;
            self.skipped += pages.unreadable.len();
            self.puller.base.progress.add(pages.items.len());
            let source = self.source.source();
            for problem in &pages.unreadable {
                tracing::warn!(%source, problem, "skipping an entry of a feed");
            }
            let (checkpoint, todo) = if let Some(checkpoint) = self.nothing_new(&pages) {
                self.is_unwritten = true;
                (checkpoint, Todo::Rest)
            } else {
                let count = self.count_listing(&pages).await?;
                if self.is_short(&pages, count) && !std::mem::replace(&mut self.has_listed_again, true) {
                    // Entries may have been added between the listing and the count.
                    return Ok(self.step(Input::ListAgain));
                }
                self.puller.base.retry(|| self.store(&pages, count)).await?
            };
            self.checkpoint = checkpoint;
            if todo != Todo::GoOn {
                return Ok(todo);
            }
        }
    }

    /// The link of the changes has arrived: a listing begins, or the population is to be fetched.
    async fn begin(&mut self, changes: Asked<Link>) -> Result<Todo, PullError> {
        let now = self.puller.base.clock.now();
        if !self.source.gathers() {
            return Ok(self.step(Input::Latest(changes.value, now)));
        }
        let selection = self.source.selection().unwrap_or_default();
        let todo = self.step(Input::Gather {
            changes,
            selection,
            now,
        });
        self.write().await?;
        Ok(todo)
    }

    /// Fetches the population. Everyone is evaluated afterwards, as after a listing.
    async fn gather(&mut self) -> Result<Todo, PullError> {
        let seen = self.source.gather(self.checkpoint.round).await?;
        let todo = self.step(Input::Gathered(seen));
        let base = &self.puller.base;
        let mut tx = base.begin(self.lease).await?;
        environments::judge_everyone(&mut tx, &base.settings.names()).await?;
        checkpoints::write(&mut tx, std::slice::from_ref(&self.checkpoint)).await?;
        tx.commit().await?;
        Ok(todo)
    }

    /// The directory refuses to begin the round in this way.
    fn refuse(&mut self, error: GraphError) -> Todo {
        self.refused = Some(error);
        self.step(Input::Refused)
    }

    fn ending(&self, pages: &Pages<S::Item>) -> PageEnd {
        PageEnd {
            asked: pages.asked,
            next: pages.next.clone(),
            selection: self.source.selection(),
            now: self.puller.base.clock.now(),
        }
    }

    /// The checkpoint that follows if the last page of changes is empty and nothing else remains to do.
    fn nothing_new(&self, pages: &Pages<S::Item>) -> Option<Checkpoint> {
        let is_quiet = S::WRITES_TOGETHER && pages.items.is_empty() && pages.unreadable.is_empty();
        if !is_quiet || !matches!(self.checkpoint.state, State::Following { next: None, .. }) {
            return None;
        }
        let input = Input::Pages(PageStats::default(), self.ending(pages));
        let (checkpoint, todo) = self.checkpoint.clone().step(input);
        (todo == Todo::Rest).then_some(checkpoint)
    }

    /// At the end of a listing: the number of entries that the directory counts, if it does.
    async fn count_listing(&self, pages: &Pages<S::Item>) -> Result<Option<u64>, Failure> {
        let has_ended = !matches!(pages.next, Next::Page(_));
        if S::COUNTS_LISTINGS && has_ended && matches!(self.checkpoint.state, State::Listing { .. }) {
            self.count().await
        } else {
            Ok(None)
        }
    }

    /// Whether a listing that ends with these pages has fewer entries than the directory counts. An empty one is in doubt
    /// anyway.
    fn is_short(&self, pages: &Pages<S::Item>, count: Option<u64>) -> bool {
        let before = match &self.checkpoint.state {
            State::Listing { next: Some(_), .. } => self.checkpoint.seen.present + self.checkpoint.seen.unreadable,
            _ => 0,
        };
        let listed = before + (pages.items.len() + pages.unreadable.len()) as u64;
        listed > 0 && count.is_some() && self.checkpoint.expected_beyond(listed, count).is_some()
    }

    /// The number of entries of a whole listing. Without an answer the last listing counts.
    pub(super) async fn count(&self) -> Result<Option<u64>, Failure> {
        match self.source.count().await {
            Ok(count) => Ok(count),
            Err(error) => {
                Failure::unless_directory(error)?;
                Ok(None)
            }
        }
    }

    /// Stores pages: their rows, the users to re-evaluate, and the checkpoint that follows.
    async fn store(&self, pages: &Pages<S::Item>, count: Option<u64>) -> StoreResult<(Checkpoint, Todo)> {
        let mut tx = self.puller.base.begin(self.lease).await?;
        let ending = self.ending(pages);
        let unreadable = pages.unreadable.len() as u64;
        let step = |seen| {
            let seen = PageStats {
                unreadable,
                count,
                ..seen
            };
            self.checkpoint.clone().step(Input::Pages(seen, ending.clone()))
        };
        let (checkpoint, todo) = self.source.store(&mut tx, &self.checkpoint, pages, step).await?;
        let mut stored: BTreeSet<Moment> = pages.items.iter().map(|item| item.at).collect();
        stored.extend(pages.dropped.iter().map(|dropped| dropped.at));
        // What a round does not list is as old as its first page.
        stored.extend(self.checkpoint.is_round().then_some(checkpoint.round));
        answers::note(&mut tx, &stored, !self.checkpoint.is_round(), ending.now).await?;
        checkpoints::write(&mut tx, std::slice::from_ref(&checkpoint)).await?;
        tx.commit().await?;
        Ok((checkpoint, todo))
    }
}
