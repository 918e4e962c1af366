//! Teams: the list, one team with its members and roles, and what is changed of them.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::fields::Fields;
use super::frame::{Frame, Page, PageProblem, Viewer, page, segment};
use crate::domain::team::{Member, MembershipType, Team, TeamRole, TeamType};
use crate::domain::text::{Text, object_id};
use crate::http::api::{self, Api};
use crate::http::input::{Params, Path};
use crate::http::problem::Problem;
use crate::sync::desk::{Ask, NewTeam, TeamEdit};

/// The rows of a page.
const ROWS: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    after: Option<Uuid>,
}

#[derive(Template)]
#[template(path = "console/teams.html")]
struct TeamsPage {
    frame: Frame,
    environment: String,
    environments: Vec<String>,
    teams: Vec<Team>,
    next: Option<String>,
    operates: bool,
}

impl TeamsPage {
    fn kind(team: &Team) -> &'static str {
        kind(team)
    }
}

/// A type of team in words.
fn kind(team: &Team) -> &'static str {
    match TeamType::of(team.teamtype) {
        _ if team.isdefault => "of its business unit",
        Some(TeamType::Owner) => "owner",
        Some(TeamType::Access) => "access",
        Some(TeamType::SecurityGroup) => "security group",
        Some(TeamType::Microsoft365Group) => "Microsoft 365 group",
        None => "unknown",
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let listed = engine
        .records()
        .teams(&environment, None, wanted.after, ROWS + 1)
        .await?;
    let listed = api::page(listed, ROWS, |team| team.teamid);
    let title = format!("Teams of {}", &*environment);
    page(&TeamsPage {
        frame: viewer.frame(&api, Page::Teams, title).await?.within(&environment),
        environment: environment.into(),
        environments: engine.settings.names(),
        next: listed.next,
        teams: listed.items,
        operates: viewer.operates(),
    })
}

/// Creates a team.
pub(super) async fn add(
    State(api): State<Api>,
    viewer: Viewer,
    Path(environment): Path<Text>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let teamtype = TeamType::parse(fields.one("teamtype"));
    let membership = match fields.given("membershiptype") {
        Some(given) => MembershipType::parse(given),
        None => Some(MembershipType::MembersAndGuests),
    };
    let (Some(teamtype), Some(membership)) = (teamtype, membership) else {
        return Err(Problem::bad_input("teamtype", "expected one of the list").into());
    };
    let group = match fields.given("group") {
        Some(group) => Some(object_id(group).map_err(|problem| Problem::bad_input("group", problem))?),
        None => None,
    };
    let new = NewTeam {
        name: fields.one("name"),
        teamtype,
        unit: fields.given("unit"),
        administrator: fields.given("administrator"),
        group: group.map(|group| (group, membership)),
    };
    let team = api
        .engine()
        .desk()
        .add_team(&environment, new, &viewer.caller.name)
        .await?;
    Ok(to_team(&environment, &team.teamid.to_string()))
}

#[derive(Template)]
#[template(path = "console/team.html")]
struct TeamPage {
    frame: Frame,
    environment: String,
    team: Team,
    members: Vec<Member>,
    next: Option<String>,
    roles: Vec<TeamRole>,
    /// The roles of the environment.
    grantable: Vec<String>,
    operates: bool,
}

impl TeamPage {
    /// The address of the page.
    fn base(&self) -> String {
        format!(
            "/console/environments/{}/teams/{}",
            segment(&self.environment),
            self.team.teamid
        )
    }

    fn kind(&self) -> &'static str {
        kind(&self.team)
    }

    /// Who of the group is in the team.
    fn membership(&self) -> String {
        let membership = self.team.membershiptype.and_then(MembershipType::of);
        membership.map_or(String::new(), |membership| membership.as_str().replace('_', " "))
    }

    /// Whether people add and remove its members.
    fn is_by_hand(&self) -> bool {
        !self.team.isdefault && !self.team.follows_group()
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, team)): Path<(Text, Text)>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, PageProblem> {
    let engine = api.engine();
    let records = engine.records();
    let team = records.team(&environment, &team).await?;
    let id = team.teamid.to_string();
    let members = records.members(&environment, &id, wanted.after, ROWS + 1).await?;
    let members = api::page(members, ROWS, |member| member.systemuserid);
    page(&TeamPage {
        frame: viewer
            .frame(&api, Page::Teams, team.name.clone())
            .await?
            .within(&environment),
        grantable: engine.desk().environment(&environment)?.roles.clone(),
        roles: records.team_roles(&environment, &id).await?,
        environment: environment.into(),
        next: members.next,
        members: members.items,
        team,
        operates: viewer.operates(),
    })
}

/// Carries out one operation on a team.
pub(super) async fn act(
    State(api): State<Api>,
    viewer: Viewer,
    Path((environment, team, act)): Path<(Text, Text, Text)>,
    fields: Fields,
) -> Result<Response, PageProblem> {
    let desk = api.engine().desk();
    let actor = viewer.caller.name.as_str();
    let ask = Ask {
        environment: &environment,
        user: fields.one("user"),
        actor,
    };
    match &*act {
        "edit" => {
            let edit = TeamEdit {
                name: fields.given("name"),
                unit: fields.given("unit"),
                administrator: fields.has("administrator").then(|| fields.given("administrator")),
            };
            desk.edit_team(&environment, &team, edit, actor).await?;
        }
        "delete" => {
            desk.delete_team(&environment, &team).await?;
            return Ok(Redirect::to(&format!("/console/environments/{}/teams", segment(&environment))).into_response());
        }
        "add" => drop(desk.add_member(ask, &team).await?),
        "remove" => drop(desk.remove_member(ask, &team).await?),
        "grant" => drop(
            desk.grant_to_team(&environment, &team, fields.one("role"), actor)
                .await?,
        ),
        "revoke" => drop(
            desk.revoke_from_team(&environment, &team, fields.one("role"), actor)
                .await?,
        ),
        other => return Err(Problem::not_found(&format!("action `{other}`")).into()),
    }
    Ok(to_team(&environment, &team))
}

fn to_team(environment: &str, team: &str) -> Response {
    let (environment, team) = (segment(environment), segment(team));
    Redirect::to(&format!("/console/environments/{environment}/teams/{team}")).into_response()
}
