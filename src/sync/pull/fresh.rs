//! What a look-up brings.

use uuid::Uuid;

use crate::plan::Unasked;

/// What the directory says of somebody right now.
#[derive(Clone, Debug)]
pub(in crate::sync) enum LookUpResult {
    /// The mirror knows this user as the directory does, but for what was not asked.
    User(Uuid, Unasked),
    /// A row that no directory user belongs to.
    Row(Uuid),
    /// A name that belongs to the system and has no row.
    Reserved,
    /// Neither the directory nor the table knows anybody of that name.
    Nobody,
    /// The directory gave no answer: the user, if known from elsewhere, and what went wrong.
    Unanswered(Option<Uuid>, String),
}

impl LookUpResult {
    /// What the directory did not say of a user whom it knows.
    pub fn unasked(&self) -> Unasked {
        match self {
            Self::User(_, unasked) => *unasked,
            _ => Unasked::default(),
        }
    }
}

/// What the directory says of some users.
#[derive(Debug)]
pub(in crate::sync) struct LookUpResults {
    /// One for each, in the order asked.
    pub fresh: Vec<LookUpResult>,
    /// Why the directory could not be asked any more, about anybody.
    pub outage: Option<String>,
}
