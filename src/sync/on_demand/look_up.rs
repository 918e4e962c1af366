//! Fresh directory data for one user: asked for, then written into the mirror, so that the next cycle agrees.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser, upn_key};
use crate::domain::feed::{AdminRole, LookedUp, PrincipalKind, RoleAssignment};
use crate::domain::system_user::is_reserved;
use crate::graph::{Graph, GraphError};
use crate::rules::AdminRoles;
use crate::store::{Connection, StoreError, StoreResult, checkpoints, groups, mirror, pending, rows};
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
        match self.fetch(&graph, user).await? {
            Ok((found, roles)) if found.user.is_some() => {
                let id = found.user.as_ref().map_or(Uuid::nil(), |user| user.id);
                self.take_in(id, found, roles).await
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

    /// Asks for a user by object id.
    async fn ask(&self, graph: &Graph, id: Uuid) -> Result<Fresh, SyncError> {
        let (found, roles) = match self.fetch(graph, &id.to_string()).await? {
            Ok(found) => found,
            Err(problem) => return Ok(Fresh::Unanswered(Some(id), problem)),
        };
        if found.user.is_some() {
            return self.take_in(id, found, roles).await;
        }
        let known = {
            let mut db = self.store.read().await?;
            mirror::read_users(&mut db, &[id]).await?.remove(&id)
        };
        // Not found: deleted, and perhaps still to be restored; only a second answer says which.
        let deleted = match graph.deleted_user(id).await {
            Ok(deleted) => deleted,
            Err(GraphError::Cancelled) => return Err(SyncError::Cancelled),
            Err(error) => return Ok(Fresh::Unanswered(Some(id), describe(&error))),
        };
        let state = if deleted.is_some() {
            DirectoryState::SoftDeleted
        } else {
            DirectoryState::Gone
        };
        if known.is_none() && deleted.is_none() {
            return Ok(Fresh::User(id));
        }
        let known = known.unwrap_or_default();
        if known.id != id || known.state != state {
            let deleted_at = deleted.and_then(|user| user.deleted_at).or(known.deleted_at);
            let now = DirectoryUser {
                id,
                state,
                deleted_at,
                ..known
            };
            self.retry(|| self.write_gone(now.clone())).await?;
        }
        Ok(Fresh::User(id))
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

    /// Writes what the directory said into the mirror and marks whom it concerns.
    async fn take_in(
        &self,
        id: Uuid,
        found: LookedUp,
        roles: Option<Vec<(AdminRole, RoleAssignment)>>,
    ) -> Result<Fresh, SyncError> {
        let LookedUp {
            user: Some(patch),
            groups,
        } = found
        else {
            return Ok(Fresh::User(id));
        };
        let known = self.known().await?;
        let read: BTreeSet<Uuid> = known
            .nested
            .iter()
            .flat_map(|(root, nested)| nested.iter().chain([root]))
            .copied()
            .collect();
        let read: Vec<Uuid> = read.into_iter().collect();
        let joined: Vec<Uuid> = groups.iter().copied().filter(|group| read.contains(group)).collect();
        let write = async || -> StoreResult<()> {
            let mut tx = self.begin(None).await?;
            let before = mirror::read_users(&mut tx, &[id]).await?.remove(&id);
            let mut user = before.clone().unwrap_or_default();
            user.absorb(patch.clone(), true);
            let mut changed = before.as_ref() != Some(&user);
            // Stamped with the round that may be under way, so that its end does not take the user for gone.
            let round = checkpoints::read(&mut tx, "users").await?.round;
            mirror::write_users(&mut tx, std::slice::from_ref(&user), round).await?;
            changed |= groups::settle_returned(&mut tx, id, &read, &joined).await?;
            if let Some(roles) = &roles {
                let holds = admin_roles(id, &groups, roles);
                changed |= groups::set_roles_of(&mut tx, id, holds).await?;
            }
            if changed {
                pending::mark(&mut tx, &self.settings.names(), &[id]).await?;
            }
            tx.commit().await?;
            Ok(())
        };
        self.retry(&write).await?;
        Ok(match roles {
            Some(_) => Fresh::User(id),
            None => Fresh::UserWithoutRoles(id),
        })
    }

    async fn write_gone(&self, user: DirectoryUser) -> StoreResult<()> {
        let mut tx = self.begin(None).await?;
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, std::slice::from_ref(&user), round).await?;
        pending::mark(&mut tx, &self.settings.names(), &[user.id]).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}

/// The name of a user who is there, by the mirror.
async fn mirrored_name(db: &mut Connection, id: Uuid) -> StoreResult<Option<String>> {
    let user = mirror::read_users(db, &[id]).await?.remove(&id);
    Ok(user
        .filter(|user| user.state == DirectoryState::Present)
        .and_then(|user| user.upn_key()))
}

/// The roles a user holds, directly or through a role-assignable group, which cannot be nested.
fn admin_roles(id: Uuid, groups: &[Uuid], assignments: &[(AdminRole, RoleAssignment)]) -> AdminRoles {
    let mut holds = AdminRoles::default();
    for (role, assignment) in assignments.iter().filter(|(_, assignment)| assignment.tenant_wide) {
        let principal = assignment.principal;
        let through_group = principal.kind == PrincipalKind::Group && groups.contains(&principal.id);
        if principal.id == id || through_group {
            holds.insert(*role);
        }
    }
    holds
}
