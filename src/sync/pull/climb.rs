//! Groups in groups, asked for upwards from somebody's direct groups (rules.md, section 9): a security group may have more
//! members than anybody can wait for, a user is in few groups. Bounded in levels and in groups; where the bounds or a
//! failure leave something unasked, it is not known, and what was known before counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use crate::domain::feed::Asked;
use crate::graph::{Graph, GraphError};
use crate::sync::Failure;

/// How far up is asked.
const MOST_LEVELS: usize = 3;

/// How many groups are asked about for one call of the Graph edge.
const MOST_GROUPS: usize = 40;

/// How somebody stands to a group by way of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sync) enum NestedMembership {
    /// Inside, through these groups, the inmost first.
    Inside(Vec<Uuid>),
    Outside,
    /// Not everything was asked.
    Unknown,
}

/// The groups that groups were found to be direct members of.
#[derive(Debug, Default)]
pub(in crate::sync) struct ParentGroups {
    parents: BTreeMap<Uuid, Asked<Vec<Uuid>>>,
    /// Those of them that the mirror has.
    stored: BTreeSet<Uuid>,
    /// A question was not answered: another time it may be.
    pub has_failed: bool,
}

impl ParentGroups {
    /// The groups that were asked about and are inside `root`.
    pub fn groups_within(&self, root: Uuid) -> impl Iterator<Item = Uuid> {
        self.parents
            .keys()
            .filter(move |group| matches!(self.place(root, &[**group]), NestedMembership::Inside(_)))
            .copied()
    }

    /// What the mirror does not have yet: each group, with the groups it is in.
    pub fn to_store(&self) -> impl Iterator<Item = (Uuid, &Asked<Vec<Uuid>>)> {
        let new = self.parents.iter().filter(|(group, _)| !self.stored.contains(group));
        new.map(|(group, parents)| (*group, parents))
    }

    /// The mirror has all of it.
    pub fn note_stored(&mut self) {
        self.stored = self.parents.keys().copied().collect();
    }

    /// How somebody with these direct groups stands to `root`.
    pub fn place(&self, root: Uuid, direct: &[Uuid]) -> NestedMembership {
        match self.search(root, direct) {
            Ok(path) => NestedMembership::Inside(path),
            Err(open) if open.is_empty() => NestedMembership::Outside,
            Err(_) => NestedMembership::Unknown,
        }
    }

    /// The shortest way up to `root`, or else the groups on the way that have not been asked about.
    fn search(&self, root: Uuid, direct: &[Uuid]) -> Result<Vec<Uuid>, Vec<Uuid>> {
        let mut from: BTreeMap<Uuid, Option<Uuid>> = direct.iter().map(|group| (*group, None)).collect();
        let mut queue: VecDeque<Uuid> = direct.iter().copied().collect();
        let mut open = Vec::new();
        while let Some(group) = queue.pop_front() {
            let Some(parents) = self.parents.get(&group) else {
                open.push(group);
                continue;
            };
            if parents.value.contains(&root) {
                let mut path: Vec<Uuid> = std::iter::successors(Some(group), |at| from[at]).collect();
                path.reverse();
                return Ok(path);
            }
            for parent in &parents.value {
                if !from.contains_key(parent) {
                    from.insert(*parent, Some(group));
                    queue.push_back(*parent);
                }
            }
        }
        Err(open)
    }

    /// Asks upwards for some users, each by its direct groups, until everybody is placed or a bound is reached. Groups
    /// that are known to lead to `root` are asked about first.
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
                open.extend(found.into_iter().filter(|group| *group != root));
            }
            let mut seen = BTreeSet::new();
            open.retain(|group| seen.insert(*group));
            open.sort_by_key(|group| !known.contains(group));
            open.truncate(left);
            if open.is_empty() {
                break;
            }
            left -= open.len();
            let answers = match graph.groups_of_groups(&open).await {
                Ok(answers) => answers,
                Err(error) => {
                    Failure::unless_directory(error)?;
                    self.has_failed = true;
                    break;
                }
            };
            for (group, answer) in open.into_iter().zip(answers) {
                match answer {
                    Ok(parents) => {
                        self.parents.insert(group, parents);
                    }
                    // A group that is gone meanwhile is in no other. Nothing is written of it.
                    Err(GraphError::NotFound { .. }) => {
                        self.parents.insert(group, Asked::default());
                    }
                    Err(_) => self.has_failed = true,
                }
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

    fn ladder(rungs: &[(u128, &[u128])]) -> ParentGroups {
        let rung = |(group, parents): &(u128, &[u128])| {
            let parents = parents.iter().map(|parent| id(*parent)).collect();
            let at = Moment(1);
            (id(*group), Asked { at, value: parents })
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
    }
}
