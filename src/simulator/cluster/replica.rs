//! A streaming replica of a private cluster, for trying what happens when a primary is lost.

use std::path::Path;

use tokio::fs;

use super::account::{self, Account};
use super::binaries::Binaries;
use super::error::{ClusterError, file, run};
use super::site::{Site, tail};
use super::{Cluster, DATA, Options, SUPERUSER, UNFINISHED, lock, on_a_free_port};

/// The program that copies a running cluster.
const COPIER: &str = "pg_basebackup";

impl Cluster {
    /// Whether the PostgreSQL on this machine can make replicas: some packages leave the program for it out.
    ///
    /// # Errors
    /// When there is no PostgreSQL at all.
    pub async fn can_replicate() -> Result<bool, ClusterError> {
        let account = Account::for_server().await?;
        let binaries = Binaries::find(account.as_ref()).await?;
        Ok(fs::try_exists(binaries.folder.join(COPIER)).await.unwrap_or(false))
    }

    /// Starts a replica of this cluster in a new `directory`; `options` are this cluster's. It follows until it is
    /// promoted, by way of `port`, which is this cluster's own or that of a proxy before it.
    ///
    /// # Errors
    /// As [`Cluster::start`]; also when this cluster cannot be copied.
    pub async fn start_replica(&self, directory: &Path, options: &Options, port: u16) -> Result<Self, ClusterError> {
        let (account, binaries) = (&self.account, &self.binaries);
        fs::create_dir_all(directory).await.map_err(file("create", directory))?;
        let directory = fs::canonicalize(directory).await.map_err(file("resolve", directory))?;
        if let Some(account) = account {
            account.require_entry(&directory).await?;
        }
        self.copy_to(&directory, port).await?;
        on_a_free_port(async || {
            let lock = lock(&directory).await?;
            let site = Site {
                directory: &directory,
                account: account.as_ref(),
                binaries,
            };
            let (port, keeper, leash) = site.launch(options, &self.password, false).await?;
            Ok(Self {
                directory: directory.clone(),
                temporary: false,
                password: self.password.clone(),
                port,
                account: account.clone(),
                binaries: binaries.clone(),
                keeper,
                leash,
                _lock: lock,
            })
        })
        .await
    }

    /// Copies the running cluster, and notes in the copy whom it follows.
    async fn copy_to(&self, directory: &Path, port: u16) -> Result<(), ClusterError> {
        let unfinished = directory.join(UNFINISHED);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .await
            .map_err(file("create", &unfinished))?;
        account::give(&unfinished, self.account.as_ref()).await?;
        let mut copier = self.binaries.command(COPIER, self.account.as_ref());
        copier.arg("--pgdata").arg(&unfinished).args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        // On the command line others could read the password.
        let output = copier
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", &self.password)
            .current_dir(directory)
            .output()
            .await
            .map_err(run(copier.as_std().get_program()))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(ClusterError::Initialise {
                directory: directory.to_owned(),
                detail: tail(&String::from_utf8_lossy(&said)),
            });
        }
        let data = directory.join(DATA);
        fs::rename(&unfinished, &data)
            .await
            .map_err(file("rename", &unfinished))
    }
}
