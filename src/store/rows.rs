//! `rollcall.system_user`: reading rows; `write` writes a batch of them.

mod each;
mod extra;
mod write;

use std::cmp::Reverse;
use std::collections::HashMap;

use uuid::Uuid;

use super::fault::OWN_UNIQUE;
use super::{ByEnvironment, Connection, Keys, StoreResult};
use crate::domain::directory_user::upn_key;
use crate::domain::system_user::{Filter, SystemUser, with_columns};

pub use each::{Unit, write_each};
pub use extra::{read_extra, write_extra};
pub use write::{insert, insert_placeholders, note_merged, release_names, update};

/// Reads rows; the text after the column list is the rest of the query. The list marks nullable columns, because sqlx
/// cannot see through a subquery.
macro_rules! select_rows {
    ($($rest:tt)*) => { with_columns!(select_columns [$($rest)*]) };
}

macro_rules! select_columns {
    ([$rest:tt $(+ $more:tt)* $(, $argument:expr)* $(,)?]
        written { $($(#[$_about:meta])* $_name:ident $sql:literal $null:literal $_type:ty, $_kind:literal $_at:literal $(, $_field:ident)?;)* }
        apart { $($(#[$_about_apart:meta])* $_apart:ident $sql_apart:literal $null_apart:literal $_type_apart:ty;)* }) => {
        sqlx::query_as!(
            SystemUser,
            "select environment as \"environment!\", systemuserid as \"systemuserid!\", null::text as \"extra?\""
                $(+ ", " + $sql + " as \"" + $sql + $null + "\"")*
                $(+ ", " + $sql_apart + " as \"" + $sql_apart + $null_apart + "\"")*
                + " " + $rest $(+ $more)*
            $(, $argument)*
        )
    };
}

/// Locks and reads the rows of some directory users, in the given order: callers that sort do not deadlock. One look-up
/// per row, whatever the planner assumes about a newly filled table.
pub async fn lock_by_object_ids(db: &mut Connection, users: &Keys) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from unnest($1::text[], $2::uuid[]) as wanted (name, id) cross join lateral (
             select * from system_user s
             where s.environment = wanted.name and s.azureactivedirectoryobjectid = wanted.id limit 1 for update) as found",
        &users.environments,
        &users.keys
    )
    .fetch_all(db)
    .await?)
}

/// Locks and reads the live rows that hold some user principal names.
pub async fn lock_by_upn_keys(db: &mut Connection, names: &Keys<String>) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from unnest($1::text[], $2::text[]) as wanted (name, upn) cross join lateral (
             select * from system_user s
             where s.environment = wanted.name and s.upn_key = wanted.upn limit 1 for update) as found",
        &names.environments,
        &names.keys
    )
    .fetch_all(db)
    .await?)
}

/// Locks and reads rows by their keys.
pub async fn lock_by_ids(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and systemuserid = any($2) order by systemuserid for update",
        environment,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// The keys of the next enabled rows of users and applications, in their order.
pub async fn next_enabled(
    db: &mut Connection,
    environment: &str,
    after: Option<Uuid>,
    limit: i64,
) -> StoreResult<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select systemuserid from system_user
         where environment = $1 and systemuserid > $2 and not isdisabled
           and coalesce(azureactivedirectoryobjectid, applicationid) is not null
         order by systemuserid limit $3",
        environment,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Some rows by their keys.
pub async fn find_by_ids(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and systemuserid = any($2)",
        environment,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// Rows whose manager is a given row, in key order.
pub async fn reports(
    db: &mut Connection,
    environment: &str,
    manager: Uuid,
    limit: i64,
) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and parentsystemuserid = $2 order by systemuserid limit $3",
        environment,
        manager,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The names of some rows.
pub async fn names(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Option<String>>> {
    let rows = sqlx::query!(
        "select systemuserid, domainname from system_user where environment = $1 and systemuserid = any($2)",
        environment,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.systemuserid, row.domainname)).collect())
}

/// Rows by any of their ids: row id, object id, or application id if they are not deleted.
pub async fn find_by_any_ids(db: &mut Connection, environment: &str, ids: &[Uuid]) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and systemuserid in (
             select systemuserid from system_user where environment = $1 and systemuserid = any($2)
             union
             select systemuserid from system_user
             where environment = $1 and azureactivedirectoryobjectid = any($2)
             union
             select systemuserid from system_user
             where environment = $1 and applicationid = any($2) and deletedstate = 0)",
        environment,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// The row of an application user that is not deleted.
pub async fn find_by_application_id(
    db: &mut Connection,
    environment: &str,
    application: Uuid,
) -> StoreResult<Option<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and applicationid = $2 and deletedstate = 0",
        environment,
        application
    )
    .fetch_optional(db)
    .await?)
}

/// One row by the directory user's object id.
pub async fn find_by_object_id(db: &mut Connection, environment: &str, id: Uuid) -> StoreResult<Option<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and azureactivedirectoryobjectid = $2",
        environment,
        id
    )
    .fetch_optional(db)
    .await?)
}

macro_rules! select_texts {
    ($head:tt $(+ $more:tt)* $(, $argument:expr)* $(,)?) => {
        sqlx::query_scalar!($head $(+ $more)* $(, $argument)*)
    };
}

/// Adds to a query the facts that the mirror has about user `$1`, as seen by an environment behind group `$2`: a short
/// text that stays the same until one of them is written.
macro_rules! with_facts {
    ($select:ident, $head:tt, $tail:tt $(, $argument:expr)* $(,)?) => {
        $select!(
            $head
                + "md5(row(
                       (select u::text from directory_user u where u.id = $1::uuid),
                       (select r::text from directory_role_member r where r.object_id = $1::uuid),
                       (select m::text from directory_group_member m
                        where m.group_id = $2::uuid and m.object_id = $1::uuid),
                       (select l::text from directory_look_up l where l.object_id = $1::uuid),
                       (select row(c.readable, c.reached_at is null)::text from checkpoint c
                        where c.source = 'group:' || $2::uuid),
                       (select c.value::text from checkpoint c where c.source = 'skus'))::text)"
                + $tail
            $(, $argument)*
        )
    };
}

/// The mirror's facts about a user, as a short text, as seen by an environment behind a security group.
pub async fn facts_of(db: &mut Connection, id: Uuid, group: Option<Uuid>) -> StoreResult<String> {
    Ok(
        with_facts!(select_texts, "select ", " as \"facts!\"", id, group as Option<Uuid>)
            .fetch_one(db)
            .await?,
    )
}

/// The enabled row of a directory user, unless the user is pending or the mirror's facts differ from [`facts_of`].
pub async fn find_settled(
    db: &mut Connection,
    environment: &str,
    id: Uuid,
    group: Option<Uuid>,
    facts: &str,
) -> StoreResult<Option<SystemUser>> {
    Ok(with_facts!(
        select_rows,
        "from system_user
         where environment = $3 and azureactivedirectoryobjectid = $1 and not isdisabled
           and not exists (select from pending where environment = $3 and object_id = $1)
           and $4 = ",
        "",
        id,
        group as Option<Uuid>,
        environment,
        facts
    )
    .fetch_optional(db)
    .await?)
}

/// A claim to a user principal name: by the directory, or by a live row.
#[derive(Clone, Copy, Debug)]
pub struct NameClaim {
    /// The directory user; none for a row without one.
    pub object_id: Option<Uuid>,
    /// Whether the claim comes from the mirror.
    pub in_directory: bool,
}

/// The claims to a name, in the mirror and in the table: several if they disagree.
pub async fn claims(db: &mut Connection, environment: &str, key: &str) -> StoreResult<Vec<NameClaim>> {
    Ok(sqlx::query_as!(
        NameClaim,
        r#"select id as "object_id?", true as "in_directory!" from directory_user
           where upn_key = $2 and state = 0
           union
           select azureactivedirectoryobjectid, false from system_user
           where environment = $1 and upn_key = $2
           limit 4"#,
        environment,
        key
    )
    .fetch_all(db)
    .await?)
}

/// One row by its key.
pub async fn find_by_id(db: &mut Connection, environment: &str, id: Uuid) -> StoreResult<Option<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and systemuserid = $2",
        environment,
        id
    )
    .fetch_optional(db)
    .await?)
}

/// The live row that holds a user principal name.
pub async fn find_by_upn_key(db: &mut Connection, environment: &str, key: &str) -> StoreResult<Option<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1 and upn_key = $2",
        environment,
        key
    )
    .fetch_optional(db)
    .await?)
}

/// The row that an id or a name means in each of some environments. An id is first that of a directory user, then a
/// row's own, then that of an application that is not deleted. A name means the row that holds it, else the newest that
/// does not, because it is not live or another row does.
pub async fn named(
    db: &mut Connection,
    environments: &[String],
    user: &str,
) -> StoreResult<HashMap<String, SystemUser>> {
    let id = Uuid::parse_str(user).ok();
    let mut found = match id {
        Some(id) => with_id(db, environments, id).await?,
        None => with_name(db, environments, &upn_key(user)).await?,
    };
    let rank = |row: &SystemUser| match id {
        Some(_) if row.azureactivedirectoryobjectid == id => 0,
        Some(id) if row.systemuserid == id => 1,
        None if row.upn_key.is_some() => 0,
        _ => 2,
    };
    found.sort_by_key(|row| (rank(row), Reverse(row.createdon)));
    let mut named = HashMap::new();
    for row in found {
        named.entry(row.environment.clone()).or_insert(row);
    }
    Ok(named)
}

async fn with_id(db: &mut Connection, environments: &[String], id: Uuid) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where (environment, systemuserid) in (
             select environment, systemuserid from system_user where environment = any($1) and systemuserid = $2
             union
             select environment, systemuserid from system_user
             where environment = any($1) and azureactivedirectoryobjectid = $2
             union
             select environment, systemuserid from system_user
             where environment = any($1) and applicationid = $2 and deletedstate = 0)",
        environments,
        id
    )
    .fetch_all(db)
    .await?)
}

async fn with_name(db: &mut Connection, environments: &[String], key: &str) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where (environment, systemuserid) in (
             select environment, systemuserid from system_user where environment = any($1) and upn_key = $2
             union
             select environment, systemuserid from system_user where environment = any($1) and unheld_upn_key = $2)",
        environments,
        key
    )
    .fetch_all(db)
    .await?)
}

/// Lists rows in key order.
pub async fn list(db: &mut Connection, environment: &str, filter: &Filter) -> StoreResult<Vec<SystemUser>> {
    Ok(select_rows!(
        "from system_user where environment = $1
           and ($2::boolean is null or isdisabled = $2)
           and ($3::smallint is null or accessmode = $3)
           and ($4::text is null or disabledreason = $4)
           and ($5::text is null or $5 = case
                   when applicationid is not null then 'application' when isstub then 'stub'
                   when azureactivedirectoryobjectid is null then 'reserved'
                   when accessmode = 4 then 'non_interactive' else 'regular' end)
           and ($6::text is null or strpos(lower(concat_ws(' ', domainname, fullname, internalemailaddress)), lower($6)) > 0)
           and systemuserid > $7
           and (not $9 or (not isdisabled and deletedstate = 0 and azureactivedirectoryobjectid is not null
                and applicationid is null and not exists (
                    select from effective_role e
                    where e.environment = $1 and e.systemuserid = system_user.systemuserid)))
         order by systemuserid limit $8",
        environment,
        filter.disabled,
        filter.accessmode,
        filter.reason,
        filter.kind,
        filter.text,
        filter.after.unwrap_or(Uuid::nil()),
        filter.limit,
        filter.without_role
    )
    .fetch_all(db)
    .await?)
}

/// The number of enabled non-interactive users of some environments.
pub async fn count_non_interactive(db: &mut Connection, environments: &[String]) -> StoreResult<ByEnvironment<i64>> {
    let counts = sqlx::query!(
        r#"select environment, count(*) as "count!" from system_user
           where environment = any($1) and accessmode = 4 and not isdisabled and applicationid is null
           group by environment"#,
        environments
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.environment, row.count)).collect())
}

/// The enabled non-interactive users: row and user principal name, oldest first.
pub async fn enabled_non_interactive(
    db: &mut Connection,
    environment: &str,
) -> StoreResult<Vec<(Uuid, Option<String>)>> {
    Ok(sqlx::query!(
        "select systemuserid, domainname from system_user
         where environment = $1 and accessmode = 4 and not isdisabled and applicationid is null
         order by createdon, systemuserid",
        environment
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.systemuserid, row.domainname))
    .collect())
}

/// Whether any row outside `rows` is licensed.
pub async fn any_licensed_beside(db: &mut Connection, environment: &str, rows: &[Uuid]) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from system_user
               where environment = $1 and islicensed and systemuserid <> all($2)) as "any!""#,
        environment,
        rows
    )
    .fetch_one(db)
    .await?)
}

/// Updates the table's planner statistics, if we own the table and have the right.
pub async fn gather_statistics(db: &mut Connection) -> StoreResult<()> {
    let may = sqlx::query_scalar!(
        r#"select pg_has_role(relowner, 'USAGE') as "may!" from pg_class where oid = 'system_user'::regclass"#
    )
    .fetch_one(&mut *db)
    .await?;
    if may {
        sqlx::query!("analyze system_user").execute(db).await?;
    }
    Ok(())
}

/// Whether customers have added unique constraints. Batches written concurrently may then deadlock.
pub async fn any_unique_of_others(db: &mut Connection) -> StoreResult<bool> {
    let own: Vec<String> = OWN_UNIQUE.map(str::to_owned).to_vec();
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from pg_index i join pg_class c on c.oid = i.indexrelid
               where i.indrelid = 'system_user'::regclass and (i.indisunique or i.indisexclusion)
                 and c.relname::text <> all($1)) as "exists!""#,
        &own
    )
    .fetch_one(db)
    .await?)
}
