//! Groups and who stands in them.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A list of objects in the order they joined. Its numbers never shift, so that a page position stays true while
/// others leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll {
    by_number: BTreeMap<u64, Uuid>,
    numbers: HashMap<Uuid, u64>,
    next: u64,
}

impl Roll {
    /// Whether the object was not there before.
    pub(crate) fn join(&mut self, id: Uuid) -> bool {
        if self.numbers.contains_key(&id) {
            return false;
        }
        self.next += 1;
        self.by_number.insert(self.next, id);
        self.numbers.insert(id, self.next);
        true
    }

    /// Whether the object was there.
    pub(crate) fn leave(&mut self, id: Uuid) -> bool {
        self.numbers
            .remove(&id)
            .is_some_and(|number| self.by_number.remove(&number).is_some())
    }

    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.numbers.contains_key(&id)
    }

    /// The number of an object that is there.
    pub(crate) fn number(&self, id: Uuid) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// Gives an object the number it had, or none.
    pub(crate) fn put(&mut self, id: Uuid, number: Option<u64>) {
        self.leave(id);
        if let Some(number) = number {
            self.by_number.insert(number, id);
            self.numbers.insert(id, number);
        }
    }

    /// Everyone who joined after this number, with their numbers.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, Uuid)> + '_ {
        self.by_number.range(number + 1..).map(|(number, id)| (*number, *id))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.by_number.values().copied()
    }
}

/// The relations of a group that can be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Relation {
    Members,
    Owners,
}

/// What a group is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupKind {
    /// Rights.
    #[default]
    Security,
    /// A team and its mailbox.
    Microsoft365,
    /// Mail only.
    Distribution,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub role_assignable: bool,
    pub kind: GroupKind,
    pub created: DateTime<Utc>,
    pub deleted: bool,
    pub members: Roll,
    pub owners: Roll,
}

impl Group {
    pub(crate) fn roll(&self, relation: Relation) -> &Roll {
        match relation {
            Relation::Members => &self.members,
            Relation::Owners => &self.owners,
        }
    }

    pub(crate) fn roll_mut(&mut self, relation: Relation) -> &mut Roll {
        match relation {
            Relation::Members => &mut self.members,
            Relation::Owners => &mut self.owners,
        }
    }
}

/// What an entry of the group log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupChange {
    /// The group was made, renamed or deleted.
    Itself,
    /// This object joined or left.
    Relation(Relation, Uuid),
}
