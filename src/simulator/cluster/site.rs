//! The steps of starting a cluster in a directory that is ours: repair, initialise, launch.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::fs;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::clock::Clock;

use super::account::{self, Account};
use super::binaries::Binaries;
use super::error::{ClusterError, file, run};
use super::{DATA, LOG, Options, PASSWORD, POLL, READY_WITHIN, STOPPED_WITHIN, SUPERUSER, UNFINISHED, polls};

/// Runs the server and stops it when standard input ends. `$1` is the signal, `$2` a directory to remove afterwards
/// or nothing, the rest the server's command line. The watcher is stopped first when the server ends by itself,
/// because the process id could belong to somebody else later. A server that is only just starting does not hear the
/// first signal, so it is repeated.
const KEEPER: &str = r#"
signal=$1 remove=$2
shift 2
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; while kill -s "$signal" "$server" 2>/dev/null; do sleep 0.2; done; } &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
[ -z "$remove" ] || rm -rf -- "$remove" 2>/dev/null
exit "$status"
"#;

/// What starting needs at every step.
pub(super) struct Site<'a> {
    pub(super) directory: &'a Path,
    pub(super) account: Option<&'a Account>,
    pub(super) binaries: &'a Binaries,
}

impl Site<'_> {
    fn data(&self) -> PathBuf {
        self.directory.join(DATA)
    }

    /// Removes what an interrupted run left: a half-made cluster, a server still stopping, its process-id file.
    ///
    /// We hold the lock, so a server that still runs here has lost its owner.
    pub(super) async fn remove_leftovers(&self) -> Result<(), ClusterError> {
        remove_directory(&self.directory.join(UNFINISHED)).await?;
        let pid_file = self.data().join("postmaster.pid");
        let owner = |text: String| text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
        if let Some(pid) = fs::read_to_string(&pid_file).await.ok().and_then(owner) {
            if self.is_running(pid, STOPPED_WITHIN).await {
                self.binaries.stop_at_once(&self.data(), self.account).await;
            }
            if self.is_running(pid, STOPPED_WITHIN).await {
                return Err(ClusterError::NotStopped {
                    directory: self.directory.to_owned(),
                });
            }
        }
        // A server that crashed leaves this file, and by now its process id may be somebody else's, which would
        // keep the next server from starting.
        match fs::remove_file(&pid_file).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", &pid_file)(error)),
            _ => Ok(()),
        }
    }

    /// Whether process `pid` is a server on our data directory and still is after `patience`.
    async fn is_running(&self, pid: u32, patience: Duration) -> bool {
        let data = self.data();
        for _ in 0..=polls(patience) {
            let command_line = match fs::read(format!("/proc/{pid}/cmdline")).await {
                Ok(bytes) => bytes,
                Err(_) if Path::new("/proc/self").exists() => return false,
                Err(_) => {
                    let ps = Command::new("ps")
                        .args(["-o", "command=", "-p", &pid.to_string()])
                        .output()
                        .await;
                    ps.map(|output| output.stdout).unwrap_or_default()
                }
            };
            if !String::from_utf8_lossy(&command_line).contains(&*data.to_string_lossy()) {
                return false;
            }
            Clock::system().sleep(POLL).await;
        }
        true
    }

    /// Makes the cluster unless the directory has one, and returns the superuser's password.
    pub(super) async fn initialise(&self, options: &Options) -> Result<String, ClusterError> {
        let data = self.data();
        let password_file = self.directory.join(PASSWORD);
        if !options.fresh
            && let Ok(version) = fs::read_to_string(data.join("PG_VERSION")).await
            && let Ok(password) = fs::read_to_string(&password_file).await
        {
            if version.trim() != self.binaries.version.to_string() {
                return Err(ClusterError::OtherVersion {
                    directory: self.directory.to_owned(),
                    found: version.trim().to_owned(),
                    binaries: self.binaries.folder.clone(),
                    version: self.binaries.version,
                });
            }
            return Ok(password);
        }

        remove_directory(&data).await?;
        let unfinished = self.directory.join(UNFINISHED);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .await
            .map_err(file("create", &unfinished))?;
        account::give(&unfinished, self.account).await?;
        let password = Uuid::new_v4().simple().to_string();
        write_private(&password_file, &password).await?;
        account::give(&password_file, self.account).await?;

        let mut initdb = self.binaries.command("initdb", self.account);
        initdb
            .arg("--pgdata")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(&password_file);
        // A client derives the key of scram-sha-256 in 4,096 rounds, which takes an unoptimised test 0.1 s. The server
        // does it quickly, and the password of a throwaway server does not leave this machine.
        let auth = if options.durable { "scram-sha-256" } else { "password" };
        initdb.args(["--username", SUPERUSER, "--auth", auth]);
        initdb.args(["--encoding", "UTF8", "--no-instructions"]);
        // Plain byte order, Unicode letters. Debian always has it; elsewhere it may be missing.
        initdb.arg(if cfg!(target_os = "linux") {
            "--locale=C.UTF-8"
        } else {
            "--no-locale"
        });
        if !options.durable {
            initdb.arg("--no-sync");
        }
        let output = initdb
            .current_dir(self.directory)
            .output()
            .await
            .map_err(run(initdb.as_std().get_program()))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(ClusterError::Initialise {
                directory: self.directory.to_owned(),
                detail: tail(&String::from_utf8_lossy(&said)),
            });
        }
        fs::rename(&unfinished, &data)
            .await
            .map_err(file("rename", &unfinished))?;
        Ok(password)
    }

    /// Starts the server on a free port and waits until it answers.
    pub(super) async fn launch(
        &self,
        options: &Options,
        password: &str,
        temporary: bool,
    ) -> Result<(u16, Child, OwnedFd), ClusterError> {
        let log_file = self.directory.join(LOG);
        let _ = fs::remove_file(&log_file).await;
        let log = fs::OpenOptions::new()
            .create_new(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&log_file)
            .await;
        let log = log.map_err(file("create", &log_file))?.into_std().await;
        let another = || log.try_clone().map_err(file("open", &log_file));
        let port = free_port().map_err(file("take a free port of", Path::new("127.0.0.1")))?;

        let mut keeper = account::command(OsStr::new("/bin/sh"), self.account);
        keeper.args([
            "-c",
            KEEPER,
            "rollcall-postgres",
            if options.durable { "INT" } else { "QUIT" },
        ]);
        keeper.arg(if temporary {
            self.directory.as_os_str()
        } else {
            OsStr::new("")
        });
        keeper
            .arg(self.binaries.folder.join("postgres"))
            .arg("-D")
            .arg(self.data());
        for setting in options.settings(port) {
            keeper.arg("-c").arg(setting);
        }
        keeper
            .current_dir(self.directory)
            .stdin(Stdio::piped())
            .stdout(another()?)
            .stderr(another()?);
        // A group of its own: Ctrl-C is for us, who may still need the server to end well.
        keeper.process_group(0);
        let mut keeper = keeper.spawn().map_err(run("/bin/sh"))?;
        let Some(leash) = keeper.stdin.take() else {
            return Err(run("/bin/sh")(io::ErrorKind::BrokenPipe.into()));
        };
        // Out of the runtime's hands: a cluster in a static outlives the runtime of the test that started it.
        let leash = leash.into_owned_fd().map_err(run("/bin/sh"))?;

        let url = format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{SUPERUSER}");
        let mut failure = sqlx::Error::PoolTimedOut;
        for _ in 0..polls(READY_WITHIN) {
            if keeper.try_wait().map_err(run("/bin/sh"))?.is_some() {
                return Err(ClusterError::Start {
                    directory: self.directory.to_owned(),
                    detail: log_tail(log).await,
                });
            }
            match PgConnection::connect(&url).await {
                Ok(connection) => {
                    // It has answered; how it hears our goodbye is of no interest.
                    let _ = connection.close().await;
                    return Ok((port, keeper, leash));
                }
                Err(error) => failure = error,
            }
            Clock::system().sleep(POLL).await;
        }
        let detail = log_tail(log).await;
        Err(ClusterError::NotReady {
            directory: self.directory.to_owned(),
            detail,
            source: failure,
        })
    }
}

async fn remove_directory(path: &Path) -> Result<(), ClusterError> {
    match fs::remove_dir_all(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a file that only its owner may read, whatever stood there before.
async fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    use tokio::io::AsyncWriteExt;
    if let Err(error) = fs::remove_file(path).await
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(file("remove", path)(error));
    }
    let new = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .await;
    let mut new = new.map_err(file("create", path))?;
    new.write_all(text.as_bytes()).await.map_err(file("write", path))?;
    new.flush().await.map_err(file("write", path))
}

/// A port that nobody listens on at this moment.
fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The end of the server's log, read through our own handle: a temporary cluster's file may be gone by now.
async fn log_tail(log: std::fs::File) -> String {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    let mut log = fs::File::from_std(log);
    let mut text = Vec::new();
    if log.rewind().await.is_ok() {
        // What could be read is worth showing, whatever cut it short.
        let _ = log.read_to_end(&mut text).await;
    }
    tail(&String::from_utf8_lossy(&text))
}

/// The last lines of a log, on one line.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join(" | ")
}
