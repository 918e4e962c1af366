//! Teams, their members and their security roles.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::roles::NamedRole;
use super::units::given;
use super::users::usable;
use super::{Api, Page, PagingById, ask, page, page_size};
use crate::domain::team::{Member, MembershipType, Team, TeamRole, TeamType};
use crate::domain::text::Text;
use crate::http::input::{self, Operator, Params, Path, Reader};
use crate::http::problem::Problem;
use crate::sync::desk::{Answer, NewTeam, TeamEdit};

/// Which teams to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// The teams of one user only: object id, user principal name or row id.
    user: Option<Text>,
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// The maximum number of items.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// A team to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedTeam {
    /// Its name, unique among the teams and units of the environment.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Text,
    /// 0 owner (default), 1 access, 2 security group, 3 Microsoft 365 group.
    #[schema(minimum = 0, maximum = 3)]
    teamtype: Option<i16>,
    /// The business unit, by id or name; the root if there is none.
    businessunitid: Option<Text>,
    /// The administrator: object id, user principal name or row id.
    administratorid: Option<Text>,
    /// The group, for types 2 and 3. It never changes.
    azureactivedirectoryobjectid: Option<Uuid>,
    /// Who of the group: 0 members and guests (default), 1 members, 2 owners, 3 guests. It never changes.
    #[schema(minimum = 0, maximum = 3)]
    membershiptype: Option<i16>,
}

/// What to change of a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamChange {
    /// A new name.
    #[schema(max_length = 160, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    name: Option<Text>,
    /// The business unit, by id or name.
    businessunitid: Option<Text>,
    /// The administrator: object id, user principal name or row id; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent, null, an administrator")]
    administratorid: Option<Option<Text>>,
}

/// A user of a team.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NamedMember {
    /// Object id, user principal name or row id.
    #[schema(max_length = 1024, pattern = r"^[^\u0000]*[^\u0000\s][^\u0000]*$")]
    user: Text,
}

/// Lists the teams of an environment, or those of one user.
#[utoipa::path(get, operation_id = "list_teams", path = "/environments/{env}/teams", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), Listing), responses(
    (status = 200, body = Page<Team>),
))]
pub async fn list(
    State(api): State<Api>,
    _: Reader,
    Path(env): Path<Text>,
    Params(listing): Params<Listing>,
) -> Result<Json<Page<Team>>, Problem> {
    let limit = page_size(listing.limit)?;
    let (user, after) = (listing.user.as_deref(), listing.cursor);
    let items = api.engine().records().teams(&env, user, after, limit + 1).await?;
    Ok(Json(page(items, limit, |team| team.teamid)))
}

/// Creates a team.
#[utoipa::path(post, operation_id = "add_team", path = "/environments/{env}/teams", tag = "structure",
    request_body = WantedTeam,
    params(("env" = String, Path, description = "The environment's name", example = "production")), responses(
    (status = 200, body = Team),
))]
pub async fn add(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path(env): Path<Text>,
    input::Json(wanted): input::Json<WantedTeam>,
) -> Result<Json<Team>, Problem> {
    let unknown = |field: &str| Problem::bad_input(field, "expected 0 to 3");
    let teamtype = TeamType::of(wanted.teamtype.unwrap_or(0)).ok_or_else(|| unknown("teamtype"))?;
    let membership = MembershipType::of(wanted.membershiptype.unwrap_or(0)).ok_or_else(|| unknown("membershiptype"))?;
    if wanted.membershiptype.is_some() && wanted.azureactivedirectoryobjectid.is_none() {
        return Err(Problem::bad_input("membershiptype", "only a team of a group has one"));
    }
    let new = NewTeam {
        name: &wanted.name,
        teamtype,
        unit: wanted.businessunitid.as_deref(),
        administrator: wanted.administratorid.as_deref(),
        group: wanted.azureactivedirectoryobjectid.map(|group| (group, membership)),
    };
    Ok(Json(api.engine().desk().add_team(&env, new, &caller.name).await?))
}

/// Shows a team.
#[utoipa::path(get, operation_id = "show_team", path = "/environments/{env}/teams/{teamid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Team),
))]
pub async fn show(
    State(api): State<Api>,
    _: Reader,
    Path((env, team)): Path<(Text, Text)>,
) -> Result<Json<Team>, Problem> {
    Ok(Json(api.engine().records().team(&env, &team).await?))
}

/// Changes the name, the business unit or the administrator of a team.
#[utoipa::path(patch, operation_id = "edit_team", path = "/environments/{env}/teams/{teamid}", tag = "structure",
    request_body = TeamChange,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Team),
))]
pub async fn edit(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, team)): Path<(Text, Text)>,
    input::Json(change): input::Json<TeamChange>,
) -> Result<Json<Team>, Problem> {
    let edit = TeamEdit {
        name: change.name.as_deref(),
        unit: change.businessunitid.as_deref(),
        administrator: change.administratorid.as_ref().map(Option::as_deref),
    };
    Ok(Json(
        api.engine().desk().edit_team(&env, &team, edit, &caller.name).await?,
    ))
}

/// Deletes a team with its roles. Answers the team as it was.
#[utoipa::path(delete, operation_id = "delete_team", path = "/environments/{env}/teams/{teamid}", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Team),
))]
pub async fn delete(
    State(api): State<Api>,
    _: Operator,
    Path((env, team)): Path<(Text, Text)>,
) -> Result<Json<Team>, Problem> {
    Ok(Json(api.engine().desk().delete_team(&env, &team).await?))
}

/// Lists the members of a team.
#[utoipa::path(get, operation_id = "list_members", path = "/environments/{env}/teams/{teamid}/members", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name"), PagingById), responses(
    (status = 200, body = Page<Member>),
))]
pub async fn members(
    State(api): State<Api>,
    _: Reader,
    Path((env, team)): Path<(Text, Text)>,
    Params(paging): Params<PagingById>,
) -> Result<Json<Page<Member>>, Problem> {
    let limit = page_size(paging.limit)?;
    let records = api.engine().records();
    let items = records.members(&env, &team, paging.cursor, limit + 1).await?;
    Ok(Json(page(items, limit, |member| member.systemuserid)))
}

/// Adds a user to an owner or access team.
#[utoipa::path(post, operation_id = "add_member", path = "/environments/{env}/teams/{teamid}/members", tag = "structure",
    request_body = NamedMember,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Answer),
))]
pub async fn add_member(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, team)): Path<(Text, Text)>,
    input::Json(NamedMember { user }): input::Json<NamedMember>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &user)?;
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().add_member(ask, &team).await?))
}

/// Removes a user from an owner or access team. A JSON body may name the user instead of the query.
#[utoipa::path(delete, operation_id = "remove_member", path = "/environments/{env}/teams/{teamid}/members", tag = "structure",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name"), NamedMember), responses(
    (status = 200, body = Answer),
))]
pub async fn remove_member(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, team)): Path<(Text, Text)>,
    input::ParamsOrJson(NamedMember { user }): input::ParamsOrJson<NamedMember>,
) -> Result<Json<Answer>, Problem> {
    usable("user", &user)?;
    let ask = ask(&env, &user, &caller);
    Ok(Json(api.engine().desk().remove_member(ask, &team).await?))
}

/// Lists the security roles of a team.
#[utoipa::path(get, operation_id = "list_team_roles", path = "/environments/{env}/teams/{teamid}/roles", tag = "roles",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Page<TeamRole>),
))]
pub async fn roles(
    State(api): State<Api>,
    _: Reader,
    Path((env, team)): Path<(Text, Text)>,
) -> Result<Json<Page<TeamRole>>, Problem> {
    Ok(Json(Page::whole(api.engine().records().team_roles(&env, &team).await?)))
}

/// Grants a team a security role. Answers the roles of the team.
#[utoipa::path(post, operation_id = "grant_team_role", path = "/environments/{env}/teams/{teamid}/roles", tag = "roles",
    request_body = NamedRole,
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name")), responses(
    (status = 200, body = Page<TeamRole>),
))]
pub async fn grant(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, team)): Path<(Text, Text)>,
    input::Json(NamedRole { role }): input::Json<NamedRole>,
) -> Result<Json<Page<TeamRole>>, Problem> {
    let desk = api.engine().desk();
    let roles = desk.grant_to_team(&env, &team, &role, &caller.name).await?;
    Ok(Json(Page::whole(roles)))
}

/// Revokes a security role of a team. Answers the roles that are left. A JSON body may name the role instead of the
/// query.
#[utoipa::path(delete, operation_id = "revoke_team_role", path = "/environments/{env}/teams/{teamid}/roles", tag = "roles",
    params(("env" = String, Path, description = "The environment's name", example = "production"), ("teamid" = String, Path, description = "Its id or name"), NamedRole), responses(
    (status = 200, body = Page<TeamRole>),
))]
pub async fn revoke(
    State(api): State<Api>,
    Operator(caller): Operator,
    Path((env, team)): Path<(Text, Text)>,
    input::ParamsOrJson(NamedRole { role }): input::ParamsOrJson<NamedRole>,
) -> Result<Json<Page<TeamRole>>, Problem> {
    let desk = api.engine().desk();
    let roles = desk.revoke_from_team(&env, &team, &role, &caller.name).await?;
    Ok(Json(Page::whole(roles)))
}
