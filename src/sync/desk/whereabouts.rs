//! One person in every environment.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::as_of::since;
use super::explain::headline::{Creator, creator};
use super::{Desk, nobody, not_found};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::removal::Held;
use crate::domain::source::Source;
use crate::domain::system_user::SystemUser;
use crate::domain::text::trimmed;
use crate::domain::word::words;
use crate::plan::{Candidate, EnvironmentView, Unasked};
use crate::rules::{Client, Trigger, Verdict};
use crate::store::{StoreResult, Transaction, checkpoints, environments, mirror, removals, rows};
use crate::sync::pull::{self, LookUpResult};
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
        let mut all = self.base.settings.names();
        let first = all.first().cloned().unwrap_or_default();
        let mut named = {
            let mut db = self.base.store.read().await?;
            all.extend(environments::others(&mut db, &all).await?);
            rows::named(&mut db, &all, user).await?
        };
        // A row's own id is known to its environment only: the directory is asked for the row's user.
        let of_row = all
            .iter()
            .find_map(|name| named.get(name)?.azureactivedirectoryobjectid);
        let asked = match Uuid::parse_str(user) {
            Ok(id) => of_row.unwrap_or(id).to_string(),
            Err(_) => user.to_owned(),
        };
        let fresh = self.puller.look_up(&first, &asked).await?;
        let mut db = self.base.store.read().await?;
        let (id, directory) = match &fresh {
            LookUpResult::User(id, _) => (Some(*id), "fresh".to_owned()),
            LookUpResult::Unanswered(id, problem) => {
                let users = checkpoints::read(&mut db, Source::Users).await?;
                (*id, format!("{}: {problem}", since(users.reached_at)))
            }
            LookUpResult::Row(_) | LookUpResult::Nobody | LookUpResult::Reserved => (None, "fresh".to_owned()),
        };
        if let Some(id) = id {
            // A name may still be held by the row of its former owner.
            let mut own = rows::named(&mut db, &all, &id.to_string()).await?;
            own.retain(|_, row| row.azureactivedirectoryobjectid == Some(id));
            named.retain(|_, row| row.azureactivedirectoryobjectid.is_none());
            named.extend(own);
        }
        let ids: Vec<Uuid> = id.into_iter().collect();
        if named.is_empty() && mirror::read_users(&mut db, &ids).await?.is_empty() {
            return Err(not_found(user, &fresh).into());
        }
        let (places, ids): (Vec<String>, Vec<Uuid>) = named
            .values()
            .map(|row| (row.environment.clone(), row.systemuserid))
            .unzip();
        let mut held = removals::of_rows(&mut db, &places, &ids).await?;
        drop(db);
        let mut absent = self.absent(id, &named, fresh.unasked()).await?;
        let items = all.into_iter().filter_map(|name| match named.remove(&name) {
            Some(row) => {
                let held = held.remove(&(name.clone(), row.systemuserid));
                Some(present(row, held, self.base.environment(&name).is_ok()))
            }
            None => absent.remove(&name),
        });
        Ok(Whereabouts {
            user: user.to_owned(),
            object_id: id,
            directory,
            items: items.collect(),
            next: None,
        })
    }

    /// The configured environments without a row, and why there is none, by the rules.
    async fn absent(
        &self,
        id: Option<Uuid>,
        rows: &HashMap<String, SystemUser>,
        asked: Unasked,
    ) -> Result<HashMap<String, Presence>, Failure> {
        let settings = &self.base.settings;
        let without = settings.environments.iter().map(|(environment, _)| environment);
        let without: Vec<&Environment> = without.filter(|one| !rows.contains_key(&one.name)).collect();
        let mut absent = HashMap::new();
        if without.is_empty() {
            return Ok(absent);
        }
        let (known, now) = (pull::known(&self.base).await?, self.base.clock.now());
        // One transaction for all: nothing is written.
        let mut tx = self.base.begin(None).await?;
        for environment in without {
            let (created_by, reason) = match id {
                None => (Creator::Nobody, Some(Code::UserNotFound)),
                Some(id) => {
                    let view = pull::view(settings, environment, &known);
                    creator_of(&mut tx, &view, id, asked, now).await?
                }
            };
            let presence = Presence {
                environment: environment.name.clone(),
                configured: true,
                state: PresenceState::NoRow,
                reason: reason.map(|code| code.as_str().to_owned()),
                held_by: None,
                created_by: Some(created_by.as_str()),
                systemuserid: None,
                accessmode: None,
            };
            absent.insert(environment.name.clone(), presence);
        }
        tx.rollback().await?;
        Ok(absent)
    }
}

fn present(row: SystemUser, held: Option<Held>, configured: bool) -> Presence {
    let state = match (row.deletedstate, row.isdisabled) {
        (0, false) => PresenceState::Enabled,
        (0, true) => PresenceState::Disabled,
        _ => PresenceState::Deleted,
    };
    let held = held.filter(|_| state == PresenceState::Enabled);
    Presence {
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
    }
}

/// What would create a row, and why nothing else does.
async fn creator_of(
    tx: &mut Transaction,
    view: &EnvironmentView<'_>,
    id: Uuid,
    asked: Unasked,
    now: DateTime<Utc>,
) -> StoreResult<(Creator, Option<Code>)> {
    let look = judge::look_at(tx, view, id, Some(asked), now).await?;
    let verdict = |trigger: Trigger| Candidate::evaluate(&look(trigger), view, trigger, now);
    let verdicts: Vec<(Trigger, Verdict)> = Trigger::ALL.map(|trigger| (trigger, verdict(trigger))).into();
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
