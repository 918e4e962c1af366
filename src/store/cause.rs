//! What a driver's error means to an operator: what failed, how the program ends, and the remedy.
//!
//! Server messages are quoted, except those of a customer's function, which may hold personal data.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use rustls::CertificateError;
use sqlx::postgres::PgDatabaseError;

use super::fault::Fault;

/// A driver error in words.
#[derive(Debug)]
pub struct DatabaseMessage(pub(super) sqlx::Error);

/// How a command ends that met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The database is away and may come back.
    Away,
    /// The configuration or the server's set-up has to change first.
    Misconfigured,
    /// This command failed; the database answers.
    Failed,
}

/// The causes with a remedy of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Refused,
    UnknownHost,
    Unreachable,
    Lost,
    ShutDown,
    TooManyClients,
    PoolExhausted,
    StatementTimeout,
    LockTimeout,
    OutOfResources,
    ReadOnly,
    SignIn,
    NoDatabase,
    Certificate(CertificateProblem),
    NoTls,
    Settings,
    NoRight,
    CustomFunction,
    MissingTable,
    Other,
}

/// Why a server certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateProblem {
    UnknownIssuer,
    OtherName,
    Expired,
    /// An authority's own certificate, which most self-signed ones are.
    Authority,
    /// X.509 version 1, which rustls cannot read, whether it verifies it or not.
    Version1,
    Other,
}

impl Cause {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) if custom_function(error).is_some() => Self::CustomFunction,
            sqlx::Error::Database(said) => Self::of_code(&said.code().unwrap_or_default()),
            sqlx::Error::PoolTimedOut => Self::PoolExhausted,
            sqlx::Error::Tls(error) if error.to_string().contains("does not support TLS") => Self::NoTls,
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Settings,
            sqlx::Error::Io(error) => Self::of_io(error),
            sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Lost,
            _ => Self::Other,
        }
    }

    fn of_code(code: &str) -> Self {
        match code {
            "57P01" | "57P02" | "57P03" => Self::ShutDown,
            "53300" => Self::TooManyClients,
            "57014" => Self::StatementTimeout,
            "55P03" => Self::LockTimeout,
            "25006" => Self::ReadOnly,
            "3D000" => Self::NoDatabase,
            "42501" => Self::NoRight,
            "3F000" | "42P01" | "42703" | "42883" => Self::MissingTable,
            code if code.starts_with("28") => Self::SignIn,
            code if code.starts_with("53") || code.starts_with("58") => Self::OutOfResources,
            code if code.starts_with("08") || code == "25P03" => Self::Lost,
            _ => Self::Other,
        }
    }

    fn of_io(error: &std::io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(problem)) = tls {
            return Self::Certificate(CertificateProblem::of(problem));
        }
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::PermissionDenied => Self::Refused,
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            // The standard library's own words; the kind is that of any other error.
            _ if error.to_string().starts_with("failed to lookup address") => Self::UnknownHost,
            _ => Self::Lost,
        }
    }

    /// What was tried, as a verb phrase that ends with the database.
    fn attempt(self) -> &'static str {
        match self {
            Self::Refused | Self::UnknownHost | Self::Unreachable | Self::Lost | Self::ShutDown => "reach the database",
            Self::TooManyClients | Self::PoolExhausted => "get a connection to the database",
            Self::StatementTimeout => "finish a statement in the database",
            Self::LockTimeout => "get a lock in the database",
            Self::ReadOnly | Self::CustomFunction => "write to the database",
            Self::SignIn => "sign in to the database",
            Self::NoDatabase => "open the database",
            Self::Certificate(_) => "trust the server certificate of the database",
            Self::NoTls => "encrypt the connection to the database",
            Self::Settings | Self::OutOfResources | Self::NoRight | Self::MissingTable | Self::Other => {
                "use the database"
            }
        }
    }

    fn ending(self) -> Ending {
        match self {
            Self::Refused
            | Self::UnknownHost
            | Self::Unreachable
            | Self::Lost
            | Self::ShutDown
            | Self::TooManyClients
            | Self::ReadOnly => Ending::Away,
            Self::SignIn
            | Self::NoDatabase
            | Self::Certificate(_)
            | Self::NoTls
            | Self::Settings
            | Self::NoRight
            | Self::MissingTable => Ending::Misconfigured,
            Self::PoolExhausted
            | Self::StatementTimeout
            | Self::LockTimeout
            | Self::OutOfResources
            | Self::CustomFunction
            | Self::Other => Ending::Failed,
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Refused => "Start PostgreSQL there, or correct host and port in database.url.",
            Self::UnknownHost => "Correct the host in database.url, or this machine's name service (DNS).",
            Self::Unreachable => "Check host and port in database.url, and the firewalls on the way.",
            Self::Lost => "Try again; if it stays, the server's log says why it ends connections.",
            Self::ShutDown => "Try again when the server is up.",
            Self::TooManyClients => {
                "Raise max_connections of the server, or lower database.max_connections of the programs that use it."
            }
            Self::PoolExhausted => "Raise database.max_connections, or ask for less at once.",
            Self::StatementTimeout => {
                "Try again when the server has less to do; its view pg_stat_activity shows what it is doing."
            }
            Self::LockTimeout => {
                "Another session holds a table or row: the server's views pg_locks and pg_stat_activity name it. End it, \
                 and try again."
            }
            Self::OutOfResources => "Free disk space or memory on the server.",
            Self::ReadOnly => "Name the primary server in database.url; this one only reads.",
            Self::SignIn => "Correct user and password in database.url, or let the server's pg_hba.conf admit them.",
            Self::NoDatabase => "Create it with `createdb`, or correct its name in database.url.",
            Self::Certificate(problem) => problem.remedy(),
            Self::NoTls => {
                "Turn `ssl` on in the server's postgresql.conf. Where the network is trusted, sslmode=prefer in \
                 database.url does without."
            }
            Self::Settings => "Correct database.url.",
            Self::NoRight => {
                "Correct the user in database.url, or grant the right: deploy/database-roles.sql, run again after a \
                 migration, grants what the daemon's role needs."
            }
            Self::CustomFunction => {
                "Ask whoever owns that function or trigger; the server's log has its message, which is not repeated here."
            }
            Self::MissingTable => "Check database.url and database.schema, and run `rollcall migrate`.",
            Self::Other => "The server's log says what it refused and why.",
        }
    }
}

impl CertificateProblem {
    fn of(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::Other(other) => match format!("{other:?}") {
                text if text.contains("UnsupportedCertVersion") => Self::Version1,
                text if text.contains("CaUsedAsEndEntity") => Self::Authority,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "it is signed by an authority that is not trusted here",
            Self::OtherName => "it is for another host name",
            Self::Expired => "it is outside its period of validity",
            Self::Authority => "it is self-signed, made for an authority and not for a server",
            Self::Version1 => "it is an X.509 certificate of version 1",
            Self::Other => "it is not valid",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "Name the authority's certificate in database.url: sslmode=verify-full&sslrootcert=FILE. \
                 sslmode=require encrypts without verifying the server."
            }
            Self::OtherName => {
                "Connect by the name in the certificate, or use sslmode=verify-ca in database.url, which does not \
                 compare names."
            }
            Self::Expired => "Renew it, or set the clocks. sslmode=require encrypts without verifying the server.",
            Self::Authority | Self::Other => {
                "Give the server a certificate that an authority has signed. sslmode=require in database.url encrypts \
                 without verifying the server."
            }
            Self::Version1 => {
                "Give the server a certificate of version 3, as `openssl req -x509` makes it. Until then only \
                 sslmode=disable in database.url works, which does not encrypt."
            }
        }
    }
}

/// The function of a customer that raised the error, if one did: its name, and the code.
fn custom_function(error: &sqlx::Error) -> Option<Fault> {
    let said = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    Fault::of_function(said)
}

impl DatabaseMessage {
    /// What was tried, as a verb phrase that ends with the database.
    pub(super) fn attempt(&self) -> &'static str {
        Cause::of(&self.0).attempt()
    }

    pub(super) fn ending(&self) -> Ending {
        Cause::of(&self.0).ending()
    }

    pub(super) fn remedy(&self) -> &'static str {
        Cause::of(&self.0).remedy()
    }

    pub(super) fn is_code(&self, code: &str) -> bool {
        let said = self.0.as_database_error().and_then(sqlx::error::DatabaseError::code);
        said.is_some_and(|said| said == code)
    }
}

impl fmt::Display for DatabaseMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(function) = custom_function(&self.0) {
            return function.fmt(f);
        }
        match (Cause::of(&self.0), &self.0) {
            (Cause::Certificate(problem), _) => f.write_str(problem.sentence()),
            (Cause::UnknownHost, _) => f.write_str("no host of that name is known"),
            (Cause::PoolExhausted, _) => f.write_str("all connections of the pool were in use for 10 s"),
            (Cause::NoTls, _) => f.write_str("the server does not offer TLS"),
            (_, sqlx::Error::Database(database)) => {
                let code = database.code().unwrap_or_default();
                write!(f, "{} (SQLSTATE {code})", database.message())
            }
            (_, sqlx::Error::Io(error)) => error.fmt(f),
            (_, sqlx::Error::Tls(error)) => write!(f, "TLS: {error}"),
            (_, sqlx::Error::Configuration(error)) => error.fmt(f),
            (_, error) => error.fmt(f),
        }
    }
}

impl Error for DatabaseMessage {}
