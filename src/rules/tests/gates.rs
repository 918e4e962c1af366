//! Section 2: the gates in order, for every trigger and every state of the row.

use super::*;
use crate::domain::directory_user::{DirectoryState, Property, Unknowns};
use crate::domain::environment::GroupNesting;
use crate::rules::{Gate, Outcome};

/// A gate that disables rows for `code`, and tells someone who has none `asker`.
fn disabling(code: &str, asker: &str) -> String {
    format!(
        "none | skip {asker} | refuse {asker} | refuse {asker}
         enabled, mode_4 | disable {code} | disable {code} | disable {code}
         by_sync, by_hand, on_hold, mode_4_off | leave {code} | refuse {code} | refuse {code}
         {UNTOUCHED}"
    )
}

fn guarded(relation: GroupRelation) -> Stage {
    Stage::licensed().with(|stage| {
        stage.environment.security_group = Some(GROUP);
        stage.relation = relation;
    })
}

#[test]
fn section_2_no_gate_stops_a_licensed_user() {
    check("no gate", &Stage::licensed(), &format!("{PASSED}{UNTOUCHED}"));
}

#[test]
fn section_2_gate_1_no_database() {
    let stage = Stage::licensed().with(|stage| stage.environment.has_database = false);
    let table = "
        *    | leave no_database | refuse no_database | refuse no_database
        none | skip no_database  | refuse no_database | refuse no_database";
    check("gate 1", &stage, table);
}

#[test]
fn section_2_gate_2_reserved_identities_by_the_directory_s_name() {
    for name in ["crmoln@microsoft.com", "CRMOLN2@Microsoft.com"] {
        let stage = Stage::licensed().with(|stage| stage.user().user_principal_name = Some(name.to_owned()));
        let table = "
            *    | leave reserved_user | refuse reserved_user | refuse reserved_user
            none | skip reserved_user  | refuse reserved_user | refuse reserved_user";
        check(name, &stage, table);
    }
}

#[test]
fn section_2_gate_2_every_reserved_name_of_a_row_or_of_the_directory() {
    for name in [
        "SYSTEM",
        "integration",
        "sync",
        "RollCall",
        "crmoln@microsoft.com",
        "CRMOLN2@microsoft.com",
    ] {
        let row = Stage::licensed().with(|stage| {
            stage.row = row("reserved");
            stage.row.as_mut().unwrap().domainname = Some(name.to_owned());
        });
        let user = Stage::licensed().with(|stage| stage.user().user_principal_name = Some(name.to_owned()));
        assert_eq!(row.outcome(Trigger::Background), "leave reserved_user", "{name}");
        assert_eq!(user.outcome(Trigger::Background), "skip reserved_user", "{name}");
        for stage in [row, user] {
            for trigger in ON_DEMAND {
                assert_eq!(stage.outcome(trigger), "refuse reserved_user", "{name}");
            }
            assert_eq!(stage.outcome(Trigger::Refresh), "refuse reserved_user", "{name}");
            assert!(!stage.judge(Trigger::Background).follow, "{name}");
        }
    }
    let namesake = Stage::licensed().with(|stage| {
        stage.user().user_principal_name = Some("system@contoso.example".to_owned());
        stage.row = row("enabled");
    });
    assert_eq!(namesake.outcome(Trigger::Background), "keep", "only the whole name");
}

#[test]
fn section_2_gates_3_to_5_win_over_everything_that_follows() {
    for state in ["application", "stub", "deleted"] {
        let stage = Stage::new().with(|stage| {
            stage.row = row(state);
            stage.environment.security_group = Some(GROUP);
            stage.user().account_enabled = Some(false);
            stage.upn_blocked = true;
        });
        let code = match state {
            "application" => "application_user",
            "stub" => "stub_user",
            _ => "row_deleted",
        };
        assert_eq!(stage.outcome(Trigger::Background), format!("leave {code}"));
        let refresh = if state == "application" { "leave" } else { "refuse" };
        assert_eq!(stage.outcome(Trigger::AdminAdd), format!("refuse {code}"));
        assert_eq!(stage.outcome(Trigger::Refresh), format!("{refresh} {code}"));
        assert!(!stage.judge(Trigger::Background).follow, "{state}: nothing is written");
    }
}

#[test]
fn section_2_gate_6_no_answer_or_an_incomplete_one() {
    let table = format!(
        "none | skip directory_unavailable | refuse directory_unavailable | refuse directory_unavailable
         enabled, by_sync, by_hand, on_hold, mode_4, mode_4_off \
         | leave directory_unavailable | refuse directory_unavailable | refuse directory_unavailable
         {UNTOUCHED}"
    );
    let without = |change: fn(&mut DirectoryUser)| Stage::licensed().with(|stage| change(stage.user()));
    check("unknown", &Stage::licensed().with(|stage| stage.user = None), &table);
    check("accountEnabled", &without(|user| user.account_enabled = None), &table);
    check("no UPN", &without(|user| user.user_principal_name = None), &table);
    check(
        "blank UPN",
        &without(|user| user.user_principal_name = Some(" \t".to_owned())),
        &table,
    );
    let too_long = |user: &mut DirectoryUser| user.user_principal_name = Some("x".repeat(1025));
    check("a UPN that no row can hold", &without(too_long), &table);
    assert!(Code::DirectoryUnavailable.retryable());
}

#[test]
fn section_2_gate_6_an_account_that_cannot_be_decoded_is_left_alone_while_its_columns_follow() {
    for known in [true, false] {
        let stage = Stage::new().with(|stage| {
            stage.user().account_enabled = Some(known);
            stage.user().undecodable.set(Property::AccountEnabled, true);
            stage.row = row("enabled");
        });
        assert_eq!(stage.outcome(Trigger::Background), "leave directory_unavailable");
        assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse directory_unavailable");
        assert!(stage.judge(Trigger::Background).follow);
        let new = stage.with(|stage| {
            stage.row = None;
            stage.licences.full = Some(PLAN);
        });
        assert_eq!(new.outcome(Trigger::Background), "skip directory_unavailable");
    }
}

#[test]
fn section_2_plans_that_were_never_decoded_say_nothing_against_the_user() {
    let unknown = |stage: &mut Stage| stage.user().undecodable = Unknowns::no_plans();
    let stage = Stage::new().with(unknown);
    assert_eq!(stage.outcome(Trigger::Background), "skip directory_unavailable");
    assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse directory_unavailable");
    let enabled = stage.clone().with(|stage| stage.row = row("enabled"));
    assert_eq!(enabled.outcome(Trigger::Background), "leave directory_unavailable");
    let entitled: [Event; 2] = [|stage| stage.licences.full = Some(PLAN), |stage| stage.roles = GLOBAL];
    for entitle in entitled {
        assert_eq!(stage.clone().with(entitle).outcome(Trigger::Background), "create");
    }
    let blocked = enabled.with(|stage| stage.user().account_enabled = Some(false));
    assert_eq!(
        blocked.outcome(Trigger::Background),
        "disable directory_account_disabled"
    );
}

#[test]
fn section_2_gate_6_does_not_ask_a_deleted_user_for_its_account() {
    let stage = Stage::licensed().with(|stage| {
        stage.user().state = DirectoryState::Gone;
        stage.user().account_enabled = None;
        stage.user().user_principal_name = None;
        stage.row = row("enabled");
    });
    assert_eq!(stage.outcome(Trigger::Background), "disable directory_deleted");
}

#[test]
fn section_2_gate_7_a_name_that_another_row_keeps() {
    let stage = Stage::licensed().with(|stage| stage.upn_blocked = true);
    let table = format!("{PASSED}{UNTOUCHED}\nnone | skip upn_conflict | refuse upn_conflict | refuse upn_conflict");
    check("gate 7", &stage, &table);
    let kept = stage.clone().with(|stage| stage.row = row("enabled"));
    assert_eq!(
        kept.failed(Trigger::Background),
        ["upn_conflict"],
        "reported all the same"
    );
    let restored = stage.with(|stage| {
        stage.row = row("by_sync");
        stage.row.as_mut().unwrap().azurestate = 1;
    });
    assert_eq!(restored.outcome(Trigger::Background), "leave upn_conflict");
    assert_eq!(restored.outcome(Trigger::AdminAdd), "refuse upn_conflict");
}

#[test]
fn section_2_gate_8_gone() {
    let stage = Stage::licensed().with(|stage| stage.user().state = DirectoryState::Gone);
    check("gate 8", &stage, &disabling("directory_deleted", "user_not_found"));
}

#[test]
fn section_2_gate_9_soft_deleted() {
    let stage = Stage::licensed().with(|stage| stage.user().state = DirectoryState::SoftDeleted);
    check(
        "gate 9",
        &stage,
        &disabling("directory_soft_deleted", "user_soft_deleted"),
    );
}

#[test]
fn section_2_gate_10_account_disabled_admins_and_non_interactive_too() {
    let table = disabling("directory_account_disabled", "directory_account_disabled");
    let stage = Stage::licensed().with(|stage| stage.user().account_enabled = Some(false));
    check("gate 10", &stage, &table);
    check("gate 10, admin", &stage.with(|stage| stage.roles = GLOBAL), &table);
}

#[test]
fn section_2_gate_11_developer_environments_are_their_creators() {
    let stage = Stage::licensed().with(|stage| stage.environment.kind = Kind::Developer);
    let foreign = format!(
        "none | skip developer_environment | refuse developer_environment | refuse developer_environment
         enabled, by_sync, by_hand, on_hold, mode_4, mode_4_off \
         | leave developer_foreign_user | refuse developer_environment | refuse developer_environment
         {UNTOUCHED}"
    );
    check("gate 11, no creator", &stage, &foreign);
    let other = stage.clone().with(|stage| stage.environment.creator = Some(GROUP));
    check("gate 11, another creator", &other, &foreign);
    let creator = stage.with(|stage| stage.environment.creator = Some(USER));
    check("gate 11, the creator", &creator, &format!("{PASSED}{UNTOUCHED}"));
    let row = other.with(|stage| stage.row = row("enabled"));
    assert!(row.judge(Trigger::Background).follow, "fields and azurestate follow");
    assert_eq!(row.failed(Trigger::Background), ["developer_foreign_user"]);
}

#[test]
fn section_2_gate_12_members_and_two_kinds_of_admin_pass() {
    let table = format!("{PASSED}{UNTOUCHED}");
    check("member", &guarded(GroupRelation::Member), &table);
    for roles in [GLOBAL, POWER_PLATFORM] {
        let stage = guarded(GroupRelation::None).with(|stage| stage.roles = roles);
        check("admin outside the group", &stage, &table);
    }
}

#[test]
fn section_2_gate_12b_a_group_that_cannot_be_read_is_not_empty() {
    let table = format!(
        "none | skip directory_unavailable | refuse directory_unavailable | refuse directory_unavailable
         enabled, by_sync, by_hand, on_hold, mode_4, mode_4_off \
         | leave directory_unavailable | refuse directory_unavailable | refuse directory_unavailable
         {UNTOUCHED}"
    );
    let stage = guarded(GroupRelation::Unreadable);
    check("gate 12b", &stage, &table);
    assert!(
        stage.judge(Trigger::Background).undecided,
        "judged again in the next cycle"
    );
    let admin = stage.clone().with(|stage| stage.roles = GLOBAL);
    check("an admin needs no group", &admin, &format!("{PASSED}{UNTOUCHED}"));
    let blocked = stage.with(|stage| {
        stage.user().account_enabled = Some(false);
        stage.row = row("enabled");
    });
    assert_eq!(
        blocked.outcome(Trigger::Background),
        "disable directory_account_disabled",
        "an earlier gate decides"
    );
}

#[test]
fn section_2_gate_13_an_owner_counts_on_demand() {
    let table = format!("{RESTRICTED}{UNTOUCHED}");
    check("owner", &guarded(GroupRelation::OwnerOnly), &table);
    let admin = guarded(GroupRelation::OwnerOnly).with(|stage| {
        stage.licences = Licences::default();
        stage.roles = DYNAMICS_365;
    });
    check("owner, Dynamics 365 admin", &admin, &table);
    assert_eq!(admin.judge(Trigger::AdminAdd).accessmode, 1, "the access mode is kept");
}

#[test]
fn section_2_gate_14_nested_members_by_group_nesting() {
    let nested = |nesting| guarded(GroupRelation::NestedOnly).with(|stage| stage.environment.group_nesting = nesting);
    let outside = disabling("not_in_security_group", "not_in_security_group");
    check("ignore", &nested(GroupNesting::Ignore), &outside);
    check(
        "on_demand",
        &nested(GroupNesting::OnDemand),
        &format!("{RESTRICTED}{UNTOUCHED}"),
    );
    check("full", &nested(GroupNesting::Full), &format!("{PASSED}{UNTOUCHED}"));
}

#[test]
fn section_2_gates_13_and_14_pass_with_a_reservation_that_is_reported() {
    let nested = guarded(GroupRelation::NestedOnly);
    let nested = nested.with(|stage| stage.environment.group_nesting = GroupNesting::OnDemand);
    for (stage, code) in [
        (guarded(GroupRelation::OwnerOnly), Code::OnDemandOnly),
        (nested, Code::NestedMemberOnly),
    ] {
        for trigger in Trigger::ALL {
            let checks = stage.judge(trigger).checks;
            let check = checks.iter().find(|check| check.gate == Gate::SecurityGroup).unwrap();
            assert_eq!((check.status, check.code), (Status::Pass, Some(code)), "{trigger:?}");
            let licence = checks.iter().find(|check| check.gate == Gate::Licence).unwrap();
            assert_eq!((licence.status, licence.code), (Status::Pass, Some(Code::OnDemandOnly)));
        }
    }
}

#[test]
fn section_2_gate_15_outside_the_group_a_dynamics_365_admin_too() {
    let table = disabling("not_in_security_group", "not_in_security_group");
    check("gate 15", &guarded(GroupRelation::None), &table);
    let admin = guarded(GroupRelation::None).with(|stage| stage.roles = DYNAMICS_365);
    check("gate 15, admin", &admin, &table);
}

#[test]
fn section_2_the_first_gate_decides_and_every_failed_check_is_reported() {
    let mut stage = Stage::new().with(|stage| {
        stage.environment.has_database = false;
        stage.environment.kind = Kind::Developer;
        stage.environment.security_group = Some(GROUP);
        stage.user().account_enabled = Some(false);
        stage.row = row("enabled");
        stage.row.as_mut().unwrap().deletedstate = 1;
        stage.row.as_mut().unwrap().isstub = true;
        stage.row.as_mut().unwrap().applicationid = Some(PLAN);
        stage.upn_blocked = true;
    });
    let repairs: [(&str, Event); 8] = [
        ("no_database", |stage| stage.environment.has_database = true),
        ("application_user", |stage| {
            stage.row.as_mut().unwrap().applicationid = None;
        }),
        ("stub_user", |stage| stage.row.as_mut().unwrap().isstub = false),
        ("row_deleted", |stage| stage.row.as_mut().unwrap().deletedstate = 0),
        ("directory_account_disabled", |stage| {
            stage.user().account_enabled = Some(true);
        }),
        ("developer_foreign_user", |stage| stage.environment.creator = Some(USER)),
        ("not_in_security_group", |stage| stage.relation = GroupRelation::Member),
        ("unlicensed", |stage| stage.licences.full = Some(PLAN)),
    ];
    for (position, (code, repair)) in repairs.iter().enumerate() {
        let verdict = stage.judge(Trigger::Background);
        assert_eq!(verdict.code.map(Code::as_str), Some(*code));
        let failed = stage.failed(Trigger::Background);
        for (later, _) in &repairs[position..] {
            let hidden = *later == "unlicensed"
                && stage
                    .row
                    .as_ref()
                    .is_some_and(|row| row.isstub || row.applicationid.is_some());
            assert!(hidden || failed.contains(later), "{later} is missing from {failed:?}");
        }
        assert!(failed.contains(&"upn_conflict"));
        repair(&mut stage);
    }
    assert_eq!(stage.judge(Trigger::Background).outcome, Outcome::Keep);
}

#[test]
fn section_2_diagnostics_gives_the_verdict_of_refresh() {
    for state in STATES {
        let blocked = Stage::licensed().with(|stage| stage.user().account_enabled = Some(false));
        for stage in [
            Stage::new(),
            Stage::licensed(),
            blocked,
            guarded(GroupRelation::OwnerOnly),
            guarded(GroupRelation::Unreadable),
        ] {
            let stage = stage.with(|stage| stage.row = row(state));
            let diagnostics = stage.judge(Trigger::Diagnostics);
            let refresh = Verdict {
                trigger: Trigger::Diagnostics,
                ..stage.judge(Trigger::Refresh)
            };
            assert_eq!(diagnostics, refresh, "{state}");
        }
    }
}

#[test]
fn section_2_whoever_asks_is_told_of_the_user_and_the_row_of_itself() {
    let gone: Event = |stage| stage.user().state = DirectoryState::Gone;
    let soft_deleted: Event = |stage| stage.user().state = DirectoryState::SoftDeleted;
    let foreign: Event = |stage| stage.environment.kind = Kind::Developer;
    let blocked: Event = |stage| stage.user().account_enabled = Some(false);
    for (change, row_code, asker_code) in [
        (gone, "directory_deleted", "user_not_found"),
        (soft_deleted, "directory_soft_deleted", "user_soft_deleted"),
        (foreign, "developer_environment", "developer_environment"),
        (blocked, "directory_account_disabled", "directory_account_disabled"),
    ] {
        for state in [
            "none",
            "enabled",
            "by_sync",
            "by_hand",
            "on_hold",
            "mode_4",
            "mode_4_off",
        ] {
            let stage = Stage::licensed().with(|stage| stage.row = row(state)).with(change);
            let of_row = if state == "none" { asker_code } else { row_code };
            for trigger in ON_DEMAND {
                let verdict = stage.judge(trigger);
                assert_eq!(verdict.code.map(Code::as_str), Some(of_row), "{state} {trigger:?}");
                assert_eq!(
                    verdict.asker_code().map(Code::as_str),
                    Some(asker_code),
                    "{state} {trigger:?}"
                );
                assert!(verdict.is_refusal(), "{state} {trigger:?}");
            }
            for trigger in [Trigger::Background, Trigger::Refresh, Trigger::Diagnostics] {
                let verdict = stage.judge(trigger);
                assert_eq!(verdict.asker_code(), verdict.code, "{state} {trigger:?}");
            }
        }
    }
    let foreign = Stage::licensed().with(|stage| stage.row = row("enabled")).with(foreign);
    assert_eq!(
        foreign.judge(Trigger::Background).asker_code(),
        Some(Code::DeveloperForeignUser)
    );
    let passed = Stage::licensed().with(|stage| stage.row = row("enabled"));
    assert_eq!(passed.judge(Trigger::Api).asker_code(), None);
}

#[test]
fn section_2_columns_follow_from_gate_7_on_and_doubt_about_a_group_is_settled_later() {
    let grouped: Event = |stage| stage.environment.security_group = Some(GROUP);
    let table: [(&str, Event, bool, bool); 13] = [
        ("nothing", |_| {}, true, false),
        ("gate 1", |stage| stage.environment.has_database = false, false, false),
        (
            "gate 2",
            |stage| stage.user().user_principal_name = Some("sync".to_owned()),
            false,
            false,
        ),
        ("gate 3", |stage| stage.row = row("application"), false, false),
        ("gate 4", |stage| stage.row = row("stub"), false, false),
        ("gate 5", |stage| stage.row = row("deleted"), false, false),
        ("gate 6", |stage| stage.user = None, false, false),
        ("gate 7", |stage| stage.upn_blocked = true, true, false),
        ("gate 8", |stage| stage.user().state = DirectoryState::Gone, true, false),
        (
            "gate 10",
            |stage| stage.user().account_enabled = Some(false),
            true,
            false,
        ),
        ("gate 11", |stage| stage.environment.kind = Kind::Developer, true, false),
        (
            "gate 12b",
            |stage| {
                stage.environment.security_group = Some(GROUP);
                stage.relation = GroupRelation::Unreadable;
            },
            true,
            true,
        ),
        ("gate 15", grouped, true, false),
    ];
    for (what, change, follow, undecided) in table {
        let stage = Stage::licensed().with(|stage| stage.row = row("enabled")).with(change);
        for trigger in [
            Trigger::Background,
            Trigger::AdminAdd,
            Trigger::Refresh,
            Trigger::Diagnostics,
        ] {
            let verdict = stage.judge(trigger);
            assert_eq!(
                (verdict.follow, verdict.undecided),
                (follow, undecided),
                "{what} {trigger:?}"
            );
        }
        assert!(!stage.judge(Trigger::Import).follow, "{what}: an import changes no row");
    }
}

#[test]
fn section_2_what_a_person_decided_is_reported_whichever_gate_decides() {
    let outside = guarded(GroupRelation::None).with(|stage| stage.licences = Licences::default());
    let failed = |state, trigger| outside.clone().with(|stage| stage.row = row(state)).failed(trigger);
    let both = ["not_in_security_group", "unlicensed"];
    assert_eq!(failed("by_sync", Trigger::Background), both);
    assert_eq!(
        failed("by_hand", Trigger::Background),
        [&both[..], &["disabled_by_hand"]].concat()
    );
    assert_eq!(failed("by_hand", Trigger::Api), both, "which an access undoes");
    for trigger in [Trigger::Background, Trigger::Api, Trigger::Refresh] {
        assert_eq!(failed("on_hold", trigger), [&both[..], &["on_hold"]].concat());
    }
    assert_eq!(
        failed("mode_4", Trigger::Access(Client::Interactive)),
        ["not_in_security_group", "non_interactive"]
    );
    assert_eq!(failed("deleted", Trigger::Background)[0], "row_deleted");
    assert!(!failed("application_off", Trigger::Background).contains(&"disabled_by_hand"));
}
