//! Imports (rules.md, section 9): jobs that add directory users who have no row yet, and change no existing row.
//!
//! This module submits jobs, shows them, cancels them and requeues them. `work` contains the workers, which take jobs
//! and carry them out batch by batch; `checks` validates requests; `streamed` lists candidates whom the mirror does not hold; `roles` grants security roles to a job's users. A job belongs to the service: it does not depend on
//! its submitter's later state.

mod checks;
mod roles;
mod streamed;
mod work;

use serde::Serialize;
use uuid::Uuid;

pub(in crate::sync) use checks::company_of;
pub use checks::{DEFAULT_RETRIES, MOST_CATEGORIES, MOST_RETRIES, MOST_USERS};
pub use work::{LANES, work};

use super::desk::{Desk, Refusal, bad_input};
use super::pull::Puller;
use super::{Base, Failure, ImportError};
pub use crate::domain::import::ImportRequest;
use crate::domain::import::{Candidate, Item, ItemState, Job, JobOutcome};
use crate::domain::reason::Code;
use crate::graph::describe;
pub use crate::store::jobs::JobFilter;
use crate::store::jobs::{self, items};
use crate::store::{candidates, units};
use crate::telemetry::metrics::Metrics;

/// The caller who views jobs.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The name under which the caller submits jobs.
    pub name: &'a str,
    /// Operators see every job.
    pub is_operator: bool,
}

/// A job with its results.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobReport {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// The number of refused users for each reason, most frequent first.
    pub refused_by_code: Vec<RefusedCount>,
    /// The number of rows it created that hold no security role: these users cannot use data.
    pub created_without_role: i64,
    /// What to do about those.
    pub next_step: Option<String>,
}

/// The number of users refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RefusedCount {
    /// The reason.
    pub code: String,
    /// The number.
    pub count: i64,
}

/// Stores import jobs and carries them out.
#[derive(Clone)]
pub struct Imports {
    base: Base,
    puller: Puller,
    desk: Desk,
}

impl Imports {
    pub(super) fn new(base: Base, puller: Puller, desk: Desk) -> Self {
        Self { base, puller, desk }
    }

    /// Submits an import; a worker takes it from the queue. A scheduled job starts runs and is not a run itself.
    ///
    /// # Errors
    /// [`DeskError::BadInput`](super::DeskError::BadInput) naming the invalid field,
    /// [`DeskError::UnknownEnvironment`](super::DeskError::UnknownEnvironment),
    /// [`DeskError::Refused`](super::DeskError::Refused) where the environment has no database or lacks a role, or when
    /// the database fails.
    pub async fn submit_import(&self, request: &ImportRequest, submitted_by: &str) -> Result<Job, ImportError> {
        if !self.base.environment(&request.environment)?.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let now = self.base.clock.now();
        let (mut request, next_run_at) = checks::checked(request, now)?;
        if let Some(unit) = &request.default_business_unit {
            let found = units::find(&mut self.base.store.read().await?, &request.environment, unit).await?;
            let missing = || format!("{} has no business unit `{unit}`", request.environment);
            let found = found.ok_or_else(|| bad_input("default_business_unit", missing()))?;
            request.businessunitid = Some(found.businessunitid);
        }
        for role in &request.roles {
            self.desk.check_role(&request.environment, role)?;
        }
        let id = self.base.retry(async || {
            let mut tx = self.base.begin(None).await?;
            let known = jobs::categories(&mut tx).await?;
            let id = if checks::may_use_category(&known, request.monitoring_category.as_deref()) {
                Some(jobs::insert(&mut tx, &request, next_run_at, submitted_by, now).await?)
            } else {
                None
            };
            tx.commit().await?;
            Ok::<_, Failure>(id)
        });
        let Some(id) = id.await? else {
            let problem = format!("there are {MOST_CATEGORIES} categories already; take one of them");
            return Err(bad_input("monitoring_category", problem).into());
        };
        tracing::info!(
            job = id,
            environment = request.environment,
            all = request.all,
            users = request.users.len(),
            "an import is submitted"
        );
        self.find_job(id).await
    }

    /// The jobs that the caller may see, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn import_jobs(&self, viewer: Viewer<'_>, filter: &JobFilter) -> Result<Vec<Job>, ImportError> {
        let mut db = self.base.store.read().await?;
        let seen_by = (!viewer.is_operator).then_some(viewer.name);
        Ok(jobs::list(&mut db, filter, seen_by).await?)
    }

    /// One job with its report.
    ///
    /// # Errors
    /// [`ImportError::UnknownJob`], also for another caller's private job; or when the database fails.
    pub async fn import_job(&self, viewer: Viewer<'_>, id: i64) -> Result<JobReport, ImportError> {
        let job = self.visible_job(viewer, id).await?;
        let mut db = self.base.store.read().await?;
        let refused = items::refused_by_code(&mut db, id).await?.into_iter();
        let created_without_role = items::count_without_role(&mut db, id, &job.environment).await?;
        let next_step = (created_without_role > 0).then(|| {
            format!(
                "Give all of them a security role: rollcall role grant --job {id} ROLE. Give one a role: rollcall role \
                 grant USER ROLE --environment {}",
                job.environment
            )
        });
        Ok(JobReport {
            job,
            refused_by_code: refused.map(|(code, count)| RefusedCount { code, count }).collect(),
            created_without_role,
            next_step,
        })
    }

    /// The results for a job's users, in order, after a given position.
    ///
    /// # Errors
    /// As [`Self::import_job`].
    pub async fn import_items(
        &self,
        viewer: Viewer<'_>,
        id: i64,
        state: Option<ItemState>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Item>, ImportError> {
        self.visible_job(viewer, id).await?;
        let mut db = self.base.store.read().await?;
        let mut found = items::list(&mut db, id, state, after, limit).await?;
        for item in &mut found {
            let code = item.code.as_deref().and_then(Code::parse);
            item.detail = item.detail.take().or(code.map(|code| code.sentence().to_owned()));
        }
        Ok(found)
    }

    /// Cancels a job: immediately if it waits, otherwise after the current batch. Rows already created stay. A
    /// scheduled job starts no more runs; one in progress continues.
    ///
    /// # Errors
    /// [`DeskError::BadInput`](super::DeskError::BadInput) where the job is over; as [`Self::import_job`].
    pub async fn cancel_import(&self, viewer: Viewer<'_>, id: i64) -> Result<Job, ImportError> {
        let job = self.visible_job(viewer, id).await?;
        let at = self.base.clock.now();
        let stopped = self.base.retry(async || {
            let mut tx = self.base.begin(None).await?;
            let stopped = jobs::cancel(&mut tx, id, viewer.name, at).await?;
            tx.commit().await?;
            Ok::<_, Failure>(stopped)
        });
        match stopped.await? {
            None => return Err(bad_input("job", format!("job {id} is over already")).into()),
            Some(true) if job.schedule.is_none() => {
                Metrics.import_job(JobOutcome::Cancelled.as_str(), &job.monitoring_category, job.critical);
            }
            Some(_) => {}
        }
        self.find_job(id).await
    }

    /// Puts a finished job back into its queue. Completed work stays; refused users are re-evaluated.
    ///
    /// # Errors
    /// [`DeskError::BadInput`](super::DeskError::BadInput) where the job is not over, or complete; as
    /// [`Self::import_job`].
    pub async fn requeue_import(&self, viewer: Viewer<'_>, id: i64) -> Result<Job, ImportError> {
        let job = self.visible_job(viewer, id).await?;
        if !job.is_over() {
            return Err(bad_input("job", format!("job {id} is not over yet")).into());
        }
        if job.outcome == Some(JobOutcome::Complete) {
            return Err(bad_input("job", format!("job {id} is complete: nothing is left to do")).into());
        }
        let next_run = match &job.schedule {
            Some(schedule) => Some(checks::next_run(schedule, self.base.clock.now())?),
            None => None,
        };
        let requeued = self.base.retry(async || {
            let mut tx = self.base.begin(None).await?;
            jobs::requeue(&mut tx, id, next_run).await?;
            tx.commit().await?;
            Ok::<_, Failure>(())
        });
        requeued.await?;
        self.find_job(id).await
    }

    /// Directory users who have no row in an environment, in key order; with a text, those whose name or user principal
    /// name contains it. Where the mirror does not hold them, the directory lists them.
    ///
    /// # Errors
    /// [`DeskError::UnknownEnvironment`](super::DeskError::UnknownEnvironment),
    /// [`DeskError::BadInput`](super::DeskError::BadInput), or when the database fails.
    pub async fn candidates(
        &self,
        environment: &str,
        text: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Candidate>, ImportError> {
        let environment = self.base.environment(environment)?;
        let name = &environment.name;
        if text.is_some_and(|text| text.contains('\0')) {
            return Err(bad_input("text", "a text cannot hold NUL characters").into());
        }
        if self.has_unmirrored_candidates(environment) {
            let listed = self.listed_candidates(name, text, after, limit).await?;
            return Ok(listed.map_err(|error| Refusal::saying(Code::DirectoryUnavailable, describe(&error)))?);
        }
        let mut db = self.base.store.read().await?;
        Ok(candidates::list(&mut db, name, text, after, limit).await?)
    }

    /// A job, without a check of who may see it.
    async fn find_job(&self, id: i64) -> Result<Job, ImportError> {
        let mut db = self.base.store.read().await?;
        jobs::find(&mut db, id).await?.ok_or(ImportError::UnknownJob(id))
    }

    async fn visible_job(&self, viewer: Viewer<'_>, id: i64) -> Result<Job, ImportError> {
        let job = self.find_job(id).await?;
        if !job.private || viewer.is_operator || job.submitted_by == viewer.name {
            Ok(job)
        } else {
            Err(ImportError::UnknownJob(id))
        }
    }
}
