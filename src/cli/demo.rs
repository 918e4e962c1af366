//! `rollcall demo`: the whole system with a simulated tenant and a private PostgreSQL.
//!
//! It writes a configuration, runs the real cycle over it, makes a few directory changes and shows the results, then
//! continues like the daemon until it is interrupted.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::CliResult;
use super::output::{is_cut_off, or_dash, say, sentences};
use super::{CliError, Context, explain, serve, sync, wire};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::api_role::ApiRole;
use crate::domain::session::Session;
use crate::domain::system_user::Filter;
use crate::rules::Trigger;
use crate::simulator::cluster::{Cluster, Options};
use crate::simulator::tenant::{LARGE_GROUP, Profile, SMALL_GROUP};
use crate::simulator::{Settings, Simulator};
use crate::sync::cycle::Request;
use crate::sync::daemon::{self, Led};
use crate::sync::{Engine, Report};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  rollcall demo\n  rollcall demo --once --users 10000")]
pub struct Arguments {
    /// End after the demonstration instead of serving until interrupted.
    #[arg(long)]
    once: bool,
    /// How many users the simulated tenant has.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=1_000_000))]
    users: u64,
}

/// The environments of the demo.
const ENVIRONMENTS: [&str; 2] = ["production", "sandbox"];

/// The name of the demo's token, which is the actor in the change log.
const TOKEN_NAME: &str = "demo";

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    context.start_logs(None, false)?;
    let cancel = wire::cancelled_by_signals()?;
    let failed = |what: &str, error: &dyn std::error::Error| CliError::Other(format!("could not {what}: {error}"));

    say!(
        "Starting a private PostgreSQL and a simulated tenant of {} users …",
        arguments.users
    );
    let options = Options::durable();
    let cluster = tokio::select! {
        started = Cluster::start_temporary(&options) => {
            started.map_err(|error| failed("start a private PostgreSQL", &error))?
        }
        () = cancel.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let result = show(context, &arguments, &cluster, cancel).await;
    cluster
        .stop()
        .await
        .map_err(|error| failed("stop the private PostgreSQL", &error))?;
    result
}

async fn show(
    context: &Context,
    arguments: &Arguments,
    cluster: &Cluster,
    cancel: CancellationToken,
) -> CliResult<ExitCode> {
    let url = cluster
        .create_database("rollcall")
        .await
        .map_err(|error| CliError::Other(error.to_string()))?;
    let simulator = Simulator::start(Settings {
        users: arguments.users,
        ..Settings::default()
    })
    .map_err(|error| CliError::Other(format!("could not start the simulated tenant: {error}")))?;
    let furnished = simulator.tenant().furnish();
    let file = write_config(cluster.directory(), &simulator, &url).await?;
    let config = wire::load(&file.path)?;
    say!("Configuration: {}", file.path.display());
    say!();

    let store = wire::connect(&config, wire::Patience::Long).await?;
    wire::migrate_store(&config, &store).await?;
    let engine = wire::engine(&config, store, cancel.clone(), wire::Patience::Long)?;
    say!("== First sync: the whole directory ==");
    say!();
    let report = one_run(&engine).await?;
    sync::print_report(&report);

    say!();
    say!("== Some things change in the directory ==");
    say!();
    let players = play(&engine, &simulator, furnished.global_administrator).await?;
    for player in &players {
        say!("  {}", player.what);
    }
    say!();
    say!("== Second sync: only what changed ==");
    say!();
    let before = simulator.request_counts().values().sum::<u64>();
    let report = one_run(&engine).await?;
    sync::print_report(&report);
    say!(
        "That took {} requests to Graph.",
        simulator.request_counts().values().sum::<u64>() - before
    );
    say!();
    show_changes(&engine, report.run).await?;
    if let Some(player) = players.iter().find(|player| player.explain) {
        say!();
        say!("== Why? ==");
        say!();
        explain::print(
            &engine
                .desk()
                .explain(ENVIRONMENTS[0], &player.user.to_string(), Trigger::Background)
                .await?,
        );
    }
    if arguments.once || is_cut_off() || cancel.is_cancelled() {
        engine.store.close().await;
        return Ok(ExitCode::SUCCESS);
    }
    keep_serving(context, config, file, engine).await
}

async fn keep_serving(context: &Context, config: Config, file: ConfigFile, engine: Engine) -> CliResult<ExitCode> {
    say!();
    say!("== Serving until interrupted (Ctrl-C) ==");
    say!();
    say!("  The console, signed in by this link, which works once:");
    say!(
        "  http://{}/console/sign-in?invitation={}",
        config.http.listen,
        invitation(&engine).await?
    );
    say!();
    say!("  curl http://{}/health/ready", config.http.listen);
    say!("  curl http://{}/metrics", config.http.listen);
    say!(
        "  curl -H 'Authorization: Bearer {}' http://{}/api/v1/environments",
        file.token,
        config.http.listen
    );
    say!(
        "  rollcall --config {} user list --environment production",
        file.path.display()
    );
    say!(
        "  psql '{}' -c 'table rollcall.sync_run'",
        config.database.at.url.expose()
    );
    say!();
    let metrics = serve::record_metrics()?;
    let context = Context {
        config: file.path.clone(),
        output: context.output,
        log: context.log.clone(),
    };
    serve::serve(&context, config, engine, metrics, wire::hangups()?).await
}

/// The secret of a link that signs in to the console, once.
async fn invitation(engine: &Engine) -> CliResult<String> {
    let session = Session {
        actor: TOKEN_NAME.to_owned(),
        display_name: TOKEN_NAME.to_owned(),
        object_id: None,
        roles: BTreeSet::from([ApiRole::Operate]),
        signed_in_at: engine.clock.now(),
    };
    Ok(engine.sessions().invite(session).await?)
}

/// The configuration file of the demo, for use by other commands too.
struct ConfigFile {
    path: PathBuf,
    /// A token for the API, new for every demo.
    token: String,
}

async fn write_config(cluster: &Path, simulator: &Simulator, url: &str) -> CliResult<ConfigFile> {
    let directory = cluster.join("demo");
    let path = directory.join("rollcall.toml");
    let secret = directory.join("graph-secret");
    let listen = free_address().await;
    let token = uuid::Uuid::new_v4().simple().to_string();
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let hash = hash
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let text = format!(
        "[tenant]\nid = \"{tenant}\"\nclient_id = \"{client}\"\n\
         credential = {{ kind = \"secret\", file = \"graph-secret\" }}\n\
         cloud = \"custom\"\nauthority = \"{root}\"\ngraph_root = \"{root}\"\n\n\
         [database]\nurl = \"{url}\"\n\n[sync]\ninterval = \"30s\"\n\n[http]\nlisten = \"{listen}\"\n\
         [[http.token]]\nname = \"{TOKEN_NAME}\"\nsha256 = \"{hash}\"\nroles = [\"Rollcall.Operate\"]\n\n\
         [[environment]]\nname = \"{production}\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
         [[environment]]\nname = \"{sandbox}\"\nkind = \"sandbox\"\nsecurity_group = \"{SMALL_GROUP}\"\n\
         fields = {{ fullname = \"always\" }}\n",
        tenant = simulator.tenant_id(),
        client = simulator.client_id(),
        root = simulator.root(),
        production = ENVIRONMENTS[0],
        sandbox = ENVIRONMENTS[1],
    );
    let write = || -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::create_dir_all(&directory)?;
        for (path, text) in [(&path, text.as_str()), (&secret, simulator.client_secret().as_str())] {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
        }
        Ok(())
    };
    write().map_err(|error| CliError::Other(format!("could not write {}: {error}", directory.display())))?;
    Ok(ConfigFile { path, token })
}

/// The usual address, or another one if that is taken.
async fn free_address() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    for address in [usual, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))] {
        if let Ok(listener) = TcpListener::bind(address).await
            && let Ok(address) = listener.local_addr()
        {
            if address != usual {
                say!("Port {} is taken; using {}.", usual.port(), address.port());
            }
            return address;
        }
    }
    usual
}

async fn one_run(engine: &Engine) -> CliResult<Report> {
    let request = Request {
        trigger: "demo".to_owned(),
        ..Request::default()
    };
    loop {
        if let Led::Done(report) = daemon::run_once(engine, &wire::holder(), &request).await? {
            return Ok(report);
        }
        Clock::system().sleep(Duration::from_millis(200)).await;
    }
}

/// One directory change and the user it concerns.
struct Player {
    user: Uuid,
    what: String,
    explain: bool,
}

/// Picks users of the first environment and changes them.
async fn play(engine: &Engine, simulator: &Simulator, administrator: Uuid) -> CliResult<Vec<Player>> {
    let tenant = simulator.tenant();
    let filter = Filter {
        disabled: Some(false),
        accessmode: Some(0),
        kind: Some("regular".to_owned()),
        limit: 1000,
        ..Default::default()
    };
    let mut rows = engine.records().users(ENVIRONMENTS[0], &filter).await?;
    // The same users in every demo: the keys of rows are made anew.
    rows.sort_by_key(|row| row.azureactivedirectoryobjectid);
    let mut chosen = rows
        .iter()
        .filter_map(|row| row.azureactivedirectoryobjectid)
        .filter(|id| *id != administrator);
    let mut players = Vec::new();
    let mut next = |what: &str, explain: bool, change: &dyn Fn(Uuid) -> bool| {
        let Some(user) = chosen.next() else { return };
        let name = tenant.user(user).and_then(|user| user.user_principal_name.clone());
        change(user);
        players.push(Player {
            user,
            what: format!("{}: {what}", or_dash(name.as_deref())),
            explain,
        });
    };
    next("sign-in is blocked", false, &|user| {
        tenant.update_user(user, |user| user.account_enabled = Some(false))
    });
    next("leaves the security group", true, &|user| {
        tenant.remove_member(LARGE_GROUP, user)
    });
    next("loses every licence", false, &|user| {
        tenant.give_profile(user, Profile::Unlicensed)
    });
    next("is deleted", false, &|user| tenant.soft_delete(user));
    next("gets a new job title and telephone number", false, &|user| {
        tenant.update_user(user, |user| {
            user.job_title = Some("Head of Receivables".to_owned());
            user.business_phones = vec!["+44 20 7946 0123".to_owned()];
        })
    });
    next("marries and changes name", false, &|user| {
        tenant.update_user(user, |user| user.surname = Some("Okonkwo-Lindqvist".to_owned()))
    });
    Ok(players)
}

/// The changes of a run, from the change log.
async fn show_changes(engine: &Engine, run: i64) -> CliResult<()> {
    let changes = engine.records().changes(run, None, 40).await?;
    let rows: Vec<Vec<String>> = changes
        .unwrap_or_default()
        .into_iter()
        .map(|line| {
            let fields: Vec<String> = line
                .fields
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, values)| line.operation != "create" && values.is_array())
                .map(|(column, values)| format!("{column}: {} → {}", values[0], values[1]))
                .collect();
            vec![
                line.environment,
                line.operation,
                or_dash(line.domainname.as_deref()),
                or_dash(line.reason.as_deref()),
                fields.join(", "),
            ]
        })
        .collect();
    sentences(&["ENVIRONMENT", "CHANGE", "USER", "REASON", "COLUMNS"], &rows);
    Ok(())
}
