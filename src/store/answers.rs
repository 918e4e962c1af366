//! When the pages of feeds were asked for and stored. A feed reports each change once, so a look-up must not replace what a
//! page said by something older: whatever is asked for before the page is stored may be older than the page, although
//! it is asked for later (rules.md, section 2, "Order").

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::groups::MembershipsOf;
use super::{Connection, StoreResult};
use crate::domain::feed::{Asked, Moment};

/// How long a line is kept: longer than a look-up lasts.
const KEPT: chrono::Duration = chrono::Duration::hours(1);

/// Records that pages are stored now, each by the moment at which it was asked for. `are_changes`: they tell of changes.
pub async fn note(
    db: &mut Connection,
    pages: &BTreeSet<Moment>,
    are_changes: bool,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    if !pages.is_empty() {
        sqlx::query!(
            "insert into directory_answer (asked, at, is_change) select *, $2, $3 from unnest($1::bigint[])
             on conflict (asked) do update set
                 stored = excluded.stored, at = excluded.at, is_change = excluded.is_change",
            &pages.iter().map(|page| page.0).collect::<Vec<_>>(),
            now,
            are_changes
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Those of some moments at which a page of changes was asked for that was stored after a time.
pub async fn changes_since(
    db: &mut Connection,
    moments: &[Moment],
    since: DateTime<Utc>,
) -> StoreResult<HashSet<Moment>> {
    let told = sqlx::query_scalar!(
        "select asked from directory_answer where asked = any($1) and is_change and at > $2",
        &moments.iter().map(|moment| moment.0).collect::<Vec<_>>(),
        since
    );
    Ok(told.fetch_all(db).await?.into_iter().map(Moment).collect())
}

/// Deletes what no look-up needs any more.
pub async fn purge(db: &mut Connection, now: DateTime<Utc>) -> StoreResult<()> {
    sqlx::query!("delete from directory_answer where at < $1", now - KEPT)
        .execute(db)
        .await?;
    Ok(())
}

/// The pages that were stored after a moment, each by the moment at which it was asked for, with that at which it was
/// stored.
#[derive(Clone, Debug, Default)]
pub struct StoredPages(Vec<(Moment, Moment)>);

impl StoredPages {
    /// Those stored after a moment.
    pub async fn since(db: &mut Connection, moment: Moment) -> StoreResult<Self> {
        let pages = sqlx::query!("select asked, stored from directory_answer where stored > $1", moment.0)
            .fetch_all(db)
            .await?;
        Ok(Self(
            pages
                .iter()
                .map(|page| (Moment(page.asked), Moment(page.stored)))
                .collect(),
        ))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something asked for at `asked` may be older than a fact of a page.
    #[must_use]
    pub fn may_be_newer(&self, fact: Moment, asked: Moment) -> bool {
        fact < asked && self.0.iter().any(|(page, stored)| *page == fact && *stored > asked)
    }

    /// The users whose memberships by a page differ from these, which are or may be older than the page.
    pub async fn of_other_members(
        &self,
        db: &mut Connection,
        memberships: &MembershipsOf,
    ) -> StoreResult<HashSet<Uuid>> {
        if self.0.is_empty() {
            return Ok(HashSet::new());
        }
        let (users, moments) = split(&memberships.users);
        let (joined, _) = split(&memberships.joined);
        let (joiners, groups): (Vec<Uuid>, Vec<Uuid>) = joined.into_iter().unzip();
        let differ = sqlx::query_scalar!(
            "select distinct m.object_id
             from unnest($1::uuid[], $2::bigint[]) as u (id, asked)
             join directory_group_member m on m.object_id = u.id
             join directory_answer a on a.asked = m.seen_round and a.stored > u.asked
             where m.is_member <> exists (
                 select from unnest($3::uuid[], $4::uuid[]) as j (object_id, group_id)
                 where j.object_id = m.object_id and j.group_id = m.group_id)",
            &users,
            &moments,
            &joiners,
            &groups
        );
        Ok(differ.fetch_all(db).await?.into_iter().collect())
    }
}

fn split<T: Copy>(asked: &[Asked<T>]) -> (Vec<T>, Vec<i64>) {
    asked.iter().map(|one| (one.value, one.at.0)).unzip()
}
