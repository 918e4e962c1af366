//! Security roles: who holds each, and the source of each assignment.

use uuid::Uuid;

use super::changes::Author;
use super::{Connection, StoreError, StoreResult, expect_rows};
use crate::domain::role::{Assignment, Holder, HolderKey, Provenance};
use crate::plan::RoleChange;

/// The assignments of some rows, including those that a person removed.
pub async fn of_rows(db: &mut Connection, environment: &str, rows: &[Uuid]) -> StoreResult<Vec<Assignment>> {
    let found = sqlx::query!(
        r#"select systemuserid, role, provenance, revoked_at is not null as "revoked!" from system_user_role
           where environment = $1 and systemuserid = any($2) order by role, provenance"#,
        environment,
        rows
    )
    .fetch_all(db)
    .await?;
    let assignment = |systemuserid, role, provenance: String, revoked| Assignment {
        systemuserid,
        role,
        provenance: Provenance::parse(&provenance).unwrap_or(Provenance::Manual),
        revoked,
    };
    Ok(found
        .into_iter()
        .map(|row| assignment(row.systemuserid, row.role, row.provenance, row.revoked))
        .collect())
}

/// The number of enabled rows that hold a role.
pub async fn count_enabled_holders(db: &mut Connection, environment: &str, role: &str) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(distinct r.systemuserid) as "count!" from system_user_role r
           join system_user s on s.environment = r.environment and s.systemuserid = r.systemuserid
           where r.environment = $1 and r.role = $2 and r.revoked_at is null
             and not s.isdisabled and s.deletedstate = 0"#,
        environment,
        role
    )
    .fetch_one(db)
    .await?)
}

/// Applies changes of assignments and logs each effective one.
///
/// # Errors
/// [`StoreError::Refused`] when the database refuses one of them.
pub async fn apply(
    db: &mut Connection,
    environment: &str,
    changes: &[&RoleChange],
    author: Author<'_>,
) -> StoreResult<()> {
    let (granted, taken): (Vec<&RoleChange>, Vec<&RoleChange>) = changes.iter().partition(|change| change.is_granted);
    if !granted.is_empty() {
        let given = sqlx::query_scalar!(
            r#"with given as (
                 insert into system_user_role as r (
                     environment, systemuserid, role, provenance, granted_at, granted_by)
                 select $1::text, id, role, provenance, $5::timestamptz, $6::text
                 from unnest($2::uuid[], $3::text[], $4::text[]) as c (id, role, provenance)
                 on conflict (environment, systemuserid, role, provenance) do update set
                     revoked_at = null, revoked_by = null, granted_at = excluded.granted_at,
                     granted_by = excluded.granted_by
                 where r.revoked_at is not null
                 returning systemuserid, role, provenance),
             logged as (
                 insert into system_user_change (
                     environment, at, run_id, actor, systemuserid, operation, fields)
                 select $1, $5, $7::bigint, $6, systemuserid, 'grant',
                        jsonb_build_object('role', jsonb_build_array(null, role),
                                           'provenance', jsonb_build_array(null, provenance))
                 from given)
             select count(*) as "count!" from given"#,
            environment,
            &granted.iter().map(|change| change.systemuserid).collect::<Vec<_>>(),
            &granted.iter().map(|change| change.role.clone()).collect::<Vec<_>>(),
            &names(&granted),
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
             select * from unnest($2::uuid[], $3::text[], $4::text[], $5::boolean[]) as c (id, role, provenance, mark)),
         marked as (
             update system_user_role r set revoked_at = $6, revoked_by = $7 from wanted w
             where w.mark and r.environment = $1 and r.systemuserid = w.id and r.role = w.role
               and r.provenance = w.provenance and r.revoked_at is null
             returning r.systemuserid, r.role, r.provenance),
         dropped as (
             delete from system_user_role r using wanted w
             where not w.mark and r.environment = $1 and r.systemuserid = w.id and r.role = w.role
               and r.provenance = w.provenance
             returning r.systemuserid, r.role, r.provenance, r.revoked_at),
         gone as (
             select systemuserid, role, provenance from marked
             union all
             select systemuserid, role, provenance from dropped where revoked_at is null),
         logged as (
             insert into system_user_change (environment, at, run_id, actor, systemuserid, operation, fields)
             select $1, $6, $8::bigint, $7, systemuserid, 'revoke',
                    jsonb_build_object('role', jsonb_build_array(role, null),
                                       'provenance', jsonb_build_array(provenance, null))
             from gone)
         select (select count(*) from marked) + (select count(*) from dropped) as "count!""#,
        environment,
        &taken.iter().map(|change| change.systemuserid).collect::<Vec<_>>(),
        &taken.iter().map(|change| change.role.clone()).collect::<Vec<_>>(),
        &names(&taken),
        &taken.iter().map(|change| change.leaves_mark).collect::<Vec<_>>(),
        author.at,
        author.actor,
        author.run_id
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of_rows)?;
    expect_rows(gone, taken.len())
}

fn names(changes: &[&RoleChange]) -> Vec<String> {
    changes
        .iter()
        .map(|change| change.provenance.as_str().to_owned())
        .collect()
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
