//! The environments of a run, evaluated together: how many statements a run sends depends on its users, not on the number
//! of environments. Each keeps its own verdicts, limits and findings, and one whose rows the database rejects as a whole
//! stops alone.

use std::collections::HashMap;

use super::Refused;
use super::environment::{BATCH, rows_of};
use super::part::{EnvironmentRun, Scope, count_batch, enter};
use super::removals::Doubts;
use crate::domain::doubt::Doubt;
use crate::domain::environment::Environment;
use crate::domain::run::Phase;
use crate::store::environments::Survey;
use crate::store::pending;
use crate::store::pending::Pending;
use crate::sync::Failure;

/// What is known of an environment beside its users.
#[derive(Default)]
pub(super) struct State {
    /// What there was to do when the directory was read.
    pub survey: Survey,
    /// Nothing but its users has to be looked at.
    pub is_calm: bool,
    pub doubts: Doubts,
    /// Why some of its removals are held.
    pub holds: Vec<Doubt>,
    /// The database rejects its rows as a whole: nothing more is done about it.
    pub is_stopped: bool,
}

/// The environments in which a run has something to do.
#[derive(Default)]
pub(super) struct Together<'a> {
    pub parts: Vec<EnvironmentRun<'a>>,
    /// In the same order.
    pub states: Vec<State>,
}

impl<'a> Together<'a> {
    pub fn push(&mut self, part: EnvironmentRun<'a>, survey: Survey, is_calm: bool, doubts: Doubts) {
        self.parts.push(part);
        self.states.push(State {
            survey,
            is_calm,
            doubts,
            ..State::default()
        });
    }

    /// The environments whose findings have to be looked at.
    pub fn to_report(&self) -> Vec<(&Environment, &State)> {
        let all = self.parts.iter().map(|part| part.view.environment).zip(&self.states);
        let is_all_said = |state: &State| state.is_stopped || (state.is_calm && state.holds.is_empty());
        all.filter(|(_, state)| !is_all_said(state)).collect()
    }

    pub fn into_parts(self) -> impl Iterator<Item = (EnvironmentRun<'a>, State)> {
        self.parts.into_iter().zip(self.states)
    }

    /// Everything about the environments once the directory is read.
    pub async fn judge(&mut self, refused: &mut Refused) -> Result<(), Failure> {
        let mut pending = Vec::new();
        for at in 0..self.parts.len() {
            let survey = &self.states[at].survey;
            let has_pending = survey.has_pending;
            let judged = self.parts[at].judge_everyone(&survey.progress).await;
            if self.or_stop(at, judged, refused)? == Some(false) && has_pending {
                pending.push(at);
            }
        }
        self.judge_pending(&pending, refused).await?;
        self.decide_removals(refused).await?;
        for at in 0..self.parts.len() {
            let state = &self.states[at];
            if !state.is_stopped {
                let judged = self.parts[at].judge_waiting(state.survey.has_waiting).await;
                self.or_stop(at, judged, refused)?;
            }
        }
        Ok(())
    }

    /// Evaluates the pending users of some of the environments; removals are only collected.
    async fn judge_pending(&mut self, of: &[usize], refused: &mut Refused) -> Result<(), Failure> {
        let Some(base) = self.parts.first().map(|part| part.base) else {
            return Ok(());
        };
        let names: HashMap<&String, usize> = of.iter().map(|at| (self.parts[*at].name(), *at)).collect();
        let wanted: Vec<String> = names.keys().map(|name| (*name).clone()).collect();
        let limit = rows_of(base.batch_size(BATCH));
        let mut after = None;
        if !of.is_empty() {
            enter(&self.parts, Phase::Evaluating, None);
        }
        while !wanted.is_empty() {
            base.check_cancelled()?;
            let list = {
                let mut db = base.store.read().await?;
                pending::next_in(&mut db, &wanted, after.as_ref(), limit).await?
            };
            let is_last = rows_of(list.len()) < limit;
            after = list.last().map(|(name, pending)| (name.clone(), pending.object_id));
            let mut scopes: Vec<(usize, Vec<Pending>)> = Vec::new();
            for (name, pending) in list {
                let Some(at) = names.get(&name) else { continue };
                match scopes.last_mut().filter(|(last, _)| last == at) {
                    Some((_, list)) => list.push(pending),
                    None => scopes.push((*at, vec![pending])),
                }
            }
            let scopes = scopes.into_iter().map(|(at, list)| (at, Scope::Pending(list)));
            self.evaluate(scopes.collect(), refused).await?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Evaluates a batch of users of some of the environments. If the database rejects it, each is evaluated alone.
    pub(super) async fn evaluate(
        &mut self,
        mut scopes: Vec<(usize, Scope)>,
        refused: &mut Refused,
    ) -> Result<(), Failure> {
        scopes.retain(|(at, _)| !self.states[*at].is_stopped);
        if scopes.len() > 1 {
            match count_batch(&mut self.parts, &scopes).await {
                Err(error) if Refused::detail(&error).is_some() => {}
                result => return result,
            }
        }
        for (at, scope) in scopes {
            let result = count_batch(&mut self.parts, &[(at, scope)]).await;
            self.or_stop(at, result, refused)?;
        }
        Ok(())
    }

    /// Records a failure of one environment and stops it; any other failure ends the run.
    fn or_stop<T>(
        &mut self,
        at: usize,
        result: Result<T, Failure>,
        refused: &mut Refused,
    ) -> Result<Option<T>, Failure> {
        let done = refused.or_note(self.parts[at].name(), result)?;
        self.states[at].is_stopped |= done.is_none();
        Ok(done)
    }
}
