//! Looks up the users of a held set in the directory when a person approves the set (rules.md, section 11).

use futures_util::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::Guard;
use crate::domain::environment::Environment;
use crate::domain::source::Source;
use crate::plan::Unasked;
use crate::store::checkpoints;
use crate::sync::GuardError;
use crate::sync::desk::as_of::since;
use crate::sync::pull::{LookUpResult, LookUpResults};

/// The maximum number of rows looked up for one decision.
pub(super) const MOST_ROWS: usize = 1_000;

/// How many rows one task looks up, and how many tasks run at once: a thousand rows take a few seconds, and a person
/// waits for them.
const ASKED_TOGETHER: usize = 100;
const PARTS_AT_ONCE: usize = 4;

/// The basis of a decision.
#[derive(Debug)]
pub(super) struct SetLookUp {
    /// `fresh` if the directory was asked just now, otherwise why the mirror's data was used.
    pub directory: String,
    /// The facts that were not asked for.
    pub unasked: Unasked,
}

impl Guard {
    /// Looks up the users of a set, so that the mirror matches the directory. `rows` is the number of rows of the whole
    /// decision. If the directory does not answer, the mirror's data is used.
    pub(super) async fn look_up_set(
        &self,
        environment: &Environment,
        ids: &[Uuid],
        rows: usize,
    ) -> Result<SetLookUp, GuardError> {
        let mirror_counts = async |why: &str| {
            let mut db = self.base.store.read().await?;
            let read = checkpoints::read(&mut db, Source::Users).await?.reached_at;
            Ok::<_, GuardError>(SetLookUp {
                directory: format!("{}: {why}", since(read)),
                unasked: Unasked::default(),
            })
        };
        if rows > MOST_ROWS {
            let why = format!("of {rows} rows, more than the {MOST_ROWS} that are looked up, the mirror counts");
            return mirror_counts(&why).await;
        }
        let users: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let graph = self.puller.directory().for_someone_waiting();
        let asking: Vec<_> = users
            .chunks(ASKED_TOGETHER)
            .map(|users| self.puller.look_up_many(&graph, &environment.name, users))
            .collect();
        let answers: Vec<LookUpResults> = stream::iter(asking).buffered(PARTS_AT_ONCE).try_collect().await?;
        if let Some(problem) = answers.iter().find_map(|answers| answers.outage.as_ref()) {
            return mirror_counts(&format!(
                "the mirror counts, since the directory did not answer: {problem}"
            ))
            .await;
        }
        let mut unasked = Unasked::default();
        let mut unanswered: Option<(usize, String)> = None;
        for fresh in answers.into_iter().flat_map(|answers| answers.fresh) {
            match fresh {
                LookUpResult::User(_, one) => unasked = unasked.or(one),
                LookUpResult::Unanswered(_, problem) => unanswered.get_or_insert((0, problem)).0 += 1,
                _ => {}
            }
        }
        if let Some((number, problem)) = unanswered {
            let why = format!("the mirror counts for {number} of {rows} rows, which could not be looked up: {problem}");
            return mirror_counts(&why).await;
        }
        Ok(SetLookUp {
            directory: self.desk.freshness(environment, unasked).await?,
            unasked,
        })
    }
}
