//! What people see of webhooks, and what they may do about lines that are given up.

use super::{Base, Failure};
use crate::domain::webhook::WebhookStatus;
use crate::store::webhooks;

/// Lists and replays.
#[derive(Clone)]
pub struct Webhooks {
    base: Base,
}

impl Webhooks {
    /// Over a migrated database.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self { base }
    }

    /// What is known of each webhook. One that is configured and missing here has not been begun by a daemon yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<WebhookStatus>, Failure> {
        Ok(webhooks::list(&mut self.base.store.read().await?).await?)
    }

    /// Gives the lines that a webhook has given up another day; the leader tries them at once. Returns their number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay(&self, name: &str) -> Result<u64, Failure> {
        let now = self.base.clock.now();
        Ok(webhooks::replay(&mut self.base.store.read().await?, name, now).await?)
    }
}
