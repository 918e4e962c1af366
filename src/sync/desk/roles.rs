//! Security roles granted and revoked by hand (rules.md, section 8).

use super::{Answer, Ask, Desk, Effect, Refusal, find_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::role::{Holder, HolderKey, Provenance, SYSTEM_ADMINISTRATOR};
use crate::plan::RoleChange;
use crate::store::changes::Author;
use crate::store::{quota, roles};
use crate::sync::DeskError;

impl Desk {
    /// Grants a role to a row by hand.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the environment lacks the role, or the row is disabled and the environment does not
    /// allow that; or when the database fails.
    pub async fn grant(&self, ask: Ask<'_>, role: &str) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        self.base.retry(|| self.try_grant(environment, ask, role)).await
    }

    async fn try_grant(&self, environment: &Environment, ask: Ask<'_>, role: &str) -> Result<Answer, DeskError> {
        if !environment.has_role(role) {
            return Err(no_role(environment, role).into());
        }
        let mut tx = self.base.begin(None).await?;
        let row = self.lock_row(&mut tx, environment, ask).await?;
        if row.isdisabled && !environment.allow_role_assignment_on_disabled_users {
            return Err(Refusal::new(Code::UserDisabled).into());
        }
        let held = roles::of_rows(&mut tx, &environment.name, &[row.systemuserid]).await?;
        let has_it = held
            .iter()
            .any(|held| held.role == role && held.provenance == Provenance::Manual && !held.revoked);
        let change = (!has_it).then(|| RoleChange::grant(row.systemuserid, role, Provenance::Manual));
        roles::apply(
            &mut tx,
            &environment.name,
            &change.iter().collect::<Vec<_>>(),
            self.by(ask),
        )
        .await?;
        let user = find_row(&mut tx, &environment.name, ask.user).await?;
        tx.commit().await?;
        let outcome = if has_it { Effect::Unchanged } else { Effect::Updated };
        Ok(Answer {
            outcome,
            user,
            verdict: None,
        })
    }

    /// Revokes a role from a row, whatever its origin. A role that the sync granted for a licence does not return with
    /// the same licence.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the environment lacks the role, or no System Administrator would remain; or when the
    /// database fails.
    pub async fn revoke(&self, ask: Ask<'_>, role: &str) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        self.base.retry(|| self.try_revoke(environment, ask, role)).await
    }

    async fn try_revoke(&self, environment: &Environment, ask: Ask<'_>, role: &str) -> Result<Answer, DeskError> {
        let name = &environment.name;
        let mut tx = self.base.begin(None).await?;
        let row = self.lock_row(&mut tx, environment, ask).await?;
        let held = roles::of_rows(&mut tx, name, &[row.systemuserid]).await?;
        let taken: Vec<RoleChange> = held
            .iter()
            .filter(|held| held.role == role && !held.revoked)
            .map(|held| RoleChange {
                leaves_mark: held.provenance == Provenance::License,
                ..RoleChange::take(held)
            })
            .collect();
        if taken.is_empty() && !environment.has_role(role) {
            return Err(no_role(environment, role).into());
        }
        if role == SYSTEM_ADMINISTRATOR && !taken.is_empty() && !row.isdisabled {
            quota::lock(&mut tx, name, environment.non_interactive_cap).await?;
            if roles::count_enabled_holders(&mut tx, name, role).await? <= 1 {
                return Err(Refusal::new(Code::LastSystemAdministrator).into());
            }
        }
        roles::apply(&mut tx, name, &taken.iter().collect::<Vec<_>>(), self.by(ask)).await?;
        let user = find_row(&mut tx, name, ask.user).await?;
        tx.commit().await?;
        let outcome = if taken.is_empty() {
            Effect::Unchanged
        } else {
            Effect::Updated
        };
        Ok(Answer {
            outcome,
            user,
            verdict: None,
        })
    }

    /// Role assignments: of one user, of one role, or all; after a given assignment, to continue a list.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the row does not exist, or when the database fails.
    pub async fn role_holders(
        &self,
        environment: &str,
        user: Option<&str>,
        role: Option<&str>,
        after: Option<HolderKey>,
        limit: i64,
    ) -> Result<Vec<Holder>, DeskError> {
        let environment = self.base.environment(environment)?;
        let row = match user {
            Some(user) => match self.base.find_row(&environment.name, user).await? {
                Some(row) => Some(row.systemuserid),
                None => return Err(super::no_row(&environment.name, user).into()),
            },
            None => None,
        };
        let mut db = self.base.store.read().await?;
        Ok(roles::list(&mut db, &environment.name, row, role, after, limit).await?)
    }

    fn by<'a>(&self, ask: Ask<'a>) -> Author<'a> {
        Author {
            actor: ask.actor,
            run_id: None,
            by_rule: false,
            at: self.base.clock.now(),
        }
    }
}

fn no_role(environment: &Environment, role: &str) -> Refusal {
    let roles = match environment.roles.as_slice() {
        [] => "none".to_owned(),
        roles => roles.join(", "),
    };
    Refusal::saying(
        Code::RoleNotFound,
        format!("{} has no security role `{role}`; it has {roles}", environment.name),
    )
}
