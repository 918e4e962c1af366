//! One batch of users of a run, of one environment or of many: evaluated and written in one transaction, together with
//! its findings, its removals and the users to re-evaluate. A dry run does the same and rolls back.

use std::collections::HashSet;
use std::ops::Range;

use uuid::Uuid;

use super::part::{RunInfo, Scope, planned, planned_change, removal};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::reason::Code;
use crate::domain::run::PlannedChange;
use crate::domain::system_user::SYNC_ACTOR;
use crate::plan::batch::{Decision, Draft, Policy, Removals};
use crate::plan::{Change, EnvironmentView};
use crate::rules::Trigger;
use crate::store::changes::Author;
use crate::store::findings::ObservedFinding;
use crate::store::pending::Pending;
use crate::store::planned::{self, PlannedKey};
use crate::store::refusals::Refused;
use crate::store::removals::Removal;
use crate::store::{Keys, StoreResult, Transaction, findings, pending, refusals, removals};
use crate::sync::judge::{self, Applied, Decided, Parts, WriteAttempt, apply, decide_all, load_all};
use crate::sync::{Base, Failure};

/// The users of one environment in a batch. The scopes of a batch are of one kind.
pub(super) type Users<'v> = (&'v EnvironmentView<'v>, &'v Scope);

/// Evaluates a batch and writes the result, in one part unless the database rejects some of it. Returns the results of
/// each environment, in order.
pub(super) async fn evaluate(
    base: &Base,
    run: RunInfo<'_>,
    users: &[Users<'_>],
) -> Result<Vec<Vec<(Draft, Applied)>>, Failure> {
    let ids: Vec<Vec<Uuid>> = users.iter().map(|(_, scope)| scope.ids()).collect();
    let mut results: Vec<Vec<(Draft, Applied)>> = users.iter().map(|_| Vec::new()).collect();
    let mut parts = Parts::of(ids.iter().map(Vec::len).sum());
    while let Some((range, effort)) = parts.next() {
        base.check_cancelled()?;
        let shares = shares(users, &ids, range.clone());
        let tried = base.retry(|| try_batch(base, run, &shares, &effort)).await;
        for (share, result) in shares
            .iter()
            .zip(parts.settle((range, effort), tried)?.unwrap_or_default())
        {
            results[share.at].push(result);
        }
    }
    if run.dry_run {
        record_planned(base, run, users, &mut results).await?;
    }
    Ok(results)
}

/// The users of one environment in a part of a batch.
struct Share<'v> {
    /// The position of the environment in the batch.
    at: usize,
    view: &'v EnvironmentView<'v>,
    scope: &'v Scope,
    ids: &'v [Uuid],
}

/// The shares of the environments in a part of a batch.
fn shares<'v>(users: &[Users<'v>], ids: &'v [Vec<Uuid>], part: Range<usize>) -> Vec<Share<'v>> {
    let mut begin = 0;
    let shares = users
        .iter()
        .zip(ids)
        .enumerate()
        .filter_map(|(at, ((view, scope), ids))| {
            let of_part =
                part.start.clamp(begin, begin + ids.len()) - begin..part.end.clamp(begin, begin + ids.len()) - begin;
            begin += ids.len();
            let ids = ids.get(of_part).filter(|ids| !ids.is_empty())?;
            Some(Share { at, view, scope, ids })
        });
    shares.collect()
}

/// Records the changes that a dry run has rolled back. Those that it has recorded before leave their draft.
async fn record_planned(
    base: &Base,
    run: RunInfo<'_>,
    users: &[Users<'_>],
    results: &mut [Vec<(Draft, Applied)>],
) -> Result<(), Failure> {
    for ((view, _), results) in users.iter().zip(results) {
        for (draft, _) in results {
            let changes: Vec<PlannedChange> = draft.decisions.iter().flat_map(planned).collect();
            let new = base
                .retry(|| write_planned(base, run, &view.environment.name, &changes))
                .await?;
            for decision in &mut draft.decisions {
                let is_new = |change: &Change| new.contains(&planned::key(&planned_change(change)));
                decision.plan.change = decision.plan.change.take().filter(is_new);
            }
        }
    }
    Ok(())
}

/// Records planned changes, and returns those that the run has not recorded before.
pub(super) async fn write_planned(
    base: &Base,
    run: RunInfo<'_>,
    name: &str,
    changes: &[PlannedChange],
) -> StoreResult<HashSet<PlannedKey>> {
    if changes.is_empty() {
        return Ok(HashSet::new());
    }
    let mut tx = base.begin(run.lease).await?;
    let new = planned::record(&mut tx, run.run_id, name, changes).await?;
    tx.commit().await?;
    Ok(new)
}

/// Evaluates a part of a batch and writes it, in one transaction.
async fn try_batch(
    base: &Base,
    run: RunInfo<'_>,
    shares: &[Share<'_>],
    effort: &WriteAttempt,
) -> StoreResult<Vec<(Draft, Applied)>> {
    let mut tx = base.begin(run.lease).await?;
    let first = shares.first().map(|share| share.scope);
    let policy = Policy {
        trigger: Trigger::Background,
        actor: run.actor,
        now: run.now,
        new_id: &Uuid::now_v7,
        removals: first.map_or(Removals::Collect, Scope::removals),
        slots_are_open: matches!(first, Some(Scope::Slots { .. })),
        company: None,
    };
    let users = shares.iter().map(|share| (share.view, share.ids.to_vec()));
    let loaded = load_all(&mut tx, users.collect()).await?;
    let loaded = loaded
        .into_iter()
        .zip(shares)
        .map(|(loaded, share)| (loaded, share.scope.freed()));
    let mut decided = decide_all(&mut tx, loaded.collect(), &policy).await?;
    let author = Author {
        actor: run.actor,
        run_id: Some(run.run_id),
        by_rule: run.actor == SYNC_ACTOR,
        at: base.clock.now(),
    };
    let about: Keys = each(shares, &decided, |it| Some(it.candidate.id)).collect();
    let mut known = refusals::among(&mut tx, &about).await?;
    let drafts = shares.iter().zip(&mut decided).map(|(share, decided)| judge::Share {
        environment: share.name(),
        draft: &mut decided.draft,
        known: known.remove(share.name()).unwrap_or_default(),
    });
    let mut drafts: Vec<judge::Share<'_>> = drafts.collect();
    let applied = apply(&mut tx, &mut drafts, author, run.actor, effort).await?;
    note_refusals(&mut tx, run, &drafts, &applied).await?;
    let seen = shares
        .iter()
        .zip(&decided)
        .zip(&applied)
        .flat_map(|((share, decided), applied)| {
            let seen = decided
                .draft
                .decisions
                .iter()
                .flat_map(|decision| seen(decision, applied));
            seen.map(|seen| (share.name(), seen))
        });
    let seen: Vec<(&str, ObservedFinding)> = seen.collect();
    findings::reconcile_users(&mut tx, &about, &seen, Some(run.run_id), run.now).await?;
    let found: Vec<(&str, Removal)> = each(shares, &decided, removal).collect();
    let over = shares.iter().zip(&decided).flat_map(|(share, decided)| {
        let stays = decided.draft.decisions.iter().filter(|it| it.plan.removal.is_none());
        let rows = stays.filter_map(|it| Some(it.candidate.row.as_ref()?.systemuserid));
        let over = rows.filter(|row| decided.in_sets.contains(row));
        over.map(|row| (share.name(), row))
    });
    removals::collect(&mut tx, run.run_id, &found, &over.collect(), run.now).await?;
    note_decided(&mut tx, shares, &decided).await?;
    for share in shares.iter().filter(|share| matches!(share.scope, Scope::Approved(_))) {
        if removals::note_approved(&mut tx, share.name(), run.run_id, run.actor, run.now).await? {
            let subject = findings::held_subject(run.run_id);
            findings::close_subject(&mut tx, share.name(), findings::REMOVALS_HELD, &subject, run.now).await?;
        }
    }
    if run.dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(decided.into_iter().map(|decided| decided.draft).zip(applied).collect())
}

impl<'v> Share<'v> {
    fn name(&self) -> &'v str {
        &self.view.environment.name
    }
}

/// What there is of each decision, with its environment.
fn each<'d, T>(
    shares: &'d [Share<'d>],
    decided: &'d [Decided],
    of: impl Fn(&'d Decision) -> Option<T> + Copy + 'd,
) -> impl Iterator<Item = (&'d str, T)> {
    shares.iter().zip(decided).flat_map(move |(share, decided)| {
        let all = decided.draft.decisions.iter().filter_map(of);
        all.map(|one| (share.name(), one))
    })
}

/// Records the refusals and deletes those that are over.
async fn note_refusals(
    tx: &mut Transaction,
    run: RunInfo<'_>,
    drafts: &[judge::Share<'_>],
    applied: &[Applied],
) -> StoreResult<()> {
    let both = || drafts.iter().zip(applied);
    let tried = both().flat_map(|(share, applied)| {
        applied.refused.iter().filter_map(|(id, not_taken)| {
            let (plan, _) = not_taken.tried.as_ref()?;
            let refused = Refused {
                plan: Some(plan.clone()),
                detail: not_taken.detail.clone(),
            };
            Some((share.environment, *id, refused))
        })
    });
    let tried: Vec<(&str, Uuid, Refused)> = tried.collect();
    if let Some((_, id, refused)) = tried.first() {
        let rows = tried.len();
        tracing::warn!(rows, first = %id, detail = refused.detail, "the database does not take every row");
    }
    refusals::note(tx, &tried, run.now).await?;
    let over = both().flat_map(|(share, applied)| {
        let over = share.known.keys().filter(|id| !applied.refused.contains_key(id));
        over.map(|id| (share.environment, *id))
    });
    refusals::settle(tx, &over.collect()).await
}

/// The findings about one user.
fn seen(decision: &Decision, applied: &Applied) -> Vec<ObservedFinding> {
    let candidate = &decision.candidate;
    let about = |code: &str, subject: String, detail: String| ObservedFinding {
        object_id: Some(candidate.id),
        code: code.to_owned(),
        subject,
        detail,
    };
    let of_plan = decision.plan.findings.iter().map(|finding| {
        let subject = match finding.code {
            Code::UpnConflict => candidate.wanted_name().unwrap_or_default(),
            _ => String::new(),
        };
        about(finding.code.as_str(), subject, finding.detail.clone())
    });
    let mut seen: Vec<ObservedFinding> = of_plan.collect();
    seen.extend(candidate.user.iter().flat_map(undecodable));
    if decision.roles.keeps_last_administrator {
        let detail = "A licence no longer gives System Administrator, but no other enabled row has it.";
        let code = Code::LastSystemAdministrator.as_str();
        seen.push(about(code, "role".to_owned(), detail.to_owned()));
    }
    if let Some(team) = decision.last_role_was_of() {
        let detail = format!(
            "The last security role came from the team {team}, and the directory took the user out of its group: the \
             user can sign in, but use no data. Grant a role, or add the user to the group."
        );
        seen.push(about(findings::NO_SECURITY_ROLE, String::new(), detail));
    }
    if let Some(not_taken) = applied.refused.get(&candidate.id) {
        let code = Code::RowNotWritten.as_str();
        seen.push(about(code, String::new(), not_taken.detail.clone()));
    }
    seen
}

/// One finding for each property of a present user that cannot be decoded. It stays open until the property can be.
fn undecodable(user: &DirectoryUser) -> impl Iterator<Item = ObservedFinding> {
    let properties = user.undecodable.properties();
    let is_present = user.state == DirectoryState::Present;
    properties.filter(move |_| is_present).map(|property| ObservedFinding {
        object_id: Some(user.id),
        code: findings::VALUE_UNDECODABLE.to_owned(),
        subject: property.as_str().to_owned(),
        detail: format!(
            "The directory's value of `{}` cannot be decoded; what was known before stands until it can.",
            property.as_str()
        ),
    })
}

/// Records which users are evaluated and which must be evaluated again.
async fn note_decided(tx: &mut Transaction, shares: &[Share<'_>], decided: &[Decided]) -> StoreResult<()> {
    let (mut settled, mut again): (Keys<Pending>, Keys) = Default::default();
    for (share, decided) in shares.iter().zip(decided) {
        let (name, draft) = (share.name(), &decided.draft);
        let open = draft.decisions.iter().filter(|it| it.is_open);
        let open = open.map(|it| it.candidate.id);
        match share.scope {
            Scope::Pending(list) | Scope::Slots { list, .. } => {
                let decided = draft.decisions.iter().filter(|it| !it.is_open);
                let decided: HashSet<Uuid> = decided.map(|it| it.candidate.id).collect();
                let of_part: HashSet<&Uuid> = share.ids.iter().collect();
                let is_done =
                    |pending: &&Pending| of_part.contains(&pending.object_id) && decided.contains(&pending.object_id);
                settled.extend(name, list.iter().filter(is_done).copied());
            }
            Scope::Walk(_) => again.extend(name, open.chain(draft.late.iter().copied())),
            // A removal that turned out to be in doubt stays recorded.
            Scope::Removals(_) | Scope::Approved(_) | Scope::Held(_) => again.extend(name, open),
        }
    }
    pending::settle(&mut *tx, &settled).await?;
    pending::mark_keys(tx, &again).await
}
