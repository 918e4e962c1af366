//! `subscribedSkus`: whether the tenant has a Marketing licence.

use super::Puller;
use super::{Problem, PullError, survive};
use crate::domain::doubt::Doubt;
use crate::domain::feed::Listed;
use crate::domain::licence::Category;
use crate::domain::source::Source;
use crate::store::lease::Lease;
use crate::store::{checkpoints, environments};
use crate::sync::Failure;

const SOURCE: Source = Source::Skus;

impl Puller {
    /// Reads the tenant's SKUs. Returns whether there is a Marketing licence: by the configuration, by this
    /// reading, or by the last one that succeeded.
    /// A problem explains why the last reading is used; skipped entries are counted.
    pub(super) async fn pull_skus(&self, lease: &Lease) -> Result<(bool, Result<usize, Problem>), Failure> {
        if let Some(marketing) = self.base.settings.tenant_marketing {
            return Ok((marketing, Ok(0)));
        }
        let result = self.read_skus(lease).await;
        match survive(SOURCE, result)? {
            Ok((marketing, unreadable)) => Ok((marketing, Ok(unreadable))),
            Err(problem) => {
                let known = self.read_checkpoint(SOURCE).await?.value;
                Ok((known == Some(true.into()), Err(problem)))
            }
        }
    }

    async fn read_skus(&self, lease: &Lease) -> Result<(bool, usize), PullError> {
        let Listed {
            items: skus,
            unreadable,
        } = self.directory().subscribed_skus().await?;
        let mut marketing = skus.iter().filter(|sku| sku.usable).any(|sku| {
            sku.plans
                .iter()
                .any(|(plan, _)| self.base.settings.catalogue.category(*plan) == Category::Marketing)
        });
        let mut tx = self.base.begin(lease).await?;
        let mut checkpoint = checkpoints::read(&mut tx, SOURCE).await?;
        // It may be among the unreadable entries.
        marketing |= unreadable > 0 && checkpoint.value == Some(true.into());
        if skus.iter().any(|sku| !sku.plans.is_empty()) {
            checkpoint.trust();
        } else if checkpoint.value == Some(true.into()) {
            checkpoint.doubt = Some(Doubt::NoProduct {});
        }
        if checkpoint
            .value
            .as_ref()
            .is_some_and(|known| *known != serde_json::json!(marketing))
        {
            environments::judge_everyone(&mut tx, &self.base.settings.names()).await?;
        }
        checkpoint.value = Some(marketing.into());
        checkpoint.reached_at = Some(self.base.clock.now());
        checkpoints::write(&mut tx, &[checkpoint]).await?;
        tx.commit().await?;
        Ok((marketing, unreadable))
    }
}
