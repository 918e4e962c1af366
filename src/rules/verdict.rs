//! The outcome of an evaluation with every check that led to it.

use crate::domain::word::words;
use chrono::{DateTime, Utc};

use super::gate::Gate;
use super::subject::Trigger;
use crate::domain::reason::Code;

words! {
    /// What entitles the user, the first that fits (rules.md, section 3).
    pub enum Entitlement {
        /// The row is non-interactive; no licence is needed.
        NonInteractive "non_interactive"
        /// A usable full plan.
        Full "full"
        /// An administrator role.
        Admin "admin"
        /// Something that counts on demand only.
        OnDemandOnly "on_demand_only"
        /// Nothing.
        None "none"
    }
}

impl Entitlement {
    /// Who has it, in one sentence.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::NonInteractive => "The row has access mode 4 and is no application user; no licence is needed.",
            Self::Full => "The user has a usable plan that gives full rights.",
            Self::Admin => "The user is a Global, Power Platform or Dynamics 365 administrator.",
            Self::OnDemandOnly => {
                "The user has a free Microsoft 365 plan, or the environment has app passes or pay-as-you-go, or the \
                 tenant has a Marketing licence; or full or admin reach the security group by lines 13 and 14 only."
            }
            Self::None => "None of these.",
        }
    }
}

words! {
    /// What happens to the row.
    pub enum Outcome {
        /// It is created.
        Create "create"
        /// It is enabled again.
        Enable "enable"
        /// It stays enabled.
        Keep "keep"
        /// It is disabled; on demand, the asker is refused too.
        Disable "disable"
        /// It stays as it is.
        Leave "leave"
        /// There is none and there will be none, for now.
        Skip "skip"
        /// Nothing happens and the asker is told why.
        Refuse "refuse"
    }
}

impl Outcome {
    /// Whether there is an enabled row afterwards, by this verdict.
    #[must_use]
    pub const fn ends_enabled(self) -> bool {
        matches!(self, Self::Create | Self::Enable | Self::Keep)
    }
}

words! {
    /// How a check ended.
    pub enum Status {
        /// Passed.
        Pass "pass"
        /// Failed.
        Fail "fail"
        /// Does not apply.
        NotApplicable "not_applicable"
        /// Could not be found out.
        Unknown "unknown"
    }
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub gate: Gate,
    /// How it ended.
    pub status: Status,
    /// Why, where it failed, is unknown, or passed with a reservation.
    pub code: Option<Code>,
}

/// The outcome of one evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent answers")]
pub struct Verdict {
    /// What caused it.
    pub trigger: Trigger,
    /// What happens to the row.
    pub outcome: Outcome,
    /// The primary reason: why the row is or stays disabled, why nothing happens, why the asker is refused. It is
    /// the row's reason; [`Verdict::asker_code`] is what the asker is told.
    pub code: Option<Code>,
    /// What entitles the user.
    pub entitlement: Entitlement,
    /// The access mode the row should have if it ends enabled.
    pub accessmode: i16,
    /// `setupuser` likewise.
    pub setupuser: bool,
    /// A usable full plan.
    pub islicensed: bool,
    /// The row's columns and `azurestate` follow the directory (every gate up to 6 passed).
    pub follow: bool,
    /// The reason cannot be settled now; the user is judged again in the next cycle.
    pub undecided: bool,
    /// Entitled by app passes alone.
    pub by_app_pass_alone: bool,
    /// When the verdict must be looked at again although nothing changes.
    pub due_at: Option<DateTime<Utc>>,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Whether someone who asked for access is turned away.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self.outcome, Outcome::Disable | Outcome::Refuse | Outcome::Skip)
    }

    /// What really happens to an enabled row whose removal waits for a person, or was rejected by one: it stays, and
    /// somebody who asks for access is refused (rules.md, section 4).
    #[must_use]
    pub fn while_held(mut self) -> Self {
        if self.outcome == Outcome::Disable {
            self.outcome = if self.trigger.is_on_demand() {
                Outcome::Refuse
            } else {
                Outcome::Leave
            };
        }
        self
    }

    /// What whoever asked is told, where that differs from the row's reason: of the user, not of the row
    /// (rules.md, gates 8, 9 and 11). The background sync, refresh and diagnostics have the row's.
    #[must_use]
    pub const fn asker_code(&self) -> Option<Code> {
        match self.code {
            Some(code) if self.trigger.is_on_demand() => Some(for_asker(code)),
            code => code,
        }
    }
}

/// Someone who asks for a user is told of the user, not of a row.
pub(super) const fn for_asker(code: Code) -> Code {
    match code {
        Code::DirectoryDeleted => Code::UserNotFound,
        Code::DirectorySoftDeleted => Code::UserSoftDeleted,
        Code::DeveloperForeignUser => Code::DeveloperEnvironment,
        code => code,
    }
}
