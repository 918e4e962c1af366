//! Carries out import jobs: takes them from the queue and works batch by batch until they are finished.
//!
//! Every daemon works, leader or not, and so does a command line that waits for its job. A batch commits its rows
//! together with its results and the check of its claim. So a killed worker repeats nothing, and a worker that was
//! presumed dead writes nothing. Times that people see come from the engine's clock; claims use the database's clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info, info_span, warn};
use uuid::Uuid;

use super::{Imports, checks};
use crate::domain::import::{Item, ItemState, Job, JobOutcome, RoleResults};
use crate::domain::source::Source;
use crate::error::chain;
use crate::graph::describe;
use crate::plan::{EnvironmentView, Unasked};
use crate::rules::Trigger;
use crate::store::jobs;
use crate::store::jobs::items;
use crate::store::jobs::queue::{self, Claim, End};
use crate::store::{StoreError, candidates, checkpoints, groups};
use crate::sync::daemon::Configured;
use crate::sync::desk::evaluate::{ExtraWork, Question};
use crate::sync::desk::ledger::Ledger;
use crate::sync::pull::{LookUpResult, LookUpResults};
use crate::sync::{Failure, ImportError};
use crate::telemetry::metrics::Metrics;

/// The number of jobs that one daemon works on at once: a large job does not block the small jobs of other groups.
pub const LANES: usize = 2;

/// How often an idle worker checks the queue.
const TICK: Duration = Duration::from_secs(1);

/// How long a worker waits after a database failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The size of a batch that is looked up in the directory: a cancelled or stopped job ends within a few requests.
const ASKED_IN_BATCH: usize = 100;

/// The size of a batch read from the mirror: it locks rows for no longer than a batch of the cycle does.
const MIRRORED_IN_BATCH: usize = 500;

/// An import of everyone trusts the mirror if every source was read to its end within this period: a few cycles, at
/// the default interval. Otherwise each user is looked up in the directory.
const MIRROR_AGE: chrono::Duration = chrono::Duration::hours(1);

/// The pause before the first retry when the directory is unavailable; each further pause is twice as long.
const FIRST_PAUSE: chrono::Duration = chrono::Duration::minutes(1);

/// How long a finished job is kept: long enough for a monthly review to find it.
const KEPT: chrono::Duration = chrono::Duration::days(30);

/// How often a worker looks for jobs to purge.
const PURGE_EVERY: chrono::Duration = chrono::Duration::hours(1);

/// The result of a step.
enum Step {
    /// A batch is written.
    Went,
    /// Nothing remains to do.
    Done,
    /// The directory could not be asked.
    Unavailable(String),
}

/// Works on jobs until the engine's token is cancelled.
pub async fn work(worker: String, configured: watch::Receiver<Arc<Configured>>) {
    let mut purge_at: Option<DateTime<Utc>> = None;
    loop {
        let imports = configured.borrow().engine.imports();
        let base = &imports.base;
        if base.cancel.is_cancelled() {
            return;
        }
        let now = base.clock.now();
        if purge_at.is_none_or(|at| at <= now) {
            purge_at = Some(now + PURGE_EVERY);
            if let Err(error) = imports.purge_imports().await {
                warn!(error = %chain(&error), "old import jobs could not be purged");
            }
        }
        match imports.take_next(&worker).await {
            Ok(true) => {}
            Ok(false) => base.pause(TICK).await,
            Err(error) if matches!(error.failure(), Some(Failure::Cancelled)) => return,
            Err(error) => {
                warn!(error = %chain(&error), "import jobs have to wait");
                base.pause(AFTER_FAILURE).await;
            }
        }
    }
}

impl Imports {
    /// One step of a worker: starts the runs that are due, then takes a job and carries it out as far as possible.
    /// Returns the job; none if there was none to take.
    ///
    /// # Errors
    /// [`Failure::Cancelled`], or when the database fails.
    pub async fn run_next_import(&self, worker: &str) -> Result<Option<i64>, ImportError> {
        self.start_due_imports().await?;
        let Some(claim) = self.claim_import(worker, None).await? else {
            return Ok(None);
        };
        self.work_at(claim).await?;
        Ok(Some(claim.job))
    }

    /// Waits until a job is finished. While no other worker does, works on it, or on the jobs before it in its group.
    ///
    /// # Errors
    /// [`ImportError::UnknownJob`], [`Failure::Cancelled`], or when the database fails.
    pub async fn finish_import(&self, id: i64, worker: &str) -> Result<Job, ImportError> {
        loop {
            let job = self.find_job(id).await?;
            if job.is_over() {
                return Ok(job);
            }
            self.base.check_cancelled()?;
            match self.claim_import(worker, Some(id)).await? {
                Some(claim) => self.work_renewing(claim).await?,
                None => self.base.pause(TICK).await,
            }
        }
    }

    /// Deletes jobs that finished long ago, except critical ones. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_imports(&self) -> Result<u64, ImportError> {
        let before = self.base.clock.now() - KEPT;
        let mut db = self.base.store.read().await?;
        Ok(jobs::purge(&mut db, before).await?)
    }

    async fn take_next(&self, worker: &str) -> Result<bool, ImportError> {
        self.start_due_imports().await?;
        match self.claim_import(worker, None).await? {
            Some(claim) => self.work_renewing(claim).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Starts a run of every scheduled job that is due; if several times were missed, only one run.
    async fn start_due_imports(&self) -> Result<(), ImportError> {
        let now = self.base.clock.now();
        let names = self.base.settings.names();
        loop {
            let mut tx = self.base.begin(None).await?;
            let Some(job) = queue::lock_due(&mut tx, &names, now).await? else {
                return Ok(());
            };
            let next = job.schedule.as_deref().map(|schedule| checks::next_run(schedule, now));
            let next = next.and_then(Result::ok);
            let run = queue::start_run(&mut tx, job.id, now, next).await?;
            tx.commit().await?;
            info!(job = run, scheduled_by = job.id, "a scheduled import is due");
        }
    }

    async fn claim_import(&self, worker: &str, only: Option<i64>) -> Result<Option<Claim>, ImportError> {
        let names = self.base.settings.names();
        let now = self.base.clock.now();
        let claimed = self.base.retry(async || {
            let mut tx = self.base.begin(None).await?;
            let claim = queue::claim(&mut tx, worker, &names, only, now).await?;
            tx.commit().await?;
            Ok::<_, Failure>(claim)
        });
        Ok(claimed.await?)
    }

    async fn work_renewing(&self, claim: Claim) -> Result<(), ImportError> {
        let (store, clock) = (self.base.store.clone(), self.base.clock.clone());
        let _renewal = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                clock.sleep(claim.time() / 3).await;
                let renewed = match store.read().await {
                    Ok(mut db) => queue::renew(&mut db, claim).await,
                    Err(error) => Err(error),
                };
                if matches!(renewed, Err(StoreError::LeaseLost)) {
                    return;
                }
            }
        }));
        self.work_at(claim).await
    }

    /// Works on a job until it is finished, must wait for the directory, or the daemon stops.
    async fn work_at(&self, claim: Claim) -> Result<(), ImportError> {
        let span = info_span!("import", job = claim.job);
        let Err(error) = self.take_batches(claim).instrument(span).await else {
            return Ok(());
        };
        match error.failure() {
            Some(Failure::Store(StoreError::LeaseLost)) => {
                info!(job = claim.job, "another worker has the job now");
                Ok(())
            }
            Some(Failure::Cancelled) => {
                let mut db = self.base.store.read().await?;
                queue::release(&mut db, claim).await?;
                Err(error)
            }
            // The claim expires, and another worker continues.
            Some(Failure::Store(away)) if away.is_unavailable() => Err(error),
            _ => {
                let job = self.find_job(claim.job).await?;
                self.end_import(
                    claim,
                    &job,
                    JobOutcome::Failed,
                    Some(&chain(&error)),
                    RoleResults::default(),
                )
                .await
            }
        }
    }

    async fn take_batches(&self, claim: Claim) -> Result<(), ImportError> {
        info!("working at an import");
        loop {
            let job = self.find_job(claim.job).await?;
            if job.cancelled_by.is_some() {
                return self
                    .end_import(claim, &job, JobOutcome::Cancelled, None, RoleResults::default())
                    .await;
            }
            self.base.check_cancelled()?;
            match self.take_batch(claim, &job).await? {
                Step::Went => {}
                Step::Done => return self.grant_and_end(claim, &job, None).await,
                Step::Unavailable(problem) => return self.put_off(claim, &job, &problem).await,
            }
        }
    }

    /// Evaluates the next users without a result.
    async fn take_batch(&self, claim: Claim, job: &Job) -> Result<Step, ImportError> {
        let environment = self.base.environment(&job.environment)?;
        let mirror = self.mirror(&self.base.present_view(environment).await?).await?;
        if job.all && mirror == Mirror::Unread {
            let problem = "the directory has not been read to its end yet; the first cycle does that";
            return Ok(Step::Unavailable(problem.to_owned()));
        }
        let believes = job.all && mirror == Mirror::Fresh;
        if job.all && !job.is_walked && self.has_unmirrored_candidates(environment) {
            return Ok(match self.put_everyone_on(claim, job).await? {
                Some(error) => Step::Unavailable(describe(&error)),
                None => Step::Went,
            });
        }
        let Some((items, walks)) = self.next_items(claim, job, believes).await? else {
            return Ok(Step::Done);
        };
        // Refused users that are re-evaluated are always looked up, however recent the mirror is.
        let from_mirror = believes && walks;
        let given: Vec<String> = items.iter().map(|item| item.given.clone()).collect();
        let answers = if from_mirror {
            LookUpResults {
                fresh: items.iter().map(mirrored).collect(),
                outage: None,
            }
        } else {
            self.puller
                .look_up_many(&self.puller.directory(), &environment.name, &given)
                .await?
        };
        if let Some(problem) = answers.outage {
            return Ok(Step::Unavailable(problem));
        }
        let view = self.base.present_view(environment).await?;
        let question = Question {
            trigger: Trigger::Import,
            actor: &job.submitted_by,
            company: Some(&job.company),
            unit: job.businessunitid,
            from_mirror,
        };
        let ledger = Ledger {
            claim,
            items: &items,
            fresh: &answers.fresh,
            walks,
        };
        self.desk
            .evaluate(&view, question, &answers.fresh, ExtraWork::Ledger(&ledger))
            .await?;
        Ok(Step::Went)
    }

    /// The users of the next batch, and whether they belong to a walk over everyone, for which the mirror may be
    /// trusted; none if no user remains.
    async fn next_items(
        &self,
        claim: Claim,
        job: &Job,
        believes: bool,
    ) -> Result<Option<(Vec<Item>, bool)>, ImportError> {
        let limit = |most| i64::try_from(self.base.batch_size(most)).unwrap_or(i64::MAX);
        let mut db = self.base.store.read().await?;
        let waiting = items::waiting(&mut db, job.id, limit(ASKED_IN_BATCH)).await?;
        if !waiting.is_empty() {
            return Ok(Some((waiting, false)));
        }
        if !job.all || job.is_walked {
            return Ok(None);
        }
        if job.walk_after.is_none() {
            let count = candidates::count(&mut db, &job.environment).await?;
            queue::note_total(&mut db, claim, i32::try_from(count).unwrap_or(i32::MAX)).await?;
        }
        let most = if believes { MIRRORED_IN_BATCH } else { ASKED_IN_BATCH };
        let ids = candidates::next(&mut db, &job.environment, job.walk_after, limit(most)).await?;
        if ids.is_empty() {
            queue::note_walked(&mut db, claim).await?;
            return Ok(None);
        }
        let last = items::last_position(&mut db, job.id).await?;
        let item = |(id, position): (Uuid, i64)| Item {
            position,
            given: id.to_string(),
            object_id: Some(id),
            state: ItemState::Waiting,
            code: None,
            detail: None,
            systemuserid: None,
        };
        Ok(Some((ids.into_iter().zip(last + 1..).map(item).collect(), true)))
    }

    /// How recent the mirror is for an environment.
    async fn mirror(&self, view: &EnvironmentView<'_>) -> Result<Mirror, Failure> {
        let environment = view.environment;
        let mut db = self.base.store.read().await?;
        let Some(users) = checkpoints::read(&mut db, Source::Users).await?.reached_at else {
            return Ok(Mirror::Unread);
        };
        let roles = checkpoints::read(&mut db, Source::Roles).await?.reached_at;
        let mut reached = vec![Some(users), roles];
        if let Some(group) = environment.security_group {
            let root = BTreeSet::from([(group, environment.counts_nested())]);
            let within = groups::within(&mut db, &root).await?;
            reached.extend(
                within
                    .values()
                    .flatten()
                    .map(|it| it.reached_at.filter(|_| it.is_readable)),
            );
        }
        let now = self.base.clock.now();
        let is_fresh = |at: Option<DateTime<Utc>>| at.is_some_and(|at| now - at <= MIRROR_AGE);
        Ok(if reached.into_iter().all(is_fresh) {
            Mirror::Fresh
        } else {
            Mirror::Stale
        })
    }

    /// Postpones the batch because the directory is unavailable, as often as the job allows.
    async fn put_off(&self, claim: Claim, job: &Job, problem: &str) -> Result<(), ImportError> {
        let attempts = job.attempts + 1;
        if attempts > job.max_retries {
            let job = Job {
                attempts,
                ..job.clone()
            };
            return self.grant_and_end(claim, &job, Some(problem)).await;
        }
        let until = self.base.clock.now() + FIRST_PAUSE * (1 << (attempts - 1));
        warn!(attempts, %until, problem, "the directory is unavailable; the import goes on later");
        let mut db = self.base.store.read().await?;
        Ok(queue::postpone(&mut db, claim, attempts, until, problem).await?)
    }

    /// Ends a job, because it is done or a problem stops it, after granting its roles to the users it has reached.
    async fn grant_and_end(&self, claim: Claim, job: &Job, problem: Option<&str>) -> Result<(), ImportError> {
        let Some(roles) = self.grant_own_roles(claim, job).await? else {
            return self
                .end_import(claim, job, JobOutcome::Cancelled, None, RoleResults::default())
                .await;
        };
        let outcome = match problem {
            Some(_) => JobOutcome::Failed,
            None if job.refused > 0 || roles.has_refusals() => JobOutcome::EndedWithRefusals,
            None => JobOutcome::Complete,
        };
        self.end_import(claim, job, outcome, problem, roles).await
    }

    async fn end_import(
        &self,
        claim: Claim,
        job: &Job,
        outcome: JobOutcome,
        error: Option<&str>,
        roles: RoleResults,
    ) -> Result<(), ImportError> {
        let at = self.base.clock.now();
        let mut db = self.base.store.read().await?;
        let end = End {
            outcome,
            error,
            attempts: job.attempts,
            roles: &roles,
            at,
        };
        queue::end(&mut db, claim, end).await?;
        Metrics.import_job(outcome.as_str(), &job.monitoring_category, job.critical);
        if let Some(error) = error {
            warn!(job = job.id, critical = job.critical, error, "an import has failed");
        } else {
            let (created, refused) = (job.created, job.refused);
            info!(
                job = job.id,
                outcome = outcome.as_str(),
                created,
                refused,
                "an import is over"
            );
        }
        Ok(())
    }
}

/// How recent the mirror is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirror {
    /// It matches the directory as of at most a few cycles ago.
    Fresh,
    /// It contains everyone, but not their current state.
    Stale,
    /// It has not been filled yet.
    Unread,
}

fn mirrored(item: &Item) -> LookUpResult {
    item.object_id
        .map_or(LookUpResult::Nobody, |id| LookUpResult::User(id, Unasked::default()))
}
