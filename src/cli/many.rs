//! Commands for several users: their names from the command line or a file, and one result for each.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Layout, Shown};
use super::output::{note, or_dash, progress};
use super::{CliError, Context, Output, wire};
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::text::{Text, entries};
use crate::sync::desk::{Answer, Ask, Effect, Refusal};
use crate::sync::{DeskError, Engine};

/// Users in one environment.
#[derive(Debug, clap::Args)]
pub struct Several {
    /// Users, by row id, object id or user principal name.
    #[arg(value_name = "USER")]
    users: Vec<Text>,
    #[command(flatten)]
    pub file: NamesFile,
    #[command(flatten)]
    pub environment: Chosen,
    #[command(flatten)]
    pub shown: Shown,
}

/// A file of users.
#[derive(Debug, clap::Args)]
pub struct NamesFile {
    /// A file with one user a line; `-` reads standard input. Empty lines and lines that begin with `#` are skipped.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// The users that a command was given.
#[derive(Debug)]
pub enum Named {
    /// One on the command line: the command prints a full answer, or its refusal.
    One(String),
    /// Many, or those of a file: the command prints a line for each.
    Many(Vec<String>),
}

impl Several {
    /// Whether there is a line for each of them.
    pub fn are_many(&self) -> bool {
        self.users.len() > 1 || self.file.is_given()
    }

    /// The users by name.
    pub fn named(&self) -> CliResult<Named> {
        self.file.and(&self.users)
    }

    /// Acts on each user. Returns the answer for one; for several, prints a line each.
    pub async fn each(
        &self,
        context: &Context,
        engine: &Engine,
        act: impl AsyncFn(Ask<'_>) -> Result<Answer, DeskError>,
    ) -> CliResult<Option<Answer>> {
        let environment = self.environment.name(engine)?;
        match self.named()? {
            Named::One(user) => Ok(Some(act(ask(environment, &user, &wire::operator())).await?)),
            Named::Many(users) => {
                let results = each(engine, environment, &users, act).await;
                results.print(context, &self.shown)?;
                Ok(None)
            }
        }
    }
}

impl NamesFile {
    /// The given names, and those in the file.
    pub fn and(&self, users: &[Text]) -> CliResult<Named> {
        let mut named: Vec<String> = users.iter().cloned().map(String::from).collect();
        let Some(file) = &self.file else {
            return match <[String; 1]>::try_from(named) {
                Ok([only]) => Ok(Named::One(only)),
                Err(named) => some(named).map(Named::Many),
            };
        };
        named.extend(lines(file)?);
        some(named).map(Named::Many)
    }

    /// Whether a file is given.
    pub const fn is_given(&self) -> bool {
        self.file.is_some()
    }
}

fn some(users: Vec<String>) -> CliResult<Vec<String>> {
    if users.is_empty() {
        return Err(CliError::Usage(
            "name at least one user, or a --file of them".to_owned(),
        ));
    }
    Ok(users)
}

/// The users in a file, one a line; `-` is standard input.
pub fn lines(file: &Path) -> CliResult<Vec<String>> {
    let is_standard_input = file.as_os_str() == "-";
    let name = if is_standard_input {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let refused = |problem: &str| CliError::Usage(format!("could not read {name}: {problem}"));
    let mut bytes = Vec::new();
    let read = if is_standard_input {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    read.map_err(|error| refused(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8; save it as UTF-8, one user a line"))?;
    Ok(entries(&text).map(str::to_owned).collect())
}

/// Acts on users one by one, until one ends in another error than a refusal, or a signal stops the command.
pub async fn each(
    engine: &Engine,
    environment: &str,
    users: &[String],
    act: impl AsyncFn(Ask<'_>) -> Result<Answer, DeskError>,
) -> ResultList {
    let actor = wire::operator();
    let mut results = ResultList::default();
    for (done, user) in users.iter().enumerate() {
        progress(Some(&format!("{done}/{}", users.len())));
        let result = match wire::go_on(engine) {
            Ok(()) => act(ask(environment, user, &actor)).await.map_err(CliError::from),
            Err(stopped) => Err(stopped),
        };
        match result {
            Ok(answer) => results.add(user, Ok(answer)),
            Err(CliError::Refused(refusal)) => results.add(user, Err(refusal)),
            Err(error) => {
                results.end_with(error);
                break;
            }
        }
    }
    progress(None);
    results
}

const fn ask<'a>(environment: &'a str, user: &'a str, actor: &'a str) -> Ask<'a> {
    Ask {
        environment,
        user,
        actor,
    }
}

/// The result for one of many users.
#[derive(Serialize)]
#[serde(untagged)]
enum UserResult {
    Answered {
        user: String,
        outcome: Effect,
        systemuserid: Option<Uuid>,
        #[serde(skip_serializing_if = "Option::is_none")]
        row: Option<Box<SystemUser>>,
    },
    Refused {
        user: String,
        outcome: &'static str,
        code: Code,
        detail: String,
    },
}

impl UserResult {
    fn cells(&self) -> Vec<String> {
        match self {
            Self::Answered {
                user,
                outcome,
                systemuserid,
                ..
            } => {
                let id = systemuserid.map(|id| id.to_string());
                vec![user.clone(), outcome.as_str().to_owned(), or_dash(id.as_deref())]
            }
            Self::Refused { user, code, .. } => vec![user.clone(), format!("refused ({code})"), "-".to_owned()],
        }
    }
}

/// The results for many users, for people and programs.
#[derive(Default)]
pub struct ResultList {
    items: Vec<UserResult>,
    /// Why users were refused: each reason once, in the order of the users.
    refused: Vec<Code>,
    /// Why the remaining users were not reached.
    ended: Option<CliError>,
}

impl ResultList {
    /// The result for one user.
    pub fn one(user: &str, answer: Answer) -> Self {
        let mut results = Self::default();
        results.add(user, Ok(answer));
        results
    }

    /// Adds a user's answer with its row, or the refusal.
    pub fn add(&mut self, user: &str, result: Result<Answer, Box<Refusal>>) {
        match result {
            Ok(answer) => self.items.push(UserResult::Answered {
                user: user.to_owned(),
                outcome: answer.outcome,
                systemuserid: answer.user.as_ref().map(|row| row.systemuserid),
                row: answer.user.map(Box::new),
            }),
            Err(refusal) => self.refuse(user, *refusal),
        }
    }

    /// Adds the effect on a row, or the refusal.
    pub fn add_effect(&mut self, user: &str, row: Uuid, result: Result<Effect, Refusal>) {
        match result {
            Ok(outcome) => self.items.push(UserResult::Answered {
                user: user.to_owned(),
                outcome,
                systemuserid: Some(row),
                row: None,
            }),
            Err(refusal) => self.refuse(user, refusal),
        }
    }

    /// Notes why the remaining users were not reached.
    pub fn end_with(&mut self, error: CliError) {
        self.ended = Some(error);
    }

    fn refuse(&mut self, user: &str, refusal: Refusal) {
        if !self.refused.contains(&refusal.code) {
            self.refused.push(refusal.code);
        }
        self.items.push(UserResult::Refused {
            user: user.to_owned(),
            outcome: "refused",
            code: refusal.code,
            detail: refusal.detail,
        });
    }

    /// Prints a line for each user; fails if one was refused or not reached. An unavailable directory wins over other
    /// refusals: the same command may succeed later.
    pub fn print(self, context: &Context, shown: &Shown) -> CliResult<()> {
        let layout = Layout {
            spare: &["SYSTEMUSERID"],
            ..Layout::new(&["USER", "OUTCOME", "SYSTEMUSERID"], UserResult::cells)
        };
        list::print_results(context, shown, layout, &self.items);
        if context.output == Output::Table {
            for code in &self.refused {
                note!("{code}: {} {}", code.sentence(), code.remedy());
            }
        }
        if let Some(error) = self.ended {
            return Err(error);
        }
        let unavailable = self.refused.iter().find(|code| **code == Code::DirectoryUnavailable);
        match unavailable.or(self.refused.first()) {
            Some(code) => Err(CliError::AlreadyShown(*code)),
            None => Ok(()),
        }
    }
}
