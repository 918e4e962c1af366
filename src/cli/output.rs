//! The only way to standard output and standard error. Whatever a text contains, a line of ours stays one line: `say!`
//! and [`table`] escape what could move the cursor, begin a line or change the writing direction.
//!
//! A write failure is kept until [`finish`]: a command that has begun its work completes it. A closed pipe is not a
//! failure; the rest is not printed, and lists end (see [`is_cut_off`]).

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::domain::text::{escaped, escaped_json};

/// Why standard output accepts no more.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a line for people, like `println!`; its text cannot break the line.
macro_rules! say {
    () => { $crate::cli::output::say_line("") };
    ($($text:tt)+) => { $crate::cli::output::say_line(&::std::format!($($text)+)) };
}

/// As `say!`, to standard error.
macro_rules! note {
    ($($text:tt)+) => { $crate::cli::output::note_line(&::std::format!($($text)+)) };
}

pub(super) use {note, say};

/// See `say!`.
pub fn say_line(text: &str) {
    raw(format!("{}\n", escaped(text)).as_bytes());
}

/// See `note!`.
pub fn note_line(text: &str) {
    // An error on standard error has nowhere to go.
    let _ = writeln!(io::stderr().lock(), "{}", escaped(text));
}

/// Prints multi-line text from the program itself.
pub fn page(text: &str) {
    let lines: String = text.lines().fold(String::new(), |mut page, line| {
        let _ = writeln!(page, "{}", escaped(line));
        page
    });
    raw(lines.as_bytes());
}

/// Prints a document as exact JSON; characters unsafe for a terminal use JSON's own escapes.
pub fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => raw(format!("{}\n", escaped_json(&text)).as_bytes()),
        Err(error) => note!("rollcall: could not print the result: {error}"),
    }
}

/// Writes bytes as they are.
pub fn raw(bytes: &[u8]) {
    if FAILURE.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        let _ = FAILURE.set(error);
    }
}

/// Shows progress in a line that the next call replaces; without a text, clears the line. Only on a terminal.
pub fn progress(text: Option<&str>) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{}", escaped(text.unwrap_or_default()));
        let _ = err.flush();
    }
}

/// Whether standard output accepts no more, so that no more output is needed.
pub fn is_cut_off() -> bool {
    FAILURE.get().is_some()
}

/// The final exit code: the command's own, unless its results could not be written.
pub fn finish(code: ExitCode) -> ExitCode {
    match FAILURE.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            note!("rollcall: could not write the result: {error}");
            ExitCode::from(1)
        }
        _ => code,
    }
}

/// Prints rows under a heading, each column as wide as its widest cell.
pub fn table(heading: &[&str], rows: &[Vec<String>]) {
    Table::new(heading).print(rows);
}

/// A table that is printed in parts. Its columns fit the rows so far; a wider row widens them from there on. Numbers
/// align right.
#[derive(Debug)]
pub struct Table {
    heading: Option<Vec<String>>,
    widths: Vec<usize>,
    is_numeric: Vec<bool>,
}

impl Table {
    /// A table without rows.
    pub fn new(heading: &[&str]) -> Self {
        Self {
            heading: Some(heading.iter().map(|title| (*title).to_owned()).collect()),
            widths: heading.iter().map(|title| title.width()).collect(),
            is_numeric: Vec::new(),
        }
    }

    /// Prints more rows; before the first ones, the heading.
    pub fn print(&mut self, rows: &[Vec<String>]) {
        raw(self.lay_out(rows).as_bytes());
    }

    fn lay_out(&mut self, rows: &[Vec<String>]) -> String {
        let rows = rows
            .iter()
            .map(|row| row.iter().map(|cell| escaped(cell).into_owned()).collect());
        let rows: Vec<Vec<String>> = rows.collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        let mut text = String::new();
        if let Some(heading) = self.heading.take() {
            let is_number = |cell: &String| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            let is_numeric = |column| !rows.is_empty() && rows.iter().all(|row| row.get(column).is_some_and(is_number));
            self.is_numeric = (0..heading.len()).map(is_numeric).collect();
            self.add_line(&mut text, &heading);
        }
        for row in &rows {
            self.add_line(&mut text, row);
        }
        text
    }

    fn add_line(&self, text: &mut String, cells: &[String]) {
        let mut line = String::new();
        for ((cell, width), is_numeric) in cells.iter().zip(&self.widths).zip(&self.is_numeric) {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            let _ = if *is_numeric {
                write!(line, "{blanks}{cell}  ")
            } else {
                write!(line, "{cell}{blanks}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// A JSON value in a line for people.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value or a dash.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// An access mode by name.
pub fn mode_name(mode: i16) -> &'static str {
    match mode {
        0 => "Read-Write",
        1 => "Administrative",
        2 => "Read",
        3 => "Support",
        4 => "Non-interactive",
        5 => "Delegated admin",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn one_row_is_one_line_whatever_is_in_it() {
        let text = Table::new(&["USER", "NAME"])
            .lay_out(&[row(&["a\r\nb", "Eve\u{1b}[2J\u{2028}x\u{202e}"]), row(&["c", "d"])]);
        assert_eq!(
            text,
            "USER    NAME\na\\r\\nb  Eve\\u{1b}[2J\\u{2028}x\\u{202e}\nc       d\n"
        );
    }

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let text = Table::new(&["NAME", "N"]).lay_out(&[
            row(&["山田", "1"]),
            row(&["e\u{301}va", "22"]),
            row(&["Ada", "333"]),
        ]);
        assert_eq!(text, "NAME    N\n山田    1\ne\u{301}va    22\nAda   333\n");
    }

    #[test]
    fn a_table_goes_on_under_one_heading() {
        let mut table = Table::new(&["NAME", "N"]);
        assert_eq!(table.lay_out(&[row(&["a", "1"])]), "NAME  N\na     1\n");
        assert_eq!(table.lay_out(&[row(&["longer", "2"])]), "longer  2\n");
        assert_eq!(table.lay_out(&[row(&["b", "3"])]), "b       3\n");
        assert_eq!(Table::new(&["NAME"]).lay_out(&[]), "NAME\n");
    }
}
