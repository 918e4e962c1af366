//! What an access may answer without asking the directory, because it was asked less than `access_freshness` ago.
//!
//! What is remembered is kept by object id. Whom a text names is found out from mirror and table each time; where they
//! do not agree, or know nobody, nothing is remembered and the directory is asked.

use std::sync::Arc;

use uuid::Uuid;

use super::memory::{Admitted, UserKey};
use super::{Answer, Ask, Desk, Effect, find_row};
use crate::domain::environment::Environment;
use crate::plan::Unasked;
use crate::rules::Trigger;
use crate::store::rows;
use crate::sync::DeskError;
use crate::sync::pull::LookUpResult;

/// What is still known.
pub(in crate::sync) enum Recall {
    /// The whole answer.
    Answer(Box<Answer>),
    /// What the directory said, to be judged anew.
    Fresh(LookUpResult),
    /// The directory has to be asked.
    Nothing,
}

/// Whom a text names, by mirror and table.
enum KnownIdentity {
    User(Uuid),
    /// Neither knows the name.
    Unknown(String),
    /// They do not agree, or it is no user's.
    Unclear,
}

impl Desk {
    /// What an access need not ask for again.
    pub(in crate::sync) async fn recall(&self, ask: Ask<'_>, trigger: Trigger) -> Result<Recall, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let freshness = self.base.settings.access_freshness;
        if freshness.is_zero() || !environment.has_database {
            return Ok(Recall::Nothing);
        }
        let (name, now) = (&environment.name, self.base.clock.now());
        let whom = self.whom(environment, ask.user).await?;
        let (id, unasked) = match whom {
            KnownIdentity::User(id) => match self.memory.look(name, id, now, freshness) {
                Some(unasked) => (id, unasked),
                None => return Ok(Recall::Nothing),
            },
            KnownIdentity::Unknown(user) if self.memory.is_unknown(name, &user, now, freshness) => {
                return Ok(Recall::Fresh(LookUpResult::Nobody));
            }
            _ => return Ok(Recall::Nothing),
        };
        if let Some(admitted) = self.memory.admitted(name, id, trigger, now, freshness) {
            let mut db = self.base.store.read().await?;
            let group = environment.security_group;
            let row = rows::find_settled(&mut db, name, id, group, &admitted.facts).await?;
            let is_same = |row: &crate::domain::system_user::SystemUser| {
                row.modifiedon == admitted.modifiedon && row.due_at.is_none_or(|due| due > now)
            };
            if let Some(row) = row.filter(is_same) {
                let mut verdict = (*admitted.verdict).clone();
                ask.user.clone_into(&mut verdict.user);
                return Ok(Recall::Answer(Box::new(Answer {
                    outcome: Effect::Unchanged,
                    user: Some(row),
                    verdict: Some(verdict),
                })));
            }
        }
        Ok(Recall::Fresh(LookUpResult::User(id, unasked)))
    }

    async fn whom(&self, environment: &Environment, user: &str) -> Result<KnownIdentity, DeskError> {
        let (now, freshness) = (self.base.clock.now(), self.base.settings.access_freshness);
        let name = &environment.name;
        match UserKey::new(user) {
            // An object id before any other: as for whoever looks for a row.
            UserKey::Id(id) if self.memory.look(name, id, now, freshness).is_some() => Ok(KnownIdentity::User(id)),
            UserKey::Id(_) => {
                let mut db = self.base.store.read().await?;
                let row = find_row(&mut db, name, user).await?;
                let user = row.filter(|row| row.applicationid.is_none());
                let id = user.and_then(|row| row.azureactivedirectoryobjectid);
                Ok(id.map_or(KnownIdentity::Unclear, KnownIdentity::User))
            }
            UserKey::Name(key) if key.contains('\0') => Ok(KnownIdentity::Unclear),
            UserKey::Name(key) => {
                let mut db = self.base.store.read().await?;
                let claims = rows::claims(&mut db, name, &key).await?;
                let in_directory: Vec<Uuid> = claims
                    .iter()
                    .filter(|claim| claim.in_directory)
                    .filter_map(|claim| claim.object_id)
                    .collect();
                match in_directory[..] {
                    [id] if claims.iter().all(|claim| claim.object_id == Some(id)) => Ok(KnownIdentity::User(id)),
                    [] if claims.is_empty() && find_row(&mut db, name, user).await?.is_none() => {
                        Ok(KnownIdentity::Unknown(key))
                    }
                    _ => Ok(KnownIdentity::Unclear),
                }
            }
        }
    }

    /// What the mirror knows of a user whose admission may be remembered; none where it may not. What nested groups
    /// are worth cannot be compared so cheaply: there, everybody is judged each time.
    pub(in crate::sync) async fn facts_to_remember(
        &self,
        environment: &Environment,
        trigger: Trigger,
        fresh: &LookUpResult,
    ) -> Result<Option<String>, DeskError> {
        let group = environment.security_group;
        let (Trigger::Access(_), LookUpResult::User(id, unasked)) = (trigger, fresh) else {
            return Ok(None);
        };
        if *unasked != Unasked::default()
            || self.base.settings.access_freshness.is_zero()
            || (group.is_some() && environment.counts_nested())
        {
            return Ok(None);
        }
        let mut db = self.base.store.read().await?;
        Ok(Some(rows::facts_of(&mut db, *id, group).await?))
    }

    /// Remembers somebody who was let in and of whom nothing changed.
    pub(in crate::sync) fn remember_admission(
        &self,
        environment: &str,
        trigger: Trigger,
        facts: String,
        answer: &Answer,
    ) {
        let Answer {
            outcome: Effect::Unchanged,
            user: Some(row),
            verdict: Some(verdict),
        } = answer
        else {
            return;
        };
        let Some(id) = row.azureactivedirectoryobjectid else {
            return;
        };
        let admitted = Admitted {
            modifiedon: row.modifiedon,
            facts,
            verdict: Arc::new(verdict.clone()),
        };
        self.memory.remember_admitted(environment, id, trigger, admitted);
    }
}
