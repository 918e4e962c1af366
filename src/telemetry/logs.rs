//! Sets up the log: lines on standard error, as text for people or as one JSON object each for collectors.
//!
//! A line carries the fields of its enclosing spans, so every line of a cycle names its run. Standard output is for
//! results; nothing here may write to it. The caller decides what is logged at which level; whatever a value contains,
//! an event is one line. If standard error is systemd's journal, each line begins with its priority.

use crate::domain::word::words;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;

use crate::domain::text::{escaped, escaped_json};

words! {
    /// The format of log lines.
    #[derive(Default)]
    pub enum Format: "no log format" {
        /// For people.
        #[default]
        Text "text"
        /// For collectors.
        Json "json"
    }
}

/// Dependencies that log more than an operator wants. They get the requested level, but at most `warn`, unless the
/// filter names them.
const QUIET: [&str; 9] = [
    "sqlx",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "h2",
    "tower",
    "axum",
    "mio",
];

const EXPECTED: &str =
    "expected off, error, warn, info, debug or trace, or directives such as \"info,rollcall::graph=debug\"";

/// Starts logging to standard error for the rest of the process. Call it once.
///
/// # Errors
/// A sentence, if the filter is invalid or logging has been started before.
pub fn init(filter: &str, format: Format) -> Result<(), String> {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    let colours = io::stderr().is_terminal() && !is_plain;
    let lines = Lines {
        writer: io::stderr,
        format,
        is_journal: is_journal(),
    };
    let dispatch = dispatch(filter, colours, lines)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| "logging has been started before".to_owned())
}

/// Whether standard error is systemd's journal, which reads a priority at the beginning of a line.
#[must_use]
pub fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let stderr = stderr.and_then(|file| file.metadata()).ok();
    is_stream(named.as_deref(), stderr.map(|stderr| (stderr.dev(), stderr.ino())))
}

/// Whether a file, by device and inode, is the one that `JOURNAL_STREAM` names: a child's standard error may be another.
fn is_stream(named: Option<&str>, file: Option<(u64, u64)>) -> bool {
    let named = named.and_then(|named| named.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    named.is_some() && named == file
}

/// The priority of a level for systemd, as sd-daemon(3) defines it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Whether [`init`] would accept the filter.
///
/// # Errors
/// A sentence that gives the expected form.
pub fn check(filter: &str) -> Result<(), String> {
    parse(filter).map(drop)
}

fn dispatch<W, O>(filter: &str, colours: bool, lines: Lines<W>) -> Result<Dispatch, String>
where
    W: Fn() -> O + Send + Sync + 'static,
    O: io::Write + 'static,
{
    let registry = tracing_subscriber::registry().with(parse(filter)?);
    let layer = tracing_subscriber::fmt::layer().with_ansi(colours);
    Ok(match lines.format {
        Format::Text => dispatch_of(registry.with(layer.with_writer(lines).fmt_fields(debug_fn(value).delimited(" ")))),
        // The list of spans, not only the innermost: the run id is on the outermost.
        Format::Json => dispatch_of(
            registry.with(
                layer
                    .with_writer(lines)
                    .json()
                    .flatten_event(true)
                    .with_current_span(false),
            ),
        ),
    })
}

/// Escapes a value in a line of text. Depending on how a value was recorded, the library lets through characters that
/// begin another line or move a terminal's cursor.
fn value(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    match field.name() {
        "message" => write!(to, "{}", escaped(&text)),
        name => write!(to, "{name}={}", escaped(&text)),
    }
}

/// Where lines go, and in which form.
struct Lines<W> {
    writer: W,
    format: Format,
    is_journal: bool,
}

impl<'a, W: Fn() -> O, O: io::Write> MakeWriter<'a> for Lines<W> {
    type Writer = Line<O>;

    fn make_writer(&'a self) -> Line<O> {
        Line {
            writer: (self.writer)(),
            format: self.format,
            priority: "",
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<O> {
        Line {
            priority: if self.is_journal { priority(*event.level()) } else { "" },
            ..self.make_writer()
        }
    }
}

/// Takes an event in one piece, as the library writes it. Adds its priority, and to JSON the escapes that it does not
/// require.
struct Line<W> {
    writer: W,
    format: Format,
    priority: &'static str,
}

impl<W: io::Write> io::Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = match self.format {
            Format::Text => text,
            Format::Json => escaped_json(&text).into_owned().into(),
        };
        self.writer.write_all(format!("{}{text}", self.priority).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn dispatch_of(subscriber: impl Subscriber + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(subscriber)
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    let refuse = || format!("`{filter}` is no log filter; {EXPECTED}");
    if filter.trim().is_empty() {
        return Err(format!("the log filter is empty; {EXPECTED}"));
    }
    // A single word would be parsed as a module name, so a mistyped level would silence everything. Directives with `[`
    // may contain commas; those are left to the library.
    let mut base = LevelFilter::ERROR;
    if !filter.contains('[') {
        for directive in filter.split(',').filter(|directive| !directive.contains('=')) {
            base = level(directive.trim()).ok_or_else(refuse)?;
        }
    }
    let quiet = base.min(LevelFilter::WARN);
    let directives: Vec<String> = QUIET.iter().map(|target| format!("{target}={quiet}")).collect();
    EnvFilter::builder()
        .parse(format!("{},{filter}", directives.join(",")))
        .map_err(|_| refuse())
}

/// A level by its name; the library would also accept numbers.
fn level(name: &str) -> Option<LevelFilter> {
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let name = name.to_ascii_lowercase();
    known.contains(&name.as_str()).then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: Format, act: impl FnOnce()) -> String {
        logged_in(false, filter, format, act)
    }

    fn logged_in(colours: bool, filter: &str, format: Format, act: impl FnOnce()) -> String {
        logged_to(false, colours, filter, format, act)
    }

    fn logged_to(is_journal: bool, colours: bool, filter: &str, format: Format, act: impl FnOnce()) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let lines = Lines {
            writer: move || to.clone(),
            format,
            is_journal,
        };
        let dispatch = dispatch(filter, colours, lines).unwrap();
        tracing::dispatcher::with_default(&dispatch, act);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_carries_the_run_of_the_outermost_span() {
        let act = || {
            let _cycle = tracing::info_span!("cycle", run = "r-1").entered();
            let _page = tracing::info_span!("page", number = 2).entered();
            tracing::info!(users = 3, "pulled a page");
        };
        let line = logged("info", Format::Json, act);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["message"], &line["users"]), (&"pulled a page".into(), &3.into()));
        assert_eq!(line["spans"][0]["run"], "r-1");
        assert_eq!(line["spans"][1]["number"], 2);
        let line = logged("info", Format::Text, act);
        assert!(line.contains("cycle{run=\"r-1\"}:page{number=2}:"), "{line}");
    }

    /// Case text-1, for logs: whatever way a value comes into an event.
    #[test]
    fn no_value_makes_a_second_line_or_reaches_the_terminal() {
        for evil in [
            "\n",
            "\r",
            "\u{1b}[2J",
            "\u{7}",
            "\t",
            "\u{7f}",
            "\u{85}",
            "\u{9b}2J",
            "\u{2028}",
            "\u{202e}",
            "\u{feff}",
        ] {
            let value = format!("x{evil}2026-03-02T08:00:00Z ERROR rollcall: forged");
            let act = || {
                let _span = tracing::info_span!("request", text = value, shown = %value, dumped = ?value).entered();
                tracing::info!(text = value, shown = %value, dumped = ?value, "{value}");
            };
            for colours in [false, true] {
                let lines = logged_in(colours, "info", Format::Text, act);
                let shown = lines.strip_suffix('\n').unwrap();
                let hidden = |character| character != '\u{1b}' && crate::domain::text::is_hidden(character);
                assert!(
                    !shown.contains(hidden) && !shown.contains("\u{1b}[2J"),
                    "{evil:?}: {shown:?}"
                );
                assert!(colours || !shown.contains('\u{1b}'), "{evil:?}: {shown:?}");
            }
            let line = logged("info", Format::Json, act);
            assert!(
                !line.trim_end_matches('\n').contains(crate::domain::text::is_hidden),
                "{evil:?}: {line:?}"
            );
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&line["message"], &line["shown"]),
                (&value.as_str().into(), &value.as_str().into())
            );
        }
    }

    #[test]
    fn the_journal_is_the_stream_that_systemd_names_and_no_other() {
        for (named, file, expected) in [
            (Some("8:42"), Some((8, 42)), true),
            (Some("8:42"), Some((8, 43)), false),
            (Some("8:42"), Some((9, 42)), false),
            (Some("8:42"), None, false),
            (None, Some((8, 42)), false),
            (Some("8"), Some((8, 42)), false),
            (Some(""), None, false),
            (Some("a:b"), None, false),
        ] {
            assert_eq!(is_stream(named, file), expected, "{named:?} {file:?}");
        }
    }

    #[test]
    fn a_line_for_the_journal_begins_with_the_priority_of_its_level() {
        let act = || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::info!("three");
            tracing::debug!("four");
            tracing::trace!("five");
        };
        for format in [Format::Text, Format::Json] {
            let lines = logged_to(true, false, "trace", format, act);
            let begins: Vec<&str> = lines.lines().map(|line| &line[..3]).collect();
            assert_eq!(begins, ["<3>", "<4>", "<6>", "<7>", "<7>"], "{lines}");
            let others = logged("trace", format, act);
            assert!(!others.contains('<'), "{others}");
        }
    }

    #[test]
    fn dependencies_are_quiet_unless_the_filter_names_them() {
        let act = || {
            tracing::debug!(target: "sqlx::query", "a statement");
            tracing::warn!(target: "sqlx::query", "a slow statement");
            tracing::debug!("our own");
        };
        let count = |filter: &str| logged(filter, Format::Text, act).lines().count();
        assert_eq!(count("debug"), 2);
        assert_eq!(count("info"), 1);
        assert_eq!(count("error"), 0);
        assert_eq!(count("off"), 0);
        assert_eq!(count("debug,sqlx=debug"), 3);
        assert_eq!(count("rollcall=debug"), 1);
    }

    #[test]
    fn a_filter_that_would_silence_everything_by_mistake_is_refused() {
        for filter in ["verbose", "5", "", "info,debugg", "rollcall=loud", "info,[", "rollcall"] {
            let problem = check(filter).unwrap_err();
            assert!(
                problem.contains("expected off, error, warn, info, debug or trace"),
                "{filter}: {problem}"
            );
        }
        for filter in [
            "INFO",
            "warn,rollcall::graph=trace",
            "rollcall[cycle{run=1}]=debug",
            "off",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }
}
