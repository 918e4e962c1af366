//! One batch of users of a run: evaluated and written in one transaction, together with its findings, its removals and
//! the users to re-evaluate. A dry run does the same and rolls back.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::part::{EnvironmentRun, RunInfo, Scope, planned, planned_change, removal};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::reason::Code;
use crate::domain::run::PlannedChange;
use crate::domain::system_user::SYNC_ACTOR;
use crate::plan::Change;
use crate::plan::batch::{Decision, Draft, Policy};
use crate::rules::Trigger;
use crate::store::changes::Author;
use crate::store::findings::ObservedFinding;
use crate::store::pending::Pending;
use crate::store::planned::{self, PlannedKey};
use crate::store::refusals::Refused;
use crate::store::removals::Removal;
use crate::store::{StoreResult, Transaction, findings, pending, refusals, removals};
use crate::sync::Failure;
use crate::sync::judge::{Applied, Parts, WriteAttempt, apply, decide_loaded, load};

impl EnvironmentRun<'_> {
    /// Evaluates a batch and writes the result, in one part unless the database rejects some of it.
    pub(in crate::sync) async fn batch(&self, scope: &Scope) -> Result<Vec<(Draft, Applied)>, Failure> {
        let ids = scope.ids();
        let mut batch = Vec::new();
        let mut parts = Parts::of(ids.len());
        while let Some((range, effort)) = parts.next() {
            self.base.check_cancelled()?;
            let part = &ids[range.clone()];
            let tried = self.base.retry(|| self.try_batch(scope, part, &effort)).await;
            batch.extend(parts.settle((range, effort), tried)?);
        }
        if self.run.dry_run {
            for (draft, _) in &mut batch {
                self.record_planned(draft).await?;
            }
        }
        Ok(batch)
    }

    /// Records the changes that a dry run has rolled back. Those that it has recorded before leave the draft.
    async fn record_planned(&self, draft: &mut Draft) -> Result<(), Failure> {
        let changes: Vec<PlannedChange> = draft.decisions.iter().flat_map(planned).collect();
        let new = self.base.retry(|| self.write_planned(&changes)).await?;
        for decision in &mut draft.decisions {
            let is_new = |change: &Change| new.contains(&planned::key(&planned_change(change)));
            decision.plan.change = decision.plan.change.take().filter(is_new);
        }
        Ok(())
    }

    /// Records planned changes, and returns those that the run has not recorded before.
    pub(super) async fn write_planned(&self, changes: &[PlannedChange]) -> StoreResult<HashSet<PlannedKey>> {
        let mut tx = self.base.begin(self.run.lease).await?;
        let new = planned::record(&mut tx, self.run.run_id, self.name(), changes).await?;
        tx.commit().await?;
        Ok(new)
    }

    async fn try_batch(&self, scope: &Scope, ids: &[Uuid], effort: &WriteAttempt) -> StoreResult<(Draft, Applied)> {
        let (view, run) = (&self.view, self.run);
        let mut tx = self.base.begin(run.lease).await?;
        let name = &view.environment.name;
        let policy = Policy {
            trigger: Trigger::Background,
            actor: run.actor,
            now: run.now,
            new_id: &Uuid::now_v7,
            removals: scope.removals(),
            slots_are_open: matches!(scope, Scope::Slots { .. }),
            company: None,
        };
        let loaded = load(&mut tx, view, ids.to_vec(), &[]).await?;
        let decided = decide_loaded(&mut tx, loaded, view, &policy, scope.freed()).await?;
        let (mut draft, in_sets) = (decided.draft, decided.in_sets);
        let about: Vec<Uuid> = draft.decisions.iter().map(|decision| decision.candidate.id).collect();
        let author = Author {
            actor: run.actor,
            run_id: Some(run.run_id),
            by_rule: run.actor == SYNC_ACTOR,
            at: self.base.clock.now(),
        };
        let known = refusals::among(&mut tx, name, &about).await?;
        let applied = apply(&mut tx, name, &mut draft, &known, author, run.actor, effort).await?;

        note_refusals(&mut tx, name, run, &known, &applied).await?;
        let seen: Vec<ObservedFinding> = draft
            .decisions
            .iter()
            .flat_map(|decision| seen(decision, &applied))
            .collect();
        findings::reconcile_users(&mut tx, name, &about, &seen, Some(run.run_id), run.now).await?;
        let found: Vec<Removal> = draft.decisions.iter().filter_map(removal).collect();
        let stays = |decision: &&Decision| decision.plan.removal.is_none();
        let rows = draft
            .decisions
            .iter()
            .filter(stays)
            .filter_map(|decision| decision.candidate.row.as_ref());
        let rows = rows.map(|row| row.systemuserid);
        let over: Vec<Uuid> = rows.filter(|row| in_sets.contains(row)).collect();
        removals::collect(&mut tx, name, run.run_id, &found, &over, run.now).await?;
        note_decided(&mut tx, name, scope, ids, &draft).await?;
        if matches!(scope, Scope::Approved(_))
            && removals::note_approved(&mut tx, name, run.run_id, run.actor, run.now).await?
        {
            let subject = findings::held_subject(run.run_id);
            findings::close_subject(&mut tx, name, findings::REMOVALS_HELD, &subject, run.now).await?;
        }
        if run.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok((draft, applied))
    }
}

/// Records the refusals and deletes those that are over.
async fn note_refusals(
    tx: &mut Transaction,
    name: &str,
    run: RunInfo<'_>,
    known: &HashMap<Uuid, Refused>,
    applied: &Applied,
) -> StoreResult<()> {
    let tried = applied.refused.iter().filter_map(|(id, not_taken)| {
        let (plan, _) = not_taken.tried.as_ref()?;
        let refused = Refused {
            plan: Some(plan.clone()),
            detail: not_taken.detail.clone(),
        };
        Some((*id, refused))
    });
    let tried: Vec<(Uuid, Refused)> = tried.collect();
    if let Some((id, refused)) = tried.first() {
        let rows = tried.len();
        tracing::warn!(rows, first = %id, detail = refused.detail, "the database does not take every row");
    }
    refusals::note(tx, name, &tried, run.now).await?;
    let over = known.keys().filter(|id| !applied.refused.contains_key(id));
    refusals::settle(tx, name, &over.copied().collect::<Vec<_>>()).await
}

/// The findings about one user.
fn seen(decision: &Decision, applied: &Applied) -> Vec<ObservedFinding> {
    let candidate = &decision.candidate;
    let about = |code: &str, subject: String, detail: String| ObservedFinding {
        object_id: Some(candidate.id),
        code: code.to_owned(),
        subject,
        detail,
    };
    let of_plan = decision.plan.findings.iter().map(|finding| {
        let subject = match finding.code {
            Code::UpnConflict => candidate.wanted_name().unwrap_or_default(),
            _ => String::new(),
        };
        about(finding.code.as_str(), subject, finding.detail.clone())
    });
    let mut seen: Vec<ObservedFinding> = of_plan.collect();
    seen.extend(candidate.user.iter().flat_map(undecodable));
    if decision.roles.keeps_last_administrator {
        let detail = "A licence no longer gives System Administrator, but no other enabled row has it.";
        let code = Code::LastSystemAdministrator.as_str();
        seen.push(about(code, "role".to_owned(), detail.to_owned()));
    }
    if let Some(not_taken) = applied.refused.get(&candidate.id) {
        let code = Code::RowNotWritten.as_str();
        seen.push(about(code, String::new(), not_taken.detail.clone()));
    }
    seen
}

/// One finding for each property of a present user that cannot be decoded. It stays open until the property can be.
fn undecodable(user: &DirectoryUser) -> impl Iterator<Item = ObservedFinding> {
    let properties = user.undecodable.properties();
    let is_present = user.state == DirectoryState::Present;
    properties.filter(move |_| is_present).map(|property| ObservedFinding {
        object_id: Some(user.id),
        code: findings::VALUE_UNDECODABLE.to_owned(),
        subject: property.as_str().to_owned(),
        detail: format!(
            "The directory's value of `{}` cannot be decoded; what was known before stands until it can.",
            property.as_str()
        ),
    })
}

/// Records which users are evaluated and which must be evaluated again.
async fn note_decided(
    tx: &mut Transaction,
    name: &String,
    scope: &Scope,
    ids: &[Uuid],
    draft: &Draft,
) -> StoreResult<()> {
    let environment = std::slice::from_ref(name);
    let decisions = draft.decisions.iter();
    let open = decisions
        .filter(|decision| decision.is_open)
        .map(|decision| decision.candidate.id);
    match scope {
        Scope::Pending(list) | Scope::Slots { list, .. } => {
            let decided = draft.decisions.iter().filter(|decision| !decision.is_open);
            let decided: HashSet<Uuid> = decided.map(|decision| decision.candidate.id).collect();
            let of_part: HashSet<&Uuid> = ids.iter().collect();
            let is_done =
                |pending: &&Pending| of_part.contains(&pending.object_id) && decided.contains(&pending.object_id);
            let done: Vec<Pending> = list.iter().filter(is_done).copied().collect();
            pending::settle(&mut *tx, name, &done).await
        }
        Scope::Walk(_) => {
            let again: Vec<Uuid> = open.chain(draft.late.iter().copied()).collect();
            pending::mark(&mut *tx, environment, &again).await
        }
        // A removal that turned out to be in doubt stays recorded.
        Scope::Removals(_) | Scope::Approved(_) | Scope::Held(_) => {
            pending::mark(&mut *tx, environment, &open.collect::<Vec<_>>()).await
        }
    }
}
