//! Who runs the server: PostgreSQL refuses root, so root becomes somebody with fewer rights for it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::error::{ClusterError, file, run};

/// An account of this machine.
#[derive(Clone, Debug)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to become for the server: none unless we are root.
    pub(super) async fn for_server() -> Result<Option<Self>, ClusterError> {
        // The standard library has no safe way to ask.
        let id = Command::new("id")
            .arg("-u")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(run("id"))?;
        if id.stdout.trim_ascii() != b"0" {
            return Ok(None);
        }
        let path = Path::new("/etc/passwd");
        let accounts = tokio::fs::read_to_string(path).await.map_err(file("read", path))?;
        let account = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Self::named(name, &accounts));
        account.map(Some).ok_or(ClusterError::NoAccount)
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self {
                name: name.to_owned(),
                uid,
                gid,
            })
        })
    }

    /// Fails unless this account may enter `directory`: root's own folders are often closed to everybody else.
    pub(super) async fn require_entry(&self, directory: &Path) -> Result<(), ClusterError> {
        let mut shell = command(OsStr::new("/bin/sh"), Some(self));
        shell
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(directory)
            .stderr(Stdio::null())
            .current_dir("/");
        let status = shell.status().await.map_err(run("/bin/sh"))?;
        if status.success() {
            Ok(())
        } else {
            Err(ClusterError::NotReachable {
                directory: directory.to_owned(),
                account: self.name.clone(),
            })
        }
    }
}

/// A command run as `account`, with nothing of our environment but the paths: secrets stay here, and a stray
/// `PGPORT` or `LC_ALL` changes nothing.
pub(super) fn command(program: &OsStr, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(account) = account {
        // For root, `uid` also drops the supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Makes `account` the owner of a file or directory.
pub(super) async fn give(path: &Path, account: Option<&Account>) -> Result<(), ClusterError> {
    let Some(Account { uid, gid, .. }) = account.cloned() else {
        return Ok(());
    };
    let target = path.to_owned();
    let given = tokio::task::spawn_blocking(move || std::os::unix::fs::lchown(target, Some(uid), Some(gid))).await;
    given
        .unwrap_or_else(|panic| Err(panic.into()))
        .map_err(file("change the owner of", path))
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_is_read_from_its_line() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\npostgres-old:x:7:8::/:\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        let account = Account::named("postgres", accounts).unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(Account::named("nobody", accounts).is_none());
    }
}
