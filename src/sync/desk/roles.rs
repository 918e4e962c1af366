//! Security roles granted and revoked by hand (rules.md, section 8).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::by_hand::changeable;
use super::teams::{administrators, keep_an_administrator};
use super::{Answer, Ask, Desk, Effect, Refusal, Ruled, find_row, no_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::role::{Holder, HolderKey, Provenance, SYSTEM_ADMINISTRATOR};
use crate::domain::system_user::SystemUser;
use crate::plan::RoleChange;
use crate::store::changes::Author;
use crate::store::{Keys, findings, quota, roles, rows};
use crate::sync::DeskError;

/// The number of rows that one transaction grants a role to: few enough that no one waits long for a locked row.
const GRANTED_TOGETHER: usize = 200;

impl Desk {
    /// Checks that an environment has a role to grant.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when it has not.
    pub fn check_role(&self, environment: &str, role: &str) -> Result<(), DeskError> {
        Ok(check_role(self.base.environment(environment)?, role)?)
    }

    /// Grants a role to a row by hand.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the environment lacks the role, or the row is disabled and the environment does not
    /// allow that; or when the database fails.
    pub async fn grant(&self, ask: Ask<'_>, role: &str) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        check_role(environment, role)?;
        let row = self.base.find_row(&environment.name, ask.user).await?;
        let row = row.ok_or_else(|| no_row(&environment.name, ask.user))?.systemuserid;
        let granted = self.grant_rows(ask.environment, &[row], role, ask.actor).await?;
        let outcome = granted.into_iter().next().unwrap_or(Ok(Effect::Unchanged))?;
        let mut db = self.base.store.read().await?;
        Ok(Answer {
            outcome,
            user: rows::find_by_id(&mut db, &environment.name, row).await?,
            verdict: None,
        })
    }

    /// Grants a role to some rows by hand. Each row has its own result, in the order given; a refused row does not
    /// block the others.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the environment lacks the role, or when the database fails.
    pub async fn grant_rows(
        &self,
        environment: &str,
        rows: &[Uuid],
        role: &str,
        actor: &str,
    ) -> Result<Vec<Ruled<Effect>>, DeskError> {
        let known = self.base.environment(environment)?;
        check_role(known, role)?;
        let mut results = Vec::with_capacity(rows.len());
        for rows in rows.chunks(GRANTED_TOGETHER) {
            match self.base.retry(|| self.try_grant(known, rows, role, actor)).await {
                Ok(granted) => results.extend(granted),
                // The database rejects a row of them.
                Err(DeskError::Refused(refusal)) => match rows {
                    [_] => results.push(Err(*refusal)),
                    _ => {
                        for row in rows {
                            let row = std::slice::from_ref(row);
                            results.extend(Box::pin(self.grant_rows(environment, row, role, actor)).await?);
                        }
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(results)
    }

    async fn try_grant(
        &self,
        environment: &Environment,
        rows: &[Uuid],
        role: &str,
        actor: &str,
    ) -> Result<Vec<Ruled<Effect>>, DeskError> {
        let name = &environment.name;
        let mut tx = self.base.begin(None).await?;
        let mut locked = BTreeMap::new();
        for row in rows::lock_by_ids(&mut tx, name, rows).await? {
            locked.insert(row.systemuserid, row);
        }
        let held = roles::of_rows(&mut tx, &Keys::of(name, rows.iter().copied())).await?;
        let holds = held
            .values()
            .flatten()
            .filter(|held| held.role == role && held.provenance == Provenance::Manual && !held.revoked);
        let mut holders: BTreeSet<Uuid> = holds.map(|held| held.systemuserid).collect();
        let mut changes = Vec::new();
        let mut results = Vec::with_capacity(rows.len());
        for id in rows {
            results.push(match locked.get(id) {
                None => Err(no_row(name, &id.to_string())),
                Some(row) => grantable(environment, row).map(|()| {
                    if !holders.insert(*id) {
                        return Effect::Unchanged;
                    }
                    changes.push(RoleChange::grant(*id, role, Provenance::Manual));
                    Effect::Updated
                }),
            });
        }
        let author = self.by(actor);
        roles::apply_in(&mut tx, name, &changes, author).await?;
        findings::close_regained(&mut tx, name, author.at).await?;
        tx.commit().await?;
        Ok(results)
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
        let held = roles::of_row(&mut tx, name, row.systemuserid).await?;
        let taken: Vec<RoleChange> = held
            .iter()
            .filter(|held| held.role == role && !held.revoked && held.is_direct())
            .map(|held| RoleChange {
                leaves_mark: held.provenance == Provenance::License,
                ..RoleChange::take(held)
            })
            .collect();
        if taken.is_empty() && !environment.has_role(role) {
            return Err(no_role(environment, role).into());
        }
        let of_administrator = role == SYSTEM_ADMINISTRATOR && !taken.is_empty();
        let had = if of_administrator {
            quota::lock(&mut tx, name, environment.non_interactive_cap).await?;
            administrators(&mut tx, environment).await?
        } else {
            0
        };
        roles::apply_in(&mut tx, name, &taken, self.by(ask.actor)).await?;
        keep_an_administrator(&mut tx, environment, had).await?;
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
                None => return Err(no_row(&environment.name, user).into()),
            },
            None => None,
        };
        let mut db = self.base.store.read().await?;
        Ok(roles::list(&mut db, &environment.name, row, role, after, limit).await?)
    }

    pub(super) fn by<'a>(&self, actor: &'a str) -> Author<'a> {
        Author {
            actor,
            run_id: None,
            by_rule: false,
            at: self.base.clock.now(),
        }
    }
}

/// Checks that an environment can grant a role.
pub(super) fn check_role(environment: &Environment, role: &str) -> Ruled<()> {
    if !environment.has_role(role) {
        return Err(no_role(environment, role));
    }
    if !environment.has_database {
        return Err(Refusal::new(Code::NoDatabase));
    }
    Ok(())
}

/// Checks that a row may get a role.
fn grantable(environment: &Environment, row: &SystemUser) -> Ruled<()> {
    changeable(row)?;
    if row.isdisabled && !environment.allow_role_assignment_on_disabled_users {
        return Err(Refusal::new(Code::UserDisabled));
    }
    Ok(())
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
