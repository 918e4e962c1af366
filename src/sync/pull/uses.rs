//! The groups to read, and what each is read for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::Puller;
use crate::domain::environment::Environment;
use crate::store::{groups, teams};
use crate::sync::{Failure, Settings};

/// The security groups of the environments with the groups nested in them that count, and the groups of teams.
pub(super) struct GroupUses {
    /// The groups nested in each security group, ordered by id.
    pub nested: HashMap<Uuid, Vec<Uuid>>,
    /// The groups that teams follow, each with whether a team follows its owners.
    teams: BTreeMap<Uuid, bool>,
}

impl Puller {
    /// What is known of the groups to read. Reading them may add nested groups.
    pub(super) async fn group_uses(&self) -> Result<GroupUses, Failure> {
        let settings = &self.base.settings;
        let counting = settings.security_groups(Environment::counts_nested);
        let mut db = self.base.store.read().await?;
        let mut nested = groups::nested_groups(&mut db, &counting).await?;
        let teams = teams::groups(&mut db, &settings.names()).await?;
        let roots = settings.security_groups(|_| true).into_iter();
        Ok(GroupUses {
            nested: roots
                .map(|root| (root, nested.remove(&root).unwrap_or_default()))
                .collect(),
            teams: teams.into_iter().collect(),
        })
    }
}

impl GroupUses {
    /// All groups to read.
    pub(super) fn groups(&self) -> BTreeSet<Uuid> {
        let gates = self
            .nested
            .iter()
            .flat_map(|(root, nested)| nested.iter().chain([root]));
        gates.chain(self.teams.keys()).copied().collect()
    }

    /// Whether a group is the security group of an environment.
    pub(super) fn is_root(&self, group: Uuid) -> bool {
        self.nested.contains_key(&group)
    }

    /// Whether a group is read only because it is nested in another one.
    pub(super) fn is_nested(&self, group: Uuid) -> bool {
        !self.is_root(group) && !self.is_of_team(group)
    }

    /// Whether a team follows a group.
    pub(super) fn is_of_team(&self, group: Uuid) -> bool {
        self.teams.contains_key(&group)
    }

    /// Whether somebody needs the owners of a group.
    pub(super) fn needs_owners(&self, group: Uuid) -> bool {
        self.is_root(group) || self.teams.get(&group).is_some_and(|owners| *owners)
    }

    /// The environments whose users a group decides about.
    pub(super) fn environments(&self, settings: &Settings, group: Uuid) -> Vec<String> {
        let concerns = |environment: &&Environment| {
            environment.security_group.is_some_and(|root| {
                let nested = || {
                    self.nested
                        .get(&root)
                        .is_some_and(|it| it.binary_search(&group).is_ok())
                };
                root == group || (environment.counts_nested() && nested())
            })
        };
        let environments = settings.environments.iter().map(|(environment, _)| environment);
        environments
            .filter(concerns)
            .map(|environment| environment.name.clone())
            .collect()
    }

    /// What to do about a group that does not exist.
    fn remedy(&self, group: Uuid) -> &'static str {
        if self.is_root(group) {
            "correct security_group"
        } else if self.is_of_team(group) {
            "delete the team that follows it"
        } else {
            "take it out of its group"
        }
    }

    /// One sentence about a group that does not exist.
    pub(super) fn gone(&self, group: Uuid) -> String {
        let remedy = self.remedy(group);
        let consequence = match (self.is_root(group) || self.is_nested(group), self.is_of_team(group)) {
            (_, false) => "nobody is disabled for it",
            (true, true) => "nobody is disabled for it, and its teams keep their members",
            (false, true) => "its teams keep their members",
        };
        format!("the group {group} does not exist: {remedy}, or restore the group; {consequence}")
    }
}
