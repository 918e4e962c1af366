//! Finds the PostgreSQL server on this machine.
//!
//! `ROLLCALL_PG_BIN`, when set, is the only folder looked in. Else: `PATH`, the usual install folders (newest
//! first), and the folder into which `./dev` unpacks a server for somebody who is not root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::account::{self, Account};
use super::error::{ClusterError, run};

/// The oldest major version that the migrations are written for.
pub(super) const OLDEST: u32 = 15;

/// Folders of versions side by side, with `*` for the version, and folders of one version.
const INSTALLED: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A folder with a usable server.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    /// The major version.
    pub(super) version: u32,
}

impl Binaries {
    /// The first folder with a server that `account` can run and that is new enough.
    pub(super) async fn find(account: Option<&Account>) -> Result<Self, ClusterError> {
        if let Some(folder) = std::env::var_os("ROLLCALL_PG_BIN").filter(|folder| !folder.is_empty()) {
            return Self::find_in(vec![PathBuf::from(folder)], account).await;
        }
        let looked_up = tokio::task::spawn_blocking(usual_folders).await;
        Self::find_in(looked_up.unwrap_or_default(), account).await
    }

    pub(super) async fn find_in(folders: Vec<PathBuf>, account: Option<&Account>) -> Result<Self, ClusterError> {
        let mut searched = Vec::new();
        for folder in folders {
            match Self::in_folder(&folder, account).await {
                Ok(found) => return Ok(found),
                Err(defect) => searched.push(format!("{} ({defect})", folder.display())),
            }
        }
        searched.push("the folders of PATH".to_owned());
        searched.extend(INSTALLED.map(str::to_owned));
        Err(ClusterError::NoBinaries {
            searched: searched.join(", "),
        })
    }

    /// The server in `folder`, or what is wrong with it.
    async fn in_folder(folder: &Path, account: Option<&Account>) -> Result<Self, String> {
        for program in ["initdb", "postgres", "pg_ctl"] {
            if !tokio::fs::try_exists(folder.join(program)).await.unwrap_or(false) {
                return Err(format!("no {program}"));
            }
        }
        let found = Self {
            folder: folder.to_owned(),
            version: 0,
        };
        let output = found
            .command("postgres", account)
            .arg("--version")
            .current_dir("/")
            .output()
            .await;
        let output = output.map_err(|error| format!("postgres does not run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match major_version(&said) {
            Some(version) if version >= OLDEST => Ok(Self { version, ..found }),
            Some(version) => Err(format!("version {version}")),
            None => Err(format!(
                "postgres does not run: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }

    /// One of the server's programs, to be run as `account`.
    pub(super) fn command(&self, program: &str, account: Option<&Account>) -> Command {
        account::command(self.folder.join(program).as_os_str(), account)
    }

    /// Stops the server on `data` without ceremony; the caller looks whether it has gone.
    pub(super) async fn stop_at_once(&self, data: &Path, account: Option<&Account>) {
        let mut pg_ctl = self.command("pg_ctl", account);
        pg_ctl
            .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
            .arg(data)
            .current_dir("/");
        // Whether it worked shows in the process being gone, which is what callers check.
        let _ = pg_ctl
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .map_err(run("pg_ctl"));
    }
}

/// Every folder that has an `initdb`, best first.
fn usual_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|folder| {
        // initdb looks for postgres beside its real self, so a link on PATH stands for the folder it points to.
        let real = folder.join("initdb").canonicalize().ok()?;
        real.parent().map(Path::to_owned)
    });
    let mut folders: Vec<PathBuf> = on_path.collect();
    folders.extend(INSTALLED.iter().flat_map(|pattern| matches(pattern)));
    folders.extend(unpacked());
    folders.retain(|folder| folder.join("initdb").exists());
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// Where `./dev` unpacks a server.
fn unpacked() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("rollcall/postgresql/bin"))
}

/// The folders that a pattern with at most one `*` names, highest version first.
fn matches(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let version = |name: &OsStr| name.to_str()?.strip_prefix(prefix)?.parse::<u32>().ok();
    let mut versions: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| version(&entry.file_name()))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
        .iter()
        .map(|version| PathBuf::from(format!("{before}{version}{after}")))
        .collect()
}

/// The version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(said: &str) -> Option<u32> {
    let number = said.split("(PostgreSQL) ").nth(1)?;
    number
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Binaries, major_version, matches};

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version(""), None);
    }

    #[test]
    fn versions_side_by_side_come_newest_first() {
        let root = std::env::temp_dir().join(format!("rollcall-{}", uuid::Uuid::new_v4().simple()));
        for version in ["9", "17", "15", "share"] {
            std::fs::create_dir_all(root.join(version).join("bin")).unwrap();
        }
        let found = matches(&format!("{}/*/bin", root.display()));
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["17", "15", "9"].map(|version| root.join(version).join("bin")));
    }

    #[tokio::test]
    async fn a_missing_server_is_reported_with_the_places_and_the_remedy() {
        let error = Binaries::find_in(vec![PathBuf::from("/nowhere")], None)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere (no initdb)"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
