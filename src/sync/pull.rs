//! From Graph into the mirror. Every source has its checkpoint, and the rows of a page commit together with the
//! checkpoint that follows. Users named in a request are looked up (`look_up`) and stored in the same way. This module
//! writes no row of a SystemUser and decides nothing.

pub(super) mod climb;
pub(super) mod facts;
mod feed;
mod follow;
mod fresh;
mod groups;
mod look_up;
mod population;
mod recheck;
mod returned;
mod roles;
mod skus;
mod sweep;
mod take_in;
mod users;
mod uses;
mod verify;

pub(super) use fresh::{LookUpResult, LookUpResults};
pub(super) use roles::RoleGroups;

use std::collections::{BTreeSet, HashMap};

use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use self::population::population_of;
use super::{Base, Failure, Settings};
use crate::domain::drift::RunVerification;
use crate::domain::environment::Environment;
use crate::domain::scope::Scope;
use crate::domain::source::Source;
use crate::graph::{Graph, GraphError, describe};
use crate::plan::EnvironmentView;
use crate::store::checkpoints;
use crate::store::lease::Lease;

/// The number of groups read at once.
const GROUPS_AT_ONCE: usize = 8;

/// Reads the directory into the mirror.
#[derive(Clone)]
pub struct Puller {
    base: Base,
    graph: Graph,
}

/// Why a source could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The source.
    pub source: Source,
    /// One sentence with what to do.
    pub detail: String,
}

impl Problem {
    fn new(source: Source, detail: impl Into<String>) -> Self {
        Self {
            source,
            detail: detail.into(),
        }
    }

    fn from_graph(source: Source, error: &GraphError) -> Self {
        Self::new(source, describe(error))
    }
}

/// The result of pulling.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Pulled {
    /// The problems.
    pub problems: Vec<Problem>,
    /// Entries that could not be read and were skipped, or a slower way that was taken; they block nothing.
    pub skipped: Vec<Problem>,
    /// Principals that do not exist although a role is assigned to them, each with what to do about it.
    pub orphaned_roles: Vec<(Uuid, String)>,
    /// Whether the users have reached their checkpoint, so that evaluation may begin.
    pub users_reached: bool,
    /// The roles could not be read; their last reading counts.
    pub stale_roles: bool,
    /// The SKUs could not be read; their last reading counts.
    pub stale_skus: bool,
    /// Groups that cannot be read, or have not reached their checkpoint.
    pub unreadable_groups: BTreeSet<Uuid>,
    /// The groups nested within each security group, where an environment counts them.
    pub nested: HashMap<Uuid, Vec<Uuid>>,
    /// Whether the tenant has a Marketing licence.
    pub tenant_marketing: bool,
    /// The groups' feeds that were read to their end, each with whether it has to be verified now.
    feeds: Vec<(Source, bool)>,
    /// What the verification found, if there was one.
    pub verification: Option<RunVerification>,
}

impl Pulled {
    /// Records how reading a source ended: the number of unreadable entries, or the problem. Returns whether it was
    /// read.
    fn note(&mut self, source: Source, read: Result<usize, Problem>) -> bool {
        match read {
            Ok(0) => {}
            Ok(count) => self.skipped.push(Problem::new(
                source,
                format!("{count} entries that could not be read were skipped; nobody counts as missing for it"),
            )),
            Err(problem) => {
                self.problems.push(problem);
                return false;
            }
        }
        true
    }
}

/// A failure while pulling: one of the source, which the run survives, or one of the run.
enum PullError {
    Graph(GraphError),
    /// The directory could not be asked about some users, for this reason.
    Unavailable(String),
    Run(Failure),
}

impl From<GraphError> for PullError {
    fn from(error: GraphError) -> Self {
        match Failure::unless_directory(error) {
            Ok(error) => Self::Graph(error),
            Err(error) => Self::Run(error),
        }
    }
}

impl<E: Into<Failure>> From<E> for PullError {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

/// Separates a source's failure from the run's.
fn survive<T>(source: Source, result: Result<T, PullError>) -> Result<Result<T, Problem>, Failure> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(PullError::Graph(error)) => Ok(Err(Problem::from_graph(source, &error))),
        Err(PullError::Unavailable(problem)) => Ok(Err(Problem::new(source, problem))),
        Err(PullError::Run(error)) => Err(error),
    }
}

impl Puller {
    pub(super) fn new(base: Base, graph: Graph) -> Self {
        Self { base, graph }
    }

    /// The plain Graph client, for data that the mirror does not hold.
    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The Graph client with a number on every answer. The mirror orders its facts by this number.
    pub(super) fn directory(&self) -> Graph {
        self.base.ordered(&self.graph)
    }

    /// Reads every source as far as possible.
    ///
    /// # Errors
    /// When the database fails or the daemon stops; a source's own failure is a [`Problem`].
    pub async fn pull(&self, lease: &Lease) -> Result<Pulled, Failure> {
        let mut pulled = Pulled::default();
        let mut recheck = self.recheck_list(lease).await?;
        let others = async { tokio::join!(self.pull_groups(lease), self.pull_roles(lease), self.pull_skus(lease)) };
        let (users, groups, roles, skus, population) = match self.base.settings.scope {
            Scope::Tenant => {
                let (users, (groups, roles, skus)) = tokio::join!(self.pull_users(lease, None), others);
                (users?, groups?, roles, skus, None)
            }
            // Who belongs to the population is known once the groups and the roles are read.
            Scope::Groups => {
                let (groups, roles, skus) = Box::pin(others).await;
                let groups = groups?;
                let population = population_of(&self.base.settings, &groups.nested, self.base.clock.now());
                let users = self.pull_users(lease, Some(&population)).await?;
                (users, groups, roles, skus, Some(population))
            }
        };
        pulled.users_reached = pulled.note(Source::Users, users.unread.map_or(Ok(users.skipped), Err));
        pulled.problems.extend(users.problem);
        pulled.skipped.extend(users.walked);
        recheck.extend(users.unsure);
        pulled.nested = groups.nested;
        pulled.unreadable_groups = groups.unreadable_groups;
        pulled.problems.extend(groups.problems);
        pulled.skipped.extend(groups.skipped);
        pulled.problems.extend(self.pull_returned(lease).await?);
        pulled.problems.extend(self.recheck(lease, &recheck).await?);
        let skus = skus?;
        let mut feeds = groups.feeds;
        if pulled.users_reached {
            feeds.push((Source::Users, users.needs_verification));
        }
        let changed = skus.changed.filter(|_| self.base.settings.verifications.is_some());
        let verifies_all = changed.is_some();
        if let Some(state) = changed {
            self.verify_for_skus(lease, state).await?;
        }
        let feeds = feeds.into_iter().filter(|(_, is_due)| *is_due || verifies_all);
        let feeds: Vec<Source> = feeds.map(|(source, _)| source).collect();
        if !feeds.is_empty() {
            let verified = self.verify(lease, &feeds, population.as_ref()).await?;
            pulled.skipped.extend(verified.problems);
            pulled.verification = Some(verified.result);
        }
        if let Some(population) = population.filter(|_| pulled.users_reached) {
            pulled
                .problems
                .extend(self.settle_population(lease, &population).await?);
        }
        pulled.stale_roles = !pulled.note(Source::Roles, roles?);
        pulled.orphaned_roles = self.orphaned_roles().await?;
        pulled.tenant_marketing = skus.marketing;
        pulled.stale_skus = !pulled.note(Source::Skus, skus.read);
        Ok(pulled)
    }

    /// Reads the security groups, the groups within them where an environment counts those, and the groups of teams. A
    /// few at a time; a share of the database connections stays free.
    async fn pull_groups(&self, lease: &Lease) -> Result<Pulled, Failure> {
        let mut pulled = Pulled::default();
        let mut done: BTreeSet<Uuid> = BTreeSet::new();
        let at_once = GROUPS_AT_ONCE.min(self.base.store.half_of_pool());
        loop {
            let uses = self.group_uses().await?;
            let fresh: Vec<Uuid> = uses.groups().difference(&done).copied().collect();
            if fresh.is_empty() {
                let read = done.difference(&pulled.unreadable_groups).copied();
                let owned: Vec<Uuid> = read.filter(|group| uses.needs_owners(*group)).collect();
                pulled.problems.extend(self.pull_owners(lease, &owned, &uses).await?);
                pulled.nested = uses.nested;
                return Ok(pulled);
            }
            let checkpoints = {
                let mut db = self.base.store.read().await?;
                let sources: Vec<Source> = fresh.iter().copied().map(Source::Group).collect();
                checkpoints::read_all(&mut db, &sources).await?
            };
            let pulls = fresh
                .iter()
                .zip(checkpoints)
                .map(|(&group, checkpoint)| self.pull_group(lease, group, checkpoint, &uses));
            // All of them end before a failure of one ends the run.
            let results: Vec<_> = stream::iter(pulls.collect::<Vec<_>>())
                .buffered(at_once)
                .collect()
                .await;
            let mut reached = Vec::new();
            for (group, result) in fresh.iter().zip(results) {
                let result = result?;
                if !result.is_readable {
                    pulled.unreadable_groups.insert(*group);
                }
                if result.is_readable {
                    pulled.feeds.push((Source::Group(*group), result.needs_verification));
                }
                pulled.problems.extend(result.problem);
                pulled.note(Source::Group(*group), Ok(result.skipped));
                reached.extend(result.reached);
            }
            self.write_checkpoints(lease, &reached).await?;
            done.extend(fresh);
        }
    }
}

/// The view of an environment once its sources are read.
pub(super) fn view<'a>(settings: &'a Settings, environment: &'a Environment, pulled: &Pulled) -> EnvironmentView<'a> {
    EnvironmentView {
        environment,
        catalogue: &settings.catalogue,
        viral_counts_as: settings.viral_counts_as,
        unread: pulled.unreadable_groups.clone(),
        tenant_marketing: pulled.tenant_marketing,
        stale_roles: pulled.stale_roles,
        stale_skus: pulled.stale_skus,
    }
}

/// What the last runs found about the sources, without a request to Graph. The state of each group is in the mirror.
///
/// # Errors
/// When the database fails.
pub(super) async fn known(base: &Base) -> Result<Pulled, Failure> {
    let tenant_marketing = if let Some(known) = base.settings.tenant_marketing {
        known
    } else {
        let mut db = base.store.read().await?;
        checkpoints::read(&mut db, Source::Skus).await?.value == Some(true.into())
    };
    Ok(Pulled {
        users_reached: true,
        tenant_marketing,
        ..Pulled::default()
    })
}
