//! Operations on SystemUsers: on demand, by hand, and for rows without a directory user.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::One;
use crate::cli::chosen::Chosen;
use crate::cli::error::CliResult;
use crate::cli::many::{self, Named, ResultList, Several};
use crate::cli::output::{mode_name, or_dash, print_json, say, table};
use crate::cli::{CliError, Context, Output, wire};
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::text::{Text, object_id, trimmed};
use crate::rules::{Client, Trigger};
use crate::sync::desk::{Answer, Ask, MOST_AT_ONCE, Ownership};
use crate::sync::{DeskError, Engine};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Adds users, or synchronises those who have a row; the rules decide about each.
    #[command(
        after_help = "Examples:\n  rollcall user add ada@contoso.example --environment production\n  rollcall user add --file users.txt --environment production"
    )]
    Add(Several),
    /// Does what a sign-in does: creates or enables the row if the rules allow it.
    #[command(after_help = "Example:\n  rollcall user access ada@contoso.example --environment production")]
    Access {
        #[command(flatten)]
        one: One,
        /// How the user wants to work; non-interactive users have no web access.
        #[arg(long, default_value = "interactive", value_parser = ["interactive", "api"])]
        client: String,
    },
    /// Synchronises existing rows now, which may disable them.
    #[command(
        after_help = "Examples:\n  rollcall user refresh ada@contoso.example --environment production\n  rollcall user refresh --file users.txt --environment production"
    )]
    Refresh(Several),
    /// Changes columns of a row.
    #[command(
        after_help = "Examples:\n  rollcall user edit ada@contoso.example --environment production --set internalemailaddress=ada@mail.example\n  rollcall user edit ada@contoso.example --environment production --set accessmode=4 --set cost_centre=\n  rollcall user edit ada@contoso.example --environment production --set businessunit=Sales manager=bob@contoso.example position=Clerk\n\n`businessunit`, `manager` and `position` stand for businessunitid, parentsystemuserid and positionid, and take a name too."
    )]
    Edit {
        #[command(flatten)]
        one: One,
        /// A column and its new value; an empty value is null.
        #[arg(long = "set", value_name = "COLUMN=VALUE", required = true)]
        set: Vec<String>,
        /// More columns.
        #[arg(value_name = "COLUMN=VALUE")]
        more: Vec<String>,
    },
    /// Disables rows by hand.
    #[command(
        after_help = "Examples:\n  rollcall user disable ada@contoso.example bob@contoso.example --environment production\n  grep @old.example users.txt | rollcall user disable --file - --environment production"
    )]
    Disable(Several),
    /// Enables rows, if the rules allow it.
    #[command(after_help = "Example:\n  rollcall user enable ada@contoso.example --environment production")]
    Enable(Several),
    /// Disables rows until the hold is released, whatever the rules say.
    #[command(
        after_help = "Example:\n  rollcall user hold ada@contoso.example bob@contoso.example --reason \"under investigation\" --environment production"
    )]
    Hold {
        #[command(flatten)]
        users: Several,
        /// The reason, which the row keeps until the release.
        #[arg(long)]
        reason: Text,
    },
    /// Ends holds and re-evaluates the users.
    #[command(
        after_help = "Examples:\n  rollcall user release ada@contoso.example --environment production\n  rollcall user release --file users.txt --environment production"
    )]
    Release(Several),
    /// Creates placeholders for user principal names that imported records refer to.
    #[command(
        after_help = "Example:\n  rollcall user stub ada@contoso.example bob@contoso.example --environment production"
    )]
    Stub {
        #[command(flatten)]
        users: Several,
        /// Their company.
        #[arg(long)]
        company: Option<Text>,
    },
    /// Binds a stub to a directory user. Records that refer to the row keep their reference.
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
        /// If the user already has a row, move the stub's roles to it and delete the stub.
        #[arg(long)]
        merge: bool,
    },
    /// Creates an application user from an app registration.
    #[command(
        after_help = "Example:\n  rollcall user application 00000000-0000-0000-0000-000000000000 --environment production"
    )]
    Application {
        /// The application (client) id.
        #[arg(value_parser = object_id)]
        application: Uuid,
        #[command(flatten)]
        environment: Chosen,
    },
    /// Shows who owns a row's columns, or changes the owner of some.
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
    /// Deletes a row whose directory user is permanently deleted, a stub, or a disabled application user.
    #[command(after_help = "Example:\n  rollcall user delete old@contoso.example --environment production")]
    Delete(One),
}

impl Command {
    /// Whether it acts on several users, or on those of a file.
    pub fn is_for_many(&self) -> bool {
        match self {
            Self::Add(users)
            | Self::Refresh(users)
            | Self::Disable(users)
            | Self::Enable(users)
            | Self::Hold { users, .. }
            | Self::Release(users)
            | Self::Stub { users, .. } => users.are_many(),
            _ => false,
        }
    }
}

pub async fn run(context: &Context, engine: &Engine, command: Command) -> CliResult<()> {
    let actor = wire::operator();
    let ask = |environment, user| Ask {
        environment,
        user,
        actor: &actor,
    };
    let desk = engine.desk();
    let answer = match command {
        Command::Add(users) => match users.named()? {
            Named::One(user) => {
                let environment = users.environment.name(engine)?;
                desk.add(ask(environment, &user), Trigger::AdminAdd).await?
            }
            Named::Many(named) => {
                let results = add_many(engine, &actor, users.environment.name(engine)?, &named).await?;
                return results.print(context, &users.shown);
            }
        },
        Command::Access { one, client } => {
            let client = if client == "api" {
                Client::Api
            } else {
                Client::Interactive
            };
            desk.access(one.ask(engine, &actor)?, client).await?
        }
        Command::Edit { one, mut set, more } => {
            set.extend(more);
            desk.edit(one.ask(engine, &actor)?, &values(&set)?).await?
        }
        Command::Refresh(users) => return each(context, engine, &users, async |ask| desk.refresh(ask).await).await,
        Command::Disable(users) => return each(context, engine, &users, async |ask| desk.disable(ask).await).await,
        Command::Enable(users) => return each(context, engine, &users, async |ask| desk.enable(ask).await).await,
        Command::Release(users) => return each(context, engine, &users, async |ask| desk.release(ask).await).await,
        Command::Hold { users, reason } => {
            return each(context, engine, &users, async |ask| desk.hold(ask, &reason).await).await;
        }
        Command::Stub { users, company } => {
            let company = company.as_deref().filter(|company| !company.is_empty());
            let environment = users.environment.name(engine)?;
            let stub = async |ask: Ask<'_>| desk.stub(ask, company).await;
            let results = match users.named()? {
                Named::One(user) => ResultList::one(&user, stub(ask(environment, &user)).await?),
                Named::Many(named) => many::each(engine, environment, &named, stub).await,
            };
            return results.print(context, &users.shown);
        }
        Command::Map {
            stub,
            user,
            environment,
            merge: false,
        } => desk.map(ask(environment.name(engine)?, &stub), &user).await?,
        Command::Map {
            stub,
            user,
            environment,
            merge: true,
        } => desk.merge(ask(environment.name(engine)?, &stub), &user).await?,
        Command::Application {
            application,
            environment,
        } => {
            let user = application.to_string();
            desk.application(ask(environment.name(engine)?, &user), application)
                .await?
        }
        Command::Own { one, fields, by } => {
            let ask = one.ask(engine, &actor)?;
            if let Some(owner) = by {
                let fields: Vec<String> = fields.into_iter().map(String::from).collect();
                desk.own(ask, &fields, owner == "customer").await?;
            }
            print_ownership(context, &desk.ownership(ask).await?);
            return Ok(());
        }
        Command::Delete(one) => desk.delete(one.ask(engine, &actor)?).await?,
    };
    print(context, &answer);
    Ok(())
}

/// Acts on each user; prints the full answer for one, and a line each for several.
async fn each(
    context: &Context,
    engine: &Engine,
    users: &Several,
    act: impl AsyncFn(Ask<'_>) -> Result<Answer, DeskError>,
) -> CliResult<()> {
    if let Some(answer) = users.each(context, engine, act).await? {
        print(context, &answer);
    }
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
        let column = match trimmed(column) {
            "businessunit" => "businessunitid",
            "manager" => "parentsystemuserid",
            "position" => "positionid",
            column => column,
        };
        let is_own = SystemUser::COLUMNS.contains(&column);
        let may_be_json = column == "accessmode" || (!is_own && value.starts_with(['{', '[']));
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

fn print(context: &Context, answer: &Answer) {
    if context.output == Output::Json {
        print_json(answer);
        return;
    }
    let Some(row) = &answer.user else {
        say!("{}: there is no row", answer.outcome.as_str());
        let verdict = answer.verdict.as_ref();
        if let Some(code) = verdict.and_then(|verdict| Code::parse(verdict.code?)) {
            say!(
                "An access would be refused ({code}). {} {}",
                code.sentence(),
                code.remedy()
            );
        } else if verdict.is_some() {
            say!("An access would create it.");
        }
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
