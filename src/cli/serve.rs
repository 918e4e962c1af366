//! `rollcall serve`: the daemon.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::error::CliResult;
use super::{CliError, Context, wire};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::console::SignIn;
use crate::domain::source::Source;
use crate::error::chain;
use crate::graph;
use crate::graph::Graph;
use crate::http::auth::{self, Auth, KeySource, StaticToken};
use crate::http::console::{Entra, NotRedeemed, Redeemer, Site};
use crate::http::health::{self, Watched};
use crate::http::limits::{Allowance, Bound, Limits};
use crate::http::{self, api, console};
use crate::sync::daemon::{self, Configured, Schedule};
use crate::sync::{Engine, RunOutcome, imports};
use crate::telemetry::metrics::{KnownLabels, Metrics};

/// After a signal, current work must finish within this time; the rest is aborted, as in a crash.
const SOFT_STOP: Duration = Duration::from_secs(8);

/// Then the database connections must close within this time, if the server still answers.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The interval of the metrics recorder's upkeep, and of what is measured.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds in seconds, for cycles from a fraction of a second to an hour.
const CYCLE_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0];
/// Upper bounds in seconds for one request.
const REQUEST_BUCKETS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

pub async fn run(context: &Context) -> CliResult<ExitCode> {
    // From here on no signal kills the process by default, however long the start takes.
    let cancel = wire::cancelled_by_signals()?;
    let hangups = wire::hangups()?;
    let config = context.load(false)?;
    let metrics = record_metrics()?;
    let open = async {
        let store = wire::connect(&config, wire::Patience::Long).await?;
        wire::prepare_store(&config, &store).await?;
        wire::with_replica(&config, store)
    };
    // Migrations may take long, and are rolled back as a whole.
    let Some(store) = cancel.run_until_cancelled(open).await else {
        info!("stopped while starting");
        return Ok(ExitCode::SUCCESS);
    };
    let engine = wire::engine(&config, store?, cancel, wire::Patience::Long)?;
    serve(context, config, engine, metrics, hangups).await
}

/// Sets up the recorder; once per process.
pub fn record_metrics() -> CliResult<PrometheusHandle> {
    let failed = |error: &dyn std::error::Error| CliError::Other(format!("could not set up metrics: {error}"));
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("rollcall_cycle_seconds".to_owned()), &CYCLE_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(
                Matcher::Full("rollcall_graph_request_seconds".to_owned()),
                &REQUEST_BUCKETS,
            )
        })
        .map_err(|error| failed(&error))?;
    let handle = builder.install_recorder().map_err(|error| failed(&error))?;
    Metrics.describe();
    Metrics.build_info();
    Ok(handle)
}

/// Sets what the configuration says, and starts the counters at 0; again after a reload.
fn start_metrics(config: &Config) {
    Metrics.cycle_interval(config.sync.interval);
    let certificate = graph::certificate_facts(&config.tenant.credential);
    if let Some(end) = certificate.and_then(|facts| facts.not_after) {
        Metrics.credential_expires(end);
    }
    let environments: Vec<String> = config.environments.iter().map(|one| one.name.clone()).collect();
    let webhooks: Vec<String> = config.webhooks.iter().map(|one| one.name.clone()).collect();
    let feeds = [Source::Users.kind(), Source::Group(Uuid::nil()).kind()];
    Metrics.start(&KnownLabels {
        environments: &environments,
        outcomes: &RunOutcome::ALL.map(RunOutcome::as_str),
        endpoints: &graph::endpoints().collect::<Vec<_>>(),
        retries: &graph::REASONS,
        resyncs: (&feeds, &graph::causes().collect::<Vec<_>>()),
        bounds: &Bound::ALL.map(Bound::as_str),
        webhooks: &webhooks,
    });
}

/// The daemon over an open and migrated store.
pub async fn serve(
    context: &Context,
    config: Config,
    engine: Engine,
    metrics: PrometheusHandle,
    hangups: Signal,
) -> CliResult<ExitCode> {
    start_metrics(&config);
    let cancel = engine.cancel.clone();
    let watched = Watched {
        records: engine.records(),
        clock: Clock::system(),
        metrics: metrics.clone(),
    };
    let listener = bind(config.http.listen, "http.listen").await?;
    let open = match config.http.metrics_listen {
        Some(address) => Some(bind(address, "http.metrics_listen").await?),
        None => None,
    };
    let (sender, configured) = watch::channel(Arc::new(configured(&config, engine.clone())));
    let schedule = Schedule {
        holder: wire::holder(),
        configured,
    };
    // Before any evaluation. A database that does not answer is the schedule's concern.
    let serving = engine.base();
    let _ = daemon::announce(&serving, &schedule.holder).await;
    let announcing = daemon::keep_announcing(schedule.configured.clone(), schedule.holder.clone());
    let holder = schedule.holder.clone();
    let mut tasks = tokio::task::JoinSet::new();
    let (health, measured) = (health::health(watched.clone()), health::metrics(watched));
    let api = api::Api {
        configured: schedule.configured.clone(),
        auth: auth(&config)?,
        limits: Limits::new(allowance(&config), Clock::system()),
        decided_within: api::DECIDED_WITHIN,
    };
    let console = match site(&config)? {
        Some(site) => console::router(api.clone(), site),
        None => Router::new(),
    };
    let api = api::router(api).merge(console);
    let mut served = match open {
        // Health also stays on the API's address, for load balancers.
        Some(open) => vec![(listener, api.merge(health.clone())), (open, health.merge(measured))],
        None => vec![(listener, api.merge(health).merge(measured))],
    };
    served.extend(hear(&config, &engine).await?);
    for (listener, router) in served {
        let cancel = cancel.clone();
        tasks.spawn(async move {
            if let Err(failure) = http::serve(listener, router, cancel).await {
                error!(error = %chain(&failure), "HTTP has failed");
            }
        });
    }
    for lane in 1..=imports::LANES {
        let worker = format!("{}#{lane}", schedule.holder);
        tasks.spawn(imports::work(worker, schedule.configured.clone()));
    }
    tasks.spawn(schedule.run());
    let clock = Clock::system();
    let mut helpers = tokio::task::JoinSet::new();
    helpers.spawn(keep_measuring(metrics, engine.clone(), clock.clone()));
    helpers.spawn(reload_on_hangup(
        context.config.clone(),
        config,
        engine,
        sender,
        hangups,
    ));
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    if let Some(interval) = sd_notify::watchdog_enabled() {
        helpers.spawn(feed_watchdog(interval / 2, clock.clone()));
    }

    // No task ends by itself: a task that ends before the signal has crashed.
    let crashed = tokio::select! {
        () = cancel.cancelled() => false,
        ended = tasks.join_next() => {
            let crashed = !cancel.is_cancelled();
            if crashed {
                error!(?ended, "a part of the daemon has ended; stopping");
                cancel.cancel();
            }
            crashed
        }
    };
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    info!("stopping: finishing the batch in hand");
    let ended = tokio::time::timeout(SOFT_STOP, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!("not everything has ended in time: breaking off; the next run goes on from what is committed");
        tasks.shutdown().await;
    }
    helpers.shutdown().await;
    drop(announcing);
    let _ = tokio::time::timeout(CLOSE_WITHIN, async {
        daemon::serve_nothing(&serving, &holder).await;
        serving.store.close().await;
    })
    .await;
    info!("stopped");
    Ok(ExitCode::from(u8::from(crashed)))
}

/// The limits of each caller.
fn allowance(config: &Config) -> Allowance {
    Allowance {
        per_second: config.http.requests_per_second,
        at_once: config.http.requests_at_once,
    }
}

/// The authentication of API callers: the static tokens, and the tenant's access tokens if an audience is configured.
fn auth(config: &Config) -> CliResult<Auth> {
    let tokens = config.http.tokens.iter().map(|token| StaticToken {
        name: token.name.clone(),
        sha256: token.sha256,
        roles: token.roles.iter().copied().collect(),
    });
    let entra = match &config.http.audience {
        Some(audience) => {
            let graph = wire::graph(config, CancellationToken::new(), wire::Patience::Long)?.for_someone_waiting();
            Some(auth::Entra {
                tenant: config.tenant.id,
                audience: audience.clone(),
                keys: KeySource::new(move || {
                    let graph = graph.clone();
                    async move { graph.signing_keys().await }
                }),
            })
        }
        None => None,
    };
    Ok(Auth::new(tokens.collect(), entra, Clock::system()))
}

/// Where the console is; none where it is off.
fn site(config: &Config) -> CliResult<Option<Site>> {
    let console = &config.console;
    let entra = match (console.why_off(), &console.way) {
        (None, Some(SignIn::Entra(entra))) => entra,
        (None, Some(SignIn::Token)) => return Ok(Some(Site::Here)),
        _ => return Ok(None),
    };
    let application = (entra.client_id, &entra.credential);
    let graph = wire::graph_of(config, application, CancellationToken::new(), wire::Patience::Long)?;
    let graph = graph.for_someone_waiting();
    let mut authorize = config.tenant.authority.clone();
    authorize.set_path(&format!("/{}/oauth2/v2.0/authorize", config.tenant.id));
    Ok(Some(Site::Public(Arc::new(Entra {
        public_url: entra.public_url.clone(),
        authorize,
        client_id: entra.client_id.to_string(),
        redeemer: redeemer(graph),
    }))))
}

/// Redeems the codes of people who sign in to the console.
fn redeemer(graph: Graph) -> Redeemer {
    Redeemer::new(move |redemption| {
        let graph = graph.clone();
        async move {
            graph.redeem(&redemption).await.map_err(|error| NotRedeemed {
                detail: graph::describe(&error),
                is_transient: error.is_transient(),
            })
        }
    })
}

async fn bind(address: SocketAddr, key: &str) -> CliResult<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "stop the program that listens there, or choose another address with this key",
            ErrorKind::AddrNotAvailable => "choose an address of this machine",
            ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "choose another address with this key",
        };
        CliError::Usage(format!("{key}: could not listen on {address}: {error}; {remedy}"))
    })
}

fn configured(config: &Config, engine: Engine) -> Configured {
    Configured {
        engine,
        interval: config.sync.interval,
        retention: config.retention.clone(),
        webhooks: config.webhooks.clone(),
        notifications: config.notifications.clone(),
    }
}

/// SIGHUP: environments, guard, retention, webhooks, licences, fields, tenant and intervals apply from the next cycle;
/// database, HTTP, the console and
/// telemetry need a restart. A signal during the start is handled now.
async fn reload_on_hangup(
    path: std::path::PathBuf,
    mut config: Config,
    engine: Engine,
    sender: watch::Sender<Arc<Configured>>,
    mut hangups: Signal,
) {
    while hangups.recv().await.is_some() {
        let loaded = wire::load(&path).and_then(|new| {
            if new.tenant.id != config.tenant.id {
                return Err(CliError::Other(format!(
                    "tenant.id cannot change while the daemon runs; it is {}",
                    config.tenant.id
                )));
            }
            let engine = Engine {
                progress: engine.progress.clone(),
                ..wire::engine(&new, engine.store.clone(), engine.cancel.clone(), wire::Patience::Long)?
            };
            let configured = configured(&new, engine);
            Ok((new, configured))
        });
        let loaded = match loaded {
            Ok((new, configured)) => wire::check_extra_fields(&new, &engine.store)
                .await
                .map(|()| (new, configured)),
            Err(error) => Err(error),
        };
        match loaded {
            Err(error) => warn!(%error, "the configuration is not reloaded; the old one stays in force"),
            Ok((new, configured)) => {
                let fixed = [
                    ("database", config.database != new.database),
                    ("http", config.http != new.http),
                    ("console", config.console != new.console),
                    ("telemetry", config.telemetry != new.telemetry),
                    ("notifications", listens(&config) != listens(&new)),
                ];
                for (section, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
                    warn!(
                        section,
                        "this section has changed; it is taken over at the next restart"
                    );
                }
                start_metrics(&new);
                sender.send_replace(Arc::new(configured));
                config = new;
                info!("the configuration is reloaded; the next cycle uses it");
            }
        }
    }
}

/// The listener for change notifications, if it is configured.
async fn hear(config: &Config, engine: &Engine) -> CliResult<Option<(TcpListener, axum::Router)>> {
    let Some(given) = &config.notifications else {
        return Ok(None);
    };
    let listener = bind(given.listen, "notifications.listen").await?;
    let router = http::notifications::router(given.public_url.path(), engine.hints());
    Ok(Some((listener, router)))
}

/// Where notifications are heard.
fn listens(config: &Config) -> Option<(SocketAddr, &str)> {
    config
        .notifications
        .as_ref()
        .map(|given| (given.listen, given.public_url.path()))
}

/// Measures what changes by itself, and tidies up the recorder.
async fn keep_measuring(metrics: PrometheusHandle, engine: Engine, clock: Clock) {
    loop {
        let (open, idle) = engine.store.connections();
        Metrics.db_pool(open, idle, engine.store.max_connections());
        clock.sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

async fn feed_watchdog(every: Duration, clock: Clock) {
    loop {
        tell_systemd(&[sd_notify::NotifyState::Watchdog]);
        clock.sleep(every).await;
    }
}

fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd could not be told");
    }
}
