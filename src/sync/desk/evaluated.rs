//! The results of evaluating users.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Effect, Refusal};
use crate::domain::system_user::SystemUser;
use crate::plan::Candidate;
use crate::rules::{Trigger, Verdict};

/// The result for one user.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Evaluated {
    /// The user already has this row; an import stops here.
    Present(Uuid),
    /// Evaluated and written.
    Decided {
        candidate: Box<Candidate>,
        verdict: Box<Verdict>,
        /// The effect on the row; none if nothing changed.
        effect: Option<Effect>,
        /// The row that exists now.
        row: Option<Uuid>,
    },
    /// The database rejects the row.
    Refused(Refusal),
}

impl Evaluated {
    /// The row that was created.
    pub fn created(&self) -> Option<Uuid> {
        match self {
            Self::Decided { effect, row, .. } => row.filter(|_| *effect == Some(Effect::Created)),
            Self::Present(_) | Self::Refused(_) => None,
        }
    }

    /// The row that exists now.
    pub const fn row(&self) -> Option<Uuid> {
        match self {
            Self::Present(row) => Some(*row),
            Self::Decided { row, .. } => *row,
            Self::Refused(_) => None,
        }
    }

    /// The result for a user named a second time: the row as the first evaluation left it.
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

/// The results for some users, and the rows read with them.
#[derive(Debug, Default)]
pub(in crate::sync) struct Evaluation {
    /// In the order given.
    pub users: Vec<Evaluated>,
    /// Their rows as they are now; not read for an import.
    pub rows: HashMap<Uuid, SystemUser>,
    /// The users who hold the slots for non-interactive users, if a user was refused one.
    pub cap: Option<Refusal>,
}
