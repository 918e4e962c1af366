//! The step between evaluating and removing: the guard sees all removals of a run before the first is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::json;
use uuid::Uuid;

use super::Refused;
use super::batch::write_planned;
use super::part::{EnvironmentRun, RunInfo, Scope, enter};
use super::together::Together;
use crate::domain::doubt::{Doubt, LICENCES};
use crate::domain::reason::Code;
use crate::domain::removal::RemovalState;
use crate::domain::run::{Phase, PlannedChange};
use crate::plan::Operation;
use crate::plan::guard::{Load, admit};
use crate::store::removals::{Hold, Removal};
use crate::store::{changes, environments, removals, rows};
use crate::sync::{Base, Failure};

/// The period over which the guard counts.
const GUARD_WINDOW: chrono::Duration = chrono::Duration::hours(24);

/// From this many users on, losing every licence at once indicates a fault of the catalogue, not of the users.
const NOBODY_LICENSED_COUNTS_FROM: i64 = 20;

const BATCH: usize = 500;

/// The doubts of an environment, each with the reasons for which it is not evidence.
pub(in crate::sync) type Doubts = Vec<(Doubt, &'static [Code])>;

/// Why removals of an environment are held, and for which reasons.
type Holds = Vec<(Doubt, BTreeSet<Code>)>;

impl Together<'_> {
    /// Allows or holds the removals of a run, and carries them out.
    pub(super) async fn decide_removals(&mut self, refused: &mut Refused) -> Result<(), Failure> {
        let Some(EnvironmentRun { base, run, .. }) = self.parts.first() else {
            return Ok(());
        };
        let (base, run) = (*base, *run);
        let collected = self.open_removals(base, run).await?;
        if collected.is_empty() {
            return Ok(());
        }
        let unlicensed = self.without_licensed(base, &collected).await?;
        for at in unlicensed {
            self.states[at].doubts.push((Doubt::NobodyLicensed {}, LICENCES));
        }
        let mut all: Vec<Holds> = Vec::new();
        for (at, collected) in &collected {
            all.push(doubted(std::mem::take(&mut self.states[*at].doubts), collected));
        }
        let loads = self.loads(base, run, &collected, &all).await?;
        for (((_, collected), holds), load) in collected.iter().zip(&mut all).zip(loads) {
            if let Err(why) = admit(base.settings.limits, load) {
                let reasons: Vec<Code> = free(collected, holds).map(|removal| removal.reason).collect();
                holds.push((limit_reached(&why, &reasons), reasons.into_iter().collect()));
            }
        }
        self.hold_removals(base, run, &collected, &all).await?;
        let (mut waiting, mut through) = (Vec::new(), Vec::new());
        for ((at, collected), holds) in collected.iter().zip(&all) {
            let is_held = |removal: &&Removal| holds.iter().any(|(_, reasons)| reasons.contains(&removal.reason));
            let (held, free): (Vec<&Removal>, Vec<&Removal>) = collected.iter().partition(is_held);
            waiting.extend(held.into_iter().map(|removal| (*at, removal.object_id)));
            through.extend(free.into_iter().map(|removal| (*at, removal.object_id)));
        }
        for ((at, _), holds) in collected.iter().zip(all) {
            self.states[*at].holds = holds.into_iter().map(|(why, _)| why).collect();
        }
        enter(
            &self.parts,
            Phase::Removing,
            i64::try_from(waiting.len() + through.len()).ok(),
        );
        self.carry_out(base, Scope::Held, &waiting, refused).await?;
        self.carry_out(base, Scope::Removals, &through, refused).await
    }

    /// Carries out, or holds, some removals: each row is re-evaluated at that moment.
    async fn carry_out(
        &mut self,
        base: &Base,
        scope: impl Fn(Vec<Uuid>) -> Scope,
        users: &[(usize, Uuid)],
        refused: &mut Refused,
    ) -> Result<(), Failure> {
        for users in users.chunks(base.batch_size(BATCH)) {
            base.check_cancelled()?;
            let scopes = users.chunk_by(|one, other| one.0 == other.0);
            let scopes = scopes.map(|users| (users[0].0, scope(users.iter().map(|(_, id)| *id).collect())));
            self.evaluate(scopes.collect(), refused).await?;
        }
        Ok(())
    }

    /// The removals of a run that are still undecided, of each environment that has any: those already held or rejected
    /// stay so.
    async fn open_removals(&mut self, base: &Base, run: RunInfo<'_>) -> Result<Vec<(usize, Vec<Removal>)>, Failure> {
        let of = (0..self.parts.len()).filter(|at| self.parts[*at].tally.has_removals && !self.states[*at].is_stopped);
        let of: Vec<usize> = of.collect();
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Vec<Removal>> = Vec::new();
        let mut db = base.store.read().await?;
        if run.dry_run {
            for at in &of {
                found.push(std::mem::take(&mut self.parts[*at].tally.removals));
            }
            let rows = of.iter().zip(&found).flat_map(|(at, found)| {
                let name = self.parts[*at].name().as_str();
                found.iter().map(move |removal| (name, removal.systemuserid))
            });
            let mut decided = removals::states(&mut db, &rows.collect()).await?;
            for (at, found) in of.iter().zip(&mut found) {
                let decided = decided.remove(self.parts[*at].name()).unwrap_or_default();
                let mut seen = HashSet::new();
                found.retain(|removal| {
                    let state = decided.get(&removal.systemuserid);
                    seen.insert(removal.systemuserid) && state.is_none_or(|state| *state == RemovalState::Collected)
                });
            }
        } else {
            let names: Vec<String> = of.iter().map(|at| self.parts[*at].name().clone()).collect();
            let mut collected = removals::collected(&mut db, &names, run.run_id).await?;
            found.extend(names.iter().map(|name| collected.remove(name).unwrap_or_default()));
        }
        let found = of.into_iter().zip(found).filter(|(_, found)| !found.is_empty());
        Ok(found.collect())
    }

    /// The environments that a run would leave without anyone who has a licence. Users already held for this reason count
    /// too: a fault does not become a fact because it arrives in small pieces.
    async fn without_licensed(&self, base: &Base, collected: &[(usize, Vec<Removal>)]) -> Result<Vec<usize>, Failure> {
        let unlicensed = collected.iter().map(|(at, collected)| {
            let unlicensed = collected.iter().filter(|removal| LICENCES.contains(&removal.reason));
            (*at, unlicensed.count(), collected)
        });
        let unlicensed: Vec<_> = unlicensed.filter(|(_, unlicensed, _)| *unlicensed > 0).collect();
        if unlicensed.is_empty() {
            return Ok(Vec::new());
        }
        let mut db = base.store.read().await?;
        let names: Vec<String> = unlicensed
            .iter()
            .map(|(at, ..)| self.parts[*at].name().clone())
            .collect();
        let held = removals::count_held_for(&mut db, &names, LICENCES).await?;
        let mut without = Vec::new();
        for (at, unlicensed, collected) in unlicensed {
            let name = self.parts[at].name();
            let held = held.get(name).copied().unwrap_or_default();
            if count(unlicensed).saturating_add(held) < NOBODY_LICENSED_COUNTS_FROM {
                continue;
            }
            let leaving: Vec<Uuid> = collected.iter().map(|removal| removal.systemuserid).collect();
            if !rows::any_licensed_beside(&mut db, name, &leaving).await? {
                without.push(at);
            }
        }
        Ok(without)
    }

    /// What the guard compares with its limits, for each environment with removals.
    async fn loads(
        &self,
        base: &Base,
        run: RunInfo<'_>,
        collected: &[(usize, Vec<Removal>)],
        holds: &[Holds],
    ) -> Result<Vec<Load>, Failure> {
        let parts: Vec<&EnvironmentRun<'_>> = collected.iter().map(|(at, _)| &self.parts[*at]).collect();
        let names: Vec<String> = parts.iter().map(|part| part.name().clone()).collect();
        let mut db = base.store.read().await?;
        let recent = changes::disables_since(&mut db, &names, run.now - GUARD_WINDOW).await?;
        let loads = parts
            .iter()
            .zip(collected)
            .zip(holds)
            .map(|((part, (_, collected)), holds)| Load {
                wanted: count(free(collected, holds).count()),
                recent: recent.get(part.name()).copied().unwrap_or_default(),
                enabled_at_start: 0,
            });
        let mut loads: Vec<Load> = loads.collect();
        let at_most = parts.iter().zip(&loads).map(|(part, load)| {
            let enough = base
                .settings
                .limits
                .enough_rows(load.wanted.saturating_add(load.recent));
            (
                part.name().as_str(),
                enough.saturating_add(part.tally.enabled_delta.max(0)),
            )
        });
        let enabled = environments::count_enabled(&mut db, &at_most.collect()).await?;
        for (part, load) in parts.iter().zip(&mut loads) {
            let enabled = enabled.get(part.name()).copied().unwrap_or_default();
            // As of the start of the run: rows that the run itself enabled do not count.
            load.enabled_at_start = enabled - part.tally.enabled_delta;
        }
        Ok(loads)
    }

    async fn hold_removals(
        &mut self,
        base: &Base,
        run: RunInfo<'_>,
        collected: &[(usize, Vec<Removal>)],
        holds: &[Holds],
    ) -> Result<(), Failure> {
        let expiry = chrono::Duration::from_std(base.settings.hold_expiry).unwrap_or(chrono::Duration::MAX);
        let expires_at = run
            .now
            .checked_add_signed(expiry)
            .unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        let mut sets = Vec::new();
        for ((at, collected), holds) in collected.iter().zip(holds) {
            // Removals are held for the first doubt about their reason.
            let mut held: BTreeSet<Code> = BTreeSet::new();
            for (why, reasons) in holds {
                let reasons: Vec<Code> = reasons.iter().copied().filter(|reason| held.insert(*reason)).collect();
                let concerned = collected.iter().filter(|removal| reasons.contains(&removal.reason));
                let concerned: Vec<&Removal> = concerned.collect();
                self.parts[*at].tally.counts.held += concerned.len() as u64;
                sets.push((self.parts[*at].name(), why, reasons, concerned));
            }
        }
        if run.dry_run {
            for (name, why, _, concerned) in sets {
                tracing::info!(environment = %name, code = why.code(), %why, "a run would hold removals");
                for part in concerned.chunks(base.batch_size(BATCH)) {
                    base.check_cancelled()?;
                    plan_held(base, run, name, part).await?;
                }
            }
            return Ok(());
        }
        let mut tx = base.begin(run.lease).await?;
        let holds = sets.into_iter().map(|(environment, why, reasons, _)| Hold {
            environment,
            reasons,
            why,
        });
        let holds: Vec<Hold<'_>> = holds.collect();
        removals::hold(&mut tx, run.run_id, &holds, run.now, expires_at).await?;
        for Hold {
            environment: name, why, ..
        } in &holds
        {
            tracing::warn!(environment = %name, code = why.code(), %why, "removals are held until somebody approves them");
        }
        let names: Vec<String> = collected.iter().map(|(at, _)| self.parts[*at].name().clone()).collect();
        removals::close_empty_sets(&mut tx, &names, run.now).await?;
        Ok(tx.commit().await?)
    }
}

/// The doubts that are not evidence for some of the removals, each with their reasons.
fn doubted(doubts: Doubts, collected: &[Removal]) -> Holds {
    let holds = doubts.into_iter().map(|(why, codes)| {
        let reasons = collected.iter().map(|removal| removal.reason);
        (why, reasons.filter(|reason| codes.contains(reason)).collect())
    });
    holds
        .filter(|(_, reasons): &(_, BTreeSet<Code>)| !reasons.is_empty())
        .collect()
}

/// The removals that no doubt concerns.
fn free<'r>(collected: &'r [Removal], holds: &[(Doubt, BTreeSet<Code>)]) -> impl Iterator<Item = &'r Removal> {
    let doubted: BTreeSet<Code> = holds.iter().flat_map(|(_, reasons)| reasons.iter().copied()).collect();
    collected
        .iter()
        .filter(move |removal| !doubted.contains(&removal.reason))
}

/// Why the guard holds removals for these reasons.
fn limit_reached(why: &str, reasons: &[Code]) -> Doubt {
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in reasons {
        *causes.entry(reason.as_str()).or_default() += 1;
    }
    let causes = causes.iter().map(|(reason, count)| format!("{reason} {count}"));
    Doubt::Told(format!("{why} ({})", causes.collect::<Vec<_>>().join(", ")))
}

/// Records removals that a dry run would hold.
async fn plan_held(base: &Base, run: RunInfo<'_>, name: &str, removals: &[&Removal]) -> Result<(), Failure> {
    let ids: Vec<Uuid> = removals.iter().map(|removal| removal.systemuserid).collect();
    let names = {
        let mut db = base.store.read().await?;
        rows::names(&mut db, name, &ids).await?
    };
    let held = removals.iter().map(|removal| PlannedChange {
        systemuserid: removal.systemuserid,
        azureactivedirectoryobjectid: Some(removal.object_id),
        domainname: names.get(&removal.systemuserid).cloned().flatten(),
        operation: Operation::Disable.as_str(),
        role: None,
        reason: Some(removal.reason.as_str()),
        held: true,
        fields: json!({ "isdisabled": [false, true] }),
    });
    let held: Vec<PlannedChange> = held.collect();
    base.retry(|| write_planned(base, run, name, &held)).await?;
    Ok(())
}

impl EnvironmentRun<'_> {
    /// Disables rows whose removal a person approved. Each row is re-evaluated at that moment.
    pub(in crate::sync) async fn carry_out_approved(&mut self, object_ids: &[Uuid]) -> Result<(), Failure> {
        for ids in object_ids.chunks(self.base.batch_size(BATCH)) {
            self.base.check_cancelled()?;
            self.count_batch(Scope::Approved(ids.to_vec())).await?;
        }
        Ok(())
    }
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
