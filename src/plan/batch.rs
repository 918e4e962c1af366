//! Evaluates a batch of users of one environment: who gets which name and which slot, which removals wait, and who must
//! remain a System Administrator. The only path from users to what is written, for a cycle, an import or a single
//! request. Pure: it runs between reading and writing.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::upn::{Claim, blocked};
use super::{Candidate, EnvironmentView, Finding, Operation, RemovalMode, RolePlan, RowPlan, Writer};
use crate::domain::directory_user::DirectoryState;
use crate::domain::reason::Code;
use crate::domain::system_user::{SYNC_ACTOR, is_reserved};
use crate::rules::{Outcome, Trigger, Verdict};

/// How a batch treats the removals it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removals {
    /// The guard decides after the run has evaluated everyone. Such a row is written once, after that decision.
    Collect,
    /// They are held: all other changes of the row are written.
    Hold,
    /// They are carried out.
    Apply,
    /// They are carried out, unless they wait for a person or a person rejected them.
    ApplyUnlessHeld,
}

/// The parameters of a batch.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// The trigger of the evaluation.
    pub trigger: Trigger,
    /// The actor to record.
    pub actor: &'a str,
    /// The time of the evaluation.
    pub now: DateTime<Utc>,
    /// Creates the key of a new row.
    pub new_id: &'a (dyn Fn() -> Uuid + Send + Sync),
    /// How removals are treated.
    pub removals: Removals,
    /// Whether slots for non-interactive users are assigned now; a cycle assigns them last.
    pub slots_are_open: bool,
    /// The default company of users who get a row.
    pub company: Option<&'a str>,
}

/// The scarce resources of the environment, counted under a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The number of non-interactive users who may still be enabled.
    pub slots: i64,
    /// Enabled System Administrators.
    pub administrators: i64,
}

impl Quotas {
    /// Whether any user in a batch may consume or free some of them.
    #[must_use]
    pub fn concern(candidates: &[Candidate], policy: &Policy<'_>) -> bool {
        let takes_slot = |candidate: &Candidate| policy.slots_are_open && candidate.wants_slot();
        candidates
            .iter()
            .any(|it| takes_slot(it) || it.concerns_administrators())
    }

    /// Sets what is left for a candidate.
    pub fn tell(self, candidate: &mut Candidate) {
        candidate.slot_is_free = self.slots > 0;
        candidate.is_last_administrator = self.administrators == 1 && candidate.is_enabled_administrator();
    }
}

/// The decision about one user.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The user, as evaluated.
    pub candidate: Candidate,
    /// The verdict.
    pub verdict: Verdict,
    /// The plan for the row.
    pub plan: RowPlan,
    /// The plan for its roles.
    pub roles: RolePlan,
    /// The user must be evaluated again.
    pub is_open: bool,
}

impl Decision {
    /// The row that exists or will exist.
    #[must_use]
    pub fn row_id(&self) -> Option<Uuid> {
        let made = self.plan.change.as_ref().map(|change| change.after.systemuserid);
        self.candidate.row.as_ref().map(|row| row.systemuserid).or(made)
    }

    /// The group team that gave the row its last security role, until the directory took it out of the team's group.
    #[must_use]
    pub fn last_role_was_of(&self) -> Option<&str> {
        let is_enabled = self.candidate.row.as_ref().is_some_and(|row| !row.isdisabled) && !self.plan.disables();
        let gains_one = self.roles.changes.iter().any(|change| change.is_granted);
        self.candidate.last_role_was_of().filter(|_| is_enabled && !gains_one)
    }

    /// The operation on the row or its roles; none if no visible column changes.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        let change = self.plan.change.as_ref().filter(|change| !change.fields.is_empty());
        let of_roles = (!self.roles.changes.is_empty()).then_some(Operation::Update);
        change.map(|change| change.operation).or(of_roles)
    }
}

/// The decisions about a batch.
#[derive(Debug, Default)]
pub struct Draft {
    /// In the order given.
    pub decisions: Vec<Decision>,
    /// Non-interactive users to evaluate after the removals. Some are decided here in any case, because another user
    /// needs their name.
    pub late: Vec<Uuid>,
}

/// Evaluates a batch. `keepers` are the names that no user in it can have, `held` the rows whose removal waits for a
/// person or was rejected by one.
#[must_use]
pub fn decide(
    mut candidates: Vec<Candidate>,
    keepers: &BTreeSet<String>,
    mut quotas: Quotas,
    held: &BTreeSet<Uuid>,
    view: &EnvironmentView<'_>,
    policy: &Policy<'_>,
) -> Draft {
    let mut draft = Draft::default();
    settle_names(&mut candidates, keepers, view, policy.trigger, policy.now);
    let wanted: HashSet<String> = candidates.iter().filter_map(Candidate::missing_name).collect();
    let is_wanted = |candidate: &Candidate| candidate.held_name().is_some_and(|name| wanted.contains(name));
    for mut candidate in candidates {
        let is_on_demand = policy.removals == Removals::ApplyUnlessHeld;
        if candidate.has_joined && is_on_demand {
            draft.decisions.push(give_name_up(candidate, view, policy));
            continue;
        }
        let is_late = candidate.wants_slot() && !policy.slots_are_open;
        if is_late {
            draft.late.push(candidate.id);
            // Its name cannot wait if another user in the batch takes it.
            if !is_wanted(&candidate) {
                continue;
            }
        }
        quotas.tell(&mut candidate);
        candidate.slot_is_free &= !is_late;
        let row = candidate.row.as_ref().filter(|row| !row.isdisabled);
        let is_held = row.is_some_and(|row| held.contains(&row.systemuserid));
        let mut verdict = candidate.evaluate(view, policy.trigger, policy.now);
        let mode = match policy.removals {
            Removals::Apply => RemovalMode::Apply,
            Removals::ApplyUnlessHeld if !is_held => RemovalMode::Apply,
            Removals::ApplyUnlessHeld | Removals::Collect | Removals::Hold => RemovalMode::Collect,
        };
        let mut plan = candidate.plan(view.environment, &verdict, mode, policy.writer());
        plan.change = plan.change.map(|change| change.with_company(policy.company));
        let roles = candidate.plan_roles(view.environment, &plan);
        quotas.slots -= i64::from(verdict.outcome == Outcome::Enable && candidate.wants_slot());
        quotas.administrators -= i64::from(candidate.stops_being_administrator(&plan, &roles));
        let is_lost = quotas.administrators == 0 && candidate.is_lost_administrator(&plan);
        let left_team = quotas.administrators == 0 && candidate.was_administrator_through_team();
        let lacks_administrator = is_lost || left_team;
        if lacks_administrator {
            let detail = if is_lost {
                Code::LastSystemAdministrator.sentence()
            } else {
                "The directory took the last enabled System Administrator out of the group whose team gave the role; no \
                 enabled row has it now."
            };
            plan.findings.push(Finding {
                code: Code::LastSystemAdministrator,
                detail: detail.to_owned(),
            });
        }
        let waits_for_guard = policy.removals == Removals::Collect && plan.removal.is_some() && !is_held;
        if waits_for_guard && !is_wanted(&candidate) {
            plan.change = None;
        }
        let is_open = if is_on_demand {
            // The cycle evaluates the user too: it maintains the findings and does the rest of its own work.
            is_held || plan.change.is_some() || !roles.changes.is_empty()
        } else {
            verdict.undecided || roles.keeps_last_administrator || is_late || lacks_administrator
        };
        if is_held && is_on_demand {
            verdict = verdict.while_held();
        }
        draft.decisions.push(Decision {
            candidate,
            verdict,
            plan,
            roles,
            is_open,
        });
    }
    draft
}

impl Policy<'_> {
    fn writer(&self) -> Writer<'_> {
        Writer {
            actor: self.actor,
            now: self.now,
            new_id: (self.new_id)(),
        }
    }
}

/// The holder of a requested name gives it up; its other changes wait for the cycle.
fn give_name_up(candidate: Candidate, view: &EnvironmentView<'_>, policy: &Policy<'_>) -> Decision {
    let verdict = candidate.evaluate(view, Trigger::Background, policy.now);
    let writer = Writer {
        actor: SYNC_ACTOR,
        ..policy.writer()
    };
    let mut plan = candidate.plan(view.environment, &verdict, RemovalMode::Collect, writer);
    let before = candidate.row.as_ref();
    plan.change = plan
        .change
        .filter(|change| candidate.held_name() != change.after.upn_key_after(before).as_ref());
    Decision {
        candidate,
        verdict,
        plan,
        roles: RolePlan::default(),
        is_open: true,
    }
}

/// Marks the candidates whose name another row keeps.
pub fn settle_names(
    candidates: &mut [Candidate],
    keepers: &BTreeSet<String>,
    view: &EnvironmentView<'_>,
    trigger: Trigger,
    now: DateTime<Utc>,
) {
    let mut keepers = keepers.clone();
    let wanted: Vec<Option<String>> = candidates.iter().map(Candidate::wanted_name).collect();
    let mut wanted_by: HashMap<&String, u32> = HashMap::new();
    for name in wanted.iter().flatten() {
        *wanted_by.entry(name).or_default() += 1;
    }
    let mut claims = Vec::new();
    for (candidate, wanted) in candidates.iter().zip(&wanted) {
        let follows = candidate
            .row
            .as_ref()
            .is_none_or(|row| row.deletedstate == 0 && row.applicationid.is_none() && !row.isstub)
            && candidate.user.as_ref().is_some_and(|user| {
                let key = user.upn_key();
                !key.as_deref().is_some_and(is_reserved)
                    && (user.state != DirectoryState::Present || (user.account_enabled.is_some() && key.is_some()))
            });
        match wanted {
            Some(wanted) if follows => {
                let has_row = candidate.row.is_some();
                let is_alone = || wanted_by.get(wanted).is_none_or(|count| *count == 1);
                let gets_row = || candidate.evaluate(view, trigger, now).outcome == Outcome::Create;
                if has_row || is_alone() || gets_row() {
                    claims.push(Claim {
                        object_id: candidate.id,
                        wanted: wanted.clone(),
                        held: candidate.held_name().cloned(),
                        has_row,
                    });
                }
            }
            _ if follows => {}
            _ => keepers.extend(candidate.held_name().cloned()),
        }
    }
    let blocked = blocked(&claims, &keepers);
    for candidate in candidates {
        candidate.name_is_taken = blocked.contains(&candidate.id);
    }
}

#[cfg(test)]
mod tests;
