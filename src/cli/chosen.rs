//! `--environment`: which environment a command is about.

use super::CliError;
use super::error::CliResult;
use crate::domain::text::Text;
use crate::sync::records::Records;
use crate::sync::{Engine, Settings};

/// The most environments in an error.
const MOST_NAMED: usize = 20;

/// The environment of a command that needs one.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// The environment; may be left out if the configuration has exactly one.
    #[arg(long, value_name = "NAME")]
    environment: Option<Text>,
}

impl Chosen {
    /// Its name: the one given, else the only one of the configuration.
    pub fn name<'a>(&'a self, engine: &'a Engine) -> CliResult<&'a str> {
        choose(&engine.settings, self.environment.as_deref())
    }

    /// Refuses another environment than that of the object of the command, if one is given.
    pub fn check(&self, actual: &str, object: &str) -> CliResult<()> {
        match self.environment.as_deref() {
            Some(given) if given != actual => Err(CliError::Usage(format!(
                "{object} belongs to environment {actual}, not to {given}"
            ))),
            _ => Ok(()),
        }
    }
}

fn choose<'a>(settings: &'a Settings, given: Option<&'a str>) -> CliResult<&'a str> {
    if let Some(name) = given {
        check(&settings.names(), name)?;
        return Ok(name);
    }
    match settings.environments.as_slice() {
        [(only, _)] => Ok(&only.name),
        _ => Err(CliError::Usage(format!(
            "which environment? Choose one with --environment NAME: {}",
            listed(&settings.names())
        ))),
    }
}

/// The environment that a list may be limited to.
#[derive(Debug, clap::Args)]
pub struct OnlyOne {
    /// One environment only.
    #[arg(long, value_name = "NAME")]
    environment: Option<Text>,
}

impl OnlyOne {
    /// Its name, if one is given. It need not be configured any more: the database may know it.
    pub async fn name(&self, records: &Records) -> CliResult<Option<&str>> {
        let name = self.environment.as_deref();
        if let Some(name) = name {
            check(&records.environment_names().await?, name)?;
        }
        Ok(name)
    }
}

/// Refuses a name that is not among the known ones, which it lists.
pub fn check(known: &[String], name: &str) -> CliResult<()> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "there is no environment `{name}`; known: {}",
        listed(known)
    )))
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() > MOST_NAMED => format!(
            "{} and {} more, see `rollcall environment list`",
            names[..MOST_NAMED].join(", "),
            names.len() - MOST_NAMED
        ),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_at_most_twenty_environments() {
        let names: Vec<String> = (1..=22).map(|n| format!("e{n}")).collect();
        assert_eq!(listed(&names[..2]), "e1, e2");
        assert!(listed(&names[..20]).ends_with(", e20"));
        let text = listed(&names);
        assert!(
            text.ends_with(", e20 and 2 more, see `rollcall environment list`"),
            "{text}"
        );
    }
}
