//! Merges a stub into the existing row of its person (rules.md, section 6).

use serde_json::{Map, json};

use super::{Answer, Ask, Desk, Effect, Refusal, no_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::plan::{Operation, RoleChange};
use crate::store::changes::Author;
use crate::store::{StoreResult, Transaction, changes, pending, roles, rows};
use crate::sync::DeskError;
use crate::sync::pull::LookUpResult;

impl Desk {
    /// Merges a stub into the row of a directory user. Its roles move there; the stub is deleted and records the row it
    /// was merged into, so that references can follow. The user's columns and the history of both rows stay unchanged.
    /// If the person has no row, the stub becomes it, as by [`Self::map`].
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the row is not a stub or was merged into another row, or the user cannot be found;
    /// or when the database fails.
    pub async fn merge(&self, ask: Ask<'_>, user: &str) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let stub = self.stub_to_map(environment, ask).await?;
        let fresh = Box::pin(self.puller.look_up(&environment.name, user)).await?;
        let into = match fresh {
            LookUpResult::User(id, _) => {
                let mut db = self.base.store.read().await?;
                rows::find_by_object_id(&mut db, &environment.name, id).await?
            }
            LookUpResult::Unanswered(_, problem) => {
                return Err(Refusal::saying(Code::DirectoryUnavailable, problem).into());
            }
            LookUpResult::Row(_) | LookUpResult::Reserved | LookUpResult::Nobody => None,
        };
        match into {
            Some(into) => self.base.retry(|| self.try_merge(environment, ask, &stub, &into)).await,
            None => self.map(ask, user).await,
        }
    }

    async fn try_merge(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
        stub: &SystemUser,
        into: &SystemUser,
    ) -> Result<Answer, DeskError> {
        let name = &environment.name;
        let mut tx = self.base.begin(None).await?;
        let mut ids = [stub.systemuserid, into.systemuserid];
        ids.sort_unstable();
        let mut locked = rows::lock_by_ids(&mut tx, name, &ids).await?.into_iter();
        let (Some(one), Some(other)) = (locked.next(), locked.next()) else {
            return Err(no_row(ask.environment, ask.user).into());
        };
        let (stub, into) = if one.systemuserid == stub.systemuserid {
            (one, other)
        } else {
            (other, one)
        };
        if let Some(code) = keeps_from_merging(&stub, &into) {
            return Err(Refusal::new(code).into());
        }
        let author = Author {
            actor: ask.actor,
            run_id: None,
            by_rule: false,
            at: self.base.clock.now(),
        };
        let held = roles::of_row(&mut tx, name, stub.systemuserid).await?;
        let moved: Vec<RoleChange> = held
            .iter()
            .filter(|held| !held.revoked && held.is_direct())
            .map(|held| RoleChange::grant(into.systemuserid, &held.role, held.provenance))
            .collect();
        roles::apply_in(&mut tx, name, &moved, author).await?;
        let mut after = stub.clone();
        after.deletedstate = 1;
        after.merged_into = Some(into.systemuserid);
        let stub_id = stub.systemuserid;
        // Removes its roles, and records it in the stub's log line.
        self.write_by_hand(&mut tx, environment, ask, stub, after, Operation::Delete)
            .await?;
        rows::note_merged(&mut tx, name, stub_id, into.systemuserid).await?;
        let line = Map::from_iter([("merged_from".to_owned(), json!([null, stub_id]))]);
        changes::record_edit(&mut tx, name, into.systemuserid, line, author).await?;
        self.wake(&mut tx, name, &into).await?;
        let user = rows::find_by_id(&mut tx, name, into.systemuserid).await?;
        tx.commit().await?;
        Ok(Answer {
            outcome: Effect::Updated,
            user,
            verdict: None,
        })
    }

    /// The stub may have held the name that the directory gives to its person.
    async fn wake(&self, tx: &mut Transaction, environment: &str, row: &SystemUser) -> StoreResult<()> {
        let ids: Vec<_> = row.azureactivedirectoryobjectid.into_iter().collect();
        pending::mark(tx, &[environment.to_owned()], &ids).await
    }

    /// The stub to map.
    pub(in crate::sync) async fn stub_to_map(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
    ) -> Result<SystemUser, DeskError> {
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let Some(stub) = self.base.find_row(&environment.name, ask.user).await? else {
            return Err(no_row(ask.environment, ask.user).into());
        };
        match stub.merged_into {
            Some(into) => {
                let detail = format!("the stub `{}` went into the row {into}", ask.user);
                Err(Refusal::saying(Code::AlreadyMapped, detail).into())
            }
            None if stub.isstub => Ok(stub),
            None => Err(Refusal::saying(Code::AlreadyMapped, format!("the row of `{}` is no stub", ask.user)).into()),
        }
    }
}

/// Why the two rows, as they are now, cannot be merged.
fn keeps_from_merging(stub: &SystemUser, into: &SystemUser) -> Option<Code> {
    if stub.merged_into.is_some() || !stub.isstub {
        Some(Code::AlreadyMapped)
    } else if stub.deletedstate != 0 || into.deletedstate != 0 {
        Some(Code::RowDeleted)
    } else if into.applicationid.is_some() {
        Some(Code::ApplicationUser)
    } else {
        None
    }
}
