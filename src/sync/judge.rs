//! From users to rows, the only path: `load`, decide ([`crate::plan::batch`]), `apply`, in one transaction that waits
//! for nothing but the database.
//!
//! The caller (a cycle, an import, one request) passes the users and the policy, and uses the result as it needs. This
//! module sends no request to the directory and records no finding.

mod apply;
mod load;
mod parts;
mod write;

pub(super) use apply::{Applied, Share, apply, sentence};
pub(super) use load::{Loaded, load, load_all};
pub(super) use parts::{Parts, WriteAttempt};
pub(super) use write::{WriteMode, write_by_hand};

use std::collections::{BTreeSet, HashMap};

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

/// Evaluates the loaded users of each environment. Each has a number of `freed` slots, free in addition to those that
/// the database counts.
pub(super) async fn decide_all(
    tx: &mut Transaction,
    all: Vec<(Loaded<'_>, u32)>,
    policy: &Policy<'_>,
) -> StoreResult<Vec<Decided>> {
    let mut quotas = count_quotas(tx, &all, policy).await?;
    let rows = all.iter().flat_map(|(loaded, _)| {
        let rows = loaded.candidates.iter().filter_map(|it| it.row.as_ref());
        rows.map(|row| (loaded.name(), row.systemuserid))
    });
    let mut states = removals::states(tx, &rows.collect()).await?;
    let decided = all.into_iter().map(|(loaded, _)| {
        let states = states.remove(loaded.name()).unwrap_or_default();
        let quotas = quotas.remove(loaded.name()).unwrap_or_default();
        let held = states.iter().filter(|(_, state)| **state != RemovalState::Collected);
        let held = held.map(|(row, _)| *row).collect();
        Decided {
            draft: decide(loaded.candidates, &loaded.keepers, quotas, &held, loaded.view, policy),
            in_sets: states.into_keys().collect(),
        }
    });
    Ok(decided.collect())
}

/// Evaluates the loaded users of one environment.
pub(super) async fn decide_loaded(
    tx: &mut Transaction,
    loaded: Loaded<'_>,
    policy: &Policy<'_>,
) -> StoreResult<Decided> {
    let decided = decide_all(tx, vec![(loaded, 0)], policy).await?.pop();
    Ok(decided.unwrap_or_default())
}

/// Counts the scarce resources of the environments in which the batch concerns them, and locks the counts until this
/// transaction ends.
async fn count_quotas<'v>(
    tx: &mut Transaction,
    all: &[(Loaded<'v>, u32)],
    policy: &Policy<'_>,
) -> StoreResult<HashMap<&'v str, Quotas>> {
    let concerned = all
        .iter()
        .filter(|(loaded, _)| Quotas::concern(&loaded.candidates, policy));
    let caps = concerned.clone().map(|(loaded, freed)| {
        let cap = loaded.view.environment.non_interactive_cap;
        (loaded.name(), cap.saturating_add(*freed))
    });
    let slots = quota::lock_all(&mut *tx, &caps.collect()).await?;
    let administered = concerned.clone().filter(|(loaded, _)| loaded.concerns_administrators());
    let administered: Vec<String> = administered.map(|(loaded, _)| loaded.name().to_owned()).collect();
    let administrators = roles::count_enabled_holders(&mut *tx, &administered, SYSTEM_ADMINISTRATOR).await?;
    let quotas = concerned.map(|(loaded, _)| {
        let quotas = Quotas {
            slots: slots.get(loaded.name()).copied().unwrap_or_default(),
            administrators: administrators.get(loaded.name()).copied().unwrap_or_default(),
        };
        (loaded.name(), quotas)
    });
    Ok(quotas.collect())
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
    let administered = loaded.concerns_administrators().then(|| environment.name.clone());
    let administered = Vec::from_iter(administered);
    let administrators = roles::count_enabled_holders(&mut *tx, &administered, SYSTEM_ADMINISTRATOR).await?;
    let quotas = Quotas {
        slots,
        administrators: administrators.into_values().sum(),
    };
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
