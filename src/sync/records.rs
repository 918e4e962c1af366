//! The read side: the contents of the database, for HTTP and the command line. It writes nothing and reads only the
//! database. Questions about imports are in their own module, and the desk explains verdicts. Every query fails when
//! the database does, and when it names an environment or a row that does not exist.

#![expect(clippy::missing_errors_doc, reason = "said once, above")]

mod extra_fields;
mod feed;
mod profile;
mod status;
mod structure;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use profile::Profile;

use super::desk::no_row;
use super::{Base, DeskError, Failure, UnknownEnvironment};
use crate::domain::environment::{Environment, GroupNesting, KnownEnvironment};
use crate::domain::removal::{HeldKey, HeldRow, HeldSet};
use crate::domain::run::{ChangeLine, LeftOver, OpenFinding, Run, RunLine, RunProgress};
use crate::domain::system_user::{Filter, SystemUser};
use crate::store::{
    Connection, StoreResult, changes, columns, environments, findings, overview, planned, removals, rows, runs,
};

/// The number of held rows that are shown with their run.
const HELD_SHOWN: i64 = 1000;

/// Answers queries from the database.
#[derive(Clone)]
pub struct Records {
    base: Base,
}

/// A run with its held removals.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RunDetails {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The sets of removals that it held.
    pub held_sets: Vec<HeldSet>,
    /// How far it is, while it runs.
    pub progress: Option<RunProgress>,
    /// The first rows that would lose access. `/runs/{id}/held` lists all of them.
    pub held: Vec<HeldRow>,
    /// The number of rows that would lose access.
    pub held_total: i64,
}

/// One environment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EnvironmentInfo {
    /// Its name.
    pub name: String,
    /// `production`, `sandbox`, `default`, `trial`, `developer`, `teams`.
    kind: String,
    /// Whether it has a database; without one no user gets a row.
    has_database: bool,
    /// The group whose members may have access.
    security_group: Option<Uuid>,
    /// `ignore`, `on_demand`, `full`.
    group_nesting: &'static str,
    /// The creator of a developer environment.
    creator: Option<Uuid>,
    /// App passes.
    app_pass_capacity: u32,
    /// Whether pay-as-you-go is on.
    pay_as_you_go: bool,
    /// The maximum number of enabled non-interactive users.
    non_interactive_cap: u32,
    /// The current number.
    non_interactive_users: i64,
    /// The names of its security roles.
    roles: Vec<String>,
    /// Enabled rows of directory users.
    enabled: i64,
    /// Disabled rows.
    disabled: i64,
    /// Whether it is in the daemon's configuration. One that is left over in the database is listed with its last kind
    /// (`unknown` if none was recorded) and otherwise as if it had no settings; no operation is possible in it.
    configured: bool,
    /// Rows whose removal waits for a person; no one can decide it in a left-over environment.
    held: i64,
}

impl EnvironmentInfo {
    async fn of(db: &mut Connection, environment: &Environment) -> StoreResult<Self> {
        let mut counts = environments::count_rows(&mut *db, Some(&environment.name)).await?;
        let counts = counts.pop().unwrap_or_default();
        let held = removals::count_held(db, std::slice::from_ref(&environment.name)).await?;
        Ok(Self {
            name: environment.name.clone(),
            kind: environment.kind.as_str().to_owned(),
            has_database: environment.has_database,
            security_group: environment.security_group,
            group_nesting: environment.group_nesting.as_str(),
            creator: environment.creator,
            app_pass_capacity: environment.app_pass_capacity,
            pay_as_you_go: environment.pay_as_you_go,
            non_interactive_cap: environment.non_interactive_cap,
            non_interactive_users: counts.non_interactive,
            roles: environment.roles.clone(),
            enabled: counts.enabled,
            disabled: counts.disabled,
            configured: true,
            held,
        })
    }

    /// The environments that the database has and the configuration lacks.
    async fn left_over(db: &mut Connection, configured: &[String]) -> StoreResult<Vec<Self>> {
        let names = left_over(&mut *db, configured).await?;
        let non_interactive = rows::count_non_interactive(&mut *db, &names).await?;
        let mut items = Vec::new();
        for known in environments::known(&mut *db, &names).await? {
            items.push(Self {
                kind: known.kind.unwrap_or_else(|| "unknown".to_owned()),
                has_database: false,
                security_group: None,
                group_nesting: GroupNesting::Ignore.as_str(),
                creator: None,
                app_pass_capacity: 0,
                pay_as_you_go: false,
                non_interactive_cap: 0,
                non_interactive_users: non_interactive.get(&known.name).copied().unwrap_or_default(),
                roles: Vec::new(),
                enabled: known.enabled,
                disabled: known.disabled,
                configured: false,
                held: known.held,
                name: known.name,
            });
        }
        Ok(items)
    }
}

async fn left_over(db: &mut Connection, configured: &[String]) -> StoreResult<Vec<String>> {
    let left_over = environments::left_over(db, configured).await?;
    Ok(left_over.into_iter().map(|left| left.environment).collect())
}

impl Records {
    /// Reads from a migrated database.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self { base }
    }

    async fn db(&self) -> StoreResult<Connection> {
        self.base.store.read().await
    }

    /// For the lists of users, runs, findings and environments, which may be seconds old.
    async fn aged_db(&self) -> StoreResult<Connection> {
        self.base.store.read_aged().await
    }

    /// The number of missing migrations and, if there are none, when a run last ended successfully.
    pub async fn readiness(&self) -> Result<(usize, Option<DateTime<Utc>>), Failure> {
        let missing = self.base.store.missing_migrations().await?;
        if missing > 0 {
            return Ok((missing, None));
        }
        Ok((0, runs::last_success(&mut self.db().await?).await?))
    }

    /// Runs, newest first, only those before a number.
    pub async fn runs(&self, before: Option<i64>, limit: i64) -> Result<Vec<Run>, Failure> {
        Ok(runs::list(&mut self.aged_db().await?, before, limit).await?)
    }

    /// A run, with the first rows that would lose access if it holds removals.
    pub async fn run(&self, id: i64) -> Result<Option<RunDetails>, Failure> {
        let found = self.run_without_rows(id).await?;
        let Some(found) = found else { return Ok(None) };
        let held = removals::held_rows(&mut self.db().await?, id, None, HELD_SHOWN).await?;
        Ok(Some(RunDetails { held, ..found }))
    }

    /// A run, with none of the rows that would lose access.
    pub async fn run_without_rows(&self, id: i64) -> Result<Option<RunDetails>, Failure> {
        let mut db = self.db().await?;
        let Some(run) = runs::find(&mut db, id).await? else {
            return Ok(None);
        };
        let held_sets = removals::sets(&mut db, Some(id), &self.base.settings.names()).await?;
        Ok(Some(RunDetails {
            progress: planned::progress(&mut db, id).await?,
            held: Vec::new(),
            held_total: held_sets.iter().map(|set| set.rows).sum(),
            held_sets,
            run,
        }))
    }

    /// The sets of removals that a run holds or held; none if the run does not exist.
    pub async fn held_sets(&self, run: i64) -> Result<Option<Vec<HeldSet>>, Failure> {
        let mut db = self.db().await?;
        let found = runs::find(&mut db, run).await?;
        let sets = removals::sets(&mut db, Some(run), &self.base.settings.names()).await?;
        Ok(found.map(|_| sets))
    }

    /// The number of removals that wait for a person.
    pub async fn waiting(&self) -> Result<i64, Failure> {
        let held = overview::held(&mut self.db().await?).await?;
        Ok(held.into_iter().map(|(_, count)| count).sum())
    }

    /// The open sets of held removals of all runs.
    pub async fn open_sets(&self) -> Result<Vec<HeldSet>, Failure> {
        Ok(removals::sets(&mut self.db().await?, None, &self.base.settings.names()).await?)
    }

    /// The rows that would lose access by a run's held removals, after a given row; none if the run does not exist.
    pub async fn held(&self, run: i64, after: Option<HeldKey>, limit: i64) -> Result<Option<Vec<HeldRow>>, Failure> {
        let mut db = self.db().await?;
        let found = runs::find(&mut db, run).await?;
        let held = removals::held_rows(&mut db, run, after, limit).await?;
        Ok(found.map(|_| held))
    }

    /// A run's changes after a given line, in order; none if the run does not exist. Of a dry run, the changes that it
    /// would make, which are kept for a day.
    pub async fn changes(&self, run: i64, after: Option<i64>, limit: i64) -> Result<Option<Vec<RunLine>>, Failure> {
        let mut db = self.db().await?;
        match runs::find(&mut db, run).await? {
            Some(found) if found.dry_run => Ok(Some(planned::of_run(&mut db, run, after, limit).await?)),
            Some(_) => Ok(Some(changes::of_run(&mut db, run, after, limit).await?)),
            None => Ok(None),
        }
    }

    /// Open findings after a given number, oldest first. Only a known environment can be requested.
    pub async fn findings(
        &self,
        environment: Option<&str>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<OpenFinding>, DeskError> {
        if let Some(name) = environment
            && let Some(unknown) = self.unknown(name).await?
        {
            return Err(unknown.into());
        }
        let mut db = self.aged_db().await?;
        Ok(findings::list_open(&mut db, environment, after, limit).await?)
    }

    /// The error for an environment that is neither configured nor in the database.
    async fn unknown(&self, environment: &str) -> Result<Option<UnknownEnvironment>, Failure> {
        let Err(unknown) = self.base.environment(environment) else {
            return Ok(None);
        };
        let names = self.environment_names().await?;
        Ok((!names.iter().any(|known| known == environment)).then_some(unknown))
    }

    /// The names of the configured environments, and of those that only the database has.
    pub async fn environment_names(&self) -> Result<Vec<String>, Failure> {
        let mut names = self.base.settings.names();
        let others = environments::others(&mut self.db().await?, &names).await?;
        names.extend(others);
        Ok(names)
    }

    /// The environments that the database has in addition to the configured ones.
    pub async fn left_over(&self) -> Result<Vec<LeftOver>, Failure> {
        Ok(environments::left_over(&mut self.db().await?, &self.base.settings.names()).await?)
    }

    /// The names of the configured environments, then of the left-over ones.
    pub async fn listed_names(&self) -> Result<Vec<String>, Failure> {
        let mut names = self.base.settings.names();
        names.extend(left_over(&mut self.db().await?, &names).await?);
        Ok(names)
    }

    /// These environments, with exact counts of their rows.
    pub async fn known(&self, names: &[String]) -> Result<Vec<KnownEnvironment>, Failure> {
        let mut known = environments::known(&mut self.db().await?, names).await?;
        let mut all = Vec::new();
        for name in names {
            let at = known.iter().position(|known| known.name == *name);
            let mut one = at.map_or_else(KnownEnvironment::default, |at| known.swap_remove(at));
            if let Ok(environment) = self.base.environment(name) {
                one.kind = Some(environment.kind.as_str().to_owned());
            }
            all.push(KnownEnvironment {
                name: name.clone(),
                ..one
            });
        }
        Ok(all)
    }

    /// Whether an environment is in this configuration.
    #[must_use]
    pub fn is_configured(&self, environment: &str) -> bool {
        self.base.environment(environment).is_ok()
    }

    /// The configured environments, and those left over in the database.
    pub async fn environments(&self) -> Result<Vec<EnvironmentInfo>, Failure> {
        let mut db = self.aged_db().await?;
        let mut items = Vec::new();
        for (environment, _) in &self.base.settings.environments {
            items.push(EnvironmentInfo::of(&mut db, environment).await?);
        }
        items.extend(EnvironmentInfo::left_over(&mut db, &self.base.settings.names()).await?);
        Ok(items)
    }

    /// One environment, left over or not.
    pub async fn environment(&self, name: &str) -> Result<EnvironmentInfo, DeskError> {
        let mut db = self.db().await?;
        match self.base.environment(name) {
            Ok(environment) => Ok(EnvironmentInfo::of(&mut db, environment).await?),
            Err(unknown) => {
                let left_over = EnvironmentInfo::left_over(&mut db, &self.base.settings.names()).await?;
                let mut left_over = left_over.into_iter();
                Ok(left_over.find(|left| left.name == name).ok_or(unknown)?)
            }
        }
    }

    /// Rows of an environment, in key order.
    pub async fn users(&self, environment: &str, filter: &Filter) -> Result<Vec<SystemUser>, DeskError> {
        self.base.environment(environment)?;
        let mut db = self.aged_db().await?;
        let mut rows = rows::list(&mut db, environment, filter).await?;
        structure::with_units(&mut db, environment, &mut rows).await?;
        Ok(rows)
    }

    /// Finds a row by its id, object id, application id or name.
    pub async fn user(&self, environment: &str, user: &str) -> Result<SystemUser, DeskError> {
        self.base.environment(environment)?;
        let row = self.base.find_row(environment, user).await?;
        let mut row = row.ok_or_else(|| no_row(environment, user))?;
        structure::with_units(&mut self.db().await?, environment, std::slice::from_mut(&mut row)).await?;
        Ok(row)
    }

    /// The customer-added columns of a row.
    pub async fn custom(&self, row: &SystemUser) -> Result<Map<String, Value>, Failure> {
        Ok(columns::read_custom(&mut self.db().await?, &row.environment, row.systemuserid).await?)
    }

    /// The latest lines of a row's history before a line, newest first.
    pub async fn history(&self, row: &SystemUser, before: Option<i64>, limit: i64) -> Result<Vec<ChangeLine>, Failure> {
        let mut db = self.db().await?;
        Ok(changes::history(&mut db, &row.environment, row.systemuserid, before, limit).await?)
    }
}
