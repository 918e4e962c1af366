//! One user in one environment: the planned row.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::change::{Change, Operation};
use super::fields::{Desired, Finding, desired};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::Environment;
use crate::domain::field::Field;
use crate::domain::reason::Code;
use crate::domain::system_user::{LastEntitlement, SYNC_ACTOR, SystemUser, azure_state};
use crate::rules::{Outcome, Trigger, Verdict};

/// How a plan treats removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalMode {
    /// They are only named; the guard decides after the run has evaluated everyone.
    Collect,
    /// They are part of the change.
    Apply,
}

/// The plan for one user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowPlan {
    /// What to write, if anything.
    pub change: Option<Change>,
    /// The reason for which the row must be disabled, if the change does not disable it yet.
    pub removal: Option<Code>,
    /// Findings for an operator.
    pub findings: Vec<Finding>,
    /// The row follows the directory: neither a gate nor a doubt prevents it.
    pub follows: bool,
}

impl RowPlan {
    /// Whether the change disables the row.
    #[must_use]
    pub fn disables(&self) -> bool {
        self.change
            .as_ref()
            .is_some_and(|change| change.operation == Operation::Disable)
    }
}

/// The author and time of a change.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The actor for `createdby` and `modifiedby`.
    pub actor: &'a str,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// The key of a new row.
    pub new_id: Uuid,
}

/// Plans one row. `user` is the subject of the verdict; `keeps_name` says that another live row blocks a rename. The
/// diagnostics trigger changes nothing.
#[must_use]
pub fn plan_row(
    environment: &Environment,
    user: Option<&DirectoryUser>,
    row: Option<&SystemUser>,
    verdict: &Verdict,
    keeps_name: bool,
    removals: RemovalMode,
    writer: Writer<'_>,
) -> RowPlan {
    let mut plan = RowPlan {
        findings: findings_of(verdict),
        ..RowPlan::default()
    };
    let (Some(user), true) = (user, verdict.follow && verdict.trigger != Trigger::Diagnostics) else {
        return plan;
    };
    plan.follows = true;
    let mut after = match (row, verdict.outcome) {
        (Some(row), _) => row.clone(),
        (None, Outcome::Create) if verdict.trigger.may_create() => new_row(environment, user, writer),
        (None, _) => return plan,
    };
    follow_directory(
        environment,
        user,
        row.is_none(),
        keeps_name,
        &mut after,
        &mut plan.findings,
    );
    if row.is_some() {
        follow_state(user, verdict, keeps_name, writer.now, &mut after);
    }
    set_state(verdict, removals, &mut after, &mut plan);
    after.last_entitlement = if verdict.by_app_pass_alone {
        LastEntitlement::AppPass
    } else if verdict.entitlement == crate::rules::Entitlement::None {
        after.last_entitlement
    } else {
        LastEntitlement::Other
    };
    after.due_at = verdict.due_at.filter(|_| !after.isdisabled);

    let disables = row.is_some_and(|before| !before.isdisabled && after.isdisabled);
    let reason = verdict.code.filter(|_| disables);
    plan.change = Change::between(row, after, Operation::Update, reason, (writer.actor, writer.now));
    plan
}

fn findings_of(verdict: &Verdict) -> Vec<Finding> {
    let finding = |code: Code| Finding {
        code,
        detail: code.sentence().to_owned(),
    };
    verdict
        .checks
        .iter()
        .filter_map(|check| check.code)
        .filter(|code| {
            matches!(
                code,
                Code::UpnConflict | Code::DeveloperForeignUser | Code::LastSystemAdministrator
            ) || *code == Code::NonInteractiveCap
                || (*code == Code::DirectoryUnavailable && !verdict.follow)
        })
        .map(finding)
        .collect()
}

fn new_row(environment: &Environment, user: &DirectoryUser, writer: Writer<'_>) -> SystemUser {
    SystemUser {
        azureactivedirectoryobjectid: Some(user.id),
        issyncwithdirectory: true,
        ..SystemUser::blank(&environment.name, writer.new_id, writer.actor, writer.now)
    }
}

/// Sets the columns by their policy. A user who is soft-deleted or permanently deleted keeps the last values.
fn follow_directory(
    environment: &Environment,
    user: &DirectoryUser,
    is_new: bool,
    keeps_name: bool,
    after: &mut SystemUser,
    findings: &mut Vec<Finding>,
) {
    if user.state != DirectoryState::Present {
        return;
    }
    for field in Field::ALL {
        let policy = environment.policies.of(field);
        if !policy.writes(is_new, after.owned_by_customer(field.column())) || (field == Field::DomainName && keeps_name)
        {
            continue;
        }
        let (value, finding) = desired(user, field);
        findings.extend(finding);
        match value {
            Desired::Value(value) => after.set_text(field, value),
            Desired::KeepOr(value) if is_new => after.set_text(field, value),
            Desired::KeepOr(_) => {}
        }
    }
    for field in &environment.extra_fields {
        // A row is read with the mapped columns that the table has.
        let exists = is_new || after.extra.0.contains_key(&field.column);
        if exists && field.policy.writes(is_new, after.owned_by_customer(&field.column)) {
            after.set_extra(&field.column, user.extra_value(field.property));
        }
    }
    if user.nul_removed != 0 {
        findings.push(Finding {
            code: Code::ValueTruncated,
            detail: "NUL characters were removed, which no column can hold".to_owned(),
        });
    }
}

/// Sets what is written immediately, even while a removal waits: the directory's state and the licence.
fn follow_state(user: &DirectoryUser, verdict: &Verdict, keeps_name: bool, now: DateTime<Utc>, after: &mut SystemUser) {
    after.islicensed = verdict.islicensed;
    match user.state {
        DirectoryState::Present if keeps_name && after.azurestate != azure_state::EXISTS => {}
        DirectoryState::Present => {
            after.azurestate = azure_state::EXISTS;
            after.azuredeletedon = None;
        }
        DirectoryState::SoftDeleted | DirectoryState::Gone => {
            after.azurestate = if user.state == DirectoryState::Gone {
                azure_state::GONE
            } else {
                azure_state::SOFT_DELETED
            };
            after.azuredeletedon.get_or_insert(user.deleted_at.unwrap_or(now));
        }
    }
}

fn set_state(verdict: &Verdict, removals: RemovalMode, after: &mut SystemUser, plan: &mut RowPlan) {
    match verdict.outcome {
        Outcome::Create | Outcome::Enable | Outcome::Keep => {
            after.enable();
            after.accessmode = verdict.accessmode;
            after.setupuser = verdict.setupuser;
            after.islicensed = verdict.islicensed;
        }
        Outcome::Disable if removals == RemovalMode::Apply => {
            after.isdisabled = true;
            after.disabledreason = verdict.code.map(|code| code.as_str().to_owned());
            after.disabled_by = Some(SYNC_ACTOR.to_owned());
        }
        Outcome::Disable => plan.removal = verdict.code,
        Outcome::Leave | Outcome::Refuse => {
            let by_sync = after.is_disabled_by_sync();
            let settled = verdict.code.filter(|code| {
                !matches!(
                    code,
                    Code::DirectoryUnavailable
                        | Code::DeveloperForeignUser
                        | Code::DeveloperEnvironment
                        | Code::NonInteractive
                        | Code::LastSystemAdministrator
                        | Code::DisabledByHand
                        | Code::OnHold
                )
            });
            if let (true, Some(code)) = (by_sync, settled) {
                after.disable(SYNC_ACTOR, code);
            }
        }
        Outcome::Skip => {}
    }
}

#[cfg(test)]
mod tests;
