//! Users: a full round, then the changes of `users/delta`, indefinitely.
//!
//! A round is the plain listing between the link of the changes and the changes themselves, since the listing has large
//! pages; or a walk through `users/delta`, where the directory refuses that.
//!
//! Absence has two meanings. In a full round a property that is not sent is null, and a user who is not listed by its
//! end is looked for in deletedItems and then by name: a listing may be old, or break off without a sign. In an
//! incremental round both mean unchanged.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::Puller;
use super::facts::{self, Origin};
use super::feed::{Feed, Pages, Start};
use super::follow::{Followed, Follower};
use super::population::{Purpose, Reach};
use super::{Problem, PullError, survive, verify};
use crate::domain::feed::checkpoint::{Checkpoint, PageStats, State, Todo};
use crate::domain::feed::{Asked, Kept, Moment, Page, Removal, UserChange};
use crate::domain::source::Source;
use crate::graph::{GraphError, Latest, describe};
use crate::store::lease::Lease;
use crate::store::population::{self, Population};
use crate::store::{
    StoreResult, Transaction, checkpoints, differences, environments, groups, mirror, pending, recheck,
};
use crate::sync::Failure;

/// The users, for every environment. In group scope only the population.
struct Users<'a> {
    puller: &'a Puller,
    lease: &'a Lease,
    population: Option<&'a Population>,
    /// Users whom pages name although it is not certain what to make of it: they have to be looked up.
    unsure: Mutex<Vec<Asked<Uuid>>>,
}

impl Followed for Users<'_> {
    type Item = UserChange;
    const CAN_WALK: bool = true;
    const WRITES_TOGETHER: bool = false;
    const COUNTS_LISTINGS: bool = false;

    fn source(&self) -> Source {
        Source::Users
    }

    fn selection(&self) -> Option<Cow<'static, str>> {
        Some(match self.population {
            Some(_) => self.puller.selection_of_groups().into(),
            None => self.puller.graph.selection().to_owned().into(),
        })
    }

    fn gathers(&self) -> bool {
        self.population.is_some()
    }

    async fn latest(&self) -> Result<Latest<UserChange>, GraphError> {
        self.puller.directory().users_delta_latest().await
    }

    async fn gather(&self, round: Moment) -> Result<PageStats, PullError> {
        let Some(population) = self.population else {
            return Ok(PageStats::default());
        };
        let reach = Reach::Whole(round);
        self.puller.fetch_lacking(self.lease, population, reach).await
    }

    async fn read(&self, todo: Todo, arrived: Option<Page<UserChange>>) -> Result<Option<Feed<UserChange>>, Failure> {
        let graph = self.puller.directory();
        let is_walk = matches!(todo, Todo::Walk(_));
        let start = |at| arrived.map_or(Start::At(at), Start::After);
        let at = match todo {
            Todo::List(at) => {
                return Ok(Some(Feed::begin("users", Start::At(at), move |at| {
                    let graph = graph.clone();
                    async move { graph.users_listing(at.as_ref()).await }
                })));
            }
            Todo::Walk(at) => start(at),
            Todo::Changes(at) => Start::At(Some(at)),
            Todo::Latest | Todo::Gather | Todo::GoOn | Todo::Sweep | Todo::Rest => return Ok(None),
        };
        let kept = match self.population {
            Some(population) => self.puller.kept(population, is_walk).await?,
            None => Kept::All,
        };
        Ok(Some(Feed::begin("users/delta", at, move |at| {
            let (graph, kept) = (graph.clone(), kept.clone());
            async move { graph.users_delta(at.as_ref(), &kept).await }
        })))
    }

    async fn store(
        &self,
        tx: &mut Transaction,
        before: &Checkpoint,
        pages: &Pages<UserChange>,
        step: impl Fn(PageStats) -> (Checkpoint, Todo),
    ) -> StoreResult<(Checkpoint, Todo)> {
        let names = self.puller.base.settings.names();
        let is_round = before.is_round();
        let items = match self.population {
            Some(population) => Cow::Owned(self.of_population(tx, population, pages, is_round).await?),
            None => Cow::Borrowed(&pages.items[..]),
        };
        let mut seen = PageStats::default();
        for item in items.iter() {
            seen.add(&item.value, is_round);
        }
        if matches!(before.state, State::Begin | State::Listing { next: None, .. }) {
            seen.had_plans = mirror::any_plans(&mut *tx).await?;
        }
        let origin = if is_round { Origin::Round } else { Origin::Changes };
        let taken = facts::take_in(&mut *tx, &items, origin).await?;
        recheck::add_twice(&mut *tx, &taken.older).await?;
        self.note_looked_up(tx, &pages.dropped).await?;
        let (checkpoint, todo) = step(seen);
        if !is_round {
            pending::mark(&mut *tx, &names, &taken.changed).await?;
        } else if !checkpoint.is_round() {
            environments::judge_everyone(&mut *tx, &names).await?;
        }
        Ok((checkpoint, todo))
    }

    async fn count(&self) -> Result<Option<u64>, GraphError> {
        self.puller.directory().users_count().await
    }

    async fn compare(&self, tx: &mut Transaction, pages: &Pages<UserChange>) -> StoreResult<PageStats> {
        let mut seen = PageStats {
            had_plans: mirror::any_plans(&mut *tx).await?,
            ..PageStats::default()
        };
        for item in &pages.items {
            seen.add(&item.value, true);
        }
        let differing = facts::compare(&mut *tx, &pages.items).await?;
        differences::add(tx, Source::Users, &verify::users(differing)).await?;
        Ok(seen)
    }

    async fn gather_again(&self, began: Moment) -> Result<PageStats, PullError> {
        let Some(population) = self.population else {
            return Ok(PageStats::default());
        };
        self.puller
            .fetch_groups(self.lease, population, Purpose::Verification(began))
            .await
    }

    async fn note_absent(&self, began: Moment, limit: i64) -> Result<(), PullError> {
        match self.population {
            Some(population) => Ok(self.puller.note_lacking(self.lease, population, began).await?),
            None => self.note_absent_users(began, limit).await,
        }
    }
}

impl Users<'_> {
    /// Notes whom the listing of a verification omits, and who is both listed and deleted.
    async fn note_absent_users(&self, began: Moment, limit: i64) -> Result<(), PullError> {
        let deleted = self.puller.directory().deleted_users().await?;
        let ids: Vec<Uuid> = deleted.items.iter().map(|user| user.id).collect();
        let mut tx = self.puller.base.begin(self.lease).await?;
        mirror::note_deleted(&mut tx, began, &deleted.items).await?;
        let listed = mirror::listed_among(&mut tx, began, &deleted.items).await?;
        // Whatever the mirror heard of them since the listing began is as old as deletedItems, or newer.
        let at = self.puller.base.store.next_moment().await?;
        let listed = listed.into_iter().map(|user| Asked { at, ..user });
        differences::add(&mut tx, Source::Users, &verify::users(listed)).await?;
        differences::add_absent_users(&mut tx, began, &ids, limit).await?;
        Ok(tx.commit().await?)
    }

    /// The entries of pages to store. Changes add to the record of a user who is present; one who returns needs the whole
    /// record, and one who is in no record matters only as long as its id is kept.
    async fn of_population(
        &self,
        tx: &mut Transaction,
        population: &Population,
        pages: &Pages<UserChange>,
        is_round: bool,
    ) -> StoreResult<Vec<Asked<UserChange>>> {
        let ids: Vec<Uuid> = pages.items.iter().map(|item| item.value.id()).collect();
        let mirrored: HashMap<Uuid, bool> = population::mirrored_among(tx, &ids).await?.into_iter().collect();
        let inside = if is_round {
            population.among(tx, &ids).await?
        } else {
            HashSet::new()
        };
        let (mut kept, mut deleted, mut back, mut unsure) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for item in &pages.items {
            let id = item.value.id();
            match (&item.value, mirrored.get(&id)) {
                (UserChange::Present(_), Some(false)) if !is_round => unsure.push(Asked { at: item.at, value: id }),
                (UserChange::Present(_), None) if !inside.contains(&id) => back.push(id),
                (UserChange::Removed { reason, .. }, None) => {
                    if *reason == Removal::SoftDeleted {
                        deleted.push(id);
                    } else {
                        back.push(id);
                    }
                }
                _ => kept.push(item.clone()),
            }
        }
        population::note_deleted(tx, &deleted, self.puller.base.clock.now()).await?;
        let back = population::take_deleted(tx, &back).await?;
        groups::note_returned(tx, &back).await?;
        recheck::add(tx, &unsure).await?;
        self.unsure(unsure);
        Ok(kept)
    }

    /// Users who were looked up while the pages that drop them were under way: the pages may know more.
    async fn note_looked_up(&self, tx: &mut Transaction, dropped: &[Asked<Uuid>]) -> StoreResult<()> {
        if dropped.is_empty() {
            return Ok(());
        }
        checkpoints::lock(tx, Source::Users).await?;
        let ids: Vec<Uuid> = dropped.iter().map(|dropped| dropped.value).collect();
        let mirrored = population::mirrored_among(tx, &ids).await?;
        let mirrored: HashSet<Uuid> = mirrored.into_iter().map(|(id, _)| id).collect();
        let looked_up = dropped.iter().filter(|dropped| mirrored.contains(&dropped.value));
        let looked_up: Vec<_> = looked_up.copied().collect();
        recheck::add(tx, &looked_up).await?;
        self.unsure(looked_up);
        Ok(())
    }

    fn unsure(&self, users: Vec<Asked<Uuid>>) {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner).extend(users);
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
    /// Whether they have to be verified now.
    pub needs_verification: bool,
}

impl Puller {
    /// Reads the users up to the checkpoint: everyone, or a population.
    pub(super) async fn pull_users(
        &self,
        lease: &Lease,
        population: Option<&Population>,
    ) -> Result<UsersPull, Failure> {
        let users = self.users(lease, population);
        let checkpoint = self.read_checkpoint(Source::Users).await?;
        if let Some(population) = population
            && let Err(unread) = survive(
                Source::Users,
                self.prepare_population(lease, population, &checkpoint).await,
            )?
        {
            return Ok(UsersPull {
                unread: Some(unread),
                ..UsersPull::default()
            });
        }
        let mut follower = Follower::new(self, lease, &users, checkpoint);
        let todo = survive(Source::Users, follower.follow().await)?;
        let mut pull = UsersPull {
            skipped: follower.skipped,
            walked: follower.refused.as_ref().map(walked),
            ..UsersPull::default()
        };
        match todo {
            Ok(Todo::Rest) => pull.needs_verification = self.needs_verification(&follower.checkpoint),
            Err(problem) => pull.unread = Some(problem),
            Ok(Todo::Sweep) => match survive(
                Source::Users,
                self.sweep_users(lease, population, follower.checkpoint).await,
            )? {
                Ok(unsure) => pull.unsure = unsure,
                Err(problem) => pull.problem = Some(problem),
            },
            Ok(_) => {}
        }
        pull.unsure
            .extend(users.unsure.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(pull)
    }

    /// The selection of rounds in group scope: a round of the one scope is none of the other.
    fn selection_of_groups(&self) -> String {
        format!("groups:{}", self.graph.selection())
    }

    /// Lists the users again and notes the differences. Returns why they are verified only in part.
    pub(super) async fn verify_users(
        &self,
        lease: &Lease,
        population: Option<&Population>,
    ) -> Result<Option<String>, PullError> {
        let users = self.users(lease, population);
        let checkpoint = self.read_checkpoint(Source::Users).await?;
        Follower::new(self, lease, &users, checkpoint).note_differences().await
    }

    fn users<'a>(&'a self, lease: &'a Lease, population: Option<&'a Population>) -> Users<'a> {
        Users {
            puller: self,
            lease,
            population,
            unsure: Mutex::default(),
        }
    }

    /// Whether a feed has to be verified now.
    pub(super) fn needs_verification(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.needs_verification(self.base.settings.verifications, self.base.clock.now())
    }

    /// Before the users' changes in group scope: forgets whoever is not in the population, and fetches whoever has
    /// entered it, unless a round does that.
    async fn prepare_population(
        &self,
        lease: &Lease,
        population: &Population,
        checkpoint: &Checkpoint,
    ) -> Result<(), PullError> {
        let begins = checkpoint.selection != self.selection_of_groups() || checkpoint.is_round();
        let reach = if begins {
            Reach::Whole(Moment::default())
        } else {
            self.reach().await?
        };
        self.forget_others(lease, population, reach).await?;
        if !begins {
            self.fetch_lacking(lease, population, reach).await?;
        }
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

/// What a refusal means for the round.
fn walked(refused: &GraphError) -> Problem {
    let detail = format!(
        "{}; so this round has read the users through users/delta, which is slower and misses nobody",
        describe(refused)
    );
    Problem::new(Source::Users, detail)
}
