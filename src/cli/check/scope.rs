//! The scope in force, why, and what a first round costs in it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::super::CliError;
use super::{Mark, Report};
use crate::config::Config;
use crate::domain::scope::{Scope, ScopeSetting, needs_everybody};
use crate::graph::Graph;
use crate::sync::records::Records;

/// The entries in a page of a listing.
const PAGE: u64 = 999;

/// The requests of a round beside the listings: the links of the changes, roles, products, deleted users, owners, the
/// number of users; and what they cost.
const OTHERS: Cost = Cost {
    requests: 10,
    units: 12,
};

/// What a page costs in resource units: users with a selection, and members of a group.
const UNITS_OF_USERS: u64 = 1;
const UNITS_OF_MEMBERS: u64 = 2;

/// The cost of some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    requests: u64,
    units: u64,
}

impl Cost {
    fn add(&mut self, requests: u64, units_each: u64) {
        self.requests += requests;
        self.units += requests * units_each;
    }

    fn sentence(self, of: &str) -> String {
        format!(
            "a first round of {of} sends about {} requests, which cost about {} resource units",
            self.requests, self.units
        )
    }
}

/// The cost of a round that lists a number of users.
fn of_tenant(users: u64) -> Cost {
    let mut cost = OTHERS;
    cost.add(pages(users), UNITS_OF_USERS);
    cost
}

/// The cost of a round over groups with these numbers of members: each is listed twice, and has a link of its changes.
fn of_groups(members: &[u64]) -> Cost {
    let mut cost = OTHERS;
    for members in members {
        // The first attempt to list users is without the index.
        cost.add(2 * pages(*members) + 1, UNITS_OF_MEMBERS);
        cost.add(2, 1);
    }
    cost
}

fn pages(entries: u64) -> u64 {
    entries.div_ceil(PAGE).max(1)
}

pub(super) async fn check(config: &Config, graph: &Graph, report: &mut Report) {
    let scope = Scope::of(config.sync.scope, config.environments.iter());
    let open = config
        .environments
        .iter()
        .find(|environment| needs_everybody(environment));
    let why = match (scope, config.sync.scope, open) {
        (_, ScopeSetting::Tenant, _) => "the mirror holds every user, since sync.scope says so".to_owned(),
        (Scope::Tenant, _, Some(open)) => format!(
            "the mirror holds every user, since environment {} has no security group",
            open.name
        ),
        _ => "the mirror holds only the people around the security groups, since no environment needs everyone"
            .to_owned(),
    };
    let cost = match scope {
        Scope::Tenant => match graph.users_count().await {
            Ok(Some(users)) => of_tenant(users).sentence(&format!("{users} users")),
            _ => "the directory does not count its users".to_owned(),
        },
        Scope::Groups => {
            let groups: BTreeSet<Uuid> = config
                .environments
                .iter()
                .filter_map(|one| one.security_group)
                .collect();
            let mut members = Vec::new();
            for group in groups {
                members.extend(graph.group_members_count(group).await.ok().flatten());
            }
            let all: u64 = members.iter().sum();
            of_groups(&members).sentence(&format!("{all} members"))
        }
    };
    report.add("scope", Mark::Ok, format!("{scope}: {why}; {cost}"), 0);
}

/// When the mirror is verified.
pub(super) async fn check_verification(config: &Config, records: &Records, report: &mut Report) {
    let detail = match records.next_verification().await {
        _ if config.sync.verifications().is_none() => "never, since sync.verify_interval is 0".to_owned(),
        Ok(Some(at)) => format!(
            "the first run after {} verifies the mirror",
            at.format("%Y-%m-%d %H:%M UTC")
        ),
        Ok(None) => "the mirror is verified for the first time after it has been read".to_owned(),
        Err(error) => {
            let error = CliError::from(error);
            return report.add("verification", Mark::Failed, error.to_string(), error.exit());
        }
    };
    report.add("verification", Mark::Ok, detail, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_first_round_follows_the_scope() {
        for (cost, requests) in [
            (of_tenant(0), 11),
            (of_tenant(20_000), 31),
            (of_groups(&[]), 10),
            (of_groups(&[2_000]), 19),
            (of_groups(&[2_000, 10]), 24),
        ] {
            assert_eq!(cost.requests, requests);
            assert!(cost.units >= cost.requests);
        }
    }
}
