//! Edge: PostgreSQL. The only user of sqlx; one file per family of tables.
//!
//! A function that takes a `&mut PgConnection` runs inside the caller's transaction; no HTTP call ever happens
//! inside one. Writes are set-based: one statement per batch, never one per user.

pub mod candidates;
pub mod changes;
pub mod checkpoints;
pub mod columns;
pub mod environments;
mod error;
pub mod findings;
pub mod groups;
pub mod jobs;
pub mod lease;
mod migrations;
pub mod mirror;
pub mod pending;
pub mod quota;
pub mod removals;
pub mod roles;
pub mod rows;
pub mod runs;
pub mod subjects;

use std::str::FromStr;
use std::time::Duration;

pub use error::{StoreError, StoreResult};
pub use migrations::Applied;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

/// A transaction of ours.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// A connection, whether in a transaction or not.
pub type Connection = sqlx::PgConnection;

/// A connection for reading.
pub type Reading = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// Longest wait for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database, through a pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Opens a pool; the first connection is made at once, so that a wrong address shows here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn connect(url: &str, max_connections: u32) -> StoreResult<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(StoreError::from)?
            .application_name("rollcall")
            .options([
                ("search_path", "rollcall"),
                // Our tables grow from nothing within one connection: a plan made for an empty table must not last.
                ("plan_cache_mode", "force_custom_plan"),
                ("idle_in_transaction_session_timeout", "15s"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// Begins a transaction whose writes are the sync's own, not an edit by somebody else.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self) -> StoreResult<Transaction> {
        Ok(self
            .pool
            .begin_with("begin; set local rollcall.writer = 'rollcall'")
            .await?)
    }

    /// A connection for reading outside a transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&self) -> StoreResult<Reading> {
        Ok(self.pool.acquire().await?)
    }

    /// The pool's connections: open, idle.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> StoreResult<()> {
        self.pool.acquire().await?.ping().await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Fails unless exactly as many rows were written as were meant to be.
fn expect_rows(result: &sqlx::postgres::PgQueryResult, expected: usize) -> StoreResult<()> {
    if usize::try_from(result.rows_affected()).ok() == Some(expected) {
        Ok(())
    } else {
        Err(StoreError::Conflict)
    }
}
