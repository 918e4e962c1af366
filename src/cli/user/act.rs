//! Operations on SystemUsers: on demand, by hand, and for rows without a directory user.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::One;
use crate::cli::chosen::Chosen;
use crate::cli::error::CliResult;
use crate::cli::import::lines;
use crate::cli::list::{self, Layout, Shown};
use crate::cli::output::{mode_name, or_dash, print_json, say, table};
use crate::cli::{CliError, Context, Output, wire};
use crate::domain::field::Field;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::text::{Text, object_id, trimmed};
use crate::rules::{Client, Trigger};
use crate::sync::Engine;
use crate::sync::desk::{Answer, Ask, Effect, MOST_AT_ONCE, Ownership, Refusal};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Adds users, or synchronises those who are there; the rules decide about each.
    #[command(
        after_help = "Examples:\n  rollcall user add ada@contoso.example --environment production\n  rollcall user add --file users.txt --environment production"
    )]
    Add {
        /// Users, by object id, user principal name or the row's id.
        users: Vec<Text>,
        /// A file with one user a line.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        environment: Chosen,
        #[command(flatten)]
        shown: Shown,
    },
    /// Does what a sign-in does: makes or enables the row if the rules allow it.
    Access {
        #[command(flatten)]
        one: One,
        /// How the user wants to work; non-interactive users have no web access.
        #[arg(long, default_value = "interactive", value_parser = ["interactive", "api"])]
        client: String,
    },
    /// Synchronises an existing row now, which may disable it.
    Refresh(One),
    /// Changes columns of a row.
    #[command(
        after_help = "Examples:\n  rollcall user edit ada@contoso.example --environment production --set internalemailaddress=ada@mail.example\n  rollcall user edit ada@contoso.example --environment production --set accessmode=4 --set cost_centre="
    )]
    Edit {
        #[command(flatten)]
        one: One,
        /// A column and its new value; an empty value is null.
        #[arg(long = "set", value_name = "COLUMN=VALUE", required = true)]
        set: Vec<String>,
    },
    /// Disables a row by hand.
    Disable(One),
    /// Enables a row, if the rules allow it.
    Enable(One),
    /// Disables a row until the hold is released, whatever the rules say.
    Hold {
        #[command(flatten)]
        one: One,
        /// Why.
        #[arg(long)]
        reason: Text,
    },
    /// Ends a hold and judges the user anew.
    Release(One),
    /// Makes placeholders for user principal names that imported records refer to.
    #[command(
        after_help = "Example:\n  rollcall user stub ada@contoso.example bob@contoso.example --environment production"
    )]
    Stub {
        /// User principal names.
        users: Vec<Text>,
        /// A file with one user principal name a line.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        environment: Chosen,
        /// Their company.
        #[arg(long)]
        company: Option<Text>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Binds a stub to a directory user; what refers to the row stays.
    #[command(
        after_help = "Examples:\n  rollcall user map ada@old.example ada@contoso.example --environment production\n  rollcall user map ada@old.example ada@contoso.example --environment production --merge"
    )]
    Map {
        /// The stub: its row's id or its name.
        stub: Text,
        /// The directory user: object id or user principal name.
        user: Text,
        #[command(flatten)]
        environment: Chosen,
        /// Where the user has a row already, move the stub's roles there and delete the stub.
        #[arg(long)]
        merge: bool,
    },
    /// Makes an application user from an app registration.
    Application {
        /// The application (client) id.
        #[arg(value_parser = object_id)]
        application: Uuid,
        #[command(flatten)]
        environment: Chosen,
    },
    /// Shows who owns a row's columns, or hands some over.
    #[command(
        after_help = "Examples:\n  rollcall user own ada@contoso.example --environment production\n  rollcall user own ada@contoso.example --environment production --field internalemailaddress --by sync"
    )]
    Own {
        #[command(flatten)]
        one: One,
        /// A column; `accessmode` is one.
        #[arg(long = "field", value_name = "COLUMN", requires = "by")]
        fields: Vec<Text>,
        /// The new owner.
        #[arg(long, value_parser = ["sync", "customer"], requires = "fields")]
        by: Option<String>,
    },
    /// Deletes a row whose directory user is gone, a stub, or an application user that is disabled.
    Delete(One),
}

pub async fn run(context: &Context, engine: &Engine, command: Command) -> CliResult<()> {
    let actor = wire::operator();
    let ask = |environment, user| Ask {
        environment,
        user,
        actor: &actor,
    };
    let answer = match command {
        Command::Add {
            users,
            file,
            environment,
            shown,
        } => match names(users, file)?.as_slice() {
            [user] => {
                engine
                    .desk()
                    .add(ask(environment.name(engine)?, user), Trigger::AdminAdd)
                    .await?
            }
            users => {
                let environment = environment.name(engine)?;
                let results = add_many(engine, &actor, environment, users).await?;
                return results.print(context, &shown);
            }
        },
        Command::Access { one, client } => {
            let client = if client == "api" {
                Client::Api
            } else {
                Client::Interactive
            };
            engine.desk().access(one.ask(engine, &actor)?, client).await?
        }
        Command::Refresh(one) => engine.desk().refresh(one.ask(engine, &actor)?).await?,
        Command::Edit { one, set } => engine.desk().edit(one.ask(engine, &actor)?, &values(&set)?).await?,
        Command::Disable(one) => engine.desk().disable(one.ask(engine, &actor)?).await?,
        Command::Enable(one) => engine.desk().enable(one.ask(engine, &actor)?).await?,
        Command::Hold { one, reason } => engine.desk().hold(one.ask(engine, &actor)?, &reason).await?,
        Command::Release(one) => engine.desk().release(one.ask(engine, &actor)?).await?,
        Command::Stub {
            users,
            file,
            environment,
            company,
            shown,
        } => {
            let results = stubs(
                engine,
                &actor,
                environment.name(engine)?,
                names(users, file)?,
                company.as_deref().filter(|company| !company.is_empty()),
            )
            .await?;
            return results.print(context, &shown);
        }
        Command::Map {
            stub,
            user,
            environment,
            merge: false,
        } => engine.desk().map(ask(environment.name(engine)?, &stub), &user).await?,
        Command::Map {
            stub,
            user,
            environment,
            merge: true,
        } => {
            engine
                .desk()
                .merge(ask(environment.name(engine)?, &stub), &user)
                .await?
        }
        Command::Application {
            application,
            environment,
        } => {
            let user = application.to_string();
            engine
                .desk()
                .application(ask(environment.name(engine)?, &user), application)
                .await?
        }
        Command::Own { one, fields, by } => {
            let ask = one.ask(engine, &actor)?;
            if let Some(owner) = by {
                let fields: Vec<String> = fields.into_iter().map(String::from).collect();
                engine.desk().own(ask, &fields, owner == "customer").await?;
            }
            print_ownership(context, &engine.desk().ownership(ask).await?);
            return Ok(());
        }
        Command::Delete(one) => engine.desk().delete(one.ask(engine, &actor)?).await?,
    };
    print(context, &answer);
    Ok(())
}

/// `column=value` as JSON. The database parses a text as the column's type, so that "1.10" stays as typed. Only the
/// access mode is a number here; a text that looks like an array or an object may be one.
fn values(set: &[String]) -> CliResult<Map<String, Value>> {
    let mut values = Map::new();
    for pair in set {
        let Some((column, value)) = pair.split_once('=') else {
            return Err(CliError::Usage(format!("`{pair}` is no edit; expected COLUMN=VALUE")));
        };
        let column = trimmed(column);
        let is_own_text = column == "company" || column.parse::<Field>().is_ok();
        let may_be_json = column == "accessmode" || (!is_own_text && value.starts_with(['{', '[']));
        let value = match value {
            "" => Value::Null,
            text if may_be_json => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            text => json!(text),
        };
        if values.insert(column.to_owned(), value).is_some() {
            return Err(CliError::Usage(format!("`{column}` is set twice")));
        }
    }
    Ok(values)
}

/// The given names, and those in a file.
fn names(users: Vec<Text>, file: Option<PathBuf>) -> CliResult<Vec<String>> {
    let mut users: Vec<String> = users.into_iter().map(String::from).collect();
    if let Some(file) = file {
        users.extend(lines(&file)?);
    }
    if users.is_empty() {
        return Err(CliError::Usage(
            "name at least one user, or a --file of them".to_owned(),
        ));
    }
    Ok(users)
}

/// Adds users together; a refused user does not block the others.
async fn add_many(engine: &Engine, actor: &str, environment: &str, users: &[String]) -> CliResult<ResultList> {
    let mut told = ResultList::default();
    for users in users.chunks(MOST_AT_ONCE) {
        let results = engine
            .desk()
            .add_many(environment, users, actor, Trigger::AdminAdd, None)
            .await?;
        for (user, result) in users.iter().zip(results) {
            told.add(user, result.map_err(Box::new));
        }
    }
    Ok(told)
}

/// The result for one of many users.
#[derive(Serialize)]
#[serde(untagged)]
enum UserResult {
    Answered {
        user: String,
        outcome: Effect,
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
            Self::Answered { user, outcome, row } => {
                let id = row.as_ref().map(|row| row.systemuserid.to_string());
                vec![user.clone(), outcome.as_str().to_owned(), or_dash(id.as_deref())]
            }
            Self::Refused { user, code, .. } => vec![user.clone(), format!("refused ({code})"), "-".to_owned()],
        }
    }
}

/// The results for many users, for people and programs.
#[derive(Default)]
struct ResultList {
    items: Vec<UserResult>,
    refused: Option<Box<Refusal>>,
}

impl ResultList {
    fn add(&mut self, user: &str, result: Result<Answer, Box<Refusal>>) {
        match result {
            Ok(answer) => self.items.push(UserResult::Answered {
                user: user.to_owned(),
                outcome: answer.outcome,
                row: answer.user.map(Box::new),
            }),
            Err(refusal) => {
                self.items.push(UserResult::Refused {
                    user: user.to_owned(),
                    outcome: "refused",
                    code: refusal.code,
                    detail: refusal.detail.clone(),
                });
                self.refused.get_or_insert(refusal);
            }
        }
    }

    fn print(self, context: &Context, shown: &Shown) -> CliResult<()> {
        let layout = Layout::new(&["USER", "OUTCOME", "SYSTEMUSERID"], UserResult::cells);
        list::print_results(context, shown, layout, &self.items);
        match self.refused {
            Some(refusal) => Err(CliError::AlreadyShown(refusal.code)),
            None => Ok(()),
        }
    }
}

/// Makes stubs one by one; a refused stub does not block the others.
async fn stubs(
    engine: &Engine,
    actor: &str,
    environment: &str,
    users: Vec<String>,
    company: Option<&str>,
) -> CliResult<ResultList> {
    let mut told = ResultList::default();
    for user in &users {
        let ask = Ask {
            environment,
            user,
            actor,
        };
        match engine.desk().stub(ask, company).await.map_err(CliError::from) {
            Ok(answer) => told.add(user, Ok(answer)),
            Err(CliError::Refused(refusal)) if users.len() == 1 => return Err(CliError::Refused(refusal)),
            Err(CliError::Refused(refusal)) => told.add(user, Err(refusal)),
            Err(error) => return Err(error),
        }
    }
    Ok(told)
}

fn print(context: &Context, answer: &Answer) {
    if context.output == Output::Json {
        print_json(answer);
        return;
    }
    let Some(row) = &answer.user else {
        say!("{}: there is no row", answer.outcome.as_str());
        return;
    };
    let state = if row.deletedstate != 0 {
        "deleted".to_owned()
    } else if row.isdisabled {
        format!("disabled ({})", or_dash(row.disabledreason.as_deref()))
    } else {
        "enabled".to_owned()
    };
    say!(
        "{}: {} is {state}, {} ({})",
        answer.outcome.as_str(),
        row.domainname
            .as_deref()
            .or(row.fullname.as_deref())
            .unwrap_or("the row"),
        mode_name(row.accessmode),
        row.systemuserid
    );
    if row.isdisabled
        && row.deletedstate == 0
        && let Some(code) = row.disabledreason.as_deref().and_then(Code::parse)
    {
        say!("{} {}", code.sentence(), code.remedy());
    }
}

fn print_ownership(context: &Context, owners: &[Ownership]) {
    if context.output == Output::Json {
        print_json(&json!({ "items": owners, "next": null }));
        return;
    }
    let rows: Vec<Vec<String>> = owners
        .iter()
        .map(|one| vec![one.field.clone(), one.policy.to_owned(), one.owner.to_owned()])
        .collect();
    table(&["COLUMN", "POLICY", "OWNER"], &rows);
}
