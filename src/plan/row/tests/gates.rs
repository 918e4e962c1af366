//! Sections 2 and 4: what each gate writes into rows of every state, and what it leaves to be found.

use super::*;

/// The state in which the row is before.
fn row_of(state: &str) -> Stage {
    Stage::created().with(|stage| {
        let row = stage.row();
        *row = match state {
            "enabled" => return,
            "by_sync" => row.clone().disabled("sync", "unlicensed"),
            "by_hand" => row.clone().disabled("somebody", "disabled_by_hand"),
            _ => SystemUser {
                onhold: true,
                ..row.clone().disabled("somebody", "on_hold")
            },
        };
    })
}

const ENABLES: &str = "isdisabled disabledreason disabled_by";
const NOTHING: [&str; 4] = [""; 4];

/// Gate, what happens, finding, whether columns follow, and what is written beside them into an enabled row, one
/// that the sync disabled, one disabled by hand and one on hold.
type Line = (&'static str, fn(&mut Stage), Option<Code>, bool, [&'static str; 4]);

const TABLE: [Line; 12] = [
    (
        "1",
        |stage| stage.environment.has_database = false,
        None,
        false,
        NOTHING,
    ),
    (
        "2",
        |stage| stage.user.user_principal_name = Some("crmoln@microsoft.com".to_owned()),
        None,
        false,
        NOTHING,
    ),
    (
        "3",
        |stage| stage.row().applicationid = Some(PLAN),
        None,
        false,
        NOTHING,
    ),
    ("4", |stage| stage.row().isstub = true, None, false, NOTHING),
    ("5", |stage| stage.row().deletedstate = 1, None, false, NOTHING),
    (
        "6",
        |stage| stage.user.account_enabled = None,
        Some(Code::DirectoryUnavailable),
        false,
        NOTHING,
    ),
    (
        "8",
        |stage| stage.user.state = DirectoryState::Gone,
        None,
        false,
        [
            "isdisabled disabledreason disabled_by azurestate azuredeletedon",
            "disabledreason azurestate azuredeletedon",
            "azurestate azuredeletedon",
            "azurestate azuredeletedon",
        ],
    ),
    (
        "9",
        |stage| stage.user.state = DirectoryState::SoftDeleted,
        None,
        false,
        [
            "isdisabled disabledreason disabled_by azurestate azuredeletedon",
            "disabledreason azurestate azuredeletedon",
            "azurestate azuredeletedon",
            "azurestate azuredeletedon",
        ],
    ),
    (
        "10",
        |stage| stage.user.account_enabled = Some(false),
        None,
        true,
        [ENABLES, "disabledreason", "", ""],
    ),
    (
        "11",
        |stage| stage.environment.kind = Kind::Developer,
        Some(Code::DeveloperForeignUser),
        true,
        NOTHING,
    ),
    (
        "12b",
        |stage| {
            stage.environment.security_group = Some(PLAN);
            stage.relation = GroupRelation::Unreadable;
        },
        None,
        true,
        NOTHING,
    ),
    (
        "15",
        |stage| stage.environment.security_group = Some(PLAN),
        None,
        true,
        [ENABLES, "disabledreason", "", ""],
    ),
];

#[test]
fn section_2_what_each_gate_writes_for_every_trigger_and_state_of_the_row() {
    for (gate, event, finding, follows, expected) in TABLE {
        for (state, expected) in ["enabled", "by_sync", "by_hand", "on_hold"].into_iter().zip(expected) {
            for trigger in [Trigger::Background, Trigger::AdminAdd, Trigger::Refresh] {
                let what = format!("gate {gate}, {state}, {trigger:?}");
                let mut stage = row_of(state).with(event).with(|stage| {
                    stage.user.city = Some("Ockham".to_owned());
                    stage.trigger = trigger;
                });
                let found: Vec<Code> = stage.plan().findings.iter().map(|finding| finding.code).collect();
                assert_eq!(found, Vec::from_iter(finding), "{what}");
                let before = stage.row().clone();
                let mut changed = stage.changed();
                assert_eq!(changed.contains(&"address1_city"), follows, "{what}");
                changed.retain(|column| *column != "address1_city");
                assert_eq!(changed.join(" "), expected, "{what}");
                if stage.row().isdisabled && !before.isdisabled {
                    assert_eq!(stage.row().disabled_by.as_deref(), Some("sync"), "{what}");
                }
                assert_eq!(stage.row().accessmode, before.accessmode, "{what}");
                assert_eq!(stage.changed(), Vec::<&str>::new(), "{what}: again");
            }
        }
    }
}

#[test]
fn section_2_nobody_without_a_row_gets_one_from_a_gate_that_stops() {
    for (gate, event, ..) in TABLE {
        if ["3", "4", "5"].contains(&gate) {
            continue;
        }
        for trigger in Trigger::ALL {
            let stage = Stage::new().with(event).with(|stage| stage.trigger = trigger);
            assert_eq!(stage.plan().change, None, "gate {gate}, {trigger:?}");
        }
    }
}

#[test]
fn section_2_gate_8_the_row_keeps_its_reason_and_the_asker_hears_of_the_user() {
    for (state, reason) in [
        (DirectoryState::Gone, "directory_deleted"),
        (DirectoryState::SoftDeleted, "directory_soft_deleted"),
    ] {
        let mut stage = Stage::created().with(|stage| {
            stage.user.state = state;
            stage.trigger = Trigger::Access(crate::rules::Client::Interactive);
        });
        let change = stage.plan().change.unwrap();
        assert_eq!(
            change.reason.map(Code::as_str),
            Some(reason),
            "and so says the change log"
        );
        for _ in 0..2 {
            stage.apply();
            assert_eq!(stage.row().disabledreason.as_deref(), Some(reason));
        }
    }
}

/// Section 4: what an enabled-again row and a created one look like, for every trigger that may.
#[test]
fn section_4_who_is_let_in_again_by_whom() {
    for (state, triggers) in [
        ("by_sync", &[Trigger::Background, Trigger::Api, Trigger::Refresh][..]),
        ("by_hand", &[Trigger::Api, Trigger::AdminAdd, Trigger::Refresh][..]),
    ] {
        for trigger in triggers {
            let mut stage = row_of(state).with(|stage| stage.trigger = *trigger);
            assert_eq!(stage.plan().change.unwrap().operation, Operation::Enable);
            assert_eq!(stage.changed().join(" "), ENABLES, "{state} {trigger:?}");
        }
    }
    for (state, trigger) in [
        ("by_hand", Trigger::Background),
        ("by_hand", Trigger::Import),
        ("by_sync", Trigger::Import),
        ("on_hold", Trigger::Background),
        ("on_hold", Trigger::AdminAdd),
        ("on_hold", Trigger::Refresh),
    ] {
        let stage = row_of(state).with(|stage| stage.trigger = trigger);
        assert_eq!(stage.plan().change, None, "{state} {trigger:?}");
    }
}
