//! The step between evaluating and removing: the guard sees all removals of a run before the first is written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::json;
use uuid::Uuid;

use super::part::{EnvironmentRun, Scope};
use crate::domain::doubt::{Doubt, LICENCES};
use crate::domain::reason::Code;
use crate::domain::removal::RemovalState;
use crate::domain::run::{Phase, PlannedChange};
use crate::plan::Operation;
use crate::plan::guard::{Load, admit};
use crate::store::removals::Removal;
use crate::store::{changes, environments, removals, rows};
use crate::sync::Failure;

/// The period over which the guard counts.
const GUARD_WINDOW: chrono::Duration = chrono::Duration::hours(24);

/// From this many users on, losing every licence at once indicates a fault of the catalogue, not of the users.
const NOBODY_LICENSED_COUNTS_FROM: i64 = 20;

const BATCH: usize = 500;

/// The doubts of an environment, each with the reasons for which it is not evidence.
pub(in crate::sync) type Doubts = Vec<(Doubt, &'static [Code])>;

impl EnvironmentRun<'_> {
    /// Allows or holds the removals of a run. Returns why removals are held.
    pub(in crate::sync) async fn decide_removals(&mut self, mut doubts: Doubts) -> Result<Vec<Doubt>, Failure> {
        let (name, run) = (self.name(), self.run);
        let found = std::mem::take(&mut self.tally.removals);
        let collected = if found.is_empty() {
            Vec::new()
        } else {
            self.open_removals(found).await?
        };
        if collected.is_empty() {
            return Ok(Vec::new());
        }
        if self.nobody_is_licensed(name, &collected).await? {
            doubts.push((Doubt::NobodyLicensed {}, LICENCES));
        }
        let mut holds: Vec<(Doubt, BTreeSet<Code>)> = Vec::new();
        let mut doubted: BTreeSet<Code> = BTreeSet::new();
        for (why, codes) in doubts {
            let reasons: BTreeSet<Code> = collected
                .iter()
                .map(|removal| removal.reason)
                .filter(|reason| codes.contains(reason))
                .collect();
            if !reasons.is_empty() {
                doubted.extend(&reasons);
                holds.push((why, reasons));
            }
        }
        let free: Vec<&Removal> = collected
            .iter()
            .filter(|removal| !doubted.contains(&removal.reason))
            .collect();
        let mut db = self.base.store.read().await?;
        let wanted = i64::try_from(free.len()).unwrap_or(i64::MAX);
        let recent = changes::disables_since(&mut db, name, run.now - GUARD_WINDOW).await?;
        let enough = self.base.settings.limits.enough_rows(wanted.saturating_add(recent));
        let at_most = enough.saturating_add(self.tally.enabled_delta.max(0));
        let load = Load {
            wanted,
            recent,
            // As of the start of the run: rows that the run itself enabled do not count.
            enabled_at_start: environments::count_enabled(&mut db, name, at_most).await? - self.tally.enabled_delta,
        };
        drop(db);
        if let Err(why) = admit(self.base.settings.limits, load) {
            let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
            for removal in &free {
                *causes.entry(removal.reason.as_str()).or_default() += 1;
            }
            let causes: Vec<String> = causes
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            let reasons = free.iter().map(|removal| removal.reason).collect();
            let why = format!("{why} ({})", causes.join(", "));
            holds.push((Doubt::Told(why), reasons));
        }
        self.hold_removals(&holds, &collected).await?;
        let held: BTreeSet<&Code> = holds.iter().flat_map(|(_, reasons)| reasons).collect();
        let (waiting, through): (Vec<&Removal>, Vec<&Removal>) =
            collected.iter().partition(|removal| held.contains(&removal.reason));
        let ids = |removals: Vec<&Removal>| removals.iter().map(|removal| removal.object_id).collect();
        let (waiting, through) = (ids(waiting), ids(through));
        self.enter(Phase::Removing, i64::try_from(collected.len()).ok());
        self.carry_out(Scope::Held, waiting).await?;
        self.carry_out(Scope::Removals, through).await?;
        Ok(holds.into_iter().map(|(why, _)| why).collect())
    }

    /// Whether a run would leave no one with a licence. Users already held for this reason count too: a fault does not
    /// become a fact because it arrives in small pieces.
    async fn nobody_is_licensed(&self, environment: &str, collected: &[Removal]) -> Result<bool, Failure> {
        let is_unlicensed = |removal: &&Removal| LICENCES.contains(&removal.reason);
        let unlicensed = collected.iter().filter(is_unlicensed).count();
        if unlicensed == 0 {
            return Ok(false);
        }
        let mut db = self.base.store.read().await?;
        let held = removals::count_held_for(&mut db, environment, LICENCES).await?;
        let leaving: Vec<Uuid> = collected.iter().map(|removal| removal.systemuserid).collect();
        Ok(
            i64::try_from(unlicensed).unwrap_or(i64::MAX).saturating_add(held) >= NOBODY_LICENSED_COUNTS_FROM
                && !rows::any_licensed_beside(&mut db, environment, &leaving).await?,
        )
    }

    /// The removals of a run that are still undecided: those already held or rejected stay so.
    async fn open_removals(&self, found: Vec<Removal>) -> Result<Vec<Removal>, Failure> {
        let (name, run) = (self.name(), self.run);
        let mut db = self.base.store.read().await?;
        if !run.dry_run {
            return Ok(removals::collected(&mut db, name, run.run_id).await?);
        }
        let ids: Vec<_> = found.iter().map(|removal| removal.systemuserid).collect();
        let decided: HashMap<Uuid, RemovalState> = removals::states(&mut db, name, &ids).await?.into_iter().collect();
        let mut seen = HashSet::new();
        let is_open = |removal: &Removal| {
            let state = decided.get(&removal.systemuserid);
            seen.insert(removal.systemuserid) && state.is_none_or(|state| *state == RemovalState::Collected)
        };
        Ok(found.into_iter().filter(is_open).collect())
    }

    async fn hold_removals(&mut self, holds: &[(Doubt, BTreeSet<Code>)], collected: &[Removal]) -> Result<(), Failure> {
        let (name, run) = (self.name(), self.run);
        let expiry = chrono::Duration::from_std(self.base.settings.hold_expiry).unwrap_or(chrono::Duration::MAX);
        let expires_at = run
            .now
            .checked_add_signed(expiry)
            .unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        // Removals are held for the first doubt about their reason.
        let mut held: BTreeSet<Code> = BTreeSet::new();
        let holds = holds.iter().map(|(why, reasons)| {
            let reasons: Vec<Code> = reasons.iter().copied().filter(|reason| held.insert(*reason)).collect();
            let concerned = collected.iter().filter(|removal| reasons.contains(&removal.reason));
            let concerned: Vec<&Removal> = concerned.collect();
            (why, reasons, concerned)
        });
        let holds: Vec<_> = holds.collect();
        self.tally.counts.held += holds.iter().map(|(.., concerned)| concerned.len() as u64).sum::<u64>();
        if run.dry_run {
            for (why, _, concerned) in holds {
                tracing::info!(environment = %name, code = why.code(), %why, "a run would hold removals");
                for part in concerned.chunks(self.base.batch_size(BATCH)) {
                    self.base.check_cancelled()?;
                    self.plan_held(part).await?;
                }
            }
            return Ok(());
        }
        let mut tx = self.base.begin(run.lease).await?;
        for (why, reasons, _) in holds {
            removals::hold(&mut tx, name, run.run_id, &reasons, why, run.now, expires_at).await?;
            tracing::warn!(environment = %name, code = why.code(), %why, "removals are held until somebody approves them");
        }
        removals::close_empty_sets(&mut tx, name, run.now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records removals that a dry run would hold.
    async fn plan_held(&self, removals: &[&Removal]) -> Result<(), Failure> {
        let ids: Vec<Uuid> = removals.iter().map(|removal| removal.systemuserid).collect();
        let names = {
            let mut db = self.base.store.read().await?;
            rows::names(&mut db, self.name(), &ids).await?
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
        self.base.retry(|| self.write_planned(&held)).await?;
        Ok(())
    }

    /// Disables the rows whose removal is allowed, or writes all other changes of those that are held. Each row is
    /// re-evaluated at that moment.
    pub(in crate::sync) async fn carry_out(
        &mut self,
        scope: impl Fn(Vec<Uuid>) -> Scope,
        object_ids: Vec<Uuid>,
    ) -> Result<(), Failure> {
        for ids in object_ids.chunks(self.base.batch_size(BATCH)) {
            self.base.check_cancelled()?;
            self.count_batch(scope(ids.to_vec())).await?;
        }
        Ok(())
    }
}
