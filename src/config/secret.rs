//! Secrets: their sources, and the type that keeps them out of logs and answers.
//!
//! A secret comes from a file or an environment variable that the configuration names, never from the configuration
//! itself. It must never be printed: `Debug` and `Display` are redacted and nothing serializes it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Issue;
use super::value::may_be_secret;
use crate::domain::secret::Secret;

/// The input for reading secrets besides the configuration, and the warnings found.
pub(super) struct Surroundings<'a> {
    /// The folder of the configuration file, the base of relative paths.
    pub folder: &'a Path,
    /// The process's environment variables.
    pub variables: &'a BTreeMap<String, String>,
    /// Warnings for the operator about settings that work but should not stay.
    pub warnings: Vec<String>,
}

impl Surroundings<'_> {
    /// Reads a secret file. `path` is the key that names it.
    pub(super) fn secret_file(&mut self, path: &str, file: &Path) -> Result<Secret, Issue> {
        let text = self.text_file(path, file).map_err(|issue| {
            if may_be_the_secret(file) {
                let problem = "there is no such file. Its name is not repeated, since it may be the secret itself; expected \
                               the name of a file that holds it";
                return Issue::new(path, problem);
            }
            issue
        })?;
        if let Some((may, right)) = others_may(&self.place(file)) {
            self.warnings.push(format!(
                "{path}: {} can be {may} by every user of this machine; take the right away with chmod o-{right}",
                file.display()
            ));
        }
        Ok(Secret::new(text))
    }

    /// Reads a file that may be public, such as a certificate. Drops a byte order mark and the line ends at its end.
    pub(super) fn text_file(&self, path: &str, file: &Path) -> Result<String, Issue> {
        let whole = self.place(file);
        // A likely mistake is the secret itself instead of its file's name.
        let shown = if may_be_secret(&file.to_string_lossy()) {
            "that is named here".to_owned()
        } else {
            whole.display().to_string()
        };
        let text = fs::read_to_string(&whole).map_err(|error| {
            Issue::new(
                path,
                match error.kind() {
                    io::ErrorKind::NotFound => format!("there is no file {shown}; create it or name another one"),
                    io::ErrorKind::PermissionDenied => {
                        format!("the file {shown} cannot be read; let the user that runs rollcall read it")
                    }
                    io::ErrorKind::InvalidData => format!("the file {shown} is not text; expected UTF-8"),
                    _ => format!("the file {shown} cannot be read: {error}"),
                },
            )
        })?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(Issue::new(
                path,
                format!("the file {shown} is empty; write the value into it"),
            ));
        }
        Ok(text.to_owned())
    }

    /// Where a file is. What systemd has loaded for this service comes first: of the files of a folder `credentials` it
    /// makes `credentials_…`, so that one configuration serves the service and an administrator.
    fn place(&self, file: &Path) -> PathBuf {
        let loaded = self.variables.get("CREDENTIALS_DIRECTORY").map(|folder| {
            let name = file.to_string_lossy().replace('/', "_");
            Path::new(folder).join(name)
        });
        loaded
            .filter(|loaded| file.is_relative() && loaded.exists())
            .unwrap_or_else(|| self.folder.join(file))
    }

    pub(super) fn secret_variable(&self, path: &str, name: &str) -> Result<Secret, Issue> {
        let plausible = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plausible {
            // Not quoted: it may be the secret itself.
            return Err(Issue::new(
                path,
                "this is no name of an environment variable; expected one such as GRAPH_SECRET",
            ));
        }
        let Some(text) = self.variables.get(name) else {
            return Err(Issue::new(
                path,
                format!("the environment variable {name} is not set; set it for the process or name another one"),
            ));
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(Issue::new(
                path,
                format!("the environment variable {name} is empty; put the value into it"),
            ));
        }
        Ok(Secret::new(text.to_owned()))
    }
}

/// What every user of the machine may do with a file, and the letters of that right.
pub(super) fn others_may(file: &Path) -> Option<(&'static str, &'static str)> {
    match fs::metadata(file).ok()?.permissions().mode() & 0o006 {
        0 => None,
        0o004 => Some(("read", "r")),
        0o002 => Some(("changed", "w")),
        _ => Some(("read and changed", "rw")),
    }
}

/// Whether a file name looks like the content of the file: a client secret, or a database URL.
fn may_be_the_secret(file: &Path) -> bool {
    let name = file.to_string_lossy();
    let is_long_word = name.len() >= 16 && !name.contains('/') && file.extension().is_none_or(|end| end.len() > 4);
    name.contains("://") || name.contains("PRIVATE KEY") || is_long_word
}
