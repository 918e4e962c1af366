//! The result of a look-up.

use uuid::Uuid;

use crate::plan::Unasked;

/// The directory's current answer about a user.
#[derive(Clone, Debug)]
pub(in crate::sync) enum LookUpResult {
    /// The mirror matches the directory for this user, except for what was not asked.
    User(Uuid, Unasked),
    /// A row that has no directory user.
    Row(Uuid),
    /// A name that belongs to the system and has no row.
    Reserved,
    /// Neither the directory nor the table has a user of this name.
    Nobody,
    /// The directory gave no answer: the user, if known from another source, and the problem.
    Unanswered(Option<Uuid>, String),
}

impl LookUpResult {
    /// What was not asked about a user that the directory has.
    pub fn unasked(&self) -> Unasked {
        match self {
            Self::User(_, unasked) => *unasked,
            _ => Unasked::default(),
        }
    }
}

/// The directory's answers about some users.
#[derive(Debug)]
pub(in crate::sync) struct LookUpResults {
    /// One for each user, in the order requested.
    pub fresh: Vec<LookUpResult>,
    /// Why the directory could not be asked about any further user.
    pub outage: Option<String>,
}
