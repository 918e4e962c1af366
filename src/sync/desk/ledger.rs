//! The results for the users of a batch, written into the job in the transaction that writes their rows.

use std::ops::Range;

use uuid::Uuid;

use super::Effect;
use super::evaluated::Evaluated;
use crate::domain::import::{Item, ItemState};
use crate::domain::reason::Code;
use crate::store::jobs::queue::{self, Claim};
use crate::store::{StoreResult, Transaction};
use crate::sync::pull::LookUpResult;

/// The current batch.
pub(in crate::sync) struct Ledger<'a> {
    pub claim: Claim,
    /// Its users, by their position in the batch.
    pub items: &'a [Item],
    /// The directory's answers about them.
    pub fresh: &'a [LookUpResult],
    /// The users are the next ones of a walk over everyone, in key order: the walk's position is recorded.
    pub walks: bool,
}

impl Ledger<'_> {
    /// Writes results. Fails if another worker now has the job, and the whole transaction fails with it.
    pub(in crate::sync) async fn record(
        &self,
        tx: &mut Transaction,
        part: Range<usize>,
        evaluated: &[Evaluated],
    ) -> StoreResult<()> {
        let results = part.clone().zip(evaluated);
        let results: Vec<Item> = results.map(|(at, evaluated)| self.result(at, evaluated)).collect();
        let walked_to = part.last().filter(|_| self.walks);
        let walked_to = walked_to.and_then(|last| self.items[last].object_id);
        queue::record(tx, self.claim, &results, walked_to).await
    }

    fn result(&self, at: usize, evaluated: &Evaluated) -> Item {
        let item = self.items[at].clone();
        let object_id = object_id(&self.fresh[at]).or(item.object_id);
        let of_state = |state, systemuserid| Item {
            object_id,
            state,
            systemuserid,
            ..item.clone()
        };
        let refused = |code: Code, detail: Option<String>| Item {
            code: Some(code.as_str().to_owned()),
            detail,
            ..of_state(ItemState::Refused, None)
        };
        match evaluated {
            Evaluated::Present(row) => of_state(ItemState::AlreadyPresent, Some(*row)),
            Evaluated::Refused(refusal) => refused(refusal.code, Some(refusal.detail.clone())),
            Evaluated::Decided { effect, row, .. } if *effect == Some(Effect::Created) => {
                of_state(ItemState::Created, *row)
            }
            Evaluated::Decided { verdict, .. } => {
                let code = verdict.asker_code().unwrap_or(Code::DirectoryUnavailable);
                let detail = match &self.fresh[at] {
                    LookUpResult::Unanswered(_, problem) if code == Code::DirectoryUnavailable => Some(problem.clone()),
                    _ => None,
                };
                refused(code, detail)
            }
        }
    }
}

fn object_id(fresh: &LookUpResult) -> Option<Uuid> {
    match fresh {
        LookUpResult::User(id, _) | LookUpResult::Unanswered(Some(id), _) => Some(*id),
        _ => None,
    }
}
