//! `rollcall team`: the teams of an environment and their members. `rollcall role` has their roles.

use std::process::ExitCode;

use serde_json::json;
use uuid::Uuid;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout, Shown};
use super::many::{self, Named, NamesFile};
use super::output::{note, or_dash, print_json, say, table};
use super::{CliError, Context, Output, wire};
use crate::domain::team::{Member, MembershipType, Team, TeamType};
use crate::domain::text::{Text, object_id};
use crate::sync::desk::{Answer, Ask, NewTeam, TeamEdit};
use crate::sync::{DeskError, Engine};

/// The number of members that `team show` shows.
const MEMBERS_SHOWN: i64 = 100;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the teams.
    #[command(
        after_help = "Examples:\n  rollcall team list --environment production\n  rollcall team list --user ada@contoso.example --environment production"
    )]
    List {
        #[command(flatten)]
        environment: Chosen,
        /// The teams of one user only.
        #[arg(long)]
        user: Option<Text>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Shows a team with its roles and its first members.
    #[command(
        after_help = "Examples:\n  rollcall team show Sales --environment production\n  rollcall team member list Sales --environment production"
    )]
    Show(One),
    /// Creates a team.
    #[command(
        after_help = "Examples:\n  rollcall team add Callers --environment production\n  rollcall team add Agents --type security_group --group 51331a7e-0000-4000-8000-000000000001 --unit Sales --environment production"
    )]
    Add(Add),
    /// Changes the name, the business unit or the administrator of a team. Its type and its group never change.
    #[command(
        after_help = "Examples:\n  rollcall team edit Callers --name \"Call centre\" --environment production\n  rollcall team edit Callers --administrator \"\" --environment production"
    )]
    Edit {
        #[command(flatten)]
        one: One,
        /// A new name.
        #[arg(long)]
        name: Option<Text>,
        /// The business unit, by id or name.
        #[arg(long)]
        unit: Option<Text>,
        /// The administrator; an empty text removes the present one.
        #[arg(long, value_name = "USER")]
        administrator: Option<Text>,
    },
    /// Deletes a team with its roles.
    #[command(after_help = "Example:\n  rollcall team delete Callers --environment production")]
    Delete(One),
    /// Lists, adds and removes members.
    #[command(subcommand)]
    Member(MemberCommand),
}

#[derive(Debug, clap::Subcommand)]
pub enum MemberCommand {
    /// Lists the members of a team.
    #[command(after_help = "Example:\n  rollcall team member list Callers --environment production")]
    List {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        extent: Extent,
    },
    /// Adds users to an owner or access team.
    #[command(
        after_help = "Examples:\n  rollcall team member add Callers ada@contoso.example bob@contoso.example --environment production\n  rollcall team member add Callers --file users.txt --environment production"
    )]
    Add(Members),
    /// Removes users from an owner or access team.
    #[command(
        after_help = "Example:\n  rollcall team member remove Callers ada@contoso.example --environment production"
    )]
    Remove(Members),
}

/// One team in one environment.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The team's id or name.
    team: Text,
    #[command(flatten)]
    environment: Chosen,
}

#[derive(Debug, clap::Args)]
pub struct Add {
    /// Its name.
    name: Text,
    #[command(flatten)]
    environment: Chosen,
    /// Its kind; it never changes.
    #[arg(long = "type", value_name = "TYPE", default_value = "owner",
          value_parser = TeamType::ALL.map(TeamType::as_str))]
    teamtype: String,
    /// The business unit, by id or name; without it the root.
    #[arg(long)]
    unit: Option<Text>,
    /// The administrator, by row id, object id or user principal name.
    #[arg(long, value_name = "USER")]
    administrator: Option<Text>,
    /// The group whose members the team has; it never changes.
    #[arg(long, value_name = "ID", value_parser = object_id)]
    group: Option<Uuid>,
    /// Who of the group is in the team; it never changes.
    #[arg(long, value_name = "WHO", requires = "group", default_value = "members_and_guests",
          value_parser = MembershipType::ALL.map(MembershipType::as_str))]
    membership: String,
}

/// A team and some users.
#[derive(Debug, clap::Args)]
pub struct Members {
    /// The team's id or name.
    team: Text,
    /// Users, by row id, object id or user principal name.
    #[arg(value_name = "USER")]
    users: Vec<Text>,
    #[command(flatten)]
    file: NamesFile,
    #[command(flatten)]
    environment: Chosen,
    #[command(flatten)]
    shown: Shown,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let (desk, records) = (engine.desk(), engine.records());
    let actor = wire::operator();
    match command {
        Command::List {
            environment,
            user,
            extent,
        } => {
            let environment = environment.name(&engine)?;
            let cursor = |team: &Team| team.teamid;
            list::print(context, &extent, layout(), cursor, async |after, limit| {
                wire::go_on(&engine)?;
                Ok(records.teams(environment, user.as_deref(), after, limit).await?)
            })
            .await?;
        }
        Command::Show(one) => show(context, &engine, one.environment.name(&engine)?, &one.team).await?,
        Command::Add(add) => {
            let team = desk
                .add_team(add.environment.name(&engine)?, add.wanted()?, &actor)
                .await?;
            print(context, &team);
        }
        Command::Edit {
            one,
            name,
            unit,
            administrator,
        } => {
            let administrator = administrator.as_deref();
            let edit = TeamEdit {
                name: name.as_deref(),
                unit: unit.as_deref(),
                administrator: administrator.map(|user| Some(user).filter(|user| !user.is_empty())),
            };
            let team = desk
                .edit_team(one.environment.name(&engine)?, &one.team, edit, &actor)
                .await?;
            print(context, &team);
        }
        Command::Delete(one) => {
            let team = desk.delete_team(one.environment.name(&engine)?, &one.team).await?;
            match context.output {
                Output::Json => print_json(&team),
                Output::Table => say!("deleted: team {} ({})", team.name, team.teamid),
            }
        }
        Command::Member(MemberCommand::List { one, extent }) => {
            let environment = one.environment.name(&engine)?;
            let cursor = |member: &Member| member.systemuserid;
            let layout = Layout {
                nothing: Some("No member."),
                spare: &["SYSTEMUSERID"],
                ..Layout::new(&MEMBER_HEADING, member_cells)
            };
            list::print(context, &extent, layout, cursor, async |after, limit| {
                wire::go_on(&engine)?;
                Ok(records.members(environment, &one.team, after, limit).await?)
            })
            .await?;
        }
        Command::Member(MemberCommand::Add(members)) => {
            let add = async |ask: Ask<'_>| desk.add_member(ask, &members.team).await;
            each(context, &engine, &members, add).await?;
        }
        Command::Member(MemberCommand::Remove(members)) => {
            let remove = async |ask: Ask<'_>| desk.remove_member(ask, &members.team).await;
            each(context, &engine, &members, remove).await?;
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

impl Add {
    fn wanted(&self) -> CliResult<NewTeam<'_>> {
        let unknown = CliError::Usage;
        let membership: MembershipType = self.membership.parse().map_err(unknown)?;
        Ok(NewTeam {
            name: &self.name,
            teamtype: self.teamtype.parse().map_err(unknown)?,
            unit: self.unit.as_deref(),
            administrator: self.administrator.as_deref(),
            group: self.group.map(|group| (group, membership)),
        })
    }
}

/// Acts on each user; prints a line each.
async fn each(
    context: &Context,
    engine: &Engine,
    members: &Members,
    act: impl AsyncFn(Ask<'_>) -> Result<Answer, DeskError>,
) -> CliResult<()> {
    let environment = members.environment.name(engine)?;
    let results = match members.file.and(&members.users)? {
        Named::One(user) => {
            let ask = Ask {
                environment,
                user: &user,
                actor: &wire::operator(),
            };
            many::ResultList::one(&user, act(ask).await?)
        }
        Named::Many(users) => many::each(engine, environment, &users, act).await,
    };
    results.print(context, &members.shown)
}

async fn show(context: &Context, engine: &Engine, environment: &str, team: &str) -> CliResult<()> {
    let records = engine.records();
    let team = records.team(environment, team).await?;
    let id = team.teamid.to_string();
    let roles = records.team_roles(environment, &id).await?;
    let mut members = records.members(environment, &id, None, MEMBERS_SHOWN + 1).await?;
    if members.len() as u64 > MEMBERS_SHOWN.unsigned_abs() {
        members.pop();
        note!("There are more members: `rollcall team member list` lists them all.");
    }
    if context.output == Output::Json {
        print_json(&json!({ "team": team, "roles": roles, "members": members }));
        return Ok(());
    }
    print(context, &team);
    let roles: Vec<&str> = roles.iter().map(|role| role.role.as_str()).collect();
    say!("Roles: {}", or_dash(Some(&roles.join(", "))));
    say!();
    if members.is_empty() {
        say!("No member.");
    } else {
        table(&MEMBER_HEADING, &members.iter().map(member_cells).collect::<Vec<_>>());
    }
    Ok(())
}

const MEMBER_HEADING: [&str; 5] = ["USER", "FULL NAME", "STATE", "ADDED BY", "SYSTEMUSERID"];

fn member_cells(member: &Member) -> Vec<String> {
    vec![
        or_dash(member.domainname.as_deref()),
        or_dash(member.fullname.as_deref()),
        if member.isdisabled { "disabled" } else { "enabled" }.to_owned(),
        or_dash(member.added_by.as_deref()),
        member.systemuserid.to_string(),
    ]
}

fn layout() -> Layout<'static, Team> {
    Layout {
        spare: &["TEAMID"],
        ..Layout::new(
            &["TEAM", "TYPE", "BUSINESS UNIT", "MEMBERS", "TEAMID"],
            |team: &Team| {
                vec![
                    team.name.clone(),
                    type_of(team).to_owned(),
                    team.businessunitidname.clone(),
                    members_of(team),
                    team.teamid.to_string(),
                ]
            },
        )
    }
}

fn type_of(team: &Team) -> &'static str {
    TeamType::of(team.teamtype).map_or("-", TeamType::as_str)
}

/// Where the members of a team come from.
fn members_of(team: &Team) -> String {
    let membership = team.membershiptype.and_then(MembershipType::of);
    match (team.azureactivedirectoryobjectid, membership) {
        (Some(group), Some(membership)) => format!("{membership} of {group}"),
        _ if team.isdefault => "the unit's users".to_owned(),
        _ => "added by hand".to_owned(),
    }
}

/// Prints a team.
fn print(context: &Context, team: &Team) {
    match context.output {
        Output::Json => print_json(team),
        Output::Table => say!(
            "{}: {} team of {}, members: {} ({})",
            team.name,
            type_of(team),
            team.businessunitidname,
            members_of(team),
            team.teamid
        ),
    }
}
