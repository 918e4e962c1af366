//! One group: its members and owners.
//!
//! A group begins with `$deltatoken=latest`, then the plain listing, then the changes since: listing first would
//! lose changes made in between. A group that is deleted or may not be read is not an empty group.

use std::collections::BTreeMap;
use std::hash::Hash;

use uuid::Uuid;

use super::Puller;
use super::feed::{Feed, Pages, Start};
use super::follow::{Followed, Follower};
use super::uses::GroupUses;
use super::{Problem, PullError};
use crate::domain::feed::checkpoint::{Checkpoint, Input, PageStats, Todo};
use crate::domain::feed::{Asked, Entry, GroupChange, Moment, Page, Principal};
use crate::domain::source::Source;
use crate::graph::{GraphError, Latest};
use crate::store::lease::Lease;
use crate::store::{StoreResult, Transaction, checkpoints, differences, environments, groups, owners, pending, teams};
use crate::sync::Failure;

/// The result of reading a group.
pub(super) struct GroupPull {
    /// Its members are known as of now.
    pub is_readable: bool,
    /// The problem, if there was one.
    pub problem: Option<Problem>,
    /// Entries that could not be read and were skipped.
    pub skipped: usize,
    /// The checkpoint, if nothing else changed: it is written together with those of other groups.
    pub reached: Option<Checkpoint>,
    /// Whether it has to be verified now.
    pub needs_verification: bool,
}

/// A group to read.
struct Reader<'a> {
    puller: &'a Puller,
    lease: &'a Lease,
    group: Uuid,
    /// The environments whose users it decides about.
    environments: Vec<String>,
    /// Whether teams follow it.
    is_of_team: bool,
}

/// The entries of a group's feed: members while it is listed, then changes.
enum Item {
    Member(Principal),
    Change(GroupChange),
}

impl Entry for Item {
    fn key(&self) -> impl Hash {
        match self {
            Self::Member(member) => (Some(member.id), None),
            Self::Change(change) => (None, Some((change.group, change.removed, &change.joined, &change.left))),
        }
    }
}

impl Puller {
    /// Reads one group as far as possible.
    pub(super) async fn pull_group(
        &self,
        lease: &Lease,
        group: Uuid,
        checkpoint: Checkpoint,
        uses: &GroupUses,
    ) -> Result<GroupPull, Failure> {
        let reader = self.reader(lease, group, uses);
        let mut follower = Follower::new(self, lease, &reader, checkpoint);
        let (is_readable, problem) = match follower.follow().await {
            Ok(_) => (true, None),
            Err(PullError::Run(error)) => return Err(error),
            Err(PullError::Graph(GraphError::NotFound { .. })) => {
                let problem = self.note_gone(lease, group, uses).await?;
                // No user can have joined a nested group that is deleted: its known members are sufficient.
                (uses.is_nested(group), Some(problem))
            }
            Err(PullError::Unavailable(problem)) => (false, Some(Problem::new(Source::Group(group), problem))),
            Err(PullError::Graph(error)) => {
                if matches!(error, GraphError::Forbidden { .. }) {
                    // Requests between two runs must see this too.
                    self.note(lease, group, Input::Forbidden).await?;
                }
                (false, Some(Problem::from_graph(Source::Group(group), &error)))
            }
        };
        Ok(GroupPull {
            is_readable,
            problem,
            skipped: follower.skipped,
            needs_verification: is_readable && self.needs_verification(&follower.checkpoint),
            reached: follower.is_unwritten.then_some(follower.checkpoint),
        })
    }

    /// Lists the members of a group again and notes the differences. Returns why it is verified only in part.
    pub(super) async fn verify_group(
        &self,
        lease: &Lease,
        group: Uuid,
        uses: &GroupUses,
    ) -> Result<Option<String>, PullError> {
        let reader = self.reader(lease, group, uses);
        let checkpoint = self.read_checkpoint(Source::Group(group)).await?;
        Follower::new(self, lease, &reader, checkpoint).note_differences().await
    }

    fn reader<'a>(&'a self, lease: &'a Lease, group: Uuid, uses: &GroupUses) -> Reader<'a> {
        Reader {
            puller: self,
            lease,
            group,
            environments: uses.environments(&self.base.settings, group),
            is_of_team: uses.is_of_team(group),
        }
    }

    /// Reads the owners of groups, in full: they are few, and matter only for access on demand and for teams of owners.
    /// For some kinds of group they cannot be read; the known owners then stand.
    pub(super) async fn pull_owners(
        &self,
        lease: &Lease,
        owned: &[Uuid],
        uses: &GroupUses,
    ) -> Result<Vec<Problem>, Failure> {
        let (mut problems, mut readings) = (Vec::new(), Vec::new());
        let answers = match self.directory().owners_of_groups(owned).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = Failure::unless_directory(error)?;
                let problem = |group: &Uuid| Problem::from_graph(Source::Group(*group), &error);
                return Ok(owned.iter().map(problem).collect());
            }
        };
        for (&group, answer) in owned.iter().zip(answers) {
            match answer {
                Ok(owners) => readings.push((group, owners)),
                Err(GraphError::BadRequest { .. }) => {}
                Err(GraphError::NotFound { .. }) => {
                    // Either the group is deleted, which reading its members shows too, or this kind of group has no
                    // owners.
                    if let Err(error) = self.graph.group_members(group, None).await {
                        let error = Failure::unless_directory(error)?;
                        problems.push(match error {
                            GraphError::NotFound { .. } => self.note_gone(lease, group, uses).await?,
                            error => Problem::from_graph(Source::Group(group), &error),
                        });
                    }
                }
                Err(error) => {
                    let error = Failure::unless_directory(error)?;
                    problems.push(Problem::from_graph(Source::Group(group), &error));
                }
            }
        }
        if !readings.is_empty() {
            let write = async || {
                let mut tx = self.base.begin(lease).await?;
                let mut changed: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
                for (group, owner) in owners::set(&mut tx, &readings).await? {
                    changed.entry(group).or_default().push(owner);
                }
                for (group, owners) in changed {
                    pending::mark(&mut tx, &uses.environments(&self.base.settings, group), &owners).await?;
                    if uses.is_of_team(group) {
                        teams::mark_members(&mut tx, group, &owners).await?;
                    }
                }
                tx.commit().await
            };
            self.base.retry(write).await?;
        }
        Ok(problems)
    }

    /// Records that a group does not exist. Its known members stay.
    async fn note_gone(&self, lease: &Lease, group: Uuid, uses: &GroupUses) -> Result<Problem, Failure> {
        let now = self.base.clock.now();
        let is_nested = uses.is_nested(group);
        self.note(lease, group, Input::Gone { is_nested, now }).await?;
        Ok(Problem::new(Source::Group(group), uses.gone(group)))
    }

    /// Records a state of the group itself.
    async fn note(&self, lease: &Lease, group: Uuid, input: Input) -> Result<(), Failure> {
        let checkpoint = self.read_checkpoint(Source::Group(group)).await?;
        let mut tx = self.base.begin(lease).await?;
        checkpoints::step(&mut tx, checkpoint, input).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Followed for Reader<'_> {
    type Item = Item;
    const CAN_WALK: bool = false;
    const WRITES_TOGETHER: bool = true;
    const COUNTS_LISTINGS: bool = true;

    fn source(&self) -> Source {
        Source::Group(self.group)
    }

    async fn latest(&self) -> Result<Latest<Item>, GraphError> {
        let link = self.puller.directory().group_delta_latest(self.group).await?;
        Ok(Latest::Link(link))
    }

    async fn read(&self, todo: Todo, _: Option<Page<Item>>) -> Result<Option<Feed<Item>>, Failure> {
        let (graph, group) = (self.puller.directory(), self.group);
        Ok(match todo {
            Todo::List(at) => Some(Feed::begin("groups/{id}/members", Start::At(at), move |at| {
                let graph = graph.clone();
                async move { Ok(graph.group_members(group, at.as_ref()).await?.map(Item::Member)) }
            })),
            Todo::Changes(at) => Some(Feed::begin("groups/delta", Start::At(Some(at)), move |at| {
                let graph = graph.clone();
                async move {
                    let page = graph.group_delta(&at.ok_or(GraphError::Cancelled)?).await?;
                    if page.items.iter().any(|change| change.group == group && change.removed) {
                        let endpoint = "groups/delta";
                        return Err(GraphError::NotFound { endpoint });
                    }
                    Ok(page.map(Item::Change))
                }
            })),
            _ => None,
        })
    }

    async fn store(
        &self,
        tx: &mut Transaction,
        before: &Checkpoint,
        pages: &Pages<Item>,
        step: impl Fn(PageStats) -> (Checkpoint, Todo),
    ) -> StoreResult<(Checkpoint, Todo)> {
        // After the first listing of a group, everyone is evaluated at the end.
        let is_first = before.is_round() && before.reached_at.is_none();
        for Asked { at, value } in &pages.items {
            if let Item::Change(change) = value
                && change.group == self.group
            {
                let joined = groups::add_members(&mut *tx, self.group, &as_of(*at, &change.joined)).await?;
                let left = groups::remove_members(&mut *tx, self.group, &as_of(*at, &change.left)).await?;
                self.note_moved(tx, &joined).await?;
                self.note_moved(tx, &left).await?;
            }
        }
        let listed = members(pages);
        let joined = groups::add_members(&mut *tx, self.group, &listed).await?;
        if !is_first {
            self.note_moved(tx, &joined).await?;
        }
        let (mut checkpoint, mut todo) = step(PageStats {
            present: listed.len() as u64,
            ..PageStats::default()
        });
        if todo == Todo::Sweep {
            let is_whole = checkpoint.seen.unreadable == 0;
            let mut had = 0;
            if is_whole {
                let PageStats { present, count, .. } = checkpoint.seen;
                let is_in_doubt = present == 0 || checkpoint.expected_beyond(present, count).is_some();
                let left = groups::sweep_members(&mut *tx, self.group, checkpoint.round, is_in_doubt).await?;
                had = left.len() as u64;
                self.note_moved(tx, &left).await?;
            } else {
                groups::recheck_members(&mut *tx, self.group, checkpoint.round).await?;
            }
            if is_first {
                environments::judge_everyone(&mut *tx, &self.environments).await?;
            }
            if is_whole {
                let PageStats {
                    present: listed, count, ..
                } = checkpoint.seen;
                (checkpoint, _) = checkpoint.step(Input::Counted { listed, had, count });
            }
            (checkpoint, todo) = checkpoint.step(Input::Swept);
        }
        Ok((checkpoint, todo))
    }

    async fn count(&self) -> Result<Option<u64>, GraphError> {
        self.puller.directory().group_members_count(self.group).await
    }

    async fn compare(&self, tx: &mut Transaction, pages: &Pages<Item>) -> StoreResult<PageStats> {
        let listed = members(pages);
        differences::compare_members(tx, self.group, &listed).await?;
        Ok(PageStats {
            present: listed.len() as u64,
            ..PageStats::default()
        })
    }

    async fn note_absent(&self, began: Moment, limit: i64) -> Result<(), PullError> {
        let mut tx = self.puller.base.begin(self.lease).await?;
        differences::add_absent_members(&mut tx, self.group, began, limit).await?;
        Ok(tx.commit().await?)
    }
}

/// The members on pages of a listing.
fn members(pages: &Pages<Item>) -> Vec<Asked<Principal>> {
    let member = |item: &Asked<Item>| match &item.value {
        Item::Member(member) => Some(Asked {
            at: item.at,
            value: *member,
        }),
        Item::Change(_) => None,
    };
    pages.items.iter().filter_map(member).collect()
}

fn as_of<T: Copy>(at: Moment, values: &[T]) -> Vec<Asked<T>> {
    values.iter().map(|value| Asked { at, value: *value }).collect()
}

impl Reader<'_> {
    /// Marks users who joined or left for re-evaluation. A group that joined or left moves many users at once: everyone
    /// is re-evaluated where nested members count.
    async fn note_moved(&self, tx: &mut Transaction, members: &[Uuid]) -> StoreResult<()> {
        pending::mark(&mut *tx, &self.environments, members).await?;
        if self.is_of_team {
            teams::mark_members(&mut *tx, self.group, members).await?;
        }
        if self.environments.is_empty() {
            return Ok(());
        }
        if groups::any_group_among(&mut *tx, self.group, members).await? {
            let mut nesting = self.puller.base.settings.nesting();
            nesting.retain(|name| self.environments.contains(name));
            environments::judge_everyone(&mut *tx, &nesting).await?;
        }
        Ok(())
    }
}
