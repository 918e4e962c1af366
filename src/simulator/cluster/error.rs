//! What can go wrong with a private cluster. Each message says what to do, because it is read by somebody who only
//! wanted to see the demo or run the tests.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::READY_WITHIN;
use super::STOPPED_WITHIN;
use super::binaries::OLDEST;

/// Why there is no private cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable server on this machine.
    #[error(
        "find PostgreSQL server binaries, version {} or later; looked in: {searched}; install them with \
         `apt-get install postgresql`, or run ./dev, which does, or set ROLLCALL_PG_BIN to their folder",
        OLDEST
    )]
    NoBinaries {
        /// The folders, each with what is wrong with it.
        searched: String,
    },
    /// We are root, PostgreSQL refuses root, and there is nobody to become.
    #[error(
        "find an account to run PostgreSQL as, which refuses root: /etc/passwd has neither `postgres` nor `nobody`"
    )]
    NoAccount,
    /// The server's account may not enter the directory.
    #[error("enter {} as `{account}`, as whom root runs PostgreSQL; choose a directory below /var/lib or /var/tmp", directory.display())]
    NotReachable {
        /// The cluster's directory.
        directory: PathBuf,
        /// Who tried.
        account: String,
    },
    /// Another process runs this cluster.
    #[error("lock {}: another rollcall uses this directory; stop it, or choose another directory", directory.display())]
    InUse {
        /// The cluster's directory.
        directory: PathBuf,
    },
    /// The data is of another major version.
    #[error(
        "open {}: its data is of PostgreSQL {found} and the server found in {} is of version {version}; \
         remove the directory to begin afresh, or set ROLLCALL_PG_BIN to the folder of a server of version {found}",
        directory.display(), binaries.display()
    )]
    OtherVersion {
        /// The cluster's directory.
        directory: PathBuf,
        /// What made the data.
        found: String,
        /// The folder of the server.
        binaries: PathBuf,
        /// Its major version.
        version: u32,
    },
    /// initdb failed.
    #[error("initialise a cluster in {}: initdb says: {detail}", directory.display())]
    Initialise {
        /// The cluster's directory.
        directory: PathBuf,
        /// The end of its output.
        detail: String,
    },
    /// The server ended instead of starting.
    #[error("start PostgreSQL in {}: its log ends with: {detail}", directory.display())]
    Start {
        /// The cluster's directory.
        directory: PathBuf,
        /// The end of the log.
        detail: String,
    },
    /// The server takes too long.
    #[error("reach PostgreSQL in {} within {} s; its log ends with: {detail}", directory.display(), READY_WITHIN.as_secs())]
    NotReady {
        /// The cluster's directory.
        directory: PathBuf,
        /// The end of the log.
        detail: String,
        /// What the last attempt to connect met.
        source: sqlx::Error,
    },
    /// The server does not stop.
    #[error("stop PostgreSQL in {} within {} s; see postgres.log there", directory.display(), STOPPED_WITHIN.as_secs())]
    NotStopped {
        /// The cluster's directory.
        directory: PathBuf,
    },
    /// `ROLLCALL_TEST_DATABASE_URL` is no URL.
    #[error("read ROLLCALL_TEST_DATABASE_URL, which should be a superuser's postgres:// URL")]
    TestUrl(#[source] url::ParseError),
    /// The migrations, or whatever else fills the tests' template, failed.
    #[error("prepare the template database of the tests")]
    Template(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused a statement.
    #[error("{action}")]
    Database {
        /// What was asked of it.
        action: String,
        /// Its answer.
        source: sqlx::Error,
    },
    /// The file system refused.
    #[error("{action} {}", path.display())]
    File {
        /// What was asked of it.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A program did not start.
    #[error("run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Turns an answer of the file system into our error.
pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::File { action, path, source }
}

/// Turns a program's failure to start into our error.
pub(super) fn run(program: impl AsRef<OsStr>) -> impl FnOnce(io::Error) -> ClusterError {
    let program = PathBuf::from(program.as_ref());
    move |source| ClusterError::Run { program, source }
}
