//! Why a user has access or has not: the daemon's own judgement, shown instead of applied.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cycle::view;
use super::{Engine, SyncError};
use crate::domain::directory_user::{DirectoryUser, upn_key};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::rules::explain::{Words, words};
use crate::rules::{Trigger, Verdict};
use crate::store::changes::ChangeLine;
use crate::store::{changes, mirror, rows};

/// Everything `explain` shows.
#[derive(Debug)]
pub struct Explanation {
    /// The environment.
    pub environment: Environment,
    /// The user as the caller named it.
    pub user: String,
    /// The mirror's record.
    pub directory_user: Option<DirectoryUser>,
    /// The row.
    pub row: Option<SystemUser>,
    /// The verdict for the trigger asked for.
    pub verdict: Verdict,
    /// Its checks in words.
    pub words: Vec<Words>,
    /// What every trigger would do: trigger, outcome, code.
    pub triggers: Vec<(Trigger, Verdict)>,
    /// The plan that licences the user, by name.
    pub plan: Option<String>,
    /// The last lines of the row's history.
    pub history: Vec<ChangeLine>,
}

/// A verdict as the API and the command line show it.
#[derive(Clone, Debug, Serialize)]
pub struct ShownVerdict {
    environment: String,
    user: String,
    trigger: &'static str,
    outcome: &'static str,
    code: Option<&'static str>,
    entitlement: &'static str,
    accessmode: i16,
    checks: Vec<Value>,
}

impl ShownVerdict {
    /// A verdict with its checks in words.
    #[must_use]
    pub fn new(environment: &Environment, user: &str, verdict: &Verdict, words: &[Words]) -> Self {
        let checks = verdict.checks.iter().zip(words).map(|(check, words)| {
            json!({
                "gate": check.gate.as_str(), "status": check.status.as_str(),
                "code": check.code.map(Code::as_str),
                "detail": words.detail, "remedy": words.remedy,
            })
        });
        Self {
            environment: environment.name.clone(),
            user: user.to_owned(),
            trigger: verdict.trigger.as_str(),
            outcome: verdict.outcome.as_str(),
            code: verdict.asker_code().map(Code::as_str),
            entitlement: verdict.entitlement.as_str(),
            accessmode: verdict.accessmode,
            checks: checks.collect(),
        }
    }

    /// The checks.
    #[must_use]
    pub fn checks(&self) -> &[Value] {
        &self.checks
    }
}

impl Explanation {
    /// The verdict in its public shape.
    #[must_use]
    pub fn shown(&self) -> ShownVerdict {
        ShownVerdict::new(&self.environment, &self.user, &self.verdict, &self.words)
    }
}

impl Engine {
    /// Finds the object id of a user named by object id or user principal name, in the mirror or the table.
    ///
    /// # Errors
    /// When the database fails; an unknown user is `None`.
    pub async fn find_user(&self, environment: &str, user: &str) -> Result<Option<Uuid>, SyncError> {
        if let Ok(id) = Uuid::parse_str(user) {
            return Ok(Some(id));
        }
        let mut db = self.store.read().await?;
        let key = upn_key(user);
        if let Some(id) = mirror::find_by_upn(&mut db, &key).await? {
            return Ok(Some(id));
        }
        let row = rows::find_by_upn_key(&mut db, environment, &key).await?;
        Ok(row.and_then(|row| row.azureactivedirectoryobjectid))
    }

    /// Judges a user from the mirror without changing anything.
    ///
    /// # Errors
    /// [`SyncError::UnknownUser`], [`SyncError::UnknownEnvironment`], or when the database fails.
    pub async fn explain(&self, environment: &str, user: &str, trigger: Trigger) -> Result<Explanation, SyncError> {
        let environment = self.environment(environment)?;
        let name = &environment.name;
        let Some(id) = self.find_user(name, user).await? else {
            return Err(SyncError::UnknownUser(user.to_owned()));
        };
        let known = self.known().await?;
        let view = view(environment, &known);
        let mut tx = self.begin(None).await?;
        let case = self.look_at(&mut tx, &view, id).await?;
        let directory_user = case.user.clone();
        let row = case.row.clone();
        if directory_user.is_none() && row.is_none() {
            return Err(SyncError::UnknownUser(user.to_owned()));
        }
        let history = match &row {
            Some(row) => changes::history(&mut tx, name, row.systemuserid, 5).await?,
            None => Vec::new(),
        };
        tx.rollback().await.map_err(crate::store::StoreError::from)?;
        let now = self.clock.now();
        let verdict = case.judge(self, &view, trigger, now);
        let words = case.with_subject(self, &view, now, |subject| words(environment, subject, &verdict));
        let triggers = Trigger::ALL
            .into_iter()
            .map(|trigger| (trigger, case.judge(self, &view, trigger, now)))
            .collect();
        let plans = directory_user
            .as_ref()
            .map_or(&[][..], |user| user.usable_plans.as_slice());
        let licences = self.settings.catalogue.judge(plans, self.settings.viral_counts_as);
        let plan = licences.full.or(licences.free_m365).map(|plan| {
            self.settings
                .catalogue
                .name(plan)
                .map_or_else(|| plan.to_string(), |name| format!("{name} ({plan})"))
        });
        Ok(Explanation {
            environment: environment.clone(),
            user: user.to_owned(),
            directory_user,
            row,
            verdict,
            words,
            triggers,
            plan,
            history,
        })
    }
}
