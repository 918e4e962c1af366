//! Tables for people. On a terminal a line fits its width; elsewhere nothing is cut.

use std::fmt::Write as _;
use std::iter::zip;

use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

use super::terminal::{Look, Style};
use super::wrap::{cut, wrapped};
use super::{is_cut_off, note, raw};
use crate::domain::text::escaped;

/// The blanks between two columns.
const GAP: usize = 2;

/// A column of text, or a long title over short numbers, is not cut to less.
const LEAST: usize = 4;

/// A column of text can be read if so much of it is shown: a table leaves out spare columns before it shows less.
const READABLE: usize = 8;

/// The same for columns whose texts often begin alike.
const READABLE_NAMES: [(&str, usize); 3] = [("USER", 24), ("WOULD LOSE ACCESS", 24), ("ENVIRONMENT", 12)];

/// The titles of columns of reason codes: a part of one may be a part of another.
const CODES: [&str; 2] = ["REASON", "CODE"];

/// Sentences in the last column are wrapped there if so much room is left for them, and stand under their row if not.
const LEAST_FOR_SENTENCES: usize = 30;

/// The indentation of sentences under their row.
const INDENT: usize = 4;

/// The titles of columns that hold states.
const STATES: [&str; 6] = ["", "CHECK", "STATE", "OUTCOME", "RESULT", "SEVERITY"];

/// Prints rows under a heading, each column as wide as its widest cell.
pub fn table(heading: &[&str], rows: &[Vec<String>]) {
    Table::new(heading, &[], false).print_all(rows);
}

/// As [`table`]; a narrow terminal may leave out the spare columns, the first of them first.
pub fn sparing_table(heading: &[&str], spare: &[&str], rows: &[Vec<String>]) {
    Table::new(heading, spare, false).print_all(rows);
}

/// As [`table`], for rows that end in sentences: a terminal shows these completely, in several lines.
pub fn sentences(heading: &[&str], rows: &[Vec<String>]) {
    Table::new(heading, &[], true).print_all(rows);
}

/// A table that is printed in parts. Its columns fit the rows so far; a wider row widens them from there on. Numbers
/// align right. Where a line would be wider than the terminal, spare columns are left out until the others can be read,
/// then the widest columns of text are cut; numbers, times, ids and the states that have a colour never are.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    /// The titles of columns that may be left out, the first of them first; then of those that are.
    spare: Vec<String>,
    left_out: Vec<String>,
    is_begun: bool,
    has_sentences: bool,
    look: Look,
}

/// A column that is shown.
#[derive(Debug)]
struct Column {
    title: String,
    /// Its position in a row.
    at: usize,
    /// The widths that show everything and enough to read, and the one below which it is not cut.
    natural: usize,
    readable: usize,
    least: usize,
    is_numeric: bool,
}

impl Column {
    fn new(at: usize, title: &str) -> Self {
        let mut column = Self {
            title: title.to_owned(),
            at,
            natural: 0,
            readable: 0,
            least: 0,
            is_numeric: false,
        };
        column.widen(title.width(), LEAST.min(title.width()));
        column
    }

    /// Makes room for a cell.
    fn fit(&mut self, cell: &str) {
        let width = cell.width();
        let least = match self.style(cell) {
            _ if is_exact(cell) || CODES.contains(&self.title.as_str()) => width,
            // One more for the ellipsis.
            Some(_) => width.min(first_word(cell).width() + 1),
            None => LEAST.min(width),
        };
        self.widen(width, least);
    }

    fn widen(&mut self, natural: usize, least: usize) {
        let name = READABLE_NAMES.iter().find(|(title, _)| *title == self.title);
        let enough = name.map_or(READABLE, |(_, enough)| *enough);
        self.natural = self.natural.max(natural);
        self.least = self.least.max(least);
        self.readable = self.natural.min(enough).max(self.least);
    }

    /// The style of a cell that holds a state.
    fn style(&self, cell: &str) -> Option<Style> {
        let is_state = STATES.contains(&self.title.as_str());
        is_state.then(|| Style::of_state(first_word(cell))).flatten()
    }
}

impl Table {
    /// A table without rows, whose last column may hold sentences.
    pub fn new(heading: &[&str], spare: &[&str], has_sentences: bool) -> Self {
        Self::looking(heading, spare, has_sentences, Look::of(&std::io::stdout()))
    }

    fn looking(heading: &[&str], spare: &[&str], has_sentences: bool, look: Look) -> Self {
        let columns = heading.iter().enumerate();
        Self {
            columns: columns.map(|(at, title)| Column::new(at, title)).collect(),
            spare: spare.iter().map(|title| (*title).to_owned()).collect(),
            left_out: Vec::new(),
            is_begun: false,
            has_sentences: has_sentences && look.width.is_some(),
            look,
        }
    }

    /// Prints more rows; before the first ones, the heading.
    pub fn print(&mut self, rows: &[Vec<String>]) {
        raw(self.lay_out(rows).as_bytes());
    }

    /// Says after the last row which columns were left out.
    pub fn end(self) {
        if !self.left_out.is_empty() && !is_cut_off() {
            let titles = self.left_out.join(", ");
            note!("Left out to fit the terminal: {titles}. A wider one shows all, and so does --output json.");
        }
    }

    fn print_all(mut self, rows: &[Vec<String>]) {
        self.print(rows);
        self.end();
    }

    fn lay_out(&mut self, rows: &[Vec<String>]) -> String {
        let rows = rows
            .iter()
            .map(|row| row.iter().map(|cell| escaped(cell).into_owned()).collect());
        let rows: Vec<Vec<String>> = rows.collect();
        for column in &mut self.columns {
            for row in &rows {
                column.fit(&row[column.at]);
            }
        }
        let mut text = String::new();
        if !self.is_begun {
            self.is_begun = true;
            self.leave_out();
            let is_number = |cell: &str| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            for column in &mut self.columns {
                column.is_numeric = !rows.is_empty() && rows.iter().all(|row| is_number(&row[column.at]));
            }
            let titles: Vec<&str> = self.columns.iter().map(|column| column.title.as_str()).collect();
            let line = self.line(&titles, &self.widths(), false);
            let line = if self.look.colours {
                Style::Bold.paint(&line)
            } else {
                line
            };
            let _ = writeln!(text, "{line}");
        }
        let widths = self.widths();
        for row in &rows {
            let cells: Vec<&str> = self.columns.iter().map(|column| row[column.at].as_str()).collect();
            if self.has_sentences {
                self.add_sentences(&mut text, &cells, &widths);
            } else {
                let _ = writeln!(text, "{}", self.line(&cells, &widths, self.look.colours));
            }
        }
        text
    }

    /// Leaves out spare columns until the others can be read in the terminal.
    fn leave_out(&mut self) {
        let Some(room) = self.look.width else { return };
        while taken(&readable(self.others())) > room && !self.spare.is_empty() {
            let title = self.spare.remove(0);
            self.columns.retain(|column| column.title != title);
            self.left_out.push(title);
        }
    }

    /// The columns without the one of sentences.
    fn others(&self) -> &[Column] {
        &self.columns[..self.columns.len() - usize::from(self.has_sentences)]
    }

    /// The width of each column; without one for sentences that stand under their rows.
    fn widths(&self) -> Vec<usize> {
        let Some(room) = self.look.width else {
            return self.columns.iter().map(|column| column.natural).collect();
        };
        let last = self.columns.last().filter(|_| self.has_sentences);
        let Some(last) = last else {
            return fitted(&self.columns, room);
        };
        let beside = LEAST_FOR_SENTENCES.min(last.natural) + GAP;
        let left_over = room.saturating_sub(beside);
        if taken(&readable(self.others())) > left_over {
            return fitted(self.others(), room);
        }
        let mut widths = fitted(self.others(), left_over);
        widths.push(room - taken(&widths) - GAP);
        widths
    }

    /// One line, without blanks at its end.
    fn line(&self, cells: &[&str], widths: &[usize], has_colours: bool) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in zip(&self.columns, zip(cells, widths)) {
            let shown = cut(cell, *width);
            let blanks = " ".repeat(width.saturating_sub(shown.width()));
            let style = column.style(cell).filter(|_| has_colours);
            let painted = style.map_or_else(|| shown.clone(), |style| style.paint(&shown));
            let _ = if column.is_numeric {
                write!(line, "{blanks}{painted}  ")
            } else {
                write!(line, "{painted}{blanks}  ")
            };
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// A row whose last cell is wrapped in its column, or under the others, with its title, if it has none.
    fn add_sentences(&self, text: &mut String, row: &[&str], widths: &[usize]) {
        let (others, last) = row.split_at(row.len() - 1);
        let sentence = last.first().copied().unwrap_or_default();
        let room = self.look.width.unwrap_or(usize::MAX);
        let in_column = widths.get(others.len());
        let width = in_column.copied().unwrap_or(room.saturating_sub(INDENT));
        let sentence = match (in_column, sentence) {
            (Some(_), _) => sentence.to_owned(),
            (None, "" | "-") => String::new(),
            (None, _) => format!("{}: {sentence}", self.columns[others.len()].title.to_lowercase()),
        };
        let mut lines = wrapped(&sentence, width).into_iter();
        let first = in_column.and_then(|_| lines.next()).unwrap_or_default();
        let line = self.line(&[others, &[&first]].concat(), widths, self.look.colours);
        let _ = writeln!(text, "{line}");
        let indent = in_column.map_or(INDENT, |_| widths[..others.len()].iter().map(|width| width + GAP).sum());
        for line in lines.filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "{}{line}", " ".repeat(indent));
        }
    }
}

/// The widths in which columns can be read.
fn readable(columns: &[Column]) -> Vec<usize> {
    columns.iter().map(|column| column.readable).collect()
}

/// The room that columns take with these widths.
fn taken(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Widths that fit a room: the widest column that can be cut loses a character until all fit, or none can be cut. None
/// becomes unreadable if all can be read.
fn fitted(columns: &[Column], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.natural).collect();
    let mut least = readable(columns);
    if taken(&least) > room {
        least = columns.iter().map(|column| column.least).collect();
    }
    for _ in room..taken(&widths) {
        let can_be_cut = (0..widths.len()).filter(|column| widths[*column] > least[*column]);
        let Some(widest) = can_be_cut.max_by_key(|column| widths[*column]) else {
            break;
        };
        widths[widest] -= 1;
    }
    widths
}

/// Whether a cell is an id, a number or a time: a part of it would be another one.
fn is_exact(cell: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || b" -:.,+/%".contains(&byte);
    Uuid::try_parse(cell).is_ok() || cell.bytes().any(|byte| byte.is_ascii_digit()) && cell.bytes().all(is_part)
}

/// The first word of a cell, which says the state.
fn first_word(cell: &str) -> &str {
    cell.split([' ', ',']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
