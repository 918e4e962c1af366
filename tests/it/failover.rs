//! The primary is lost and its replica promoted, under a run and under a daemon at work.
//!
//! `pair` is the two servers. What they may lose together, and what not: a commit that was answered is lost where
//! replication is asynchronous, and never where it is synchronous; what the directory says is never lost for good.

mod daemon;
mod pair;
mod replica;

use std::sync::Arc;
use std::time::Duration;

use rollcall::clock::Clock;
use rollcall::domain::environment::{Environment, Kind};
use rollcall::domain::schema::Schema;
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use rollcall::store::lease::{self, LeadAttempt, Lease};
use rollcall::store::{Store, StoreError};
use rollcall::sync::cycle::Request;
use rollcall::sync::imports::ImportRequest;
use rollcall::sync::{CycleError, Engine, Failure, Progress, RunOutcome};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use self::pair::Pair;
use crate::daemon::eventually;
use crate::ending::{ask, execute};
use crate::world::{NO_LIMITS, graph, settings};

/// Long enough for a replica to be promoted.
const A_SLOW_ANSWER: Duration = Duration::from_secs(4);
/// The same of every answer.
const LATENCY: Duration = Duration::from_secs(2);

const ENV: &str = "production";

/// A directory of a hundred, and an engine before the two servers.
async fn stage(pair: &Pair) -> (Simulator, Engine) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(Settings {
        users: 100,
        page_size: 20,
        listing_page_size: 20,
        ..Settings::default()
    })
    .unwrap();
    let store = Store::connect(pair.front.url(), &Schema::default(), 5).await.unwrap();
    store.migrate().await.unwrap();
    // Nobody but an import makes rows here.
    let mut settings = settings(vec![Environment::new(ENV, Kind::Trial)], NO_LIMITS);
    settings.max_batch = 20;
    let engine = Engine {
        graph: graph(&simulator, Clock::system()),
        store,
        clock: Clock::system(),
        settings: Arc::new(settings),
        cancel: CancellationToken::new(),
        memory: Arc::default(),
        progress: Progress::default(),
    };
    (simulator, engine)
}

async fn lead(engine: &Engine, holder: &str) -> Option<Lease> {
    match crate::world::try_lead(engine, holder, true).await {
        LeadAttempt::Leading(lease) => Some(lease),
        LeadAttempt::Held { .. } => None,
    }
}

/// A run that waits for Graph while the database changes hands notices nothing by itself: all its connections are
/// idle, and new ones are made. What it remembers of pages that the replica has never seen must not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_does_not_go_on_behind_commits_that_the_new_primary_has_never_seen() {
    let Some(pair) = Pair::start().await else { return };
    let (simulator, engine) = stage(&pair).await;
    let first = lead(&engine, "first").await.unwrap();
    let slow = When::endpoint("/users").after(3);
    simulator.faults().push(Fault::once(slow, Effect::Delay(A_SLOW_ANSWER)));
    let request = Request::default();
    let cycle = engine.cycle();
    let run = cycle.run(&first, &request, async |_| {
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
        matches!(
            result,
            Err(CycleError::Failed(Failure::Store(StoreError::ServerReplaced)))
        ),
        "{result:?}"
    );

    // Whoever led goes on at once.
    let again = lead(&engine, "first").await.unwrap();
    let report = engine.cycle().run(&again, &request, async |_| {}).await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Complete);
    let users = "select count(*) from rollcall.directory_user where state = 0";
    assert_eq!(ask(&pair.replica_url(), users).await, 100);
    engine.store.close().await;
    pair.bring_back_primary().await.end().await;
}

/// The same for an import that walks over everybody: on the new primary it has not come as far as its worker thinks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_does_not_go_on_behind_batches_that_the_new_primary_has_never_seen() {
    let Some(pair) = Pair::start().await else { return };
    let (simulator, engine) = stage(&pair).await;
    let first = lead(&engine, "first").await.unwrap();
    engine
        .cycle()
        .run(&first, &Request::default(), async |_| {})
        .await
        .unwrap();
    let mut db = PgConnection::connect(&pair.primary_url()).await.unwrap();
    // An old mirror, so that the directory is asked about each batch.
    let old = "update rollcall.checkpoint set reached_at = reached_at - interval '2 hours'";
    execute(&mut db, old).await;
    let everybody = ImportRequest {
        all: true,
        ..ImportRequest::new(ENV, "USMF")
    };
    engine.imports().submit_import(&everybody, "grace").await.unwrap();
    simulator.configure(|settings| settings.latency = LATENCY);
    let claimed = "select count(*) from rollcall.import_job where state = 'running'";
    let done = "select count(*) from rollcall.import_item where state <> 'waiting'";
    let failover = async {
        // The replica knows of the claim, but of no batch.
        assert!(eventually(async || ask(&pair.primary_url(), claimed).await == 1).await);
        pair.catch_up().await;
        pair.cut_off_replica();
        assert!(eventually(async || ask(&pair.primary_url(), done).await == 20).await);
        pair.lose_primary().await;
        pair.promote().await;
        assert_eq!(ask(&pair.replica_url(), done).await, 0, "the replica has not seen them");
    };
    let imports = engine.imports();
    let (worked, ()) = tokio::join!(imports.run_next_import("worker"), failover);
    // On a busy machine the worker may have wanted the database while there was none.
    let was_away = matches!(&worked, Err(error) if error.failure().and_then(Failure::store).is_some_and(StoreError::is_unavailable));
    assert!(worked.is_ok() || was_away, "{worked:?}");
    assert_eq!(ask(&pair.replica_url(), done).await, 0, "the worker has lost its claim");

    simulator.configure(|settings| settings.latency = Duration::ZERO);
    let mut db = PgConnection::connect(&pair.replica_url()).await.unwrap();
    execute(&mut db, "update rollcall.import_job set claim_expires_at = '-infinity'").await;
    engine.imports().run_next_import("worker").await.unwrap();
    assert_eq!(ask(&pair.replica_url(), done).await, 100);
    let ended = "select count(*) from rollcall.import_job where state = 'ended' and total = 100";
    assert_eq!(ask(&pair.replica_url(), ended).await, 1);
    engine.store.close().await;
    pair.bring_back_primary().await.end().await;
}

/// On a replica that was left behind, fencing numbers go back: the next leader there may be given the number of
/// somebody who led on the old primary. Neither that one nor whoever led before is taken for the leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_the_old_primary_is_worth_nothing_on_the_new_one_even_if_its_number_comes_again() {
    let Some(pair) = Pair::start().await else { return };
    let (_simulator, engine) = stage(&pair).await;
    let check = async |lease: &Lease| {
        let mut tx = engine.store.begin().await.unwrap();
        lease::check(&mut tx, lease).await
    };
    let run_out = "update rollcall.lease set expires_at = '-infinity'";
    let first = lead(&engine, "first").await.unwrap();
    // However long the replica takes to become the primary.
    let lasting = "update rollcall.lease set expires_at = now() + interval '1 hour'";
    execute(&mut PgConnection::connect(&pair.primary_url()).await.unwrap(), lasting).await;
    pair.catch_up().await;
    pair.cut_off_replica();
    execute(&mut PgConnection::connect(&pair.primary_url()).await.unwrap(), run_out).await;
    let second = lead(&engine, "second").await.unwrap();
    assert!(check(&second).await.is_ok());
    assert!(matches!(check(&first).await, Err(StoreError::LeaseLost)));

    pair.lose_primary().await;
    pair.promote().await;
    assert!(eventually(async || engine.store.ping().await.is_ok()).await);
    // The new primary takes the first one for the leader, and has never heard of the second.
    for old in [&first, &second] {
        assert!(matches!(check(old).await, Err(StoreError::ServerReplaced)));
    }
    assert!(lead(&engine, "second").await.is_none());
    execute(&mut PgConnection::connect(&pair.replica_url()).await.unwrap(), run_out).await;
    let second_again = lead(&engine, "second").await.unwrap();
    assert!(check(&second_again).await.is_ok());
    assert_ne!(second, second_again);
    for old in [&first, &second] {
        assert!(check(old).await.is_err());
    }
    engine.store.close().await;
    pair.bring_back_primary().await.end().await;
}
