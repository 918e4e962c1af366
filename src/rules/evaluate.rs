//! The only evaluator: gates in order, then entitlement, then the outcome table (rules.md, sections 2 to 4).

use super::access_mode::access_mode;
use super::entitlement::{Lapse, app_pass_lapse, counts_on_demand, entitlement};
use super::gate::Gate;
use super::subject::{Client, DirectoryAnswer, GroupRelation, Subject, Trigger};
use super::verdict::{Check, Entitlement, Outcome, Status, Verdict, for_asker};
use crate::domain::directory_user::{DirectoryState, DirectoryUser, Property, upn_key};
use crate::domain::environment::{Environment, GroupNesting, Kind};
use crate::domain::reason::Code;
use crate::domain::system_user::access_mode::NON_INTERACTIVE;
use crate::domain::system_user::{LastEntitlement, SystemUser, is_reserved};

/// Evaluates one user in one environment.
#[must_use]
pub fn evaluate(environment: &Environment, subject: &Subject<'_>, trigger: Trigger) -> Verdict {
    let mut judge = Judge::new(environment, subject, trigger);
    judge.run_gates();
    judge.check_entitlement();
    judge.check_row();
    judge.conclude()
}

/// The effect of the first gate that did not pass.
#[derive(Clone, Copy)]
enum Stop {
    /// The row is never changed: nothing follows the directory.
    Untouched(Code),
    /// The directory's answer or a group is in doubt: the row stays, the caller may retry.
    Doubt(Code),
    /// The row's state stays, its columns follow the directory.
    LeftAlone(Code),
    /// The row is disabled.
    Disable(Code),
}

struct Judge<'a> {
    environment: &'a Environment,
    subject: &'a Subject<'a>,
    trigger: Trigger,
    checks: Vec<Check>,
    stop: Option<Stop>,
    /// Gate 13 or 14: the user's entitlement counts on demand only.
    on_demand_only: bool,
    /// Gates 1 to 6 passed.
    follow: bool,
}

impl<'a> Judge<'a> {
    fn new(environment: &'a Environment, subject: &'a Subject<'a>, trigger: Trigger) -> Self {
        Self {
            environment,
            subject,
            trigger,
            checks: Vec::with_capacity(18),
            stop: None,
            on_demand_only: false,
            follow: false,
        }
    }

    fn note(&mut self, gate: Gate, status: Status, code: Option<Code>) {
        self.checks.push(Check { gate, status, code });
    }

    /// Records a check; the first one that fails decides.
    fn gate(&mut self, gate: Gate, failed: Option<Stop>) {
        match failed {
            None => self.note(gate, Status::Pass, None),
            Some(stop) => {
                let (status, code) = match stop {
                    Stop::Doubt(code) => (Status::Unknown, code),
                    Stop::Untouched(code) | Stop::LeftAlone(code) | Stop::Disable(code) => (Status::Fail, code),
                };
                self.note(gate, status, Some(code));
                self.stop.get_or_insert(stop);
            }
        }
    }

    fn run_gates(&mut self) {
        let row = self.subject.row;
        let untouched = |failed: bool, code| failed.then_some(Stop::Untouched(code));
        self.gate(
            Gate::Database,
            untouched(!self.environment.has_database, Code::NoDatabase),
        );
        self.gate(
            Gate::ReservedIdentity,
            untouched(self.is_reserved(), Code::ReservedUser),
        );
        let is_application = row.is_some_and(|row| row.applicationid.is_some());
        self.gate(Gate::ApplicationUser, untouched(is_application, Code::ApplicationUser));
        self.gate(Gate::Stub, untouched(row.is_some_and(|row| row.isstub), Code::StubUser));
        self.gate(
            Gate::RowDeleted,
            untouched(row.is_some_and(|row| row.deletedstate != 0), Code::RowDeleted),
        );

        let readable = match self.subject.answer {
            DirectoryAnswer::Known(user) if !is_incomplete(user) => Some(user),
            DirectoryAnswer::Known(_) | DirectoryAnswer::Unknown => None,
        };
        self.follow = self.stop.is_none() && readable.is_some();
        let is_unknown = readable.is_none_or(is_account_unknown);
        let doubt = is_unknown.then_some(Stop::Doubt(Code::DirectoryUnavailable));
        self.gate(Gate::DirectoryAnswer, doubt);
        let Some(user) = readable else {
            for gate in [
                Gate::UserPrincipalName,
                Gate::DirectoryPresence,
                Gate::DirectorySoftDeletion,
                Gate::AccountEnabled,
                Gate::DeveloperCreator,
                Gate::SecurityGroup,
            ] {
                self.note(gate, Status::Unknown, None);
            }
            return;
        };
        let present = user.state == DirectoryState::Present;
        // An existing row keeps its old name when the new one is taken; only a new row is blocked.
        let conflict = present && self.subject.upn_blocked;
        if conflict && row.is_some() {
            self.note(Gate::UserPrincipalName, Status::Fail, Some(Code::UpnConflict));
            if row.is_some_and(|row| row.azurestate != 0) {
                self.stop.get_or_insert(Stop::LeftAlone(Code::UpnConflict));
            }
        } else {
            self.gate(
                Gate::UserPrincipalName,
                conflict.then_some(Stop::LeftAlone(Code::UpnConflict)),
            );
        }
        let disable = |failed: bool, code| failed.then_some(Stop::Disable(code));
        self.gate(
            Gate::DirectoryPresence,
            disable(user.state == DirectoryState::Gone, Code::DirectoryDeleted),
        );
        let soft_deleted = user.state == DirectoryState::SoftDeleted;
        self.gate(
            Gate::DirectorySoftDeletion,
            disable(soft_deleted, Code::DirectorySoftDeleted),
        );
        let blocked = present && user.account_enabled == Some(false);
        self.gate(Gate::AccountEnabled, disable(blocked, Code::DirectoryAccountDisabled));
        self.check_developer(user);
        self.check_security_group();
    }

    fn is_reserved(&self) -> bool {
        let by_row = self.subject.row.is_some_and(|row| {
            row.azureactivedirectoryobjectid.is_none()
                && row
                    .domainname
                    .as_deref()
                    .is_some_and(|name| is_reserved(&upn_key(name)))
        });
        let by_name = match self.subject.answer {
            DirectoryAnswer::Known(user) => user.upn_key().is_some_and(|key| is_reserved(&key)),
            DirectoryAnswer::Unknown => false,
        };
        by_row || by_name
    }

    fn check_developer(&mut self, user: &DirectoryUser) {
        if self.environment.kind != Kind::Developer {
            self.note(Gate::DeveloperCreator, Status::NotApplicable, None);
            return;
        }
        let code = if self.subject.row.is_some() {
            Code::DeveloperForeignUser
        } else {
            Code::DeveloperEnvironment
        };
        let foreign = self.environment.creator != Some(user.id);
        self.gate(Gate::DeveloperCreator, foreign.then_some(Stop::LeftAlone(code)));
    }

    /// Gates 12 to 15.
    fn check_security_group(&mut self) {
        if self.environment.security_group.is_none() {
            self.note(Gate::SecurityGroup, Status::NotApplicable, None);
            return;
        }
        if self.subject.roles.escapes_group() {
            self.note(Gate::SecurityGroup, Status::Pass, None);
            return;
        }
        match (self.subject.relation, self.environment.group_nesting) {
            (GroupRelation::Member, _) | (GroupRelation::NestedOnly, GroupNesting::Full) => {
                self.note(Gate::SecurityGroup, Status::Pass, None);
            }
            (GroupRelation::OwnerOnly, _) => {
                self.on_demand_only = true;
                self.note(Gate::SecurityGroup, Status::Pass, Some(Code::OnDemandOnly));
            }
            (GroupRelation::NestedOnly, GroupNesting::OnDemand) => {
                self.on_demand_only = true;
                self.note(Gate::SecurityGroup, Status::Pass, Some(Code::NestedMemberOnly));
            }
            (GroupRelation::Unreadable, _) => {
                self.gate(Gate::SecurityGroup, Some(Stop::Doubt(Code::DirectoryUnavailable)));
            }
            (GroupRelation::NestedOnly, GroupNesting::Ignore) | (GroupRelation::None, _) => {
                self.gate(Gate::SecurityGroup, Some(Stop::Disable(Code::NotInSecurityGroup)));
            }
        }
    }

    fn entitlement(&self) -> Entitlement {
        entitlement(self.environment, self.subject, self.on_demand_only)
    }

    fn app_pass_lapse(&self) -> Option<Lapse> {
        app_pass_lapse(self.environment, self.subject, self.entitlement())
    }

    fn check_entitlement(&mut self) {
        let code = match (self.entitlement(), self.app_pass_lapse()) {
            (Entitlement::None, Some(Lapse::Over(_))) => Some(Code::AppPassExhausted),
            (Entitlement::None, None) => Some(Code::Unlicensed),
            _ => None,
        };
        if self
            .subject
            .row
            .is_some_and(|row| row.applicationid.is_some() || row.isstub)
        {
            self.note(Gate::Licence, Status::NotApplicable, None);
        } else if matches!(self.subject.answer, DirectoryAnswer::Unknown) {
            self.note(Gate::Licence, Status::Unknown, None);
        } else {
            if code.is_some() && self.are_plans_unknown() {
                self.gate(Gate::Licence, Some(Stop::Doubt(Code::DirectoryUnavailable)));
                return;
            }
            let status = if code.is_some() { Status::Fail } else { Status::Pass };
            let reservation = (self.entitlement() == Entitlement::OnDemandOnly).then_some(Code::OnDemandOnly);
            self.note(Gate::Licence, status, code.or(reservation));
            if let Some(code) = code {
                self.stop.get_or_insert(Stop::Disable(code));
            }
        }
    }

    /// Whether the user's licence cannot be judged: no plans were ever decoded.
    fn are_plans_unknown(&self) -> bool {
        matches!(self.subject.answer, DirectoryAnswer::Known(user) if user.undecodable.no_plans_ever())
    }

    /// Whether an unreadable source might contradict this reason for disabling: an administrator needs neither group
    /// nor licence, and a tenant with a Marketing licence needs no other.
    fn reads_stale_source(&self, code: Option<Code>) -> bool {
        match code {
            Some(Code::NotInSecurityGroup) => self.subject.stale_roles,
            Some(Code::Unlicensed | Code::AppPassExhausted) => self.subject.stale_roles || self.subject.stale_skus,
            _ => false,
        }
    }

    /// A person's decision about the row, reported whichever gate decides. Rows that are never changed have none.
    fn check_row(&mut self) {
        let Some(row) = self
            .subject
            .row
            .filter(|_| !matches!(self.stop, Some(Stop::Untouched(_))))
        else {
            return;
        };
        if row.isdisabled && row.onhold {
            self.note(Gate::Hold, Status::Fail, Some(Code::OnHold));
        } else if row.isdisabled && self.trigger.is_background() && !row.is_disabled_by_sync() {
            self.note(Gate::DisabledByHand, Status::Fail, Some(Code::DisabledByHand));
        }
        if self.wants_web(row) {
            self.note(Gate::WebAccess, Status::Fail, Some(Code::NonInteractive));
        }
    }

    /// Whether a non-interactive user wants to sign in to the web interface.
    fn wants_web(&self, row: &SystemUser) -> bool {
        self.trigger == Trigger::Access(Client::Interactive) && row.accessmode == NON_INTERACTIVE
    }

    fn conclude(mut self) -> Verdict {
        let (mut outcome, mut code) = match self.stop {
            Some(stop) => self.stopped(stop),
            None => self.entitled(),
        };
        let mut undecided = matches!(self.stop, Some(Stop::Doubt(_))) && self.follow;
        let by_directory = !matches!(
            code,
            Some(Code::NotInSecurityGroup | Code::Unlicensed | Code::AppPassExhausted)
        );
        if outcome == Outcome::Refuse && self.reads_stale_source(code) {
            // A source that could not be read is no reason to tell a user that it has no right.
            (code, undecided) = (Some(Code::DirectoryUnavailable), true);
        }
        if outcome == Outcome::Disable {
            if self.reads_stale_source(code) {
                (outcome, code) = (self.stay(), Some(Code::DirectoryUnavailable));
                undecided = true;
            } else if self.subject.last_system_administrator {
                self.note(
                    Gate::LastSystemAdministrator,
                    Status::Fail,
                    Some(Code::LastSystemAdministrator),
                );
                if !by_directory {
                    (outcome, code) = (self.stay(), Some(Code::LastSystemAdministrator));
                    undecided = true;
                }
            }
        }
        // Import only adds: it stops at an existing row, in whatever state.
        if self.trigger == Trigger::Import && self.subject.row.is_some() {
            (outcome, code, undecided) = (Outcome::Leave, None, false);
            self.follow = false;
        }
        let (accessmode, setupuser) = access_mode(self.environment, self.subject);
        let due_at = match self.app_pass_lapse() {
            Some(Lapse::Lasting(due)) => due,
            // The period stays over while the row waits for the guard: it does not start again.
            Some(Lapse::Over(due)) => Some(due),
            None => None,
        };
        let entitlement = self.entitlement();
        Verdict {
            trigger: self.trigger,
            outcome,
            code,
            entitlement,
            accessmode,
            setupuser,
            islicensed: self.subject.licences.full.is_some(),
            follow: self.follow,
            undecided,
            by_app_pass_alone: entitlement == Entitlement::OnDemandOnly
                && self.subject.licences.full.is_none()
                && !self.subject.roles.any()
                && !counts_on_demand(self.environment, self.subject),
            due_at,
            checks: self.checks,
        }
    }

    /// An existing row stays unchanged; on demand the caller is refused.
    fn stay(&self) -> Outcome {
        match (self.trigger.is_background(), self.subject.row) {
            (true, Some(_)) => Outcome::Leave,
            (true, None) => Outcome::Skip,
            (false, _) => Outcome::Refuse,
        }
    }

    fn stopped(&self, stop: Stop) -> (Outcome, Option<Code>) {
        match stop {
            // Its name may follow the app registration (gate 3), which is never refused.
            Stop::Untouched(code @ Code::ApplicationUser) if self.trigger.is_refresh() => (Outcome::Leave, Some(code)),
            Stop::LeftAlone(Code::DeveloperForeignUser) if !self.trigger.is_background() => {
                (self.stay(), Some(Code::DeveloperEnvironment))
            }
            Stop::Untouched(code) | Stop::Doubt(code) | Stop::LeftAlone(code) => (self.stay(), Some(code)),
            Stop::Disable(code) => match self.subject.row {
                Some(row) if !row.isdisabled => (Outcome::Disable, Some(code)),
                Some(_) => (self.stay(), Some(self.standing_reason(code))),
                None => (self.stay(), Some(for_asker(code))),
            },
        }
    }

    /// The reason of a row that stays disabled: a lapse of app passes takes precedence over "unlicensed".
    fn standing_reason(&self, code: Code) -> Code {
        let exhausted = self.subject.row.is_some_and(|row| {
            row.disabledreason.as_deref() == Some(Code::AppPassExhausted.as_str())
                && row.last_entitlement == LastEntitlement::AppPass
        });
        if code == Code::Unlicensed && exhausted {
            Code::AppPassExhausted
        } else {
            code
        }
    }

    /// The outcome table of rules.md, section 4, for a user whom no gate stopped.
    fn entitled(&mut self) -> (Outcome, Option<Code>) {
        let Some(row) = self.subject.row else {
            return self.without_row();
        };
        if !row.isdisabled {
            return if self.wants_web(row) {
                (Outcome::Refuse, Some(Code::NonInteractive))
            } else {
                (Outcome::Keep, None)
            };
        }
        if row.onhold {
            return (self.stay(), Some(Code::OnHold));
        }
        if self.wants_web(row) {
            return (Outcome::Refuse, Some(Code::NonInteractive));
        }
        if self.trigger.is_background() {
            if !row.is_disabled_by_sync() {
                return (Outcome::Leave, Some(Code::DisabledByHand));
            }
            if self.entitlement() == Entitlement::OnDemandOnly {
                return (Outcome::Leave, Some(Code::OnDemandOnly));
            }
        }
        if row.accessmode == NON_INTERACTIVE && row.applicationid.is_none() {
            if !self.subject.non_interactive_slot {
                self.note(Gate::NonInteractiveCap, Status::Fail, Some(Code::NonInteractiveCap));
                return (self.stay(), Some(Code::NonInteractiveCap));
            }
            self.note(Gate::NonInteractiveCap, Status::Pass, None);
        }
        (Outcome::Enable, None)
    }

    fn without_row(&mut self) -> (Outcome, Option<Code>) {
        if !self.trigger.is_background() {
            return (Outcome::Create, None);
        }
        let agent = matches!(self.subject.answer, DirectoryAnswer::Known(user) if user.is_agent);
        let narrow = matches!(self.environment.kind, Kind::Trial | Kind::Teams)
            || agent
            || self.entitlement() == Entitlement::OnDemandOnly;
        if narrow {
            self.note(Gate::BackgroundCreation, Status::Fail, Some(Code::OnDemandOnly));
            return (Outcome::Skip, Some(Code::OnDemandOnly));
        }
        self.note(Gate::BackgroundCreation, Status::Pass, None);
        (Outcome::Create, None)
    }
}

/// Gate 6: the directory answered, but without required data of a present user.
fn is_incomplete(user: &DirectoryUser) -> bool {
    user.state == DirectoryState::Present && (user.account_enabled.is_none() || user.upn_key().is_none())
}

/// Gate 6, too: the account state cannot be decoded. The earlier state says nothing about now; all other properties of
/// the user follow.
fn is_account_unknown(user: &DirectoryUser) -> bool {
    user.state == DirectoryState::Present && user.undecodable.has(Property::AccountEnabled)
}
