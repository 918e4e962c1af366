//! A connection on which every wait is bounded, and its transactions.
//!
//! A server that is stopped, cut off or promoted away may never say so. So each statement has our timeout beside the
//! server's. A connection that broke, or whose statement was dropped half-way, is never used again. Nothing here
//! retries: see `Engine::retry`.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use super::error::{StoreError, StoreResult, is_away};

/// The server ends a statement after this long, so that it holds no locks for a client that is gone.
pub(super) const STATEMENT_TIMEOUT: &str = "30s";

/// Our own, slightly longer timeout: when it ends, the server itself does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// The timeout of each step that returns a connection to the pool.
const TIDY_WITHIN: Duration = Duration::from_secs(5);

/// When a connection broke last. Older connections lead to the same server and are no longer trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Breakdown(Arc<Mutex<Option<Instant>>>);

impl Breakdown {
    fn happened(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the pool opened the connection after that.
    pub fn is_older_than(&self, connection: &PoolConnectionMetadata) -> bool {
        let broke = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broke.is_none_or(|broke| connection.age < broke.elapsed())
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Idle,
    /// A statement is under way; if this stays, it was dropped half-way.
    Busy,
    /// The connection is unusable.
    Broken,
}

/// A connection from the pool, in a transaction or not.
pub struct Connection {
    /// `Some` until the connection is dropped.
    inner: Option<PoolConnection<Postgres>>,
    state: State,
    in_transaction: bool,
    /// Whether the server refused a statement of the transaction, so that it can only be rolled back.
    has_failed: bool,
    breakdown: Breakdown,
    statements: Arc<AtomicU64>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(inner: PoolConnection<Postgres>, breakdown: Breakdown, statements: Arc<AtomicU64>) -> Self {
        Self {
            inner: Some(inner),
            state: State::Idle,
            in_transaction: false,
            has_failed: false,
            breakdown,
            statements,
        }
    }

    /// Begins a statement: the connection that runs it, and the guard that records how it ends.
    fn begin(&mut self) -> Result<(&mut PgConnection, Completion<'_>), sqlx::Error> {
        let Some(inner) = self.inner.as_deref_mut().filter(|_| self.state == State::Idle) else {
            return Err(silence("the connection has broken before"));
        };
        self.state = State::Busy;
        self.statements.fetch_add(1, Ordering::Relaxed);
        let ending = Completion {
            state: &mut self.state,
            has_failed: &mut self.has_failed,
            breakdown: &self.breakdown,
        };
        Ok((inner, ending))
    }

    /// Runs one statement with one answer.
    async fn answer<'s, T>(
        &'s mut self,
        statement: impl FnOnce(&'s mut PgConnection) -> BoxFuture<'s, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let (inner, mut ending) = self.begin()?;
        let answer = in_time(statement(inner)).await;
        ending.tell(&answer);
        answer
    }

    async fn simple(&mut self, statement: &'static str) -> StoreResult<()> {
        Executor::execute(self, sqlx::raw_sql(statement)).await?;
        Ok(())
    }
}

/// Records how a statement ends. Dropping a statement records nothing, and leaves its connection busy.
struct Completion<'c> {
    state: &'c mut State,
    has_failed: &'c mut bool,
    breakdown: &'c Breakdown,
}

impl Completion<'_> {
    fn tell<T>(&mut self, answer: &Result<T, sqlx::Error>) {
        *self.state = match answer {
            Err(error) if is_away(error) => {
                self.breakdown.happened();
                State::Broken
            }
            _ => State::Idle,
        };
        *self.has_failed |= answer.is_err();
    }
}

/// An answer, if it comes within the timeout.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(silence("the server does not answer")),
    }
}

fn silence(what: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (inner, ending) = match self.begin() {
            Ok(begun) => begun,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        stream::unfold((inner.fetch_many(query), Some(ending)), async |(mut rows, ending)| {
            let mut ending = ending?;
            match in_time(rows.next().map(Option::transpose)).await {
                Ok(Some(row)) => Some((Ok(row), (rows, Some(ending)))),
                Ok(None) => {
                    ending.tell(&Ok(()));
                    None
                }
                Err(error) => {
                    let answer = Err(error);
                    ending.tell(&answer);
                    Some((answer, (rows, None)))
                }
            }
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.answer(|inner| inner.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.answer(|inner| inner.prepare_with(sql, parameters)).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.answer(|inner| inner.describe(sql)).boxed()
    }
}

/// Returns to the pool without a transaction, or not at all.
impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        if self.state != State::Idle {
            // Close it at once: the server ends what is left, and nobody waits for it.
            drop(inner.detach());
            return;
        }
        let in_transaction = self.in_transaction;
        tokio::spawn(async move {
            if in_transaction {
                let rolled_back = tokio::time::timeout(TIDY_WITHIN, inner.execute("rollback")).await;
                if !matches!(rolled_back, Ok(Ok(_))) {
                    drop(inner.detach());
                    return;
                }
            }
            let _ = tokio::time::timeout(TIDY_WITHIN, inner.return_to_pool()).await;
        });
    }
}

/// A transaction. Dropped without a commit, it is rolled back.
#[derive(Debug)]
pub struct Transaction(Connection);

impl Transaction {
    /// Begins a transaction. Its writes are distinguished from edits by other programs.
    pub(super) async fn begin(mut connection: Connection) -> StoreResult<Self> {
        connection.in_transaction = true;
        // Two in one message.
        connection.statements.fetch_add(1, Ordering::Relaxed);
        connection.simple("begin; select write_as_sync()").await?;
        Ok(Self(connection))
    }

    /// Commits.
    ///
    /// # Errors
    /// When the database fails. If it does not answer, the writes may or may not be committed.
    pub async fn commit(mut self) -> StoreResult<()> {
        // The server would roll back and report success.
        if self.0.has_failed {
            return Err(StoreError::Conflict);
        }
        let committed = Executor::execute(&mut self.0, sqlx::raw_sql("COMMIT")).await;
        // A deferred constraint may fail now.
        committed.map_err(StoreError::of_rows)?;
        self.0.in_transaction = false;
        Ok(())
    }

    /// Rolls back.
    ///
    /// # Errors
    /// When the database does not answer; the writes are rolled back all the same.
    pub async fn rollback(mut self) -> StoreResult<()> {
        self.0.simple("ROLLBACK").await?;
        self.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
