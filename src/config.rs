//! The configuration: one TOML file, single keys overridden by `ROLLCALL__SECTION__KEY`, secrets referenced by
//! location.
//!
//! Each section has a file: a `Raw…` struct in the shape of the file, and the validated values that the program uses.
//! Loading stops at the first problem and reports it in one line: place, key, expectation. It must never guess (a
//! number is not text), never accept a secret in the file itself, and never repeat one in a message.
//! `config/rollcall.toml` describes the keys for administrators.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::environment::Environment;
use crate::domain::extra_field::ExtraField;
use crate::domain::licence::{Catalogue, Category, ViralCountsAs};

pub mod console;
pub mod database;
pub mod environment;
mod extra_field;
mod fingerprint;
pub mod guard;
mod guessable;
pub mod http;
pub mod licenses;
mod notifications;
mod retention;
pub mod secret;
mod show;
mod source;
mod strict;
pub mod sync;
pub mod telemetry;
pub mod tenant;
mod value;
mod webhook;

#[cfg(test)]
mod tests;

pub use crate::domain::credential::Credential;
pub use crate::domain::notifications::Notifications;
pub use crate::domain::retention::Retention;
pub use crate::domain::secret::Secret;
pub use crate::domain::webhook::Webhook;
pub use console::Console;
pub use database::Database;
pub use fingerprint::fingerprint;
pub use guard::Guard;
pub use http::{ApiToken, Http};
pub use sync::Sync;
pub use telemetry::Telemetry;
pub use tenant::Tenant;

use licenses::Licenses;
use secret::{Surroundings, others_may};

/// The validated configuration. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was loaded from.
    pub file: PathBuf,
    /// Section `[tenant]`.
    pub tenant: Tenant,
    /// Section `[database]`.
    pub database: Database,
    /// Section `[sync]`.
    pub sync: Sync,
    /// Section `[guard]`.
    pub guard: Guard,
    /// Section `[retention]`.
    pub retention: Retention,
    /// Section `[http]`.
    pub http: Http,
    /// Section `[console]`.
    pub console: Console,
    /// Section `[telemetry]`.
    pub telemetry: Telemetry,
    /// The built-in licence catalogue with the moves of `[licenses]`.
    pub catalogue: Catalogue,
    /// The plans that `[licenses]` moves.
    pub moved_plans: BTreeMap<uuid::Uuid, Category>,
    /// The category that viral plans count as.
    pub viral_counts_as: ViralCountsAs,
    /// Whether the tenant has a Marketing licence; if `None`, its SKUs decide.
    pub tenant_marketing: Option<bool>,
    /// Section `[notifications]`, if there is one.
    pub notifications: Option<Notifications>,
    /// Sections `[[webhook]]`.
    pub webhooks: Vec<Webhook>,
    /// Sections `[[extra_field]]`; every environment has them.
    pub extra_fields: Vec<ExtraField>,
    /// The environments, in the order of the file; at least one.
    pub environments: Vec<Environment>,
    /// Warnings for the operator: settings that are legal, but should not stay.
    pub warnings: Vec<String>,
    /// Keys that variables have set: path → variable.
    pub overrides: BTreeMap<String, String>,
}

/// Why loading failed: one line with place, key and expectation. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the environment variable that set the value.
    pub place: String,
    /// The key's path, such as `environment[0].kind`; empty if the problem is not with a key.
    pub path: String,
    /// What is wrong and what is expected.
    pub problem: String,
}

/// A problem with a key, before the source of its value is known.
#[derive(Debug)]
pub(crate) struct Issue {
    path: String,
    problem: String,
}

impl Issue {
    fn new(path: &str, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.place, self.problem),
            path => write!(f, "{}: {path}: {}", self.place, self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    tenant: tenant::RawTenant,
    database: database::RawDatabase,
    #[serde(default)]
    sync: sync::RawSync,
    #[serde(default)]
    guard: guard::RawGuard,
    #[serde(default)]
    retention: retention::RawRetention,
    #[serde(default)]
    http: http::RawHttp,
    #[serde(default)]
    console: console::RawConsole,
    #[serde(default)]
    telemetry: telemetry::RawTelemetry,
    #[serde(default)]
    licenses: licenses::RawLicenses,
    #[serde(default)]
    fields: environment::RawFields,
    environment: Vec<environment::RawEnvironment>,
    #[serde(default)]
    extra_field: Vec<extra_field::RawExtraField>,
    #[serde(default)]
    webhook: Vec<webhook::RawWebhook>,
    notifications: Option<notifications::RawNotifications>,
}

impl Config {
    /// Loads the file, applies the overrides among `variables`, reads the secrets, and validates everything.
    /// `variables` are the process's environment variables. Relative paths in the configuration start at the folder of
    /// the file.
    ///
    /// # Errors
    /// The first problem found.
    pub fn load(path: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let variables: BTreeMap<String, String> = variables.collect();
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let overrides = source::Overrides::pick(&variables)?;
        let raw: RawConfig = source::read(path, &text, &overrides)?;
        let mut surroundings = Surroundings {
            folder: path.parent().unwrap_or(Path::new("")),
            variables: &variables,
            warnings: Vec::new(),
        };
        let mut config = raw
            .validate(&mut surroundings)
            .map_err(|issue| source::locate(path, &overrides, issue))?;
        config.overrides = overrides.names();
        path.clone_into(&mut config.file);
        config.warnings = surroundings.warnings;
        config.warn_of_open_file();
        Ok(config)
    }

    /// Warns if everybody can change the file, or read a password in it.
    fn warn_of_open_file(&mut self) {
        let (shown, others) = (self.file.display(), others_may(&self.file));
        for (key, place) in [
            ("url", Some(&self.database.at)),
            ("read_url", self.database.read_at.as_ref()),
        ] {
            let in_file = !self.overrides.contains_key(&format!("database.{key}"));
            let is_open = place.is_some_and(|place| in_file && place.file.is_none() && place.has_password());
            if is_open && others.is_some_and(|(_, right)| right.contains('r')) {
                self.warnings.push(format!(
                    "database.{key}: holds a password, and every user of this machine can read {shown}; use {key}_file"
                ));
            }
        }
        if others.is_some_and(|(_, right)| right.contains('w')) {
            self.warnings.push(format!(
                "every user of this machine can change {shown}; take the right away with chmod o-w"
            ));
        }
    }
}

impl RawConfig {
    fn validate(self, surroundings: &mut Surroundings<'_>) -> Result<Config, Issue> {
        let tenant = self.tenant.validate(surroundings)?;
        let database = self.database.validate(surroundings)?;
        let sync = self.sync.validate(surroundings)?;
        let guard = self.guard.validate()?;
        let retention = self.retention.validate(guard.hold_expiry)?;
        let http = self.http.validate()?;
        let console = self.console.validate(&tenant, &http, surroundings)?;
        let telemetry = self.telemetry.validate()?;
        let Licenses {
            catalogue,
            moved,
            viral_counts_as,
            tenant_marketing,
        } = self.licenses.validate()?;
        let extra_fields = extra_field::validate(self.extra_field)?;
        let mut environments = environment::validate(self.environment, &self.fields, surroundings)?;
        for environment in &mut environments {
            environment.extra_fields.clone_from(&extra_fields);
        }
        sync.check_scope(&environments)?;
        let names: Vec<&str> = environments.iter().map(|one| one.name.as_str()).collect();
        let source = format!("urn:rollcall:{}:{}", tenant.id, database.schema);
        let notifications = self
            .notifications
            .map(notifications::RawNotifications::validate)
            .transpose()?;
        let webhooks = webhook::validate(self.webhook, &names, &source, surroundings)?;
        Ok(Config {
            file: PathBuf::new(),
            tenant,
            database,
            sync,
            guard,
            retention,
            http,
            console,
            telemetry,
            catalogue,
            moved_plans: moved,
            viral_counts_as,
            tenant_marketing,
            notifications,
            webhooks,
            extra_fields,
            environments,
            warnings: Vec::new(),
            overrides: BTreeMap::new(),
        })
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such configuration file; choose another with --config FILE or ROLLCALL_CONFIG".to_owned()
        }
        io::ErrorKind::PermissionDenied => "cannot be read; let the user that runs rollcall read it".to_owned(),
        io::ErrorKind::InvalidData => "not text; expected a TOML file in UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    ConfigError {
        place: path.display().to_string(),
        path: String::new(),
        problem,
    }
}
