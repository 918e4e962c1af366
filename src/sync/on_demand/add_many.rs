//! Many users added at once, each with a result of their own.

use std::collections::HashMap;

use uuid::Uuid;

use super::as_of::{self, AsOf};
use super::fresh::{Answers, Fresh};
use super::judge::{Judged, answer};
use super::{Answer, Effect, Refusal, bad_input};
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::rules::Trigger;
use crate::rules::explain::words;
use crate::store::rows;
use crate::sync::case::View;
use crate::sync::explain::ShownVerdict;
use crate::sync::import::company_of;
use crate::sync::many::{Decided, Decision, Target, Wish};
use crate::sync::{Engine, SyncError};

/// The most users one call takes (interfaces.md, section 4).
pub const MOST_AT_ONCE: usize = 1000;

/// How many are judged in one transaction: few enough that nobody waits long for a locked row.
const JUDGED_TOGETHER: usize = 200;

/// One of them, and what the directory said.
struct Asked<'a> {
    user: &'a str,
    fresh: &'a Fresh,
    /// What counts as it was known before.
    known_before: Vec<AsOf>,
}

impl Engine {
    /// Adds up to [`MOST_AT_ONCE`] users, each named by object id, user principal name or row id; those who have a row
    /// are synchronised, unless the trigger is an import, which changes no row. Whoever gets a row gets the company,
    /// where there is one. Every user has a result of their own, in the order given; a user named twice is done once.
    ///
    /// # Errors
    /// [`SyncError::UnknownEnvironment`], [`SyncError::BadInput`] for too many users or a company that cannot be kept,
    /// or when the database fails.
    pub async fn add_many(
        &self,
        environment: &str,
        users: &[String],
        actor: &str,
        trigger: Trigger,
        company: Option<&str>,
    ) -> Result<Vec<Result<Answer, Refusal>>, SyncError> {
        let environment = self.environment(environment)?;
        if users.len() > MOST_AT_ONCE {
            return Err(bad_input("users", format!("more than {MOST_AT_ONCE} users at once")));
        }
        let company = company.map(company_of).transpose()?;
        let answers = if environment.has_database {
            let graph = self.directory().for_someone_waiting();
            self.look_up_many(&graph, &environment.name, users).await?
        } else {
            Answers {
                fresh: vec![Fresh::Nobody; users.len()],
                outage: None,
            }
        };
        let view = self.present_view(environment).await?;
        let wish = Wish {
            trigger,
            actor,
            company: company.as_deref(),
            from_mirror: false,
        };
        let targets: Vec<Target> = answers
            .fresh
            .into_iter()
            .enumerate()
            .map(|(at, fresh)| Target { at, fresh })
            .collect();
        let mut results = Vec::with_capacity(users.len());
        for part in targets.chunks(JUDGED_TOGETHER) {
            let decided = self.judge_many(&view, wish, part, None).await?;
            let found = self.rows_of(&environment.name, &decided).await?;
            let mut db = self.store.read().await?;
            for (decided, target) in decided.into_iter().zip(part) {
                let known_before = self.as_of(&mut db, view.environment, target.fresh.unasked()).await?;
                let asked = Asked {
                    user: &users[decided.at],
                    fresh: &target.fresh,
                    known_before,
                };
                results.push(self.told(&view, trigger, &asked, decided.decision, &found));
            }
        }
        Ok(results)
    }

    async fn rows_of(&self, environment: &str, decided: &[Decided]) -> Result<HashMap<Uuid, SystemUser>, SyncError> {
        let ids: Vec<Uuid> = decided
            .iter()
            .filter_map(|decided| match &decided.decision {
                Decision::Present(row) => Some(*row),
                Decision::Judged(judgement) => judgement.row,
                Decision::Unwritable(_) => None,
            })
            .collect();
        let mut db = self.store.read().await?;
        let found = rows::find_by_ids(&mut db, environment, &ids).await?;
        Ok(found.into_iter().map(|row| (row.systemuserid, row)).collect())
    }

    /// What the asker is told of one user.
    fn told(
        &self,
        view: &View<'_>,
        trigger: Trigger,
        asked: &Asked<'_>,
        decision: Decision,
        found: &HashMap<Uuid, SystemUser>,
    ) -> Result<Answer, Refusal> {
        let judgement = match decision {
            Decision::Present(row) => {
                return Ok(Answer {
                    outcome: Effect::Unchanged,
                    user: found.get(&row).cloned(),
                    verdict: None,
                });
            }
            Decision::Unwritable(refusal) => return Err(refusal),
            Decision::Judged(judgement) => *judgement,
        };
        let mut words = judgement.case.with_subject(self, view, self.clock.now(), |subject| {
            words(view.environment, subject, &judgement.verdict)
        });
        as_of::note(&mut words, &judgement.verdict, &asked.known_before);
        let judged = Judged {
            shown: ShownVerdict::new(view.environment, asked.user, &judgement.verdict, &words),
            effect: judgement.effect.unwrap_or(Effect::Unchanged),
            row: judgement.row.and_then(|row| found.get(&row).cloned()),
            detail: judgement.verdict.asker_code().map_or("", Code::sentence).to_owned(),
            verdict: judgement.verdict,
        };
        answer(trigger, judged, asked.fresh, false)
    }
}
