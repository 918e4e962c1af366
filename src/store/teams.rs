//! `rollcall.team` and `rollcall.team_member`. Who is in a team, in whatever way, is the view `team_membership`.

use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreError, StoreResult};
use crate::domain::directory_user::upn_key;
use crate::domain::team::{Member, Team};
use crate::domain::unit::Name;

/// Reads teams; the text after the columns is the rest of the query.
macro_rules! select_teams {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Team,
            "select t.environment, t.teamid, t.name, t.teamtype, t.businessunitid, u.name as businessunitidname,
                    t.administratorid, t.isdefault, t.azureactivedirectoryobjectid, t.membershiptype,
                    t.createdon, t.createdby, t.modifiedon, t.modifiedby
             from team t
             join business_unit u on u.environment = t.environment and u.businessunitid = t.businessunitid
             where t.environment = $1 and " + $rest
            $(, $argument)*
        )
    };
}

/// Teams after a key, in key order; optionally only those of one row.
pub async fn list(
    db: &mut Connection,
    environment: &str,
    of_row: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<Team>> {
    Ok(select_teams!(
        "t.teamid > $3
         and ($2::uuid is null or t.teamid in (
             select m.teamid from team_membership m where m.environment = $1 and m.systemuserid = $2))
         order by t.teamid limit $4",
        environment,
        of_row,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A team by its id or its name.
pub async fn find(db: &mut Connection, environment: &str, given: &str) -> StoreResult<Option<Team>> {
    Ok(select_teams!(
        "(t.teamid = $2 or t.name_key = $3) order by t.teamid = $2 desc nulls last limit 1",
        environment,
        Uuid::parse_str(given).ok(),
        upn_key(given)
    )
    .fetch_optional(db)
    .await?)
}

/// Whether a team, or a unit, has the name.
pub async fn is_name_taken(
    db: &mut Connection,
    environment: &str,
    name: &Name,
    except: Option<Uuid>,
) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from business_unit where environment = $1 and name_key = $2)
               or exists (
                   select from team
                   where environment = $1 and name_key = $2 and teamid is distinct from $3) as "is_taken!""#,
        environment,
        name.key(),
        except
    )
    .fetch_one(db)
    .await?)
}

/// Whether a team has this group with this type of membership.
pub async fn is_group_taken(
    db: &mut Connection,
    environment: &str,
    group: Uuid,
    membershiptype: i16,
) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from team
               where environment = $1 and azureactivedirectoryobjectid = $2 and membershiptype = $3) as "is_taken!""#,
        environment,
        group,
        membershiptype
    )
    .fetch_one(db)
    .await?)
}

/// Writes a team: a new one, or the name, the unit and the administrator of one that exists.
pub async fn write(db: &mut Connection, team: &Team, name: &Name, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "insert into team as t (environment, teamid, name, name_key, teamtype, businessunitid, administratorid,
                                azureactivedirectoryobjectid, membershiptype, createdon, createdby, modifiedon, modifiedby)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::timestamptz, $11::text, $10, $11)
         on conflict (environment, teamid) do update set
             name = excluded.name, name_key = excluded.name_key, businessunitid = excluded.businessunitid,
             administratorid = excluded.administratorid, modifiedon = greatest(excluded.modifiedon, t.modifiedon),
             modifiedby = excluded.modifiedby",
        team.environment,
        team.teamid,
        name.as_str(),
        name.key(),
        team.teamtype,
        team.businessunitid,
        team.administratorid,
        team.azureactivedirectoryobjectid,
        team.membershiptype,
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a team with its members and roles.
pub async fn delete(db: &mut Connection, environment: &str, team: Uuid) -> StoreResult<()> {
    sqlx::query!(
        "delete from team where environment = $1 and teamid = $2",
        environment,
        team
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The members of a team after a key, in key order.
pub async fn members(
    db: &mut Connection,
    environment: &str,
    team: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<Member>> {
    Ok(sqlx::query_as!(
        Member,
        r#"select s.systemuserid, s.domainname, s.fullname, s.isdisabled, a.added_at as "added_at?", a.added_by as "added_by?"
           from team_membership m
           join system_user s on s.environment = m.environment and s.systemuserid = m.systemuserid
           left join team_member a
                on a.environment = m.environment and a.teamid = m.teamid and a.systemuserid = m.systemuserid
           where m.environment = $1 and m.teamid = $2 and m.systemuserid > $3 order by m.systemuserid limit $4"#,
        environment,
        team,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Adds a row to a team and logs it. Returns false if it was there.
pub async fn add_member(db: &mut Connection, team: &Team, row: Uuid, author: Author<'_>) -> StoreResult<bool> {
    let added = sqlx::query_scalar!(
        r#"with added as (
             insert into team_member (environment, teamid, systemuserid, added_at, added_by)
             values ($1, $2, $3, $4, $5) on conflict do nothing
             returning environment, systemuserid),
         logged as (
             insert into system_user_change (environment, at, actor, systemuserid, operation, fields)
             select environment, $4, $5, systemuserid, 'edit', jsonb_build_object('team', jsonb_build_array(null, $6::text))
             from added)
         select count(*) as "count!" from added"#,
        team.environment,
        team.teamid,
        row,
        author.at,
        author.actor,
        team.name
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(added > 0)
}

/// Removes a row from a team and logs it. Returns false if it was not there.
pub async fn remove_member(db: &mut Connection, team: &Team, row: Uuid, author: Author<'_>) -> StoreResult<bool> {
    let removed = sqlx::query_scalar!(
        r#"with removed as (
             delete from team_member where environment = $1 and teamid = $2 and systemuserid = $3
             returning environment, systemuserid),
         logged as (
             insert into system_user_change (environment, at, actor, systemuserid, operation, fields)
             select environment, $4, $5, systemuserid, 'edit', jsonb_build_object('team', jsonb_build_array($6::text, null))
             from removed)
         select count(*) as "count!" from removed"#,
        team.environment,
        team.teamid,
        row,
        author.at,
        author.actor,
        team.name
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of_rows)?;
    Ok(removed > 0)
}

/// Removes a deleted row from every team.
pub async fn remove_from_all(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<()> {
    sqlx::query!(
        "delete from team_member where environment = $1 and systemuserid = $2",
        environment,
        row
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks for re-evaluation the rows of some members of a group, in each environment where a team has its members.
pub async fn mark_members(db: &mut Connection, group: Uuid, members: &[Uuid]) -> StoreResult<()> {
    if members.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into pending (environment, object_id)
         select distinct s.environment, s.azureactivedirectoryobjectid
         from team t
         join environment e on e.name = t.environment and e.closed_at is null
         join system_user s on s.environment = t.environment and s.azureactivedirectoryobjectid = any($2)
         where t.azureactivedirectoryobjectid = $1 order by 1, 2
         on conflict (environment, object_id) do update set version = excluded.version",
        group,
        members
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The groups whose members teams of some environments have, each with whether a team needs its owners.
pub async fn groups(db: &mut Connection, environments: &[String]) -> StoreResult<Vec<(Uuid, bool)>> {
    let groups = sqlx::query!(
        r#"select azureactivedirectoryobjectid as "group!", bool_or(membershiptype = 2) as "owners!"
           from team where environment = any($1) and azureactivedirectoryobjectid is not null
           group by azureactivedirectoryobjectid order by azureactivedirectoryobjectid"#,
        environments
    )
    .fetch_all(db)
    .await?;
    Ok(groups.into_iter().map(|row| (row.group, row.owners)).collect())
}
