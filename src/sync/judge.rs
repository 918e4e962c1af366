//! From users to rows, the only path: `load`, decide ([`crate::plan::batch`]), `apply`, in one transaction that waits
//! for nothing but the database.
//!
//! The caller (a cycle, an import, one request) passes the users and the policy, and uses the result as it needs. This
//! module sends no request to the directory and records no finding.

mod apply;
mod load;
mod parts;
mod write;

pub(super) use apply::{Applied, apply, sentence};
pub(super) use load::{Loaded, load};
pub(super) use parts::{Parts, WriteAttempt};
pub(super) use write::{WriteMode, write_by_hand};

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::removal::RemovalState;
use crate::domain::role::SYSTEM_ADMINISTRATOR;
use crate::plan::batch::{Draft, Policy, Quotas, decide, settle_names};
use crate::plan::{Candidate, EnvironmentView, Unasked};
use crate::rules::Trigger;
use crate::store::{StoreResult, Transaction, quota, removals, roles};

/// A draft, and which of its rows are in a set of removals.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub draft: Draft,
    pub in_sets: BTreeSet<Uuid>,
}

/// Evaluates the loaded users. `freed` slots are free in addition to those that the database counts.
pub(super) async fn decide_loaded(
    tx: &mut Transaction,
    loaded: Loaded,
    view: &EnvironmentView<'_>,
    policy: &Policy<'_>,
    freed: u32,
) -> StoreResult<Decided> {
    let name = &view.environment.name;
    let quotas = if Quotas::concern(&loaded.candidates, policy) {
        count_quotas(tx, view, &loaded, freed).await?
    } else {
        Quotas::default()
    };
    let rows = loaded.candidates.iter().filter_map(|it| it.row.as_ref());
    let rows: Vec<Uuid> = rows.map(|row| row.systemuserid).collect();
    let states = if rows.is_empty() {
        Vec::new()
    } else {
        removals::states(tx, name, &rows).await?
    };
    let held = states.iter().filter(|(_, state)| *state != RemovalState::Collected);
    let held = held.map(|(row, _)| *row).collect();
    Ok(Decided {
        draft: decide(loaded.candidates, &loaded.keepers, quotas, &held, view, policy),
        in_sets: states.into_iter().map(|(row, _)| row).collect(),
    })
}

/// Counts the scarce resources, and locks the counts until this transaction ends.
async fn count_quotas(
    tx: &mut Transaction,
    view: &EnvironmentView<'_>,
    loaded: &Loaded,
    freed: u32,
) -> StoreResult<Quotas> {
    let (name, cap) = (&view.environment.name, view.environment.non_interactive_cap);
    Ok(Quotas {
        slots: quota::lock(&mut *tx, name, cap.saturating_add(freed)).await?,
        administrators: count_administrators(tx, view, loaded).await?,
    })
}

/// The number of enabled System Administrators of the environment, if the batch contains one; otherwise 0.
async fn count_administrators(tx: &mut Transaction, view: &EnvironmentView<'_>, loaded: &Loaded) -> StoreResult<i64> {
    if !loaded.candidates.iter().any(Candidate::is_administrator) {
        return Ok(0);
    }
    roles::count_enabled_holders(tx, &view.environment.name, SYSTEM_ADMINISTRATOR).await
}

/// One user as `explain` evaluates it: locked and read like any other, with names and quotas as a batch would find them
/// for every trigger. The cycle does not use what was `asked` just now about this user alone.
pub(super) async fn look_at<'v>(
    tx: &mut Transaction,
    view: &'v EnvironmentView<'_>,
    id: Uuid,
    asked: Option<Unasked>,
    now: DateTime<Utc>,
) -> StoreResult<impl Fn(Trigger) -> Candidate + 'v> {
    let environment = view.environment;
    let slots = quota::free_slots(&mut *tx, &environment.name, environment.non_interactive_cap).await?;
    let mut loaded = load(tx, view, vec![id], &[]).await?;
    let administrators = count_administrators(tx, view, &loaded).await?;
    let quotas = Quotas { slots, administrators };
    // The holders of the user's name follow the user.
    loaded.candidates[0].asked = asked;
    Ok(move |trigger: Trigger| {
        let mut candidates = loaded.candidates.clone();
        candidates[0].asked.take_if(|_| trigger.is_background());
        settle_names(&mut candidates, &loaded.keepers, view, trigger, now);
        let mut candidate = candidates.swap_remove(0);
        quotas.tell(&mut candidate);
        candidate
    })
}
