//! Facts about users from the directory, written into the mirror in the order in which they were requested.
//!
//! A page of the feed, a look-up and a deletion all use this one path. A fact from a later moment stays, whichever
//! answer arrives last (rules.md, section 2, "Order").

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::feed::{Asked, Moment, Removal, UserChange};
use crate::store::answers::{self, StoredPages};
use crate::store::mirror::{self, Mirrored};
use crate::store::{StoreResult, Transaction, groups, recheck};

/// The result of storing facts.
#[derive(Debug, Default)]
pub(super) struct StoredChanges {
    /// Users about whom the mirror's facts changed.
    pub changed: Vec<Uuid>,
    /// Facts that were dropped because the mirror has newer ones, or has some that may be newer.
    pub older: Vec<Asked<Uuid>>,
    /// For a look-up, the pages stored since it asked.
    pub pages: StoredPages,
}

/// Where facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Pages of changes: a property that is not sent has not changed.
    Changes,
    /// Pages of a round: a property that is not sent is not set. What changes later comes with the changes.
    Round,
    /// Answers about single users, at this time: a property that is not sent is not set, and no later answer corrects
    /// them.
    LookUp(DateTime<Utc>),
}

/// Stores facts about users, in the order sent.
pub(super) async fn take_in(
    tx: &mut Transaction,
    facts: &[Asked<UserChange>],
    origin: Origin,
) -> StoreResult<StoredChanges> {
    let mut ids: Vec<Uuid> = facts.iter().map(|fact| fact.value.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = mirror::lock_users(&mut *tx, &ids).await?;
    take_in_locked(tx, facts, &known, origin).await
}

/// The same for users whom the transaction has locked.
pub(super) async fn take_in_locked(
    tx: &mut Transaction,
    facts: &[Asked<UserChange>],
    known: &HashMap<Uuid, Mirrored>,
    origin: Origin,
) -> StoreResult<StoredChanges> {
    let pages = match facts.iter().map(|fact| fact.at).min() {
        Some(first) if matches!(origin, Origin::LookUp(_)) => StoredPages::since(&mut *tx, first).await?,
        _ => StoredPages::default(),
    };
    let mut taken = StoredChanges::default();
    // The order in which every transaction locks them.
    let mut latest: BTreeMap<Uuid, Mirrored> = BTreeMap::new();
    for fact in facts {
        let id = fact.value.id();
        let before = latest.get(&id).or_else(|| known.get(&id));
        if before.is_some_and(|before| fact.at < before.asked) {
            taken.older.push(Asked { at: fact.at, value: id });
            continue;
        }
        if let Some(user) = merge(
            before.map(|before| &before.user),
            &fact.value,
            origin != Origin::Changes,
        ) {
            let may_be_older = |before: &Mirrored| pages.may_be_newer(before.asked, fact.at) && before.user != user;
            if before.is_some_and(may_be_older) {
                taken.older.push(Asked { at: fact.at, value: id });
                continue;
            }
            latest.insert(id, Mirrored { user, asked: fact.at });
        }
    }
    // They are requested again until everything about them can be decoded.
    let undecodable = latest.values().filter(|known| {
        known.user.state == DirectoryState::Present && known.user.undecodable.properties().next().is_some()
    });
    let undecodable: Vec<_> = undecodable
        .map(|known| Asked {
            at: known.asked,
            value: known.user.id,
        })
        .collect();
    let is_new = |latest: &Mirrored| known.get(&latest.user.id).map(|known| &known.user) != Some(&latest.user);
    let (changed, confirmed): (Vec<_>, Vec<_>) = latest.into_values().partition(is_new);
    if let Origin::LookUp(now) = origin {
        recheck_contradicted(&mut *tx, &changed, known, now).await?;
    }
    let locked: Vec<Uuid> = known.keys().copied().collect();
    mirror::write_users(&mut *tx, &changed, &locked).await?;
    let confirmed: Vec<_> = confirmed.iter().map(|known| (known.user.id, known.asked)).collect();
    mirror::mark_asked(&mut *tx, &confirmed).await?;
    recheck::add(&mut *tx, &undecodable).await?;
    groups::note_returned(&mut *tx, &returned(&changed, known)).await?;
    taken.pages = pages;
    taken.changed = changed.iter().map(|changed| changed.user.id).collect();
    Ok(taken)
}

/// Users about whom a look-up contradicts what the changes have just told are asked for again: the look-up may come from a
/// lagging replica.
async fn recheck_contradicted(
    tx: &mut Transaction,
    changed: &[Mirrored],
    known: &HashMap<Uuid, Mirrored>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    let before = |changed: &Mirrored| known.get(&changed.user.id).map(|known| known.asked);
    let moments: Vec<Moment> = changed.iter().filter_map(before).collect();
    if moments.is_empty() {
        return Ok(());
    }
    let told = answers::changes_since(&mut *tx, &moments, now - recheck::LAG).await?;
    let contradicted = changed
        .iter()
        .filter(|changed| before(changed).is_some_and(|asked| told.contains(&asked)));
    let contradicted: Vec<_> = contradicted
        .map(|changed| Asked {
            at: changed.asked,
            value: changed.user.id,
        })
        .collect();
    recheck::add_twice(tx, &contradicted).await
}

/// Compares facts of a listing with the mirror, and changes nothing. Marks the users whom the listing confirms, and
/// returns those about whom it differs. What the mirror knows from a newer answer is not compared.
pub(super) async fn compare(tx: &mut Transaction, facts: &[Asked<UserChange>]) -> StoreResult<Vec<Asked<Uuid>>> {
    let ids: BTreeSet<Uuid> = facts.iter().map(|fact| fact.value.id()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let known = mirror::lock_users(&mut *tx, &ids).await?;
    let (mut confirmed, mut differing) = (Vec::new(), Vec::new());
    for fact in facts {
        let id = fact.value.id();
        let before = known.get(&id);
        if before.is_some_and(|before| fact.at < before.asked) {
            continue;
        }
        let before = before.map(|before| &before.user);
        match merge(before, &fact.value, true) {
            Some(user) if Some(&user) != before => differing.push(Asked { at: fact.at, value: id }),
            _ => confirmed.push((id, fact.at)),
        }
    }
    mirror::mark_asked(&mut *tx, &confirmed).await?;
    Ok(differing)
}

/// Adds a fact to the known facts about a user; none if nothing is known.
fn merge(known: Option<&DirectoryUser>, fact: &UserChange, absent_is_null: bool) -> Option<DirectoryUser> {
    let mut user = known.cloned().unwrap_or_default();
    match fact {
        UserChange::Present(patch) => user.absorb(patch, absent_is_null),
        // A tombstone for a user never seen is legal, and matters only if the user may return.
        UserChange::Removed {
            reason: Removal::Gone, ..
        } if known.is_none() => return None,
        UserChange::Removed { id, reason, deleted_at } => {
            user.id = *id;
            user.deleted_at = deleted_at.or(user.deleted_at);
            user.state = match reason {
                Removal::SoftDeleted => DirectoryState::SoftDeleted,
                Removal::Gone => DirectoryState::Gone,
            };
        }
    }
    Some(user)
}

/// Users restored from deletedItems.
fn returned(changed: &[Mirrored], known: &HashMap<Uuid, Mirrored>) -> Vec<Uuid> {
    let was_away = |id: &Uuid| {
        known
            .get(id)
            .is_some_and(|known| known.user.state != DirectoryState::Present)
    };
    let present = changed
        .iter()
        .filter(|changed| changed.user.state == DirectoryState::Present);
    present.map(|changed| changed.user.id).filter(was_away).collect()
}
