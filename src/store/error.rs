//! What can go wrong with the database, and what to do about it.

use std::fmt;

/// Shorthand.
pub type StoreResult<T> = Result<T, StoreError>;

/// What the driver said, once: of an error of the server, its message and its code.
#[derive(Debug)]
pub struct Said(sqlx::Error);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                write!(f, "{} (SQLSTATE {code})", database.message())
            }
            sqlx::Error::Io(error) => error.fmt(f),
            sqlx::Error::Tls(error) => write!(f, "TLS: {error}"),
            sqlx::Error::Configuration(error) => error.fmt(f),
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for Said {}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or has gone away.
    #[error("reach the database")]
    Unavailable(#[source] Said),
    /// Somebody else wrote the same rows at the same time; the transaction can simply be repeated.
    #[error("write rows that somebody else has changed meanwhile")]
    Conflict,
    /// Another process leads now.
    #[error("write without holding the lease")]
    LeaseLost,
    /// The migrations cannot be applied.
    #[error("apply the database migrations")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Anything else the database said.
    #[error("use the database")]
    Database(#[source] Said),
}

impl StoreError {
    /// Whether repeating the transaction at once may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict)
    }

    /// Whether the database is away, rather than unhappy.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// What an administrator can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => {
                "Check that PostgreSQL runs, that database.url names the right host, database and user, and that the password is right."
            }
            Self::Conflict => "Try again.",
            Self::LeaseLost => "Nothing to do: the process that leads now goes on.",
            Self::Migrate(_) => {
                "Run `rollcall migrate` with a database user that may create tables, and with a program no older than the schema."
            }
            Self::Database(_) => {
                "Run `rollcall migrate`; if it stays, the server's log says what the database refused and why."
            }
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.as_ref() {
                    // serialization failure, deadlock, unique violation: somebody else was there first
                    "40001" | "40P01" | "23505" => Self::Conflict,
                    // connection trouble, shutting down, too many connections, out of memory or disk, unknown
                    // database, wrong password, no such role
                    code if code.starts_with("08")
                        || code.starts_with("57P")
                        || code.starts_with("53")
                        || code.starts_with("28")
                        || code == "25P03"
                        || code == "3D000" =>
                    {
                        Self::Unavailable(Said(error))
                    }
                    _ => Self::Database(Said(error)),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Configuration(_) => Self::Unavailable(Said(error)),
            _ => Self::Database(Said(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => Self::from(error),
            error => Self::Migrate(error),
        }
    }
}
