//! The sweep: after a round of users, whoever it did not list is looked for in deletedItems, then by name.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::population::Reach;
use super::{PullError, Puller};
use crate::domain::feed::Asked;
use crate::domain::feed::checkpoint::{Checkpoint, Input};
use crate::store::lease::Lease;
use crate::store::population::{self, Population};
use crate::store::{answers, checkpoints, mirror, pending, recheck};
use crate::sync::Failure;

/// The number of users that one transaction of a sweep looks at.
const SWEPT_TOGETHER: usize = 2000;

/// The number of users looked up for a doubtful listing, which is read again.
const MOST_IN_DOUBT: usize = 1000;

impl Puller {
    /// After a full round: users whom it did not list are soft-deleted if deletedItems has them. Returns the others, and
    /// the users who are both listed and deleted: only a look-up can tell. If deletedItems cannot be read, the next run
    /// tries again. A crash between two parts repeats the sweep, with deletedItems as it is then.
    pub(super) async fn sweep_users(
        &self,
        lease: &Lease,
        population: Option<&Population>,
        mut checkpoint: Checkpoint,
    ) -> Result<Vec<Asked<Uuid>>, PullError> {
        let round = checkpoint.round;
        if let Some(population) = population {
            // A walk lists only who exists.
            self.fetch_lacking(lease, population, Reach::Whole(round)).await?;
        }
        let deleted = self.directory().deleted_users().await?;
        if checkpoint.seen.had.is_none() {
            checkpoint = self.count_users(lease, checkpoint).await?;
        }
        let together = self.base.batch_size(SWEPT_TOGETHER);
        let mut unsure = Vec::new();
        for part in deleted.items.chunks(together) {
            let mut tx = self.base.begin(lease).await?;
            match population {
                Some(population) => {
                    let ids: Vec<Uuid> = part.iter().map(|user| user.id).collect();
                    population::note_deleted(&mut tx, &ids, population.now).await?;
                }
                None => mirror::note_deleted(&mut tx, round, part).await?,
            }
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
                answers::note(&mut tx, &BTreeSet::from([round]), false, self.base.clock.now()).await?;
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
}
