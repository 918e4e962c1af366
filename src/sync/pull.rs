//! From Graph into the mirror: every source has its checkpoint, and a page's rows and the checkpoint that
//! follows it commit together. Nothing is judged here.

mod feed;
mod groups;
mod recheck;
mod returned;
mod roles;
mod skus;
mod users;

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use uuid::Uuid;

use super::{Engine, SyncError};
use crate::domain::environment::GroupNesting;
use crate::graph::GraphError;
use crate::store::groups::nested_groups;
use crate::store::lease::Lease;

/// Why a source could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `users`, `group:<id>`, `roles`, `skus`.
    pub source: String,
    /// One sentence with what to do.
    pub detail: String,
}

impl Problem {
    fn new(source: &str, detail: impl Into<String>) -> Self {
        Self {
            source: source.to_owned(),
            detail: detail.into(),
        }
    }

    fn from_graph(source: &str, error: &GraphError) -> Self {
        Self::new(source, describe(error))
    }
}

/// An error with its causes and its remedy, on one line.
#[must_use]
pub fn describe(error: &GraphError) -> String {
    let mut text = format!("could not {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if let Some(remedy) = error.remedy() {
        text.push_str(". ");
        text.push_str(&remedy);
    }
    text
}

/// What pulling brought.
#[derive(Clone, Debug, Default)]
pub struct Pulled {
    /// What stood in the way.
    pub problems: Vec<Problem>,
    /// Entries that could not be read and were left out; nothing waits for them.
    pub skipped: Vec<Problem>,
    /// Whether the users have reached their checkpoint, so that judging may begin.
    pub users_reached: bool,
    /// Roles or SKUs could not be read; their last reading counts.
    pub stale: bool,
    /// Groups that cannot be read, or have not reached their checkpoint.
    pub unreadable_groups: BTreeSet<Uuid>,
    /// The groups nested within each security group, where an environment counts them.
    pub nested: HashMap<Uuid, Vec<Uuid>>,
    /// Whether the tenant has a Marketing licence.
    pub tenant_marketing: bool,
}

/// A failure while pulling: either the source's own, which the run survives, or the run's.
enum PullError {
    Graph(GraphError),
    Run(SyncError),
}

impl From<GraphError> for PullError {
    fn from(error: GraphError) -> Self {
        match SyncError::unless_directory(error) {
            Ok(error) => Self::Graph(error),
            Err(error) => Self::Run(error),
        }
    }
}

impl<E: Into<SyncError>> From<E> for PullError {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

/// Splits a source's failure from the run's.
fn survive<T>(source: &str, result: Result<T, PullError>) -> Result<Result<T, Problem>, SyncError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(PullError::Graph(error)) => Ok(Err(Problem::from_graph(source, &error))),
        Err(PullError::Run(error)) => Err(error),
    }
}

impl Engine {
    /// Reads every source as far as it goes.
    ///
    /// # Errors
    /// When the database fails or the daemon stops; a source's own failure is a [`Problem`].
    pub async fn pull(&self, lease: &Lease) -> Result<Pulled, SyncError> {
        let mut pulled = Pulled::default();
        let recheck = self.recheck_list().await?;
        let (users, groups, roles, skus) = tokio::join!(
            self.pull_users(lease),
            self.pull_groups(lease),
            self.pull_roles(lease),
            self.pull_skus(lease),
        );
        match users? {
            Ok((problem, skipped)) => {
                pulled.users_reached = true;
                pulled.problems.extend(problem);
                pulled.skipped.extend(skipped);
            }
            Err(problem) => pulled.problems.push(problem),
        }
        let (nested, unreadable, problems) = groups?;
        pulled.nested = nested;
        pulled.unreadable_groups = unreadable;
        pulled.problems.extend(problems);
        pulled.problems.extend(self.pull_returned(lease).await?);
        pulled.problems.extend(self.recheck(lease, &recheck).await?);
        if let Err(problem) = roles? {
            pulled.stale = true;
            pulled.problems.push(problem);
        }
        let (marketing, problem) = skus?;
        pulled.tenant_marketing = marketing;
        pulled.stale |= problem.is_some();
        pulled.problems.extend(problem);
        Ok(pulled)
    }

    /// The security groups, and the groups within them where an environment counts those.
    async fn pull_groups(
        &self,
        lease: &Lease,
    ) -> Result<(HashMap<Uuid, Vec<Uuid>>, BTreeSet<Uuid>, Vec<Problem>), SyncError> {
        let mut problems = Vec::new();
        let mut unreadable = BTreeSet::new();
        let mut done: BTreeSet<Uuid> = BTreeSet::new();
        loop {
            let closures = self.closures().await?;
            let wanted: BTreeSet<Uuid> = closures
                .iter()
                .flat_map(|(root, nested)| nested.iter().chain([root]))
                .copied()
                .collect();
            let fresh: Vec<Uuid> = wanted.difference(&done).copied().collect();
            if fresh.is_empty() {
                return Ok((closures, unreadable, problems));
            }
            let results = join_all(fresh.iter().map(|&group| {
                let environments = self.environments_of(group, &closures);
                async move { (group, self.pull_group(lease, group, environments).await) }
            }))
            .await;
            for (group, result) in results {
                let (readable, problem) = result?;
                if !readable {
                    unreadable.insert(group);
                }
                problems.extend(problem);
            }
            done.extend(fresh);
        }
    }

    /// Every configured security group with the groups nested in it that count for some environment.
    async fn closures(&self) -> Result<HashMap<Uuid, Vec<Uuid>>, SyncError> {
        let mut closures = HashMap::new();
        let mut db = self.store.read().await?;
        for (environment, _) in &self.settings.environments {
            let Some(group) = environment.security_group else {
                continue;
            };
            let nested = closures.entry(group).or_insert_with(Vec::new);
            if environment.group_nesting != GroupNesting::Ignore && nested.is_empty() {
                *nested = nested_groups(&mut db, group).await?;
                nested.sort_unstable();
            }
        }
        Ok(closures)
    }

    /// The environments for which a group's membership means something.
    fn environments_of(&self, group: Uuid, closures: &HashMap<Uuid, Vec<Uuid>>) -> Vec<String> {
        let concerns = |root: Uuid, nesting| {
            root == group
                || (nesting != GroupNesting::Ignore
                    && closures.get(&root).is_some_and(|nested| nested.contains(&group)))
        };
        self.settings
            .environments
            .iter()
            .filter(|(environment, _)| {
                environment
                    .security_group
                    .is_some_and(|root| concerns(root, environment.group_nesting))
            })
            .map(|(environment, _)| environment.name.clone())
            .collect()
    }
}
