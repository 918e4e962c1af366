//! Security roles: who holds each, and the source of each assignment.

use uuid::Uuid;

use super::changes::Author;
use super::keys::by_environment;
use super::{ByEnvironment, Connection, Keys, StoreError, StoreResult, expect_rows};
use crate::domain::role::{Assignment, Holder, HolderKey, Provenance};
use crate::plan::RoleChange;

/// The assignments of some rows, their own and those of their teams, including own ones that a person removed, and those
/// of group teams that the directory took them out of. Where no team has a role, teams cost nothing.
pub async fn of_rows(db: &mut Connection, rows: &Keys) -> StoreResult<ByEnvironment<Vec<Assignment>>> {
    if rows.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let found = sqlx::query!(
        r#"select r.environment as "environment!", systemuserid as "systemuserid!", role as "role!",
                  provenance as "provenance!", null as team, revoked_at is not null as "revoked!"
           from unnest($1::text[], $2::uuid[]) as wanted (environment, id)
           join system_user_role r on r.environment = wanted.environment and r.systemuserid = wanted.id
           union all
           select wanted.environment, wanted.id, r.role, $3, t.name, m.has_left
           from (select distinct environment from team_role where environment = any($1)) as concerned
           join unnest($1::text[], $2::uuid[]) as wanted (environment, id) on wanted.environment = concerned.environment
           cross join lateral (
               select m.teamid, false as has_left from team_membership m
               where m.environment = wanted.environment and m.systemuserid = wanted.id
               union all
               select d.teamid, true from team_departure d
               where d.environment = wanted.environment and d.systemuserid = wanted.id offset 0) as m
           join team_role r on r.environment = wanted.environment and r.teamid = m.teamid
           join team t on t.environment = wanted.environment and t.teamid = m.teamid
           order by 3, 4, 5"#,
        &rows.environments,
        &rows.keys,
        Provenance::Team.as_str()
    )
    .fetch_all(db)
    .await?;
    Ok(by_environment(found.into_iter().map(|row| {
        let assignment = Assignment {
            systemuserid: row.systemuserid,
            role: row.role,
            provenance: Provenance::parse(&row.provenance).unwrap_or(Provenance::Manual),
            team: row.team,
            revoked: row.revoked,
        };
        (row.environment, assignment)
    })))
}

/// The assignments of one row, as [`of_rows`].
pub async fn of_row(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<Vec<Assignment>> {
    let mut found = of_rows(db, &Keys::of(environment, [row])).await?;
    Ok(found.remove(environment).unwrap_or_default())
}

/// The number of enabled rows that hold a role, directly or through a team, in each of some environments.
pub async fn count_enabled_holders(
    db: &mut Connection,
    environments: &[String],
    role: &str,
) -> StoreResult<ByEnvironment<i64>> {
    if environments.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let counts = sqlx::query!(
        r#"select environment as "environment!", count(*) as "count!" from (
               select r.environment, r.systemuserid from system_user_role r
               join system_user s on s.environment = r.environment and s.systemuserid = r.systemuserid
               where r.environment = any($1) and r.role = $2 and r.revoked_at is null
                 and not s.isdisabled and s.deletedstate = 0
               union
               select r.environment, s.systemuserid from team_role r
               cross join lateral (
                   select m.systemuserid from team_membership m
                   where m.environment = r.environment and m.teamid = r.teamid offset 0) as m
               join system_user s on s.environment = r.environment and s.systemuserid = m.systemuserid
               where r.environment = any($1) and r.role = $2 and not s.isdisabled) as holder
           group by environment"#,
        environments,
        role
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.environment, row.count)).collect())
}

/// Whether more than one enabled row of an environment holds a role.
pub async fn has_several_holders(db: &mut Connection, environment: &str, role: &str) -> StoreResult<bool> {
    let counts = count_enabled_holders(db, &[environment.to_owned()], role).await?;
    Ok(counts.into_values().any(|count| count > 1))
}

/// The number of enabled directory users without a role of their own or of a team, in each of some environments. None
/// means 0.
pub async fn count_users_without(db: &mut Connection, environments: &[String]) -> StoreResult<ByEnvironment<i64>> {
    let counts = sqlx::query!(
        r#"select environment, count(*) as "count!" from system_user s
           where environment = any($1) and not isdisabled and deletedstate = 0
             and azureactivedirectoryobjectid is not null and applicationid is null
             and not exists (
                 select from effective_role e
                 where e.environment = s.environment and e.systemuserid = s.systemuserid)
           group by environment"#,
        environments
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.environment, row.count)).collect())
}

/// Applies changes of assignments in one environment.
///
/// # Errors
/// [`StoreError::Refused`] when the database refuses one of them.
pub async fn apply_in(
    db: &mut Connection,
    environment: &str,
    changes: &[RoleChange],
    author: Author<'_>,
) -> StoreResult<()> {
    let changes: Vec<_> = changes.iter().map(|change| (environment, change)).collect();
    apply(db, &changes, author).await
}

/// Applies changes of assignments and logs each effective one.
///
/// # Errors
/// [`StoreError::Refused`] when the database refuses one of them.
pub async fn apply(db: &mut Connection, changes: &[(&str, &RoleChange)], author: Author<'_>) -> StoreResult<()> {
    let (granted, taken): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, change)| change.is_granted);
    if !granted.is_empty() {
        let given = sqlx::query_scalar!(
            r#"with given as (
                 insert into system_user_role as r (
                     environment, systemuserid, role, provenance, granted_at, granted_by)
                 select name, id, role, provenance, $5::timestamptz, $6::text
                 from unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) as c (name, id, role, provenance)
                 on conflict (environment, systemuserid, role, provenance) do update set
                     revoked_at = null, revoked_by = null, granted_at = excluded.granted_at,
                     granted_by = excluded.granted_by
                 where r.revoked_at is not null
                 returning environment, systemuserid, role, provenance),
             logged as (
                 insert into system_user_change (
                     environment, at, run_id, actor, systemuserid, operation, fields)
                 select environment, $5, $7::bigint, $6, systemuserid, 'grant',
                        jsonb_build_object('role', jsonb_build_array(null, role),
                                           'provenance', jsonb_build_array(null, provenance))
                 from given)
             select count(*) as "count!" from given"#,
            &column(&granted, |name, _| name.to_owned()),
            &column(&granted, |_, change| change.systemuserid),
            &column(&granted, |_, change| change.role.clone()),
            &column(&granted, |_, change| change.provenance.as_str().to_owned()),
            author.at,
            author.actor,
            author.run_id
        )
        .fetch_one(&mut *db)
        .await
        .map_err(StoreError::of_rows)?;
        expect_rows(given, granted.len())?;
    }
    if taken.is_empty() {
        return Ok(());
    }
    // A role from a licence that a person removes leaves a mark, so that the sync does not assign it again.
    let gone = sqlx::query_scalar!(
        r#"with wanted as (
             select * from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::boolean[])
                 as c (name, id, role, provenance, mark)),
         marked as (
             update system_user_role r set revoked_at = $6, revoked_by = $7 from wanted w
             where w.mark and r.environment = w.name and r.systemuserid = w.id and r.role = w.role
               and r.provenance = w.provenance and r.revoked_at is null
             returning r.environment, r.systemuserid, r.role, r.provenance),
         dropped as (
             delete from system_user_role r using wanted w
             where not w.mark and r.environment = w.name and r.systemuserid = w.id and r.role = w.role
               and r.provenance = w.provenance
             returning r.environment, r.systemuserid, r.role, r.provenance, r.revoked_at),
         gone as (
             select environment, systemuserid, role, provenance from marked
             union all
             select environment, systemuserid, role, provenance from dropped where revoked_at is null),
         logged as (
             insert into system_user_change (environment, at, run_id, actor, systemuserid, operation, fields)
             select environment, $6, $8::bigint, $7, systemuserid, 'revoke',
                    jsonb_build_object('role', jsonb_build_array(role, null),
                                       'provenance', jsonb_build_array(provenance, null))
             from gone)
         select (select count(*) from marked) + (select count(*) from dropped) as "count!""#,
        &column(&taken, |name, _| name.to_owned()),
        &column(&taken, |_, change| change.systemuserid),
        &column(&taken, |_, change| change.role.clone()),
        &column(&taken, |_, change| change.provenance.as_str().to_owned()),
        &column(&taken, |_, change| change.leaves_mark),
        author.at,
        author.actor,
        author.run_id
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of_rows)?;
    expect_rows(gone, taken.len())
}

/// One column of some changes, for `unnest`.
fn column<T>(changes: &[(&str, &RoleChange)], value: impl Fn(&str, &RoleChange) -> T) -> Vec<T> {
    changes.iter().map(|(name, change)| value(name, change)).collect()
}

/// Lists who holds which role after an assignment, directly or through a team; optionally of one row or one role only.
pub async fn list(
    db: &mut Connection,
    environment: &str,
    row: Option<Uuid>,
    role: Option<&str>,
    after: Option<HolderKey>,
    limit: i64,
) -> StoreResult<Vec<Holder>> {
    let after = after.unwrap_or_default();
    Ok(sqlx::query_as!(
        Holder,
        r#"select h.systemuserid as "systemuserid!", s.domainname, s.isdisabled, h.role as "role!",
                  h.provenance as "provenance!", h.teamid, h.team, h.granted_at as "granted_at!", h.granted_by as "granted_by!"
           from (select systemuserid, role, provenance, null::uuid as teamid, null::text as team, granted_at, granted_by
                 from system_user_role
                 where environment = $1 and revoked_at is null and ($2::uuid is null or systemuserid = $2)
                   and ($3::text is null or role = $3)
                 union all
                 select m.systemuserid, r.role, $9, t.teamid, t.name, r.granted_at, r.granted_by
                 from team_role r
                 join team t on t.environment = r.environment and t.teamid = r.teamid
                 cross join lateral (
                     select systemuserid from team_membership
                     where environment = r.environment and teamid = r.teamid
                       and ($2::uuid is null or systemuserid = $2) offset 0) as m
                 where r.environment = $1 and ($3::text is null or r.role = $3)) as h
           join system_user s on s.environment = $1 and s.systemuserid = h.systemuserid
           where (h.systemuserid, h.role, h.provenance, coalesce(h.teamid, '00000000-0000-0000-0000-000000000000'))
                 > ($4, $5, $6, $7)
           order by h.systemuserid, h.role, h.provenance, h.teamid limit $8"#,
        environment,
        row,
        role,
        after.systemuserid,
        after.role,
        after.provenance,
        after.team,
        limit,
        Provenance::Team.as_str()
    )
    .fetch_all(db)
    .await?)
}
