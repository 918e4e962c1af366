//! Adds many users at once, each with its own result.

use super::evaluate::{ExtraWork, Question};
use super::{Answer, Desk, Refusal, bad_input};
use crate::domain::reason::Code;
use crate::rules::Trigger;
use crate::sync::DeskError;
use crate::sync::imports::company_of;
use crate::sync::pull::{LookUpResult, LookUpResults};

/// The maximum number of users in one call (interfaces.md, section 4).
pub const MOST_AT_ONCE: usize = 1000;

/// The number of users evaluated in one transaction: few enough that no one waits long for a locked row.
const DECIDED_TOGETHER: usize = 200;

fn is_unknown(result: &Result<Answer, Refusal>) -> bool {
    matches!(result, Err(refusal) if refusal.code == Code::UserNotFound)
}

impl Desk {
    /// Adds up to [`MOST_AT_ONCE`] users, each named by object id, user principal name or row id. Users who have a row
    /// are synchronised, unless the trigger is an import, which changes no row. Users who get a row also get the
    /// company, if one is given. Each user has its own result, in the order given; a user named twice is handled once.
    ///
    /// # Errors
    /// [`DeskError::UnknownEnvironment`], [`DeskError::BadInput`] for too many users or a company that cannot be
    /// stored, or when the database fails.
    pub async fn add_many(
        &self,
        environment: &str,
        users: &[String],
        actor: &str,
        trigger: Trigger,
        company: Option<&str>,
    ) -> Result<Vec<Result<Answer, Refusal>>, DeskError> {
        self.decide_many(environment, users, (actor, trigger, company), ExtraWork::Nothing)
            .await
    }

    /// What an import of up to [`MOST_AT_ONCE`] users would do, decided as the import decides: everything is written in
    /// transactions that are taken back. Each user has its own result, in the order given: created, or unchanged for a
    /// user who has a row.
    ///
    /// # Errors
    /// As [`Self::add_many`].
    pub async fn preview_import(
        &self,
        environment: &str,
        users: &[String],
        actor: &str,
    ) -> Result<Vec<Result<Answer, Refusal>>, DeskError> {
        self.decide_many(environment, users, (actor, Trigger::Import, None), ExtraWork::Preview)
            .await
    }

    async fn decide_many(
        &self,
        environment: &str,
        users: &[String],
        (actor, trigger, company): (&str, Trigger, Option<&str>),
        beside: ExtraWork<'_>,
    ) -> Result<Vec<Result<Answer, Refusal>>, DeskError> {
        let environment = self.base.environment(environment)?;
        if users.len() > MOST_AT_ONCE {
            return Err(bad_input("users", format!("more than {MOST_AT_ONCE} users at once")));
        }
        let company = company.map(company_of).transpose()?;
        let answers = if environment.has_database {
            let graph = self.puller.directory().for_someone_waiting();
            self.puller.look_up_many(&graph, &environment.name, users).await?
        } else {
            LookUpResults {
                fresh: vec![LookUpResult::Nobody; users.len()],
                outage: None,
            }
        };
        let view = self.base.present_view(environment).await?;
        let question = Question {
            trigger,
            actor,
            company: company.as_deref(),
            unit: None,
            from_mirror: false,
        };
        let mut results = Vec::with_capacity(users.len());
        for (named, fresh) in users
            .chunks(DECIDED_TOGETHER)
            .zip(answers.fresh.chunks(DECIDED_TOGETHER))
        {
            let evaluation = self.evaluate(&view, question, fresh, beside).await?;
            results.extend(self.answers(&view, trigger, named, fresh, evaluation, false).await?);
        }
        let unknown = results.iter().filter(|result| is_unknown(result)).count();
        if unknown > 0 {
            tracing::info!(
                environment = environment.name,
                asked = users.len(),
                unknown,
                "some users are neither in the directory nor in the table"
            );
        }
        Ok(results)
    }
}
