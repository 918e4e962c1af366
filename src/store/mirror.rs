//! The mirror of directory users.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use ring::digest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Connection, StoreError, StoreResult};
use crate::domain::directory_user::{DirectoryState, DirectoryUser, Unknowns};
use crate::domain::extra_field::ExtraProperties;
use crate::domain::feed::{Asked, DeletedUser, Moment};

/// The stored form of a state.
pub(super) fn state_from(state: i16) -> DirectoryState {
    match state {
        0 => DirectoryState::Present,
        1 => DirectoryState::SoftDeleted,
        _ => DirectoryState::Gone,
    }
}

fn state_to(state: DirectoryState) -> i16 {
    match state {
        DirectoryState::Present => 0,
        DirectoryState::SoftDeleted => 1,
        DirectoryState::Gone => 2,
    }
}

/// The stored form of mapped properties; null where there are none.
fn extra_to(extra: &ExtraProperties) -> Option<Value> {
    (!extra.is_empty()).then(|| json!(extra))
}

/// The id of a set of plans: a hash of the sorted ids.
fn plan_set_id(plans: &[Uuid]) -> Uuid {
    let mut context = digest::Context::new(&digest::SHA256);
    for plan in plans {
        context.update(plan.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&context.finish().as_ref()[..16]);
    Uuid::from_bytes(id)
}

struct UserRow {
    id: Uuid,
    state: i16,
    deleted_at: Option<DateTime<Utc>>,
    account_enabled: Option<bool>,
    is_agent: bool,
    plans: Option<Vec<Uuid>>,
    nul_removed: i32,
    undecodable: i32,
    user_principal_name: Option<String>,
    display_name: Option<String>,
    given_name: Option<String>,
    surname: Option<String>,
    job_title: Option<String>,
    mail: Option<String>,
    business_phone: Option<String>,
    mobile_phone: Option<String>,
    street_address: Option<String>,
    city: Option<String>,
    state_or_province: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
    usertype: Option<String>,
    extra: Option<Value>,
}

impl From<UserRow> for DirectoryUser {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            state: state_from(row.state),
            deleted_at: row.deleted_at,
            account_enabled: row.account_enabled,
            is_agent: row.is_agent,
            usable_plans: row.plans.unwrap_or_default(),
            nul_removed: row.nul_removed,
            undecodable: Unknowns::from_bits(row.undecodable),
            user_principal_name: row.user_principal_name,
            display_name: row.display_name,
            given_name: row.given_name,
            surname: row.surname,
            job_title: row.job_title,
            mail: row.mail,
            business_phone: row.business_phone,
            mobile_phone: row.mobile_phone,
            street_address: row.street_address,
            city: row.city,
            state_or_province: row.state_or_province,
            postal_code: row.postal_code,
            country: row.country,
            user_type: row.usertype,
            extra: row
                .extra
                .and_then(|extra| serde_json::from_value(extra).ok())
                .unwrap_or_default(),
        }
    }
}

/// Reads users by id.
pub async fn read_users(db: &mut Connection, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, DirectoryUser>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_as!(
        UserRow,
        r#"select u.id as "id!", state as "state!", deleted_at, account_enabled, is_agent as "is_agent!",
                  p.plans as "plans?", nul_removed as "nul_removed!", undecodable as "undecodable!",
                  user_principal_name, display_name, given_name, surname, job_title, mail, business_phone,
                  mobile_phone, street_address, city, state_or_province, postal_code, country, usertype, extra
           from directory_user u left join plan_set p on p.id = u.plan_set
           where u.id = any($1)"#,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}

/// A user in the mirror, and when it was asked for.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// The user.
    pub user: DirectoryUser,
    /// The moment.
    pub asked: Moment,
}

/// Reads users by id, and locks them until the transaction ends.
pub async fn lock_users(db: &mut Connection, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Mirrored>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let locked = sqlx::query!(
        "select id, seen_round from directory_user where id = any($1) order by id for update",
        ids
    )
    .fetch_all(&mut *db)
    .await?;
    let mut users = read_users(db, ids).await?;
    let mirrored = locked.into_iter().filter_map(|row| {
        let user = users.remove(&row.id)?;
        let asked = Moment(row.seen_round);
        Some((row.id, Mirrored { user, asked }))
    });
    Ok(mirrored.collect())
}

/// The ids of the next users after `after`, in key order.
pub async fn next_ids(db: &mut Connection, after: Option<Uuid>, limit: i64) -> StoreResult<Vec<Uuid>> {
    let after = after.unwrap_or(Uuid::nil());
    Ok(sqlx::query_scalar!(
        "select id from directory_user where id > $1 order by id limit $2",
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The present user with a user principal name; any of them if the mirror holds it twice.
pub async fn find_by_upn(db: &mut Connection, upn_key: &str) -> StoreResult<Option<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select id from directory_user where upn_key = $1 order by state, id limit 1",
        upn_key
    )
    .fetch_optional(db)
    .await?)
}

/// Writes the given users. `locked` are those whom the transaction has locked.
///
/// # Errors
/// [`StoreError::Conflict`] when a concurrent writer added one of the others; when the database does not answer.
pub async fn write_users(db: &mut Connection, users: &[Mirrored], locked: &[Uuid]) -> StoreResult<()> {
    if users.is_empty() {
        return Ok(());
    }
    let plan_sets: Vec<Uuid> = users
        .iter()
        .map(|known| plan_set_id(&known.user.usable_plans))
        .collect();
    write_plan_sets(&mut *db, users, &plan_sets).await?;
    macro_rules! column {
        ($field:ident) => {
            users
                .iter()
                .map(|known| known.user.$field.clone())
                .collect::<Vec<_>>()
        };
    }
    let written = sqlx::query!(
        "insert into directory_user as u (
             id, state, deleted_at, account_enabled, is_agent, plan_set, nul_removed, user_principal_name, upn_key,
             display_name, given_name, surname, job_title, mail, business_phone, mobile_phone, street_address, city,
             state_or_province, postal_code, country, seen_round, undecodable, usertype, extra)
         select * from unnest(
             $1::uuid[], $2::smallint[], $3::timestamptz[], $4::boolean[], $5::boolean[], $6::uuid[], $7::integer[],
             $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
             $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bigint[],
             $24::integer[], $25::text[], $26::jsonb[])
         on conflict (id) do update set
             state = excluded.state, deleted_at = excluded.deleted_at, account_enabled = excluded.account_enabled,
             is_agent = excluded.is_agent, plan_set = excluded.plan_set, nul_removed = excluded.nul_removed,
             user_principal_name = excluded.user_principal_name, upn_key = excluded.upn_key,
             display_name = excluded.display_name, given_name = excluded.given_name, surname = excluded.surname,
             job_title = excluded.job_title, mail = excluded.mail, business_phone = excluded.business_phone,
             mobile_phone = excluded.mobile_phone, street_address = excluded.street_address, city = excluded.city,
             state_or_province = excluded.state_or_province, postal_code = excluded.postal_code,
             country = excluded.country, seen_round = excluded.seen_round, undecodable = excluded.undecodable,
             usertype = excluded.usertype, extra = excluded.extra
         where u.id = any($23)",
        &column!(id),
        &users.iter().map(|known| state_to(known.user.state)).collect::<Vec<_>>(),
        &column!(deleted_at) as &[Option<DateTime<Utc>>],
        &column!(account_enabled) as &[Option<bool>],
        &column!(is_agent),
        &plan_sets,
        &column!(nul_removed),
        &column!(user_principal_name) as &[Option<String>],
        &users.iter().map(|known| known.user.upn_key()).collect::<Vec<_>>() as &[Option<String>],
        &column!(display_name) as &[Option<String>],
        &column!(given_name) as &[Option<String>],
        &column!(surname) as &[Option<String>],
        &column!(job_title) as &[Option<String>],
        &column!(mail) as &[Option<String>],
        &column!(business_phone) as &[Option<String>],
        &column!(mobile_phone) as &[Option<String>],
        &column!(street_address) as &[Option<String>],
        &column!(city) as &[Option<String>],
        &column!(state_or_province) as &[Option<String>],
        &column!(postal_code) as &[Option<String>],
        &column!(country) as &[Option<String>],
        &users.iter().map(|known| known.asked.0).collect::<Vec<_>>(),
        locked,
        &users
            .iter()
            .map(|known| known.user.undecodable.bits())
            .collect::<Vec<_>>(),
        &column!(user_type) as &[Option<String>],
        &users
            .iter()
            .map(|known| extra_to(&known.user.extra))
            .collect::<Vec<_>>() as &[Option<Value>]
    )
    .execute(db)
    .await?;
    if usize::try_from(written.rows_affected()) == Ok(users.len()) {
        Ok(())
    } else {
        Err(StoreError::Conflict)
    }
}

async fn write_plan_sets(db: &mut Connection, users: &[Mirrored], plan_sets: &[Uuid]) -> StoreResult<()> {
    let sets: BTreeMap<Uuid, &[Uuid]> = plan_sets
        .iter()
        .zip(users)
        .map(|(id, known)| (*id, known.user.usable_plans.as_slice()))
        .collect();
    let known = sqlx::query_scalar!(
        "select id from plan_set where id = any($1)",
        &sets.keys().copied().collect::<Vec<_>>()
    )
    .fetch_all(&mut *db)
    .await?;
    for (id, plans) in sets.into_iter().filter(|(id, _)| !known.contains(id)) {
        sqlx::query!("insert into plan_set values ($1, $2) on conflict do nothing", id, plans)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Records that users, whom the transaction has locked, were asked for again.
pub async fn mark_asked(db: &mut Connection, users: &[(Uuid, Moment)]) -> StoreResult<()> {
    if !users.is_empty() {
        sqlx::query!(
            "update directory_user u set seen_round = asked
             from unnest($1::uuid[], $2::bigint[]) as a (id, asked) where u.id = a.id and u.seen_round <> asked",
            &users.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            &users.iter().map(|(_, asked)| asked.0).collect::<Vec<_>>()
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// The number of present users, and of those seen since a round began.
pub async fn count_present(db: &mut Connection, round: Moment) -> StoreResult<(u64, u64)> {
    let counts = sqlx::query!(
        r#"select count(*) as "present!", count(*) filter (where seen_round >= $1) as "seen!"
           from directory_user where state = 0"#,
        round.0
    )
    .fetch_one(db)
    .await?;
    Ok((counts.present.cast_unsigned(), counts.seen.cast_unsigned()))
}

/// Part of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweptPart {
    /// Known users who are soft-deleted by now.
    pub deleted: Vec<Uuid>,
    /// Known users who are neither listed nor in deletedItems.
    pub missing: Vec<Asked<Uuid>>,
    /// The last user looked at; none at the end.
    pub last: Option<Uuid>,
}

/// After a complete full round: marks the next users not seen since it began as soft-deleted if deletedItems lists them.
/// Nobody is gone because a listing omits them: the others are only returned.
pub async fn sweep(
    db: &mut Connection,
    round: Moment,
    deleted: &BTreeMap<Uuid, Option<DateTime<Utc>>>,
    after: Option<Uuid>,
    limit: usize,
) -> StoreResult<SweptPart> {
    let unseen = sqlx::query!(
        "select id, state from directory_user where id > $2 and seen_round < $1 and state < 2 order by id limit $3",
        round.0,
        after.unwrap_or(Uuid::nil()),
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(&mut *db)
    .await?;
    let last = unseen.last().map(|row| row.id).filter(|_| unseen.len() == limit);
    let (mut ids, mut times, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for row in unseen {
        match deleted.get(&row.id) {
            Some(_) if state_from(row.state) == DirectoryState::SoftDeleted => {}
            Some(at) => {
                ids.push(row.id);
                times.push(*at);
            }
            None => missing.push(Asked {
                at: round,
                value: row.id,
            }),
        }
    }
    let deleted = sqlx::query_scalar!(
        "update directory_user u set state = 1, seen_round = $1, deleted_at = coalesce(m.at, u.deleted_at)
         from unnest($2::uuid[], $3::timestamptz[]) as m (id, at)
         where u.id = m.id and u.seen_round < $1 returning u.id",
        round.0,
        &ids,
        &times as &[Option<DateTime<Utc>>]
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(SweptPart { deleted, missing, last })
}

/// Those of some users in deletedItems whom a round lists as present.
pub async fn listed_among(
    db: &mut Connection,
    round: Moment,
    deleted: &[DeletedUser],
) -> StoreResult<Vec<Asked<Uuid>>> {
    let listed = sqlx::query_scalar!(
        "select id from directory_user where id = any($1) and state = 0 and seen_round >= $2",
        &deleted.iter().map(|user| user.id).collect::<Vec<_>>(),
        round.0
    )
    .fetch_all(db)
    .await?;
    Ok(listed.into_iter().map(|value| Asked { at: round, value }).collect())
}

/// Records users known only from deletedItems, so that a restore differs from a new user, and when those were deleted of
/// whom only that was known.
pub async fn note_deleted(db: &mut Connection, round: Moment, deleted: &[DeletedUser]) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_user (id, state, deleted_at, plan_set, seen_round)
         select distinct on (id) id, 1, at, $4::uuid, $1::bigint from unnest($2::uuid[], $3::timestamptz[]) as d (id, at)
         order by id
         on conflict (id) do update set deleted_at = excluded.deleted_at
         where directory_user.state = 1 and directory_user.deleted_at is null and excluded.deleted_at is not null",
        round.0,
        &deleted.iter().map(|user| user.id).collect::<Vec<_>>(),
        &deleted.iter().map(|user| user.deleted_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        plan_set_id(&[])
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records users in neither the directory nor deletedItems, unless the mirror has them.
pub async fn note_gone(db: &mut Connection, ids: &[Uuid], at: Moment) -> StoreResult<()> {
    sqlx::query!(
        "insert into directory_user (id, state, plan_set, seen_round)
         select distinct id, 2, $3::uuid, $2::bigint from unnest($1::uuid[]) as g (id) order by id
         on conflict do nothing",
        ids,
        at.0,
        plan_set_id(&[])
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The number of users after an id, or of all, whatever their state.
pub async fn count_after(db: &mut Connection, after: Option<Uuid>) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from directory_user where $1::uuid is null or id > $1"#,
        after
    )
    .fetch_one(db)
    .await?)
}

/// Whether the account state of any present user is unreadable.
pub async fn any_unreadable(db: &mut Connection) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from directory_user where state = 0 and account_enabled is null) as "any!""#
    )
    .fetch_one(db)
    .await?)
}

/// The number of present users with a value that cannot be decoded.
pub async fn count_undecodable(db: &mut Connection) -> StoreResult<i64> {
    Ok(
        sqlx::query_scalar!(r#"select count(*) as "count!" from directory_user where state = 0 and undecodable <> 0"#)
            .fetch_one(db)
            .await?,
    )
}

/// Whether any present user has a usable plan.
pub async fn any_plans(db: &mut Connection) -> StoreResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from directory_user where state = 0 and plan_set <> $1) as "any!""#,
        plan_set_id(&[])
    )
    .fetch_one(db)
    .await?)
}
