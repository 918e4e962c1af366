//! `rollcall role`: security roles of SystemUsers.

use std::process::ExitCode;

use serde_json::json;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout, Shown};
use super::many::{self, Named, NamesFile, ResultList};
use super::output::{note, or_dash, print_json, say, sparing_table, table};
use super::{CliError, Context, Output, wire};
use crate::domain::import::Item;
use crate::domain::role::Holder;
use crate::domain::team::TeamRole;
use crate::domain::text::Text;
use crate::sync::desk::{Answer, Ask};
use crate::sync::imports::Viewer;
use crate::sync::{DeskError, Engine};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists who holds which role, and the source of each assignment.
    #[command(after_help = "Example:\n  rollcall role list --role \"System Administrator\" --environment production")]
    List {
        #[command(flatten)]
        environment: Chosen,
        /// One user only.
        #[arg(long)]
        user: Option<Text>,
        /// One role only.
        #[arg(long)]
        role: Option<Text>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Grants users a role.
    #[command(
        override_usage = "rollcall role grant [OPTIONS] [USER]... ROLE",
        after_help = "Examples:
  rollcall role grant ada@contoso.example \"System Administrator\" --environment production
  rollcall role grant ada@contoso.example bob@contoso.example \"Basic User\" --environment production
  rollcall role grant --file users.txt \"Basic User\" --environment production
  rollcall role grant --job 7 \"Basic User\"
  rollcall role grant --team Sales \"Basic User\" --environment production"
    )]
    Grant {
        #[command(flatten)]
        wanted: Wanted,
        /// Grant the role to everyone whom this import job created or found present.
        #[arg(long, value_name = "JOB", conflicts_with_all = ["file", "team"])]
        job: Option<i64>,
    },
    /// Revokes a role of users.
    #[command(
        override_usage = "rollcall role revoke [OPTIONS] [USER]... ROLE",
        after_help = "Examples:
  rollcall role revoke ada@contoso.example \"System Administrator\" --environment production
  rollcall role revoke --file users.txt \"Basic User\" --environment production
  rollcall role revoke --team Sales \"Basic User\" --environment production"
    )]
    Revoke(Wanted),
}

/// Users and a role.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Users, by row id, object id or user principal name; the last name is the role's.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Text>,
    #[command(flatten)]
    file: NamesFile,
    /// A team, by id or name, instead of users: everyone in it has the role.
    #[arg(long, value_name = "TEAM", conflicts_with = "file")]
    team: Option<Text>,
    #[command(flatten)]
    environment: Chosen,
    #[command(flatten)]
    shown: Shown,
}

impl Wanted {
    /// The users on the command line, and the role.
    fn split(&self) -> (&[Text], &str) {
        self.names.split_last().map_or((&[], ""), |(role, users)| (users, role))
    }

    /// The same for a command that needs users.
    fn users_and_role(&self) -> CliResult<(&[Text], &str)> {
        let (users, role) = self.split();
        if users.is_empty() && !self.file.is_given() {
            return Err(CliError::Usage(format!(
                "`{role}` is taken as the role: name at least one user before it, or a --file of users"
            )));
        }
        Ok((users, role))
    }
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let desk = engine.desk();
    match command {
        Command::List {
            environment,
            user,
            role,
            extent,
        } => {
            let layout = Layout {
                nothing: Some("No role."),
                spare: &SPARE,
                ..Layout::new(&HEADING, cells)
            };
            let environment = environment.name(&engine)?;
            let (user, role) = (user.as_deref(), role.as_deref());
            list::print(
                context,
                &extent,
                layout,
                |held: &Holder| held.into(),
                async |after, limit| {
                    wire::go_on(&engine)?;
                    Ok(desk.role_holders(environment, user, role, after, limit).await?)
                },
            )
            .await?;
        }
        Command::Grant { wanted, job: Some(job) } => grant_to_job(context, &engine, &wanted, job).await?,
        Command::Grant { wanted, job: None } if wanted.team.is_some() => {
            of_team(context, &engine, &wanted, true).await?;
        }
        Command::Revoke(wanted) if wanted.team.is_some() => of_team(context, &engine, &wanted, false).await?,
        Command::Grant { wanted, job: None } => {
            let (_, role) = wanted.users_and_role()?;
            desk.check_role(wanted.environment.name(&engine)?, role)?;
            let grant = async |ask: Ask<'_>, role: &str| desk.grant(ask, role).await;
            each(context, &engine, &wanted, grant).await?;
        }
        Command::Revoke(wanted) => {
            let revoke = async |ask: Ask<'_>, role: &str| desk.revoke(ask, role).await;
            each(context, &engine, &wanted, revoke).await?;
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Acts on each user. Prints the roles that one user now holds, and a line each for several.
async fn each(
    context: &Context,
    engine: &Engine,
    wanted: &Wanted,
    act: impl AsyncFn(Ask<'_>, &str) -> Result<Answer, DeskError>,
) -> CliResult<()> {
    let (users, role) = wanted.users_and_role()?;
    let environment = wanted.environment.name(engine)?;
    let user = match wanted.file.and(users)? {
        Named::One(user) => user,
        Named::Many(users) => {
            let act = async |ask: Ask<'_>| act(ask, role).await;
            let results = many::each(engine, environment, &users, act).await;
            return results.print(context, &wanted.shown);
        }
    };
    let ask = Ask {
        environment,
        user: &user,
        actor: &wire::operator(),
    };
    let outcome = act(ask, role).await?.outcome;
    let desk = engine.desk();
    let holders = desk
        .role_holders(environment, Some(&user), None, None, i64::MAX)
        .await?;
    match context.output {
        Output::Json => print_json(&json!({ "outcome": outcome, "roles": holders })),
        Output::Table if holders.is_empty() => say!("No role."),
        Output::Table => sparing_table(&HEADING, &SPARE, &holders.iter().map(cells).collect::<Vec<_>>()),
    }
    Ok(())
}

/// Grants a role to a team, or revokes it. Prints the roles that the team now has.
async fn of_team(context: &Context, engine: &Engine, wanted: &Wanted, is_granted: bool) -> CliResult<()> {
    let (users, role) = wanted.split();
    let team = wanted.team.as_deref().unwrap_or_default();
    if let Some(user) = users.first() {
        return Err(CliError::Usage(format!(
            "`{user}` cannot be named together with --team: everyone in the team has its roles"
        )));
    }
    let (environment, actor) = (wanted.environment.name(engine)?, wire::operator());
    let roles = if is_granted {
        engine.desk().grant_to_team(environment, team, role, &actor).await?
    } else {
        engine.desk().revoke_from_team(environment, team, role, &actor).await?
    };
    match context.output {
        Output::Json => print_json(&json!({ "items": roles, "next": null })),
        Output::Table if roles.is_empty() => say!("No role."),
        Output::Table => {
            let row = |role: &TeamRole| {
                let since = role.granted_at.format("%Y-%m-%d %H:%M").to_string();
                vec![role.role.clone(), role.granted_by.clone(), since]
            };
            table(
                &["ROLE", "BY", "SINCE (UTC)"],
                &roles.iter().map(row).collect::<Vec<_>>(),
            );
        }
    }
    Ok(())
}

/// Grants a role to everyone whom a job created or found present; prints a line each.
async fn grant_to_job(context: &Context, engine: &Engine, wanted: &Wanted, job: i64) -> CliResult<()> {
    let (users, role) = wanted.split();
    if !users.is_empty() {
        return Err(CliError::Usage(format!(
            "`{}` cannot be named together with --job: the job says which users get the role",
            users[0]
        )));
    }
    let name = wire::operator();
    let viewer = Viewer {
        name: &name,
        is_operator: true,
    };
    let imports = engine.imports();
    let report = imports.import_job(viewer, job).await?;
    wanted
        .environment
        .check(&report.job.environment, &format!("import job {job}"))?;
    if !report.job.is_over() {
        note!("Import job {job} is not over: only the users whom it has reached get the role.");
    }
    let mut results = ResultList::default();
    let tell = |item: &Item, result| {
        if let Some(row) = item.systemuserid {
            results.add_effect(&item.given, row, result);
        }
    };
    if let Err(error) = imports.grant_to_job(viewer, job, role, tell).await {
        results.end_with(error.into());
    }
    results.print(context, &wanted.shown)
}

const HEADING: [&str; 6] = ["USER", "ROLE", "FROM", "BY", "SINCE (UTC)", "STATE"];

const SPARE: [&str; 2] = ["SINCE (UTC)", "BY"];

fn cells(held: &Holder) -> Vec<String> {
    vec![
        or_dash(held.domainname.as_deref()),
        held.role.clone(),
        held.team
            .as_ref()
            .map_or_else(|| held.provenance.clone(), |team| format!("team {team}")),
        held.granted_by.clone(),
        held.granted_at.format("%Y-%m-%d %H:%M").to_string(),
        if held.isdisabled { "disabled" } else { "enabled" }.to_owned(),
    ]
}
