//! Fresh directory data for one or more users: requested, then written into the mirror (`take_in`), so that the next
//! cycle agrees.

mod search;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use uuid::Uuid;

pub(super) use self::search::Search;
use self::search::SearchState;
use super::Puller;
use super::RoleGroups;
use super::fresh::{LookUpResult, LookUpResults};
use super::take_in::{RoleHolders, UserFacts};
use crate::domain::directory_user::{DirectoryState, upn_key};
use crate::domain::feed::{Asked, Assignments, Listed, LookedUp, Moment, Principal};
use crate::domain::source::Source;
use crate::domain::system_user::is_reserved;
use crate::graph::{Graph, GraphError, describe};
use crate::plan::Unasked;
use crate::store::answers::StoredPages;
use crate::store::{Connection, StoreResult, groups, mirror, rows};
use crate::sync::Failure;

/// The number of users in one call of the Graph edge: three requests, sent together.
const ASKED_TOGETHER: usize = 20;

/// How many users who were not found are looked up in deletedItems at once.
const DELETED_TOGETHER: usize = 8;

/// The maximum number of name holders looked up for one request: more than ever pass a name on in a row.
const MOST_HOLDERS: usize = 4;

/// How often the directory is asked about one user while a cycle receives changes of the same user.
const MOST_QUESTIONS: u32 = 3;

impl Puller {
    /// Asks the directory for a user named by object id, user principal name or row id.
    pub(in crate::sync) async fn look_up(&self, environment: &str, user: &str) -> Result<LookUpResult, Failure> {
        let graph = self.directory().for_someone_waiting();
        let answers = self.look_up_many(&graph, environment, &[user.to_owned()]).await?;
        Ok(answers.fresh.into_iter().next().unwrap_or(LookUpResult::Nobody))
    }

    /// Asks the directory for some users, each named by object id, user principal name or row id. If the directory is
    /// unavailable, the remaining users are not requested.
    pub(in crate::sync) async fn look_up_many(
        &self,
        graph: &Graph,
        environment: &str,
        users: &[String],
    ) -> Result<LookUpResults, Failure> {
        let sought = self.resolve(environment, users).await?;
        let mut search = Search::new(graph, self.base.environment(environment).ok(), sought);
        search.guests_until = self.guests_until();
        self.ask(&mut search).await?;
        self.follow_names(environment, &mut search).await?;
        self.settle(search).await
    }

    /// The same for users named only by object id, whatever rows exist.
    pub(in crate::sync) async fn look_up_ids(&self, graph: &Graph, ids: &[Uuid]) -> Result<LookUpResults, Failure> {
        let sought = ids.iter().map(|id| SearchState::Id(*id)).collect();
        self.settle(Search::new(graph, None, sought)).await
    }

    /// Repeats the look-up until every user has a result. A user whose changes a cycle received meanwhile is requested
    /// again: the first answer is older than those.
    async fn settle(&self, mut search: Search<'_>) -> Result<LookUpResults, Failure> {
        for question in 1..=MOST_QUESTIONS {
            search.is_last = question == MOST_QUESTIONS;
            self.ask(&mut search).await?;
            self.ask_for_deleted(&mut search).await?;
            if search.open().is_empty() {
                break;
            }
        }
        let settled = |sought| match sought {
            SearchState::Settled(fresh) => fresh,
            // A cycle receives changes of this user faster than a look-up can answer: those are fresh.
            SearchState::Id(id) => LookUpResult::User(id, Unasked::default()),
            _ => LookUpResult::Nobody,
        };
        Ok(LookUpResults {
            fresh: search.sought.into_iter().map(settled).collect(),
            outage: search.outage,
        })
    }

    /// Resolves the texts, as far as the table allows.
    async fn resolve(&self, environment: &str, users: &[String]) -> Result<Vec<SearchState>, Failure> {
        let ids: Vec<Uuid> = users.iter().filter_map(|user| Uuid::parse_str(user).ok()).collect();
        let mut by_id = BTreeMap::new();
        if !ids.is_empty() {
            let mut db = self.base.store.read().await?;
            for row in rows::find_by_any_ids(&mut db, environment, &ids).await? {
                let own = [
                    Some(row.systemuserid),
                    row.azureactivedirectoryobjectid,
                    row.applicationid,
                ];
                // A text that is the object id of one row and another id of a second row names the first.
                for id in own.into_iter().flatten() {
                    if row.azureactivedirectoryobjectid == Some(id) {
                        by_id.insert(id, row.clone());
                    } else {
                        by_id.entry(id).or_insert_with(|| row.clone());
                    }
                }
            }
        }
        let mut sought = Vec::with_capacity(users.len());
        for user in users {
            sought.push(match Uuid::parse_str(user) {
                // A row by its own id, or an application user by any of its ids: the directory's users do not include
                // it.
                Ok(id) => match by_id.get(&id) {
                    None => SearchState::Id(id),
                    Some(row) => match row.azureactivedirectoryobjectid.filter(|_| row.applicationid.is_none()) {
                        Some(id) => SearchState::Id(id),
                        None => SearchState::Settled(LookUpResult::Row(row.systemuserid)),
                    },
                },
                // Neither a name nor a text that PostgreSQL accepts.
                Err(_) if user.contains('\0') => SearchState::Settled(LookUpResult::Nobody),
                Err(_) if is_reserved(&upn_key(user)) => {
                    let row = self.base.find_row(environment, user).await?;
                    SearchState::Settled(row.map_or(LookUpResult::Reserved, |row| LookUpResult::Row(row.systemuserid)))
                }
                Err(_) => SearchState::Name(user.clone()),
            });
        }
        Ok(sought)
    }

    /// Requests the users without a result, and stores those that are found.
    async fn ask(&self, search: &mut Search<'_>) -> Result<(), Failure> {
        for chunk in search.open().chunks(ASKED_TOGETHER) {
            self.ask_together(search, chunk).await?;
        }
        Ok(())
    }

    async fn ask_together(&self, search: &mut Search<'_>, open: &[(usize, String)]) -> Result<(), Failure> {
        if let Some(problem) = search.outage.clone() {
            search.give_up(open, &problem);
            return Ok(());
        }
        let keys: Vec<String> = open.iter().map(|(_, key)| key.clone()).collect();
        // Follow-up requests use the time limit of the same call.
        let graph = search.graph.begun();
        let owners_of = search.group().filter(|_| !search.owners_asked);
        let answers = match graph.look_up(&keys, !search.roles_asked, owners_of).await {
            Ok(asked) => {
                if let Some(roles) = asked.roles {
                    search.roles_asked = true;
                    search.roles = roles.ok();
                }
                if let (Some(group), Some(owners)) = (owners_of, asked.owners) {
                    note_owners(search, &graph, group, owners).await?;
                }
                asked.users
            }
            Err(error) => {
                let problem = describe(&Failure::unless_directory(error)?);
                search.give_up(open, &problem);
                search.outage = Some(problem);
                return Ok(());
            }
        };
        let mut found = BTreeMap::new();
        for ((at, key), answer) in open.iter().zip(answers) {
            search.sought[*at] = match answer {
                Ok(LookedUp { user, groups }) => match user.value {
                    Some(patch) => {
                        let id = patch.id;
                        let user = Asked {
                            at: user.at,
                            value: patch,
                        };
                        found.insert(id, UserFacts { user, groups });
                        SearchState::Settled(LookUpResult::User(id, Unasked::default()))
                    }
                    None => search.sought[*at].not_found(user.at),
                },
                // The directory does not accept this text as a name, so no user has it.
                Err(GraphError::BadRequest { status: 400, .. }) if Uuid::parse_str(key).is_err() => {
                    search.sought[*at].not_found(Moment::default())
                }
                Err(error) => search.sought[*at].unanswered(describe(&error)),
            };
        }
        self.climb(search, &graph, &found).await?;
        let held = match &search.roles {
            Some(assignments) => Some(self.administrators_of(search.graph, &found, assignments).await?),
            None => None,
        };
        let moved = self.take_in(&found, held.as_ref(), search).await?;
        for (at, _) in open {
            if let SearchState::Settled(LookUpResult::User(id, _)) = search.sought[*at]
                && let Some(said) = found.get(&id)
            {
                search.sought[*at] = if moved.contains(&id) {
                    SearchState::Id(id)
                } else {
                    SearchState::Settled(LookUpResult::User(id, search.unasked(said)))
                };
            }
        }
        self.take_in_group(search.group(), search.owners.take(), &search.ladder)
            .await?;
        search.ladder.note_stored();
        Ok(())
    }

    /// Requests the parent groups of some users' groups, where nesting counts and the users are not direct members.
    async fn climb(
        &self,
        search: &mut Search<'_>,
        graph: &Graph,
        found: &BTreeMap<Uuid, UserFacts>,
    ) -> Result<(), Failure> {
        let Some(root) = search.nesting_group() else {
            return Ok(());
        };
        let all = found.values().map(|said| said.groups.value.items.as_slice());
        let below: Vec<&[Uuid]> = all.filter(|groups| !groups.contains(&root)).collect();
        if below.is_empty() {
            return Ok(());
        }
        let known = {
            let mut db = self.base.store.read().await?;
            let mut nested = groups::nested_groups(&mut db, &[root]).await?;
            nested.remove(&root).into_iter().flatten().collect()
        };
        search.ladder.climb(graph, root, &below, &known).await
    }

    /// Reads who holds the administrator roles. A user who is in none of the groups through which the last reading
    /// knows roles has left them, or the groups are deleted: those groups are requested one by one, since that is rare.
    async fn administrators_of(
        &self,
        graph: &Graph,
        found: &BTreeMap<Uuid, UserFacts>,
        assignments: &Assignments,
    ) -> Result<RoleHolders, Failure> {
        let known = RoleGroups::of(&self.read_checkpoint(Source::Roles).await?);
        let tenant_wide = assignments.value.iter().filter(|(_, one)| one.tenant_wide);
        let assigned: BTreeSet<Uuid> = tenant_wide.map(|(_, one)| one.principal.id).collect();
        let mut through_missing = BTreeSet::new();
        for group in assigned {
            let has_left = |said: &&UserFacts| {
                !said.groups.value.items.contains(&group) && known.has_member(group, said.user.value.id)
            };
            let (left, unsure): (Vec<&UserFacts>, Vec<&UserFacts>) =
                found.values().filter(has_left).partition(|said| said.is_whole());
            through_missing.extend(unsure.into_iter().map(|said| (group, said.user.value.id)));
            if left.is_empty() {
                continue;
            }
            if known.is_missing(group) || graph.all_group_members(group).await.is_err() {
                through_missing.extend(left.into_iter().map(|said| (group, said.user.value.id)));
            }
        }
        Ok(RoleHolders {
            assignments: assignments.clone(),
            through_missing,
        })
    }

    /// A name may be a former one, or that of a deleted user: looks up the user whom the mirror knows by it.
    async fn follow_names(&self, environment: &str, search: &mut Search<'_>) -> Result<(), Failure> {
        for sought in &mut search.sought {
            let SearchState::NoSuchName(name, problem) = sought else {
                continue;
            };
            let known = self.base.find_user(environment, name).await?;
            *sought = match (known, problem.take()) {
                (known, Some(problem)) => SearchState::Settled(LookUpResult::Unanswered(known, problem)),
                (Some(id), None) => SearchState::Id(id),
                (None, None) => {
                    let row = self.base.find_row(environment, name).await?;
                    SearchState::Settled(row.map_or(LookUpResult::Nobody, |row| LookUpResult::Row(row.systemuserid)))
                }
            };
        }
        Ok(())
    }

    /// A user who was not found is deleted, and may be restorable; only a second request shows which. A user in neither
    /// place may have been restored between the two requests, and is requested once more.
    async fn ask_for_deleted(&self, search: &mut Search<'_>) -> Result<(), Failure> {
        let missing = search.missing();
        if missing.is_empty() {
            return Ok(());
        }
        let questions: Vec<_> = missing
            .iter()
            .map(|(_, id)| search.graph.deleted_user(id.value))
            .collect();
        let answers: Vec<_> = stream::iter(questions).buffered(DELETED_TOGETHER).collect().await;
        let ids: Vec<Uuid> = missing.iter().map(|(_, id)| id.value).collect();
        let first = missing.iter().map(|(_, id)| id.at).min().unwrap_or_default();
        let (known, is_moving) = {
            let mut db = self.base.store.read().await?;
            // A round that has ended meanwhile may have missed a user between the two places as well.
            let is_moving = !StoredPages::since(&mut db, first).await?.is_empty();
            (mirror::read_users(&mut db, &ids).await?, is_moving)
        };
        let is_known = |id: Uuid| {
            known
                .get(&id)
                .is_some_and(|user| is_moving || user.state != DirectoryState::Gone)
        };
        let mut gone = Vec::new();
        let mut is_in_neither = false;
        for ((at, id), answer) in missing.into_iter().zip(answers) {
            search.sought[at] = match answer {
                Ok(None) if is_known(id.value) => {
                    is_in_neither = true;
                    SearchState::Id(id.value)
                }
                Ok(deleted) => {
                    gone.push(id.map(|id| (id, deleted)));
                    SearchState::Settled(LookUpResult::User(id.value, Unasked::default()))
                }
                Err(error) => {
                    let error = Failure::unless_directory(error)?;
                    SearchState::Settled(LookUpResult::Unanswered(Some(id.value), describe(&error)))
                }
            };
        }
        if is_in_neither {
            self.ask(search).await?;
            for (at, id) in search.missing() {
                gone.push(id.map(|id| (id, None)));
                search.sought[at] = SearchState::Settled(LookUpResult::User(id.value, Unasked::default()));
            }
        }
        let moved = self.take_out(&gone).await?;
        for sought in &mut search.sought {
            if let SearchState::Settled(LookUpResult::User(id, _)) = sought
                && moved.contains(id)
            {
                *sought = SearchState::Id(*id);
            }
        }
        Ok(())
    }

    /// Looks up the users who, in the mirror, hold the current name of a user, and the holders of their new names in
    /// turn: a name belongs to one user, so the directory has changes of these. Without an answer they keep the name.
    pub(in crate::sync) async fn look_up_holders(
        &self,
        environment: &str,
        fresh: &LookUpResult,
    ) -> Result<(), Failure> {
        let LookUpResult::User(mut id, _) = *fresh else {
            return Ok(());
        };
        let mut asked = BTreeSet::from([id]);
        while asked.len() <= MOST_HOLDERS {
            let (holder, keeps_it) = {
                let mut db = self.base.store.read().await?;
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
}

/// Records who owns the security group. For some kinds of group owners cannot be read; the known owners then stand. A
/// group whose members cannot be read either is deleted.
async fn note_owners(
    search: &mut Search<'_>,
    graph: &Graph,
    group: Uuid,
    owners: Result<Asked<Listed<Principal>>, GraphError>,
) -> Result<(), Failure> {
    search.owners_asked = true;
    match owners {
        Ok(owners) => {
            search.of_group.owners |= owners.value.unreadable > 0;
            search.of_group.has_failed |= owners.value.unreadable > 0;
            search.owners = Some(owners);
        }
        Err(GraphError::BadRequest { .. }) => {}
        Err(GraphError::NotFound { .. }) => {
            if let Err(error) = graph.group_members(group, None).await {
                Failure::unless_directory(error)?;
                search.of_group.group = true;
                search.of_group.has_failed = true;
            }
        }
        Err(_) => {
            search.of_group.owners = true;
            search.of_group.has_failed = true;
        }
    }
    Ok(())
}

/// The name of a present user, according to the mirror.
async fn mirrored_name(db: &mut Connection, id: Uuid) -> StoreResult<Option<String>> {
    let user = mirror::read_users(db, &[id]).await?.remove(&id);
    Ok(user
        .filter(|user| user.state == DirectoryState::Present)
        .and_then(|user| user.upn_key()))
}
