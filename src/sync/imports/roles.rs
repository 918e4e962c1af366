//! Security roles for the users of a job: an import ends when its users hold the roles that they need.

use super::{Imports, Viewer};
use crate::domain::import::{Item, Job, RoleResult, RoleResults};
use crate::store::jobs::items;
use crate::store::jobs::queue::{self, Claim};
use crate::sync::ImportError;
use crate::sync::desk::{Effect, Refusal};

/// The number of users that are read at once.
const PAGE: i64 = 1000;

/// Users of a job who have a row, each with the result of granting a role.
type Granted = Vec<(Item, Result<Effect, Refusal>)>;

impl Imports {
    /// Grants a role to everyone whom a job created or found present. `tell` gets the result for each of them; a
    /// refused user does not block the others.
    ///
    /// # Errors
    /// As [`Self::import_job`] and [`Desk::grant_rows`](crate::sync::desk::Desk::grant_rows).
    pub async fn grant_to_job(
        &self,
        viewer: Viewer<'_>,
        id: i64,
        role: &str,
        mut tell: impl FnMut(&Item, Result<Effect, Refusal>),
    ) -> Result<(), ImportError> {
        let job = self.visible_job(viewer, id).await?;
        let mut after = None;
        while let Some((granted, last)) = self.grant_page(&job, role, viewer.name, after).await? {
            after = Some(last);
            for (item, result) in granted {
                tell(&item, result);
            }
        }
        Ok(())
    }

    /// Grants a job's own roles to its users, in its owner's name. Repeating it changes nothing, so a worker that
    /// replaces a killed one starts over. None if the job is cancelled meanwhile.
    pub(super) async fn grant_own_roles(&self, claim: Claim, job: &Job) -> Result<Option<RoleResults>, ImportError> {
        let mut results = RoleResults::default();
        for role in &job.roles {
            let mut result = RoleResult {
                role: role.clone(),
                ..RoleResult::default()
            };
            let mut after = None;
            while let Some((granted, last)) = self.grant_page(job, role, &job.submitted_by, after).await? {
                after = Some(last);
                for (_, granted) in granted {
                    match granted {
                        Ok(_) => result.granted += 1,
                        Err(refusal) => *result.refused.entry(refusal.code.to_string()).or_default() += 1,
                    }
                }
                queue::renew(&mut self.base.store.read().await?, claim).await?;
                if self.find_job(job.id).await?.cancelled_by.is_some() {
                    return Ok(None);
                }
            }
            results.0.push(result);
        }
        Ok(Some(results))
    }

    /// Grants a role to a page of a job's users; with the position of the last of them. None after the last page.
    async fn grant_page(
        &self,
        job: &Job,
        role: &str,
        actor: &str,
        after: Option<i64>,
    ) -> Result<Option<(Granted, i64)>, ImportError> {
        self.base.check_cancelled()?;
        let items = items::list(&mut self.base.store.read().await?, job.id, None, after, PAGE).await?;
        let Some(last) = items.last().map(|item| item.position) else {
            return Ok(None);
        };
        let (items, rows): (Vec<Item>, Vec<_>) = items
            .into_iter()
            .filter_map(|item| item.systemuserid.map(|row| (item, row)))
            .unzip();
        let granted = self.desk.grant_rows(&job.environment, &rows, role, actor).await?;
        Ok(Some((items.into_iter().zip(granted).collect(), last)))
    }
}
