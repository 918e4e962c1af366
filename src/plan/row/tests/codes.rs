//! rules.md, section 10: every reason code comes from a verdict or a plan, but for those of the operations.

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::*;
use crate::rules::Check;
use crate::rules::tests::properties::{TRIGGERS, any_stage};

/// What only an administrator's operation is refused for, or what the database refuses; their tests assert these.
const BY_OPERATIONS: [Code; 20] = [
    Code::TenantAdministrator,
    Code::UserDisabled,
    Code::NotDeletable,
    Code::EnvironmentRetired,
    Code::RoleNotFound,
    Code::FieldNotEditable,
    Code::AlreadyMapped,
    Code::RowNotWritten,
    Code::RootUnit,
    Code::UnitNotEmpty,
    Code::WouldCycle,
    Code::NameTaken,
    Code::PositionInUse,
    Code::TeamIsDefault,
    Code::TeamFollowsGroup,
    Code::TeamTakesNoRoles,
    Code::NotAMember,
    Code::GroupTaken,
    Code::GroupNotUsable,
    Code::NotForgettable,
];

#[test]
fn section_10_every_code_comes_from_a_verdict_or_a_plan_or_from_an_operation() {
    let mut seen: BTreeSet<Code> = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..8_000 {
        let stage = any_stage().new_tree(&mut runner).unwrap().current();
        for trigger in TRIGGERS {
            let verdict = stage.judge(trigger);
            seen.extend(verdict.code);
            seen.extend(verdict.asker_code());
            seen.extend(verdict.checks.iter().filter_map(|check: &Check| check.code));
        }
    }
    let odd = Stage::new().with(|stage| {
        stage.user.mail = Some("no address".to_owned());
        stage.user.city = Some("x".repeat(129));
    });
    seen.extend(odd.plan().findings.iter().map(|finding| finding.code));
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    let missing: BTreeSet<Code> = all.difference(&seen).copied().collect();
    assert_eq!(missing, BTreeSet::from(BY_OPERATIONS));
}

#[test]
fn section_10_the_codes_are_those_of_the_document_in_its_order() {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let document = "no_database reserved_user application_user stub_user row_deleted directory_unavailable \
        upn_conflict user_not_found user_soft_deleted directory_deleted directory_soft_deleted \
        directory_account_disabled developer_environment developer_foreign_user not_in_security_group \
        nested_member_only unlicensed on_demand_only app_pass_exhausted non_interactive_cap on_hold \
        last_system_administrator tenant_administrator user_disabled disabled_by_hand non_interactive \
         not_deletable environment_retired role_not_found field_not_editable already_mapped value_truncated \
         invalid_email row_not_written root_unit unit_not_empty would_cycle name_taken position_in_use team_is_default team_follows_group \
         team_takes_no_roles not_a_member group_taken group_not_usable not_forgettable";
    assert_eq!(names, document.split_whitespace().collect::<Vec<_>>());
    for code in Code::ALL {
        assert_eq!(Code::parse(code.as_str()), Some(*code));
        assert!(code.sentence().ends_with('.') && code.remedy().ends_with('.'), "{code}");
        assert_eq!(code.retryable(), *code == Code::DirectoryUnavailable, "{code}");
    }
    assert_eq!(Code::parse("no_such_code"), None);
}
