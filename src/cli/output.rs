//! The only way to standard output and standard error. Whatever a text contains, a line of ours stays one line: `say!`
//! and [`table()`] escape what could move the cursor, begin a line or change the writing direction. `table` lays out
//! tables, `wrap` continues long lines of a terminal in the next one, `terminal` says what an output can show.
//!
//! A write failure is kept until [`finish`]: a command that has begun its work completes it. A closed pipe is not a
//! failure; the rest is not printed, and lists end (see [`is_cut_off`]).

mod table;
mod terminal;
mod wrap;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use serde_json::Value;

pub use table::{Table, sentences, sparing_table, table};

use terminal::Look;
use wrap::flowed;

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
    raw(lines_of(text, Look::of(&io::stdout()).width).as_bytes());
}

/// See `note!`.
pub fn note_line(text: &str) {
    // An error on standard error has nowhere to go.
    let _ = io::stderr()
        .lock()
        .write_all(lines_of(text, Look::of(&io::stderr()).width).as_bytes());
}

/// A text as the lines that show it.
fn lines_of(text: &str, width: Option<usize>) -> String {
    let text = escaped(text);
    let lines = width.map_or_else(|| vec![text.to_string()], |width| flowed(&text, width));
    lines.into_iter().map(|line| line + "\n").collect()
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
