//! A person's decision about removals that the guard holds.

use super::Guard;
pub use crate::domain::removal::Decision;
use crate::domain::removal::HeldSet;
use crate::error::chain;
use crate::store::{findings, removals};
use crate::sync::GuardError;
use crate::sync::cycle::Counts;
use crate::sync::cycle::part::{EnvironmentRun, RunInfo};

/// The part of a decision in one environment that was carried out, and the part that was not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Decided {
    /// The changes; `held` counts the rows that a rejection leaves enabled.
    #[serde(flatten)]
    pub counts: Counts,
    /// `approved` or `rejected`; none while the set is open.
    #[schema(value_type = Option<String>)]
    pub decision: Option<Decision>,
    /// Rows that left the set without being disabled: they qualify again, or cannot be evaluated now.
    pub dropped: u64,
    /// Rows of the set that still wait for a decision.
    pub waiting: u64,
    /// For an approval: `fresh` if the directory was asked about every row just now, otherwise why the mirror's data
    /// was used.
    pub directory: Option<String>,
    /// The error, if not everything was carried out.
    pub error: Option<String>,
}

impl Decided {
    /// Nothing is carried out yet.
    fn nothing(environment: &str) -> Self {
        Self {
            counts: Counts::of(environment),
            decision: None,
            dropped: 0,
            waiting: 0,
            directory: None,
            error: None,
        }
    }

    /// A set whose decision is still being carried out.
    #[must_use]
    pub fn waiting(set: &HeldSet) -> Self {
        Self {
            waiting: set.rows.cast_unsigned(),
            ..Self::nothing(&set.environment)
        }
    }
}

/// The result of a decision, with every environment that it covers.
#[derive(Debug)]
pub struct Decisions {
    /// By environment.
    pub environments: Vec<Decided>,
    /// The first failure, if not everything was carried out.
    pub failure: Option<GuardError>,
}

impl Guard {
    /// Decides what a run holds, in all its environments or one. An approval applies exactly the held set, and each row
    /// is re-evaluated at that moment: a row that qualifies again is dropped, none is ever added. A failure in one
    /// environment does not keep the others from being decided.
    ///
    /// # Errors
    /// [`GuardError::NothingHeld`] when the run holds nothing there; any other when nothing at all was carried out.
    pub async fn decide(
        &self,
        run_id: i64,
        environment: Option<&str>,
        decision: Decision,
        actor: &str,
    ) -> Result<Decisions, GuardError> {
        let now = self.base.clock.now();
        let open: Vec<String> = {
            let mut db = self.base.store.read().await?;
            removals::sets(&mut db, Some(run_id), &[])
                .await?
                .into_iter()
                .filter(|set| set.decision.is_none() && set.expires_at > now)
                .filter(|set| environment.is_none_or(|name| name == set.environment))
                .map(|set| set.environment)
                .collect()
        };
        let run = RunInfo {
            lease: None,
            run_id,
            now,
            dry_run: false,
            actor,
        };
        let mut decisions = Decisions {
            environments: Vec::new(),
            failure: None,
        };
        let rows = self.count_rows(run_id, &open).await?;
        for name in open {
            let mut decided = Decided::nothing(&name);
            match self.decide_set(run, &name, rows, decision, &mut decided).await {
                Ok(true) => {}
                // Two people may decide at once: the set records the name of one, and each receives a result.
                Ok(false) => continue,
                Err(error) => {
                    decided.error = Some(match &error {
                        GuardError::UnknownEnvironment(_) => "the environment is not in this configuration".to_owned(),
                        error => chain(error),
                    });
                    decisions.failure.get_or_insert(error);
                }
            }
            decisions.environments.push(decided);
        }
        let is_untouched = |one: &Decided| one.decision.is_none() && one.counts.disabled == 0 && one.dropped == 0;
        match decisions.failure {
            Some(error) if decisions.environments.iter().all(is_untouched) => Err(error),
            None if decisions.environments.is_empty() => Err(GuardError::NothingHeld(run_id)),
            failure => Ok(Decisions { failure, ..decisions }),
        }
    }

    /// The number of rows that a decision covers.
    async fn count_rows(&self, run_id: i64, environments: &[String]) -> Result<usize, GuardError> {
        let mut db = self.base.store.read().await?;
        let mut rows = 0;
        for name in environments {
            rows += removals::held_ids(&mut db, name, run_id).await?.len();
        }
        Ok(rows)
    }

    /// Decides one set. Returns whether the set was still open for this decision; `decided` records the progress in any
    /// case.
    async fn decide_set(
        &self,
        run: RunInfo<'_>,
        name: &str,
        rows: usize,
        decision: Decision,
        decided: &mut Decided,
    ) -> Result<bool, GuardError> {
        let ids = {
            let mut db = self.base.store.read().await?;
            removals::held_ids(&mut db, name, run.run_id).await?
        };
        let all = ids.len() as u64;
        decided.waiting = all;
        self.base.check_cancelled()?;
        let environment = self.base.environment(name)?;
        if decision == Decision::Approve {
            let looked = self.look_up_set(environment, &ids, rows).await?;
            decided.directory = Some(looked.directory);
            let mut view = self.base.present_view(environment).await?;
            view.unread
                .extend(environment.security_group.filter(|_| looked.unasked.group));
            let mut part = EnvironmentRun::new(&self.base, view, run);
            let result = part.carry_out_approved(&ids).await;
            decided.counts = part.tally.counts;
            let mut db = self.base.store.read().await?;
            decided.waiting = removals::held_ids(&mut db, name, run.run_id).await?.len() as u64;
            decided.dropped = all.saturating_sub(decided.waiting + decided.counts.disabled);
            result?;
            if decided.waiting > 0 {
                decided.error = Some("the database does not take some rows: see `rollcall findings`".to_owned());
                return Ok(true);
            }
        } else {
            decided.counts.held = all;
        }
        let mut tx = self.base.begin(None).await?;
        let is_ours = removals::decide(&mut tx, name, run.run_id, decision, run.actor, run.now).await?;
        findings::close_subject(
            &mut tx,
            name,
            findings::REMOVALS_HELD,
            &findings::held_subject(run.run_id),
            run.now,
        )
        .await?;
        tx.commit().await?;
        decided.decision = is_ours.then_some(decision);
        decided.waiting = 0;
        Ok(is_ours)
    }
}
