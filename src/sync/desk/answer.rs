//! What an evaluation reports to the caller.

use super::as_of::{self, AsOf};
use super::evaluated::{Evaluated, Evaluation};
use super::{Answer, Desk, Effect, Refusal, Ruled, nobody, reports_only};
use crate::domain::reason::Code;
use crate::plan::{EnvironmentView, Unasked};
use crate::rules::explain::words;
use crate::rules::{Outcome, Trigger};
use crate::sync::DeskError;
use crate::sync::desk::explain::ShownVerdict;
use crate::sync::pull::LookUpResult;

impl Desk {
    /// The answers for some users, `named` as the caller named them. What was done to a row before the evaluation (a
    /// hold ended, a stub bound) stands, whatever the verdict on access.
    pub(in crate::sync) async fn answers(
        &self,
        view: &EnvironmentView<'_>,
        trigger: Trigger,
        named: &[String],
        users: &[LookUpResult],
        evaluation: Evaluation,
        is_done: bool,
    ) -> Result<Vec<Ruled<Answer>>, DeskError> {
        let Evaluation {
            users: evaluated,
            rows,
            cap,
        } = evaluation;
        let mut known_before: Vec<(Unasked, Vec<AsOf>)> = Vec::new();
        let mut answers = Vec::with_capacity(evaluated.len());
        for ((evaluated, fresh), named) in evaluated.into_iter().zip(users).zip(named) {
            let row = evaluated.row().and_then(|row| rows.get(&row).cloned());
            let (candidate, verdict, effect) = match evaluated {
                Evaluated::Refused(refusal) => {
                    answers.push(Err(refusal));
                    continue;
                }
                Evaluated::Present(_) => {
                    answers.push(Ok(Answer {
                        outcome: Effect::Unchanged,
                        user: row,
                        verdict: None,
                    }));
                    continue;
                }
                Evaluated::Decided {
                    candidate,
                    verdict,
                    effect,
                    ..
                } => (candidate, verdict, effect),
            };
            let unasked = fresh.unasked();
            let known = known_before.iter().find(|(of, _)| *of == unasked);
            let facts = if let Some((_, facts)) = known {
                facts.clone()
            } else if unasked == Unasked::default() {
                Vec::new()
            } else {
                let mut db = self.base.store.read().await?;
                let facts = self.as_of(&mut db, view.environment, unasked).await?;
                known_before.push((unasked, facts.clone()));
                facts
            };
            let subject = candidate.subject(view, self.base.clock.now());
            let mut words = words(view.environment, &subject, &verdict);
            as_of::note(&mut words, &verdict, &facts);
            let shown = ShownVerdict::new(view.environment, named, &verdict, &words);
            let is_refused = match (verdict.outcome, verdict.asker_code()) {
                (Outcome::Disable, _) => trigger != Trigger::Refresh,
                (Outcome::Refuse | Outcome::Skip, Some(code)) => !reports_only(trigger, code),
                _ => false,
            };
            let code = verdict.asker_code().filter(|_| is_refused && !is_done);
            answers.push(match code {
                None => Ok(Answer {
                    outcome: effect.unwrap_or(Effect::Unchanged),
                    user: row,
                    verdict: Some(shown),
                }),
                Some(code) => Err(Refusal {
                    detail: match (fresh, code, &cap) {
                        (LookUpResult::Unanswered(_, problem), Code::DirectoryUnavailable, _) => problem.clone(),
                        (_, Code::NonInteractiveCap, Some(cap)) => cap.detail.clone(),
                        (_, Code::UserNotFound, _) if row.is_none() => nobody(named).detail,
                        _ => code.sentence().to_owned(),
                    },
                    verdict: Some(Box::new(shown)),
                    ..Refusal::new(code)
                }),
            });
        }
        Ok(answers)
    }
}
