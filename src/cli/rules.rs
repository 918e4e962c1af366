//! `rollcall rules`: the rule table, from the data that the program evaluates. Needs neither configuration nor
//! database.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::{self, print_json};
use super::{Context, Output};
use crate::domain::reason::Code;
use crate::rules::table::{Cell, RowState, at_gate, of_entitlement};
use crate::rules::{Entitlement, RULES};

/// The maximum line length: the width of a narrow terminal.
const WIDTH: usize = 80;

/// The trigger columns of the page, and their titles.
const COLUMNS: [(&str, &str); 3] = [
    ("background", "background"),
    ("on_demand", "on demand"),
    ("refresh", "refresh"),
];

pub fn run(context: &Context) -> ExitCode {
    match context.output {
        Output::Json => print_json(&document()),
        Output::Table => output::page(&page()),
    }
    ExitCode::SUCCESS
}

/// Everything as one document.
fn document() -> Value {
    let gates: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            let cells = at_gate(rule);
            let mut gate = json!({
                "number": rule.number, "gate": rule.gate.as_str(), "condition": rule.condition,
                "note": Some(rule.note).filter(|note| !note.is_empty()), "codes": rule.codes,
            });
            for (column, _) in COLUMNS {
                let of_column = cells.iter().copied().filter(|cell| cell.column() == column);
                gate[column] = of_column.map(cell_json).collect();
            }
            gate
        })
        .collect();
    let entitlements: Vec<Value> = Entitlement::ALL
        .iter()
        .map(|one| json!({ "entitlement": one.as_str(), "condition": one.condition() }))
        .collect();
    let outcomes: Vec<Value> = Entitlement::ALL
        .iter()
        .flat_map(|one| of_entitlement(*one).into_iter().map(move |cell| (one, cell)))
        .map(|(one, cell)| {
            let mut value = cell_json(cell);
            value["entitlement"] = one.as_str().into();
            value["trigger"] = cell.column().into();
            value
        })
        .collect();
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "code": code, "retryable": code.retryable(), "sentence": code.sentence(), "remedy": code.remedy(),
            })
        })
        .collect();
    json!({ "gates": gates, "entitlements": entitlements, "outcomes": outcomes, "codes": codes })
}

fn cell_json(cell: Cell) -> Value {
    let ends_enabled = cell.outcome.ends_enabled();
    json!({
        "row": cell.row.as_str(), "outcome": cell.outcome.as_str(), "code": cell.code,
        "asker_code": cell.asker_code, "only_reported": cell.is_only_reported(),
        "accessmode": ends_enabled.then_some(cell.accessmode),
        "setupuser": ends_enabled.then_some(cell.setupuser),
    })
}

/// Everything as a page.
fn page() -> String {
    let mut page = String::new();
    paragraph(
        &mut page,
        "GATES, in this order. The first that refuses, disables or leaves decides; every failed check is reported. \
         Each line shows what becomes of a user with a full licence whom all the others let through.",
        "",
    );
    for rule in RULES {
        let _ = writeln!(page, "\n{:<4} {}", rule.number, rule.gate.as_str());
        paragraph(&mut page, &format!("{} {}", rule.condition, rule.note), "     ");
        let cells = at_gate(rule);
        for (column, title) in COLUMNS {
            let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.column() == column).collect();
            if !cells.is_empty() {
                hanging(&mut page, &format!("     {title:<12}"), &summary(&cells));
            }
        }
    }
    page += "\nENTITLEMENTS, the first that fits, and what becomes of a row\n";
    for entitlement in Entitlement::ALL {
        let _ = writeln!(page, "\n{}", entitlement.as_str());
        paragraph(&mut page, entitlement.condition(), "     ");
        outcomes(&mut page, &of_entitlement(entitlement));
    }
    page.push('\n');
    paragraph(
        &mut page,
        "A refresh evaluates an existing row as on demand. Without a row, refresh and diagnostics only report. An import \
         stops at an existing row, in whatever state.",
        "",
    );
    page += "\nREASON CODES\n";
    for code in Code::ALL {
        let again = if code.retryable() { "retryable" } else { "not retryable" };
        let _ = writeln!(page, "\n{:<28} {again}", code.as_str());
        paragraph(&mut page, code.sentence(), "     ");
        paragraph(&mut page, code.remedy(), "     ");
    }
    page
}

/// The effect of a trigger at a gate: one word if it is the same for every row, else states with the same effect
/// together.
fn summary(cells: &[&Cell]) -> String {
    let mut fates: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in cells {
        let state = match cell.row {
            RowState::None => "no row",
            RowState::Enabled => "enabled",
            // Whoever disabled it: the gate's example decides.
            _ => "disabled",
        };
        let words = cell.words();
        match fates.iter_mut().find(|(known, _)| *known == words) {
            Some((_, states)) => states.push(state),
            None => fates.push((words, vec![state])),
        }
    }
    match fates.as_slice() {
        [(words, states)] if states.len() > 1 => words.clone(),
        _ => fates
            .iter()
            .map(|(words, states)| format!("{}: {words}", states.join(" or ")))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// The outcome table of one entitlement.
fn outcomes(page: &mut String, cells: &[Cell]) {
    let _ = writeln!(page, "\n     {:<18} {:<26} on demand", "row", "background");
    for state in RowState::ALL {
        let words = |column| {
            let mut of_state = cells.iter().filter(|cell| cell.row == state);
            of_state.find(|cell| cell.column() == column).map(Cell::words)
        };
        if let (Some(background), Some(on_demand)) = (words("background"), words("on_demand")) {
            let _ = writeln!(page, "     {:<18} {background:<26} {on_demand}", state_name(state));
        }
    }
}

fn state_name(state: RowState) -> String {
    match state {
        RowState::None => "no row".to_owned(),
        state => state.as_str().replace('_', " "),
    }
}

fn paragraph(page: &mut String, text: &str, indent: &str) {
    hanging(page, indent, text);
}

/// Wraps a text with a hanging indent below its heading.
fn hanging(page: &mut String, heading: &str, text: &str) {
    let indent = heading.chars().count();
    let mut line = heading.to_owned();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            let _ = writeln!(page, "{}", line.trim_end());
            line = " ".repeat(indent);
            column = indent;
        }
        if column > indent {
            line.push(' ');
            column += 1;
        }
        line += word;
        column += length;
    }
    let _ = writeln!(page, "{}", line.trim_end());
}
