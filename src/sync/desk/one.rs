//! A request for one user: sign-in, add or refresh.

use super::evaluate::{ExtraWork, Question};
use super::memory::UserKey;
use super::recall::Recall;
use super::{Answer, Ask, Desk, nobody};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::rules::{Client, Trigger};
use crate::sync::DeskError;
use crate::sync::pull::LookUpResult;

impl Desk {
    /// Handles a sign-in: creates or enables the row if the rules allow it.
    ///
    /// # Errors
    /// [`DeskError::Refused`] with the verdict, or when the database fails.
    pub async fn access(&self, ask: Ask<'_>, client: Client) -> Result<Answer, DeskError> {
        let trigger = Trigger::Access(client);
        let fresh = match self.recall(ask, trigger).await? {
            Recall::Answer(answer) => return Ok(*answer),
            Recall::Fresh(fresh) => Some(fresh),
            Recall::Nothing => None,
        };
        let evaluate = async {
            match fresh {
                Some(fresh) => self.evaluate_one(ask, trigger, fresh, ExtraWork::Nothing).await,
                None => self.look_up_and_evaluate(ask, trigger, ExtraWork::Nothing).await,
            }
        };
        self.memory.share(ask, trigger, Box::pin(evaluate)).await
    }

    /// Adds a user for an administrator or a script; synchronises an existing one.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn add(&self, ask: Ask<'_>, trigger: Trigger) -> Result<Answer, DeskError> {
        self.memory
            .share(
                ask,
                trigger,
                Box::pin(self.look_up_and_evaluate(ask, trigger, ExtraWork::Nothing)),
            )
            .await
    }

    /// Synchronises an existing row now, which may disable it.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn refresh(&self, ask: Ask<'_>) -> Result<Answer, DeskError> {
        if let Some(row) = self.base.find_row(ask.environment, ask.user).await?
            && let Some(application) = row.applicationid
        {
            return self.refresh_application(ask, &row, application).await;
        }
        let answer = self
            .look_up_and_evaluate(ask, Trigger::Refresh, ExtraWork::Nothing)
            .await?;
        let code = answer.verdict.as_ref().and_then(|verdict| verdict.code);
        if answer.user.is_none() && code == Some(Code::UserNotFound.as_str()) {
            return Err(nobody(ask.user).into());
        }
        Ok(answer)
    }

    /// Looks a user up, evaluates it and writes the result.
    pub(in crate::sync) async fn look_up_and_evaluate(
        &self,
        ask: Ask<'_>,
        trigger: Trigger,
        beside: ExtraWork<'_>,
    ) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        // Boxed: both are large, and every future that awaits an answer would contain them.
        let fresh = Box::pin(self.look_for(environment, ask.user)).await?;
        self.evaluate_one(ask, trigger, fresh, beside).await
    }

    /// Evaluates and writes on the basis of the directory's answer.
    async fn evaluate_one(
        &self,
        ask: Ask<'_>,
        trigger: Trigger,
        fresh: LookUpResult,
        beside: ExtraWork<'_>,
    ) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let facts = self.facts_to_remember(environment, trigger, &fresh).await?;
        let view = self.base.present_view(environment).await?;
        let question = Question {
            trigger,
            actor: ask.actor,
            company: None,
            unit: None,
            from_mirror: false,
        };
        let users = [fresh];
        let evaluation = Box::pin(self.evaluate(&view, question, &users, beside)).await?;
        let is_done = !matches!(beside, ExtraWork::Nothing);
        let named = [ask.user.to_owned()];
        let mut answers = self
            .answers(&view, trigger, &named, &users, evaluation, is_done)
            .await?;
        let answer = answers.pop().unwrap_or_else(|| Err(nobody(ask.user)))?;
        if let Some(facts) = facts {
            self.remember_admission(ask.environment, trigger, facts, &answer);
        }
        Ok(answer)
    }

    /// Looks a user up in the directory, and remembers the look-up for access requests.
    async fn look_for(&self, environment: &Environment, user: &str) -> Result<LookUpResult, DeskError> {
        if !environment.has_database {
            return Ok(LookUpResult::Nobody);
        }
        let environment = &environment.name;
        let now = self.base.clock.now();
        let fresh = self.puller.look_up(environment, user).await?;
        self.puller.look_up_holders(environment, &fresh).await?;
        match (&fresh, UserKey::new(user)) {
            (LookUpResult::User(id, unasked), _) => self.memory.remember_look(environment, *id, now, *unasked),
            (LookUpResult::Nobody, UserKey::Name(name)) => self.memory.remember_unknown(environment, &name, now),
            // An incomplete answer is requested again.
            _ => {}
        }
        Ok(fresh)
    }
}
