//! Fresh directory data for some users: asked for together, then written into the mirror (`take_in`), so that
//! the next cycle agrees. One user is many of which there is one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use super::take_in::{Said, Snapshots, snapshots};
use crate::domain::directory_user::{DirectoryState, DirectoryUser, upn_key};
use crate::domain::feed::{AdminRole, LookedUp, RoleAssignment};
use crate::domain::system_user::is_reserved;
use crate::graph::{Graph, GraphError};
use crate::store::{Connection, StoreResult, mirror, rows};
use crate::sync::pull::describe;
use crate::sync::{Engine, SyncError};

/// How many users one call of the Graph edge asks for: three requests, which travel together.
const ASKED_TOGETHER: usize = 20;

/// How many users who were not found are looked for among the deleted ones at once.
const DELETED_TOGETHER: usize = 8;

/// How often the directory is asked about a user of whom a cycle hears meanwhile.
const MOST_QUESTIONS: u32 = 3;

/// How many holders of names are asked about for one request: more than ever pass a name on in a row.
const MOST_HOLDERS: usize = 4;

/// What the directory says of somebody right now.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Fresh {
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

impl Fresh {
    /// The directory user that it is about.
    pub(in crate::sync) fn user(&self) -> Option<Uuid> {
        match self {
            Self::User(id) | Self::UserWithoutRoles(id) | Self::Unanswered(Some(id), _) => Some(*id),
            Self::Row(_) | Self::Reserved | Self::Nobody | Self::Unanswered(None, _) => None,
        }
    }
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

    /// Whoever, by what we know, has the name that the directory gives to a user by now, and whoever has theirs in turn:
    /// a name is one user's only, so the directory has more to say of them. Without an answer the name stays theirs.
    pub(super) async fn look_up_holders(&self, environment: &str, fresh: &Fresh) -> Result<(), SyncError> {
        let (Fresh::User(mut id) | Fresh::UserWithoutRoles(mut id)) = *fresh else {
            return Ok(());
        };
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
                self.look_up(environment, &holder.to_string()).await?;
            }
            id = holder;
        }
        Ok(())
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
        for _ in 0..MOST_QUESTIONS {
            self.ask(&mut search).await?;
            self.follow_names(environment, &mut search).await?;
            self.ask(&mut search).await?;
            self.ask_for_deleted(&mut search).await?;
            if search.sought.iter().all(|sought| sought.key().is_none()) {
                break;
            }
            search.roles_asked = false;
        }
        let settled = |sought| match sought {
            Sought::Settled(fresh) => fresh,
            // A cycle hears of this user faster than anybody can ask: what it heard is fresh.
            Sought::Id(id) => Fresh::User(id),
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
            for row in rows::find_beside_users(&mut db, environment, &ids).await? {
                // An application user goes by any of its ids: the directory's users know nothing of it.
                let other = row.applicationid.into_iter();
                let other = other
                    .flat_map(|id| [Some(id), row.azureactivedirectoryobjectid])
                    .flatten();
                for id in other.chain([row.systemuserid]) {
                    by_row.insert(id, row.clone());
                }
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
                    Sought::Settled(row.map_or(Fresh::Reserved, |row| Fresh::Row(row.systemuserid)))
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
            let before = self.before_asking(search, &keys).await?;
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
                        Sought::Settled(match search.roles {
                            Some(_) => Fresh::User(id),
                            None => Fresh::UserWithoutRoles(id),
                        })
                    }
                    Ok(_) => search.sought[*at].not_found(None),
                    // The directory does not take such a text for a name, so it is nobody's.
                    Err(GraphError::BadRequest { status: 400, .. })
                        if matches!(search.sought[*at], Sought::Name(_)) =>
                    {
                        search.sought[*at].not_found(None)
                    }
                    Err(error) => search.sought[*at].not_found(Some(describe(&error))),
                };
            }
            let said = Said {
                found: &found,
                roles: search.roles.as_deref(),
            };
            let overtaken = self.retry(|| self.take_in(&before, &search.read, &said)).await?;
            for (at, _) in chunk {
                let user = match &search.sought[*at] {
                    Sought::Settled(fresh) => fresh.user(),
                    _ => None,
                };
                if let Some(id) = user.filter(|id| overtaken.contains(id)) {
                    search.sought[*at] = Sought::Id(id);
                }
            }
        }
        Ok(())
    }

    /// What the mirror knows, before the directory is asked, of whoever the keys name.
    async fn before_asking(&self, search: &Search<'_>, keys: &[String]) -> Result<Snapshots, SyncError> {
        let mut db = self.store.read().await?;
        let mut ids = Vec::new();
        let mut names = Vec::new();
        for key in keys {
            match Uuid::parse_str(key) {
                Ok(id) => ids.push(id),
                Err(_) => names.push(upn_key(key)),
            }
        }
        ids.extend(mirror::find_by_upns(&mut db, &names).await?);
        Ok(snapshots(&mut db, &ids, &search.read).await?)
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
        let before = {
            let mut db = self.store.read().await?;
            snapshots(&mut db, &ids, &search.read).await?
        };
        let questions: Vec<_> = ids.iter().map(|id| search.graph.deleted_user(*id)).collect();
        let answers: Vec<_> = stream::iter(questions).buffered(DELETED_TOGETHER).collect().await;
        let mut gone = BTreeMap::new();
        for ((at, id), answer) in missing.iter().copied().zip(answers) {
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
            let known = before.get(&id).and_then(|known| known.user.clone());
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
        let overtaken = self.retry(|| self.take_out(&before, &search.read, &gone)).await?;
        for (at, id) in missing {
            if overtaken.contains(&id) {
                search.sought[at] = Sought::Id(id);
            }
        }
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
