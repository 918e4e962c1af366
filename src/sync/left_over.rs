//! Environments that this configuration lacks (rules.md, section 11). Nobody tells them what changes, so they are judged
//! whole when they are back; until then every run says what they leave.

use tracing::warn;

use super::batch::RunInfo;
use super::cycle::expire_sets;
use super::{Engine, SyncError};
use crate::store::environments::{self, LeftOver};
use crate::store::findings;

impl Engine {
    /// Before anything is pulled: what is not there will miss it. Held sets expire there, too.
    pub(super) async fn set_aside(&self, run: RunInfo<'_>, left_over: &[LeftOver]) -> Result<(), SyncError> {
        for left in left_over {
            warn!(
                environment = left.environment,
                enabled = left.enabled,
                held = left.held,
                "an environment is left over: configure it again, or take leave of it with `rollcall environment retire`"
            );
        }
        let mut tx = self.begin(run.lease).await?;
        let away = environments::others(&mut tx, &self.settings.names()).await?;
        environments::set_aside(&mut tx, &away).await?;
        for name in &away {
            expire_sets(&mut tx, name, run).await?;
        }
        findings::reconcile_left_over(&mut tx, left_over, run.run_id, run.now).await?;
        tx.commit().await?;
        Ok(())
    }
}
