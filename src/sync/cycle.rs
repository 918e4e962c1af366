//! One run: pull, judge, remove, report. It takes no hints and is safe to repeat.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tracing::{Instrument, info, info_span, warn};
use uuid::Uuid;

use super::batch::RunInfo;
use super::names::clash;
use super::pull::{Problem, Pulled};
use super::removals::Doubts;
use super::walk::Tally;
use super::{Counts, Engine, Outcome, Report, Settings, SyncError};
use crate::domain::doubt::Doubt;
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::feed::checkpoint::Input;
use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::domain::system_user::SYNC_ACTOR;
use crate::plan::EnvironmentView;
use crate::store::checkpoints;
use crate::store::environments::{self, LeftOver, Progress};
use crate::store::findings::{self, Seen};
use crate::store::lease::Lease;
use crate::store::{
    StoreError, StoreResult, Transaction, mirror, names, pending, quota, refusals, removals, rows, runs,
};

/// The placeholder rows belong to no directory user.
const PLACEHOLDERS: Uuid = Uuid::nil();

/// What the finding about a held set is about.
pub(super) fn held_subject(run_id: i64) -> String {
    format!("run:{run_id}")
}

/// Environments of which the database does not take something, by a constraint or trigger of the customer's, and what is
/// told of it. Their failure is their own.
#[derive(Debug, Default)]
struct Refused(BTreeMap<String, String>);

impl Refused {
    /// Notes what befell one environment alone; anything else ends the run.
    fn or_note<T>(&mut self, environment: &str, result: Result<T, SyncError>) -> Result<Option<T>, SyncError> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(SyncError::Refused(refusal)) if refusal.code == Code::RowNotWritten => refusal,
            Err(error) => return Err(error),
        };
        if !self.0.contains_key(environment) {
            warn!(
                environment,
                detail = error.detail,
                "the database refuses rows of one environment"
            );
            let why = format!(
                "environment {environment}: {} Ask whoever owns the constraint or trigger on system_user; the \
                 other environments go on",
                error.detail
            );
            self.0.insert(environment.to_owned(), why);
        }
        Ok(None)
    }
}

/// What is asked of a run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What started it: `interval` or `sync`.
    pub trigger: String,
    /// The environments to judge; empty means all.
    pub environments: Vec<String>,
    /// New full rounds of every source, then everyone is judged.
    pub full: bool,
    /// Only show.
    pub dry_run: bool,
}

impl Engine {
    /// One run under a lease.
    ///
    /// # Errors
    /// When the database fails, the daemon stops or an unknown environment is named.
    pub async fn run(
        &self,
        lease: &Lease,
        request: &Request,
        begun: impl AsyncFnOnce(i64),
    ) -> Result<Report, SyncError> {
        let chosen = self.chosen(&request.environments)?;
        let now = self.clock.now();
        let names: Vec<String> = chosen.iter().map(|(environment, _)| environment.name.clone()).collect();
        let (run_id, left_over) = {
            let mut tx = self.begin(lease).await?;
            let left_over = environments::left_over(&mut tx, &self.settings.names()).await?;
            let told = json!(left_over);
            let id = runs::begin(&mut tx, &request.trigger, request.dry_run, &names, &told, now).await?;
            tx.commit().await?;
            (id, left_over)
        };
        begun(run_id).await;
        let run = RunInfo {
            lease: Some(lease),
            run_id,
            now,
            dry_run: request.dry_run,
            actor: SYNC_ACTOR,
        };
        let span = info_span!("cycle", run = run_id);
        // Boxed: it is large, and everybody who awaits a run would carry it.
        let result = Box::pin(self.run_begun(lease, run, request, &chosen, left_over))
            .instrument(span)
            .await;
        if matches!(result, Err(SyncError::Cancelled)) {
            info!(run = run_id, "stopping; the next run goes on where this one left off");
            let stopped = ["stopped before its end".to_owned()];
            let _ = self.end(run, Outcome::Incomplete, &[], &stopped).await;
        } else if let Err(error) = &result {
            warn!(run = run_id, error = %chain(error), "the run broke off");
            // Best effort: a run that is left open is closed by the next one.
            let _ = self.end(run, Outcome::Failed, &[], &[chain(error)]).await;
        }
        result
    }

    fn chosen(&self, names: &[String]) -> Result<Vec<&(Environment, String)>, SyncError> {
        let known = &self.settings.environments;
        if let Some(unknown) = names
            .iter()
            .find(|name| !known.iter().any(|(known, _)| known.name == **name))
        {
            return Err(SyncError::UnknownEnvironment(unknown.clone()));
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
    ) -> Result<Report, SyncError> {
        info!(full = request.full, dry_run = run.dry_run, "a run begins");
        self.set_aside(run, &left_over).await?;
        let mut refused = self.prepare(run, request.full).await?;
        let pulled = Box::pin(self.pull(lease)).await?;
        let mut problems = problem_lines(&pulled.problems);
        for problem in &problems {
            warn!(problem, "a source could not be read to its end");
        }
        let doubts = self.doubts(lease, chosen).await?;
        problems.extend(doubts.iter().map(|(_, why, _)| format!("in doubt: {why}")));

        let mut environments = Vec::new();
        let mut changes = Vec::new();
        let mut holds: Vec<Doubt> = Vec::new();
        let mut held = 0;
        for (environment, fingerprint) in chosen.iter().copied() {
            let mut tally = Tally::new(&environment.name);
            if pulled.users_reached {
                let told = doubts.iter().filter(|(.., told)| told.contains(&environment.name));
                let told: Vec<_> = told.map(|(source, why, _)| (*source, why.clone())).collect();
                let judged = self
                    .judge_environment(run, environment, fingerprint, &pulled, &told, &mut tally)
                    .await;
                let why = refused.or_note(&environment.name, judged)?.unwrap_or_default();
                if why.contains(&Doubt::NobodyLicensed {}) {
                    problems.extend(why.iter().map(|why| format!("in doubt: {why}")));
                }
                holds.extend(why);
            }
            held += tally.counts.held;
            changes.append(&mut tally.changes);
            environments.push(tally.counts);
        }
        problems.extend(refused.0.values().cloned());
        // What holds somebody has its finding there.
        let idle = doubts.iter().filter(|(_, why, _)| !holds.contains(why));
        self.finish_sources(run, &pulled, &refused, idle.map(|(source, why, _)| (*source, why)))
            .await?;
        let holds = held > 0 || !holds.is_empty();

        let outcome = match (problems.is_empty(), holds) {
            (false, _) => Outcome::Incomplete,
            (true, true) => Outcome::Held,
            (true, false) => Outcome::Complete,
        };
        if run.dry_run {
            // For whoever asked a daemon for it.
            let mut tx = self.begin(run.lease).await?;
            runs::record_planned(&mut tx, run.run_id, &json!(changes)).await?;
            tx.commit().await?;
        }
        self.end(run, outcome, &environments, &problems).await?;
        info!(outcome = outcome.as_str(), "the run has ended");
        Ok(Report {
            run: run.run_id,
            outcome,
            dry_run: run.dry_run,
            environments,
            problems,
            left_over,
            changes: run.dry_run.then_some(changes),
            holds,
        })
    }

    /// Everything about one environment once everything is pulled. Answers why something is held.
    async fn judge_environment(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        fingerprint: &str,
        pulled: &Pulled,
        doubts: &[(Source, Doubt)],
        tally: &mut Tally,
    ) -> Result<Vec<Doubt>, SyncError> {
        let progress = self.register(run, environment, fingerprint).await?;
        let view = view(&self.settings, environment, pulled);
        self.judge(&view, run, &progress, tally).await?;
        let concerned = doubts_of(environment, doubts, pulled);
        let why = self.decide_removals(&view, run, concerned, tally).await?;
        self.judge_waiting(&view, run, tally).await?;
        self.note_findings(run, environment, pulled, &why, progress.is_set_up)
            .await?;
        Ok(why)
    }

    /// Before anything is pulled: what earlier runs left, and what is due. Answers what the database refuses of which
    /// environment; the others do not wait for it.
    async fn prepare(&self, run: RunInfo<'_>, full: bool) -> Result<Refused, SyncError> {
        let mut refused = Refused::default();
        for (environment, fingerprint) in &self.settings.environments {
            let name = &environment.name;
            let prepared = self.prepare_environment(run, environment, fingerprint).await;
            let progress = refused.or_note(name, prepared)?;
            if environment.has_database && !run.dry_run && progress.is_some_and(|progress| !progress.is_set_up) {
                refused.or_note(name, self.set_up(run, name).await)?;
            }
        }
        if full {
            let mut tx = self.begin(run.lease).await?;
            checkpoints::renew_all(&mut tx).await?;
            environments::judge_everyone(&mut tx, &self.settings.names()).await?;
            tx.commit().await?;
        }
        Ok(refused)
    }

    async fn prepare_environment(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        fingerprint: &str,
    ) -> Result<Progress, SyncError> {
        let name = &environment.name;
        let progress = self.register(run, environment, fingerprint).await?;
        if !run.dry_run {
            self.fold_names(run, name, &progress).await?;
        }
        let mut tx = self.begin(run.lease).await?;
        removals::requeue_collected(&mut tx, name).await?;
        expire_sets(&mut tx, name, run).await?;
        pending::mark_due(&mut tx, name, run.now).await?;
        let interval = chrono::Duration::from_std(self.settings.full_interval).unwrap_or(chrono::Duration::MAX);
        let is_due = progress.judged_at.is_some_and(|at| run.now - at >= interval);
        if is_due && progress.judged_epoch == progress.epoch {
            environments::judge_everyone(&mut tx, std::slice::from_ref(name)).await?;
            // No change of theirs may ever tell that they can be read by now.
            let users = checkpoints::read(&mut tx, Source::Users).await?;
            if users.seen.missed || mirror::any_unreadable(&mut tx).await? {
                checkpoints::step(&mut tx, users, Input::RenewUnlessUnderWay).await?;
            }
        }
        tx.commit().await?;
        Ok(progress)
    }

    /// Makes the placeholder rows, once. The database may refuse them like any other row: then they wait until
    /// everybody is judged again.
    async fn set_up(&self, run: RunInfo<'_>, name: &str) -> Result<(), SyncError> {
        let made = self.retry(async || {
            let mut tx = self.begin(run.lease).await?;
            let known = refusals::among(&mut tx, name, &[PLACEHOLDERS]).await?;
            if known.values().any(|refused| refused.plan.is_some()) {
                return Ok(());
            }
            rows::insert_placeholders(&mut tx, name, run.now).await?;
            refusals::settle(&mut tx, name, &[PLACEHOLDERS]).await?;
            environments::note_set_up(&mut tx, name).await?;
            tx.commit().await
        });
        let fault = match made.await {
            Err(StoreError::Refused(fault)) => fault,
            other => return Ok(other?),
        };
        let refused = refusals::Refused {
            plan: Some("placeholders".to_owned()),
            detail: format!("The database does not take the placeholder rows: {fault}"),
        };
        warn!(
            environment = name,
            detail = refused.detail,
            "the placeholder rows cannot be written"
        );
        let mut tx = self.begin(run.lease).await?;
        refusals::note(&mut tx, name, &[(PLACEHOLDERS, refused)], run.now).await?;
        Ok(tx.commit().await?)
    }

    async fn register(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        fingerprint: &str,
    ) -> Result<Progress, SyncError> {
        let until_edited: Vec<String> = crate::domain::field::Field::ALL
            .into_iter()
            .filter(|field| environment.policies.of(*field) == crate::domain::field::Policy::UntilEdited)
            .map(|field| field.column().to_owned())
            .collect();
        let mut tx = self.begin(run.lease).await?;
        let progress = environments::register(
            &mut tx,
            &environment.name,
            environment.kind.as_str(),
            fingerprint,
            &until_edited,
        )
        .await?;
        quota::set_cap(&mut tx, &environment.name, environment.non_interactive_cap).await?;
        tx.commit().await?;
        Ok(progress)
    }

    /// Which sources are in doubt, why, and for which of the chosen environments: each keeps a doubt until it has been
    /// judged by it, whether in this run or another.
    async fn doubts(
        &self,
        lease: &Lease,
        chosen: &[&(Environment, String)],
    ) -> Result<Vec<(Source, Doubt, Vec<String>)>, SyncError> {
        let names: Vec<String> = chosen.iter().map(|(environment, _)| environment.name.clone()).collect();
        let mut tx = self.begin(lease).await?;
        checkpoints::tell_doubts(&mut tx).await?;
        let told = checkpoints::doubts(&mut tx, &names).await?;
        tx.commit().await?;
        let mut doubts: Vec<(Source, Doubt, Vec<String>)> = Vec::new();
        for (environment, source, why) in told {
            match doubts.last_mut() {
                Some(last) if last.0 == source && last.1 == why => last.2.push(environment),
                _ => doubts.push((source, why, vec![environment])),
            }
        }
        Ok(doubts)
    }

    /// Findings about the sources of an environment that has been judged: unreadable, in doubt, held. Its doubts are over.
    async fn note_findings(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        pulled: &Pulled,
        holds: &[Doubt],
        is_set_up: bool,
    ) -> Result<(), SyncError> {
        let mut seen: Vec<Seen> = Vec::new();
        let sources = group_sources(environment, pulled);
        for problem in pulled
            .problems
            .iter()
            .filter(|problem| sources.contains(&problem.source))
        {
            seen.push(source_finding(problem.source, &problem.detail));
        }
        // A dry run leaves no set that somebody could approve.
        for why in holds.iter().filter(|_| !run.dry_run) {
            seen.push(Seen {
                object_id: None,
                code: findings::REMOVALS_HELD.to_owned(),
                subject: held_subject(run.run_id),
                detail: why.to_string(),
            });
        }
        let mut tx = self.begin(run.lease).await?;
        if !is_set_up {
            let refused = refusals::among(&mut tx, &environment.name, &[PLACEHOLDERS]).await?;
            seen.extend(refused.into_values().map(|refused| Seen {
                object_id: None,
                code: Code::RowNotWritten.as_str().to_owned(),
                subject: "placeholders".to_owned(),
                detail: refused.detail,
            }));
        }
        if !run.dry_run {
            removals::close_empty_sets(&mut tx, &environment.name, run.now).await?;
        }
        // A set that is still held keeps its finding.
        for set in removals::sets(&mut tx, None, &[]).await? {
            if set.environment == environment.name && set.run_id != run.run_id {
                seen.push(Seen {
                    object_id: None,
                    code: findings::REMOVALS_HELD.to_owned(),
                    subject: held_subject(set.run_id),
                    detail: set.why,
                });
            }
        }
        seen.extend(names::clashes(&mut tx, &environment.name).await?.into_iter().map(clash));
        findings::reconcile_sources(&mut tx, Some(&environment.name), &seen, Some(run.run_id), run.now).await?;
        if !run.dry_run {
            checkpoints::settle_doubts(&mut tx, &environment.name).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Findings about the sources of the tenant.
    async fn finish_sources(
        &self,
        run: RunInfo<'_>,
        pulled: &Pulled,
        refused: &Refused,
        idle_doubts: impl Iterator<Item = (Source, &Doubt)>,
    ) -> Result<(), SyncError> {
        let unread = pulled
            .problems
            .iter()
            .filter(|problem| !matches!(problem.source, Source::Group(_)));
        let seen: Vec<Seen> = unread
            .chain(&pulled.skipped)
            .map(|problem| source_finding(problem.source, &problem.detail))
            .chain(idle_doubts.map(|(source, why)| source_finding(source, &why.to_string())))
            .chain(refused.0.iter().map(|(name, why)| Seen {
                code: findings::ENVIRONMENT_REFUSED.to_owned(),
                ..source_finding(format_args!("environment:{name}"), why)
            }))
            .chain(pulled.orphaned_roles.iter().map(|(id, detail)| Seen {
                code: findings::ORPHANED_ROLE_ASSIGNMENT.to_owned(),
                ..source_finding(format_args!("role:{id}"), detail)
            }))
            .collect();
        let mut tx = self.begin(run.lease).await?;
        findings::reconcile_sources(&mut tx, None, &seen, Some(run.run_id), run.now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end(
        &self,
        run: RunInfo<'_>,
        outcome: Outcome,
        environments: &[Counts],
        problems: &[String],
    ) -> Result<(), SyncError> {
        let counts: serde_json::Map<String, Value> = environments
            .iter()
            .map(|counts| (counts.environment.clone(), json!(counts)))
            .collect();
        let mut tx = self.begin(run.lease).await?;
        runs::end(
            &mut tx,
            run.run_id,
            outcome.as_str(),
            &Value::Object(counts),
            problems,
            self.clock.now(),
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Dissolves what nobody has decided in time; what was in doubt stays so.
pub(super) async fn expire_sets(tx: &mut Transaction, name: &str, run: RunInfo<'_>) -> StoreResult<()> {
    let expired = removals::expire(&mut *tx, name, run.now).await?;
    for (set, _) in &expired {
        findings::close_subject(&mut *tx, name, findings::REMOVALS_HELD, &held_subject(*set), run.now).await?;
    }
    let reasons: Vec<Doubt> = expired.into_iter().flat_map(|(_, why)| why).collect();
    checkpoints::doubt_again(tx, name, &reasons).await
}

/// A line for every cause, with the sources that it keeps from being read.
fn problem_lines(problems: &[Problem]) -> Vec<String> {
    let mut causes: Vec<(&str, Vec<String>)> = Vec::new();
    for problem in problems {
        match causes.iter_mut().find(|(detail, _)| *detail == problem.detail) {
            Some((_, sources)) => sources.push(problem.source.to_string()),
            None => causes.push((&problem.detail, vec![problem.source.to_string()])),
        }
    }
    causes
        .into_iter()
        .map(|(detail, sources)| format!("{}: {detail}", sources.join(", ")))
        .collect()
}

fn source_finding(source: impl std::fmt::Display, detail: &str) -> Seen {
    Seen {
        object_id: None,
        code: Code::DirectoryUnavailable.as_str().to_owned(),
        subject: source.to_string(),
        detail: detail.to_owned(),
    }
}

pub(super) fn view<'a>(settings: &'a Settings, environment: &'a Environment, pulled: &Pulled) -> EnvironmentView<'a> {
    let counts_nested = environment.group_nesting != GroupNesting::Ignore;
    let nested = environment
        .security_group
        .filter(|_| counts_nested)
        .and_then(|group| pulled.nested.get(&group))
        .cloned()
        .unwrap_or_default();
    EnvironmentView {
        environment,
        catalogue: &settings.catalogue,
        viral_counts_as: settings.viral_counts_as,
        group_unreadable: environment
            .security_group
            .is_some_and(|group| pulled.unreadable_groups.contains(&group)),
        nested_unreadable: nested.iter().any(|group| pulled.unreadable_groups.contains(group)),
        nested,
        tenant_marketing: pulled.tenant_marketing,
        stale_roles: pulled.stale_roles,
        stale_skus: pulled.stale_skus,
    }
}

/// The groups that an environment reads, as sources: those nested in its own only where it counts them.
fn group_sources(environment: &Environment, pulled: &Pulled) -> BTreeSet<Source> {
    let root = environment.security_group;
    let counts_nested = environment.group_nesting != GroupNesting::Ignore;
    let nested = root.filter(|_| counts_nested).and_then(|root| pulled.nested.get(&root));
    let groups = root.into_iter().chain(nested.into_iter().flatten().copied());
    groups.map(Source::Group).collect()
}

/// The doubts that concern one environment: of groups only those that it reads.
fn doubts_of(environment: &Environment, doubts: &[(Source, Doubt)], pulled: &Pulled) -> Doubts {
    let groups = group_sources(environment, pulled);
    let concerning = doubts
        .iter()
        .filter(|(source, _)| !matches!(source, Source::Group(_)) || groups.contains(source));
    concerning
        .map(|(source, why)| (why.clone(), why.concerns(*source)))
        .collect()
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
