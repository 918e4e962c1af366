//! Locks the rows of some users and then reads their facts, in that order: no one can change the basis of a decision.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::GroupNesting;
use crate::domain::system_user::SystemUser;
use crate::plan::{Candidate, EnvironmentView, Unread};
use crate::store::groups::{self, Within};
use crate::store::subjects::{self, Gate};
use crate::store::{ByEnvironment, Keys, StoreResult, Transaction, mirror, roles, rows};

/// The users of an environment in a batch, before they are evaluated.
#[derive(Debug)]
pub(in crate::sync) struct Loaded<'v> {
    pub view: &'v EnvironmentView<'v>,
    pub candidates: Vec<Candidate>,
    /// Names that no user in the batch can have.
    pub keepers: BTreeSet<String>,
    present: HashSet<Uuid>,
    asked: HashSet<String>,
}

impl<'v> Loaded<'v> {
    fn nobody(view: &'v EnvironmentView<'v>) -> Self {
        Self {
            view,
            candidates: Vec::new(),
            keepers: BTreeSet::new(),
            present: HashSet::new(),
            asked: HashSet::new(),
        }
    }

    pub fn name(&self) -> &'v str {
        &self.view.environment.name
    }

    /// Whether one of the users is a System Administrator, enabled or not, or was one through a group team.
    pub fn concerns_administrators(&self) -> bool {
        self.candidates.iter().any(Candidate::concerns_administrators)
    }
}

/// Loads some users of one environment by object id, and `lone` rows that have no directory user.
pub(in crate::sync) async fn load<'v>(
    tx: &mut Transaction,
    view: &'v EnvironmentView<'v>,
    ids: Vec<Uuid>,
    lone: &[Uuid],
) -> StoreResult<Loaded<'v>> {
    let loaded = load_all(tx, vec![(view, ids)]).await?.pop();
    let mut loaded = loaded.unwrap_or_else(|| Loaded::nobody(view));
    if !lone.is_empty() {
        let found = rows::lock_by_ids(tx, loaded.name(), lone).await?;
        loaded.candidates.extend(found.into_iter().map(|row| Candidate {
            id: row.systemuserid,
            row: Some(row),
            ..Candidate::nobody(None)
        }));
    }
    Ok(loaded)
}

/// Loads some users of each of some environments by object id. A holder who gives up a name that one of them wants joins
/// the batch, so that the name passes within one transaction. How many statements this takes does not depend on the
/// number of environments.
pub(in crate::sync) async fn load_all<'v>(
    tx: &mut Transaction,
    users: Vec<(&'v EnvironmentView<'v>, Vec<Uuid>)>,
) -> StoreResult<Vec<Loaded<'v>>> {
    let (mut all, mut ids): (Vec<Loaded<'v>>, Vec<Vec<Uuid>>) =
        users.into_iter().map(|(view, ids)| (Loaded::nobody(view), ids)).unzip();
    while ids.iter().any(|ids| !ids.is_empty()) {
        add(tx, &mut all, &ids).await?;
        ids = add_holders(tx, &mut all).await?;
    }
    Ok(all)
}

/// Adds users to each environment.
async fn add(tx: &mut Transaction, all: &mut [Loaded<'_>], ids: &[Vec<Uuid>]) -> StoreResult<()> {
    let keys = all.iter().zip(ids);
    let keys: Keys = keys
        .flat_map(|(it, ids)| ids.iter().map(|id| (it.name(), *id)))
        .collect();
    let mut found: HashMap<(String, Uuid), SystemUser> = HashMap::new();
    for row in rows::lock_by_object_ids(&mut *tx, &keys).await? {
        if let Some(id) = row.azureactivedirectoryobjectid {
            found.insert((row.environment.clone(), id), row);
        }
    }
    rows::read_extra(&mut *tx, found.values_mut(), &mapped(all)).await?;
    let mut users = Users::read(tx, ids).await?;
    let roles_of = subjects::roles(&mut *tx, &users.ids).await?;
    let within = groups_within(tx, all).await?;
    let gates = all.iter().zip(ids).enumerate().filter_map(|(at, (loaded, ids))| {
        let environment = loaded.view.environment;
        let gate = Gate {
            group: environment.security_group?,
            within: &within[at],
            nested_first: environment.group_nesting == GroupNesting::Full,
            ids,
        };
        Some((at, gate))
    });
    let (with_group, gates): (Vec<usize>, Vec<Gate<'_>>) = gates.unzip();
    let relations = subjects::relations(&mut *tx, &gates).await?;
    let rows = found.values().map(|row| (row.environment.as_str(), row.systemuserid));
    let mut held = roles::of_rows(&mut *tx, &rows.collect()).await?;
    for (at, (loaded, ids)) in all.iter_mut().zip(ids).enumerate() {
        let gate = with_group.iter().position(|with_group| *with_group == at);
        let mut assignments = HashMap::new();
        for assignment in held.remove(loaded.name()).unwrap_or_default() {
            let of_row: &mut Vec<_> = assignments.entry(assignment.systemuserid).or_default();
            of_row.push(assignment);
        }
        let has_joined = !loaded.present.is_empty();
        let unread = unread(loaded.view, &within[at]);
        for id in ids.iter().copied() {
            if !loaded.present.insert(id) {
                continue;
            }
            let row = found.remove(&(loaded.name().to_owned(), id));
            let assignments = row.as_ref().and_then(|row| assignments.remove(&row.systemuserid));
            let relation = gate.and_then(|gate| relations.get(&(gate, id)));
            let nobody = Candidate::nobody(users.take(id));
            loaded.candidates.push(Candidate {
                id,
                row,
                assignments: assignments.unwrap_or_default(),
                roles: roles_of.get(&id).copied().unwrap_or_default(),
                relation: relation.copied().unwrap_or(nobody.relation),
                unread,
                has_joined,
                ..nobody
            });
        }
    }
    Ok(())
}

/// The columns that the environments map.
fn mapped(all: &[Loaded<'_>]) -> Vec<String> {
    let fields = all.iter().flat_map(|loaded| &loaded.view.environment.extra_fields);
    let columns: BTreeSet<&String> = fields.map(|field| &field.column).collect();
    columns.into_iter().cloned().collect()
}

/// What the directory says of some users.
struct Users {
    ids: Vec<Uuid>,
    by_id: HashMap<Uuid, DirectoryUser>,
    /// Whether several environments want the same user.
    are_shared: bool,
}

impl Users {
    async fn read(tx: &mut Transaction, ids: &[Vec<Uuid>]) -> StoreResult<Self> {
        let mut all: Vec<Uuid> = ids.concat();
        let are_shared = ids.iter().filter(|ids| !ids.is_empty()).count() > 1;
        if are_shared {
            all.sort_unstable();
            all.dedup();
        }
        Ok(Self {
            by_id: mirror::read_users(&mut *tx, &all).await?,
            ids: all,
            are_shared,
        })
    }

    fn take(&mut self, id: Uuid) -> Option<DirectoryUser> {
        if self.are_shared {
            self.by_id.get(&id).cloned()
        } else {
            self.by_id.remove(&id)
        }
    }
}

/// The holders of names that users of a batch miss: those who give theirs up are to be added, the others keep it.
async fn add_holders(tx: &mut Transaction, all: &mut [Loaded<'_>]) -> StoreResult<Vec<Vec<Uuid>>> {
    let mut wanted: Keys<String> = Keys::default();
    for loaded in &mut *all {
        let missing = loaded.candidates.iter().filter_map(Candidate::missing_name);
        let missing: Vec<String> = missing.filter(|key| loaded.asked.insert(key.clone())).collect();
        wanted.extend(loaded.name(), missing);
    }
    let mut ids = vec![Vec::new(); all.len()];
    if wanted.is_empty() {
        return Ok(ids);
    }
    let mut holders: ByEnvironment<Vec<SystemUser>> = HashMap::new();
    let mut holder_ids: Vec<Uuid> = Vec::new();
    for row in rows::lock_by_upn_keys(&mut *tx, &wanted).await? {
        holder_ids.extend(row.azureactivedirectoryobjectid);
        holders.entry(row.environment.clone()).or_default().push(row);
    }
    let users = if holder_ids.is_empty() {
        HashMap::new()
    } else {
        mirror::read_users(&mut *tx, &holder_ids).await?
    };
    for (loaded, ids) in all.iter_mut().zip(&mut ids) {
        for holder in holders.remove(loaded.name()).unwrap_or_default() {
            let user = holder.azureactivedirectoryobjectid.and_then(|id| users.get(&id));
            let moves =
                user.is_some_and(|user| user.state != DirectoryState::Present || user.upn_key() != holder.upn_key);
            match (holder.azureactivedirectoryobjectid, holder.upn_key) {
                (Some(id), _) if loaded.present.contains(&id) => {}
                (Some(id), _) if moves => ids.push(id),
                (_, Some(name)) => {
                    loaded.keepers.insert(name);
                }
                (_, None) => {}
            }
        }
    }
    Ok(ids)
}

/// The security group of each environment and the groups within it that count. They are read with the rows locked: a
/// look-up may have found users in other groups since the run read them.
async fn groups_within(tx: &mut Transaction, all: &[Loaded<'_>]) -> StoreResult<Vec<Vec<Within>>> {
    let root = |loaded: &Loaded<'_>| {
        let environment = loaded.view.environment;
        Some((environment.security_group?, environment.counts_nested()))
    };
    let within = groups::within(tx, &all.iter().filter_map(root).collect()).await?;
    let of_each = all
        .iter()
        .map(|loaded| root(loaded).and_then(|root| within.get(&root)).cloned());
    Ok(of_each.map(Option::unwrap_or_default).collect())
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
