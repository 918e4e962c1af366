//! The table that `rollcall rules` prints is the judge's own: examples fail where they say, and nowhere else.

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::properties::{TRIGGERS, any_stage};
use super::*;
use crate::rules::table::{RowState, at_gate, of_entitlement};
use crate::rules::verdict::for_asker;
use crate::rules::{Gate, Outcome, RULES};

#[test]
fn every_gate_has_a_line_and_the_lines_have_the_order_of_the_checks() {
    let gates: Vec<Gate> = RULES.iter().map(|rule| rule.gate).collect();
    assert!(gates.is_sorted());
    let with_a_line: BTreeSet<Gate> = gates.into_iter().collect();
    assert_eq!(with_a_line, Gate::ALL.iter().copied().collect());
    let names: BTreeSet<&str> = Gate::ALL.iter().map(|gate| gate.as_str()).collect();
    assert_eq!(names.len(), Gate::ALL.len());
    for rule in RULES {
        assert!(
            rule.condition.ends_with('.') && !rule.condition.contains("  "),
            "{rule:?}"
        );
        assert!(
            rule.note.is_empty() || rule.note.ends_with('.') && !rule.note.contains("  "),
            "{rule:?}"
        );
    }
}

/// Draws many situations, always the same ones.
fn judged() -> impl Iterator<Item = Verdict> {
    let mut runner = TestRunner::deterministic();
    let stages = (0..12_000).map(move |_| any_stage().new_tree(&mut runner).unwrap().current());
    stages.flat_map(|stage| TRIGGERS.map(|trigger| stage.judge(trigger)))
}

#[test]
fn every_code_that_a_check_carries_is_listed_at_its_gate_and_every_listed_one_occurs() {
    let listed: BTreeSet<(Gate, Code)> = RULES
        .iter()
        .flat_map(|rule| rule.codes.iter().map(|code| (rule.gate, *code)))
        .collect();
    let mut seen = BTreeSet::new();
    for verdict in judged() {
        for check in &verdict.checks {
            let Some(code) = check.code else { continue };
            seen.insert((check.gate, code));
            let told = verdict.asker_code();
            if told != Some(code) && told == Some(for_asker(code)) {
                seen.insert((check.gate, for_asker(code)));
            }
        }
    }
    assert_eq!(seen, listed);
}

#[test]
fn checks_come_in_the_order_of_the_gates_each_at_most_once() {
    for verdict in judged() {
        let gates: Vec<Gate> = verdict.checks.iter().map(|check| check.gate).collect();
        assert!(gates.is_sorted_by(|one, other| one < other), "{gates:?}");
    }
}

#[test]
fn an_example_is_judged_at_its_gate_and_fails_no_earlier_one() {
    for rule in RULES {
        let cells = at_gate(rule);
        assert!(!cells.is_empty(), "{rule:?}");
        for cell in &cells {
            // Lines 13 and 14 and the cell without a row let through; what they leave of the entitlement decides.
            let known =
                |code: Option<Code>| code.is_none_or(|code| rule.codes.contains(&code) || code == Code::OnDemandOnly);
            assert!(known(cell.code) && known(cell.asker_code), "{rule:?} {cell:?}");
        }
    }
}

#[test]
fn a_refresh_judges_an_existing_row_as_on_demand_and_every_way_to_ask_is_alike() {
    for entitlement in Entitlement::ALL {
        let cells = of_entitlement(entitlement);
        let of = |column: &str, state: RowState| {
            let mut found = cells.iter().filter(|cell| cell.column() == column && cell.row == state);
            found
                .next()
                .map(|cell| (cell.outcome, cell.code, cell.accessmode, cell.setupuser))
        };
        for state in RowState::ALL {
            assert_eq!(
                of("refresh", state),
                of("on_demand", state),
                "{entitlement:?} {state:?}"
            );
            if state == RowState::None {
                assert_eq!(of("import", state), of("on_demand", state), "{entitlement:?}");
            } else {
                assert_eq!(
                    of("import", state).unwrap().0,
                    Outcome::Leave,
                    "{entitlement:?} {state:?}"
                );
            }
        }
    }
}
