//! The state of a look-up of some users.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::environment::Environment;
use crate::domain::feed::{Asked, Assignments, Listed, Moment, Principal};
use crate::graph::Graph;
use crate::plan::Unasked;
use crate::sync::pull::climb::{NestedMembership, ParentGroups};
use crate::sync::pull::fresh::LookUpResult;
use crate::sync::pull::take_in::UserFacts;

/// The state of one user in a look-up.
pub(super) enum SearchState {
    Id(Uuid),
    Name(String),
    /// The directory has no user with this id, as of a moment.
    NoSuchId(Asked<Uuid>),
    /// The directory has no user with this name, or did not answer.
    NoSuchName(String, Option<String>),
    Settled(LookUpResult),
}

impl SearchState {
    /// The key to request from the directory for a user who is not found yet.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Id(id) => Some(id.to_string()),
            Self::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The state after the directory has no such user.
    pub(super) fn not_found(&self, at: Moment) -> Self {
        match self {
            Self::Id(id) => Self::NoSuchId(Asked { at, value: *id }),
            Self::Name(name) => Self::NoSuchName(name.clone(), None),
            _ => Self::Settled(LookUpResult::Nobody),
        }
    }

    /// The state after the directory gave no answer.
    pub(super) fn unanswered(&self, problem: String) -> Self {
        match self {
            Self::Id(id) => Self::Settled(LookUpResult::Unanswered(Some(*id), problem)),
            Self::Name(name) => Self::NoSuchName(name.clone(), Some(problem)),
            _ => Self::Settled(LookUpResult::Nobody),
        }
    }
}

/// A look-up in progress.
pub(in crate::sync::pull) struct Search<'a> {
    pub(super) graph: &'a Graph,
    /// The environment whose security group matters, if any.
    pub(super) environment: Option<&'a Environment>,
    pub(super) sought: Vec<SearchState>,
    /// Whether the holders of administrator roles have been requested; and the holders, if they could be read.
    pub(super) roles_asked: bool,
    pub(super) roles: Option<Assignments>,
    /// Whether the security group's owners have been requested; and the owners, if they could be read.
    pub(super) owners_asked: bool,
    pub(super) owners: Option<Asked<Listed<Principal>>>,
    /// What could not be read about the security group.
    pub(super) of_group: Unasked,
    /// Nested groups, where they count.
    pub(in crate::sync::pull) ladder: ParentGroups,
    pub(super) outage: Option<String>,
    /// Until when the mirror keeps the users for having been looked up, in group scope.
    pub(in crate::sync::pull) guests_until: Option<DateTime<Utc>>,
    /// An answer counts even if a page that was stored meanwhile may have known more.
    pub(in crate::sync::pull) is_last: bool,
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
            guests_until: None,
            is_last: false,
        }
    }

    /// The users not found yet, each with the key to request.
    pub(super) fn open(&self) -> Vec<(usize, String)> {
        let sought = self.sought.iter().enumerate();
        sought.filter_map(|(at, sought)| Some((at, sought.key()?))).collect()
    }

    /// Gives up on the remaining users: the directory is unavailable.
    pub(super) fn give_up(&mut self, open: &[(usize, String)], problem: &str) {
        for (at, _) in open {
            self.sought[*at] = self.sought[*at].unanswered(problem.to_owned());
        }
    }

    /// Users whom the directory does not have, each with its position in the request.
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

    /// The security group, where nested members count.
    pub(super) fn nesting_group(&self) -> Option<Uuid> {
        let environment = self.environment?;
        environment.security_group.filter(|_| environment.counts_nested())
    }

    /// What is unknown about a user with these facts.
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
