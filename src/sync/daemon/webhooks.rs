//! Tells other programs of changes, beside the cycles: each line of the change feed that a webhook wants, in the order of
//! its row, at least once, always with the same id. Only the leader does this; a second leader would only repeat.
//!
//! A line that fails waits by itself, so that it holds up no other row, and later lines of its row wait behind it. While a
//! receiver fails, it is left alone for longer and longer; the lines that nobody has tried stay in the feed.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{AFTER_FAILURE, Configured, TICK};
use crate::domain::change_feed::{FeedFilter, FeedLine};
use crate::domain::webhook::{Webhook, is_given_up, next_attempt, paused_until};
use crate::error::chain;
use crate::store::webhooks::{self, Progress};
use crate::store::{StoreResult, Transaction, feed, findings};
use crate::sync::{Base, Failure};
use crate::telemetry::metrics::Metrics;
use crate::webhook::{DeliveryError, Sender};

/// With so many lines that fail it is the receiver, not the lines: no further line is tried, so that an outage of days
/// makes few of them go.
const MOST_FAILING: i64 = 100;

/// After so many failures in a row, a success means that the receiver is back.
const WAS_AWAY: i32 = 3;

/// The number of lines that are read at once.
const READ_AT_ONCE: i64 = 200;

/// Delivers until the handle is dropped, by the configuration as it is.
pub fn keep_delivering(mut configured: watch::Receiver<Arc<Configured>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = configured.borrow_and_update().clone();
            tokio::select! {
                () = deliver_as(&now) => return,
                changed = configured.changed() => if changed.is_err() { return },
            }
        }
    }))
}

/// Delivers by one configuration, without end.
async fn deliver_as(configured: &Configured) {
    let base = configured.engine.base();
    let sender = loop {
        match begin(&base, &configured.webhooks).await {
            Ok(sender) => break sender,
            Err(problem) => warn!(error = problem, "webhooks could not be begun; trying again"),
        }
        base.clock.sleep(AFTER_FAILURE).await;
    };
    join_all(configured.webhooks.iter().map(async |webhook| {
        loop {
            let wait = match deliver(&base, &sender, webhook).await {
                Ok(()) => TICK,
                Err(error) => {
                    warn!(webhook = webhook.name, error = %chain(&error), "changes could not be delivered; trying again");
                    AFTER_FAILURE
                }
            };
            base.clock.sleep(wait).await;
        }
    }))
    .await;
    // Without webhooks there is nothing to do until the configuration changes.
    std::future::pending::<()>().await;
}

async fn begin(base: &Base, webhooks: &[Webhook]) -> Result<Sender, String> {
    let started = start(base, webhooks).await;
    started.map_err(|error| chain(&error))?;
    Sender::new().map_err(|error| error.to_string())
}

/// Makes the configured webhooks known, and forgets the others with what they have missed.
///
/// # Errors
/// When the database fails.
pub async fn start(base: &Base, webhooks: &[Webhook]) -> Result<(), Failure> {
    let names: Vec<String> = webhooks.iter().map(|webhook| webhook.name.clone()).collect();
    let mut db = base.store.read().await?;
    for webhook in webhooks {
        webhooks::begin(&mut db, &webhook.name, webhook.from_beginning).await?;
    }
    for name in webhooks::retain(&mut db, &names).await? {
        info!(
            webhook = name,
            "a webhook is no longer configured; what it has missed is forgotten"
        );
    }
    drop(db);
    report(base).await
}

/// Delivers what is due, until nothing is or the receiver fails.
///
/// # Errors
/// When the database fails.
pub async fn deliver(base: &Base, sender: &Sender, webhook: &Webhook) -> Result<(), Failure> {
    let delivery = Delivery { base, sender, webhook };
    let mut is_changed = false;
    while let Some(progress) = delivery.progress().await? {
        let now = base.clock.now();
        let is_paused = progress.paused_until.is_some_and(|until| until > now);
        if base.cancel.is_cancelled() || is_paused || !delivery.step(&progress).await? {
            break;
        }
        is_changed = true;
    }
    if is_changed {
        report(base).await?;
    }
    Ok(())
}

struct Delivery<'a> {
    base: &'a Base,
    sender: &'a Sender,
    webhook: &'a Webhook,
}

impl Delivery<'_> {
    async fn progress(&self) -> StoreResult<Option<Progress>> {
        webhooks::progress(&mut self.base.store.read().await?, &self.webhook.name).await
    }

    /// One line that has waited, else the next lines of the feed. Returns whether there was any.
    async fn step(&self, progress: &Progress) -> Result<bool, Failure> {
        Ok(self.retry_next(progress).await? || self.read_on(progress).await?)
    }

    async fn retry_next(&self, progress: &Progress) -> Result<bool, Failure> {
        let name = &self.webhook.name;
        let (due, line) = {
            let mut db = self.base.store.read().await?;
            let Some(due) = webhooks::next_due(&mut db, name, self.base.clock.now()).await? else {
                return Ok(false);
            };
            let line = feed::read(&mut db, due.position - 1, due.position, &FeedFilter::default(), 1).await?;
            (due, line.into_iter().next())
        };
        let Some(line) = line else {
            // Nothing is left to deliver.
            webhooks::remove_waiting(&mut self.base.store.read().await?, name, due.position).await?;
            return Ok(true);
        };
        let sent = self.send(&line).await;
        let now = self.base.clock.now();
        let mut tx = self.base.begin(None).await?;
        match sent {
            Ok(()) => {
                webhooks::remove_waiting(&mut tx, name, due.position).await?;
                self.note_success(&mut tx, progress).await?;
            }
            Err(failure) => {
                let is_dead = is_given_up(due.waiting_since, now);
                let next = next_attempt(due.attempts.unsigned_abs() + 1, now);
                webhooks::retry_later(&mut tx, name, &due, next, is_dead).await?;
                if is_dead {
                    Metrics.webhook_delivery(name, "dead");
                }
                self.note_failure(&mut tx, progress, &failure).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Delivers the next lines of the feed, up to the first that fails.
    async fn read_on(&self, progress: &Progress) -> Result<bool, Failure> {
        let name = &self.webhook.name;
        if progress.failing >= MOST_FAILING {
            return Ok(false);
        }
        let (lines, until, rows_waiting) = {
            let mut db = self.base.store.read().await?;
            let end = feed::head(&mut db).await?.position;
            let until = end.min(progress.position + READ_AT_ONCE);
            if until <= progress.position {
                return Ok(false);
            }
            let lines = feed::read(&mut db, progress.position, until, &FeedFilter::default(), READ_AT_ONCE).await?;
            (lines, until, webhooks::rows_waiting(&mut db, name).await?)
        };
        for line in lines.iter().filter(|line| self.webhook.wants(line)) {
            if rows_waiting.contains(&(line.environment.clone(), line.systemuserid)) {
                let mut tx = self.base.begin(None).await?;
                let now = self.base.clock.now();
                webhooks::add_waiting(&mut tx, name, line, 0, now, now).await?;
                webhooks::advance(&mut tx, name, line.position).await?;
                tx.commit().await?;
                continue;
            }
            let sent = self.send(line).await;
            let now = self.base.clock.now();
            let mut tx = self.base.begin(None).await?;
            webhooks::advance(&mut tx, name, line.position).await?;
            match &sent {
                Ok(()) => self.note_success(&mut tx, progress).await?,
                Err(failure) => {
                    webhooks::add_waiting(&mut tx, name, line, 1, now, next_attempt(1, now)).await?;
                    self.note_failure(&mut tx, progress, failure).await?;
                }
            }
            tx.commit().await?;
            if sent.is_err() {
                return Ok(true);
            }
        }
        webhooks::advance(&mut self.base.store.read().await?, name, until).await?;
        Ok(true)
    }

    async fn send(&self, line: &FeedLine) -> Result<(), DeliveryError> {
        let message = self.webhook.message(line);
        let sent = self.sender.send(self.webhook, &message, self.base.clock.now()).await;
        let result = if sent.is_ok() { "delivered" } else { "failed" };
        Metrics.webhook_delivery(&self.webhook.name, result);
        sent
    }

    async fn note_success(&self, tx: &mut Transaction, progress: &Progress) -> StoreResult<()> {
        let now = self.base.clock.now();
        if progress.failures >= WAS_AWAY {
            webhooks::wake(tx, &self.webhook.name, now).await?;
        }
        webhooks::note_success(tx, &self.webhook.name, now).await
    }

    async fn note_failure(
        &self,
        tx: &mut Transaction,
        progress: &Progress,
        failure: &DeliveryError,
    ) -> StoreResult<()> {
        let now = self.base.clock.now();
        let until = paused_until(progress.failures.unsigned_abs() + 1, now);
        webhooks::note_failure(tx, &self.webhook.name, &failure.to_string(), now, until).await
    }
}

/// Sets the gauges, and opens or closes the findings about lines that are given up.
async fn report(base: &Base) -> Result<(), Failure> {
    let mut db = base.store.read().await?;
    let known = webhooks::list(&mut db).await?;
    for webhook in &known {
        Metrics.webhook_backlog(&webhook.name, webhook.backlog);
    }
    let dead = known.iter().filter(|webhook| webhook.dead > 0);
    let dead: Vec<(String, i64)> = dead.map(|webhook| (webhook.name.clone(), webhook.dead)).collect();
    findings::reconcile_webhooks(&mut db, &dead, base.clock.now()).await?;
    Ok(())
}
