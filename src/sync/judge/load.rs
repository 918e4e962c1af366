//! Locks the rows of some users and then reads their facts, in that order: no one can change the basis of a decision.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::directory_user::DirectoryState;
use crate::domain::environment::GroupNesting;
use crate::domain::role::Assignment;
use crate::domain::system_user::SystemUser;
use crate::plan::{Candidate, EnvironmentView, Unread};
use crate::store::groups::{self, Within};
use crate::store::{StoreResult, Transaction, mirror, roles, rows, subjects};

/// A batch before it is evaluated.
#[derive(Debug, Default)]
pub(in crate::sync) struct Loaded {
    pub candidates: Vec<Candidate>,
    /// Names that no user in the batch can have.
    pub keepers: BTreeSet<String>,
}

/// Loads some users by object id, and `lone` rows that have no directory user. A holder who gives up a name that one of
/// them wants joins the batch, so that the name passes within one transaction.
pub(in crate::sync) async fn load(
    tx: &mut Transaction,
    view: &EnvironmentView<'_>,
    mut ids: Vec<Uuid>,
    lone: &[Uuid],
) -> StoreResult<Loaded> {
    let name = &view.environment.name;
    let mut loaded = Loaded::default();
    let mut present: HashSet<Uuid> = HashSet::new();
    let mut asked: HashSet<String> = HashSet::new();
    while !ids.is_empty() {
        let mut found: HashMap<Uuid, SystemUser> = rows::lock_by_object_ids(&mut *tx, name, &ids)
            .await?
            .into_iter()
            .filter_map(|row| Some((row.azureactivedirectoryobjectid?, row)))
            .collect();
        let mut users = mirror::read_users(&mut *tx, &ids).await?;
        let nested_first = view.environment.group_nesting == GroupNesting::Full;
        let group = view.environment.security_group;
        let within = groups_within(tx, view).await?;
        let unread = unread(view, &within);
        let standings = subjects::read(&mut *tx, &ids, group, &within, nested_first).await?;
        let mut assignments = assignments_of(tx, name, found.values()).await?;
        let has_joined = !present.is_empty();
        for id in ids.drain(..).filter(|id| present.insert(*id)) {
            let row = found.remove(&id);
            let standing = standings.get(&id).copied().unwrap_or_default();
            let held = row.as_ref().and_then(|row| assignments.remove(&row.systemuserid));
            loaded.candidates.push(Candidate {
                id,
                row,
                assignments: held.unwrap_or_default(),
                roles: standing.roles,
                relation: standing.relation,
                unread,
                has_joined,
                ..Candidate::nobody(users.remove(&id))
            });
        }
        let wanted: Vec<String> = loaded
            .candidates
            .iter()
            .filter_map(Candidate::missing_name)
            .filter(|key| asked.insert(key.clone()))
            .collect();
        if wanted.is_empty() {
            break;
        }
        let holders = rows::lock_by_upn_keys(&mut *tx, name, &wanted).await?;
        let holder_ids: Vec<Uuid> = holders
            .iter()
            .filter_map(|row| row.azureactivedirectoryobjectid)
            .collect();
        let holder_users = mirror::read_users(&mut *tx, &holder_ids).await?;
        for holder in holders {
            let user = holder.azureactivedirectoryobjectid.and_then(|id| holder_users.get(&id));
            let moves =
                user.is_some_and(|user| user.state != DirectoryState::Present || user.upn_key() != holder.upn_key);
            match (holder.azureactivedirectoryobjectid, holder.upn_key) {
                (Some(id), _) if present.contains(&id) => {}
                (Some(id), _) if moves => ids.push(id),
                (_, Some(name)) => {
                    loaded.keepers.insert(name);
                }
                (_, None) => {}
            }
        }
    }
    if !lone.is_empty() {
        let found = rows::lock_by_ids(tx, name, lone).await?;
        loaded.candidates.extend(found.into_iter().map(|row| Candidate {
            id: row.systemuserid,
            row: Some(row),
            ..Candidate::nobody(None)
        }));
    }
    Ok(loaded)
}

/// The security group and the groups within it that count. They are read with the rows locked: a look-up may have found
/// users in other groups since the run read them.
async fn groups_within(tx: &mut Transaction, view: &EnvironmentView<'_>) -> StoreResult<Vec<Within>> {
    let environment = view.environment;
    match environment.security_group {
        Some(group) => groups::within(tx, group, environment.counts_nested()).await,
        None => Ok(Vec::new()),
    }
}

/// Which of them cannot be read, according to the mirror or this run.
fn unread(view: &EnvironmentView<'_>, within: &[Within]) -> Unread {
    let is_read = |it: &&Within| it.is_readable && it.reached_at.is_some() && !view.unread.contains(&it.id);
    let is_root = |it: &Within| Some(it.id) == view.environment.security_group;
    let (root, nested): (Vec<&Within>, Vec<&Within>) = within.iter().partition(|it| is_root(it));
    Unread {
        group: !root.iter().all(is_read),
        nested: !nested.iter().all(is_read),
    }
}

async fn assignments_of(
    tx: &mut Transaction,
    environment: &str,
    found: impl Iterator<Item = &SystemUser>,
) -> StoreResult<HashMap<Uuid, Vec<Assignment>>> {
    let ids: Vec<Uuid> = found.map(|row| row.systemuserid).collect();
    let mut assignments: HashMap<Uuid, Vec<Assignment>> = HashMap::new();
    if !ids.is_empty() {
        for assignment in roles::of_rows(tx, environment, &ids).await? {
            assignments.entry(assignment.systemuserid).or_default().push(assignment);
        }
    }
    Ok(assignments)
}
