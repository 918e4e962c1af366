//! Keeps the subscription to change notifications, beside the cycles: created, renewed at half time, created again if the
//! directory has lost it, and removed if it is no longer configured. Only the leader does this. Without notifications the
//! runs find everything as well, later.

use std::sync::Arc;

use chrono::TimeDelta;
use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{AFTER_ANOTHER, Configured};
use crate::domain::notifications::Notifications;
use crate::error::chain;
use crate::graph::{Graph, GraphError};
use crate::store::notifications::{self, Known};
use crate::sync::{Base, Failure};
use crate::telemetry::metrics::Metrics;

/// What is subscribed to.
const RESOURCE: &str = "users";

/// The life of a subscription: the service allows a little less than 29 days.
const LIFE: TimeDelta = TimeDelta::days(28);

/// How long the handshake is answered once a creation begins: the service waits 10 s for each of two.
const PENDING_FOR: TimeDelta = TimeDelta::seconds(60);

/// Why there is no subscription now.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The database failed, or the daemon is stopping.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The directory refused.
    #[error("subscribe to changes")]
    Graph(#[from] GraphError),
}

impl From<crate::store::StoreError> for SubscriptionError {
    fn from(error: crate::store::StoreError) -> Self {
        Failure::from(error).into()
    }
}

/// Looks after the subscription until the handle is dropped.
pub fn keep_subscribed(mut configured: watch::Receiver<Arc<Configured>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = configured.borrow_and_update().clone();
            let (base, graph) = (now.engine.base(), &now.engine.graph);
            if let Err(error) = keep(&base, graph, now.notifications.as_ref()).await {
                warn!(error = %chain(&error), "there is no subscription to changes now; trying again");
            }
            tokio::select! {
                () = base.clock.sleep(AFTER_ANOTHER) => {}
                changed = configured.changed() => if changed.is_err() { return },
            }
        }
    }))
}

/// Brings the subscription to what is configured, once.
///
/// # Errors
/// When the directory refuses or does not answer, or the database fails.
pub async fn keep(base: &Base, graph: &Graph, wanted: Option<&Notifications>) -> Result<(), SubscriptionError> {
    let known = notifications::find(&mut base.store.read().await?, RESOURCE).await?;
    let url = wanted.map(|wanted| wanted.public_url.as_str());
    let known = match known {
        Some(known) if url != Some(known.url.as_str()) => {
            remove(base, graph, &known).await?;
            None
        }
        known => known,
    };
    let Some(url) = url else { return Ok(()) };
    let now = base.clock.now();
    let living = known.filter(|known| known.expires_at.is_some_and(|end| end > now));
    match living.and_then(|known| Some((known.id?, known.renew_at?, known.expires_at?))) {
        Some((_, renew_at, expires_at)) if renew_at > now => {
            Metrics.subscription_expires(expires_at);
            Ok(())
        }
        Some((id, ..)) => match graph.renew_subscription(id, now + LIFE).await {
            Ok(renewed) => settle(base, &renewed).await,
            Err(GraphError::NotFound { .. }) => {
                warn!("the directory has lost the subscription; creating another");
                create(base, graph, url).await
            }
            Err(error) => Err(error.into()),
        },
        None => create(base, graph, url).await,
    }
}

async fn create(base: &Base, graph: &Graph, url: &str) -> Result<(), SubscriptionError> {
    let bits: [u8; 32] = rand::random();
    let secret = bits
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let now = base.clock.now();
    let hash = digest(&SHA256, secret.as_bytes());
    let mut db = base.store.read().await?;
    notifications::begin(&mut db, RESOURCE, url, hash.as_ref(), now + PENDING_FOR).await?;
    drop(db);
    let created = graph.create_subscription(RESOURCE, url, &secret, now + LIFE).await?;
    info!("the directory tells of changes from now on");
    settle(base, &created).await
}

async fn settle(base: &Base, made: &crate::domain::notifications::Subscription) -> Result<(), SubscriptionError> {
    let now = base.clock.now();
    let half = (made.expires_at - now) / 2;
    notifications::settle(&mut base.store.read().await?, RESOURCE, made, now + half).await?;
    Metrics.subscription_expires(made.expires_at);
    Ok(())
}

async fn remove(base: &Base, graph: &Graph, known: &Known) -> Result<(), SubscriptionError> {
    if let Some(id) = known.id {
        match graph.delete_subscription(id).await {
            Ok(()) | Err(GraphError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    notifications::remove(&mut base.store.read().await?, RESOURCE).await?;
    info!("the subscription to changes is removed");
    Ok(())
}
