//! Builds the edges and the engine from the configuration.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::CliResult;
use super::output::{print_json, say};
use super::{CliError, Context};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Credential};
use crate::domain::extra_field;
use crate::domain::scope::Scope;
use crate::domain::system_user::SYNC_ACTOR;
use crate::graph::{Graph, GraphSettings};
use crate::plan::guard::Limits;
use crate::store::{self, Store};
use crate::sync::records::Records;
use crate::sync::webhooks::Webhooks;
use crate::sync::{Base, Engine, Progress, Settings};

/// How long a command tries to reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as an interruption may last: for daemons, runs and commands for many users.
    Long,
    /// As long as a person waits for one answer.
    Short,
}

/// The longest wait for a connection with short patience: also a distant server connects within a second.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

/// The most attempts of one request with short patience.
const SHORT_ATTEMPTS: u32 = 2;

impl Context {
    /// Loads the configuration and starts logging.
    pub(super) fn load(&self, quiet: bool) -> CliResult<Config> {
        let config = load(&self.config)?;
        self.start_logs(Some((&config.telemetry.log, config.telemetry.format)), quiet)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// The engine over the database, which has to be migrated already.
    pub(super) async fn engine(&self, patience: Patience) -> CliResult<Engine> {
        let config = self.load(true)?;
        let store = self.open_store(&config).await?;
        engine(&config, store, cancelled_by_signals()?, patience)
    }

    /// Queries of the database, which has to be migrated already; the directory is not needed.
    pub(super) async fn records(&self) -> CliResult<Records> {
        self.records_of(&self.load(true)?).await
    }

    /// The same with a configuration that is loaded already.
    pub(super) async fn records_of(&self, config: &Config) -> CliResult<Records> {
        Ok(records(config, self.open_store(config).await?))
    }

    /// The webhooks of the database, which has to be migrated already.
    pub(super) async fn webhooks_of(&self, config: &Config) -> CliResult<Webhooks> {
        Ok(Webhooks::new(base(config, self.open_store(config).await?)))
    }

    async fn open_store(&self, config: &Config) -> CliResult<Store> {
        let store = connect(config, Patience::Short).await?;
        match store.missing_migrations().await? {
            0 => {
                store.claim(config.tenant.id, Clock::system().now()).await?;
                Ok(store)
            }
            missing => Err(CliError::Usage(format!(
                "the database lacks {missing} migration(s): run `rollcall migrate`, or let `rollcall serve` or `rollcall sync` do it"
            ))),
        }
    }
}

/// Loads the configuration with this process's environment variables.
pub(super) fn load(path: &std::path::Path) -> CliResult<Config> {
    let variables =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    Ok(Config::load(path, variables)?)
}

/// Where the database of this process is, for its errors.
static SERVER: OnceLock<Option<String>> = OnceLock::new();

/// Host and port of the database, once the configuration has named it.
pub(super) fn server() -> Option<&'static str> {
    SERVER.get()?.as_deref()
}

/// Connects to the database.
pub(super) async fn connect(config: &Config, patience: Patience) -> CliResult<Store> {
    let (url, schema) = (config.database.at.url.expose(), &config.database.schema);
    let most = config.database.max_connections;
    SERVER.get_or_init(|| store::address(url));
    Ok(match patience {
        Patience::Long => Store::connect(url, schema, most).await?,
        Patience::Short => Store::connect_within(CONNECTED_WITHIN, url, schema, most).await?,
    })
}

/// The store with the replica that the configuration names, if any.
pub(super) fn with_replica(config: &Config, store: Store) -> CliResult<Store> {
    Ok(match &config.database.read_at {
        Some(place) => store.with_replica(place.url.expose(), config.tenant.id)?,
        None => store,
    })
}

/// How far the configured replica is behind, if there is one, or why it cannot be used.
pub(super) async fn replica_lag(config: &Config, store: &Store) -> CliResult<Option<Duration>> {
    let lag = with_replica(config, store.clone())?.replica_lag().await;
    lag.map_err(|error| CliError::Other(error.to_string()))
}

/// Host and port of a server.
pub(super) fn address(place: &config::database::Place) -> String {
    store::address(place.url.expose()).unwrap_or_default()
}

/// Brings the schema up to date, unless it is another tenant's, and records its tenant.
pub(super) async fn migrate_store(config: &Config, store: &Store) -> CliResult<()> {
    store.check_tenant(config.tenant.id).await?;
    store.migrate().await?;
    Ok(store.claim(config.tenant.id, Clock::system().now()).await?)
}

/// Brings the schema up to date, and checks what the configuration expects of it.
pub(super) async fn prepare_store(config: &Config, store: &Store) -> CliResult<()> {
    migrate_store(config, store).await?;
    check_extra_fields(config, store).await
}

/// Checks that every mapped column exists and takes its property.
pub(super) async fn check_extra_fields(config: &Config, store: &Store) -> CliResult<()> {
    if config.extra_fields.is_empty() {
        return Ok(());
    }
    match records(config, store.clone()).unfit_columns().await?.into_iter().next() {
        None => Ok(()),
        Some((index, problem)) => Err(CliError::Config(ConfigError {
            place: config.file.display().to_string(),
            path: format!("extra_field[{index}].column"),
            problem,
        })),
    }
}

/// `rollcall migrate`.
pub(super) async fn migrate(context: &Context) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let store = connect(&config, Patience::Short).await?;
    let applied = store.applied_migrations().await?;
    let (missing, unknown) = (applied.missing, applied.unknown);
    migrate_store(&config, &store).await?;
    match context.output {
        super::Output::Json => print_json(&serde_json::json!({ "applied": missing, "unknown": unknown })),
        super::Output::Table if missing == 0 && unknown > 0 => say!(
            "The database is newer than this program: it has {unknown} migration(s) that this version does not know, \
             and lacks none. Nothing was changed."
        ),
        super::Output::Table if missing == 0 => say!("The database is up to date."),
        super::Output::Table => say!("Applied {missing} migration(s)."),
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The settings of the engine.
fn settings(config: &Config) -> Settings {
    let fingerprint = |environment| {
        config::fingerprint(
            environment,
            &config.catalogue,
            config.viral_counts_as,
            config.tenant_marketing,
        )
    };
    Settings {
        environments: config
            .environments
            .iter()
            .map(|one| (one.clone(), fingerprint(one)))
            .collect(),
        catalogue: config.catalogue.clone(),
        viral_counts_as: config.viral_counts_as,
        tenant_marketing: config.tenant_marketing,
        limits: Limits {
            max_disables: config.guard.max_disables,
            max_disable_percent: config.guard.max_disable_percent,
        },
        hold_expiry: config.guard.hold_expiry,
        full_interval: config.sync.full_interval,
        verifications: config.sync.verifications(),
        access_freshness: config.sync.access_freshness,
        scope: Scope::of(config.sync.scope, config.environments.iter()),
        max_batch: usize::MAX,
    }
}

/// The Graph edge.
pub(super) fn graph(config: &Config, cancel: CancellationToken, patience: Patience) -> CliResult<Graph> {
    let application = (config.tenant.client_id, &config.tenant.credential);
    graph_of(config, application, cancel, patience)
}

/// The Graph edge of an application and its credential.
pub(super) fn graph_of(
    config: &Config,
    (client_id, credential): (Uuid, &Credential),
    cancel: CancellationToken,
    patience: Patience,
) -> CliResult<Graph> {
    let tenant = &config.tenant;
    let mut settings = GraphSettings::new(
        tenant.id.to_string(),
        client_id.to_string(),
        credential.clone(),
        tenant.authority.clone(),
        tenant.graph_root.clone(),
    );
    settings.extra = extra_field::selected(&config.extra_fields);
    settings.extra_ca_pem = tenant.ca_file.as_ref().map(|file| file.pem.clone().into_bytes());
    settings.proxy = proxy();
    if patience == Patience::Short {
        settings.connect_timeout = CONNECTED_WITHIN;
        settings.retry.attempts = SHORT_ATTEMPTS;
    }
    Ok(Graph::new(&settings, Clock::system(), cancel)?)
}

/// The proxy that the environment names, without the password that its address may hold.
fn proxy() -> Option<String> {
    let named = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let address = named
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|address| !address.is_empty()))?;
    let address = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, rest)| rest);
    Some(address.trim_end_matches('/').to_owned())
}

/// The engine over an open store.
pub(super) fn engine(
    config: &Config,
    store: Store,
    cancel: CancellationToken,
    patience: Patience,
) -> CliResult<Engine> {
    Ok(Engine {
        graph: graph(config, cancel.clone(), patience)?,
        store,
        clock: Clock::system(),
        settings: Arc::new(settings(config)),
        cancel,
        memory: Arc::default(),
        progress: Progress::default(),
    })
}

/// Queries of an open store.
pub(super) fn records(config: &Config, store: Store) -> Records {
    Records::new(base(config, store))
}

fn base(config: &Config, store: Store) -> Base {
    Base {
        store,
        clock: Clock::system(),
        settings: Arc::new(settings(config)),
        cancel: CancellationToken::new(),
        progress: Progress::default(),
    }
}

/// A token that the usual signals cancel; a second signal ends the process at once.
pub(super) fn cancelled_by_signals() -> CliResult<CancellationToken> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        for signals in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if signals > 0 {
                std::process::exit(1);
            }
            cancel.cancel();
        }
    });
    Ok(token)
}

/// Requests to reload. From this call on they do not end the process.
pub(super) fn hangups() -> CliResult<Signal> {
    listen(SignalKind::hangup())
}

fn listen(kind: SignalKind) -> CliResult<Signal> {
    signal(kind).map_err(|error| CliError::Other(format!("could not listen for signals: {error}")))
}

/// Ends a long-running read command after a signal.
pub(super) fn go_on(engine: &Engine) -> CliResult<()> {
    if engine.cancel.is_cancelled() {
        return Err(CliError::Other("stopped".to_owned()));
    }
    Ok(())
}

/// The operator who ran the command, for the change log.
pub(super) fn operator() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .ok()
        .filter(|name| !name.is_empty() && *name != SYNC_ACTOR)
        .unwrap_or_else(|| "operator".to_owned())
}

/// The identity of this process, for the lease.
pub(super) fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!(
        "{}:{}:{}",
        host.trim(),
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    )
}
