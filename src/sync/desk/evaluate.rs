//! Evaluates users on demand: decided and written in one transaction, together with related work.
//!
//! The same code serves one user and a thousand. An import passes its ledger; a release or a mapping passes its first
//! step.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use uuid::Uuid;

use super::evaluated::{Evaluated, Evaluation};
use super::ledger::Ledger;
use super::{Ask, Desk, Effect, Refusal, nobody};
use crate::domain::reason::Code;
use crate::domain::system_user::SYNC_ACTOR;
use crate::plan::batch::{Decision, Policy, Removals};
use crate::plan::{Candidate, EnvironmentView, Unasked, reserved, unknown};
use crate::rules::{Trigger, Verdict};
use crate::store::changes::Author;
use crate::store::{StoreError, Transaction, candidates, pending, profile, rows};
use crate::sync::DeskError;
use crate::sync::judge::{Applied, Parts, Share, WriteAttempt, apply, decide_loaded, load};
use crate::sync::pull::LookUpResult;

/// The parameters of an evaluation.
#[derive(Clone, Copy, Debug)]
pub(in crate::sync) struct Question<'a> {
    pub trigger: Trigger,
    pub actor: &'a str,
    /// The default company of users who get a row.
    pub company: Option<&'a str>,
    /// Their business unit, if it is not that of the environment.
    pub unit: Option<Uuid>,
    /// The directory was not asked about these users: the mirror's data counts.
    pub from_mirror: bool,
}

/// Additional work in the transaction.
#[derive(Clone, Copy)]
pub(in crate::sync) enum ExtraWork<'a> {
    Nothing,
    /// Takes everything back at the end: what would happen is reported, and nothing is written.
    Preview,
    /// First ends the hold of a row.
    Release(Ask<'a>, Uuid),
    /// First binds a stub to the user.
    Bind(Ask<'a>, Uuid),
    /// Writes the results into an import job.
    Ledger(&'a Ledger<'a>),
}

impl Desk {
    /// Evaluates some users, each as the directory describes it, and writes the result. One bad row never prevents the
    /// others from being written.
    pub(in crate::sync) async fn evaluate(
        &self,
        view: &EnvironmentView<'_>,
        question: Question<'_>,
        users: &[LookUpResult],
        beside: ExtraWork<'_>,
    ) -> Result<Evaluation, DeskError> {
        let mut all = Evaluation::default();
        let mut parts = Parts::of(users.len());
        while let Some((range, effort)) = parts.next() {
            let tried = self
                .base
                .retry(|| self.try_evaluate(view, question, users, range.clone(), beside, &effort))
                .await;
            if let Some(part) = parts.settle((range, effort), tried)? {
                all.users.extend(part.users);
                all.rows.extend(part.rows);
                all.cap = all.cap.or(part.cap);
            }
        }
        Ok(all)
    }

    async fn try_evaluate(
        &self,
        view: &EnvironmentView<'_>,
        question: Question<'_>,
        users: &[LookUpResult],
        range: Range<usize>,
        beside: ExtraWork<'_>,
        effort: &WriteAttempt,
    ) -> Result<Evaluation, DeskError> {
        let users = &users[range.clone()];
        let name = &view.environment.name;
        let mut tx = self.base.begin(None).await?;
        let is_prepared = self.prepare_row(&mut tx, beside, users).await?;
        let evaluated = self.evaluate_in(&mut tx, view, question, users, effort).await?;
        if let Some(unit) = question.unit {
            let created: Vec<Uuid> = evaluated.iter().filter_map(Evaluated::created).collect();
            profile::put_in_unit(&mut tx, name, &created, unit).await?;
        }
        match (beside, &evaluated[..]) {
            (ExtraWork::Ledger(ledger), _) => ledger.record(&mut tx, range, &evaluated).await?,
            // The first step is not done without the rest.
            (ExtraWork::Release(..) | ExtraWork::Bind(..), [Evaluated::Refused(refusal)]) => {
                return Err(refusal.clone().into());
            }
            (ExtraWork::Bind(..), [Evaluated::Decided { verdict, .. }]) => {
                if let Some(code) = keeps_from_binding(verdict) {
                    return Err(Refusal::new(code).into());
                }
            }
            _ => {}
        }
        let mut evaluation = Evaluation {
            users: evaluated,
            ..Evaluation::default()
        };
        if !matches!(beside, ExtraWork::Ledger(_)) {
            let ids: Vec<Uuid> = evaluation.users.iter().filter_map(Evaluated::row).collect();
            let found = rows::find_by_ids(&mut tx, name, &ids).await?;
            evaluation.rows = found.into_iter().map(|row| (row.systemuserid, row)).collect();
            let mut verdicts = evaluation.users.iter().filter_map(Evaluated::verdict);
            if verdicts.any(|verdict| verdict.code == Some(Code::NonInteractiveCap)) {
                evaluation.cap = Some(self.cap_is_reached(&mut tx, view.environment).await?);
            }
        }
        match beside {
            ExtraWork::Preview => tx.rollback().await?,
            _ => tx.commit().await?,
        }
        if let (true, [Evaluated::Decided { effect, .. }]) = (is_prepared, &mut evaluation.users[..]) {
            effect.get_or_insert(Effect::Updated);
        }
        Ok(evaluation)
    }

    /// Does the first step on the row. Returns whether the row changed.
    async fn prepare_row(
        &self,
        tx: &mut Transaction,
        beside: ExtraWork<'_>,
        users: &[LookUpResult],
    ) -> Result<bool, DeskError> {
        let code = match (beside, users) {
            (ExtraWork::Nothing | ExtraWork::Preview | ExtraWork::Ledger(_), _) => return Ok(false),
            (_, [LookUpResult::Unanswered(_, problem)]) => {
                return Err(Refusal::saying(Code::DirectoryUnavailable, problem).into());
            }
            (ExtraWork::Release(ask, row), _) => return self.end_hold(tx, ask, row).await,
            (ExtraWork::Bind(ask, stub), [LookUpResult::User(id, _)]) => {
                self.bind_stub(tx, ask, stub, *id).await?;
                return Ok(true);
            }
            (ExtraWork::Bind(..), [LookUpResult::Reserved]) => Code::ReservedUser,
            (ExtraWork::Bind(ask, _), _) => return Err(nobody(ask.user).into()),
        };
        Err(Refusal::new(code).into())
    }

    /// Evaluates and writes within a transaction.
    async fn evaluate_in(
        &self,
        tx: &mut Transaction,
        view: &EnvironmentView<'_>,
        question: Question<'_>,
        users: &[LookUpResult],
        effort: &WriteAttempt,
    ) -> Result<Vec<Evaluated>, DeskError> {
        let name = &view.environment.name;
        let policy = Policy {
            trigger: question.trigger,
            actor: question.actor,
            now: self.base.clock.now(),
            new_id: &Uuid::now_v7,
            removals: Removals::ApplyUnlessHeld,
            slots_are_open: true,
            company: question.company,
        };
        let mut answered: BTreeMap<Uuid, Option<Unasked>> = BTreeMap::new();
        for fresh in users {
            match fresh {
                LookUpResult::User(id, unasked) => answered.entry(*id).or_insert(Some(*unasked)),
                LookUpResult::Unanswered(Some(id), _) => answered.entry(*id).or_insert(None),
                _ => continue,
            };
        }
        // An import stops at an existing row: it does not even lock it.
        let present = match question.trigger {
            Trigger::Import => candidates::with_row(tx, name, &answered.keys().copied().collect::<Vec<_>>()).await?,
            _ => HashMap::new(),
        };
        answered.retain(|id, _| !present.contains_key(id));
        let lone = users.iter().filter_map(|fresh| match fresh {
            LookUpResult::Row(row) => Some(*row),
            _ => None,
        });
        let lone: Vec<Uuid> = lone.collect();
        let mut loaded = load(tx, view, answered.keys().copied().collect(), &lone).await?;
        for candidate in &mut loaded.candidates {
            match answered.get(&candidate.id) {
                Some(None) => candidate.user = None,
                Some(Some(_)) if candidate.user.is_none() => candidate.user = Some(unknown(candidate.id)),
                _ => {}
            }
            let asked = answered.get(&candidate.id).copied().flatten();
            candidate.asked = asked.filter(|_| !question.from_mirror);
        }
        let mut draft = decide_loaded(tx, loaded, &policy).await?.draft;
        // The caller is the author of rows, the sync is the author of roles.
        let author = Author {
            actor: question.actor,
            run_id: None,
            by_rule: true,
            at: self.base.clock.now(),
        };
        let share = Share {
            environment: name,
            draft: &mut draft,
            known: HashMap::new(),
        };
        let applied = apply(tx, &mut [share], author, SYNC_ACTOR, effort).await?.pop();
        let applied = applied.unwrap_or_default();
        // A cycle reports what the database has not taken of a row that is disabled all the same.
        let is_open = |decision: &&Decision| match applied.refused.get(&decision.candidate.id) {
            Some(_) => decision.plan.disables(),
            None => decision.is_open,
        };
        let open = draft
            .decisions
            .iter()
            .filter(is_open)
            .map(|decision| decision.candidate.id);
        pending::mark(tx, std::slice::from_ref(name), &open.collect::<Vec<_>>()).await?;

        let decisions = draft
            .decisions
            .into_iter()
            .map(|decision| (decision.candidate.id, decision));
        let mut decided: HashMap<Uuid, Evaluated> = decisions
            .map(|(id, decision)| (id, evaluated(decision, question.trigger, &applied)))
            .collect();
        let alone = |user| {
            let candidate = Candidate::nobody(user);
            Evaluated::Decided {
                verdict: Box::new(candidate.evaluate(view, question.trigger, policy.now)),
                candidate: Box::new(candidate),
                effect: None,
                row: None,
            }
        };
        let results = users.iter().map(|fresh| match fresh {
            LookUpResult::Nobody => Ok(alone(Some(unknown(Uuid::nil())))),
            LookUpResult::Reserved => Ok(alone(Some(reserved()))),
            LookUpResult::Unanswered(None, _) => Ok(alone(None)),
            LookUpResult::User(id, _) | LookUpResult::Unanswered(Some(id), _) | LookUpResult::Row(id) => {
                if let Some(row) = present.get(id) {
                    return Ok(Evaluated::Present(*row));
                }
                let Some(result) = decided.get_mut(id) else {
                    // Its row existed when it was looked for.
                    return match fresh {
                        LookUpResult::Row(_) => Ok(alone(None)),
                        _ => Err(StoreError::Inconsistent("a user who was decided").into()),
                    };
                };
                let found_next = result.found_again(question.trigger);
                Ok(std::mem::replace(result, found_next))
            }
        });
        results.collect()
    }
}

/// The reported result of one decision. An import stops at an existing row, also at one created just now.
fn evaluated(decision: Decision, trigger: Trigger, applied: &Applied) -> Evaluated {
    if let Some(not_taken) = applied.refused.get(&decision.candidate.id)
        && !decision.plan.disables()
    {
        let refusal = match &not_taken.tried {
            Some((_, fault)) => Refusal::from(fault),
            None => Refusal::saying(Code::RowNotWritten, not_taken.detail.clone()),
        };
        return Evaluated::Refused(refusal);
    }
    let effect = decision.operation().map(Effect::of);
    match decision.row_id() {
        Some(row) if trigger == Trigger::Import && effect != Some(Effect::Created) => Evaluated::Present(row),
        row => Evaluated::Decided {
            candidate: Box::new(decision.candidate),
            verdict: Box::new(decision.verdict),
            effect,
            row,
        },
    }
}

/// Why a stub is not bound to a user although it could be: another row has the name (rules.md, gate 7, which covers
/// users without a row, as this user was), the name is the system's, or the directory's answer is incomplete.
fn keeps_from_binding(verdict: &Verdict) -> Option<Code> {
    let failed = |code: Code| verdict.checks.iter().any(|check| check.code == Some(code));
    if verdict.follow {
        failed(Code::UpnConflict).then_some(Code::UpnConflict)
    } else {
        verdict.asker_code()
    }
}
