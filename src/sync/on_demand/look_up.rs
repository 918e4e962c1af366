//! Fresh directory data for some users: asked for together, then written into the mirror, so that the next cycle
//! agrees. One user is many of which there is one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser, upn_key};
use crate::domain::feed::{AdminRole, LookedUp, PrincipalKind, RoleAssignment, UserPatch};
use crate::domain::system_user::is_reserved;
use crate::graph::{Graph, GraphError};
use crate::rules::AdminRoles;
use crate::store::{StoreResult, checkpoints, groups, mirror, pending, rows};
use crate::sync::pull::describe;
use crate::sync::{Engine, SyncError};

/// How many users one call of the Graph edge asks for: three requests, which travel together.
const ASKED_TOGETHER: usize = 20;

/// How many users who were not found are looked for among the deleted ones at once.
const DELETED_TOGETHER: usize = 8;

/// What the directory says of somebody right now.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Fresh {
    /// The mirror knows this user as the directory does.
    User(Uuid),
    /// A row that no directory user belongs to.
    Row(Uuid),
    /// Neither the directory nor the table knows anybody of that name.
    Nobody,
    /// The directory gave no answer: the user, if known from elsewhere, and what went wrong.
    Unanswered(Option<Uuid>, String),
}

/// What the directory says of some users.
#[derive(Debug)]
pub(in crate::sync) struct Answers {
    /// One for each, in the order asked.
    pub fresh: Vec<Fresh>,
    /// Why the directory could not be asked any more, about anybody.
    pub outage: Option<String>,
}

/// Somebody who is being looked up.
enum Sought {
    Id(Uuid),
    Name(String),
    /// The directory has nobody of that id.
    NoSuchId(Uuid),
    /// The directory has nobody of that name, or did not answer.
    NoSuchName(String, Option<String>),
    Settled(Fresh),
}

impl Sought {
    /// How the directory is asked for somebody who is still to be found.
    fn key(&self) -> Option<String> {
        match self {
            Self::Id(id) => Some(id.to_string()),
            Self::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Not found, or no answer.
    fn not_found(&self, problem: Option<String>) -> Self {
        match (self, problem) {
            (Self::Id(id), Some(problem)) => Self::Settled(Fresh::Unanswered(Some(*id), problem)),
            (Self::Id(id), None) => Self::NoSuchId(*id),
            (Self::Name(name), problem) => Self::NoSuchName(name.clone(), problem),
            _ => Self::Settled(Fresh::Nobody),
        }
    }
}

/// A look-up under way.
struct Search<'a> {
    graph: &'a Graph,
    sought: Vec<Sought>,
    /// The groups whose members the mirror follows.
    read: Vec<Uuid>,
    /// Whether it has been asked who holds an administrator role; and who does, where that could be read.
    roles_asked: bool,
    roles: Option<Vec<(AdminRole, RoleAssignment)>>,
    outage: Option<String>,
}

impl Engine {
    /// Asks the directory for a user named by object id, user principal name or row id.
    pub(in crate::sync) async fn look_up(&self, environment: &str, user: &str) -> Result<Fresh, SyncError> {
        let graph = self.graph.for_someone_waiting();
        let answers = self.look_up_many(&graph, environment, &[user.to_owned()]).await?;
        Ok(answers.fresh.into_iter().next().unwrap_or(Fresh::Nobody))
    }

    /// Asks the directory for some users, each named by object id, user principal name or row id. When the directory
    /// is away, nobody else is asked for.
    pub(in crate::sync) async fn look_up_many(
        &self,
        graph: &Graph,
        environment: &str,
        users: &[String],
    ) -> Result<Answers, SyncError> {
        let mut search = Search {
            graph,
            sought: self.resolve(environment, users).await?,
            read: self.followed_groups().await?,
            roles_asked: false,
            roles: None,
            outage: None,
        };
        self.ask(&mut search).await?;
        self.follow_names(environment, &mut search).await?;
        self.ask(&mut search).await?;
        self.ask_for_deleted(&mut search).await?;
        let settled = |sought| match sought {
            Sought::Settled(fresh) => fresh,
            _ => Fresh::Nobody,
        };
        Ok(Answers {
            fresh: search.sought.into_iter().map(settled).collect(),
            outage: search.outage,
        })
    }

    /// What the texts name, as far as the table knows.
    async fn resolve(&self, environment: &str, users: &[String]) -> Result<Vec<Sought>, SyncError> {
        let ids: Vec<Uuid> = users.iter().filter_map(|user| Uuid::parse_str(user).ok()).collect();
        let mut by_row = BTreeMap::new();
        if !ids.is_empty() {
            let mut db = self.store.read().await?;
            for row in rows::find_by_ids(&mut db, environment, &ids).await? {
                by_row.insert(row.systemuserid, row);
            }
        }
        let mut sought = Vec::with_capacity(users.len());
        for user in users {
            sought.push(match Uuid::parse_str(user) {
                Ok(id) => match by_row.get(&id) {
                    None => Sought::Id(id),
                    Some(row) => match row.azureactivedirectoryobjectid.filter(|_| row.applicationid.is_none()) {
                        Some(id) => Sought::Id(id),
                        None => Sought::Settled(Fresh::Row(row.systemuserid)),
                    },
                },
                // No name, and no text that PostgreSQL takes.
                Err(_) if user.contains('\0') => Sought::Settled(Fresh::Nobody),
                Err(_) if is_reserved(&upn_key(user)) => {
                    let row = self.find_row(environment, user).await?;
                    Sought::Settled(row.map_or(Fresh::Nobody, |row| Fresh::Row(row.systemuserid)))
                }
                Err(_) => Sought::Name(user.clone()),
            });
        }
        Ok(sought)
    }

    /// The groups whose members the mirror follows for some environment.
    async fn followed_groups(&self) -> Result<Vec<Uuid>, SyncError> {
        let known = self.known().await?;
        let groups = known.nested.iter();
        let groups: BTreeSet<Uuid> = groups
            .flat_map(|(root, nested)| nested.iter().chain([root]))
            .copied()
            .collect();
        Ok(groups.into_iter().collect())
    }

    /// Asks for whoever is still to be found, and takes in who is.
    async fn ask(&self, search: &mut Search<'_>) -> Result<(), SyncError> {
        let open = search.sought.iter().enumerate();
        let open: Vec<(usize, String)> = open.filter_map(|(at, sought)| Some((at, sought.key()?))).collect();
        for chunk in open.chunks(ASKED_TOGETHER) {
            if let Some(problem) = &search.outage {
                for (at, _) in chunk {
                    search.sought[*at] = search.sought[*at].not_found(Some(problem.clone()));
                }
                continue;
            }
            let keys: Vec<String> = chunk.iter().map(|(_, key)| key.clone()).collect();
            let answers = match search.graph.look_up(&keys, !search.roles_asked).await {
                Ok(asked) => {
                    if let Some(roles) = asked.roles {
                        search.roles_asked = true;
                        search.roles = roles.ok();
                    }
                    asked.users
                }
                Err(GraphError::Cancelled) => return Err(SyncError::Cancelled),
                Err(error) => {
                    let problem = describe(&error);
                    for (at, _) in chunk {
                        search.sought[*at] = search.sought[*at].not_found(Some(problem.clone()));
                    }
                    search.outage = Some(problem);
                    continue;
                }
            };
            let mut found = BTreeMap::new();
            for ((at, _), answer) in chunk.iter().zip(answers) {
                search.sought[*at] = match answer {
                    Ok(LookedUp {
                        user: Some(user),
                        groups,
                    }) => {
                        let id = user.id;
                        found.insert(id, (user, groups));
                        Sought::Settled(Fresh::User(id))
                    }
                    Ok(_) => search.sought[*at].not_found(None),
                    Err(error) => search.sought[*at].not_found(Some(describe(&error))),
                };
            }
            self.retry(|| self.take_in(&found, &search.read, search.roles.as_deref()))
                .await?;
        }
        Ok(())
    }

    /// A name may be an old one, or that of somebody who was deleted: whoever we know by it is asked for.
    async fn follow_names(&self, environment: &str, search: &mut Search<'_>) -> Result<(), SyncError> {
        for sought in &mut search.sought {
            let Sought::NoSuchName(name, problem) = sought else {
                continue;
            };
            let known = self.find_user(environment, name).await?;
            *sought = match (known, problem.take()) {
                (known, Some(problem)) => Sought::Settled(Fresh::Unanswered(known, problem)),
                (Some(id), None) => Sought::Id(id),
                (None, None) => {
                    let row = self.find_row(environment, name).await?;
                    Sought::Settled(row.map_or(Fresh::Nobody, |row| Fresh::Row(row.systemuserid)))
                }
            };
        }
        Ok(())
    }

    /// Whoever was not found is deleted, and perhaps still to be restored; only a second answer says which.
    async fn ask_for_deleted(&self, search: &mut Search<'_>) -> Result<(), SyncError> {
        let missing: Vec<(usize, Uuid)> = search
            .sought
            .iter()
            .enumerate()
            .filter_map(|(at, sought)| match sought {
                Sought::NoSuchId(id) => Some((at, *id)),
                _ => None,
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = missing.iter().map(|(_, id)| *id).collect();
        let mut known = {
            let mut db = self.store.read().await?;
            mirror::read_users(&mut db, &ids).await?
        };
        let questions: Vec<_> = ids.iter().map(|id| search.graph.deleted_user(*id)).collect();
        let answers: Vec<_> = stream::iter(questions).buffered(DELETED_TOGETHER).collect().await;
        let mut gone = BTreeMap::new();
        for ((at, id), answer) in missing.into_iter().zip(answers) {
            search.sought[at] = Sought::Settled(Fresh::User(id));
            let deleted = match answer {
                Ok(deleted) => deleted,
                Err(GraphError::Cancelled) => return Err(SyncError::Cancelled),
                Err(error) => {
                    search.sought[at] = Sought::Settled(Fresh::Unanswered(Some(id), describe(&error)));
                    continue;
                }
            };
            let state = match deleted {
                Some(_) => DirectoryState::SoftDeleted,
                None => DirectoryState::Gone,
            };
            let known = known.remove(&id);
            if deleted.is_none() && known.is_none() || known.as_ref().is_some_and(|known| known.state == state) {
                continue;
            }
            let known = known.unwrap_or_default();
            let deleted_at = deleted.and_then(|user| user.deleted_at).or(known.deleted_at);
            let now = DirectoryUser {
                id,
                state,
                deleted_at,
                ..known
            };
            gone.insert(id, now);
        }
        let gone: Vec<DirectoryUser> = gone.into_values().collect();
        Ok(self.retry(|| self.write_gone(&gone)).await?)
    }

    /// Writes what the directory said of some users into the mirror and marks whom it concerns.
    async fn take_in(
        &self,
        found: &BTreeMap<Uuid, (UserPatch, Vec<Uuid>)>,
        read: &[Uuid],
        roles: Option<&[(AdminRole, RoleAssignment)]>,
    ) -> StoreResult<()> {
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = found.keys().copied().collect();
        let mut tx = self.begin(None).await?;
        let mut before = mirror::read_users(&mut tx, &ids).await?;
        let mut changed = BTreeSet::new();
        let mut users = Vec::with_capacity(found.len());
        for (id, (patch, _)) in found {
            let known = before.remove(id);
            let mut user = known.clone().unwrap_or_default();
            user.absorb(patch.clone(), true);
            if known.as_ref() != Some(&user) {
                changed.insert(*id);
            }
            users.push(user);
        }
        // Stamped with the round that may be under way, so that its end does not take the users for gone.
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, &users, round).await?;
        let joined: Vec<(Uuid, Uuid)> = found
            .iter()
            .flat_map(|(id, (_, groups))| groups.iter().map(|group| (*id, *group)))
            .filter(|(_, group)| read.contains(group))
            .collect();
        changed.extend(groups::settle_members(&mut tx, &ids, read, &joined).await?);
        if let Some(roles) = roles {
            let held: Vec<(Uuid, AdminRoles)> = found
                .iter()
                .map(|(id, (_, groups))| (*id, admin_roles(*id, groups, roles)))
                .collect();
            changed.extend(groups::set_roles_of(&mut tx, &held).await?);
        }
        let changed: Vec<Uuid> = changed.into_iter().collect();
        pending::mark(&mut tx, &self.settings.names(), &changed).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn write_gone(&self, users: &[DirectoryUser]) -> StoreResult<()> {
        if users.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let mut tx = self.begin(None).await?;
        let round = checkpoints::read(&mut tx, "users").await?.round;
        mirror::write_users(&mut tx, users, round).await?;
        pending::mark(&mut tx, &self.settings.names(), &ids).await?;
        tx.commit().await?;
        Ok(())
    }
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
