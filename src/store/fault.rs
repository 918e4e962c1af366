//! What keeps a row from being written: a constraint, an index or a trigger of the customer's, told apart from what
//! ails the server.
//!
//! What is decided here is decided by where an error comes from, never by what it says: a trigger may raise any
//! SQLSTATE with any text. And none of that text is kept. It may hold anybody's data, be of any length, and differ
//! each time; what is shown is the SQLSTATE and names from the catalogue.

use std::fmt;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::StoreError;

/// Our own unique constraints: whoever meets one has come second, and finds on the next try who was first.
pub(super) const OWN_UNIQUE: [&str; 4] = [
    "system_user_pkey",
    "system_user_object_id",
    "system_user_upn_key",
    "system_user_applicationid",
];

/// Our own check that a slot is left, which a trigger makes.
const CAP: &str = "system_user_non_interactive_cap";

/// Functions of ours that a row passes on its way.
const OWN_FUNCTIONS: [&str; 4] = [
    "write_each",
    "keep_non_interactive_cap",
    "keep_time_forward",
    "set_custom_column",
];

/// The longest name that is shown: as long as PostgreSQL's may be, with a schema.
const NAME_CHARACTERS: usize = 127;

/// Why the database does not take a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: String,
    by: By,
    may_pass: bool,
    is_slow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    Constraint {
        name: String,
        table: String,
    },
    Column {
        name: String,
        table: String,
    },
    Function(String),
    /// A trigger that swallows the row and says nothing.
    Silence,
    Unnamed,
}

/// What the server says of an error, as far as it can be trusted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report<'a> {
    pub code: &'a str,
    pub constraint: &'a str,
    pub table: &'a str,
    pub column: &'a str,
    /// Where it happened, innermost first. Its words are translated, the names in it are not.
    pub context: &'a str,
}

impl Report<'_> {
    /// Whether a function said RAISE: then everything else in the report is the function's invention.
    fn is_raised(&self) -> bool {
        let innermost = self.context.lines().next().unwrap_or_default();
        innermost.contains("PL/pgSQL") && innermost.contains(" RAISE")
    }

    /// Where in a function that is not ours it happened.
    fn place(&self) -> Option<&str> {
        let is_ours = |line: &str| OWN_FUNCTIONS.iter().any(|own| line.contains(own));
        self.context.lines().find(|line| line.contains("PL/") && !is_ours(line))
    }

    /// The name of that function, which stands before its arguments. Quotes are those of a statement, which may hold
    /// anything.
    fn function(&self) -> Option<String> {
        let place = self.place().filter(|place| !place.contains('"'))?;
        let (before, _) = place.split_once('(')?;
        before.split_whitespace().last().map(clean)
    }

    fn is_of_class(&self, classes: &[&str]) -> bool {
        classes.iter().any(|class| self.code.starts_with(class))
    }
}

impl Fault {
    /// Whether an error is about the row that was being written; none where it would befall every row.
    fn of(error: &PgDatabaseError) -> Option<Self> {
        let report = Report {
            code: error.code(),
            constraint: error.constraint().unwrap_or_default(),
            table: error.table().unwrap_or_default(),
            column: error.column().unwrap_or_default(),
            context: error.r#where().unwrap_or_default(),
        };
        // What ends the session is the server's, whoever else uses its SQLSTATE.
        let is_fatal = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        // Data exception, integrity constraint, WITH CHECK OPTION, a limit such as that of an index entry; somebody
        // else at the same time; a policy for rows.
        let is_about_row = report.is_of_class(&["22", "23", "44", "54", "40001", "40P01"])
            || error.routine() == Some("ExecWithCheckOptions");
        // Resources of the server, one that only reads, a plan made for other tables.
        let is_about_server = report.is_of_class(&["53", "58", "25006", "0A000"]);
        let is_fault = report.is_raised() || (!is_about_server && (is_about_row || report.place().is_some()));
        (is_fault && !is_fatal).then(|| Self::told(report))
    }

    /// The fault behind a report that is about a row.
    pub(super) fn told(report: Report<'_>) -> Self {
        let innermost = report.context.lines().next().unwrap_or_default();
        let is_own_cap = report.constraint == CAP;
        if innermost.contains("write_each") && innermost.contains(" RAISE") {
            return Self::left_out();
        }
        let is_raised = report.is_raised() && !is_own_cap;
        let by = match report {
            _ if is_raised => report.function().map_or(By::Unnamed, By::Function),
            Report { constraint, table, .. } if !constraint.is_empty() => By::Constraint {
                name: clean(constraint),
                table: clean(table),
            },
            Report { column, table, .. } if !column.is_empty() => By::Column {
                name: clean(column),
                table: clean(table),
            },
            report => report.function().map_or(By::Unnamed, By::Function),
        };
        let is_second = report.code == "23505" && OWN_UNIQUE.contains(&report.constraint);
        Self {
            code: clean(report.code),
            is_slow: !is_raised && report.is_of_class(&["57014", "55P03"]),
            may_pass: !is_raised && (is_second || report.is_of_class(&["40001", "40P01"])),
            by,
        }
    }

    /// The row was written, says the database, but it is not there.
    pub(super) fn left_out() -> Self {
        Self {
            code: "02000".to_owned(),
            by: By::Silence,
            may_pass: false,
            is_slow: false,
        }
    }

    /// Something about which nothing else is known.
    pub(super) fn unknown(code: &str) -> Self {
        Self {
            code: clean(code),
            by: By::Unnamed,
            may_pass: false,
            is_slow: false,
        }
    }

    /// Whether somebody else came in the way, so that another try may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// Whether it is that the statement, or a lock in it, took too long.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Whether the value itself is of no use for its column, whoever writes it.
    #[must_use]
    pub fn is_about_value(&self) -> bool {
        !matches!(self.by, By::Function(_) | By::Silence)
            && (["22", "23", "54"].iter().any(|class| self.code.starts_with(class)))
    }

    /// The constraint of ours, where it is one.
    #[must_use]
    pub fn own(&self) -> Option<Own> {
        match &self.by {
            By::Constraint { name, .. } if name == "system_user_upn_key" => Some(Own::Name),
            By::Constraint { name, .. } if name == CAP => Some(Own::Cap),
            _ => None,
        }
    }
}

/// Constraints of ours that a request may meet although it looked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Each user principal name is held by one live row.
    Name,
    /// No more non-interactive users than slots.
    Cap,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Constraint { name, table } if table.is_empty() => write!(f, "constraint {name}")?,
            By::Constraint { name, table } => write!(f, "constraint {name} of {table}")?,
            By::Column { name, table } if table.is_empty() => write!(f, "column {name}")?,
            By::Column { name, table } => write!(f, "column {name} of {table}")?,
            By::Function(name) => write!(f, "function {name}")?,
            By::Silence => return f.write_str("a trigger leaves it out"),
            By::Unnamed => return write!(f, "SQLSTATE {}", self.code),
        }
        write!(f, " (SQLSTATE {})", self.code)
    }
}

impl std::error::Error for Fault {}

impl StoreError {
    /// An error of a statement that writes rows, or of a commit: it may be about one of them.
    pub(super) fn of_rows(error: sqlx::Error) -> Self {
        let said = match &error {
            sqlx::Error::Database(said) => said.try_downcast_ref::<PgDatabaseError>(),
            _ => None,
        };
        match said.and_then(Fault::of) {
            Some(fault) => Self::Refused(fault),
            None => error.into(),
        }
    }
}

/// A name without anything that is no part of ordinary names, and cut.
fn clean(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.$- ".contains(c);
    name.chars()
        .take(NAME_CHARACTERS)
        .map(|c| if is_plain(c) { c } else { '?' })
        .collect()
}
