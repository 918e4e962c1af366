//! Fresh directory data for one user: asked for, then written into the mirror (`take_in`), so that the next cycle
//! agrees.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::take_in::{Said, Snapshot};
use crate::domain::directory_user::{DirectoryState, upn_key};
use crate::domain::feed::{AdminRole, LookedUp, RoleAssignment};
use crate::domain::system_user::is_reserved;
use crate::graph::{Graph, GraphError};
use crate::store::{Connection, StoreResult, mirror, rows};
use crate::sync::pull::describe;
use crate::sync::{Engine, SyncError};

/// What the directory says of somebody right now.
#[derive(Debug)]
pub(super) enum Fresh {
    /// The mirror knows this user as the directory does.
    User(Uuid),
    /// The same, but the administrator roles could not be read: what was read last counts, and nobody loses access
    /// for want of a licence or a group.
    UserWithoutRoles(Uuid),
    /// A row that no directory user belongs to.
    Row(Uuid),
    /// A name that belongs to the system and has no row.
    Reserved,
    /// Neither the directory nor the table knows anybody of that name.
    Nobody,
    /// The directory gave no answer: the user, if known from elsewhere, and what went wrong.
    Unanswered(Option<Uuid>, String),
}

/// How many holders of names are asked about for one request: more than ever pass a name on in a row.
const MOST_HOLDERS: usize = 4;

/// How often the directory is asked about one user while a cycle hears of the same user.
const MOST_QUESTIONS: u32 = 3;

impl Engine {
    /// Asks the directory for a user named by object id, user principal name or row id.
    pub(super) async fn look_up(&self, environment: &str, user: &str) -> Result<Fresh, SyncError> {
        let graph = self.graph.for_someone_waiting();
        if let Ok(id) = Uuid::parse_str(user) {
            // A row by its own id, or an application user by any of its ids: the directory's users know nothing of it.
            return match self.find_row(environment, user).await? {
                Some(row) if row.applicationid.is_some() => Ok(Fresh::Row(row.systemuserid)),
                Some(row) => match row.azureactivedirectoryobjectid {
                    Some(id) => self.ask(&graph, id).await,
                    None => Ok(Fresh::Row(row.systemuserid)),
                },
                None => self.ask(&graph, id).await,
            };
        }
        if is_reserved(&upn_key(user)) {
            let row = self.find_row(environment, user).await?;
            return Ok(row.map_or(Fresh::Reserved, |row| Fresh::Row(row.systemuserid)));
        }
        let known = {
            let mut db = self.store.read().await?;
            mirror::find_by_upn(&mut db, &upn_key(user)).await?
        };
        let before = match known {
            Some(id) => self.snapshot(id).await?,
            None => Snapshot::default(),
        };
        match self.fetch(&graph, user).await? {
            Ok((
                LookedUp {
                    user: Some(found),
                    groups,
                },
                roles,
            )) => {
                let id = found.id;
                let said = Said { groups, roles };
                match self.take_in(&before, found, said).await? {
                    Some(fresh) => Ok(fresh),
                    None => self.ask(&graph, id).await,
                }
            }
            // The name may be an old one, or that of somebody who was deleted: whoever we know by it is asked for.
            Ok(_) => match self.find_user(environment, user).await? {
                Some(id) => self.ask(&graph, id).await,
                None => Ok(self
                    .find_row(environment, user)
                    .await?
                    .map_or(Fresh::Nobody, |row| Fresh::Row(row.systemuserid))),
            },
            Err(problem) => Ok(Fresh::Unanswered(self.find_user(environment, user).await?, problem)),
        }
    }

    /// Whoever, by what we know, has the name that the directory gives to a user by now, and whoever has theirs in turn:
    /// a name is one user's only, so the directory has more to say of them. Without an answer the name stays theirs.
    pub(super) async fn look_up_holders(&self, environment: &str, fresh: &Fresh) -> Result<(), SyncError> {
        let (Fresh::User(mut id) | Fresh::UserWithoutRoles(mut id)) = *fresh else {
            return Ok(());
        };
        let graph = self.graph.for_someone_waiting();
        let mut asked = BTreeSet::from([id]);
        while asked.len() <= MOST_HOLDERS {
            let (holder, keeps_it) = {
                let mut db = self.store.read().await?;
                let Some(key) = mirrored_name(&mut db, id).await? else {
                    return Ok(());
                };
                let row = rows::find_by_upn_key(&mut db, environment, &key).await?;
                let Some(holder) = row.and_then(|row| row.azureactivedirectoryobjectid) else {
                    return Ok(());
                };
                (holder, mirrored_name(&mut db, holder).await?.as_ref() == Some(&key))
            };
            if !asked.insert(holder) {
                return Ok(());
            }
            if keeps_it {
                self.ask(&graph, holder).await?;
            }
            id = holder;
        }
        Ok(())
    }

    /// Asks for a user by object id, again where a cycle has heard of the user meanwhile: what was asked first may be
    /// older than that, and would be told to nobody again.
    async fn ask(&self, graph: &Graph, id: Uuid) -> Result<Fresh, SyncError> {
        for _ in 0..MOST_QUESTIONS {
            let before = self.snapshot(id).await?;
            if let Some(fresh) = self.try_ask(graph, id, &before).await? {
                return Ok(fresh);
            }
        }
        // The cycle hears of this user faster than anybody can ask: what it heard is fresh.
        Ok(Fresh::User(id))
    }

    /// None where the mirror has moved on while the directory was asked.
    async fn try_ask(&self, graph: &Graph, id: Uuid, before: &Snapshot) -> Result<Option<Fresh>, SyncError> {
        let (found, roles) = match self.fetch(graph, &id.to_string()).await? {
            Ok(found) => found,
            Err(problem) => return Ok(Some(Fresh::Unanswered(Some(id), problem))),
        };
        if let Some(user) = found.user {
            let said = Said {
                groups: found.groups,
                roles,
            };
            return self.take_in(before, user, said).await;
        }
        // Not found: deleted, and perhaps still to be restored; only a second answer says which.
        let deleted = match graph.deleted_user(id).await {
            Ok(deleted) => deleted,
            Err(GraphError::Cancelled) => return Err(SyncError::Cancelled),
            Err(error) => return Ok(Some(Fresh::Unanswered(Some(id), describe(&error)))),
        };
        self.take_out(id, before, deleted).await
    }

    /// The directory's answer, with the administrator roles where they could be read; or what went wrong.
    async fn fetch(
        &self,
        graph: &Graph,
        user: &str,
    ) -> Result<Result<(LookedUp, Option<Vec<(AdminRole, RoleAssignment)>>), String>, SyncError> {
        let asked = match graph.look_up(&[user.to_owned()], true).await {
            Ok(asked) => asked,
            Err(GraphError::Cancelled) => return Err(SyncError::Cancelled),
            Err(error) => return Ok(Err(describe(&error))),
        };
        let roles = asked.roles.and_then(Result::ok);
        Ok(match asked.users.into_iter().next() {
            Some(Ok(found)) => Ok((found, roles)),
            // The directory does not take such a text for a name, so it is nobody's.
            Some(Err(GraphError::BadRequest { status: 400, .. })) if Uuid::parse_str(user).is_err() => {
                let nobody = LookedUp {
                    user: None,
                    groups: Vec::new(),
                };
                Ok((nobody, roles))
            }
            Some(Err(error)) => Err(describe(&error)),
            None => Err("the directory did not answer".to_owned()),
        })
    }
}

/// The name of a user who is there, by the mirror.
async fn mirrored_name(db: &mut Connection, id: Uuid) -> StoreResult<Option<String>> {
    let user = mirror::read_users(db, &[id]).await?.remove(&id);
    Ok(user
        .filter(|user| user.state == DirectoryState::Present)
        .and_then(|user| user.upn_key()))
}
