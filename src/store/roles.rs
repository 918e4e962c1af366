//! Security roles: who holds each, and the source of each assignment.

use uuid::Uuid;

use super::changes::Author;
use super::keys::by_environment;
use super::{ByEnvironment, Connection, Keys, StoreError, StoreResult, expect_rows};
use crate::domain::role::{Assignment, Holder, HolderKey, Provenance};
use crate::plan::RoleChange;

/// The assignments of some rows, including those that a person removed.
pub async fn of_rows(db: &mut Connection, rows: &Keys) -> StoreResult<ByEnvironment<Vec<Assignment>>> {
    if rows.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let found = sqlx::query!(
        r#"select r.environment, systemuserid, role, provenance, revoked_at is not null as "revoked!"
           from unnest($1::text[], $2::uuid[]) as wanted (environment, id)
           join system_user_role r on r.environment = wanted.environment and r.systemuserid = wanted.id
           order by role, provenance"#,
        &rows.environments,
        &rows.keys
    )
    .fetch_all(db)
    .await?;
    Ok(by_environment(found.into_iter().map(|row| {
        let assignment = Assignment {
            systemuserid: row.systemuserid,
            role: row.role,
            provenance: Provenance::parse(&row.provenance).unwrap_or(Provenance::Manual),
            revoked: row.revoked,
        };
        (row.environment, assignment)
    })))
}

/// The assignments of one row, including those that a person removed.
pub async fn of_row(db: &mut Connection, environment: &str, row: Uuid) -> StoreResult<Vec<Assignment>> {
    let mut found = of_rows(db, &Keys::of(environment, [row])).await?;
    Ok(found.remove(environment).unwrap_or_default())
}

/// The number of enabled rows that hold a role, in each of some environments.
pub async fn count_enabled_holders(
    db: &mut Connection,
    environments: &[String],
    role: &str,
) -> StoreResult<ByEnvironment<i64>> {
    if environments.is_empty() {
        return Ok(ByEnvironment::new());
    }
    let counts = sqlx::query!(
        r#"select r.environment, count(distinct r.systemuserid) as "count!" from system_user_role r
           join system_user s on s.environment = r.environment and s.systemuserid = r.systemuserid
           where r.environment = any($1) and r.role = $2 and r.revoked_at is null
             and not s.isdisabled and s.deletedstate = 0
           group by r.environment"#,
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

/// Lists who holds which role after an assignment, optionally of one row or one role only.
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
        "select r.systemuserid, s.domainname, s.isdisabled, r.role, r.provenance, r.granted_at, r.granted_by
         from system_user_role r
         join system_user s on s.environment = r.environment and s.systemuserid = r.systemuserid
         where r.environment = $1 and r.revoked_at is null and ($2::uuid is null or r.systemuserid = $2)
           and ($3::text is null or r.role = $3) and (r.systemuserid, r.role, r.provenance) > ($4, $5, $6)
         order by r.systemuserid, r.role, r.provenance limit $7",
        environment,
        row,
        role,
        after.systemuserid,
        after.role,
        after.provenance,
        limit
    )
    .fetch_all(db)
    .await?)
}
