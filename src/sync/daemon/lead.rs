//! Who leads: one process at a time makes runs, the others wait for its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::Configured;
use crate::error::chain;
use crate::store::lease::{self, LeadAttempt, Lease};
use crate::store::{Store, StoreError, serving};
use crate::sync::cycle::{Report, Request};
use crate::sync::{Base, CycleError, Engine};

/// How often a process says which environments it serves, so that one answer may be missed.
const ANNOUNCE: Duration = Duration::from_secs(10);

/// What became of a try to lead.
#[derive(Debug)]
pub enum Led<T> {
    /// This process led, and what it did meanwhile.
    Done(T),
    /// Another one leads.
    Elsewhere {
        /// It is a daemon, which takes requests.
        by_daemon: bool,
        /// When its lease runs out, unless it renews it.
        runs_out_in: Duration,
    },
}

/// Leads while `work` works: gets the lease, renews it on a connection of its own, for the pool's may all wait for locks,
/// and hands it over as well as it goes.
///
/// # Errors
/// When the database fails before anything was done.
pub async fn with_lease<T, F>(
    base: &Base,
    holder: &str,
    is_daemon: bool,
    work: impl FnOnce(Lease) -> F,
) -> Result<Led<T>, StoreError>
where
    F: Future<Output = T>,
{
    let attempt = {
        let mut db = base.store.read().await?;
        lease::acquire(&mut db, holder, is_daemon).await?
    };
    let lease = match attempt {
        LeadAttempt::Leading(lease) => lease,
        LeadAttempt::Held { by_daemon, runs_out_in } => return Ok(Led::Elsewhere { by_daemon, runs_out_in }),
    };
    let renewal = keep_renewing(base, &lease);
    let done = work(lease.clone()).await;
    drop(renewal);
    if let Ok(mut db) = base.store.read().await {
        let _ = lease::release(&mut db, &lease).await;
    }
    Ok(Led::Done(done))
}

/// Makes one run in the foreground, if nobody else leads.
///
/// # Errors
/// When the run breaks off.
pub async fn run_once(engine: &Engine, holder: &str, request: &Request) -> Result<Led<Report>, CycleError> {
    let base = engine.base();
    let led = with_lease(&base, holder, false, async |lease| {
        announce(&base, holder).await?;
        let (_unchanged, configured) = watch::channel(Arc::new(Configured {
            engine: engine.clone(),
            interval: Duration::ZERO,
        }));
        let announcing = keep_announcing(configured, holder.to_owned());
        let result = engine.cycle().run(&lease, request, async |_| {}).await;
        drop(announcing);
        serve_nothing(&base, holder).await;
        result
    });
    match led.await? {
        Led::Done(result) => result.map(Led::Done),
        Led::Elsewhere { by_daemon, runs_out_in } => Ok(Led::Elsewhere { by_daemon, runs_out_in }),
    }
}

/// Keeps a lease alive until it is dropped.
pub fn keep_renewing(base: &Base, lease: &Lease) -> AbortOnDropHandle<()> {
    let (store, clock, lease) = (base.store.apart(), base.clock.clone(), lease.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            clock.sleep(lease.renewed_every()).await;
            if let Err(error) = renew(&store, &lease).await {
                warn!(error = %chain(&error), "the lease could not be renewed");
                if matches!(error, StoreError::LeaseLost) {
                    return;
                }
            }
        }
    }))
}

async fn renew(store: &Store, lease: &Lease) -> Result<(), StoreError> {
    let mut db = store.read().await?;
    lease::renew(&mut db, lease).await
}

/// Says which environments a process serves: nobody takes leave of those.
///
/// # Errors
/// When the database fails.
pub async fn announce(base: &Base, holder: &str) -> Result<(), StoreError> {
    let mut db = base.store.read().await?;
    serving::announce(&mut db, holder, &base.settings.names()).await
}

/// Says so again and again until it is dropped, and at once when the configuration is another one.
pub fn keep_announcing(configured: watch::Receiver<Arc<Configured>>, holder: String) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut configured = configured;
        loop {
            let base = configured.borrow_and_update().engine.base();
            if let Err(error) = announce(&base, &holder).await {
                debug!(error = %chain(&error), "the environments that are served could not be announced");
            }
            tokio::select! {
                () = base.clock.sleep(ANNOUNCE) => {}
                changed = configured.changed() => if changed.is_err() { base.clock.sleep(ANNOUNCE).await; },
            }
        }
    }))
}

/// Serves nothing any more, as well as it goes: it would be forgotten anyway.
pub async fn serve_nothing(base: &Base, holder: &str) {
    if let Ok(mut db) = base.store.read().await {
        let _ = serving::announce(&mut db, holder, &[]).await;
    }
}
