//! The outcome of an evaluation with every check that led to it.

use crate::domain::word::words;
use chrono::{DateTime, Utc};

use super::gate::Gate;
use super::subject::Trigger;
use crate::domain::reason::Code;

words! {
    /// What entitles the user; the first that applies (rules.md, section 3).
    pub enum Entitlement {
        /// The row is non-interactive; no licence is needed.
        NonInteractive "non_interactive"
        /// Whether the user has a usable full plan.
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
    /// Which users have it, in one sentence.
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
    /// The outcome for the row.
    pub enum Outcome {
        /// It is created.
        Create "create"
        /// It is enabled again.
        Enable "enable"
        /// It stays enabled.
        Keep "keep"
        /// It is disabled; on demand, the caller is refused too.
        Disable "disable"
        /// It stays as it is.
        Leave "leave"
        /// There is no row, and none is created for now.
        Skip "skip"
        /// Nothing changes, and the caller is told why.
        Refuse "refuse"
    }
}

impl Outcome {
    /// Whether there is an enabled row after this verdict.
    #[must_use]
    pub const fn ends_enabled(self) -> bool {
        matches!(self, Self::Create | Self::Enable | Self::Keep)
    }
}

words! {
    /// The result of a check.
    pub enum Status {
        /// Passed.
        Pass "pass"
        /// Failed.
        Fail "fail"
        /// Does not apply.
        NotApplicable "not_applicable"
        /// Could not be determined.
        Unknown "unknown"
    }
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The gate.
    pub gate: Gate,
    /// The result.
    pub status: Status,
    /// The reason, if it failed, is unknown, or passed with a reservation.
    pub code: Option<Code>,
}

/// The outcome of one evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent answers")]
pub struct Verdict {
    /// The trigger.
    pub trigger: Trigger,
    /// The outcome for the row.
    pub outcome: Outcome,
    /// The primary reason: why the row is or stays disabled, why nothing happens, why the caller is refused. It is
    /// the row's reason; [`Verdict::asker_code`] is the one reported to the caller.
    pub code: Option<Code>,
    /// What entitles the user.
    pub entitlement: Entitlement,
    /// The access mode the row should have if it ends enabled.
    pub accessmode: i16,
    /// `setupuser` of a row that ends enabled.
    pub setupuser: bool,
    /// A usable full plan.
    pub islicensed: bool,
    /// The row's columns and `azurestate` follow the directory (every gate up to 6 passed).
    pub follow: bool,
    /// The reason cannot be settled now; the user is re-evaluated in the next cycle.
    pub undecided: bool,
    /// Entitled by app passes only.
    pub by_app_pass_alone: bool,
    /// When the verdict must be re-evaluated although nothing changes.
    pub due_at: Option<DateTime<Utc>>,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Whether a caller who requested access is refused.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self.outcome, Outcome::Disable | Outcome::Refuse | Outcome::Skip)
    }

    /// What really happens to an enabled row whose removal waits for a person, or was rejected by one: it stays
    /// enabled, and a caller who requests access is refused (rules.md, section 4).
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

    /// The reason reported to the caller, which may differ from the row's: it is about the user, not the row
    /// (rules.md, gates 8, 9 and 11). The background sync, refresh and diagnostics report the row's.
    #[must_use]
    pub const fn asker_code(&self) -> Option<Code> {
        match self.code {
            Some(code) if self.trigger.is_on_demand() => Some(for_asker(code)),
            code => code,
        }
    }
}

/// The reason for a caller who requests a user: about the user, not about a row.
pub(super) const fn for_asker(code: Code) -> Code {
    match code {
        Code::DirectoryDeleted => Code::UserNotFound,
        Code::DirectorySoftDeleted => Code::UserSoftDeleted,
        Code::DeveloperForeignUser => Code::DeveloperEnvironment,
        code => code,
    }
}
