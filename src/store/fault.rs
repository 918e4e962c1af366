//! Why a row cannot be written: a customer's constraint, index or trigger, as opposed to a server failure.
//!
//! The origin of an error decides, never its text: a trigger may raise any SQLSTATE with any text. The text is not
//! kept: it may hold personal data, be of any length, and differ each time. Reports show the SQLSTATE and names from
//! the catalogue.

use std::fmt;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::StoreError;

/// Our own unique constraints: the loser of a race finds the winner's row on its next try.
pub(super) const OWN_UNIQUE: [&str; 4] = [
    "system_user_pkey",
    "system_user_object_id",
    "system_user_upn_key",
    "system_user_applicationid",
];

/// Our own check for a free slot, made by a trigger.
const CAP: &str = "system_user_non_interactive_cap";

/// Our own functions that the write of a row runs.
const OWN_FUNCTIONS: [&str; 5] = [
    "write_each",
    "write_extra",
    "keep_non_interactive_cap",
    "keep_time_forward",
    "set_custom_column",
];

/// The longest name shown: PostgreSQL's limit, with a schema.
const NAME_CHARACTERS: usize = 127;

/// Why the database refuses a row.
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
    /// A trigger that drops the row without an error.
    Silence,
    Unnamed,
}

/// The trusted parts of a server error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report<'a> {
    pub code: &'a str,
    pub constraint: &'a str,
    pub table: &'a str,
    pub column: &'a str,
    /// Where it happened, innermost first. The words are translated, the names are not.
    pub context: &'a str,
}

impl<'a> From<&'a PgDatabaseError> for Report<'a> {
    fn from(error: &'a PgDatabaseError) -> Self {
        Self {
            code: error.code(),
            constraint: error.constraint().unwrap_or_default(),
            table: error.table().unwrap_or_default(),
            column: error.column().unwrap_or_default(),
            context: error.r#where().unwrap_or_default(),
        }
    }
}

impl Report<'_> {
    /// Whether a function used RAISE: then the function made up everything else in the report.
    fn is_raised(&self) -> bool {
        let innermost = self.context.lines().next().unwrap_or_default();
        innermost.contains("PL/pgSQL") && innermost.contains(" RAISE")
    }

    /// The place in a function that is not ours.
    fn place(&self) -> Option<&str> {
        let is_ours = |line: &str| OWN_FUNCTIONS.iter().any(|own| line.contains(own));
        self.context.lines().find(|line| line.contains("PL/") && !is_ours(line))
    }

    /// The name of that function, which stands before its arguments. Quotes belong to a statement, which may hold
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
    /// The customer's function that raised the error, if one did.
    pub(super) fn of_function(error: &PgDatabaseError) -> Option<Self> {
        let report = Report::from(error);
        (report.is_raised() && report.place().is_some()).then(|| Self::told(report))
    }

    /// The report, if the error is about the row being written; none if every row would meet it.
    fn of(error: &PgDatabaseError) -> Option<Self> {
        let report = Report::from(error);
        // An error that ends the session is the server's, whatever else uses its SQLSTATE.
        let is_fatal = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        // Data exception, integrity constraint, WITH CHECK OPTION, a limit such as that of an index entry; a concurrent
        // write; a row security policy.
        let is_about_row = report.is_of_class(&["22", "23", "44", "54", "40001", "40P01"])
            || error.routine() == Some("ExecWithCheckOptions");
        // Server resources, a read-only server, a plan made for other tables.
        let is_about_server = report.is_of_class(&["53", "58", "25006", "0A000"]);
        let is_fault = report.is_raised() || (!is_about_server && (is_about_row || report.place().is_some()));
        (is_fault && !is_fatal).then(|| Self::told(report))
    }

    /// The fault behind a report about a row.
    pub(super) fn told(report: Report<'_>) -> Self {
        let innermost = report.context.lines().next().unwrap_or_default();
        let is_own_cap = report.constraint == CAP;
        if innermost.contains("write_each") && innermost.contains(" RAISE") {
            return Self::left_out();
        }
        // Our own function raises the error again with the column.
        let is_own_column = innermost.contains("write_extra");
        let is_raised = report.is_raised() && !is_own_cap && !is_own_column;
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

    /// The database reports the row as written, but it is not there.
    pub(super) fn left_out() -> Self {
        Self {
            code: "02000".to_owned(),
            by: By::Silence,
            may_pass: false,
            is_slow: false,
        }
    }

    /// A fault of which only the code is known.
    pub(super) fn unknown(code: &str) -> Self {
        Self {
            code: clean(code),
            by: By::Unnamed,
            may_pass: false,
            is_slow: false,
        }
    }

    /// Whether it is a conflict with a concurrent writer, so that a retry may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// Whether the statement or a lock in it timed out.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Whether the column cannot take the value, whoever writes it.
    #[must_use]
    pub fn is_about_value(&self) -> bool {
        !matches!(self.by, By::Function(_) | By::Silence)
            && (["22", "23", "54"].iter().any(|class| self.code.starts_with(class)))
    }

    /// The violated constraint, if it is ours.
    #[must_use]
    pub fn own(&self) -> Option<Own> {
        match &self.by {
            By::Constraint { name, .. } if name == "system_user_upn_key" => Some(Own::Name),
            By::Constraint { name, .. } if name == CAP => Some(Own::Cap),
            _ => None,
        }
    }
}

/// Our constraints that a request may violate although it checked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Only one live row holds a user principal name.
    Name,
    /// There are no more non-interactive users than slots.
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
    /// An error of a statement that writes rows, or of a commit, which one of the rows may have caused.
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

/// A name with unusual characters removed, and truncated.
fn clean(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.$- ".contains(c);
    name.chars()
        .take(NAME_CHARACTERS)
        .map(|c| if is_plain(c) { c } else { '?' })
        .collect()
}
