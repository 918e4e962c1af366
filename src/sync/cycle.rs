//! One run: pull, evaluate, remove, report. It takes no hints and is safe to repeat.
//!
//! `prepare` runs before the directory is read. `environment` then handles each environment in batches (`batch`). A run
//! looks up no single user on demand, and no caller waits for its answer.

mod batch;
mod environment;
mod findings;
mod names;
pub(super) mod part;
mod prepare;
mod removals;
mod report;
mod together;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tracing::{Instrument, info, info_span, warn};

use self::findings::{doubts_of, has_problem, note_findings, note_sources, note_verification, problem_lines};
use self::part::{EnvironmentRun, RunInfo};
pub use self::report::{Counts, Report, RunOutcome};
use self::together::Together;
use super::pull::{Puller, view};
use super::{Base, CycleError, Failure, UnknownEnvironment};
use crate::domain::doubt::Doubt;
use crate::domain::environment::Environment;
use crate::domain::run::LeftOver;
use crate::domain::source::Source;
use crate::domain::system_user::SYNC_ACTOR;
use crate::error::chain;
use crate::store::environments;
use crate::store::lease::Lease;
use crate::store::{StoreError, StoreResult, Transaction, answers, checkpoints, planned, runs};
use crate::sync::judge::sentence;
use crate::telemetry::metrics::Metrics;

/// Environments for which a constraint or trigger of the customer rejects a write, each with the message to report.
/// Such a failure stays with its environment.
#[derive(Debug, Default)]
struct Refused(BTreeMap<String, String>);

impl Refused {
    /// What a failure says, if it is such a one.
    fn detail(error: &Failure) -> Option<String> {
        match error {
            Failure::Store(StoreError::Refused(fault)) if fault.own().is_none() => Some(sentence(fault)),
            _ => None,
        }
    }

    /// Records a failure of one environment; any other failure ends the run.
    fn or_note<T>(&mut self, environment: &str, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        let detail = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => Self::detail(&error).ok_or(error)?,
        };
        if !self.0.contains_key(environment) {
            warn!(environment, detail, "the database refuses rows of one environment");
            let why = format!(
                "environment {environment}: {detail} Ask whoever owns the constraint or trigger on system_user; the \
                 other environments go on"
            );
            self.0.insert(environment.to_owned(), why);
        }
        Ok(None)
    }
}

/// The parameters of a run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What started it: `interval` or `sync`.
    pub trigger: String,
    /// The environments to evaluate; empty means all.
    pub environments: Vec<String>,
    /// Lists every source again, verifies the mirror by it, then evaluates everyone.
    pub full: bool,
    /// Shows the changes and writes nothing.
    pub dry_run: bool,
}

/// Carries out runs.
#[derive(Clone)]
pub struct Cycle {
    base: Base,
    puller: Puller,
}

impl Cycle {
    pub(super) fn new(base: Base, puller: Puller) -> Self {
        Self { base, puller }
    }

    /// One run under a lease.
    ///
    /// # Errors
    /// When the database fails, the daemon stops or an unknown environment is named.
    pub async fn run(
        &self,
        lease: &Lease,
        request: &Request,
        begun: impl AsyncFnOnce(i64),
    ) -> Result<Report, CycleError> {
        let chosen = self.chosen(&request.environments)?;
        let now = self.base.clock.now();
        let names: Vec<String> = chosen.iter().map(|(environment, _)| environment.name.clone()).collect();
        let open_run = async || {
            let mut tx = self.base.begin(lease).await?;
            environments::add_up(&mut tx).await?;
            let left_over = environments::left_over(&mut tx, &self.base.settings.names()).await?;
            let told = json!(left_over);
            let run = RunInfo {
                lease: Some(lease),
                run_id: runs::begin(&mut tx, &request.trigger, request.dry_run, &names, &told, now).await?,
                now,
                dry_run: request.dry_run,
                actor: SYNC_ACTOR,
            };
            self.set_aside(&mut tx, run, &left_over).await?;
            answers::purge(&mut tx, now).await?;
            planned::purge(&mut tx, now).await?;
            tx.commit().await?;
            Ok::<_, StoreError>((run, left_over))
        };
        let (run, left_over) = self.base.retry(open_run).await?;
        let run_id = run.run_id;
        begun(run_id).await;
        self.base.progress.start(run_id, now);
        let span = info_span!("cycle", run = run_id);
        // Boxed: the future is large, and every future that awaits a run would contain it.
        let result = Box::pin(self.run_begun(lease, run, request, &chosen, left_over))
            .instrument(span)
            .await;
        self.base.progress.end();
        if matches!(result, Err(CycleError::Failed(Failure::Cancelled))) {
            info!(run = run_id, "stopping; the next run goes on where this one left off");
            let stopped = ["stopped before its end".to_owned()];
            let _ = self.break_off(run, RunOutcome::Incomplete, &stopped).await;
        } else if let Err(error) = &result {
            warn!(run = run_id, error = %chain(error), "the run broke off");
            // Best effort: the next run closes a run that is left open.
            let _ = self.break_off(run, RunOutcome::Failed, &[chain(error)]).await;
        }
        result
    }

    fn chosen(&self, names: &[String]) -> Result<Vec<&(Environment, String)>, CycleError> {
        let known = &self.base.settings.environments;
        if let Some(unknown) = names
            .iter()
            .find(|name| !known.iter().any(|(known, _)| known.name == **name))
        {
            return Err(UnknownEnvironment(unknown.clone()).into());
        }
        Ok(known
            .iter()
            .filter(|(known, _)| names.is_empty() || names.contains(&known.name))
            .collect())
    }

    async fn run_begun(
        &self,
        lease: &Lease,
        run: RunInfo<'_>,
        request: &Request,
        chosen: &[&(Environment, String)],
        left_over: Vec<LeftOver>,
    ) -> Result<Report, CycleError> {
        info!(full = request.full, dry_run = run.dry_run, "a run begins");
        let mut refused = self.prepare(run, request.full).await?;
        let pulled = Box::pin(self.puller.pull(lease)).await?;
        let mut problems = problem_lines(&pulled.problems);
        for problem in &problems {
            warn!(problem, "a source could not be read to its end");
        }
        let mut tx = self.base.begin(lease).await?;
        let doubts = doubts(&mut tx, chosen).await?;
        let surveys = self.survey(&mut tx, run).await?;
        if let Some(verification) = &pulled.verification {
            note_verification(&mut tx, run, verification).await?;
        }
        tx.commit().await?;
        if let Some(verification) = &pulled.verification {
            Metrics.drift(&verification.drift);
        }
        problems.extend(doubts.iter().map(|(_, why, _)| format!("in doubt: {why}")));

        let mut counts: BTreeMap<&String, Counts> = BTreeMap::new();
        let mut together = Together::default();
        for (environment, _) in chosen.iter().copied() {
            let name = &environment.name;
            counts.insert(name, Counts::of(name));
            let survey = surveys.get(name).cloned().unwrap_or_default();
            // Nothing but its users has to be looked at.
            let is_calm = survey.is_calm && !refused.0.contains_key(name) && !has_problem(environment, &pulled);
            if pulled.users_reached && !(is_calm && survey.is_quiet()) {
                let part = EnvironmentRun::new(&self.base, view(&self.base.settings, environment, &pulled), run);
                let told = doubts.iter().filter(|(.., told)| told.contains(name));
                let told: Vec<_> = told.map(|(source, why, _)| (*source, why.clone())).collect();
                together.push(part, survey, is_calm, doubts_of(environment, &told, &pulled));
            }
        }
        together.judge(&mut refused).await?;
        note_findings(&self.base, run, &pulled, &together.to_report()).await?;
        let mut holds: Vec<Doubt> = Vec::new();
        for (part, state) in together.into_parts() {
            if state.holds.contains(&Doubt::NobodyLicensed {}) {
                problems.extend(state.holds.iter().map(|why| format!("in doubt: {why}")));
            }
            holds.extend(state.holds);
            counts.insert(&part.view.environment.name, part.tally.counts);
        }
        let environments = chosen
            .iter()
            .filter_map(|(environment, _)| counts.remove(&environment.name));
        let environments: Vec<Counts> = environments.collect();
        let held: u64 = environments.iter().map(|counts| counts.held).sum();
        problems.extend(refused.0.values().cloned());
        // A doubt that holds removals has its finding there.
        let idle = doubts.iter().filter(|(_, why, _)| !holds.contains(why));
        let idle = idle.map(|(source, why, _)| (*source, why));
        let mut tx = self.base.begin(run.lease).await?;
        note_sources(&mut tx, run, &pulled, &refused, idle).await?;
        let holds = held > 0 || !holds.is_empty();

        let outcome = match (problems.is_empty(), holds) {
            (false, _) => RunOutcome::Incomplete,
            (true, true) => RunOutcome::Held,
            (true, false) => RunOutcome::Complete,
        };
        self.end(&mut tx, run, outcome, &environments, &problems).await?;
        tx.commit().await?;
        info!(outcome = outcome.as_str(), "the run has ended");
        Ok(Report {
            run: run.run_id,
            outcome,
            dry_run: run.dry_run,
            environments,
            problems,
            verification: pulled.verification,
            left_over,
            holds,
        })
    }

    async fn break_off(&self, run: RunInfo<'_>, outcome: RunOutcome, problems: &[String]) -> StoreResult<()> {
        let mut tx = self.base.begin(run.lease).await?;
        self.end(&mut tx, run, outcome, &[], problems).await?;
        tx.commit().await
    }

    async fn end(
        &self,
        tx: &mut Transaction,
        run: RunInfo<'_>,
        outcome: RunOutcome,
        environments: &[Counts],
        problems: &[String],
    ) -> StoreResult<()> {
        let counts: serde_json::Map<String, Value> = environments
            .iter()
            .map(|counts| (counts.environment.clone(), json!(counts)))
            .collect();
        let counts = Value::Object(counts);
        let now = self.base.clock.now();
        runs::end(tx, run.run_id, outcome.as_str(), &counts, problems, now).await
    }
}

/// The sources in doubt, why, and for which of the chosen environments. A doubt stays with an environment until a
/// run, this one or another, has evaluated the environment with it.
async fn doubts(
    tx: &mut Transaction,
    chosen: &[&(Environment, String)],
) -> StoreResult<Vec<(Source, Doubt, Vec<String>)>> {
    let names: Vec<String> = chosen.iter().map(|(environment, _)| environment.name.clone()).collect();
    checkpoints::tell_doubts(&mut *tx).await?;
    let mut doubts: Vec<(Source, Doubt, Vec<String>)> = Vec::new();
    for (environment, source, why) in checkpoints::doubts(tx, &names).await? {
        match doubts.last_mut() {
            Some(last) if last.0 == source && last.1 == why => last.2.push(environment),
            _ => doubts.push((source, why, vec![environment])),
        }
    }
    Ok(doubts)
}
