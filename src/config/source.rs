//! Merges the TOML file with the `ROLLCALL__SECTION__KEY` variables and reports the source of every value.
//!
//! The `config` crate parses and merges; [`Strict`] reads the result. Nothing here knows a section or a key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use config::{File, FileFormat, Map, Source, Value};
use serde::de::DeserializeOwned;

use super::strict::Strict;
use super::{ConfigError, Issue};

const PREFIX: &str = "ROLLCALL__";

/// The variables that override keys: key path → name and text of the variable.
#[derive(Clone)]
pub(super) struct Overrides(BTreeMap<String, (String, String)>);

impl Overrides {
    /// Selects the variables that begin with `ROLLCALL__`.
    pub(super) fn pick(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut overrides = BTreeMap::new();
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let segments: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
            let well_formed = segments.iter().all(|segment| {
                !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            let problem = match segments.as_slice() {
                [first, ..] if first == "environment" => "environments are set in the configuration file only",
                _ if segments.len() < 2 || !well_formed => "names no key; expected ROLLCALL__SECTION__KEY",
                _ => {
                    overrides.insert(segments.join("."), (variable.clone(), text.clone()));
                    continue;
                }
            };
            return Err(ConfigError {
                place: format!("environment variable {variable}"),
                path: String::new(),
                problem: problem.to_owned(),
            });
        }
        Ok(Self(overrides))
    }

    /// The variable that set a key, if any.
    pub(super) fn variable(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(|(variable, _)| variable.as_str())
    }

    /// All overridden keys: path → variable.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let names = self
            .0
            .iter()
            .map(|(path, (variable, _))| (path.clone(), variable.clone()));
        names.collect()
    }
}

/// Names only: a text may be a database URL with its password.
impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let values = self
            .0
            .iter()
            .map(|(path, (variable, text))| (path.clone(), Value::new(Some(variable), text.clone())));
        Ok(values.collect())
    }
}

/// Merges the file's text with the overrides and reads the result strictly.
pub(super) fn read<T: DeserializeOwned>(file: &Path, text: &str, overrides: &Overrides) -> Result<T, ConfigError> {
    let merged = config::Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .add_source(overrides.clone())
        .build()
        .and_then(|merged| merged.collect())
        .map_err(|error| not_toml(file, error))?;
    serde_path_to_error::deserialize(Strict(Value::new(None, merged))).map_err(|error| {
        let mut path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let refusal = error.into_inner();
        let problem = match refusal.missing {
            Some(key) => {
                path = if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                };
                format!("missing; expected {}", what_is_missing(&path, key))
            }
            None => refusal.problem,
        };
        locate(file, overrides, Issue { path, problem })
    })
}

/// Adds the source of the value: the variable that set it, else the file.
pub(super) fn locate(file: &Path, overrides: &Overrides, issue: Issue) -> ConfigError {
    // A problem with a table is attributed to the variable that replaced it, else to the file.
    let place = match overrides.variable(&issue.path) {
        Some(variable) => format!("environment variable {variable}"),
        None => file.display().to_string(),
    };
    ConfigError {
        place,
        path: issue.path,
        problem: issue.problem,
    }
}

/// Rewrites the parser's message of several lines as one that never quotes the file.
fn not_toml(file: &Path, error: config::ConfigError) -> ConfigError {
    let picture = match error {
        config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let mut lines = picture.lines();
    let first = lines.next().unwrap_or_default();
    let problem = match (first.strip_prefix("TOML parse error at "), lines.next_back()) {
        (Some(position), Some(message)) => format!("{position}: not valid TOML: {message}"),
        _ => format!("not valid TOML: {first}"),
    };
    ConfigError {
        place: file.display().to_string(),
        path: String::new(),
        problem,
    }
}

/// The expected content of a missing required key.
fn what_is_missing(path: &str, key: &str) -> &'static str {
    match (path, key) {
        ("tenant", _) => "a section [tenant] with id, client_id and credential",
        ("tenant.id", _) => "the tenant's GUID",
        ("tenant.client_id", _) => "the GUID of the application that reads the directory",
        (_, "credential") => "a table such as { kind = \"secret\", file = \"/run/secrets/graph\" }",
        ("tenant.credential.kind", _) => "\"secret\", \"certificate\", \"workload_identity\" or \"managed_identity\"",
        ("database", _) => "a section [database] with url or url_file",
        ("environment", _) => "at least one section [[environment]] with name and kind",
        (_, "kind") => "\"production\", \"sandbox\", \"default\", \"trial\", \"developer\" or \"teams\"",
        (_, "name") => "a name",
        (_, "plan") => "the GUID of a service plan",
        (_, "role") => "the name of a security role",
        (_, "roles") => "a list of \"Rollcall.Read\", \"Rollcall.Access\" and \"Rollcall.Operate\"",
        (_, "sha256") => "the SHA-256 of the token as 64 hexadecimal digits",
        _ => "a value",
    }
}
