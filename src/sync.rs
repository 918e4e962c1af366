//! The engine: pull the directory into the mirror, judge who changed, apply.
//!
//! A run takes no hints: it reads checkpoints, rows and configuration, is safe to repeat, and the next run is
//! the retry. Start with `cycle`; `pull` and `judge` are its two halves, `removals` the wait between them.

mod base;
pub mod cycle;
pub mod daemon;
pub mod desk;
mod error;
pub mod guard;
pub mod imports;
mod judge;
pub mod notifications;
mod progress;
pub mod pull;
pub mod records;
pub mod sessions;
pub mod webhooks;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use base::Base;
pub use cycle::{Counts, Report, RunOutcome};
pub use error::{CycleError, DeskError, Failure, FeedError, GuardError, ImportError, StoreError, UnknownEnvironment};
pub use progress::Progress;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::cycle::Cycle;
use self::desk::Desk;
use self::guard::Guard;
use self::imports::Imports;
use self::notifications::Hints;
use self::pull::Puller;
use self::records::Records;
use self::sessions::Sessions;
use crate::clock::Clock;
use crate::domain::environment::Environment;
use crate::domain::feed::checkpoint::Verifications;
use crate::domain::licence::{Catalogue, ViralCountsAs};
use crate::domain::scope::Scope;
use crate::graph::Graph;
use crate::plan::guard::Limits;
use crate::store::Store;

/// What the engine is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The environments, each with the fingerprint of everything that shapes its verdicts.
    pub environments: Vec<(Environment, String)>,
    /// What plans are worth.
    pub catalogue: Catalogue,
    /// What viral plans are worth.
    pub viral_counts_as: ViralCountsAs,
    /// Overrides what `subscribedSkus` says of a Marketing licence.
    pub tenant_marketing: Option<bool>,
    /// The guard's limits.
    pub limits: Limits,
    /// How long a held set can be approved.
    pub hold_expiry: Duration,
    /// How often every user is re-evaluated.
    pub full_interval: Duration,
    /// When the mirror is verified; never if none.
    pub verifications: Option<Verifications>,
    /// How old the directory data may be that an access is judged by.
    pub access_freshness: Duration,
    /// Which users the mirror holds.
    pub scope: Scope,
    /// The most users that a batch takes, where its own limit is not lower.
    pub max_batch: usize,
}

impl Settings {
    /// The names of all environments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.environments
            .iter()
            .map(|(environment, _)| environment.name.clone())
            .collect()
    }

    /// The names of those in which members of nested groups count.
    #[must_use]
    pub fn nesting(&self) -> Vec<String> {
        self.environments
            .iter()
            .filter(|(environment, _)| environment.counts_nested())
            .map(|(environment, _)| environment.name.clone())
            .collect()
    }

    /// The columns that `[[extra_field]]` maps.
    #[must_use]
    pub fn mapped_columns(&self) -> Vec<String> {
        let environments = self.environments.iter();
        let fields = environments.flat_map(|(environment, _)| &environment.extra_fields);
        let columns: BTreeSet<&String> = fields.map(|field| &field.column).collect();
        columns.into_iter().cloned().collect()
    }

    /// The security groups of some environments, each once.
    #[must_use]
    pub fn security_groups(&self, wanted: impl Fn(&Environment) -> bool) -> Vec<Uuid> {
        let wanted = self.environments.iter().filter(|(environment, _)| wanted(environment));
        let groups: BTreeSet<Uuid> = wanted
            .filter_map(|(environment, _)| environment.security_group)
            .collect();
        groups.into_iter().collect()
    }
}

/// The engine with its two edges.
#[derive(Clone)]
pub struct Engine {
    /// Microsoft Graph.
    pub graph: Graph,
    /// PostgreSQL.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Ends every wait.
    pub cancel: CancellationToken,
    /// What is remembered between requests.
    pub memory: Arc<desk::Memory>,
    /// How far its run is.
    pub progress: Progress,
}

impl Engine {
    /// What every part stands on.
    #[must_use]
    pub fn base(&self) -> Base {
        Base {
            store: self.store.clone(),
            clock: self.clock.clone(),
            settings: Arc::clone(&self.settings),
            cancel: self.cancel.clone(),
            progress: self.progress.clone(),
        }
    }

    /// Looks at what the database holds.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::new(self.base())
    }

    /// Who is signed in to the console.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.base())
    }

    /// Takes notifications of the directory.
    #[must_use]
    pub fn hints(&self) -> Hints {
        Hints::new(self.base())
    }

    /// Reads the directory.
    #[must_use]
    pub fn puller(&self) -> Puller {
        Puller::new(self.base(), self.graph.clone())
    }

    /// Runs.
    #[must_use]
    pub fn cycle(&self) -> Cycle {
        Cycle::new(self.base(), self.puller())
    }

    /// What is asked for between runs.
    #[must_use]
    pub fn desk(&self) -> Desk {
        Desk::new(self.base(), self.puller(), Arc::clone(&self.memory))
    }

    /// Import jobs.
    #[must_use]
    pub fn imports(&self) -> Imports {
        Imports::new(self.base(), self.puller(), self.desk())
    }

    /// Decisions about held removals, and environments that are left.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard::new(self.base(), self.puller(), self.desk())
    }
}
