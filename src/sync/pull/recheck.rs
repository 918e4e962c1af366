//! Users of whom an earlier run dropped something as older than what was known: asked for again, since what was known may
//! have come from a replica that lags.

use uuid::Uuid;

use super::Problem;
use crate::domain::feed::Asked;
use crate::store::lease::Lease;
use crate::store::recheck;
use crate::sync::on_demand::Fresh;
use crate::sync::{Engine, SyncError};

/// How many are asked for and noted together.
const TOGETHER: usize = 200;

impl Engine {
    /// Whom earlier runs have put on the list.
    pub(super) async fn recheck_list(&self) -> Result<Vec<Asked<Uuid>>, SyncError> {
        let mut db = self.store.read().await?;
        Ok(recheck::all(&mut db).await?)
    }

    /// Asks for everybody on the list. Whoever gets no answer stays on it.
    pub(super) async fn recheck(&self, lease: &Lease, list: &[Asked<Uuid>]) -> Result<Option<Problem>, SyncError> {
        for users in list.chunks(TOGETHER) {
            self.check_cancelled()?;
            let ids: Vec<Uuid> = users.iter().map(|user| user.value).collect();
            let answers = self.look_up_ids(&self.directory(), &ids).await?;
            let is_answered = |fresh: &Fresh| match fresh {
                Fresh::User(_, unasked) => !unasked.roles,
                fresh => matches!(fresh, Fresh::Nobody),
            };
            let answered = users.iter().zip(&answers.fresh);
            let answered: Vec<Asked<Uuid>> = answered
                .filter(|(_, fresh)| is_answered(fresh))
                .map(|(user, _)| *user)
                .collect();
            let mut tx = self.begin(lease).await?;
            recheck::settle(&mut tx, &answered).await?;
            tx.commit().await?;
            if let Some(outage) = answers.outage {
                return Ok(Some(Problem::new("users", outage)));
            }
        }
        Ok(None)
    }
}
