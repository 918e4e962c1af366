//! One person in every environment.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::as_of::since;
use super::explain::headline::{Creator, creator};
use super::{Desk, find_row, nobody, not_found};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::domain::system_user::SystemUser;
use crate::domain::text::trimmed;
use crate::domain::word::words;
use crate::plan::{Candidate, Unasked};
use crate::rules::{Client, Trigger, Verdict};
use crate::store::{checkpoints, environments, mirror, removals, rows};
use crate::sync::pull::LookUpResult;
use crate::sync::{DeskError, Failure, judge};

/// A person's rows, in all environments.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Whereabouts {
    /// The user as the caller named it.
    pub user: String,
    /// The object id; none if the directory has no such user.
    pub object_id: Option<Uuid>,
    /// `fresh` if the directory was asked just now, otherwise why the mirror's data is used.
    pub directory: String,
    /// The configured environments, then those outside the configuration in which there is a row.
    pub items: Vec<Presence>,
    /// Always null: the list is complete.
    pub next: Option<String>,
}

words! {
    /// States of a person in an environment.
    #[derive(utoipa::ToSchema)]
    #[schema(rename_all = "snake_case")]
    pub enum PresenceState {
        /// There is an enabled row.
        Enabled "enabled"
        /// There is a disabled row.
        Disabled "disabled"
        /// There is a deleted row.
        Deleted "deleted"
        /// There is no row.
        NoRow "no_row"
    }
}

/// A person in one environment.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Presence {
    /// The environment.
    pub environment: String,
    /// Whether it is configured; rows elsewhere are not kept up to date.
    pub configured: bool,
    /// Whether there is a row, and its state.
    pub state: PresenceState,
    /// The reason code: why the row is disabled, or its removal held, or why there is no row.
    pub reason: Option<String>,
    /// The run that holds the removal of an enabled row.
    pub held_by: Option<i64>,
    /// Without a row, what would create one: `background`, `on_demand` or `nobody`.
    pub created_by: Option<&'static str>,
    /// The row's id.
    pub systemuserid: Option<Uuid>,
    /// The row's access mode.
    pub accessmode: Option<i16>,
}

impl Desk {
    /// Shows one person in every environment. Asks the directory once, as `explain` does; if it does not answer, uses
    /// the mirror, and says so. Writes no row.
    ///
    /// # Errors
    /// [`DeskError::Refused`] if nobody has that name, or when the database fails.
    pub async fn whereabouts(&self, user: &str) -> Result<Whereabouts, DeskError> {
        if trimmed(user).is_empty() {
            return Err(nobody(user).into());
        }
        let configured = self.base.settings.names();
        let named = self.rows_named(&configured, user).await?;
        // A row's own id is known to its environment only: the directory is asked for the row's user.
        let of_row = named
            .iter()
            .find_map(|(_, row)| row.as_ref()?.azureactivedirectoryobjectid);
        let asked = match Uuid::parse_str(user) {
            Ok(id) => of_row.unwrap_or(id).to_string(),
            Err(_) => user.to_owned(),
        };
        let first = configured.first().map(String::as_str).unwrap_or_default();
        let fresh = self.puller.look_up(first, &asked).await?;
        let (id, directory) = match &fresh {
            LookUpResult::User(id, _) => (Some(*id), "fresh".to_owned()),
            LookUpResult::Unanswered(id, problem) => {
                let mut db = self.base.store.read().await?;
                let users = checkpoints::read(&mut db, Source::Users).await?;
                (*id, format!("{}: {problem}", since(users.reached_at)))
            }
            LookUpResult::Row(_) | LookUpResult::Nobody | LookUpResult::Reserved => (None, "fresh".to_owned()),
        };
        let mut items = Vec::with_capacity(named.len());
        for (environment, row) in named {
            let row = match id {
                // A name may still be held by the row of its former owner.
                Some(id) => self.row_of(&environment, id, row).await?,
                None => row,
            };
            let known = self.base.environment(&environment).ok();
            items.extend(match (row, known) {
                (Some(row), known) => Some(self.present(row, known.is_some()).await?),
                (None, Some(known)) => Some(self.absent(known, id, fresh.unasked()).await?),
                (None, None) => None,
            });
        }
        if items.iter().all(|one| one.systemuserid.is_none()) && !self.is_in_mirror(id).await? {
            return Err(not_found(user, &fresh).into());
        }
        Ok(Whereabouts {
            user: user.to_owned(),
            object_id: id,
            directory,
            items,
            next: None,
        })
    }

    /// The rows that have this name or id: in the configured environments, then in the others of the database.
    async fn rows_named(
        &self,
        configured: &[String],
        user: &str,
    ) -> Result<Vec<(String, Option<SystemUser>)>, Failure> {
        let mut db = self.base.store.read().await?;
        let others = environments::others(&mut db, configured).await?;
        let mut named = Vec::new();
        for environment in configured.iter().cloned().chain(others) {
            let row = find_row(&mut db, &environment, user).await?;
            named.push((environment, row));
        }
        Ok(named)
    }

    /// The row of a directory user; otherwise a row of the same name that has no directory user, such as a stub.
    async fn row_of(
        &self,
        environment: &str,
        id: Uuid,
        named: Option<SystemUser>,
    ) -> Result<Option<SystemUser>, Failure> {
        let mut db = self.base.store.read().await?;
        let own = rows::find_by_object_id(&mut db, environment, id).await?;
        Ok(own.or_else(|| named.filter(|row| row.azureactivedirectoryobjectid.is_none())))
    }

    async fn is_in_mirror(&self, id: Option<Uuid>) -> Result<bool, Failure> {
        let mut db = self.base.store.read().await?;
        let ids: Vec<Uuid> = id.into_iter().collect();
        Ok(!mirror::read_users(&mut db, &ids).await?.is_empty())
    }

    async fn present(&self, row: SystemUser, configured: bool) -> Result<Presence, Failure> {
        let state = match (row.deletedstate, row.isdisabled) {
            (0, false) => PresenceState::Enabled,
            (0, true) => PresenceState::Disabled,
            _ => PresenceState::Deleted,
        };
        let held = if state == PresenceState::Enabled {
            let mut db = self.base.store.read().await?;
            removals::of_row(&mut db, &row.environment, row.systemuserid).await?
        } else {
            None
        };
        Ok(Presence {
            configured,
            state,
            reason: row
                .disabledreason
                .or_else(|| held.as_ref().map(|held| held.reason.as_str().to_owned())),
            held_by: held.map(|held| held.run),
            created_by: None,
            systemuserid: Some(row.systemuserid),
            accessmode: Some(row.accessmode),
            environment: row.environment,
        })
    }

    /// Why there is no row, by the rules.
    async fn absent(&self, environment: &Environment, id: Option<Uuid>, asked: Unasked) -> Result<Presence, Failure> {
        let (created_by, reason) = match id {
            None => (Creator::Nobody, Some(Code::UserNotFound)),
            Some(id) => self.creator_of(environment, id, asked, self.base.clock.now()).await?,
        };
        Ok(Presence {
            environment: environment.name.clone(),
            configured: true,
            state: PresenceState::NoRow,
            reason: reason.map(|code| code.as_str().to_owned()),
            held_by: None,
            created_by: Some(created_by.as_str()),
            systemuserid: None,
            accessmode: None,
        })
    }

    /// What would create a row, and why nothing else does.
    async fn creator_of(
        &self,
        environment: &Environment,
        id: Uuid,
        asked: Unasked,
        now: DateTime<Utc>,
    ) -> Result<(Creator, Option<Code>), Failure> {
        let view = self.base.present_view(environment).await?;
        let mut tx = self.base.begin(None).await?;
        let look = judge::look_at(&mut tx, &view, id, Some(asked), now).await?;
        let verdict = |trigger: Trigger| Candidate::evaluate(&look(trigger), &view, trigger, now);
        let verdicts: Vec<(Trigger, Verdict)> = Trigger::ALL.map(|trigger| (trigger, verdict(trigger))).into();
        tx.rollback().await?;
        let code = |wanted: Trigger| {
            let found = verdicts.iter().find(|(trigger, _)| *trigger == wanted);
            found.and_then(|(_, verdict)| verdict.asker_code())
        };
        let creator = creator(&verdicts);
        let reason = match creator {
            Creator::Background => None,
            Creator::OnDemand => code(Trigger::Background),
            Creator::Nobody => code(Trigger::Access(Client::Interactive)),
        };
        Ok((creator, reason))
    }
}
