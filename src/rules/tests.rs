//! The rules as tables: a line per cell of rules.md. `gates` is section 2, `outcomes` sections 3 and 4,
//! `modes` section 5 and what depends on time, `properties` what holds for everybody.

mod gates;
mod modes;
mod outcomes;
mod properties;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::situation::{GROUP, PLAN, Situation as Stage, USER};
use super::{AdminRoles, Client, Entitlement, Gate, GroupRelation, RULES, Status, Trigger, Verdict};
use crate::domain::directory_user::DirectoryUser;
use crate::domain::environment::{Environment, Kind};
use crate::domain::licence::Licences;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;

/// The four ways to ask on demand; the interactive one differs for non-interactive users only.
const ON_DEMAND: [Trigger; 4] = [
    Trigger::Access(Client::Api),
    Trigger::Access(Client::Interactive),
    Trigger::Api,
    Trigger::AdminAdd,
];

const GLOBAL: AdminRoles = AdminRoles {
    global: true,
    power_platform: false,
    dynamics_365: false,
};
const POWER_PLATFORM: AdminRoles = AdminRoles {
    global: false,
    power_platform: true,
    dynamics_365: false,
};
const DYNAMICS_365: AdminRoles = AdminRoles {
    global: false,
    power_platform: false,
    dynamics_365: true,
};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

/// Something that happens to a situation.
type Event = fn(&mut Stage);

impl Stage {
    fn user(&mut self) -> &mut DirectoryUser {
        self.user.as_mut().unwrap()
    }

    /// `outcome` or `outcome code`.
    fn outcome(&self, trigger: Trigger) -> String {
        let verdict = self.judge(trigger);
        match verdict.code {
            Some(code) => format!("{} {}", verdict.outcome.as_str(), code.as_str()),
            None => verdict.outcome.as_str().to_owned(),
        }
    }

    fn entitlement(&self) -> Entitlement {
        self.judge(Trigger::Background).entitlement
    }

    /// The codes of all checks that failed.
    fn failed(&self, trigger: Trigger) -> Vec<&'static str> {
        let failed = |check: &&super::Check| check.status == Status::Fail;
        self.judge(trigger)
            .checks
            .iter()
            .filter(failed)
            .filter_map(|check| check.code.map(Code::as_str))
            .collect()
    }
}

/// The states a row can be in, by the names that the tables use.
const STATES: [&str; 11] = [
    "none",
    "enabled",
    "by_sync",
    "by_hand",
    "on_hold",
    "mode_4",
    "mode_4_off",
    "application",
    "stub",
    "reserved",
    "deleted",
];

fn row(state: &str) -> Option<SystemUser> {
    let bound = SystemUser::example(Some(USER));
    let unbound = SystemUser::example(None);
    let mode_4 = SystemUser {
        accessmode: 4,
        accessmode_origin: "customer".to_owned(),
        ..bound.clone()
    };
    Some(match state {
        "none" => return None,
        "enabled" => bound,
        "by_sync" => bound.disabled("sync", "unlicensed"),
        "by_hand" => bound.disabled("somebody", "disabled_by_hand"),
        "on_hold" => SystemUser {
            onhold: true,
            ..bound.disabled("somebody", "on_hold")
        },
        "mode_4" => mode_4,
        "mode_4_off" => mode_4.disabled("sync", "non_interactive_cap"),
        "application" => SystemUser {
            applicationid: Some(Uuid::from_u128(0xa9)),
            accessmode: 4,
            ..unbound
        },
        "stub" => SystemUser {
            isstub: true,
            ..unbound.disabled("sync", "stub_user")
        },
        "reserved" => SystemUser {
            domainname: Some("crmoln@microsoft.com".to_owned()),
            accessmode: 3,
            ..unbound
        },
        "deleted" => SystemUser {
            deletedstate: 1,
            azurestate: 2,
            ..bound.disabled("sync", "directory_deleted")
        },
        other => panic!("no such state: {other}"),
    })
}

/// Checks a table with the columns row states, background, on demand, refresh and diagnostics. A later line wins
/// over an earlier one; `*` is every state.
#[track_caller]
fn check(what: &str, stage: &Stage, table: &str) {
    let mut expected = std::collections::BTreeMap::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [states, background, on_demand, refresh] = cells[..] else {
            panic!("{what}: {line}")
        };
        let states: Vec<&str> = if states == "*" {
            STATES.to_vec()
        } else {
            states.split(',').map(str::trim).collect()
        };
        for state in states {
            expected.insert(state, (background, on_demand, refresh));
        }
    }
    let mut wrong = Vec::new();
    for state in STATES {
        let (background, on_demand, refresh) = expected[state];
        let stage = stage.clone().with(|stage| stage.row = row(state));
        let mut cell = |trigger: Trigger, expected: &str| {
            let found = stage.outcome(trigger);
            if found != expected {
                wrong.push(format!("{what}, {state}, {trigger:?}: {found}, expected {expected}"));
            }
        };
        cell(Trigger::Background, background);
        for trigger in ON_DEMAND {
            let is_web = trigger == Trigger::Access(Client::Interactive);
            if !(is_web && state.starts_with("mode_4")) {
                cell(trigger, on_demand);
            }
        }
        cell(Trigger::Refresh, refresh);
        cell(Trigger::Diagnostics, refresh);
        // Import is additive (section 4): whoever has a row keeps it as it is.
        cell(Trigger::Import, if state == "none" { on_demand } else { "leave" });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
