//! `subscribedSkus`: whether the tenant has a Marketing licence, and whether the state of a product has changed.

use std::collections::BTreeSet;

use ring::digest;

use super::Puller;
use super::{Problem, PullError, survive};
use crate::domain::doubt::Doubt;
use crate::domain::feed::checkpoint::Checkpoint;
use crate::domain::feed::{Listed, SubscribedSku};
use crate::domain::licence::Category;
use crate::domain::source::Source;
use crate::store::lease::Lease;
use crate::store::{checkpoints, environments};
use crate::sync::Failure;

const SOURCE: Source = Source::Skus;

/// The result of reading the SKUs.
pub(super) struct SkusPull {
    /// Whether there is a Marketing licence: by the configuration, by this reading, or by the last one that succeeded.
    pub marketing: bool,
    /// How many entries were skipped, or why the last reading is used.
    pub read: Result<usize, Problem>,
    /// The state of the products, if it has changed: plans of users may have changed with it.
    pub changed: Option<String>,
}

/// The state of products, to compare: their status and units. How many units are in use does not matter.
fn state_of(skus: &[SubscribedSku]) -> String {
    let states: BTreeSet<String> = skus
        .iter()
        .map(|sku| format!("{} {} {:?}", sku.sku_id, sku.status, sku.units))
        .collect();
    let mut context = digest::Context::new(&digest::SHA256);
    for state in states {
        context.update(state.as_bytes());
    }
    let hash: Vec<String> = context
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hash.concat()
}

impl Puller {
    /// Reads the tenant's SKUs.
    pub(super) async fn pull_skus(&self, lease: &Lease) -> Result<SkusPull, Failure> {
        if let Some(marketing) = self.base.settings.tenant_marketing {
            return Ok(SkusPull {
                marketing,
                read: Ok(0),
                changed: None,
            });
        }
        let result = self.read_skus(lease).await;
        match survive(SOURCE, result)? {
            Ok(pull) => Ok(pull),
            Err(problem) => {
                let known = self.read_checkpoint(SOURCE).await?.value;
                Ok(SkusPull {
                    marketing: known == Some(true.into()),
                    read: Err(problem),
                    changed: None,
                })
            }
        }
    }

    /// After the state of the products has changed: every feed is to be verified. The state counts as known from then on.
    pub(super) async fn verify_for_skus(&self, lease: &Lease, state: String) -> Result<(), Failure> {
        let mut tx = self.base.begin(lease).await?;
        checkpoints::verify_all(&mut tx).await?;
        let known = checkpoints::read(&mut tx, SOURCE).await?;
        let known = Checkpoint {
            selection: state,
            ..known
        };
        checkpoints::write(&mut tx, &[known]).await?;
        Ok(tx.commit().await?)
    }

    async fn read_skus(&self, lease: &Lease) -> Result<SkusPull, PullError> {
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
        let state = state_of(&skus);
        let is_known = !checkpoint.selection.is_empty();
        let changed = (is_known && unreadable == 0 && checkpoint.selection != state).then(|| state.clone());
        if !is_known && unreadable == 0 {
            checkpoint.selection = state;
        }
        checkpoint.value = Some(marketing.into());
        checkpoint.reached_at = Some(self.base.clock.now());
        checkpoints::write(&mut tx, &[checkpoint]).await?;
        tx.commit().await?;
        Ok(SkusPull {
            marketing,
            read: Ok(unreadable),
            changed,
        })
    }
}
