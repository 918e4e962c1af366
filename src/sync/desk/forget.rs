//! Forgetting a person who is gone: the values in the store are blanked, the history keeps what happened.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::whereabouts::{PresenceState, Whereabouts};
use super::{Desk, Refusal};
use crate::domain::directory_user::DirectoryState;
use crate::domain::reason::Code;
use crate::store::{Keys, columns, forget, mirror, sessions};
use crate::sync::DeskError;

/// What was forgotten, and what was not.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Forgotten {
    /// The object id; none for a stub.
    pub object_id: Option<Uuid>,
    /// The person's rows, which are deleted.
    pub rows: Vec<ForgottenRow>,
    /// Table → number of rows in which values were blanked. `acts` are those where the person was the actor, `texts`
    /// those that mentioned the person by name.
    #[schema(value_type = Object)]
    pub blanked: Value,
    /// Names that somebody else holds by now. As actors and in texts they stay: nobody can tell whom they mean.
    pub held_names: Vec<String>,
    /// Columns that customers have added to `system_user`. Their values stay, except where `[[extra_field]]` maps them.
    pub custom_columns: Vec<String>,
}

/// A row of a person who is forgotten.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ForgottenRow {
    /// The environment.
    pub environment: String,
    /// The row.
    pub systemuserid: Uuid,
}

impl Desk {
    /// Blanks the values of a person in every table, and writes a line for each row. The directory is asked first: the
    /// person must be gone or soft-deleted there, and every row deleted in the store.
    ///
    /// # Errors
    /// [`DeskError::Refused`], or when the database fails.
    pub async fn forget(&self, user: &str, actor: &str) -> Result<Forgotten, DeskError> {
        let found = self.whereabouts(user).await?;
        if found.directory != "fresh" {
            return Err(Refusal::saying(Code::DirectoryUnavailable, found.directory).into());
        }
        self.base.retry(|| self.try_forget(&found, actor)).await
    }

    async fn try_forget(&self, found: &Whereabouts, actor: &str) -> Result<Forgotten, DeskError> {
        let refused = |detail: String| Refusal::saying(Code::NotForgettable, detail);
        let mut tx = self.base.begin(None).await?;
        if let Some(id) = found.object_id
            && let Some(known) = mirror::lock_users(&mut tx, &[id]).await?.remove(&id)
            && known.user.state == DirectoryState::Present
        {
            return Err(refused("the directory still has the user".to_owned()).into());
        }
        let mut rows = Vec::new();
        for presence in &found.items {
            let Some(systemuserid) = presence.systemuserid else {
                continue;
            };
            let environment = presence.environment.clone();
            if presence.state != PresenceState::Deleted {
                return Err(refused(format!("the row in {environment} is not deleted")).into());
            }
            rows.push(ForgottenRow {
                environment,
                systemuserid,
            });
        }
        let keys = rows.iter().map(|row| (row.environment.as_str(), row.systemuserid));
        let now = self.base.clock.now();
        let keys: Keys = keys.collect();
        let (blanked, held_names) = forget::forget(&mut tx, found.object_id, &keys, actor, now).await?;
        let mapped = self.base.settings.mapped_columns();
        forget::forget_extra(&mut tx, found.object_id, &keys, &mapped).await?;
        sessions::drop_forms(&mut tx).await?;
        let mut custom_columns = columns::custom(&mut tx).await?;
        custom_columns.retain(|column| !mapped.contains(column));
        tx.commit().await?;
        Ok(Forgotten {
            object_id: found.object_id,
            rows,
            blanked,
            held_names,
            custom_columns,
        })
    }
}
