//! What comes of evaluating users.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Effect, Refusal};
use crate::domain::system_user::SystemUser;
use crate::plan::Candidate;
use crate::rules::{Trigger, Verdict};

/// The result for one user.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Evaluated {
    /// The user has this row, at which an import stops.
    Present(Uuid),
    /// Decided and written.
    Decided {
        candidate: Box<Candidate>,
        verdict: Box<Verdict>,
        /// What became of the row; none where nothing did.
        effect: Option<Effect>,
        /// The row that there is now.
        row: Option<Uuid>,
    },
    /// The database does not take the row.
    Refused(Refusal),
}

impl Evaluated {
    /// The row that there is now.
    pub const fn row(&self) -> Option<Uuid> {
        match self {
            Self::Present(row) => Some(*row),
            Self::Decided { row, .. } => *row,
            Self::Refused(_) => None,
        }
    }

    /// The result for whoever is named a second time: found as the first time has left it.
    pub fn found_again(&self, trigger: Trigger) -> Self {
        let mut again = self.clone();
        match &mut again {
            Self::Decided { row: Some(row), .. } if trigger == Trigger::Import => Self::Present(*row),
            Self::Decided { effect, .. } => {
                *effect = None;
                again
            }
            Self::Present(_) | Self::Refused(_) => again,
        }
    }

    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Decided { verdict, .. } => Some(verdict),
            Self::Present(_) | Self::Refused(_) => None,
        }
    }
}

/// The results for some users, and what was read with them.
#[derive(Debug, Default)]
pub(in crate::sync) struct Evaluation {
    /// In the order given.
    pub users: Vec<Evaluated>,
    /// Their rows as they are now; not read for an import.
    pub rows: HashMap<Uuid, SystemUser>,
    /// Who has the slots for non-interactive users, where somebody is refused one.
    pub cap: Option<Refusal>,
}
