//! The directory itself: users, groups, roles and products, and everything that can happen to them.
//!
//! The users a tenant is founded with are computed from a seed; only what changed is held. All methods are
//! synchronous and may be called while requests are being answered.

mod catalogue;
mod furnish;
pub(crate) mod group;
pub(crate) mod history;
mod people;
mod profile;
pub(crate) mod property;
mod random;
pub(crate) mod roles;
pub(crate) mod state;
pub(crate) mod user;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use uuid::Uuid;

pub use self::furnish::{Furnished, LARGE_GROUP, NESTED_GROUP, SMALL_GROUP};
pub use self::group::GroupKind;
use self::group::{Group, GroupChange, Relation, Roll};
use self::history::View;
pub use self::people::DOMAIN;
pub use self::profile::Profile;
use self::property::ALL;
pub use self::roles::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, GLOBAL_READER, Hold, POWER_PLATFORM_ADMINISTRATOR,
    RoleAssignment, Sku,
};
use self::state::{Object, Record, State};
pub use self::state::{Removal, Standing, TokenDeath};
pub use self::user::{AssignedLicense, AssignedPlan, List, User};
use crate::clock::Clock;

/// A directory that can be changed while it is served.
pub struct Tenant {
    clock: Clock,
    state: RwLock<State>,
}

impl Tenant {
    /// Founds a tenant of so many users.
    #[must_use]
    pub fn new(seed: u64, users: u64, death: TokenDeath, clock: Clock) -> Self {
        let mut state = State::new(seed, users, death);
        state.skus = Sku::catalogue();
        Self {
            clock,
            state: RwLock::new(state),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.version += 1;
        state.now = self.clock.now();
        state
    }

    /// The tenant as an answer tells it that lags so far behind.
    pub(crate) fn read_late(&self, lag: Duration) -> View<'_> {
        let state = self.read();
        if lag.is_zero() {
            return View::Now(state);
        }
        let earlier = state.as_of(self.clock.now() - lag);
        earlier.map_or(View::Now(state), |earlier| View::Earlier(Box::new(earlier)))
    }

    /// Changes the tenant without a word in the feeds, which tell of every other change.
    pub fn behind_the_feeds<T>(&self, change: impl FnOnce(&Self) -> T) -> T {
        let lengths = |state: &State| (state.user_log.len(), state.group_log.len());
        let (users, groups) = lengths(&self.read());
        let changed = change(self);
        let mut state = self.write();
        state.user_log.truncate(users);
        state.group_log.truncate(groups);
        changed
    }

    // Users.

    /// The ids of the live users, in the order of a first round.
    #[must_use]
    pub fn user_ids(&self) -> Vec<Uuid> {
        let state = self.read();
        let base = (0..state.base).map(|index| people::id_of(state.seed, index));
        base.chain(state.added.iter().copied())
            .filter(|id| state.standing(*id) == Some(Standing::Live))
            .collect()
    }

    /// The id of the user with this number, counted from zero in the order of creation, live or not.
    #[must_use]
    pub fn user_id_at(&self, position: usize) -> Option<Uuid> {
        self.read().at(position).map(|(user, _)| user.id)
    }

    /// How many users there ever were.
    #[must_use]
    pub fn population(&self) -> usize {
        self.read().population()
    }

    /// A live user.
    #[must_use]
    pub fn user(&self, id: Uuid) -> Option<User> {
        self.read().live(id).map(std::borrow::Cow::into_owned)
    }

    /// Where a user stands; none if there never was such a user.
    #[must_use]
    pub fn standing(&self, id: Uuid) -> Option<Standing> {
        self.read().standing(id)
    }

    /// Adds a user, choosing an id if hers is nil.
    pub fn add_user(&self, user: User) -> Uuid {
        let created = self.clock.now();
        let mut state = self.write();
        let id = if user.id.is_nil() { state.birth() } else { user.id };
        if state.standing(id).is_none() {
            state.added.push(id);
        }
        let user = User {
            id,
            created: user.created.or(Some(created)),
            ..user
        };
        let record = Record {
            user,
            standing: Standing::Live,
        };
        state.put(id, record);
        state.user_log.push((id, ALL));
        id
    }

    /// Changes a live user. Only properties that really differ reach the log. False if there is no such user.
    pub fn update_user(&self, id: Uuid, change: impl FnOnce(&mut User)) -> bool {
        self.write().update(id, change)
    }

    /// Swaps the userPrincipalNames of two live users, in one moment. False if either is not live.
    pub fn swap_upns(&self, one: Uuid, other: Uuid) -> bool {
        let mut state = self.write();
        let name = |state: &State, id| state.live(id).map(|user| user.user_principal_name.clone());
        let (Some(first), Some(second)) = (name(&state, one), name(&state, other)) else {
            return false;
        };
        state.update(one, |user| user.user_principal_name = second);
        state.update(other, |user| user.user_principal_name = first)
    }

    /// Moves a live user to deletedItems. She keeps her memberships. False if she is not live.
    pub fn soft_delete(&self, id: Uuid) -> bool {
        let standing = Standing::SoftDeleted(self.clock.now());
        self.move_user(id, |now| now == Standing::Live, standing)
    }

    /// Brings a soft-deleted user back as she was. False if she is not soft-deleted.
    pub fn restore(&self, id: Uuid) -> bool {
        self.move_user(id, |now| matches!(now, Standing::SoftDeleted(_)), Standing::Live)
    }

    /// Removes a user for good, live or soft-deleted, with her memberships and roles.
    pub fn purge(&self, id: Uuid) -> bool {
        let purged = self.move_user(id, |now| now != Standing::Purged, Standing::Purged);
        if purged {
            self.forget(id);
        }
        purged
    }

    fn move_user(&self, id: Uuid, from: impl Fn(Standing) -> bool, to: Standing) -> bool {
        let mut state = self.write();
        let Some((user, standing)) = state.find(id) else {
            return false;
        };
        if !from(standing) {
            return false;
        }
        let record = Record {
            user: user.into_owned(),
            standing: to,
        };
        state.put(id, record);
        state.user_log.push((id, ALL));
        true
    }

    fn forget(&self, id: Uuid) {
        let mut state = self.write();
        let groups: Vec<Uuid> = state.groups.iter().map(|group| group.id).collect();
        for group in groups {
            for relation in [Relation::Members, Relation::Owners] {
                if state.relate(group, relation, id, false) {
                    state.group_log.push((group, GroupChange::Relation(relation, id)));
                }
            }
        }
        state.assignments.retain(|assignment| assignment.principal != id);
    }

    /// Makes the next round carry a tombstone of a user who never was here.
    pub fn add_stray_tombstone(&self, id: Uuid, removal: Removal) {
        let mut state = self.write();
        state.strays.push((id, removal));
        state.user_log.push((id, ALL));
    }

    /// Logs a user as changed although nothing is: the next rounds repeat her.
    pub fn replay_user(&self, id: Uuid) {
        self.write().user_log.push((id, ALL));
    }

    /// Gives a user the licences and plans of this profile, in place of her own.
    pub fn give_profile(&self, id: Uuid, profile: Profile) -> bool {
        let (plans, licenses) = profile::lists(profile, id.as_u64_pair().1);
        self.update_user(id, |user| {
            user.plans = plans;
            user.licenses = licenses;
        })
    }

    // Groups and other objects.

    /// Creates a security group.
    pub fn create_group(&self, name: &str) -> Uuid {
        self.create(None, name, false)
    }

    /// Creates a security group with a chosen id. A group of that id that was deleted begins anew.
    pub fn create_group_with_id(&self, id: Uuid, name: &str) -> Uuid {
        self.create(Some(id), name, false)
    }

    /// Creates a group that roles may be assigned to.
    pub fn create_role_group(&self, name: &str) -> Uuid {
        self.create(None, name, true)
    }

    fn create(&self, id: Option<Uuid>, name: &str, role_assignable: bool) -> Uuid {
        let created = self.clock.now();
        let mut state = self.write();
        let id = id.unwrap_or_else(|| state.birth());
        let group = Group {
            id,
            name: name.into(),
            description: None,
            role_assignable,
            kind: GroupKind::default(),
            created,
            deleted: false,
            members: Roll::default(),
            owners: Roll::default(),
        };
        state.group_log.push((id, GroupChange::Itself));
        if let Some(at) = state.group_index.get(&id).copied() {
            let old = std::mem::replace(&mut state.groups[at], group);
            for relation in [Relation::Members, Relation::Owners] {
                let left = old
                    .roll(relation)
                    .iter()
                    .map(|object| (id, GroupChange::Relation(relation, object)));
                state.group_log.extend(left);
            }
        } else {
            let at = state.groups.len();
            state.group_index.insert(id, at);
            state.groups.push(group);
        }
        id
    }

    /// Makes a group another kind of group.
    pub fn set_group_kind(&self, id: Uuid, kind: GroupKind) -> bool {
        let mut state = self.write();
        let Some(group) = state.group_mut(id) else { return false };
        group.kind = kind;
        state.group_log.push((id, GroupChange::Itself));
        true
    }

    /// Renames a group.
    pub fn rename_group(&self, id: Uuid, name: &str) -> bool {
        let mut state = self.write();
        let Some(group) = state.group_mut(id) else { return false };
        name.clone_into(&mut group.name);
        state.group_log.push((id, GroupChange::Itself));
        true
    }

    /// Deletes a group for good.
    pub fn delete_group(&self, id: Uuid) -> bool {
        let mut state = self.write();
        let Some(group) = state.group_mut(id) else { return false };
        group.deleted = true;
        state.group_log.push((id, GroupChange::Itself));
        state.assignments.retain(|assignment| assignment.principal != id);
        drop(state);
        self.forget(id);
        true
    }

    /// Deletes a group and leaves its role assignments: they are still listed, with the group for their principal.
    pub fn orphan_group(&self, id: Uuid) -> bool {
        let held: Vec<_> = {
            let state = self.read();
            let held = state.assignments.iter().filter(|held| held.principal == id);
            held.cloned().collect()
        };
        let deleted = self.delete_group(id);
        self.write().assignments.extend(held);
        deleted
    }

    /// The ids of the groups, in the order of creation.
    #[must_use]
    pub fn group_ids(&self) -> Vec<Uuid> {
        self.read()
            .groups
            .iter()
            .filter(|group| !group.deleted)
            .map(|group| group.id)
            .collect()
    }

    /// The direct members of a group, soft-deleted users included; none if there is no such group.
    #[must_use]
    pub fn members(&self, group: Uuid) -> Option<Vec<Uuid>> {
        self.read().group(group).map(|group| group.members.iter().collect())
    }

    /// The owners of a group; none if there is no such group.
    #[must_use]
    pub fn owners(&self, group: Uuid) -> Option<Vec<Uuid>> {
        self.read().group(group).map(|group| group.owners.iter().collect())
    }

    /// Makes a user, group, device or service principal a member. False if either is unknown or nothing changed.
    pub fn add_member(&self, group: Uuid, object: Uuid) -> bool {
        self.relate(group, Relation::Members, [object], true) == 1
    }

    /// Makes many objects members at once; how many were not before.
    pub fn add_members(&self, group: Uuid, objects: impl IntoIterator<Item = Uuid>) -> usize {
        self.relate(group, Relation::Members, objects, true)
    }

    /// Takes a member out.
    pub fn remove_member(&self, group: Uuid, object: Uuid) -> bool {
        self.relate(group, Relation::Members, [object], false) == 1
    }

    /// Makes a user or service principal an owner.
    pub fn add_owner(&self, group: Uuid, object: Uuid) -> bool {
        self.relate(group, Relation::Owners, [object], true) == 1
    }

    /// Takes an owner out.
    pub fn remove_owner(&self, group: Uuid, object: Uuid) -> bool {
        self.relate(group, Relation::Owners, [object], false) == 1
    }

    fn relate(&self, group: Uuid, relation: Relation, objects: impl IntoIterator<Item = Uuid>, join: bool) -> usize {
        let mut state = self.write();
        let mut changed = 0;
        for object in objects {
            if state.odata_type(object).is_none() || state.standing(object) == Some(Standing::Purged) {
                continue;
            }
            if state.relate(group, relation, object, join) {
                state.group_log.push((group, GroupChange::Relation(relation, object)));
                changed += 1;
            }
        }
        changed
    }

    /// Adds a device, to be a member of something.
    pub fn add_device(&self, name: &str) -> Uuid {
        let mut state = self.write();
        let id = state.birth();
        state.objects.insert(id, Object::Device { name: name.into() });
        id
    }

    /// Adds a service principal; its object id and its application id.
    pub fn add_service_principal(&self, name: &str) -> (Uuid, Uuid) {
        let mut state = self.write();
        let (id, app_id) = (state.birth(), state.birth());
        state.objects.insert(
            id,
            Object::ServicePrincipal {
                name: name.into(),
                app_id,
            },
        );
        (id, app_id)
    }

    // Tokens.

    /// Kills every delta and page token handed out so far; using one answers in this shape from now on.
    pub fn expire_tokens(&self, death: TokenDeath) {
        let mut state = self.write();
        state.generation += 1;
        state.page_generation += 1;
        state.death = death;
    }

    /// Kills every page token handed out so far, and no delta token: `Directory_ExpiredPageToken`.
    pub fn expire_page_tokens(&self) {
        self.write().page_generation += 1;
    }

    /// How a token that has outlived its time answers from now on.
    pub fn set_token_death(&self, death: TokenDeath) {
        self.write().death = death;
    }
}
