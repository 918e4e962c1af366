//! A replica of the database, for lists that may be seconds old; nothing is judged by it. Where it does not answer or is
//! too far behind, the database itself answers, and the log says so once.

use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tracing::{info, warn};
use uuid::Uuid;

use super::connection::{Breakdown, Connection};
use super::{Store, StoreError, StoreResult, pool_of, session};

/// The furthest that a replica may be behind.
const MOST_LAG: Duration = Duration::from_secs(30);

/// The longest wait for the replica, before the database itself is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long a replica that failed is not asked.
const REST: Duration = Duration::from_secs(10);

/// Why a replica cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It follows too slowly, or not at all, or no daemon writes to the database that it follows.
    #[error(
        "the replica is {} s behind: look at its replication, unless no daemon leads, since only a leader writes every \
         second", .0.as_secs()
    )]
    Behind(Duration),
    /// It was started and has not heard of the database yet.
    #[error("the replica has replayed nothing yet")]
    Empty,
    /// It takes too long.
    #[error("the replica does not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    /// It refuses, or is no replica of this database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The connections to a replica.
#[derive(Debug)]
pub(super) struct Replica {
    pool: PgPool,
    breakdown: Breakdown,
    tenant: Uuid,
    /// When it failed last; none if it answered since.
    failed_at: Mutex<Option<Instant>>,
    statements: Arc<AtomicU64>,
}

impl Replica {
    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection, and how far the replica is behind.
    async fn look(&self) -> Result<(Connection, Duration), Unusable> {
        let looked = tokio::time::timeout(ANSWER_WITHIN, async {
            let inner = self.pool.acquire().await?;
            let mut db = Connection::new(inner, self.breakdown.clone(), Arc::clone(&self.statements));
            let found = sqlx::query!(
                r#"select tenant, case when pg_is_in_recovery()
                       then extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 else 0
                   end as lag
                   from installation"#
            );
            let found = found.fetch_one(&mut db).await?;
            Ok::<_, StoreError>((db, found.tenant, found.lag))
        });
        let (db, tenant, lag) = looked.await.map_err(|_| Unusable::Silent)??;
        if tenant != self.tenant {
            return Err(StoreError::OtherTenant(tenant).into());
        }
        // A leader writes every second, so a replica that follows replays every second.
        let lag = Duration::from_secs_f64(lag.ok_or(Unusable::Empty)?.max(0.0));
        if lag > MOST_LAG {
            return Err(Unusable::Behind(lag));
        }
        Ok((db, lag))
    }

    /// A connection, unless the replica cannot be used.
    async fn connection(&self) -> Option<Connection> {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if failed_at.is_some_and(|at| at.elapsed() < REST) {
            return None;
        }
        let looked = self.look().await;
        let failing = looked.is_err().then(Instant::now);
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = failing;
        match looked {
            Ok((db, _)) => {
                if failed_at.is_some() {
                    info!("the database's replica can be used again");
                }
                Some(db)
            }
            Err(error) => {
                if failed_at.is_none() {
                    warn!(%error, "lists are read from database.url, since database.read_url cannot be used");
                }
                None
            }
        }
    }
}

impl Store {
    /// The same, with a replica for lists. It is connected to when a list is asked for.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn with_replica(mut self, url: &str, tenant: Uuid) -> StoreResult<Self> {
        let options = session(PgConnectOptions::from_str(url).map_err(StoreError::from)?, &self.schema);
        let breakdown = Breakdown::default();
        let statements = Arc::clone(&self.statements);
        self.replica = Some(Arc::new(Replica {
            pool: pool_of(options, self.max_connections(), &breakdown, &statements),
            breakdown,
            tenant,
            failed_at: Mutex::default(),
            statements,
        }));
        Ok(self)
    }

    /// A connection for a list that may be seconds old: to the replica, or else to the database itself.
    pub async fn read_aged(&self) -> StoreResult<Connection> {
        if let Some(replica) = &self.replica
            && let Some(db) = replica.connection().await
        {
            return Ok(db);
        }
        self.read().await
    }

    /// How far the replica is behind; none if none is configured.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn replica_lag(&self) -> Result<Option<Duration>, Unusable> {
        match &self.replica {
            Some(replica) => Ok(Some(replica.look().await?.1)),
            None => Ok(None),
        }
    }
}
