//! Section `[telemetry]`: the log filter and format.

use serde::Deserialize;

use super::Issue;
use super::value::{Parsed, requoted};
use crate::telemetry::logs::{self, Format};

/// Section `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The log filter, a level or directives.
    pub log: String,
    /// The format of log lines.
    pub format: Format,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTelemetry {
    log: String,
    format: Parsed<Format>,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: Parsed(Format::Text),
        }
    }
}

impl RawTelemetry {
    pub(super) fn validate(self) -> Result<Telemetry, Issue> {
        logs::check(&self.log).map_err(|problem| Issue::new("telemetry.log", requoted(&problem, &self.log)))?;
        Ok(Telemetry {
            log: self.log,
            format: self.format.0,
        })
    }
}
