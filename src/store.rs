//! Edge: PostgreSQL. The only user of sqlx; one file per family of tables.
//!
//! A function that takes a `&mut PgConnection` runs inside the caller's transaction; no HTTP call ever happens inside
//! one. Writes are set-based: one statement per batch, never one per user. No statement names a schema, and none that
//! updates or returns computes a time or a number (`tests/it/statements.rs`). Every function fails when the database
//! does not answer; one with other failures documents them.

#![expect(clippy::missing_errors_doc, reason = "said once, above")]

pub mod administrators;
pub mod answers;
pub mod candidates;
mod cause;
pub mod changes;
pub mod checkpoints;
pub mod columns;
mod connection;
pub mod differences;
pub mod environments;
mod error;
mod fault;
pub mod feed;
pub mod findings;
pub mod forget;
pub mod groups;
mod installation;
pub mod jobs;
mod keys;
pub mod lease;
mod migrations;
pub mod mirror;
pub mod names;
pub mod notifications;
pub mod overview;
pub mod owners;
pub mod pending;
pub mod planned;
pub mod population;
pub mod positions;
pub mod profile;
pub mod quota;
pub mod recheck;
pub mod refusals;
pub mod removals;
mod replica;
pub mod retention;
pub mod roles;
pub mod rows;
pub mod runs;
pub mod serving;
pub mod sessions;
pub mod subjects;
pub mod team_roles;
pub mod teams;
pub mod units;
pub mod webhooks;
mod words;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use connection::{Connection, Transaction};
pub use error::{StoreError, StoreResult};
pub use fault::{Fault, Own};
pub use keys::{ByEnvironment, Keys};
pub use migrations::Applied;
pub use replica::Unusable;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor, PgConnection, PgPool};
use tokio::sync::Mutex;

use self::connection::{Breakdown, STATEMENT_TIMEOUT, in_time};
use self::replica::Replica;
use crate::domain::feed::Moment;
use crate::domain::schema::Schema;

/// The longest wait for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The session settings, so that a session whose owner is suspended or gone does not last. A leader's transactions have
/// tighter limits (`lease`).
const SESSION: [(&str, &str); 8] = [
    // Our tables grow from nothing within one connection: a plan for an empty table must not last.
    ("plan_cache_mode", "force_custom_plan"),
    ("statement_timeout", STATEMENT_TIMEOUT),
    // The longest wait for a foreign lock; our own transactions are shorter.
    ("lock_timeout", "10s"),
    // We never pause within a transaction.
    ("idle_in_transaction_session_timeout", "8s"),
    // If nobody reads an answer, the server notices while it sends (milliseconds) and while it works.
    ("tcp_user_timeout", "8000"),
    ("client_connection_check_interval", "2s"),
    // A machine that is gone does not hold server connections for hours (seconds).
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
];

/// The database, through a pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    breakdown: Breakdown,
    schema: Schema,
    draws: Arc<Draws>,
    replica: Option<Arc<Replica>>,
    /// How many statements were sent.
    statements: Arc<AtomicU64>,
}

/// The moments drawn: how many draws have begun, and the number of the last that has ended.
#[derive(Debug, Default)]
struct Draws {
    begun: AtomicU64,
    last: Mutex<(u64, Moment)>,
}

impl Store {
    /// Opens a pool, after one connection apart from it: a wrong address or password shows here, and at once.
    ///
    /// No statement names a schema: the connections' search path does. The catalogue is searched first, and `pg_temp`
    /// last, so that a foreign trigger's temporary table hides none of ours.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn connect(url: &str, schema: &Schema, max_connections: u32) -> StoreResult<Self> {
        Self::connect_within(ACQUIRE_TIMEOUT, url, schema, max_connections).await
    }

    /// The same with another limit on the time to the first connection.
    pub async fn connect_within(
        limit: Duration,
        url: &str,
        schema: &Schema,
        max_connections: u32,
    ) -> StoreResult<Self> {
        let options = session(PgConnectOptions::from_str(url).map_err(StoreError::from)?, schema);
        let mut first = reach(&options, limit).await?;
        check_session(&mut first, schema).await?;
        let _ = in_time(first.close()).await;
        let breakdown = Breakdown::default();
        let statements = Arc::new(AtomicU64::new(0));
        Ok(Self {
            pool: pool_of(options, max_connections, &breakdown, &statements),
            breakdown,
            schema: schema.clone(),
            draws: Arc::default(),
            replica: None,
            statements,
        })
    }

    /// Begins a transaction whose writes are marked as the sync's own, as opposed to an edit by another program.
    pub async fn begin(&self) -> StoreResult<Transaction> {
        Transaction::begin(self.read().await?).await
    }

    /// A connection for reads outside a transaction.
    pub async fn read(&self) -> StoreResult<Connection> {
        let connection = match self.pool.acquire().await {
            // The pool waits for a server that refuses. Ask the server itself why there is no connection.
            Err(waited @ sqlx::Error::PoolTimedOut) => {
                reach(&self.pool.connect_options(), ACQUIRE_TIMEOUT).await?;
                return Err(waited.into());
            }
            acquired => acquired?,
        };
        Ok(Connection::new(
            connection,
            self.breakdown.clone(),
            Arc::clone(&self.statements),
        ))
    }

    /// A number for a request to the directory, higher than every earlier one of any process.
    pub async fn next_moment(&self) -> StoreResult<Moment> {
        let begun = self.draws.begun.load(Ordering::SeqCst);
        let mut last = self.draws.last.lock().await;
        // A draw that began after our call is as good: callers that wait together share one number.
        if last.0 > begun {
            return Ok(last.1);
        }
        let number = self.draws.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let mut db = self.read().await?;
        let drawn = sqlx::query_scalar!(r#"select nextval('round') as "moment!""#);
        *last = (number, Moment(drawn.fetch_one(&mut db).await?));
        Ok(last.1)
    }

    /// How many statements this process has sent, by this pool and those apart from it.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// How many of the pool's connections one kind of work may take at once.
    #[must_use]
    pub fn half_of_pool(&self) -> usize {
        (self.max_connections() as usize / 2).max(1)
    }

    /// The same database through a separate connection, for work that must not wait behind others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let options = self.pool.options().clone().max_connections(1);
        let at = self.pool.connect_options();
        Self {
            pool: options.connect_lazy_with(PgConnectOptions::clone(&at)),
            breakdown: self.breakdown.clone(),
            schema: self.schema.clone(),
            draws: Arc::default(),
            replica: None,
            statements: Arc::clone(&self.statements),
        }
    }

    /// The pool's connections: open, idle.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// The most connections that the pool opens.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> StoreResult<()> {
        let mut db = self.read().await?;
        sqlx::query("select").execute(&mut db).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }
}

/// A session of ours.
fn session(options: PgConnectOptions, schema: &Schema) -> PgConnectOptions {
    options
        .application_name("rollcall")
        .options(SESSION)
        .options([("search_path", search_path(schema))])
}

/// A pool whose connections are tested before each use.
fn pool_of(
    options: PgConnectOptions,
    max_connections: u32,
    breakdown: &Breakdown,
    statements: &Arc<AtomicU64>,
) -> PgPool {
    let (younger, sent) = (breakdown.clone(), Arc::clone(statements));
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let may_live = younger.is_older_than(&metadata);
            sent.fetch_add(u64::from(may_live), Ordering::Relaxed);
            Box::pin(async move {
                if may_live {
                    // Tests the connection, and undoes a search path that a foreign trigger may have set.
                    connection.execute("reset search_path").await?;
                }
                Ok(may_live)
            })
        })
        .connect_lazy_with(options)
}

/// Host and port of the server, or its socket; none if the URL cannot be read.
#[must_use]
pub fn address(url: &str) -> Option<String> {
    let options = PgConnectOptions::from_str(url).ok()?;
    let (host, port) = (options.get_host(), options.get_port());
    Some(match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
        None if host.starts_with('/') => format!("{host}/.s.PGSQL.{port}"),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    })
}

/// A connection apart from a pool, or what keeps the server from giving one.
async fn reach(options: &PgConnectOptions, limit: Duration) -> StoreResult<PgConnection> {
    let silence = || {
        let text = format!("no answer within {} s", limit.as_secs());
        sqlx::Error::from(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
    };
    let connected = tokio::time::timeout(limit, PgConnection::connect_with(options)).await;
    Ok(connected.unwrap_or_else(|_| Err(silence()))?)
}

/// Any other encoding cannot hold every name, or (like `SQL_ASCII`) counts bytes as characters. A pooler may keep our
/// settings from the server. Migrations are rewritten with the schema's name as it is.
async fn check_session(db: &mut PgConnection, schema: &Schema) -> StoreResult<()> {
    let session = sqlx::query!(
        r#"select current_setting('server_encoding') as "encoding!", current_setting('search_path') as "search_path!",
                  exists (select from pg_get_keywords() where word = $1 and catcode <> 'U') as "is_reserved!""#,
        schema.as_str()
    );
    let session = in_time(session.fetch_one(db)).await?;
    if session.encoding != "UTF8" {
        Err(StoreError::Encoding(session.encoding))
    } else if session.is_reserved {
        Err(StoreError::Reserved(schema.clone()))
    } else if session.search_path != search_path(schema) {
        Err(StoreError::SearchPath(session.search_path))
    } else {
        Ok(())
    }
}

fn search_path(schema: &Schema) -> String {
    format!("{schema}, pg_temp")
}

/// Fails unless the expected number of rows was written: a trigger may drop a row without an error.
fn expect_rows(written: impl TryInto<usize>, expected: usize) -> StoreResult<()> {
    if written.try_into().ok() == Some(expected) {
        Ok(())
    } else {
        Err(StoreError::Refused(Fault::left_out()))
    }
}
