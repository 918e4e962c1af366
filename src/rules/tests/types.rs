//! Section 6: the types of users.

use super::*;
use crate::domain::directory_user::DirectoryState;

/// Whatever can go wrong for a user, each by itself.
const TROUBLES: [(&str, Event); 7] = [
    ("nothing", |_| {}),
    ("unlicensed", |stage| stage.licences = Licences::default()),
    ("outside", |stage| stage.environment.security_group = Some(GROUP)),
    ("blocked", |stage| stage.user().account_enabled = Some(false)),
    ("gone", |stage| stage.user().state = DirectoryState::Gone),
    ("unknown", |stage| stage.user = None),
    ("no slot", |stage| stage.non_interactive_slot = false),
];

#[test]
fn section_6_whose_rows_the_directory_never_touches() {
    for (state, code, refresh) in [
        ("application", "application_user", "leave"),
        ("application_off", "application_user", "leave"),
        ("stub", "stub_user", "refuse"),
        ("reserved", "reserved_user", "refuse"),
        ("delegated", "reserved_user", "refuse"),
        ("system", "reserved_user", "refuse"),
    ] {
        for (what, trouble) in TROUBLES {
            let stage = Stage::licensed().with(|stage| stage.row = row(state)).with(trouble);
            assert_eq!(
                stage.outcome(Trigger::Background),
                format!("leave {code}"),
                "{state} {what}"
            );
            for trigger in ON_DEMAND {
                assert_eq!(stage.outcome(trigger), format!("refuse {code}"), "{state} {what}");
            }
            for trigger in [Trigger::Refresh, Trigger::Diagnostics] {
                assert_eq!(stage.outcome(trigger), format!("{refresh} {code}"), "{state} {what}");
            }
            assert_eq!(stage.outcome(Trigger::Import), "leave", "{state} {what}");
            assert!(
                Trigger::ALL.iter().all(|trigger| !stage.judge(*trigger).follow),
                "{state} {what}"
            );
        }
    }
}

#[test]
fn section_6_an_application_user_takes_no_slot_and_has_no_licence_to_lose() {
    let stage = Stage::new().with(|stage| {
        stage.non_interactive_slot = false;
        stage.row = row("application_off");
    });
    let failed = stage.failed(Trigger::Background);
    assert_eq!(
        failed,
        ["application_user"],
        "neither the cap nor the licence is looked at"
    );
}

#[test]
fn section_6_the_three_modes_of_regular_users_fare_alike() {
    for (what, trouble) in TROUBLES {
        let enabled = Stage::licensed().with(|stage| stage.row = row("enabled")).with(trouble);
        for state in ["mode_1", "mode_2"] {
            let other = enabled.clone().with(|stage| stage.row = row(state));
            for trigger in Trigger::ALL {
                assert_eq!(
                    other.outcome(trigger),
                    enabled.outcome(trigger),
                    "{what} {state} {trigger:?}"
                );
            }
        }
    }
}

#[test]
fn section_6_group_and_directory_rules_apply_to_non_interactive_users_and_the_licence_rule_does_not() {
    for (what, background, on_demand, background_off, on_demand_off) in [
        ("nothing", "keep", "keep", "enable", "enable"),
        ("unlicensed", "keep", "keep", "enable", "enable"),
        (
            "outside",
            "disable not_in_security_group",
            "disable not_in_security_group",
            "leave not_in_security_group",
            "refuse not_in_security_group",
        ),
        (
            "blocked",
            "disable directory_account_disabled",
            "disable directory_account_disabled",
            "leave directory_account_disabled",
            "refuse directory_account_disabled",
        ),
        (
            "gone",
            "disable directory_deleted",
            "disable directory_deleted",
            "leave directory_deleted",
            "refuse directory_deleted",
        ),
        (
            "unknown",
            "leave directory_unavailable",
            "refuse directory_unavailable",
            "leave directory_unavailable",
            "refuse directory_unavailable",
        ),
        (
            "no slot",
            "keep",
            "keep",
            "leave non_interactive_cap",
            "refuse non_interactive_cap",
        ),
    ] {
        let (_, trouble) = TROUBLES.into_iter().find(|(name, _)| *name == what).unwrap();
        for (state, background, on_demand) in [
            ("mode_4", background, on_demand),
            ("mode_4_off", background_off, on_demand_off),
        ] {
            let stage = Stage::licensed().with(|stage| stage.row = row(state)).with(trouble);
            assert_eq!(stage.outcome(Trigger::Background), background, "{what} {state}");
            for trigger in [
                Trigger::Access(Client::Api),
                Trigger::Api,
                Trigger::AdminAdd,
                Trigger::Refresh,
            ] {
                assert_eq!(stage.outcome(trigger), on_demand, "{what} {state} {trigger:?}");
            }
        }
    }
}

#[test]
fn section_6_a_non_interactive_user_who_is_entitled_by_nothing_is_not_unlicensed() {
    for state in ["mode_4", "mode_4_off"] {
        let stage = Stage::new().with(|stage| stage.row = row(state));
        assert_eq!(stage.entitlement(), Entitlement::NonInteractive);
        assert!(stage.failed(Trigger::Background).is_empty(), "{state}");
        let owner = stage.with(|stage| {
            stage.environment.security_group = Some(GROUP);
            stage.relation = GroupRelation::OwnerOnly;
        });
        assert_eq!(
            owner.entitlement(),
            Entitlement::NonInteractive,
            "gate 13 restricts licences only"
        );
    }
}

#[test]
fn section_6_the_web_is_closed_to_non_interactive_users_only() {
    let web = Trigger::Access(Client::Interactive);
    for (state, expected) in [
        ("none", "create"),
        ("enabled", "keep"),
        ("mode_1", "keep"),
        ("mode_2", "keep"),
        ("by_sync", "enable"),
        ("by_hand", "enable"),
        ("on_hold", "refuse on_hold"),
        ("mode_4", "refuse non_interactive"),
        ("mode_4_off", "refuse non_interactive"),
        ("application", "refuse application_user"),
        ("stub", "refuse stub_user"),
        ("reserved", "refuse reserved_user"),
    ] {
        let stage = Stage::licensed().with(|stage| stage.row = row(state));
        assert_eq!(stage.outcome(web), expected, "{state}");
    }
    let held = Stage::licensed().with(|stage| {
        stage.row = row("mode_4_off");
        stage.row.as_mut().unwrap().onhold = true;
    });
    assert_eq!(held.outcome(web), "refuse on_hold", "the hold is the first to end");
    assert_eq!(held.failed(web), ["on_hold", "non_interactive"]);
}
