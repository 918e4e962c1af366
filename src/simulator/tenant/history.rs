//! What the tenant was, for answers that lag behind the feeds: replicas and indexes tell the directory as of an earlier
//! moment.

use std::ops::Deref;
use std::sync::RwLockReadGuard;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::group::Relation;
use super::state::{Record, State};

/// What was before a change.
#[derive(Clone)]
pub(crate) enum Before {
    /// The user's record, if anything about her was held.
    User(Uuid, Option<Box<Record>>),
    /// An object's number in a group's relation, if it stood there.
    Relation(Uuid, Relation, Uuid, Option<u64>),
}

/// The tenant as it is, or as it was.
pub(crate) enum View<'a> {
    Now(RwLockReadGuard<'a, State>),
    Earlier(Box<State>),
}

impl Deref for View<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        match self {
            Self::Now(state) => state,
            Self::Earlier(state) => state,
        }
    }
}

impl State {
    /// Replaces a user's record.
    pub(crate) fn put(&mut self, id: Uuid, record: Record) {
        let before = self.overrides.insert(id, record).map(Box::new);
        self.history.push((self.now, Before::User(id, before)));
    }

    /// Lets an object join a group or leave it. Whether that changed anything.
    pub(crate) fn relate(&mut self, group: Uuid, relation: Relation, object: Uuid, join: bool) -> bool {
        let Some(group) = self.group_mut(group) else {
            return false;
        };
        let (id, roll) = (group.id, group.roll_mut(relation));
        let before = roll.number(object);
        let changed = if join { roll.join(object) } else { roll.leave(object) };
        if changed {
            let before = Before::Relation(id, relation, object, before);
            self.history.push((self.now, before));
        }
        changed
    }

    /// The same tenant without what happened after a moment. Its positions are those of the tenant as it is, so that a
    /// listing goes on where it was.
    pub(crate) fn as_of(&self, moment: DateTime<Utc>) -> Option<Self> {
        self.history.last().filter(|(at, _)| *at > moment)?;
        let mut state = self.clone();
        while let Some((_, before)) = state.history.pop_if(|(at, _)| *at > moment) {
            match before {
                Before::User(id, Some(record)) => {
                    state.overrides.insert(id, *record);
                }
                Before::User(id, None) => {
                    state.overrides.remove(&id);
                }
                Before::Relation(group, relation, object, number) => {
                    if let Some(group) = state.group_mut(group) {
                        group.roll_mut(relation).put(object, number);
                    }
                }
            }
        }
        Some(state)
    }
}
