//! Who is being looked up, and how far that is.

use uuid::Uuid;

use crate::domain::environment::Environment;
use crate::domain::feed::{Asked, Assignments, Listed, Moment, Principal};
use crate::graph::Graph;
use crate::plan::Unasked;
use crate::sync::pull::climb::{NestedMembership, ParentGroups};
use crate::sync::pull::fresh::LookUpResult;
use crate::sync::pull::take_in::UserFacts;

/// Somebody who is being looked up.
pub(super) enum SearchState {
    Id(Uuid),
    Name(String),
    /// The directory has nobody of that id, as of a moment.
    NoSuchId(Asked<Uuid>),
    /// The directory has nobody of that name, or did not answer.
    NoSuchName(String, Option<String>),
    Settled(LookUpResult),
}

impl SearchState {
    /// How the directory is asked for somebody who is still to be found.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Id(id) => Some(id.to_string()),
            Self::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The directory has nobody like that.
    pub(super) fn not_found(&self, at: Moment) -> Self {
        match self {
            Self::Id(id) => Self::NoSuchId(Asked { at, value: *id }),
            Self::Name(name) => Self::NoSuchName(name.clone(), None),
            _ => Self::Settled(LookUpResult::Nobody),
        }
    }

    /// The directory gave no answer.
    pub(super) fn unanswered(&self, problem: String) -> Self {
        match self {
            Self::Id(id) => Self::Settled(LookUpResult::Unanswered(Some(*id), problem)),
            Self::Name(name) => Self::NoSuchName(name.clone(), Some(problem)),
            _ => Self::Settled(LookUpResult::Nobody),
        }
    }
}

/// A look-up under way.
pub(super) struct Search<'a> {
    pub(super) graph: &'a Graph,
    /// Whose security group matters, if any environment's.
    pub(super) environment: Option<&'a Environment>,
    pub(super) sought: Vec<SearchState>,
    /// Whether it has been asked who holds an administrator role; and who does, where that could be read.
    pub(super) roles_asked: bool,
    pub(super) roles: Option<Assignments>,
    /// Whether the security group's owners have been asked for; and who they are, where that could be read.
    pub(super) owners_asked: bool,
    pub(super) owners: Option<Asked<Listed<Principal>>>,
    /// What could not be read of the security group.
    pub(super) of_group: Unasked,
    /// Groups in groups, where they count.
    pub(super) ladder: ParentGroups,
    pub(super) outage: Option<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(graph: &'a Graph, environment: Option<&'a Environment>, sought: Vec<SearchState>) -> Self {
        Self {
            graph,
            environment,
            sought,
            roles_asked: false,
            roles: None,
            owners_asked: false,
            owners: None,
            of_group: Unasked::default(),
            ladder: ParentGroups::default(),
            outage: None,
        }
    }

    /// Whoever is still to be found, and how the directory is asked for them.
    pub(super) fn open(&self) -> Vec<(usize, String)> {
        let sought = self.sought.iter().enumerate();
        sought.filter_map(|(at, sought)| Some((at, sought.key()?))).collect()
    }

    /// Nobody else is asked for: the directory is away.
    pub(super) fn give_up(&mut self, open: &[(usize, String)], problem: &str) {
        for (at, _) in open {
            self.sought[*at] = self.sought[*at].unanswered(problem.to_owned());
        }
    }

    /// Whom the directory does not have, each with a place in what was asked.
    pub(super) fn missing(&self) -> Vec<(usize, Asked<Uuid>)> {
        let missing = self.sought.iter().enumerate().filter_map(|(at, sought)| match sought {
            SearchState::NoSuchId(id) => Some((at, *id)),
            _ => None,
        });
        missing.collect()
    }

    pub(super) fn group(&self) -> Option<Uuid> {
        self.environment.and_then(|environment| environment.security_group)
    }

    /// The security group, where its members through other groups count.
    pub(super) fn nesting_group(&self) -> Option<Uuid> {
        let environment = self.environment?;
        environment.security_group.filter(|_| environment.counts_nested())
    }

    /// What the directory did not say of somebody of whom it said this.
    pub(super) fn unasked(&self, said: &UserFacts) -> Unasked {
        let (groups, in_part) = (&said.groups.value.items, !said.is_whole());
        let place = |root| self.ladder.place(root, groups);
        let nesting = self
            .nesting_group()
            .is_some_and(|root| !groups.contains(&root) && place(root) == NestedMembership::Unknown);
        Unasked {
            roles: self.roles.is_none() || in_part,
            nesting,
            group: self.of_group.group || in_part,
            has_failed: self.of_group.has_failed || in_part || (nesting && self.ladder.has_failed),
            ..self.of_group
        }
    }
}
