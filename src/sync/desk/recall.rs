//! What an access request may answer without asking the directory, because it was asked less than `access_freshness`
//! ago.
//!
//! Memory is keyed by object id. The mirror and the table resolve a text to a user each time. If they disagree, or know
//! no such user, nothing is recalled and the directory is asked.

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

/// What is remembered.
pub(in crate::sync) enum Recall {
    /// The complete answer.
    Answer(Box<Answer>),
    /// The directory's answer, to be re-evaluated.
    Fresh(LookUpResult),
    /// Nothing: the directory must be asked.
    Nothing,
}

/// The user that a text names, according to the mirror and the table.
enum KnownIdentity {
    User(Uuid),
    /// Neither knows the name.
    Unknown(String),
    /// They disagree, or the text names no user.
    Unclear,
}

impl Desk {
    /// What an access request need not ask the directory for again.
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
            // Object ids take precedence, as in every search for a row.
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

    /// The mirror's facts about a user whose admission may be remembered; none if it may not be. Nested memberships
    /// cannot be compared as cheaply: where they count, every request is evaluated.
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

    /// Remembers an admitted user whose row did not change.
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
