//! The rules as tables: a line per cell of rules.md. `inputs` is section 1, `gates` section 2, `outcomes` sections 3
//! and 4, `modes` section 5 and what depends on time, `types` section 6, `properties` what holds for everybody,
//! `published` the table that `rollcall rules` prints.

mod gates;
mod inputs;
mod modes;
mod outcomes;
pub(crate) mod properties;
mod published;
mod types;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::situation::{GROUP, PLAN, Situation as Stage, USER};
use super::{AdminRoles, Client, Entitlement, GroupRelation, Status, Trigger, Verdict};
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

/// Rows that no gate after the fifth ever sees.
const UNTOUCHED: &str = "
    application | leave application_user | refuse application_user | leave application_user
    stub        | leave stub_user        | refuse stub_user        | refuse stub_user
    reserved    | leave reserved_user    | refuse reserved_user    | refuse reserved_user
    deleted     | leave row_deleted      | refuse row_deleted      | refuse row_deleted";

/// What becomes of a licensed user whom no gate stops.
const PASSED: &str = "
    none        | create                 | create         | create
    enabled     | keep                   | keep           | keep
    by_sync     | enable                 | enable         | enable
    by_hand     | leave disabled_by_hand | enable         | enable
    on_hold     | leave on_hold          | refuse on_hold | refuse on_hold
    mode_4      | keep                   | keep           | keep
    mode_4_off  | enable                 | enable         | enable";

/// What counts on demand only.
const RESTRICTED: &str = "
    none        | skip on_demand_only    | create         | create
    enabled     | keep                   | keep           | keep
    by_sync     | leave on_demand_only   | enable         | enable
    by_hand     | leave disabled_by_hand | enable         | enable
    on_hold     | leave on_hold          | refuse on_hold | refuse on_hold
    mode_4      | keep                   | keep           | keep
    mode_4_off  | enable                 | enable         | enable";

/// States that fare like another one in every table.
const ALIKE: [(&str, &str); 6] = [
    ("mode_1", "enabled"),
    ("mode_2", "enabled"),
    ("by_sql", "by_hand"),
    ("application_off", "application"),
    ("delegated", "reserved"),
    ("system", "reserved"),
];

/// The states a row can be in, by the names that the tables use.
const STATES: [&str; 17] = [
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
    "mode_1",
    "mode_2",
    "by_sql",
    "application_off",
    "delegated",
    "system",
];

fn row(state: &str) -> Option<SystemUser> {
    let bound = SystemUser::example(Some(USER));
    let unbound = SystemUser::example(None);
    let mode_4 = SystemUser {
        accessmode: 4,
        accessmode_origin: "customer".to_owned(),
        ..bound.clone()
    };
    let application = SystemUser {
        applicationid: Some(Uuid::from_u128(0xa9)),
        accessmode: 4,
        ..unbound.clone()
    };
    let reserved = |name: &str, accessmode| SystemUser {
        domainname: Some(name.to_owned()),
        accessmode,
        ..unbound.clone()
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
        "mode_1" => SystemUser {
            accessmode: 1,
            setupuser: true,
            ..bound
        },
        "mode_2" => SystemUser {
            accessmode: 2,
            accessmode_origin: "customer".to_owned(),
            ..bound
        },
        // Plain SQL by another program: the database's user disabled it.
        "by_sql" => bound.disabled("reporting", "disabled_by_hand"),
        "application" => application,
        "application_off" => application.disabled("somebody", "disabled_by_hand"),
        "reserved" => reserved("crmoln@microsoft.com", 3),
        "delegated" => reserved("crmoln2@microsoft.com", 5),
        "system" => reserved("SYSTEM", 0),
        "stub" => SystemUser {
            isstub: true,
            ..unbound.disabled("sync", "stub_user")
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
        let like = ALIKE.iter().find(|(one, _)| *one == state).map(|(_, other)| *other);
        let expected = expected.get(state).or_else(|| expected.get(like?));
        let (background, on_demand, refresh) = *expected.unwrap_or_else(|| panic!("{what}: no line for {state}"));
        let stage = stage.clone().with(|stage| stage.row = row(state));
        let mut cell = |trigger: Trigger, expected: &str| {
            let found = stage.outcome(trigger);
            if found != expected {
                wrong.push(format!("{what}, {state}, {trigger:?}: {found}, expected {expected}"));
            }
        };
        cell(Trigger::Background, background);
        for trigger in ON_DEMAND {
            // Section 6: the web is closed to a non-interactive user who would get in.
            let closed = trigger == Trigger::Access(Client::Interactive)
                && state.starts_with("mode_4")
                && matches!(on_demand, "keep" | "enable" | "refuse non_interactive_cap");
            cell(trigger, if closed { "refuse non_interactive" } else { on_demand });
        }
        cell(Trigger::Refresh, refresh);
        cell(Trigger::Diagnostics, refresh);
        // Import is additive (section 4): whoever has a row keeps it as it is.
        cell(Trigger::Import, if state == "none" { on_demand } else { "leave" });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
