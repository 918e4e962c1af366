//! `users/delta`: a full round, then changes, for ever.
//!
//! Absence means two things: in a full round a property that is not sent is null, and a user who is not
//! listed by its last page is looked up in deletedItems and swept; in an incremental round both mean unchanged.

use serde::{Deserialize, Serialize};

use super::feed::{Feed, Pages};
use super::{Problem, PullError, survive};
use crate::domain::feed::{Next, Patch, UserChange};
use crate::graph::{GraphError, SELECTION_FINGERPRINT};
use crate::store::checkpoints::{self, Checkpoint, Phase};
use crate::store::lease::Lease;
use crate::store::{StoreError, StoreResult, environments, mirror, pending, recheck};
use crate::sync::{Engine, SyncError, facts};
use crate::telemetry::metrics::Metrics;

const SOURCE: &str = "users";

/// How often a run begins a round anew because its links died under it.
const MAX_RESTARTS: u32 = 5;

/// From so many users on, one property missing from all of them is no coincidence.
const ALL_MISSING_COUNTS_FROM: u64 = 20;

/// What a round has seen, kept with its checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tally {
    /// Users that exist.
    present: u64,
    /// Those of them whose account state could be read.
    with_account: u64,
    /// Those of them whose plans could be read.
    with_plans: u64,
    /// Whether anybody had a plan when the round began.
    had_plans: bool,
    /// Entries that could not be read.
    #[serde(default)]
    unreadable: u64,
    /// Changes since the last full round could not be read.
    #[serde(default)]
    missed: bool,
}

/// Whether changes could not be read that only a full round would tell again.
pub(in crate::sync) fn has_missed(checkpoint: &Checkpoint) -> bool {
    read_tally(checkpoint).missed
}

impl Tally {
    fn add(&mut self, change: &UserChange, is_full: bool) {
        if let UserChange::Present(patch) = change {
            self.present += 1;
            self.with_account += u64::from(is_readable(&patch.account_enabled, is_full));
            self.with_plans += u64::from(is_readable(&patch.usable_plans, is_full));
        }
    }

    /// What makes a round that ended so no evidence.
    fn doubt(self, is_full: bool) -> Option<&'static str> {
        if self.present > 0 && self.with_account == 0 {
            Some(
                "users come without accountEnabled: grant the application permission User.Read.All and \
                 give admin consent",
            )
        } else if self.plans_vanished(is_full) {
            Some("licences: no user that was listed has its plans any more")
        } else {
            None
        }
    }

    /// Whether what a full round told leaves nothing to be suspected.
    fn is_whole(self) -> bool {
        self.with_account > 0 && self.with_plans > 0 && self.unreadable == 0
    }

    /// The plans of everybody vanished at once: a withdrawn permission looks like that, not a change of licences.
    fn plans_vanished(self, is_full: bool) -> bool {
        let enough = if is_full {
            self.had_plans
        } else {
            self.present >= ALL_MISSING_COUNTS_FROM
        };
        enough && self.present > 0 && self.with_plans == 0
    }
}

impl Engine {
    /// Reads the users up to the checkpoint, and answers how many entries could not be read. The problem beside it is one
    /// that judging need not wait for.
    pub(super) async fn pull_users(
        &self,
        lease: &Lease,
    ) -> Result<(Option<Problem>, Result<usize, Problem>), SyncError> {
        let result = self.follow_users(lease).await;
        let skipped = survive(SOURCE, result)?;
        if skipped.is_err() {
            return Ok((None, skipped));
        }
        let swept = self.sweep_users(lease).await;
        Ok((survive(SOURCE, swept)?.err(), skipped))
    }

    /// Follows the feed until it has nothing more to say. Answers how many entries could not be read.
    async fn follow_users(&self, lease: &Lease) -> Result<usize, PullError> {
        let mut skipped = 0;
        let mut checkpoint = self.read_checkpoint(SOURCE).await?;
        if checkpoint.phase != Phase::Full && checkpoint.fingerprint != SELECTION_FINGERPRINT {
            tracing::info!("the selection of user properties has changed: beginning a full round");
            begin_round(&mut checkpoint);
        }
        let mut restarts = 0;
        let mut is_first = true;
        let mut feed = self.users_feed(&checkpoint);
        loop {
            self.check_cancelled()?;
            let page = match feed.next().await {
                Ok(page) => page,
                Err(GraphError::LinkExpired { cause, .. }) if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    self.fall_back(lease, &mut checkpoint, cause).await?;
                    feed = self.users_feed(&checkpoint);
                    continue;
                }
                Err(error) => {
                    if is_first && error.is_bad_answer() && checkpoint.next_link.is_some() {
                        // Resumed at this page and failed again: the next run begins the round anew.
                        checkpoint.next_link = None;
                        self.write_checkpoint(lease, &checkpoint).await?;
                    }
                    return Err(error.into());
                }
            };
            is_first = false;
            skipped += page.unreadable.len();
            for problem in &page.unreadable {
                tracing::warn!(problem, "skipping an entry of users/delta");
            }
            let ended = matches!(page.next, Next::Delta(_));
            checkpoint = self
                .retry(|| self.store_users(lease, checkpoint.clone(), page.clone()))
                .await?;
            if ended {
                return Ok(skipped);
            }
        }
    }

    /// The feed from where its checkpoint stands.
    fn users_feed(&self, checkpoint: &Checkpoint) -> Feed<UserChange> {
        let at = checkpoint.next_link.clone().or_else(|| match checkpoint.phase {
            Phase::Full => None,
            Phase::Sweep | Phase::Delta => checkpoint.delta_link.clone(),
        });
        let graph = self.directory();
        Feed::begin("users/delta", at, move |at| {
            let graph = graph.clone();
            async move { graph.users_delta(at.as_ref()).await }
        })
    }

    /// A link died: go back to the last delta link, or begin a full round.
    async fn fall_back(
        &self,
        lease: &Lease,
        checkpoint: &mut Checkpoint,
        cause: &'static str,
    ) -> Result<(), SyncError> {
        if checkpoint.phase != Phase::Full && checkpoint.next_link.is_some() {
            checkpoint.next_link = None;
        } else {
            tracing::info!(cause, "the link of users/delta has expired: beginning a full round");
            Metrics.resync(SOURCE, cause);
            begin_round(checkpoint);
        }
        self.write_checkpoint(lease, checkpoint).await
    }

    /// One page: its rows, who has to be judged for them, and the checkpoint that follows.
    async fn store_users(
        &self,
        lease: &Lease,
        mut checkpoint: Checkpoint,
        page: Pages<UserChange>,
    ) -> StoreResult<Checkpoint> {
        let mut tx = self.begin(lease).await?;
        let is_full = checkpoint.phase == Phase::Full;
        let mut tally: Tally = read_tally(&checkpoint);
        if is_full && checkpoint.next_link.is_none() {
            checkpoint.round = page.asked.0;
            SELECTION_FINGERPRINT.clone_into(&mut checkpoint.fingerprint);
            tally = Tally {
                // A round that was broken off has overwritten some of what it is compared with.
                had_plans: tally.had_plans || mirror::any_plans(&mut tx).await?,
                ..Tally::default()
            };
        } else if checkpoint.next_link.is_none() {
            tally = Tally {
                missed: tally.missed,
                ..Tally::default()
            };
        }
        tally.unreadable += page.unreadable.len() as u64;
        tally.missed |= !is_full && tally.unreadable > 0;
        for item in &page.items {
            tally.add(&item.value, is_full);
        }
        let taken = facts::take_in(&mut tx, page.items, is_full).await?;
        recheck::add(&mut tx, &taken.older).await?;
        if !is_full {
            pending::mark(&mut tx, &self.settings.names(), &taken.changed).await?;
        }
        match page.next {
            Next::Page(link) => checkpoint.next_link = Some(link),
            Next::Delta(link) => {
                let now = self.clock.now();
                checkpoint.next_link = None;
                checkpoint.delta_link = Some(link);
                checkpoint.delta_since = Some(now);
                checkpoint.reached_at = Some(now);
                if is_full {
                    checkpoint.phase = Phase::Sweep;
                    environments::judge_everyone(&mut tx, &self.settings.names()).await?;
                }
                if let Some(doubt) = tally.doubt(is_full) {
                    checkpoint.doubt = Some(doubt.to_owned());
                } else if is_full && tally.is_whole() {
                    checkpoint.trust();
                }
                tally.had_plans = false;
            }
            Next::End => return Err(StoreError::Conflict),
        }
        checkpoint.value = Some(serde_json::json!(tally));
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(checkpoint)
    }

    /// After a full round: whoever was not listed is soft-deleted or gone. If deletedItems cannot be read,
    /// nobody is.
    async fn sweep_users(&self, lease: &Lease) -> Result<(), PullError> {
        let mut checkpoint = self.read_checkpoint(SOURCE).await?;
        if checkpoint.phase != Phase::Sweep {
            return Ok(());
        }
        let deleted = self.directory().deleted_users().await?;

        let mut tx = self.begin(lease).await?;
        let (listed, present) = mirror::count_seen(&mut tx, checkpoint.round).await?;
        // Whoever is missing may be one of those who could not be read; the next run asks.
        let is_whole = read_tally(&checkpoint).unreadable == 0 && deleted.unreadable == 0;
        let swept = mirror::sweep(&mut tx, checkpoint.round, &deleted.items, is_whole).await?;
        if is_whole && listed == 0 && present > 0 {
            checkpoint.doubt = Some(format!(
                "users: the directory listed nobody, where there had been {present}"
            ));
        }
        if swept > 0 {
            environments::judge_everyone(&mut tx, &self.settings.names()).await?;
            tracing::info!(swept, "users that a full round did not list");
        }
        checkpoint.phase = Phase::Delta;
        checkpoints::write(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::sync) async fn read_checkpoint(&self, source: &str) -> Result<Checkpoint, SyncError> {
        let mut db = self.store.read().await?;
        Ok(checkpoints::read(&mut db, source).await?)
    }

    pub(super) async fn write_checkpoint(&self, lease: &Lease, checkpoint: &Checkpoint) -> Result<(), SyncError> {
        let mut tx = self.begin(lease).await?;
        checkpoints::write(&mut tx, checkpoint).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn begin_round(checkpoint: &mut Checkpoint) {
    checkpoint.phase = Phase::Full;
    checkpoint.next_link = None;
}

fn read_tally(checkpoint: &Checkpoint) -> Tally {
    checkpoint
        .value
        .clone()
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

/// Whether a property that every user has was told, or is known from before.
fn is_readable<T>(patch: &Patch<T>, is_full: bool) -> bool {
    match patch {
        // Of one value that cannot be decoded the user's own finding tells.
        Patch::Value(_) | Patch::Undecodable => true,
        Patch::Null => false,
        Patch::Absent => !is_full,
    }
}
