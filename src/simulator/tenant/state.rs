//! What the tenant knows at one moment: the founded base, everything that was changed since, and the logs that
//! delta tokens point into.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::group::{Group, GroupChange};
use super::history::Before;
use super::people;
use super::property::{Mask, difference};
use super::roles::{RoleAssignment, Sku};
use super::user::User;

/// Where a user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the directory.
    Live,
    /// In deletedItems since then; may be restored.
    SoftDeleted(DateTime<Utc>),
    /// Gone for good.
    Purged,
}

/// Why a tombstone was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Soft-deleted; on the wire `changed`.
    Soft,
    /// Gone for good; on the wire `deleted`.
    Permanent,
}

/// A dead delta token answers in one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDeath {
    /// 410 with a `Location` whose `$deltatoken` is empty.
    GoneWithLocation,
    /// 410 `resyncRequired` without a `Location`.
    Gone,
    /// 410 `SyncStateNotFound`, with a capital S.
    GoneSyncStateNotFound,
    /// 400 `syncStateNotFound`.
    SyncStateNotFound,
    /// 400 `Request_UnsupportedQuery`, "older than 30 days".
    UnsupportedQuery,
    /// 400 `Directory_ExpiredPageToken`.
    ExpiredPageToken,
}

impl TokenDeath {
    /// Every shape.
    pub const ALL: [Self; 6] = [
        Self::GoneWithLocation,
        Self::Gone,
        Self::GoneSyncStateNotFound,
        Self::SyncStateNotFound,
        Self::UnsupportedQuery,
        Self::ExpiredPageToken,
    ];
}

/// An object that is neither a user nor a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Device { name: String },
    ServicePrincipal { name: String, app_id: Uuid },
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub user: User,
    pub standing: Standing,
}

#[derive(Clone)]
pub(crate) struct State {
    pub seed: u64,
    /// How many users were founded; later ones stand in `added`.
    pub base: u64,
    pub added: Vec<Uuid>,
    pub overrides: HashMap<Uuid, Record>,
    pub user_log: Vec<(Uuid, Mask)>,
    /// Tombstones of users that never were in this tenant.
    pub strays: Vec<(Uuid, Removal)>,
    pub groups: Vec<Group>,
    pub group_index: HashMap<Uuid, usize>,
    pub group_log: Vec<(Uuid, GroupChange)>,
    pub objects: HashMap<Uuid, Object>,
    pub assignments: Vec<RoleAssignment>,
    pub skus: Vec<Sku>,
    /// Counts the ids given out after the founding.
    pub births: u64,
    /// Delta tokens of an earlier generation are dead.
    pub generation: u64,
    /// Page tokens of an earlier generation are dead.
    pub page_generation: u64,
    pub death: TokenDeath,
    /// When the change under way happens.
    pub now: DateTime<Utc>,
    /// What was before each change, for answers that lag.
    pub history: Vec<(DateTime<Utc>, Before)>,
    /// Counts every change of anything, so that cached pages can be told from fresh ones.
    pub version: u64,
}

impl State {
    pub(crate) fn new(seed: u64, base: u64, death: TokenDeath) -> Self {
        Self {
            seed,
            base,
            added: Vec::new(),
            overrides: HashMap::new(),
            user_log: Vec::new(),
            strays: Vec::new(),
            groups: Vec::new(),
            group_index: HashMap::new(),
            group_log: Vec::new(),
            objects: HashMap::new(),
            assignments: Vec::new(),
            skus: Vec::new(),
            births: base,
            generation: 1,
            page_generation: 1,
            death,
            now: DateTime::default(),
            history: Vec::new(),
            version: 0,
        }
    }

    /// A fresh id; the index behind it is never reused.
    pub(crate) fn birth(&mut self) -> Uuid {
        let id = people::id_of(self.seed, self.births);
        self.births += 1;
        id
    }

    /// How many users the directory ever held.
    pub(crate) fn population(&self) -> usize {
        usize::try_from(self.base).unwrap_or(usize::MAX) + self.added.len()
    }

    /// How many users are live.
    pub(crate) fn live_users(&self) -> usize {
        let records = self.overrides.values();
        let away = records.filter(|record| record.standing != Standing::Live).count();
        let unborn = self.added.iter().filter(|id| !self.overrides.contains_key(id)).count();
        self.population() - away - unborn
    }

    /// The user at this place of the stable order.
    pub(crate) fn at(&self, position: usize) -> Option<(Cow<'_, User>, Standing)> {
        let index = position as u64;
        if index >= self.base {
            let id = self.added.get(usize::try_from(index - self.base).ok()?)?;
            return self.find(*id);
        }
        if !self.overrides.is_empty() {
            let record = self.overrides.get(&people::id_of(self.seed, index));
            if let Some(record) = record {
                return Some((Cow::Borrowed(&record.user), record.standing));
            }
        }
        Some((Cow::Owned(people::person(self.seed, index)), Standing::Live))
    }

    /// A user, live or not.
    pub(crate) fn find(&self, id: Uuid) -> Option<(Cow<'_, User>, Standing)> {
        if let Some(record) = self.overrides.get(&id) {
            return Some((Cow::Borrowed(&record.user), record.standing));
        }
        let index = self.base_index(id)?;
        Some((Cow::Owned(people::person(self.seed, index)), Standing::Live))
    }

    pub(crate) fn standing(&self, id: Uuid) -> Option<Standing> {
        match self.overrides.get(&id) {
            Some(record) => Some(record.standing),
            None => self.base_index(id).map(|_| Standing::Live),
        }
    }

    pub(crate) fn live(&self, id: Uuid) -> Option<Cow<'_, User>> {
        self.find(id)
            .filter(|(_, standing)| *standing == Standing::Live)
            .map(|(user, _)| user)
    }

    /// A live user by address.
    pub(crate) fn by_upn(&self, upn: &str) -> Option<Cow<'_, User>> {
        let named = |user: &User| {
            user.user_principal_name
                .as_ref()
                .is_some_and(|have| have.eq_ignore_ascii_case(upn))
        };
        let changed = self
            .overrides
            .values()
            .find(|record| record.standing == Standing::Live && named(&record.user));
        if let Some(record) = changed {
            return Some(Cow::Borrowed(&record.user));
        }
        people::indices_in(upn)
            .filter(|index| *index < self.base)
            .filter_map(|index| self.live(people::id_of(self.seed, index)))
            .find(|user| named(user))
    }

    /// Changes a live user, and logs the properties that really differ. False if she is not live.
    pub(crate) fn update(&mut self, id: Uuid, change: impl FnOnce(&mut User)) -> bool {
        let Some(before) = self.live(id).map(Cow::into_owned) else {
            return false;
        };
        let mut after = before.clone();
        change(&mut after);
        after.id = id;
        let changed = difference(&before, &after);
        if changed != 0 {
            let record = Record {
                user: after,
                standing: Standing::Live,
            };
            self.put(id, record);
            self.user_log.push((id, changed));
        }
        true
    }

    fn base_index(&self, id: Uuid) -> Option<u64> {
        let index = people::index_of(self.seed, id);
        (index < self.base && people::id_of(self.seed, index) == id).then_some(index)
    }

    pub(crate) fn group(&self, id: Uuid) -> Option<&Group> {
        self.group_index
            .get(&id)
            .and_then(|at| self.groups.get(*at))
            .filter(|group| !group.deleted)
    }

    pub(crate) fn is_deleted_group(&self, id: Uuid) -> bool {
        let group = self.group_index.get(&id).and_then(|at| self.groups.get(*at));
        group.is_some_and(|group| group.deleted)
    }

    pub(crate) fn group_mut(&mut self, id: Uuid) -> Option<&mut Group> {
        let at = *self.group_index.get(&id)?;
        self.groups.get_mut(at).filter(|group| !group.deleted)
    }

    /// The `@odata.type` of any object that is or was in the directory.
    pub(crate) fn odata_type(&self, id: Uuid) -> Option<&'static str> {
        if let Some(record) = self.overrides.get(&id) {
            return Some(record.user.odata_type());
        }
        if self.group_index.contains_key(&id) {
            return Some("#microsoft.graph.group");
        }
        match self.objects.get(&id) {
            Some(Object::Device { .. }) => Some("#microsoft.graph.device"),
            Some(Object::ServicePrincipal { .. }) => Some("#microsoft.graph.servicePrincipal"),
            None => self.base_index(id).map(|_| "#microsoft.graph.user"),
        }
    }
}
