//! Database errors, and the remedy for each.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::cause::{DatabaseMessage, Ending};
use super::fault::Fault;
use crate::domain::schema::Schema;

/// Shorthand.
pub type StoreResult<T> = Result<T, StoreError>;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or cannot answer now: a retry may succeed.
    #[error("{}", .0.attempt())]
    Unavailable(#[source] DatabaseMessage),
    /// A concurrent transaction wrote the same rows; a retry of this one may succeed.
    #[error("write rows that somebody else has changed meanwhile")]
    Conflict,
    /// Something that must exist is missing: a bug in this program, which a retry does not fix.
    #[error("go on without {0}")]
    Inconsistent(&'static str),
    /// The database refuses a row.
    #[error("write a row")]
    Refused(#[source] Fault),
    /// The database refuses a value that a person gave for a column.
    #[error("write a value: {0}")]
    Value(String),
    /// Another process leads now.
    #[error("write without holding the lease")]
    LeaseLost,
    /// The database was restarted or replaced by another server: it may lack the last commits.
    #[error("go on with what was begun on another server")]
    ServerReplaced,
    /// The database encoding is not UTF8.
    #[error("keep names in a database whose encoding is {0}")]
    Encoding(String),
    /// The schema's name is an SQL keyword.
    #[error("write SQL with {0}, a word of its own, as the schema's name")]
    Reserved(Schema),
    /// A proxy between us and the server drops a session's settings.
    #[error("work in a session whose search_path is {0:?} and not the one that was asked for")]
    SearchPath(String),
    /// The schema belongs to another tenant than the configured one.
    #[error("use a schema that belongs to tenant {0} for another tenant.id")]
    OtherTenant(uuid::Uuid),
    /// Migrations were applied from other files than this program's.
    #[error("trust a schema whose migrations {0:?} were applied from other files than this program has")]
    Altered(Vec<i64>),
    /// The user of the database may not apply the migrations.
    #[error("apply the database migrations as this user of the database")]
    MayNotMigrate(#[source] DatabaseMessage),
    /// The schema is that of a newer program, and lacks migrations of this one.
    #[error("apply migrations to a schema that has migration {0} of a newer program")]
    Newer(i64),
    /// The migrations cannot be applied.
    #[error("apply the database migrations")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Any other database error.
    #[error("{}", .0.attempt())]
    Database(#[source] DatabaseMessage),
}

impl StoreError {
    /// Whether an immediate retry of the transaction may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Conflict => true,
            Self::Refused(fault) => fault.may_pass(),
            _ => false,
        }
    }

    /// The fault of a single row, if one row may have caused the error: its values, a customer's constraint or trigger,
    /// or a writer that keeps conflicting. Any other error would affect every row.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Refused(fault) => Some(fault.clone()),
            Self::Conflict => Some(Fault::unknown("40001")),
            Self::Database(DatabaseMessage(sqlx::Error::Database(error))) => {
                let code = error.code().unwrap_or_default();
                // data exception, integrity constraint, raised by a function
                let is_about_row = ["22", "23", "P0"].iter().any(|class| code.starts_with(class));
                is_about_row.then(|| Fault::unknown(&code))
            }
            _ => None,
        }
    }

    /// The SQLSTATE of the server's error.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Unavailable(said) | Self::Database(said) => {
                let error = said.0.as_database_error()?;
                error.code().map(|code| format!("SQLSTATE {code}"))
            }
            _ => None,
        }
    }

    /// The server's own words, if the error is of the server or the way to it.
    fn said(&self) -> Option<&DatabaseMessage> {
        match self {
            Self::Unavailable(said) | Self::MayNotMigrate(said) | Self::Database(said) => Some(said),
            _ => None,
        }
    }

    /// Whether it matters which server this was.
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        self.said().is_some()
    }

    /// Whether the database does not do its work now, as opposed to refusing something: a retry may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::ServerReplaced)
    }

    /// Whether the database is away and may come back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::ServerReplaced => true,
            error => error.said().is_some_and(|said| said.ending() == Ending::Away),
        }
    }

    /// Whether this is not the database that this program and its configuration are for.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        match self {
            Self::Encoding(_)
            | Self::Reserved(_)
            | Self::SearchPath(_)
            | Self::OtherTenant(_)
            | Self::Altered(_)
            | Self::MayNotMigrate(_)
            | Self::Newer(_) => true,
            error => error.said().is_some_and(|said| said.ending() == Ending::Misconfigured),
        }
    }

    /// What an administrator can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unavailable(said) | Self::Database(said) => said.remedy(),
            Self::Conflict => "Try again.",
            Self::Inconsistent(_) => "Report this with the log around it.",
            Self::Refused(_) => "Ask whoever owns the constraint or trigger that is named.",
            Self::ServerReplaced => "Try again: the next run goes on from what the server has.",
            Self::Value(_) => "Give another value.",
            Self::LeaseLost => "Nothing to do: the process that leads now goes on.",
            Self::Encoding(_) => {
                "Make a database with `createdb --encoding=UTF8 --template=template0 NAME`, move what the old one holds with pg_dump, and name the new one in database.url."
            }
            Self::Reserved(_) => "Choose another name in database.schema.",
            Self::SearchPath(_) => {
                "Connect to the server itself, or let the pooler pass the start-up parameter `options` on and give each session a connection of its own."
            }
            Self::OtherTenant(_) => {
                "Correct tenant.id, database.url or database.schema: each tenant needs a schema of its own. If this one shall really change hands, its owner deletes the line in its table installation."
            }
            Self::Altered(_) => {
                "Run the released program that applied them, or restore the schema from a backup; a release never edits a migration. The table _sqlx_migrations, there, shows what was applied."
            }
            Self::MayNotMigrate(_) => {
                "Run `rollcall migrate` with the schema's owner as the user in database.url (deploy/database-roles.sql makes one), or let the database's owner grant this user CREATE on the database."
            }
            Self::Newer(_) => "Run a program that is no older than the schema.",
            Self::Migrate(_) => {
                "Correct what the database refused, and run `rollcall migrate`; nothing is half applied."
            }
        }
    }
}

/// Whether the connection is of no more use: nobody answers at its other end, or a server that cannot help, such as one
/// that is shutting down or is no longer the primary.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let said = database.try_downcast_ref::<PgDatabaseError>();
            let is_fatal = said.is_some_and(|said| matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic));
            // A function can raise any code; the session goes on.
            let is_in_function = said.is_some_and(|said| said.r#where().is_some_and(|context| context.contains("PL/")));
            // connection failure, shutdown or startup, a session ended for idling, a read-only server, wrong password
            // or unknown role, unknown database, a plan made for other tables
            let is_session = ["08", "57P", "25P03", "25006", "28", "3D000", "0A000"]
                .iter()
                .any(|beginning| code.starts_with(beginning));
            is_fatal || (is_session && !is_in_function)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Configuration(_) => true,
        _ => false,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match code.as_deref().unwrap_or_default() {
            // serialization failure, deadlock, unique violation: a concurrent writer was first; an outdated plan for a
            // table that has changed: re-planned on another connection
            "40001" | "40P01" | "23505" | "0A000" => Self::Conflict,
            _ if is_away(&error) => Self::Unavailable(DatabaseMessage(error)),
            // statement or lock timeout; too many connections, out of memory or disk; a disk failure
            code if code == "57014" || code == "55P03" || code.starts_with("53") || code.starts_with("58") => {
                Self::Unavailable(DatabaseMessage(error))
            }
            _ => Self::Database(DatabaseMessage(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::Execute(error) => Self::of_migration(error).unwrap_or_else(Self::from),
            MigrateError::ExecuteMigration(error, version) => Self::of_migration(error)
                .unwrap_or_else(|error| Self::Migrate(MigrateError::ExecuteMigration(error, version))),
            error => Self::Migrate(error),
        }
    }
}

impl StoreError {
    /// An error of a statement that changes the schema, if the user's rights are its cause.
    pub(super) fn of_migration(error: sqlx::Error) -> Result<Self, sqlx::Error> {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        // insufficient privilege; no schema in the search path that the user may use
        match code.as_deref() {
            Some("42501" | "3F000") => Ok(Self::MayNotMigrate(DatabaseMessage(error))),
            _ if is_away(&error) => Ok(Self::from(error)),
            _ => Err(error),
        }
    }
}
