//! The primary is lost and its replica promoted, under a run and under a daemon at work.
//!
//! `pair` is the two servers. What they may lose together, and what not: a commit that was answered is lost where
//! replication is asynchronous, and never where it is synchronous; what the directory says is never lost for good.

mod daemon;
mod pair;

use std::sync::Arc;
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use rollcall::store::lease::Attempt;
use rollcall::store::{Store, StoreError};
use rollcall::sync::cycle::Request;
use rollcall::sync::{Engine, Outcome, SyncError, schedule};
use tokio_util::sync::CancellationToken;

use self::pair::Pair;
use crate::daemon::eventually;
use crate::ending::ask;
use crate::world::{NO_LIMITS, graph, open_environment, settings};

/// Long enough for a replica to be promoted.
const A_SLOW_PAGE: Duration = Duration::from_secs(4);

/// A run that waits for Graph while the database changes hands notices nothing by itself: all its connections are
/// idle, and new ones are made. What it remembers of pages that the replica has never seen must not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_does_not_go_on_behind_commits_that_the_new_primary_has_never_seen() {
    let Some(pair) = Pair::start().await else { return };
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(Settings {
        users: 100,
        page_size: 20,
        ..Settings::default()
    })
    .unwrap();
    let store = Store::connect(pair.front.url(), 5).await.unwrap();
    store.migrate().await.unwrap();
    let engine = Engine {
        graph: graph(&simulator, Clock::system()),
        store,
        clock: Clock::system(),
        settings: Arc::new(settings(vec![open_environment("production")], NO_LIMITS)),
        cancel: CancellationToken::new(),
        desk: Arc::default(),
    };
    let Attempt::Leading(lease) = schedule::try_lead(&engine, "test", true).await.unwrap() else {
        panic!("nobody else leads");
    };
    let slow = When::path("/users/delta").after(3);
    simulator.faults().push(Fault::once(slow, Effect::Delay(A_SLOW_PAGE)));
    let request = Request::default();
    let run = engine.run(&lease, &request, async |_| {
        pair.catch_up().await;
        pair.cut_off_replica();
    });
    let failover = async {
        let stored = "select count(*) from rollcall.directory_user";
        let three_pages = eventually(async || ask(&pair.primary_url(), stored).await >= 60).await;
        assert!(three_pages && simulator.faults().pending() == 0);
        pair.lose_primary().await;
        pair.promote().await;
        assert_eq!(
            ask(&pair.replica_url(), stored).await,
            0,
            "the replica has not seen them"
        );
    };
    let (result, ()) = tokio::join!(run, failover);
    assert!(
        matches!(result, Err(SyncError::Store(StoreError::ServerReplaced))),
        "{result:?}"
    );

    // Whoever led goes on at once.
    let Attempt::Leading(lease) = schedule::try_lead(&engine, "test", true).await.unwrap() else {
        panic!("nobody else leads");
    };
    let report = engine.run(&lease, &request, async |_| {}).await.unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
    let users = "select count(*) from rollcall.directory_user where state = 0";
    assert_eq!(ask(&pair.replica_url(), users).await, 100);
    engine.store.close().await;
    pair.bring_back_primary().await.end().await;
}
