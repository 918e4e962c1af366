//! Nested groups, requested upwards from a user's direct groups (rules.md, section 9): a security group may have too
//! many members to wait for, but a user is in few groups. The climb is bounded in levels and in groups. What the bounds
//! or a failure leave unasked is unknown, and the earlier knowledge counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use crate::domain::feed::{Asked, Listed};
use crate::graph::{Graph, GraphError};
use crate::sync::Failure;

/// The maximum number of levels.
const MOST_LEVELS: usize = 3;

/// The maximum number of groups requested in one call of the Graph edge.
const MOST_GROUPS: usize = 40;

/// A user's membership in a group through other groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sync) enum NestedMembership {
    /// A member through these groups, innermost first.
    Inside(Vec<Uuid>),
    Outside,
    /// Not everything was asked.
    Unknown,
}

/// The direct parent groups found for groups.
#[derive(Debug, Default)]
pub(in crate::sync) struct ParentGroups {
    parents: BTreeMap<Uuid, Asked<Listed<Uuid>>>,
    /// Those already stored in the mirror.
    stored: BTreeSet<Uuid>,
    /// A request failed: it may succeed another time.
    pub has_failed: bool,
}

impl ParentGroups {
    /// Requests the parent groups of some groups.
    pub async fn of(graph: &Graph, groups: &[Uuid]) -> Result<Self, Failure> {
        let mut known = Self::default();
        if !groups.is_empty() {
            known.ask(graph, groups).await?;
        }
        Ok(known)
    }

    /// Whether a group was answered.
    pub fn has(&self, group: Uuid) -> bool {
        self.parents.contains_key(&group)
    }

    /// Requests the parent groups of some groups. Returns whether the directory could be asked.
    async fn ask(&mut self, graph: &Graph, groups: &[Uuid]) -> Result<bool, Failure> {
        let answers = match graph.groups_of_groups(groups).await {
            Ok(answers) => answers,
            Err(error) => {
                Failure::unless_directory(error)?;
                self.has_failed = true;
                return Ok(false);
            }
        };
        for (group, answer) in groups.iter().zip(answers) {
            match answer {
                Ok(parents) => {
                    self.has_failed |= parents.value.unreadable > 0;
                    self.parents.insert(*group, parents);
                }
                // A group deleted meanwhile is in no other. Nothing about it is stored.
                Err(GraphError::NotFound { .. }) => {
                    self.parents.insert(*group, Asked::default());
                }
                Err(_) => self.has_failed = true,
            }
        }
        Ok(true)
    }

    /// The groups that were requested and are within `root`.
    pub fn groups_within(&self, root: Uuid) -> impl Iterator<Item = Uuid> {
        self.parents
            .keys()
            .filter(move |group| matches!(self.place(root, &[**group]), NestedMembership::Inside(_)))
            .copied()
    }

    /// What the mirror does not have yet: each group, with its parent groups.
    pub fn to_store(&self) -> impl Iterator<Item = (Uuid, &Asked<Listed<Uuid>>)> {
        let new = self.parents.iter().filter(|(group, _)| !self.stored.contains(group));
        new.map(|(group, parents)| (*group, parents))
    }

    /// Marks everything as stored in the mirror.
    pub fn note_stored(&mut self) {
        self.stored = self.parents.keys().copied().collect();
    }

    /// The membership in `root` of a user with these direct groups.
    pub fn place(&self, root: Uuid, direct: &[Uuid]) -> NestedMembership {
        match self.search(root, direct) {
            Ok(path) => NestedMembership::Inside(path),
            Err(open) if open.is_empty() => NestedMembership::Outside,
            Err(_) => NestedMembership::Unknown,
        }
    }

    /// The shortest path up to `root`, otherwise the groups on the path whose parent groups are not all known.
    fn search(&self, root: Uuid, direct: &[Uuid]) -> Result<Vec<Uuid>, Vec<Uuid>> {
        let mut from: BTreeMap<Uuid, Option<Uuid>> = direct.iter().map(|group| (*group, None)).collect();
        let mut queue: VecDeque<Uuid> = direct.iter().copied().collect();
        let mut open = Vec::new();
        while let Some(group) = queue.pop_front() {
            let Some(parents) = self.parents.get(&group) else {
                open.push(group);
                continue;
            };
            let Listed {
                items: parents,
                unreadable,
            } = &parents.value;
            if parents.contains(&root) {
                let mut path: Vec<Uuid> = std::iter::successors(Some(group), |at| from[at]).collect();
                path.reverse();
                return Ok(path);
            }
            if *unreadable > 0 {
                open.push(group);
            }
            for parent in parents {
                if !from.contains_key(parent) {
                    from.insert(*parent, Some(group));
                    queue.push_back(*parent);
                }
            }
        }
        Err(open)
    }

    /// Requests parent groups for some users, each given by its direct groups, until every user is placed or a bound is
    /// reached. Groups that are known to lead to `root` come first.
    pub async fn climb(
        &mut self,
        graph: &Graph,
        root: Uuid,
        users: &[&[Uuid]],
        known: &BTreeSet<Uuid>,
    ) -> Result<(), Failure> {
        let mut left = MOST_GROUPS;
        for _ in 0..MOST_LEVELS {
            let mut open: Vec<Uuid> = Vec::new();
            for direct in users {
                let found = self.search(root, direct).err().unwrap_or_default();
                open.extend(
                    found
                        .into_iter()
                        .filter(|group| *group != root && !self.parents.contains_key(group)),
                );
            }
            let mut seen = BTreeSet::new();
            open.retain(|group| seen.insert(*group));
            open.sort_by_key(|group| !known.contains(group));
            open.truncate(left);
            if open.is_empty() {
                break;
            }
            left -= open.len();
            if !self.ask(graph, &open).await? {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feed::Moment;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Groups with their parent groups, of which 0 stands for one that cannot be read.
    fn ladder(rungs: &[(u128, &[u128])]) -> ParentGroups {
        let rung = |(group, parents): &(u128, &[u128])| {
            let (unreadable, readable): (Vec<_>, Vec<_>) = parents.iter().partition(|parent| **parent == 0);
            let value = Listed {
                items: readable.into_iter().map(|parent: &u128| id(*parent)).collect(),
                unreadable: unreadable.len(),
            };
            (id(*group), Asked { at: Moment(1), value })
        };
        ParentGroups {
            parents: rungs.iter().map(rung).collect(),
            ..ParentGroups::default()
        }
    }

    #[test]
    fn somebody_is_placed_by_the_shortest_way_and_never_by_what_was_not_asked() {
        let root = id(9);
        let all = ladder(&[(1, &[2, 3]), (2, &[4]), (3, &[9]), (4, &[9]), (5, &[5, 6]), (6, &[5])]);
        assert_eq!(all.place(root, &[id(1)]), NestedMembership::Inside(vec![id(1), id(3)]));
        assert_eq!(
            all.place(root, &[id(5), id(2)]),
            NestedMembership::Inside(vec![id(2), id(4)])
        );
        assert_eq!(
            all.place(root, &[id(5)]),
            NestedMembership::Outside,
            "a ring leads nowhere"
        );
        assert_eq!(all.place(root, &[]), NestedMembership::Outside);
        assert_eq!(all.place(root, &[id(5), id(7)]), NestedMembership::Unknown);
        assert_eq!(all.groups_within(root).collect::<Vec<_>>(), [1, 2, 3, 4].map(id));
        assert_eq!(
            all.place(root, &[id(7), id(3)]),
            NestedMembership::Inside(vec![id(3)]),
            "one way is enough"
        );
        let in_part = ladder(&[(1, &[0, 2]), (2, &[9]), (3, &[0, 4]), (4, &[])]);
        let inside = NestedMembership::Inside(vec![id(1), id(2)]);
        assert_eq!(in_part.place(root, &[id(1)]), inside, "what can be read counts");
        assert_eq!(
            in_part.place(root, &[id(3)]),
            NestedMembership::Unknown,
            "the parent that cannot be read may lead there"
        );
    }
}
