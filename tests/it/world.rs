//! The stage of an integration test: a simulated tenant, a migrated database and an engine between them, on one
//! clock that stands still unless a test turns it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use rollcall::clock::Clock;
use rollcall::config;
use rollcall::domain::credential::Credential;
use rollcall::domain::environment::{Environment, Kind};
use rollcall::domain::extra_field;
use rollcall::domain::licence::{Catalogue, ViralCountsAs};
use rollcall::domain::schema::Schema;
use rollcall::domain::scope::Scope;
use rollcall::domain::system_user::{Filter, SystemUser};
use rollcall::graph::{Graph, GraphSettings, Secret};
use rollcall::plan::guard::Limits;
use rollcall::simulator::cluster::{TestDatabase, test_database_from};
use rollcall::simulator::tenant::{Profile, Tenant, User};
use rollcall::simulator::{Settings as SimulatorSettings, Simulator};
use rollcall::store::lease::{self, LeadAttempt, Lease};
use rollcall::store::rows;
use rollcall::store::{Store, StoreError};
use rollcall::sync::cycle::Request;
use rollcall::sync::{CycleError, Engine, Progress, Report, RunOutcome, Settings};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// When every test begins.
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap()
}

/// A stage with everything a test touches.
pub struct World {
    pub simulator: Arc<Simulator>,
    pub engine: Engine,
    pub clock: Clock,
    pub lease: Lease,
    database: TestDatabase,
}

/// Limits that hold nothing back.
pub const NO_LIMITS: Limits = Limits {
    max_disables: u32::MAX,
    max_disable_percent: 100.0,
};

/// Tries to lead.
pub async fn try_lead(engine: &Engine, holder: &str, is_daemon: bool) -> LeadAttempt {
    let mut db = engine.store.read().await.unwrap();
    lease::acquire(&mut db, holder, is_daemon).await.unwrap()
}

/// Gives a lease back.
pub async fn hand_over(engine: &Engine, lease: &Lease) {
    let mut db = engine.store.read().await.unwrap();
    lease::release(&mut db, lease).await.unwrap();
}

impl World {
    /// A stage with an empty tenant.
    pub async fn new(environments: Vec<Environment>) -> Self {
        Self::with(
            environments,
            SimulatorSettings {
                users: 0,
                ..SimulatorSettings::default()
            },
            NO_LIMITS,
        )
        .await
    }

    /// A stage with a tenant and limits of the test's choice.
    pub async fn with(environments: Vec<Environment>, simulator: SimulatorSettings, limits: Limits) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = Clock::simulated(start());
        let simulator = Simulator::start(SimulatorSettings {
            clock: clock.clone(),
            ..simulator
        })
        .unwrap();
        Self::around(Arc::new(simulator), clock, settings(environments, limits)).await
    }

    /// Another stage with an empty database, on the same clock, around the same tenant, and with the same settings.
    pub async fn beside(&self) -> Self {
        let settings = (*self.engine.settings).clone();
        Self::around(Arc::clone(&self.simulator), self.clock.clone(), settings).await
    }

    async fn around(simulator: Arc<Simulator>, clock: Clock, settings: Settings) -> Self {
        Self::over(migrated_database().await, simulator, clock, settings).await
    }

    /// A stage over a database that is there already.
    pub async fn over(database: TestDatabase, simulator: Arc<Simulator>, clock: Clock, settings: Settings) -> Self {
        let store = Store::connect(&database.url, &Schema::default(), 5).await.unwrap();
        let engine = Engine {
            graph: graph_for(&simulator, clock.clone(), &settings),
            store,
            clock: clock.clone(),
            settings: Arc::new(settings),
            cancel: CancellationToken::new(),
            memory: Arc::default(),
            progress: Progress::default(),
        };
        let LeadAttempt::Leading(lease) = try_lead(&engine, "test", false).await else {
            panic!("nobody else leads");
        };
        Self {
            simulator,
            engine,
            clock,
            lease,
            database,
        }
    }

    pub fn tenant(&self) -> &Arc<Tenant> {
        self.simulator.tenant()
    }

    /// Another configuration from here on.
    pub fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = (*self.engine.settings).clone();
        change(&mut settings);
        for (environment, fingerprint) in &mut settings.environments {
            *fingerprint = config::fingerprint(
                environment,
                &settings.catalogue,
                settings.viral_counts_as,
                settings.tenant_marketing,
            );
        }
        self.engine.graph = graph_for(&self.simulator, self.clock.clone(), &settings);
        self.engine.settings = Arc::new(settings);
    }

    /// One cycle over all environments.
    pub async fn sync(&self) -> Report {
        self.run(Request::default()).await.unwrap()
    }

    /// One cycle as asked for.
    pub async fn run(&self, request: Request) -> Result<Report, CycleError> {
        let request = Request {
            trigger: "test".to_owned(),
            ..request
        };
        self.engine.cycle().run(&self.lease, &request, async |_| {}).await
    }

    /// One cycle that must be complete.
    pub async fn sync_completely(&self) -> Report {
        let report = self.sync().await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{:?}", report.problems);
        report
    }

    /// A cycle over an unchanged directory plans nothing.
    pub async fn assert_settled(&self) {
        let before = self.dump().await;
        let report = self.sync_completely().await;
        for counts in &report.environments {
            assert_eq!(
                (
                    counts.created,
                    counts.updated,
                    counts.enabled,
                    counts.disabled,
                    counts.held
                ),
                (0, 0, 0, 0, 0),
                "{counts:?}"
            );
        }
        assert_eq!(before, self.dump().await, "an unchanged row is never rewritten");
    }

    /// All rows of an environment, the placeholders left out, by object id.
    pub async fn rows(&self, environment: &str) -> BTreeMap<Uuid, SystemUser> {
        let filter = Filter {
            limit: i64::MAX,
            ..Filter::default()
        };
        let mut db = self.engine.store.read().await.unwrap();
        let rows = rows::list(&mut db, environment, &filter).await.unwrap();
        rows.into_iter()
            .filter_map(|row| Some((row.azureactivedirectoryobjectid?, row)))
            .collect()
    }

    /// The row of one user.
    pub async fn row(&self, environment: &str, user: Uuid) -> Option<SystemUser> {
        self.rows(environment).await.remove(&user)
    }

    /// Everything in `system_user`, to compare.
    pub async fn dump(&self) -> Vec<String> {
        self.strings("select s::text from rollcall.system_user s order by environment, systemuserid")
            .await
    }

    /// The first column of a query.
    pub async fn strings(&self, query: &'static str) -> Vec<String> {
        let mut db = self.sql().await;
        sqlx::query_scalar(query).fetch_all(&mut db).await.unwrap()
    }

    /// A number from a query.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut db = self.sql().await;
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    /// Statements by another program.
    pub async fn execute(&self, statement: &'static str) {
        let mut db = self.sql().await;
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
    }

    /// A connection like that of another program.
    pub async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.unwrap()
    }

    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Open findings as `code environment object-id`, sorted.
    pub async fn findings(&self) -> Vec<String> {
        self.strings(
            "select concat_ws(' ', code, environment, azureactivedirectoryobjectid) from rollcall.finding
             where closed_at is null order by 1",
        )
        .await
    }

    pub fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// Ends the test and drops its database.
    pub async fn end(self) {
        self.engine.store.close().await;
        self.database.drop_database().await.unwrap();
    }
}

/// A database with the migrations applied.
pub async fn migrated_database() -> TestDatabase {
    test_database_from(migrate, "it").await.unwrap()
}

async fn migrate(url: String) -> Result<(), StoreError> {
    let store = Store::connect(&url, &Schema::default(), 1).await?;
    store.migrate().await?;
    store.close().await;
    Ok(())
}

/// The engine's settings for some environments.
pub fn settings(environments: Vec<Environment>, limits: Limits) -> Settings {
    let catalogue = Catalogue::builtin();
    let viral = ViralCountsAs::Full;
    Settings {
        environments: environments
            .into_iter()
            .map(|environment| {
                let fingerprint = config::fingerprint(&environment, &catalogue, viral, None);
                (environment, fingerprint)
            })
            .collect(),
        catalogue,
        viral_counts_as: viral,
        tenant_marketing: None,
        limits,
        hold_expiry: Duration::from_hours(72),
        full_interval: Duration::from_hours(24),
        // A test that wants verifications says when.
        verifications: None,
        // Every access asks, so that a test need not wait for what it changed.
        access_freshness: Duration::ZERO,
        scope: Scope::Tenant,
        max_batch: usize::MAX,
    }
}

/// A Graph edge to a simulator.
pub fn graph(simulator: &Simulator, clock: Clock) -> Graph {
    graph_for(simulator, clock, &settings(Vec::new(), NO_LIMITS))
}

/// A Graph edge to a simulator that selects what the environments map.
fn graph_for(simulator: &Simulator, clock: Clock, configured: &Settings) -> Graph {
    let root = Url::parse(simulator.root()).unwrap();
    let mut settings = GraphSettings::new(
        simulator.tenant_id().to_string(),
        simulator.client_id().to_string(),
        Credential::Secret(Secret::new(simulator.client_secret())),
        root.clone(),
        root,
    );
    let environments = configured.environments.iter();
    settings.extra = extra_field::selected(environments.flat_map(|(environment, _)| &environment.extra_fields));
    settings.seed = Some(1);
    Graph::new(&settings, clock, CancellationToken::new()).unwrap()
}

/// An environment without a security group.
pub fn open_environment(name: &str) -> Environment {
    Environment::new(name, Kind::Production)
}

/// An environment behind a security group.
pub fn guarded_environment(name: &str, group: Uuid) -> Environment {
    Environment {
        security_group: Some(group),
        ..Environment::new(name, Kind::Production)
    }
}

/// Adds a licensed user.
pub fn licensed(tenant: &Tenant, given: &str, family: &str) -> Uuid {
    let id = tenant.add_user(User::named(given, family));
    tenant.give_profile(id, Profile::E5PowerApps);
    id
}
