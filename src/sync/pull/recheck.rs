//! Rechecks users by name: those about whom an earlier run dropped a fact as older than the known one, since that may
//! have come from a lagging replica; those with data that could not be decoded; and those missing from a listing with
//! unreadable entries.

use uuid::Uuid;

use super::LookUpResult;
use super::Problem;
use super::Puller;
use crate::domain::feed::Asked;
use crate::domain::feed::checkpoint::Input;
use crate::domain::source::Source;
use crate::store::lease::Lease;
use crate::store::{checkpoints, mirror, recheck};
use crate::sync::Failure;

/// The maximum number of users that a run rechecks: more take a minute of requests, and a full round lists as many in
/// one page.
const MOST_ASKED_FOR: i64 = 1000;

/// The number of users requested and recorded together.
const TOGETHER: usize = 200;

impl Puller {
    /// The users that earlier runs put on the list, up to the limit of one run. If more than that cannot be decoded, a
    /// full round is the shorter way to all of them.
    pub(super) async fn recheck_list(&self, lease: &Lease) -> Result<Vec<Asked<Uuid>>, Failure> {
        let list = {
            let mut db = self.base.store.read().await?;
            recheck::first(&mut db, self.base.clock.now(), MOST_ASKED_FOR).await?
        };
        if i64::try_from(list.len()) == Ok(MOST_ASKED_FOR) {
            let mut tx = self.base.begin(lease).await?;
            if mirror::count_undecodable(&mut tx).await? >= MOST_ASKED_FOR {
                let users = checkpoints::read(&mut tx, Source::Users).await?;
                checkpoints::step(&mut tx, users, Input::RenewUnlessUnderWay).await?;
            }
            tx.commit().await?;
        }
        Ok(list)
    }

    /// Requests everyone on the list. A user without an answer stays on it.
    pub(super) async fn recheck(&self, lease: &Lease, list: &[Asked<Uuid>]) -> Result<Option<Problem>, Failure> {
        for users in list.chunks(TOGETHER) {
            self.base.check_cancelled()?;
            let ids: Vec<Uuid> = users.iter().map(|user| user.value).collect();
            let answers = self.look_up_ids(&self.directory(), &ids).await?;
            let is_answered = |fresh: &LookUpResult| match fresh {
                LookUpResult::User(_, unasked) => !unasked.roles,
                fresh => matches!(fresh, LookUpResult::Nobody),
            };
            let answered = users.iter().zip(&answers.fresh);
            let answered: Vec<Asked<Uuid>> = answered
                .filter(|(_, fresh)| is_answered(fresh))
                .map(|(user, _)| *user)
                .collect();
            let mut tx = self.base.begin(lease).await?;
            recheck::settle(&mut tx, &answered, self.base.clock.now()).await?;
            tx.commit().await?;
            if let Some(outage) = answers.outage {
                return Ok(Some(Problem::new(Source::Users, outage)));
            }
        }
        Ok(None)
    }
}
