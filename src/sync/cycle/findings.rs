//! Findings about sources: unreadable, in doubt, holding removals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde_json::json;

use super::Refused;
use super::names::clash;
use super::part::RunInfo;
use super::removals::Doubts;
use super::together::State;
use crate::domain::doubt::Doubt;
use crate::domain::drift::RunVerification;
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::source::Source;
use crate::store::findings::{self, ObservedFinding};
use crate::store::{StoreResult, Transaction, checkpoints, names, refusals, removals, runs};
use crate::sync::pull::{Problem, Pulled};
use crate::sync::{Base, Failure};

/// Records findings about the sources of the evaluated environments: unreadable, in doubt, held. Clears their doubts.
pub(super) async fn note_findings(
    base: &Base,
    run: RunInfo<'_>,
    pulled: &Pulled,
    evaluated: &[(&Environment, &State)],
) -> Result<(), Failure> {
    if evaluated.is_empty() {
        return Ok(());
    }
    let mut seen: Vec<(Option<&str>, ObservedFinding)> = Vec::new();
    for (environment, state) in evaluated {
        let name = Some(environment.name.as_str());
        let sources = group_sources(environment, pulled);
        let problems = pulled
            .problems
            .iter()
            .filter(|problem| sources.contains(&problem.source));
        seen.extend(problems.map(|problem| (name, source_finding(problem.source, &problem.detail))));
        // A dry run stores no set that a person could approve.
        let holds = state.holds.iter().filter(|_| !run.dry_run);
        seen.extend(holds.map(|why| (name, held_finding(run.run_id, why.to_string()))));
    }
    let known: BTreeMap<&str, &State> = evaluated.iter().map(|(it, state)| (it.name.as_str(), *state)).collect();
    let names: Vec<String> = known.keys().map(|name| (*name).to_owned()).collect();
    let name_of = |name: &str| known.get_key_value(name).map(|(name, _)| *name);
    let mut tx = base.begin(run.lease).await?;
    let not_set_up = known.iter().filter(|(_, state)| !state.survey.progress.is_set_up);
    let not_set_up: Vec<String> = not_set_up.map(|(name, _)| (*name).to_owned()).collect();
    if !not_set_up.is_empty() {
        for (name, refused) in refusals::of_placeholders(&mut tx, &not_set_up).await? {
            let finding = ObservedFinding {
                object_id: None,
                code: Code::RowNotWritten.as_str().to_owned(),
                subject: "placeholders".to_owned(),
                detail: refused.detail,
            };
            seen.push((name_of(&name), finding));
        }
    }
    if !run.dry_run {
        removals::close_empty_sets(&mut tx, &names, run.now).await?;
    }
    // A set that is still held keeps its finding.
    for (name, set, why) in removals::open_sets(&mut tx, &names).await? {
        if set != run.run_id {
            seen.push((name_of(&name), held_finding(set, why)));
        }
    }
    for clash in names::clashes(&mut tx, &names).await? {
        seen.push((name_of(&clash.environment), self::clash(clash)));
    }
    findings::reconcile_sources(&mut tx, Some(&names), &seen, Some(run.run_id), run.now).await?;
    if !run.dry_run {
        checkpoints::settle_doubts(&mut tx, &names).await?;
    }
    Ok(tx.commit().await?)
}

/// The finding about a held set.
fn held_finding(set: i64, why: String) -> ObservedFinding {
    ObservedFinding {
        object_id: None,
        code: findings::REMOVALS_HELD.to_owned(),
        subject: findings::held_subject(set),
        detail: why,
    }
}

/// Findings about the sources of the tenant.
pub(super) async fn note_sources(
    tx: &mut Transaction,
    run: RunInfo<'_>,
    pulled: &Pulled,
    refused: &Refused,
    idle_doubts: impl Iterator<Item = (Source, &Doubt)>,
) -> StoreResult<()> {
    // Those of security groups are findings of their environments.
    let of_environment = |problem: &&Problem| match problem.source {
        Source::Group(group) => {
            pulled.nested.contains_key(&group) || pulled.nested.values().any(|it| it.contains(&group))
        }
        _ => false,
    };
    let unread = pulled.problems.iter().filter(|problem| !of_environment(problem));
    let seen: Vec<(Option<&str>, ObservedFinding)> = unread
        .chain(&pulled.skipped)
        .map(|problem| source_finding(problem.source, &problem.detail))
        .chain(idle_doubts.map(|(source, why)| source_finding(source, &why.to_string())))
        .chain(refused.0.iter().map(|(name, why)| ObservedFinding {
            code: findings::ENVIRONMENT_REFUSED.to_owned(),
            ..source_finding(format_args!("environment:{name}"), why)
        }))
        .chain(pulled.orphaned_roles.iter().map(|(id, detail)| ObservedFinding {
            code: findings::ORPHANED_ROLE_ASSIGNMENT.to_owned(),
            ..source_finding(format_args!("role:{id}"), detail)
        }))
        .map(|seen| (None, seen))
        .collect();
    findings::reconcile_sources(tx, None, &seen, Some(run.run_id), run.now).await
}

/// Records what a verification found. What was found before it ended stays an open finding until then.
pub(super) async fn note_verification(
    tx: &mut Transaction,
    run: RunInfo<'_>,
    verification: &RunVerification,
) -> StoreResult<()> {
    runs::note_verification(tx, run.run_id, &json!(verification)).await?;
    let drift = &verification.drift;
    if drift.is_empty() && !verification.complete {
        return Ok(());
    }
    let detail = format!(
        "the verification found what no change of the directory had told: {drift}. The mirror is corrected, and those \
         users are evaluated; the next verification closes this if it finds nothing"
    );
    findings::reconcile_drift(tx, (!drift.is_empty()).then_some(detail), run.run_id, run.now).await
}

/// One line for each cause, with the sources that it makes unreadable.
pub(super) fn problem_lines(problems: &[Problem]) -> Vec<String> {
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

fn source_finding(source: impl Display, detail: &str) -> ObservedFinding {
    ObservedFinding {
        object_id: None,
        code: Code::DirectoryUnavailable.as_str().to_owned(),
        subject: source.to_string(),
        detail: detail.to_owned(),
    }
}

/// Whether a group that an environment reads could not be read to its end.
pub(super) fn has_problem(environment: &Environment, pulled: &Pulled) -> bool {
    let sources = group_sources(environment, pulled);
    pulled.problems.iter().any(|problem| sources.contains(&problem.source))
}

/// The groups that an environment reads, as sources. Nested groups are included only where the environment counts them.
fn group_sources(environment: &Environment, pulled: &Pulled) -> BTreeSet<Source> {
    let root = environment.security_group;
    let counts_nested = environment.counts_nested();
    let nested = root.filter(|_| counts_nested).and_then(|root| pulled.nested.get(&root));
    let groups = root.into_iter().chain(nested.into_iter().flatten().copied());
    groups.map(Source::Group).collect()
}

/// The doubts that concern one environment; of the groups, only those it reads.
pub(super) fn doubts_of(environment: &Environment, doubts: &[(Source, Doubt)], pulled: &Pulled) -> Doubts {
    let groups = group_sources(environment, pulled);
    let concerning = doubts
        .iter()
        .filter(|(source, _)| !matches!(source, Source::Group(_)) || groups.contains(source));
    concerning
        .map(|(source, why)| (why.clone(), why.concerns(*source)))
        .collect()
}
