//! One group: its members and owners.
//!
//! A group begins with `$deltatoken=latest`, then the plain listing, then the changes since: listing first would
//! lose what changes in between. A group that is gone or may not be read is not an empty group.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::feed::{Feed, Pages};
use super::{Problem, PullError};
use crate::domain::environment::GroupNesting;
use crate::domain::feed::{Asked, GroupChange, Next, Principal};
use crate::graph::GraphError;
use crate::store::checkpoints::{self, Checkpoint, Phase};
use crate::store::lease::Lease;
use crate::store::{StoreError, StoreResult, Transaction, environments, groups, pending};
use crate::sync::{Engine, SyncError};
use crate::telemetry::metrics::Metrics;

const MAX_RESTARTS: u32 = 5;

/// What a listing has shown so far, kept with its checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listed {
    members: u64,
    unreadable: u64,
    /// Changes since then could not be read: the group is listed anew.
    missed: bool,
}

impl Listed {
    fn of(checkpoint: &Checkpoint) -> Self {
        let listed = checkpoint.value.clone();
        listed
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default()
    }
}

/// What became of a group.
pub(super) struct GroupPull {
    /// Its members are known up to now.
    pub is_readable: bool,
    /// What stood in the way.
    pub problem: Option<Problem>,
    /// Entries that could not be read and were left out.
    pub skipped: usize,
}

/// A group that is read, for the environments it matters to.
struct Reader<'a> {
    engine: &'a Engine,
    lease: &'a Lease,
    group: Uuid,
    source: String,
    environments: Vec<String>,
    skipped: AtomicUsize,
}

impl Engine {
    /// Reads one group as far as it goes.
    pub(super) async fn pull_group(
        &self,
        lease: &Lease,
        group: Uuid,
        is_root: bool,
        environments: Vec<String>,
    ) -> Result<GroupPull, SyncError> {
        let reader = Reader {
            engine: self,
            lease,
            group,
            source: super::source_of(group),
            environments,
            skipped: AtomicUsize::new(0),
        };
        let (is_readable, problem) = match reader.read().await {
            Ok(problem) => (true, problem),
            Err(PullError::Run(error)) => return Err(error),
            Err(PullError::Graph(error)) => {
                if matches!(error, GraphError::Forbidden { .. }) {
                    reader.note_unreadable().await?;
                }
                if matches!(error, GraphError::NotFound { .. }) {
                    reader.note_gone(is_root).await?;
                    let remedy = if is_root {
                        "correct security_group"
                    } else {
                        "take it out of its group"
                    };
                    let detail = format!(
                        "the group {group} does not exist: {remedy}, or restore the group; nobody is disabled for it"
                    );
                    // Nobody can have come into a nested group that is gone: what was known of it does for everybody.
                    (!is_root, Some(Problem::new(&reader.source, detail)))
                } else {
                    (false, Some(Problem::from_graph(&reader.source, &error)))
                }
            }
        };
        Ok(GroupPull {
            is_readable,
            problem,
            skipped: reader.skipped.into_inner(),
        })
    }
}

impl Reader<'_> {
    async fn read(&self) -> Result<Option<Problem>, PullError> {
        let mut checkpoint = self.engine.read_checkpoint(&self.source).await?;
        let mut restarts = 0;
        loop {
            self.engine.check_cancelled()?;
            let result = if checkpoint.phase == Phase::Full {
                self.list(&mut checkpoint).await
            } else {
                self.follow(&mut checkpoint).await
            };
            match result {
                Ok(true) => break,
                Ok(false) => {}
                Err(PullError::Graph(GraphError::LinkExpired { cause, .. })) if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    Metrics.resync("group", cause);
                    checkpoint.phase = Phase::Full;
                    checkpoint.next_link = None;
                    checkpoint.delta_link = None;
                    self.engine.write_checkpoint(self.lease, &checkpoint).await?;
                }
                Err(error) => {
                    if matches!(&error, PullError::Graph(error) if error.is_bad_answer())
                        && checkpoint.next_link.is_some()
                    {
                        checkpoint.next_link = None;
                        self.engine.write_checkpoint(self.lease, &checkpoint).await?;
                    }
                    return Err(error);
                }
            }
        }
        self.read_owners().await
    }

    /// The plain listing. Answers false: the changes since it began still have to be followed.
    async fn list(&self, checkpoint: &mut Checkpoint) -> Result<bool, PullError> {
        if checkpoint.delta_link.is_none() {
            checkpoint.delta_link = Some(self.engine.directory().group_delta_latest(self.group).await?);
            checkpoint.delta_since = Some(self.engine.clock.now());
            checkpoint.next_link = None;
        }
        let (graph, group) = (self.engine.directory(), self.group);
        let mut feed = Feed::begin("groups/{id}/members", checkpoint.next_link.clone(), move |at| {
            let graph = graph.clone();
            async move { graph.group_members(group, at.as_ref()).await }
        });
        loop {
            self.engine.check_cancelled()?;
            let page = feed.next().await?;
            self.skipped.fetch_add(page.unreadable.len(), Ordering::Relaxed);
            *checkpoint = self
                .engine
                .retry(|| self.store_listing(checkpoint.clone(), page.clone()))
                .await?;
            if checkpoint.phase != Phase::Full {
                return Ok(false);
            }
        }
    }

    async fn store_listing(&self, mut checkpoint: Checkpoint, page: Pages<Principal>) -> StoreResult<Checkpoint> {
        let mut tx = self.engine.begin(self.lease).await?;
        let was_read_before = checkpoint.reached_at.is_some();
        let mut listed = Listed::of(&checkpoint);
        if checkpoint.next_link.is_none() {
            checkpoint.round = page.asked.0;
            listed = Listed::default();
        }
        listed.members += page.items.len() as u64;
        listed.unreadable += page.unreadable.len() as u64;
        let joined = groups::add_members(&mut tx, self.group, &page.items).await?;
        if was_read_before {
            self.note_moved(&mut tx, &joined).await?;
        }
        checkpoint.value = Some(serde_json::json!(listed));
        checkpoint.readable = true;
        if let Next::Page(link) = page.next {
            checkpoint.next_link = Some(link);
        } else {
            if listed.unreadable > 0 {
                groups::recheck_members(&mut tx, self.group, checkpoint.round).await?;
            } else {
                let left = groups::sweep_members(&mut tx, self.group, checkpoint.round).await?;
                if listed.members > 0 {
                    checkpoint.trust();
                } else if !left.is_empty() && was_read_before {
                    let (group, left) = (self.group, left.len());
                    checkpoint.doubt = Some(format!(
                        "the listing of group {group} came back empty, where it had {left} members"
                    ));
                }
                self.note_moved(&mut tx, &left).await?;
            }
            if !was_read_before {
                environments::judge_everyone(&mut tx, &self.environments).await?;
            }
            checkpoint.next_link = None;
            checkpoint.phase = Phase::Delta;
        }
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(checkpoint)
    }

    /// The changes. Answers true when there are no more.
    async fn follow(&self, checkpoint: &mut Checkpoint) -> Result<bool, PullError> {
        let Some(at) = checkpoint.next_link.clone().or(checkpoint.delta_link.clone()) else {
            checkpoint.phase = Phase::Full;
            return Ok(false);
        };
        let graph = self.engine.directory();
        let mut feed = Feed::begin("groups/delta", Some(at), move |at| {
            let graph = graph.clone();
            async move {
                let at = at.ok_or(GraphError::Cancelled)?;
                graph.group_delta(&at).await
            }
        });
        loop {
            self.engine.check_cancelled()?;
            let page = feed.next().await?;
            if page
                .items
                .iter()
                .any(|change| change.value.group == self.group && change.value.removed)
            {
                return Err(GraphError::NotFound {
                    endpoint: "groups/delta",
                }
                .into());
            }
            self.skipped.fetch_add(page.unreadable.len(), Ordering::Relaxed);
            *checkpoint = self
                .engine
                .retry(|| self.store_changes(checkpoint.clone(), page.clone()))
                .await?;
            if checkpoint.next_link.is_none() {
                return Ok(true);
            }
        }
    }

    async fn store_changes(&self, mut checkpoint: Checkpoint, page: Pages<GroupChange>) -> StoreResult<Checkpoint> {
        let mut tx = self.engine.begin(self.lease).await?;
        let mut listed = Listed::of(&checkpoint);
        listed.missed |= !page.unreadable.is_empty();
        for change in page.items.into_iter().filter(|change| change.value.group == self.group) {
            let at = change.at;
            let joined: Vec<_> = change
                .value
                .joined
                .into_iter()
                .map(|value| Asked { at, value })
                .collect();
            let left: Vec<_> = change.value.left.into_iter().map(|value| Asked { at, value }).collect();
            let joined = groups::add_members(&mut tx, self.group, &joined).await?;
            let left = groups::remove_members(&mut tx, self.group, &left).await?;
            self.note_moved(&mut tx, &joined).await?;
            self.note_moved(&mut tx, &left).await?;
        }
        let now = self.engine.clock.now();
        match page.next {
            Next::Page(link) => checkpoint.next_link = Some(link),
            Next::Delta(link) => {
                checkpoint.next_link = None;
                checkpoint.delta_link = Some(link);
                checkpoint.delta_since = Some(now);
                checkpoint.reached_at = Some(now);
                checkpoint.readable = true;
                if std::mem::take(&mut listed.missed) {
                    checkpoint.phase = Phase::Full;
                    checkpoint.delta_link = None;
                }
            }
            Next::End => return Err(StoreError::Conflict),
        }
        checkpoint.value = Some(serde_json::json!(listed));
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(checkpoint)
    }

    /// Who joined or left is judged again. A group that did moves many users at once: everyone is judged, wherever
    /// nested members count.
    async fn note_moved(&self, tx: &mut Transaction, members: &[Uuid]) -> StoreResult<()> {
        pending::mark(&mut *tx, &self.environments, members).await?;
        if groups::any_group_among(&mut *tx, self.group, members).await? {
            let nesting: Vec<String> = self
                .engine
                .settings
                .environments
                .iter()
                .filter(|(environment, _)| environment.group_nesting != GroupNesting::Ignore)
                .map(|(environment, _)| environment.name.clone())
                .filter(|name| self.environments.contains(name))
                .collect();
            environments::judge_everyone(&mut *tx, &nesting).await?;
        }
        Ok(())
    }

    /// The owners, whole: there are few, and they matter for access on demand only. Some kinds of group have none
    /// to read; what was known of them then stands.
    async fn read_owners(&self) -> Result<Option<Problem>, PullError> {
        let owners = match self.engine.directory().group_owners(self.group).await {
            Ok(owners) => owners,
            Err(GraphError::NotFound { .. }) => {
                // Either the group is gone, which the members say too, or this kind of group has no owners.
                self.engine.graph.group_members(self.group, None).await?;
                return Ok(None);
            }
            Err(GraphError::BadRequest { .. }) => return Ok(None),
            Err(error) => {
                let error = SyncError::unless_directory(error)?;
                return Ok(Some(Problem::from_graph(&self.source, &error)));
            }
        };
        let mut tx = self.engine.begin(self.lease).await?;
        let changed = groups::set_owners(&mut tx, self.group, &owners).await?;
        pending::mark(&mut tx, &self.environments, &changed).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// The group is gone: when it comes back it is listed from the start. Its members stay as they were known.
    async fn note_gone(&self, is_root: bool) -> Result<(), SyncError> {
        let mut checkpoint = self.engine.read_checkpoint(&self.source).await?;
        checkpoint.phase = Phase::Full;
        checkpoint.next_link = None;
        checkpoint.delta_link = None;
        checkpoint.readable = !is_root;
        self.engine.write_checkpoint(self.lease, &checkpoint).await
    }

    /// The group may not be read: whoever decides between two runs shall know.
    async fn note_unreadable(&self) -> Result<(), SyncError> {
        let mut checkpoint = self.engine.read_checkpoint(&self.source).await?;
        checkpoint.readable = false;
        self.engine.write_checkpoint(self.lease, &checkpoint).await
    }
}
