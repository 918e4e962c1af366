//! Tables for people. On a terminal a line fits its width; elsewhere nothing is cut.

use std::fmt::Write as _;
use std::iter::zip;

use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

use super::raw;
use super::terminal::{Look, Style};
use crate::domain::text::escaped;

/// The blanks between two columns.
const GAP: usize = 2;

/// A column of text, or a long title over short numbers, is not cut to less.
const LEAST: usize = 4;

/// Sentences in the last column are wrapped there if so much room is left for them, and stand under their row if not.
const LEAST_FOR_SENTENCES: usize = 30;

/// The indentation of sentences under their row.
const INDENT: usize = 4;

/// The titles of columns that hold states.
const STATES: [&str; 6] = ["", "CHECK", "STATE", "OUTCOME", "RESULT", "SEVERITY"];

/// Prints rows under a heading, each column as wide as its widest cell.
pub fn table(heading: &[&str], rows: &[Vec<String>]) {
    Table::new(heading, false).print(rows);
}

/// As [`table`], for rows that end in sentences: a terminal shows these completely, in several lines.
pub fn sentences(heading: &[&str], rows: &[Vec<String>]) {
    Table::new(heading, true).print(rows);
}

/// A table that is printed in parts. Its columns fit the rows so far; a wider row widens them from there on. Numbers
/// align right. Where a line would be wider than the terminal, the widest columns of text are cut; numbers, times,
/// ids and the states that have a colour never are.
#[derive(Debug)]
pub struct Table {
    heading: Vec<String>,
    is_begun: bool,
    has_sentences: bool,
    is_numeric: Vec<bool>,
    /// The widths that would show everything, and those below which a column is not cut.
    natural: Vec<usize>,
    least: Vec<usize>,
    look: Look,
}

impl Table {
    /// A table without rows, whose last column may hold sentences.
    pub fn new(heading: &[&str], has_sentences: bool) -> Self {
        Self::looking(heading, has_sentences, Look::of_stdout())
    }

    fn looking(heading: &[&str], has_sentences: bool, look: Look) -> Self {
        let natural: Vec<usize> = heading.iter().map(|title| title.width()).collect();
        Self {
            heading: heading.iter().map(|title| (*title).to_owned()).collect(),
            is_begun: false,
            has_sentences: has_sentences && look.width.is_some(),
            is_numeric: Vec::new(),
            least: natural.iter().map(|width| LEAST.min(*width)).collect(),
            natural,
            look,
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
        for (column, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
            let width = cell.width();
            let least = match self.style(column, cell) {
                _ if is_exact(cell) => width,
                // One more for the ellipsis.
                Some(_) => width.min(first_word(cell).width() + 1),
                None => LEAST.min(width),
            };
            self.natural[column] = self.natural[column].max(width);
            self.least[column] = self.least[column].max(least);
        }
        let widths = self.widths();
        let mut text = String::new();
        if !self.is_begun {
            self.is_begun = true;
            let is_number = |cell: &String| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            let is_numeric = |column| !rows.is_empty() && rows.iter().all(|row| row.get(column).is_some_and(is_number));
            self.is_numeric = (0..self.heading.len()).map(is_numeric).collect();
            let line = self.line(&self.heading, &widths, false);
            let line = if self.look.colours {
                Style::Bold.paint(&line)
            } else {
                line
            };
            let _ = writeln!(text, "{line}");
        }
        for row in &rows {
            if self.has_sentences {
                self.add_sentences(&mut text, row, &widths);
            } else {
                let _ = writeln!(text, "{}", self.line(row, &widths, self.look.colours));
            }
        }
        text
    }

    /// The width of each column; without one for sentences that stand under their rows.
    fn widths(&self) -> Vec<usize> {
        let Some(room) = self.look.width else {
            return self.natural.clone();
        };
        let others = self.natural.len() - usize::from(self.has_sentences);
        let fit = |room| fitted(&self.natural[..others], &self.least[..others], room);
        if !self.has_sentences {
            return fit(room);
        }
        let beside = LEAST_FOR_SENTENCES.min(self.natural[others]) + GAP;
        let widths = fit(room.saturating_sub(beside));
        let taken: usize = widths.iter().map(|width| width + GAP).sum();
        match room.checked_sub(taken) {
            Some(left) if left + GAP >= beside => [widths, vec![left]].concat(),
            _ => fit(room),
        }
    }

    /// The style of a cell that holds a state.
    fn style(&self, column: usize, cell: &str) -> Option<Style> {
        let is_state = STATES.contains(&self.heading[column].as_str());
        is_state.then(|| Style::of_state(first_word(cell))).flatten()
    }

    /// One line, without blanks at its end.
    fn line(&self, cells: &[String], widths: &[usize], has_colours: bool) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in zip(cells, widths).enumerate() {
            let shown = cut(cell, *width);
            let blanks = " ".repeat(width.saturating_sub(shown.width()));
            let style = self.style(column, cell).filter(|_| has_colours);
            let painted = style.map_or_else(|| shown.clone(), |style| style.paint(&shown));
            let _ = if self.is_numeric[column] {
                write!(line, "{blanks}{painted}  ")
            } else {
                write!(line, "{painted}{blanks}  ")
            };
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// A row whose last cell is wrapped in its column, or under the others if it has none.
    fn add_sentences(&self, text: &mut String, row: &[String], widths: &[usize]) {
        let (others, last) = row.split_at(self.heading.len() - 1);
        let sentence = last.first().map_or("", String::as_str);
        let room = self.look.width.unwrap_or(usize::MAX);
        let in_column = widths.get(others.len());
        let width = in_column.copied().unwrap_or(room.saturating_sub(INDENT));
        let mut lines = wrapped(sentence, width).into_iter();
        let first = in_column.and_then(|_| lines.next()).unwrap_or_default();
        let _ = writeln!(
            text,
            "{}",
            self.line(&[others, &[first]].concat(), widths, self.look.colours)
        );
        let indent = in_column.map_or(INDENT, |_| widths[..others.len()].iter().map(|width| width + GAP).sum());
        for line in lines.filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "{}{line}", " ".repeat(indent));
        }
    }
}

/// Widths that fit a room: the widest column that can be cut loses a character until all fit, or none can be cut.
fn fitted(natural: &[usize], least: &[usize], room: usize) -> Vec<usize> {
    let mut widths = natural.to_vec();
    let gaps = GAP * widths.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
    while excess > 0 {
        let can_be_cut = (0..widths.len()).filter(|column| widths[*column] > least[*column]);
        let Some(widest) = can_be_cut.max_by_key(|column| widths[*column]) else {
            break;
        };
        widths[widest] -= 1;
        excess -= 1;
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

/// A text, or its beginning with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let kept = beginning(text, width.saturating_sub(1));
    format!("{}…", kept.trim_end())
}

/// The longest beginning of a text that fits.
fn beginning(text: &str, width: usize) -> &str {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let fitting = ends.take_while(|end| text[..*end].width() <= width);
    &text[..fitting.last().unwrap_or(0)]
}

/// A text in lines, broken between words; a word that is too long is broken itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for mut word in text.split(' ') {
        let line = lines.last().map_or("", String::as_str);
        if line.width() + 1 + word.width() <= width && !line.is_empty() {
            if let Some(line) = lines.last_mut() {
                *line += " ";
                *line += word;
            }
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        while word.width() > width && !beginning(word, width).is_empty() {
            let (part, rest) = word.split_at(beginning(word, width).len());
            if let Some(line) = lines.last_mut() {
                *line += part;
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            *line += word;
        }
    }
    lines
}

#[cfg(test)]
mod tests;
