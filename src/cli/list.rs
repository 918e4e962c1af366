//! Lists, page by page, and the results of commands for many users, to the end unless `--limit` is given.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::CliResult;
use super::output::{self, Table, is_cut_off, note};
use super::{CliError, Context, Output};
use crate::domain::text::{Text, escaped_json};

/// The number of items that are read, and kept, at once.
const PAGE: u64 = 1000;

/// How much of a list is shown.
#[derive(Debug, Default, clap::Args)]
pub struct Extent {
    /// List at most this many; 0 means all.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// List all, as without a limit.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Continue after this item: `next` of a list that stopped before its end.
    #[arg(long, value_name = "CURSOR")]
    after: Option<Text>,
}

/// How many results of a command for many users are shown. The limit does not change what the command does.
#[derive(Debug, clap::Args)]
pub struct Shown {
    /// Show at most this many results; 0 means all. The command acts on every user in any case.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show all results, as without a limit.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// The format of a list.
#[derive(Debug)]
pub struct Layout<'a, T> {
    /// The column titles.
    pub heading: &'a [&'a str],
    /// The titles of columns that a narrow terminal may leave out, the least needed first.
    pub spare: &'a [&'a str],
    /// An item as a row.
    pub row: fn(&T) -> Vec<String>,
    /// The text for an empty table; without it the heading is printed.
    pub nothing: Option<&'a str>,
    /// Additional members of the JSON document.
    pub beside: Map<String, Value>,
    /// Whether the last column holds sentences.
    pub has_sentences: bool,
    /// The name of the items in the JSON document.
    pub items: &'a str,
}

impl<'a, T> Layout<'a, T> {
    /// Rows under a heading.
    pub fn new(heading: &'a [&'a str], row: fn(&T) -> Vec<String>) -> Self {
        Self {
            heading,
            spare: &[],
            row,
            nothing: None,
            beside: Map::new(),
            has_sentences: false,
            items: "items",
        }
    }
}

/// Prints a list up to the requested limit, and reports if it stopped before the end. `read` gets a number of items
/// after a cursor, which `cursor` makes from an item.
pub async fn print<T: Serialize, C: FromStr + Display>(
    context: &Context,
    extent: &Extent,
    layout: Layout<'_, T>,
    cursor: impl Fn(&T) -> C,
    mut read: impl AsyncFnMut(Option<C>, i64) -> CliResult<Vec<T>>,
) -> CliResult<()> {
    let mut left = most(extent.limit, extent.all);
    let refused = || CliError::Usage("--after: expected `next` of a list that has stopped".to_owned());
    let mut after = match &extent.after {
        Some(after) => Some(after.parse().map_err(|_| refused())?),
        None => None,
    };
    let mut printer = Printer::new(context, &layout);
    loop {
        let wanted = left.min(PAGE);
        // One extra item shows whether there is more.
        let mut items = read(after, i64::try_from(wanted + 1).unwrap_or(i64::MAX)).await?;
        let more = items.len() as u64 > wanted;
        items.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        left -= items.len() as u64;
        printer.add(&items);
        after = items.last().filter(|_| more).map(&cursor);
        if after.is_none() || left == 0 || is_cut_off() {
            break;
        }
    }
    printer.end(after.as_ref().map(ToString::to_string));
    if let Some(next) = after
        && !is_cut_off()
    {
        note!("There are more: go on with --after {next}, or leave out --limit.");
    }
    Ok(())
}

/// Prints the results up to the limit and says how many are left out.
pub fn print_results<T: Serialize>(context: &Context, shown: &Shown, mut layout: Layout<'_, T>, results: &[T]) {
    let most = usize::try_from(most(shown.limit, shown.all)).unwrap_or(usize::MAX);
    let (results, left_out) = results.split_at(results.len().min(most));
    let left_out = left_out.len();
    if left_out > 0 {
        layout.beside.insert("left_out".to_owned(), Value::from(left_out));
    }
    let mut printer = Printer::new(context, &layout);
    printer.add(results);
    printer.end(None);
    if left_out > 0 && !is_cut_off() {
        note!("{left_out} more results are not shown: leave out --limit to see all.");
    }
}

fn most(limit: Option<u64>, all: bool) -> u64 {
    limit.filter(|limit| *limit > 0 && !all).unwrap_or(u64::MAX)
}

/// Prints the items read so far before reading more.
enum Printer<'a, T> {
    Table {
        table: Table,
        layout: &'a Layout<'a, T>,
        is_empty: bool,
    },
    Json {
        layout: &'a Layout<'a, T>,
        is_empty: bool,
    },
}

impl<'a, T: Serialize> Printer<'a, T> {
    fn new(context: &Context, layout: &'a Layout<'a, T>) -> Self {
        match context.output {
            Output::Table => Self::Table {
                table: Table::new(layout.heading, layout.spare, layout.has_sentences),
                layout,
                is_empty: true,
            },
            Output::Json => Self::Json { layout, is_empty: true },
        }
    }

    fn add(&mut self, items: &[T]) {
        if items.is_empty() {
            return;
        }
        match self {
            Self::Table {
                table,
                layout,
                is_empty,
            } => {
                *is_empty = false;
                table.print(&items.iter().map(layout.row).collect::<Vec<_>>());
            }
            Self::Json { layout, is_empty } => {
                let mut text = String::new();
                if std::mem::take(is_empty) {
                    text += &opening(layout);
                } else {
                    text += ",";
                }
                let items: Vec<String> = items.iter().map(|item| indented(item, 4)).collect();
                text += &items.join(",");
                output::raw(escaped_json(&text).as_bytes());
            }
        }
    }

    fn end(self, next: Option<String>) {
        match self {
            Self::Table {
                is_empty: false, table, ..
            } => table.end(),
            Self::Table { mut table, layout, .. } => match layout.nothing {
                Some(nothing) => output::say_line(nothing),
                None => table.print(&[]),
            },
            Self::Json { layout, is_empty } => {
                let items = if is_empty { opening(layout) } else { "\n  ".to_owned() };
                let text = format!("{items}],\n  \"next\": {}\n}}\n", Value::from(next));
                output::raw(escaped_json(&text).as_bytes());
            }
        }
    }
}

/// A document up to its first item, in serde's layout.
fn opening<T>(layout: &Layout<'_, T>) -> String {
    let beside = layout.beside.iter().map(|(name, value)| {
        let value = indented(value, 2);
        format!("\n  {}: {},", Value::from(name.as_str()), value.trim_start())
    });
    let items = Value::from(layout.items);
    format!("{{{}\n  {items}: [", beside.collect::<String>())
}

/// A value as a part of a document, on a line of its own: JSON texts contain no line ends.
fn indented(value: &impl Serialize, blanks: usize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let indent = format!("\n{}", " ".repeat(blanks));
    format!("{indent}{}", text.replace('\n', &indent))
}
