//! A private PostgreSQL cluster for the demo, the tests and the benchmarks.
//!
//! [`Cluster::start`] makes or reopens one in a directory, [`Cluster::start_temporary`] makes one that leaves
//! nothing behind, [`Cluster::start_replica`] one that follows another, and [`test_database()`] hands each test a database of its own. A cluster listens on a free port
//! of 127.0.0.1 only, with a random password, so that nobody else on the machine can use it.
//!
//! The server never outlives us: it runs under a small shell script that waits on a pipe from this process.
//! However we end, even by SIGKILL, the pipe closes and the script stops the server. Closing that pipe is also
//! how `stop` and `Drop` work, so there is one way to stop and it is always exercised.
//!
//! It must never touch a cluster that it did not make: everything it removes lies below the given directory under
//! names of its own. See `cluster/binaries.rs` for how the server is found, `cluster/account.rs` for what root does.

mod account;
mod binaries;
mod error;
mod replica;
mod site;
mod test_database;

use std::fs::TryLockError;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::fs;
use tokio::process::Child;
use uuid::Uuid;

use crate::clock::Clock;

use self::account::Account;
use self::binaries::Binaries;
pub use self::error::ClusterError;
use self::error::file;
use self::site::Site;
pub use self::test_database::{TestDatabase, test_database, test_database_from};

/// The superuser of every private cluster.
const SUPERUSER: &str = "postgres";

/// The data directory's name; distinctive, because an incomplete one is removed and made anew.
const DATA: &str = "rollcall-data";
/// Where initdb works; renamed to [`DATA`] when it is done, so that an interrupted one is never mistaken for a cluster.
const UNFINISHED: &str = "rollcall-data.unfinished";
const PASSWORD: &str = "rollcall-password";
const LOCK: &str = "rollcall-lock";
const LOG: &str = "postgres.log";

/// Losing a port to somebody else even twice in a row is unheard of.
const PORT_ATTEMPTS: u32 = 5;
/// How often we look whether something has happened.
const POLL: Duration = Duration::from_millis(25);
/// Crash recovery of a demo that was killed takes seconds at most.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// A fast shutdown writes one checkpoint.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a committed transaction survives a crash of the machine. Tests do without, for speed.
    pub durable: bool,
    /// Begin with an empty cluster even if the directory holds one.
    pub fresh: bool,
    /// The server's connection limit.
    pub max_connections: u16,
    /// The server's buffer cache, in MiB.
    pub shared_buffers_mib: u32,
}

impl Options {
    /// As a small production server would be.
    #[must_use]
    pub fn durable() -> Self {
        Self {
            durable: true,
            fresh: false,
            max_connections: 50,
            shared_buffers_mib: 64,
        }
    }

    /// Fast and forgetful, for tests: many databases, none worth keeping.
    #[must_use]
    pub fn throwaway() -> Self {
        Self {
            durable: false,
            fresh: true,
            max_connections: 200,
            shared_buffers_mib: 128,
        }
    }

    fn settings(&self, port: u16) -> Vec<String> {
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            // A socket's path may have about 100 bytes, and nothing here needs one.
            "unix_socket_directories=".to_owned(),
            format!("max_connections={}", self.max_connections),
            format!("shared_buffers={}MB", self.shared_buffers_mib),
            // Compiling our short statements takes longer than running them.
            "jit=off".to_owned(),
            // The same on every machine, and known to the server even where no time-zone files are installed.
            "timezone=GMT".to_owned(),
            "log_timezone=GMT".to_owned(),
        ];
        if !self.durable {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
                settings.push(setting.to_owned());
            }
        }
        settings
    }
}

/// A running private cluster. Dropping it stops the server soon after; [`Cluster::stop`] waits for that.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    temporary: bool,
    password: String,
    port: u16,
    account: Option<Account>,
    binaries: Binaries,
    keeper: Child,
    /// The keeper's standard input: the server lives until this closes.
    leash: OwnedFd,
    /// Held while this process owns the directory; nobody reads it.
    _lock: std::fs::File,
}

impl Cluster {
    /// Starts the cluster in `directory`, which is created and filled if need be.
    ///
    /// Whatever an interrupted earlier run left there is repaired. `directory` is locked until the cluster is gone.
    ///
    /// # Errors
    /// When there is no server to run, the directory is unusable or in use, or the server does not start.
    pub async fn start(directory: &Path, options: &Options) -> Result<Self, ClusterError> {
        let account = Account::for_server().await?;
        fs::create_dir_all(directory).await.map_err(file("create", directory))?;
        let directory = fs::canonicalize(directory).await.map_err(file("resolve", directory))?;
        on_a_free_port(async || Self::open(directory.clone(), options, account.clone(), false).await).await
    }

    /// Starts an empty cluster in a new directory that goes when the cluster goes.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_temporary(options: &Options) -> Result<Self, ClusterError> {
        let account = Account::for_server().await?;
        on_a_free_port(async || {
            let directory = temporary_directory(account.as_ref()).await?;
            let started = Self::open(directory.clone(), options, account.clone(), true).await;
            if started.is_err() {
                // Nothing depends on it: the first error is the one to tell.
                let _ = fs::remove_dir_all(&directory).await;
            }
            started
        })
        .await
    }

    /// Where the demo's cluster lives unless somebody says otherwise.
    ///
    /// # Errors
    /// When it cannot be told who we are.
    pub async fn demo_directory() -> Result<PathBuf, ClusterError> {
        if Account::for_server().await?.is_some() {
            // Root's home is closed to the account that runs the server.
            return Ok(PathBuf::from("/var/lib/rollcall-demo"));
        }
        let set = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        Ok(state.unwrap_or_else(|| PathBuf::from("/var/tmp")).join("rollcall-demo"))
    }

    /// The superuser's URL for one of the cluster's databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The cluster's directory; the server's log is `postgres.log` there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Creates a database if it does not exist, and returns its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String, ClusterError> {
        create_database(&self.url(SUPERUSER), name, None).await?;
        Ok(self.url(name))
    }

    /// Stops the server and waits until it is gone; open connections are cut.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let Self {
            directory,
            temporary,
            account,
            binaries,
            mut keeper,
            leash,
            _lock,
            ..
        } = self;
        drop(leash);
        if !ended(&mut keeper, STOPPED_WITHIN).await {
            binaries.stop_at_once(&directory.join(DATA), account.as_ref()).await;
            if !ended(&mut keeper, STOPPED_WITHIN).await {
                return Err(ClusterError::NotStopped { directory });
            }
        }
        if temporary && fs::try_exists(&directory).await.unwrap_or(true) {
            // The keeper could empty the directory, but not always remove it.
            fs::remove_dir_all(&directory)
                .await
                .map_err(file("remove", &directory))?;
        }
        Ok(())
    }

    async fn open(
        directory: PathBuf,
        options: &Options,
        account: Option<Account>,
        temporary: bool,
    ) -> Result<Self, ClusterError> {
        if let Some(account) = &account {
            account.require_entry(&directory).await?;
        }
        let binaries = Binaries::find(account.as_ref()).await?;
        let lock = lock(&directory).await?;
        let site = Site {
            directory: &directory,
            account: account.as_ref(),
            binaries: &binaries,
        };
        site.remove_leftovers().await?;
        let password = site.initialise(options).await?;

        let (port, keeper, leash) = site.launch(options, &password, temporary).await?;
        Ok(Self {
            directory,
            temporary,
            password,
            port,
            account,
            binaries,
            keeper,
            leash,
            _lock: lock,
        })
    }
}

/// Starts again when somebody took our port between our choosing it and the server's binding it.
async fn on_a_free_port(start: impl AsyncFn() -> Result<Cluster, ClusterError>) -> Result<Cluster, ClusterError> {
    for _ in 1..PORT_ATTEMPTS {
        match start().await {
            Err(ClusterError::Start { detail, .. }) if detail.contains("Address already in use") => {}
            started => return started,
        }
    }
    start().await
}

/// Creates a database, from a template if given; one that exists already is left alone.
async fn create_database(server_url: &str, name: &str, template: Option<&str>) -> Result<(), ClusterError> {
    /// The codes of PostgreSQL's `duplicate_database`, and of the unique violation that two creators at once can meet.
    const EXISTS: [&str; 2] = ["42P04", "23505"];
    let mut statement = format!("CREATE DATABASE {}", quoted(name));
    if let Some(template) = template {
        statement += " TEMPLATE ";
        statement += &quoted(template);
    }
    match execute(server_url, statement).await {
        Err(ClusterError::Database {
            source: sqlx::Error::Database(error),
            ..
        }) if error.code().is_some_and(|code| EXISTS.contains(&&*code)) => Ok(()),
        done => done,
    }
}

/// Runs one statement, made of quoted names only, on a connection of its own.
async fn execute(url: &str, statement: String) -> Result<(), ClusterError> {
    let outcome = async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    outcome.await.map_err(|source| ClusterError::Database {
        action: statement.clone(),
        source,
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn lock(directory: &Path) -> Result<std::fs::File, ClusterError> {
    let path = directory.join(LOCK);
    let lock = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .await;
    let lock = lock.map_err(file("open", &path))?.into_std().await;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(ClusterError::InUse {
            directory: directory.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(file("lock", &path)(error)),
    }
}

/// A new private directory that the server's account can reach.
async fn temporary_directory(account: Option<&Account>) -> Result<PathBuf, ClusterError> {
    let mut parent = std::env::temp_dir();
    if let Some(account) = account
        && account.require_entry(&parent).await.is_err()
    {
        // Root's TMPDIR may well be closed to everybody else.
        parent = PathBuf::from("/var/tmp");
    }
    let directory = parent.join(format!("rollcall-{}", Uuid::new_v4().simple()));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .await
        .map_err(file("create", &directory))?;
    account::give(&directory, account).await?;
    fs::canonicalize(&directory).await.map_err(file("resolve", &directory))
}

/// Waits for the keeper's end. `Child::wait` needs the runtime that started the keeper, which may be gone.
async fn ended(keeper: &mut Child, patience: Duration) -> bool {
    for _ in 0..polls(patience) {
        if !matches!(keeper.try_wait(), Ok(None)) {
            return true;
        }
        Clock::system().sleep(POLL).await;
    }
    false
}

fn polls(patience: Duration) -> u128 {
    patience.as_millis() / POLL.as_millis()
}

#[cfg(test)]
mod tests;
