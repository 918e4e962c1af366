//! `rollcall.import_item`: the result for each user of a job.

use uuid::Uuid;

use crate::domain::import::{Item, ItemState};
use crate::store::{Connection, StoreResult};

/// Items of a job in their order.
pub async fn list(
    db: &mut Connection,
    job: i64,
    state: Option<ItemState>,
    after: Option<i64>,
    limit: i64,
) -> StoreResult<Vec<Item>> {
    Ok(sqlx::query_as!(
        Item,
        r#"select position, given, object_id, state as "state: ItemState", code, detail, systemuserid from import_item
         where job = $1 and ($2::text is null or state = $2) and position > $3 order by position limit $4"#,
        job,
        state.map(ItemState::as_str),
        after.unwrap_or(0),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The first items without a result.
pub async fn waiting(db: &mut Connection, job: i64, limit: i64) -> StoreResult<Vec<Item>> {
    Ok(sqlx::query_as!(
        Item,
        r#"select position, given, object_id, state as "state: ItemState", code, detail, systemuserid from import_item
         where job = $1 and state = 'waiting' order by position limit $2"#,
        job,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The position of a job's last item.
pub async fn last_position(db: &mut Connection, job: i64) -> StoreResult<i64> {
    let last = sqlx::query_scalar!("select max(position) from import_item where job = $1", job)
        .fetch_one(db)
        .await?;
    Ok(last.unwrap_or(0))
}

/// Writes results: of waiting items, and of users that an import of everybody reaches.
pub async fn write(db: &mut Connection, job: i64, items: &[Item]) -> StoreResult<()> {
    macro_rules! column {
        ($column:ident) => {
            items.iter().map(|item| item.$column.clone()).collect::<Vec<_>>()
        };
    }
    sqlx::query!(
        "insert into import_item (job, position, given, object_id, state, code, detail, systemuserid)
         select $1::bigint, i.* from unnest(
             $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[]) as i
         on conflict (job, position) do update set
             object_id = excluded.object_id, state = excluded.state, code = excluded.code, detail = excluded.detail,
             systemuserid = excluded.systemuserid",
        job,
        &column!(position),
        &column!(given),
        &column!(object_id) as &[Option<Uuid>],
        &items.iter().map(|item| item.state.to_string()).collect::<Vec<_>>(),
        &column!(code) as &[Option<String>],
        &column!(detail) as &[Option<String>],
        &column!(systemuserid) as &[Option<Uuid>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The number of refused users of a job, by reason.
pub async fn refused_by_code(db: &mut Connection, job: i64) -> StoreResult<Vec<(String, i64)>> {
    Ok(sqlx::query!(
        r#"select code as "code!", count(*) as "count!" from import_item
           where job = $1 and state = 'refused' and code is not null group by code order by 2 desc, 1"#,
        job
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.code, row.count))
    .collect())
}

/// The number of rows created by a job that hold no security role.
pub async fn count_without_role(db: &mut Connection, job: i64, environment: &str) -> StoreResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from import_item i
           where job = $1 and state = 'created' and not exists (
               select from system_user_role r
               where r.environment = $2 and r.systemuserid = i.systemuserid and r.revoked_at is null)"#,
        job,
        environment
    )
    .fetch_one(db)
    .await?)
}
