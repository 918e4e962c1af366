//! `rollcall.business_unit`: the tree of business units of each environment. Names are unique with those of teams,
//! because every unit has a default team of its name.

use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreResult};
use crate::domain::directory_user::upn_key;
use crate::domain::system_user::SYNC_ACTOR;
use crate::domain::unit::{BusinessUnit, Name};

/// Creates the root of an environment and its default team, once. The environment's name is folded already. The root's id
/// follows from the name, so that two databases with the same environment agree.
pub async fn ensure_root(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!(
        "with root as (
             insert into business_unit (environment, businessunitid, name, name_key, createdby, modifiedby)
             select $1::text, md5('business unit ' || $1)::uuid, $1, $1, $3::text, $3
             where not exists (select from business_unit where environment = $1 and parentbusinessunitid is null)
             on conflict do nothing returning environment, businessunitid, name)
         insert into team (environment, teamid, name, name_key, teamtype, businessunitid, isdefault, createdby, modifiedby)
         select environment, $2::uuid, name, name, 0, businessunitid, true, $3, $3 from root",
        environment,
        Uuid::now_v7(),
        SYNC_ACTOR
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The root of an environment.
pub async fn root(db: &mut Connection, environment: &str) -> StoreResult<Option<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select businessunitid from business_unit where environment = $1 and parentbusinessunitid is null",
        environment
    )
    .fetch_optional(db)
    .await?)
}

/// Units after a key, in key order.
pub async fn list(
    db: &mut Connection,
    environment: &str,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<BusinessUnit>> {
    Ok(sqlx::query_as!(
        BusinessUnit,
        r#"select u.environment, u.businessunitid, u.name, u.parentbusinessunitid, above.name as "parentbusinessunitidname?", u.isdisabled, u.createdon, u.createdby,
                  u.modifiedon, u.modifiedby
           from business_unit u
           left join business_unit above on above.environment = u.environment and above.businessunitid = u.parentbusinessunitid
           where u.environment = $1 and u.businessunitid > $2 order by u.businessunitid limit $3"#,
        environment,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A unit by its id or its name.
pub async fn find(db: &mut Connection, environment: &str, given: &str) -> StoreResult<Option<BusinessUnit>> {
    Ok(sqlx::query_as!(
        BusinessUnit,
        r#"select u.environment, u.businessunitid, u.name, u.parentbusinessunitid, above.name as "parentbusinessunitidname?", u.isdisabled, u.createdon, u.createdby,
                  u.modifiedon, u.modifiedby
           from business_unit u
           left join business_unit above on above.environment = u.environment and above.businessunitid = u.parentbusinessunitid
           where u.environment = $1 and (u.businessunitid = $2 or u.name_key = $3)
           order by u.businessunitid = $2 desc nulls last limit 1"#,
        environment,
        Uuid::parse_str(given).ok(),
        upn_key(given)
    )
    .fetch_optional(db)
    .await?)
}

/// Whether a unit, or a team other than the default one of `except`, has the name.
pub async fn is_name_taken(
    db: &mut Connection,
    environment: &str,
    name: &Name,
    except: Option<Uuid>,
) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
                   select from business_unit
                   where environment = $1 and name_key = $2 and businessunitid is distinct from $3)
               or exists (
                   select from team
                   where environment = $1 and name_key = $2
                     and not (isdefault and businessunitid is not distinct from $3)) as "is_taken!""#,
        environment,
        name.key(),
        except
    )
    .fetch_one(db)
    .await?)
}

/// Creates a unit and its default team.
pub async fn insert(
    db: &mut Connection,
    environment: &str,
    name: &Name,
    parent: Uuid,
    author: Author<'_>,
) -> StoreResult<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "with made as (
             insert into business_unit (environment, businessunitid, name, name_key, parentbusinessunitid,
                                        createdon, createdby, modifiedon, modifiedby)
             values ($1, $2, $3::text, $4::text, $5, $7::timestamptz, $8::text, $7, $8)
             returning environment, businessunitid, name, name_key)
         insert into team (environment, teamid, name, name_key, teamtype, businessunitid, isdefault,
                           createdon, createdby, modifiedon, modifiedby)
         select environment, $6, name, name_key, 0, businessunitid, true, $7, $8, $7, $8 from made",
        environment,
        id,
        name.as_str(),
        name.key(),
        parent,
        Uuid::now_v7(),
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(id)
}

/// Writes what may change of a unit, and the name of its default team.
pub async fn update(db: &mut Connection, unit: &BusinessUnit, name: &Name, author: Author<'_>) -> StoreResult<()> {
    sqlx::query!(
        "update business_unit set name = $3, name_key = $4, parentbusinessunitid = $5, isdisabled = $6,
             modifiedon = greatest($7, modifiedon), modifiedby = $8
         where environment = $1 and businessunitid = $2",
        unit.environment,
        unit.businessunitid,
        name.as_str(),
        name.key(),
        unit.parentbusinessunitid,
        unit.isdisabled,
        author.at,
        author.actor
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update team set name = $3, name_key = $4, modifiedon = greatest($5, modifiedon), modifiedby = $6
         where environment = $1 and businessunitid = $2 and isdefault and name <> $3",
        unit.environment,
        unit.businessunitid,
        name.as_str(),
        name.key(),
        author.at,
        author.actor
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What keeps a unit from being empty.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Units below it.
    pub units: i64,
    /// Teams other than its default one.
    pub teams: i64,
    /// Whether any row that is not deleted belongs to it.
    pub any_user: bool,
}

/// What is in a unit.
pub async fn contents(db: &mut Connection, environment: &str, unit: Uuid) -> StoreResult<Contents> {
    Ok(sqlx::query_as!(
        Contents,
        r#"select (select count(*) from business_unit where environment = $1 and parentbusinessunitid = $2) as "units!",
                  (select count(*) from team where environment = $1 and businessunitid = $2 and not isdefault) as "teams!",
                  exists (
                      select from system_user
                      where environment = $1 and businessunitid = $2 and deletedstate = 0) as "any_user!""#,
        environment,
        unit
    )
    .fetch_one(db)
    .await?)
}

/// Deletes an empty unit with its default team. Deleted rows that belonged to it belong to the root.
pub async fn delete(db: &mut Connection, environment: &str, unit: Uuid) -> StoreResult<()> {
    sqlx::query!(
        "update system_user set businessunitid = null where environment = $1 and businessunitid = $2",
        environment,
        unit
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from team where environment = $1 and businessunitid = $2 and isdefault",
        environment,
        unit
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from business_unit where environment = $1 and businessunitid = $2",
        environment,
        unit
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a unit is `above` another, or is it.
pub async fn is_above(db: &mut Connection, environment: &str, above: Uuid, unit: Uuid) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"with recursive up as (
               select businessunitid, parentbusinessunitid from business_unit
               where environment = $1 and businessunitid = $3
               union
               select b.businessunitid, b.parentbusinessunitid from up
               join business_unit b on b.environment = $1 and b.businessunitid = up.parentbusinessunitid)
           select exists (select from up where businessunitid = $2) as "is_above!""#,
        environment,
        above,
        unit
    )
    .fetch_one(db)
    .await?)
}

/// Writes the root into some rows without a unit: no change of theirs, so neither their times nor the change log move.
/// Returns how many rows it filled.
pub async fn fill_in(db: &mut Connection, environments: &[String], at_most: i64) -> StoreResult<u64> {
    let filled = sqlx::query!(
        "update system_user s set businessunitid = root.businessunitid
         from (select u.environment, u.systemuserid, b.businessunitid
               from business_unit b
               cross join lateral (
                   select environment, systemuserid from system_user
                   where environment = b.environment and businessunitid is null
                   limit $2 for update skip locked) as u
               where b.environment = any($1) and b.parentbusinessunitid is null
               limit $2) as root
         where s.environment = root.environment and s.systemuserid = root.systemuserid",
        environments,
        at_most
    )
    .execute(db)
    .await?;
    Ok(filled.rows_affected())
}
