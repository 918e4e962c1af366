//! Requests of an application, a script or an administrator between cycles (rules.md, section 9).
//!
//! One service for HTTP and the command line. `one` and `add_many` look users up in the directory, and `evaluate`
//! decides as a cycle does. `by_hand` holds a person's decisions about a row. `kinds` creates and binds rows that are
//! not yet directory users. `roles` assigns security roles. `teams`, `units` and `positions` change the trees of an environment, `places` where a
//! user stands in them. `whereabouts` shows one person in every environment, `forget` blanks what the store
//! holds about one. No request needs the lease, only row locks.

mod add_many;
mod answer;
pub(in crate::sync) mod as_of;
mod by_hand;
mod edit;
pub(in crate::sync) mod evaluate;
mod evaluated;
pub mod explain;
pub mod forget;
mod kinds;
pub(in crate::sync) mod ledger;
mod memory;
mod merge;
mod one;
mod ownership;
pub(in crate::sync) mod places;
mod positions;
mod recall;
mod roles;
mod teams;
mod units;
pub mod whereabouts;

use crate::domain::word::words;
use serde::Serialize;
use serde_json::Value;

pub use add_many::MOST_AT_ONCE;
pub use memory::Memory;
pub use ownership::{Ownership, ownership};
pub use positions::PositionEdit;
pub use teams::{NewTeam, TeamEdit};
pub use units::UnitEdit;

use std::sync::Arc;

use self::explain::ShownVerdict;
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::domain::text::trimmed;
use crate::plan::Operation;
use crate::rules::Trigger;
use crate::store::{Connection, Fault, Own, StoreResult, rows};
use crate::sync::judge::sentence;
use crate::sync::pull::{LookUpResult, Puller};
use crate::sync::{Base, DeskError, UnknownEnvironment};

/// The caller and the subject of a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The user: object id, user principal name or the row's id.
    pub user: &'a str,
    /// The caller, for the change log.
    pub actor: &'a str,
}

words! {
    /// The effect on the row.
    #[derive(utoipa::ToSchema)]
    #[schema(rename_all = "snake_case")]
    pub enum Effect {
        /// It was created.
        Created "created"
        /// It was enabled again.
        Enabled "enabled"
        /// Columns or roles changed.
        Updated "updated"
        /// Nothing changed.
        Unchanged "unchanged"
        /// It was disabled.
        Disabled "disabled"
    }
}

impl Effect {
    pub(in crate::sync) const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Created,
            Operation::Enable => Self::Enabled,
            Operation::Disable => Self::Disabled,
            Operation::Update | Operation::Edit | Operation::Delete => Self::Updated,
        }
    }
}

/// The answer to a request that was not refused.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Answer {
    /// The effect on the row.
    pub outcome: Effect,
    /// The row as it is now; none if a refresh found no row.
    pub user: Option<SystemUser>,
    /// The verdict, if there was an evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ShownVerdict>,
}

/// Why a request was refused. Nothing was written, except that a verdict may have disabled the row.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason code.
    pub code: Code,
    /// One sentence.
    pub detail: String,
    /// The verdict, if there was an evaluation.
    pub verdict: Option<Box<ShownVerdict>>,
    /// The database's error about the row, if it rejected the row.
    pub fault: Option<Box<Fault>>,
}

impl Refusal {
    /// A refusal with the code's standard sentence.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self::saying(code, code.sentence())
    }

    /// A refusal with a specific sentence.
    #[must_use]
    pub fn saying(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            verdict: None,
            fault: None,
        }
    }
}

impl From<&Fault> for Refusal {
    fn from(fault: &Fault) -> Self {
        let refusal = match fault.own() {
            Some(Own::Name) => Self::new(Code::UpnConflict),
            Some(Own::Cap) => Self::new(Code::NonInteractiveCap),
            None => Self::saying(Code::RowNotWritten, sentence(fault)),
        };
        Self {
            fault: Some(Box::new(fault.clone())),
            ..refusal
        }
    }
}

/// The result of a transaction: it commits, or the request is refused and it rolls back.
type Ruled<T> = Result<T, Refusal>;

/// Answers requests between cycles.
#[derive(Clone)]
pub struct Desk {
    base: Base,
    puller: Puller,
    memory: Arc<Memory>,
}

impl Desk {
    pub(super) fn new(base: Base, puller: Puller, memory: Arc<Memory>) -> Self {
        Self { base, puller, memory }
    }

    /// The configured environment with this name.
    ///
    /// # Errors
    /// [`DeskError::UnknownEnvironment`].
    pub fn environment(&self, name: &str) -> Result<&Environment, UnknownEnvironment> {
        self.base.environment(name)
    }
}

pub(super) async fn find_row(db: &mut Connection, environment: &str, user: &str) -> StoreResult<Option<SystemUser>> {
    Ok(rows::named(db, &[environment.to_owned()], user)
        .await?
        .remove(environment))
}

/// The refusal for a name that nobody has.
pub(crate) fn nobody(user: &str) -> Refusal {
    let detail = format!("neither the directory nor the table has the user `{user}`");
    Refusal::saying(Code::UserNotFound, detail)
}

/// The refusal for a user whom neither the mirror nor the table has: the directory knows none, or did not answer.
fn not_found(user: &str, fresh: &LookUpResult) -> Refusal {
    match fresh {
        LookUpResult::Unanswered(_, problem) => Refusal::saying(Code::DirectoryUnavailable, problem),
        _ => nobody(user),
    }
}

/// The refusal for a missing row.
pub(crate) fn no_row(environment: &str, user: &str) -> Refusal {
    Refusal::saying(Code::UserNotFound, format!("{environment} has no row for `{user}`"))
}

/// The error for an invalid value.
pub(in crate::sync) fn bad_input(field: &str, problem: impl Into<String>) -> DeskError {
    DeskError::BadInput {
        field: field.to_owned(),
        problem: problem.into(),
    }
}

/// A JSON string, or null.
fn text_of(field: &str, value: &Value) -> Result<Option<String>, DeskError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.contains('\0') => Err(bad_input(field, "a text cannot hold NUL characters")),
        Value::String(text) => Ok(Some(trimmed(text).to_owned()).filter(|text| !text.is_empty())),
        _ => Err(bad_input(field, "expected a text or null")),
    }
}

/// Whether a trigger only reports what other triggers refuse with this code (rules.md, section 2).
const fn reports_only(trigger: Trigger, code: Code) -> bool {
    matches!(trigger, Trigger::Refresh | Trigger::Diagnostics)
        && !matches!(
            code,
            Code::NoDatabase
                | Code::ReservedUser
                | Code::StubUser
                | Code::RowDeleted
                | Code::DirectoryUnavailable
                | Code::Unlicensed
                | Code::AppPassExhausted
        )
}
