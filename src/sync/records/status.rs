//! The overview of an installation: a fixed number of statements, whatever the number of environments.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Records;
use crate::domain::source::Source;
use crate::domain::status::{EnvironmentStatus, RunBrief, Status};
use crate::store::environments::RowCounts;
use crate::store::{checkpoints, environments, findings, overview};
use crate::sync::Failure;

/// After so many intervals without a success, the state is stale: single failures are no reason to alarm anyone.
const STALE_AFTER: u32 = 3;

impl Records {
    /// From when on a run verifies the mirror; none if never, or if it has not been read yet.
    pub async fn next_verification(&self) -> Result<Option<DateTime<Utc>>, Failure> {
        let mut db = self.db().await?;
        let users = checkpoints::read(&mut db, Source::Users).await?;
        Ok(users.verification.due_at(self.base.settings.verifications))
    }

    /// The overview: leader, runs, and the state of each environment. `interval` is the time between two cycles.
    pub async fn status(&self, interval: Duration) -> Result<Status, Failure> {
        let settings = &self.base.settings;
        let mut db = self.db().await?;
        // The leader first: a run that is open afterwards may have begun since, but no run is taken for one in progress
        // whose process is gone.
        let leader = overview::leader(&mut db).await?;
        let runs = overview::latest_runs(&mut db).await?;
        let counts = environments::count_rows(&mut db, None).await?;
        let mut held: HashMap<String, i64> = overview::held(&mut db).await?.into_iter().collect();
        let left_over = environments::left_over(&mut db, &settings.names()).await?;
        let mut open: HashMap<Option<String>, BTreeMap<String, i64>> = HashMap::new();
        for (environment, code, count) in findings::count_open(&mut db).await? {
            open.entry(environment).or_default().insert(code, count);
        }
        let mut counts: HashMap<String, RowCounts> =
            counts.into_iter().map(|one| (one.environment.clone(), one)).collect();
        let mut status_of = |name: &str, cap: Option<u32>| {
            let counts = counts.remove(name).unwrap_or_default();
            EnvironmentStatus {
                environment: name.to_owned(),
                configured: cap.is_some(),
                enabled: counts.enabled,
                disabled: counts.disabled,
                held: held.remove(name).unwrap_or_default(),
                non_interactive: counts.non_interactive,
                non_interactive_cap: cap,
                findings: open.remove(&Some(name.to_owned())).unwrap_or_default(),
            }
        };
        let configured = settings.environments.iter();
        let mut all: Vec<EnvironmentStatus> = configured
            .map(|(environment, _)| status_of(&environment.name, Some(environment.non_interactive_cap)))
            .collect();
        all.extend(left_over.iter().map(|left| status_of(&left.environment, None)));
        let verification = checkpoints::read(&mut db, Source::Users).await?.verification;
        let at = self.base.clock.now();
        let newest = |wanted: &dyn Fn(&RunBrief) -> bool| runs.iter().find(|run| wanted(run)).cloned();
        let last_success = newest(&RunBrief::is_success);
        Ok(Status {
            at,
            running: newest(&|run| run.ended_at.is_none()).filter(|_| leader.is_some()),
            last_run: newest(&|run| run.ended_at.is_some() && !run.dry_run),
            is_stale: is_stale(last_success.as_ref(), at, interval),
            last_success,
            next_cycle_at: leader.as_ref().filter(|leader| leader.is_daemon).map(|_| {
                let last = newest(&|run| run.trigger == "interval");
                last.map_or(at, |run| later(run.started_at, interval))
            }),
            leader,
            verified_at: verification.verified_at,
            next_verification_at: verification.due_at(settings.verifications),
            findings: open.remove(&None).unwrap_or_default(),
            environments: all,
        })
    }
}

fn is_stale(last_success: Option<&RunBrief>, now: DateTime<Utc>, interval: Duration) -> bool {
    let ended_at = last_success.and_then(|run| run.ended_at);
    ended_at.is_none_or(|at| later(at, interval * STALE_AFTER) < now)
}

fn later(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::MAX);
    at.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
