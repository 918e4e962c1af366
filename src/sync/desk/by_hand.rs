//! A person's decisions about a row: disable, enable, hold, release, delete.

use uuid::Uuid;

use super::evaluate::ExtraWork;
use super::{Answer, Ask, Desk, Effect, Refusal, Ruled, find_row, no_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::role::SYSTEM_ADMINISTRATOR;
use crate::domain::system_user::{ORIGIN_CUSTOMER, SYNC_ACTOR, SystemUser, azure_state};
use crate::domain::text::trimmed;
use crate::plan::roles::is_administrator;
use crate::plan::{Change, Operation, RoleChange};
use crate::rules::Trigger;
use crate::store::changes::Author;
use crate::store::{Keys, StoreResult, Transaction, columns, pending, quota, removals, roles, rows, subjects, teams};
use crate::sync::DeskError;
use crate::sync::judge::{self, WriteMode};

/// The maximum length of a hold's reason, in Unicode code points.
const REASON_CHARACTERS: usize = 1000;

/// A person's change to a row. The row is locked and is not a placeholder.
pub(in crate::sync) type ByHand<'a> = dyn Fn(&mut SystemUser) -> Ruled<()> + Send + Sync + 'a;

impl Desk {
    /// Disables a row by hand. The cycle leaves it disabled; an entitled user can return by requesting access.
    ///
    /// # Errors
    /// [`DeskError::Refused`], or when the database fails.
    pub async fn disable(&self, ask: Ask<'_>) -> Result<Answer, DeskError> {
        self.by_hand(ask, Operation::Edit, &|row| {
            if row.isstub {
                return Err(Refusal::new(Code::StubUser));
            }
            if !row.onhold {
                row.disable(ask.actor, Code::DisabledByHand);
            }
            Ok(())
        })
        .await
    }

    /// Enables a row by hand, if the rules allow it. No rules apply to application users.
    ///
    /// # Errors
    /// As [`Self::disable`].
    pub async fn enable(&self, ask: Ask<'_>) -> Result<Answer, DeskError> {
        let row = self.row_to_judge(ask).await?;
        if row.applicationid.is_some() {
            return self
                .by_hand(ask, Operation::Edit, &|row| {
                    if row.onhold {
                        return Err(Refusal::new(Code::OnHold));
                    }
                    row.enable();
                    Ok(())
                })
                .await;
        }
        let id = row.systemuserid.to_string();
        self.look_up_and_evaluate(Ask { user: &id, ..ask }, Trigger::AdminAdd, ExtraWork::Nothing)
            .await
    }

    /// Puts a row on hold: it is disabled immediately, and nothing enables it until the hold is released.
    ///
    /// # Errors
    /// As [`Self::disable`].
    pub async fn hold(&self, ask: Ask<'_>, reason: &str) -> Result<Answer, DeskError> {
        check_reason("reason", reason)?;
        self.by_hand(ask, Operation::Edit, &|row| put_on_hold(row, ask.actor, reason))
            .await
    }

    /// Ends a hold and evaluates the user as if an administrator had added it.
    ///
    /// # Errors
    /// As [`Self::disable`]. A verdict that does not restore access is not an error: the hold is over.
    pub async fn release(&self, ask: Ask<'_>) -> Result<Answer, DeskError> {
        let row = self.row_to_judge(ask).await?;
        if row.applicationid.is_some() || row.isstub {
            // Another program can put a hold on these rows. They are never evaluated, so they stay as a person left
            // them.
            return self
                .by_hand(ask, Operation::Edit, &|row| {
                    if row.onhold {
                        let reason = if row.isstub {
                            Code::StubUser
                        } else {
                            Code::DisabledByHand
                        };
                        row.onhold = false;
                        row.holdreason = None;
                        row.disable(ask.actor, reason);
                    }
                    Ok(())
                })
                .await;
        }
        if !row.onhold {
            return Ok(Answer {
                outcome: Effect::Unchanged,
                user: Some(row),
                verdict: None,
            });
        }
        let id = row.systemuserid.to_string();
        let ask = Ask { user: &id, ..ask };
        self.look_up_and_evaluate(ask, Trigger::AdminAdd, ExtraWork::Release(ask, row.systemuserid))
            .await
    }

    /// Deletes a row in the store. Allowed if the directory user is permanently deleted, for stubs, and for disabled
    /// application users. The row keeps its history, loses its roles and never returns.
    ///
    /// # Errors
    /// As [`Self::disable`].
    pub async fn delete(&self, ask: Ask<'_>) -> Result<Answer, DeskError> {
        self.by_hand(ask, Operation::Delete, &|row| {
            let is_inactive = row.applicationid.is_some() && row.isdisabled;
            if row.azurestate != azure_state::GONE && !row.isstub && !is_inactive {
                return Err(Refusal::new(Code::NotDeletable));
            }
            if !row.isdisabled {
                row.disable(SYNC_ACTOR, Code::DirectoryDeleted);
            }
            if row.applicationid.is_some() {
                // The application may get a new row; object ids are unique.
                row.azureactivedirectoryobjectid = None;
            }
            row.deletedstate = 1;
            Ok(())
        })
        .await
    }

    /// The requested row, if it can be evaluated at all.
    async fn row_to_judge(&self, ask: Ask<'_>) -> Result<SystemUser, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let row = self.base.find_row(&environment.name, ask.user).await?;
        let row = row.ok_or_else(|| no_row(ask.environment, ask.user))?;
        changeable(&row)?;
        Ok(row)
    }

    /// One change by a person, in one transaction.
    pub(in crate::sync) async fn by_hand(
        &self,
        ask: Ask<'_>,
        operation: Operation,
        change: &ByHand<'_>,
    ) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        self.base
            .retry(|| self.try_by_hand(environment, ask, operation, change))
            .await
    }

    async fn try_by_hand(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
        operation: Operation,
        change: &ByHand<'_>,
    ) -> Result<Answer, DeskError> {
        let mut tx = self.base.begin(None).await?;
        let answer = self
            .change_by_hand(&mut tx, environment, ask, operation, change)
            .await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// One change by a person, within a transaction.
    pub(in crate::sync) async fn change_by_hand(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        ask: Ask<'_>,
        operation: Operation,
        change: &ByHand<'_>,
    ) -> Result<Answer, DeskError> {
        let before = self.lock_row(&mut *tx, environment, ask).await?;
        let id = before.systemuserid;
        let mut after = before.clone();
        change(&mut after)?;
        self.allow(&mut *tx, environment, &before, &after).await?;
        let effect = self
            .write_by_hand(&mut *tx, environment, ask, before.clone(), after.clone(), operation)
            .await?;
        self.write_profile(&mut *tx, environment, &before, &after).await?;
        Ok(Answer {
            outcome: effect,
            user: rows::find_by_id(tx, &environment.name, id).await?,
            verdict: None,
        })
    }

    /// Locks the requested row. No one may change placeholders and deleted rows.
    pub(in crate::sync) async fn lock_row(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        ask: Ask<'_>,
    ) -> Result<SystemUser, DeskError> {
        let name = &environment.name;
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let row = match find_row(&mut *tx, name, ask.user).await? {
            Some(row) => rows::lock_by_ids(tx, name, &[row.systemuserid]).await?.pop(),
            None => None,
        };
        let row = row.ok_or_else(|| no_row(ask.environment, ask.user))?;
        changeable(&row)?;
        Ok(row)
    }

    /// Refuses what no one may do by hand: disable a Global administrator or the last System Administrator, or enable a
    /// non-interactive user beyond the cap.
    pub(in crate::sync) async fn allow(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        before: &SystemUser,
        after: &SystemUser,
    ) -> Result<(), DeskError> {
        let name = &environment.name;
        let takes_slot = |row: &SystemUser| row.is_non_interactive() && !row.isdisabled;
        if takes_slot(after) && !takes_slot(before) {
            let free = quota::lock(&mut *tx, name, environment.non_interactive_cap).await?;
            if free <= 0 {
                return Err(self.cap_is_reached(tx, environment).await?.into());
            }
        }
        if before.isdisabled || !after.isdisabled {
            return Ok(());
        }
        if let Some(id) = before.azureactivedirectoryobjectid
            && before.azurestate == azure_state::EXISTS
            && subjects::roles(&mut *tx, &[id])
                .await?
                .get(&id)
                .is_some_and(|roles| roles.global)
        {
            return Err(Refusal::new(Code::TenantAdministrator).into());
        }
        let held = roles::of_row(&mut *tx, name, before.systemuserid).await?;
        if is_administrator(&held) {
            quota::lock(&mut *tx, name, environment.non_interactive_cap).await?;
            if !roles::has_several_holders(tx, name, SYSTEM_ADMINISTRATOR).await? {
                return Err(Refusal::new(Code::LastSystemAdministrator).into());
            }
        }
        Ok(())
    }

    /// The refusal that names the users who hold the slots.
    pub(in crate::sync) async fn cap_is_reached(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
    ) -> StoreResult<Refusal> {
        let taken = rows::enabled_non_interactive(tx, &environment.name).await?;
        let names: Vec<String> = taken
            .into_iter()
            .map(|(id, name)| name.unwrap_or_else(|| id.to_string()))
            .collect();
        Ok(Refusal::saying(
            Code::NonInteractiveCap,
            format!(
                "{} has {} enabled non-interactive users and may have {}: {}",
                environment.name,
                names.len(),
                environment.non_interactive_cap,
                names.join(", ")
            ),
        ))
    }

    /// Writes a person's change, and marks the row for re-evaluation in the next cycle.
    pub(in crate::sync) async fn write_by_hand(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        ask: Ask<'_>,
        before: SystemUser,
        after: SystemUser,
        operation: Operation,
    ) -> StoreResult<Effect> {
        let name = &environment.name;
        let now = self.base.clock.now();
        let reason = Code::parse(after.disabledreason.as_deref().unwrap_or_default())
            .filter(|_| !before.isdisabled && after.isdisabled);
        let row = before.systemuserid;
        let object_id = before
            .azureactivedirectoryobjectid
            .or(after.azureactivedirectoryobjectid);
        let Some(change) = Change::between(Some(&before), after, operation, reason, (ask.actor, now)) else {
            return Ok(Effect::Unchanged);
        };
        let effect = Effect::of(change.operation);
        let author = Author {
            actor: ask.actor,
            run_id: None,
            by_rule: false,
            at: now,
        };
        if change.operation == Operation::Delete {
            let held = roles::of_row(&mut *tx, name, row).await?;
            let own = held.iter().filter(|held| held.is_direct());
            let taken: Vec<RoleChange> = own.map(RoleChange::take).collect();
            roles::apply_in(&mut *tx, name, &taken, author).await?;
            teams::remove_from_all(&mut *tx, name, row).await?;
        }
        if change.after.isdisabled {
            removals::drop_rows(&mut *tx, &Keys::of(name, [row])).await?;
        }
        let owned = (change.after.customer_owned != before.customer_owned).then(|| change.after.customer_owned.clone());
        judge::write_by_hand(
            &mut *tx,
            name,
            vec![(Some(&before), change)],
            author,
            WriteMode::Together,
        )
        .await?;
        if let Some(owned) = owned {
            columns::set_customer_owned(&mut *tx, name, row, &owned).await?;
        }
        if let Some(id) = object_id {
            pending::mark(tx, std::slice::from_ref(name), &[id]).await?;
        }
        Ok(effect)
    }

    /// Ends a hold within a transaction that evaluates the user next. Returns whether there was a hold.
    pub(in crate::sync) async fn end_hold(
        &self,
        tx: &mut Transaction,
        ask: Ask<'_>,
        row: Uuid,
    ) -> Result<bool, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let Some(before) = rows::lock_by_ids(&mut *tx, &environment.name, &[row]).await?.pop() else {
            return Err(no_row(ask.environment, ask.user).into());
        };
        if before.deletedstate != 0 {
            return Err(Refusal::new(Code::RowDeleted).into());
        }
        if !before.onhold {
            return Ok(false);
        }
        let mut after = before.clone();
        after.onhold = false;
        after.holdreason = None;
        // From here on the verdict is the reason for the disabled state; until there is one, the reason is its absence.
        after.disable(SYNC_ACTOR, Code::DirectoryUnavailable);
        self.write_by_hand(tx, environment, ask, before, after, Operation::Edit)
            .await?;
        Ok(true)
    }
}

/// Checks that a row may be changed.
pub(super) fn changeable(row: &SystemUser) -> Ruled<()> {
    if row.is_reserved() {
        return Err(Refusal::new(Code::ReservedUser));
    }
    if row.deletedstate != 0 {
        return Err(Refusal::new(Code::RowDeleted));
    }
    Ok(())
}

/// Checks that a hold has a reason that PostgreSQL accepts.
pub(in crate::sync) fn check_reason(field: &str, reason: &str) -> Result<(), DeskError> {
    if trimmed(reason).is_empty() || reason.contains('\0') || reason.chars().count() > REASON_CHARACTERS {
        let expected = format!("a hold needs a reason of at most {REASON_CHARACTERS} characters");
        return Err(super::bad_input(field, expected));
    }
    Ok(())
}

/// Puts a row on hold, which disables it.
pub(in crate::sync) fn put_on_hold(row: &mut SystemUser, actor: &str, reason: &str) -> Ruled<()> {
    if row.isstub {
        return Err(Refusal::new(Code::StubUser));
    }
    if row.applicationid.is_some() {
        return Err(Refusal::new(Code::ApplicationUser));
    }
    row.onhold = true;
    row.holdreason = Some(trimmed(reason).to_owned());
    row.disable(actor, Code::OnHold);
    Ok(())
}

/// Sets an access mode and marks it as chosen by a person.
pub(in crate::sync) fn set_mode(row: &mut SystemUser, mode: i16) {
    row.accessmode = mode;
    ORIGIN_CUSTOMER.clone_into(&mut row.accessmode_origin);
}
