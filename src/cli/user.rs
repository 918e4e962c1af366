//! `rollcall user`: SystemUsers in the table; `act` holds the operations on them.

mod act;
mod forget;
mod whereabouts;

use std::process::ExitCode;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{mode_name, note, or_dash, print_json, say, value_text};
use super::{CliError, Context, Output, wire};
use crate::domain::reason::Code;
use crate::domain::run::ChangeLine;
use crate::domain::system_user::{Filter, SystemUser, azure_state};
use crate::domain::text::Text;
use crate::sync::Engine;
use crate::sync::desk::Ask;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists rows.
    #[command(
        after_help = "STATE also says whether the directory user is soft-deleted or gone, and whether the row is deleted.\n\nExamples:\n  rollcall user list --environment production --state disabled\n  rollcall user list --environment production --reason unlicensed --output json"
    )]
    List(List),
    /// Shows one row, with the columns that customers have added, its roles and its history.
    #[command(
        after_help = "Examples:\n  rollcall user show ada@contoso.example --environment production\n  rollcall user show ada@contoso.example --environment production --limit 0"
    )]
    Show {
        #[command(flatten)]
        one: One,
        /// At most this many lines of history; 0 means all.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Shows one person in every environment: state, and why there is no row or no access.
    #[command(
        after_help = "Examples:\n  rollcall user where ada@contoso.example\n  rollcall user where ada@contoso.example --output json"
    )]
    Where {
        /// The object id, the user principal name or the id of a row.
        user: Text,
    },
    /// Blanks the values of a person in every table. The directory must have deleted the person, and every row must be
    /// deleted.
    #[command(
        after_help = "Ids, operations, reasons and times stay, and columns that customers have added.\n\nExamples:\n  rollcall user forget old@contoso.example\n  rollcall user forget 00000000-0000-0000-0000-000000000000 --output json"
    )]
    Forget {
        /// The object id, the user principal name or the id of a row.
        user: Text,
    },
    #[command(flatten)]
    Act(act::Command),
}

/// One user in one environment.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The row's id, the object id or the user principal name.
    user: Text,
    #[command(flatten)]
    environment: Chosen,
}

impl One {
    /// A request of an actor about this user.
    fn ask<'a>(&'a self, engine: &'a Engine, actor: &'a str) -> CliResult<Ask<'a>> {
        Ok(Ask {
            environment: self.environment.name(engine)?,
            user: &self.user,
            actor,
        })
    }
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    environment: Chosen,
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
    reason: Option<Text>,
    /// Enabled users without any security role, of their own or of a team: they can sign in, but use no data.
    #[arg(long)]
    without_role: bool,
    /// Rows whose name, full name or e-mail contains this text.
    #[arg(long)]
    text: Option<Text>,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let patience = match &command {
        Command::Act(command) if command.is_for_many() => wire::Patience::Long,
        _ => wire::Patience::Short,
    };
    let engine = context.engine(patience).await?;
    match command {
        Command::List(arguments) => list_rows(context, &engine, arguments).await?,
        Command::Show { one, limit } => show(context, &engine, &one, limit).await?,
        Command::Where { user } => whereabouts::run(context, &engine, &user).await?,
        Command::Forget { user } => forget::run(context, &engine, &user).await?,
        Command::Act(command) => act::run(context, &engine, command).await?,
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list_rows(context: &Context, engine: &Engine, arguments: List) -> CliResult<()> {
    if let Some(reason) = &arguments.reason
        && Code::parse(reason).is_none()
    {
        return Err(CliError::Usage(format!(
            "`{reason}` is no reason code; `rollcall rules` lists them"
        )));
    }
    let environment = arguments.environment.name(engine)?;
    let filter = Filter {
        disabled: arguments.state.map(|state| state == "disabled"),
        accessmode: arguments.mode,
        reason: arguments.reason.map(String::from),
        kind: arguments.kind,
        without_role: arguments.without_role,
        text: arguments.text.map(String::from),
        after: None,
        limit: 0,
    };
    let heading = ["USER", "FULL NAME", "STATE", "REASON", "ACCESS MODE", "SYSTEMUSERID"];
    let layout = Layout {
        spare: &["SYSTEMUSERID", "ACCESS MODE"],
        ..Layout::new(&heading, |user: &SystemUser| {
            vec![
                or_dash(user.domainname.as_deref()),
                or_dash(user.fullname.as_deref()),
                state_of(user),
                or_dash(user.disabledreason.as_deref()),
                mode_name(user.accessmode).to_owned(),
                user.systemuserid.to_string(),
            ]
        })
    };
    let cursor = |user: &SystemUser| user.systemuserid;
    list::print(context, &arguments.extent, layout, cursor, async |after, limit| {
        wire::go_on(engine)?;
        let filter = Filter {
            after,
            limit,
            ..filter.clone()
        };
        Ok(engine.records().users(environment, &filter).await?)
    })
    .await
}

/// Enabled or not, and whether the row or its directory user is deleted.
fn state_of(user: &SystemUser) -> String {
    let state = if user.isdisabled { "disabled" } else { "enabled" };
    match (user.deletedstate, user.azurestate) {
        (0, azure_state::SOFT_DELETED) => format!("{state}, soft-deleted"),
        (0, azure_state::GONE) => format!("{state}, gone"),
        (0, _) => state.to_owned(),
        _ => "deleted".to_owned(),
    }
}

async fn show(context: &Context, engine: &Engine, one: &One, limit: u32) -> CliResult<()> {
    let user = &one.user;
    let environment = one.environment.name(engine)?;
    let records = engine.records();
    let row = records.user(environment, user).await?;
    let limit = if limit == 0 {
        i64::from(u32::MAX)
    } else {
        i64::from(limit)
    };
    let mut history = records.history(&row, None, limit + 1).await?;
    if history.len() as u64 > limit.unsigned_abs() {
        history.pop();
        note!("There are older changes: --limit 0 shows them all.");
    }
    let held = engine
        .desk()
        .role_holders(environment, Some(user), None, None, i64::MAX)
        .await?;
    let teams = records.teams(environment, Some(user), None, i64::MAX).await?;
    let profile = records.profile(&row).await?;
    let called = |row: &SystemUser| row.domainname.clone().unwrap_or_else(|| row.systemuserid.to_string());
    let manager = profile.manager.as_ref().map(called);
    let reports: Vec<String> = profile.reports.iter().map(called).collect();
    let unit = profile.unit.map(|unit| unit.name);
    let position = profile.position.map(|position| position.name);
    // A row's own columns first, in their order.
    let mut shown = json!(row);
    if let Some(columns) = shown.as_object_mut() {
        columns.extend(records.custom(&row).await?);
    }
    if context.output == Output::Json {
        print_json(&json!({
            "user": shown, "business_unit": unit, "position": position, "manager": manager, "reports": reports,
            "roles": held, "teams": teams, "history": history,
        }));
        return Ok(());
    }
    let width = 30;
    let place = |column: &String| SystemUser::COLUMNS.iter().position(|known| known == column);
    let mut columns: Vec<(&String, &Value)> = shown.as_object().into_iter().flatten().collect();
    columns.sort_by_key(|(column, _)| place(column).unwrap_or(usize::MAX));
    for (column, value) in columns {
        say!("{column:<width$} {}{}", value_text(value), meaning(column, value));
    }
    let held: Vec<String> = held
        .into_iter()
        .map(|held| match held.team {
            Some(team) => format!("{} (team {team})", held.role),
            None => format!("{} ({})", held.role, held.provenance),
        })
        .collect();
    say!("{:<width$} {}", "roles", or_dash(Some(&held.join(", "))));
    let teams: Vec<String> = teams.into_iter().map(|team| team.name).collect();
    say!("{:<width$} {}", "teams", or_dash(Some(&teams.join(", "))));
    say!("{:<width$} {}", "business unit", or_dash(unit.as_deref()));
    say!("{:<width$} {}", "position", or_dash(position.as_deref()));
    say!("{:<width$} {}", "manager", or_dash(manager.as_deref()));
    say!("{:<width$} {}", "reports", or_dash(Some(&reports.join(", "))));
    say!();
    say!("History, newest first (times in UTC):");
    history.iter().for_each(print_change);
    Ok(())
}

/// The meaning of a number, for people.
fn meaning(column: &str, value: &Value) -> String {
    let meaning = match (column, value.as_i64().and_then(|value| i16::try_from(value).ok())) {
        ("accessmode", Some(mode)) => mode_name(mode),
        ("azurestate", Some(azure_state::EXISTS)) => "exists",
        ("azurestate", Some(azure_state::SOFT_DELETED)) => "soft-deleted",
        ("azurestate", Some(azure_state::GONE)) => "gone",
        ("deletedstate", Some(0)) => "not deleted",
        ("deletedstate", Some(_)) => "deleted",
        _ => return String::new(),
    };
    format!(" ({meaning})")
}

/// A line of the history, and a line for each column with its old and its new value.
fn print_change(change: &ChangeLine) {
    let reason = change.reason.as_ref().map(|reason| format!(" ({reason})"));
    say!(
        "{}  {} by {}{}",
        change.at.format("%Y-%m-%d %H:%M:%S"),
        change.operation,
        change.actor,
        reason.unwrap_or_default()
    );
    // A new row's values are shown above, or later changes show them.
    let fields = change.fields.as_object().filter(|_| change.operation != "create");
    for (column, values) in fields.into_iter().flatten() {
        say!("    {column}: {} -> {}", value_text(&values[0]), value_text(&values[1]));
    }
}
