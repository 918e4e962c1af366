//! `rollcall user`: SystemUsers as the table holds them.

use std::process::ExitCode;

use serde_json::json;
use uuid::Uuid;

use super::error::CliResult;
use super::output::{mode_name, or_dash, print_json, table};
use super::{CliError, Context, Output};
use crate::domain::directory_user::upn_key;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::store::rows::{self, Filter};
use crate::store::{Store, changes};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists rows.
    #[command(
        after_help = "Examples:\n  rollcall user list --environment production --state disabled\n  rollcall user list --environment production --reason unlicensed --output json"
    )]
    List(List),
    /// Shows one row with its history.
    Show {
        /// The row's id, the object id or the user principal name.
        user: String,
        /// The environment.
        #[arg(long, value_name = "NAME")]
        environment: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// The environment.
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// Enabled or disabled rows only.
    #[arg(long, value_parser = ["enabled", "disabled"])]
    state: Option<String>,
    /// One access mode only, by number.
    #[arg(long, value_parser = clap::value_parser!(i16).range(0..=5))]
    mode: Option<i16>,
    /// One kind of row only.
    #[arg(long = "type", value_parser = ["regular", "application", "non_interactive", "stub", "reserved"])]
    kind: Option<String>,
    /// Rows disabled for this reason only.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Rows whose name, full name or e-mail contains this text.
    #[arg(long)]
    text: Option<String>,
    /// At most so many; 0 means all.
    #[arg(long, default_value_t = 100)]
    limit: i64,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let environment = match &command {
        Command::List(list) => &list.environment,
        Command::Show { environment, .. } => environment,
    };
    if !config.environments.iter().any(|known| known.name == *environment) {
        return Err(CliError::Usage(format!(
            "there is no environment `{environment}` in the configuration"
        )));
    }
    let store = context.open_store(&config).await?;
    match command {
        Command::List(arguments) => list(context, &store, arguments).await?,
        Command::Show { user, environment } => show(context, &store, &environment, &user).await?,
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &Context, store: &Store, arguments: List) -> CliResult<()> {
    if let Some(reason) = &arguments.reason
        && Code::parse(reason).is_none()
    {
        return Err(CliError::Usage(format!(
            "`{reason}` is no reason code; they are listed in the README"
        )));
    }
    let filter = Filter {
        disabled: arguments.state.map(|state| state == "disabled"),
        accessmode: arguments.mode,
        reason: arguments.reason,
        kind: arguments.kind,
        text: arguments.text,
        after: None,
        limit: if arguments.limit <= 0 {
            i64::MAX
        } else {
            arguments.limit
        },
    };
    let mut db = store.read().await?;
    let users = rows::list(&mut db, &arguments.environment, &filter).await?;
    if context.output == Output::Json {
        print_json(&json!({ "items": users, "next": null }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            vec![
                or_dash(user.domainname.as_deref()),
                or_dash(user.fullname.as_deref()),
                if user.isdisabled { "disabled" } else { "enabled" }.to_owned(),
                or_dash(user.disabledreason.as_deref()),
                mode_name(user.accessmode).to_owned(),
                user.systemuserid.to_string(),
            ]
        })
        .collect();
    print!(
        "{}",
        table(
            &["USER", "FULL NAME", "STATE", "REASON", "ACCESS MODE", "SYSTEMUSERID"],
            &rows
        )
    );
    Ok(())
}

/// Finds a row by its id, its object id or its name.
async fn find(store: &Store, environment: &str, user: &str) -> CliResult<Option<SystemUser>> {
    let mut db = store.read().await?;
    if let Ok(id) = Uuid::parse_str(user) {
        if let Some(row) = rows::find_by_object_id(&mut db, environment, id).await? {
            return Ok(Some(row));
        }
        return Ok(rows::find_by_id(&mut db, environment, id).await?);
    }
    if let Some(row) = rows::find_by_upn_key(&mut db, environment, &upn_key(user)).await? {
        return Ok(Some(row));
    }
    Ok(rows::find_by_name(&mut db, environment, user).await?)
}

async fn show(context: &Context, store: &Store, environment: &str, user: &str) -> CliResult<()> {
    let Some(row) = find(store, environment, user).await? else {
        return Err(CliError::Refused(
            Code::UserNotFound,
            format!("{environment} has no row for `{user}`"),
        ));
    };
    let mut db = store.read().await?;
    let history = changes::history(&mut db, environment, row.systemuserid, 20).await?;
    if context.output == Output::Json {
        print_json(&json!({ "user": row, "history": history }));
        return Ok(());
    }
    let shown = json!(row);
    let width = 30;
    for (column, value) in shown.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        println!("{column:<width$} {text}");
    }
    println!("\nHistory, newest first:");
    let rows: Vec<Vec<String>> = history
        .iter()
        .map(|line| {
            let columns: Vec<&str> = line
                .fields
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            vec![
                line.at.format("%Y-%m-%d %H:%M:%S").to_string(),
                line.actor.clone(),
                line.operation.clone(),
                or_dash(line.reason.as_deref()),
                if line.operation == "create" {
                    String::new()
                } else {
                    columns.join(" ")
                },
            ]
        })
        .collect();
    print!("{}", table(&["AT (UTC)", "BY", "WHAT", "REASON", "COLUMNS"], &rows));
    Ok(())
}
