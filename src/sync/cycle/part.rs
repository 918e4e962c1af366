//! One environment in one run: its scopes, and the totals so far.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::batch::evaluate;
use super::report::Counts;
use crate::domain::reason::Code;
use crate::domain::run::{Phase, PlannedChange};
use crate::domain::system_user::access_mode::NON_INTERACTIVE;
use crate::plan::batch::{Decision, Draft, Removals};
use crate::plan::{Change, EnvironmentView, Operation, RoleChange};
use crate::rules::Outcome;
use crate::store::changes::fields_json;
use crate::store::lease::Lease;
use crate::store::pending::Pending;
use crate::store::removals::Removal;
use crate::sync::judge::Applied;
use crate::sync::{Base, Failure};

/// Which run writes, and how.
#[derive(Clone, Copy, Debug)]
pub(in crate::sync) struct RunInfo<'a> {
    /// None for a request by a person: row locks are enough.
    pub lease: Option<&'a Lease>,
    pub run_id: i64,
    pub now: DateTime<Utc>,
    pub dry_run: bool,
    /// The actor to record: the sync, or the person who approved.
    pub actor: &'a str,
}

/// Which users are evaluated, and what is recorded afterwards.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Scope {
    /// Those on the list of pending users.
    Pending(Vec<Pending>),
    /// The next users of a walk over everyone. The walk records its own position.
    Walk(Vec<Uuid>),
    /// Users whose removal is allowed.
    Removals(Vec<Uuid>),
    /// The same for a held set that a person approved. The last of its rows also decides the set, so that no one sees
    /// it empty and undecided.
    Approved(Vec<Uuid>),
    /// Users whose removal is held: all their other changes are written.
    Held(Vec<Uuid>),
    /// Non-interactive users who want a free slot, in order, with the slots that a dry run has freed.
    Slots { list: Vec<Pending>, freed: i64 },
}

impl Scope {
    pub fn ids(&self) -> Vec<Uuid> {
        match self {
            Self::Pending(list) | Self::Slots { list, .. } => list.iter().map(|pending| pending.object_id).collect(),
            Self::Walk(ids) | Self::Removals(ids) | Self::Approved(ids) | Self::Held(ids) => ids.clone(),
        }
    }

    pub fn removals(&self) -> Removals {
        match self {
            Self::Removals(_) | Self::Approved(_) => Removals::Apply,
            Self::Held(_) => Removals::Hold,
            Self::Pending(_) | Self::Walk(_) | Self::Slots { .. } => Removals::Collect,
        }
    }

    /// Slots that are free although the database does not show them: a dry run writes nothing.
    pub fn freed(&self) -> u32 {
        match self {
            Self::Slots { freed, .. } => u32::try_from(*freed).unwrap_or(0),
            _ => 0,
        }
    }
}

/// The totals of an environment so far.
#[derive(Debug, Default)]
pub(in crate::sync) struct Tally {
    pub counts: Counts,
    /// There are removals that the guard has to decide.
    pub has_removals: bool,
    /// Those of a dry run, which stores none.
    pub removals: Vec<Removal>,
    pub late: Vec<Uuid>,
    pub woken: Vec<Uuid>,
    /// Slots that the removals of a dry run would have freed.
    pub freed_slots: i64,
    /// The net increase of enabled rows that are bound to the directory. A dry run writes none.
    pub(in crate::sync) enabled_delta: i64,
}

impl Tally {
    fn new(environment: &str) -> Self {
        Self {
            counts: Counts::of(environment),
            ..Self::default()
        }
    }

    /// Adds the written changes of a batch.
    pub(in crate::sync) fn add(&mut self, (draft, applied): (Draft, Applied), dry_run: bool) {
        self.late.extend(draft.late);
        self.woken.extend(applied.woken);
        for decision in draft.decisions {
            let removal = removal(&decision);
            self.has_removals |= removal.is_some();
            self.removals.extend(removal.filter(|_| dry_run));
            let Decision {
                candidate,
                verdict,
                plan,
                ..
            } = decision;
            let skipped = verdict.code.filter(|_| verdict.outcome == Outcome::Skip);
            let skipped = skipped.filter(|code| !matches!(code, Code::UserNotFound | Code::UserSoftDeleted));
            let refused = applied.refused.get(&candidate.id).map(|_| Code::RowNotWritten);
            for code in skipped.into_iter().chain(refused) {
                *self.counts.skipped.entry(code.as_str().to_owned()).or_default() += 1;
            }
            if let Some(change) = plan.change.filter(|change| !change.fields.is_empty()) {
                self.add_change(&change, dry_run);
            }
        }
    }

    fn add_change(&mut self, change: &Change, dry_run: bool) {
        self.enabled_delta += if dry_run { 0 } else { change.enabled_delta };
        if dry_run && change.operation == Operation::Disable && change.after.accessmode == NON_INTERACTIVE {
            self.freed_slots += 1;
        }
        match change.operation {
            Operation::Create => self.counts.created += 1,
            Operation::Update | Operation::Edit | Operation::Delete => self.counts.updated += 1,
            Operation::Enable => self.counts.enabled += 1,
            Operation::Disable => self.counts.disabled += 1,
        }
    }
}

/// The removal that the guard has to decide.
pub(super) fn removal(decision: &Decision) -> Option<Removal> {
    Some(Removal {
        systemuserid: decision.candidate.row.as_ref()?.systemuserid,
        object_id: decision.candidate.id,
        reason: decision.plan.removal?,
    })
}

/// The changes of a decision, for a dry run.
pub(super) fn planned(decision: &Decision) -> impl Iterator<Item = PlannedChange> {
    let change = decision.plan.change.iter().filter(|change| !change.fields.is_empty());
    let roles = decision.roles.changes.iter();
    change
        .map(planned_change)
        .chain(roles.map(|role| planned_role(decision, role)))
}

pub(super) fn planned_change(change: &Change) -> PlannedChange {
    let after = &change.after;
    PlannedChange {
        systemuserid: after.systemuserid,
        azureactivedirectoryobjectid: after.azureactivedirectoryobjectid,
        domainname: after.domainname.clone(),
        operation: change.operation.as_str(),
        role: None,
        reason: change.reason.map(Code::as_str),
        held: false,
        fields: fields_json(change),
    }
}

fn planned_role(decision: &Decision, change: &RoleChange) -> PlannedChange {
    let candidate = &decision.candidate;
    let (operation, role) = if change.is_granted {
        ("grant", json!([null, change.role]))
    } else {
        ("revoke", json!([change.role, null]))
    };
    PlannedChange {
        systemuserid: change.systemuserid,
        azureactivedirectoryobjectid: Some(candidate.id).filter(|_| candidate.user.is_some()),
        domainname: candidate
            .user
            .as_ref()
            .and_then(|user| user.user_principal_name.clone()),
        operation,
        role: Some(change.role.clone()),
        reason: None,
        held: false,
        fields: json!({ "role": role }),
    }
}

/// One environment in one run.
pub(in crate::sync) struct EnvironmentRun<'a> {
    pub base: &'a Base,
    pub view: EnvironmentView<'a>,
    pub run: RunInfo<'a>,
    pub tally: Tally,
}

impl<'a> EnvironmentRun<'a> {
    pub fn new(base: &'a Base, view: EnvironmentView<'a>, run: RunInfo<'a>) -> Self {
        let tally = Tally::new(&view.environment.name);
        Self { base, view, run, tally }
    }

    pub fn name(&self) -> &'a String {
        &self.view.environment.name
    }

    /// Shows what the run does next.
    pub(super) fn enter(&self, phase: Phase, total: Option<i64>) {
        enter(std::slice::from_ref(self), phase, total);
    }

    /// Evaluates a batch and adds its result.
    pub(super) async fn count_batch(&mut self, scope: Scope) -> Result<(), Failure> {
        count_batch(std::slice::from_mut(self), &[(0, scope)]).await
    }
}

/// Shows what the run does next. A person's decision is not a run in progress.
pub(super) fn enter(parts: &[EnvironmentRun<'_>], phase: Phase, total: Option<i64>) {
    let Some(first) = parts.first().filter(|first| first.run.lease.is_some()) else {
        return;
    };
    let alone = Some(first.name()).filter(|_| parts.len() == 1);
    let now = first.base.clock.now();
    first.base.progress.enter(phase, alone, total, now);
}

/// Evaluates a batch of users of some of the environments and adds its results.
pub(super) async fn count_batch(parts: &mut [EnvironmentRun<'_>], scopes: &[(usize, Scope)]) -> Result<(), Failure> {
    let Some(EnvironmentRun { base, run, .. }) = parts.first() else {
        return Ok(());
    };
    let (base, run) = (*base, *run);
    let users: Vec<_> = scopes.iter().map(|(at, scope)| (&parts[*at].view, scope)).collect();
    let results = evaluate(base, run, &users).await?;
    for ((at, scope), results) in scopes.iter().zip(results) {
        for result in results {
            parts[*at].tally.add(result, run.dry_run);
        }
        // A person's decision is not a run in progress.
        if run.lease.is_some() {
            base.progress.add(scope.ids().len());
        }
    }
    Ok(())
}
