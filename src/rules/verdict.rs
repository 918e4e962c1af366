//! The outcome of an evaluation with every check that led to it.

use chrono::{DateTime, Utc};

use super::subject::Trigger;
use crate::domain::reason::Code;

/// What entitles the user, the first that fits (rules.md, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entitlement {
    /// The row is non-interactive; no licence is needed.
    NonInteractive,
    /// A usable full plan.
    Full,
    /// An administrator role.
    Admin,
    /// Something that counts on demand only.
    OnDemandOnly,
    /// Nothing.
    None,
}

impl Entitlement {
    /// The name in verdicts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonInteractive => "non_interactive",
            Self::Full => "full",
            Self::Admin => "admin",
            Self::OnDemandOnly => "on_demand_only",
            Self::None => "none",
        }
    }
}

/// What happens to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is created.
    Create,
    /// It is enabled again.
    Enable,
    /// It stays enabled.
    Keep,
    /// It is disabled; on demand, the asker is refused too.
    Disable,
    /// It stays as it is.
    Leave,
    /// There is none and there will be none, for now.
    Skip,
    /// Nothing happens and the asker is told why.
    Refuse,
}

impl Outcome {
    /// The name in verdicts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Enable => "enable",
            Self::Keep => "keep",
            Self::Disable => "disable",
            Self::Leave => "leave",
            Self::Skip => "skip",
            Self::Refuse => "refuse",
        }
    }
}

/// The gates and the checks that follow them, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// 1
    Database,
    /// 2
    ReservedIdentity,
    /// 3
    ApplicationUser,
    /// 4
    Stub,
    /// 5
    RowDeleted,
    /// 6
    DirectoryAnswer,
    /// 7
    UserPrincipalName,
    /// 8
    DirectoryPresence,
    /// 9
    DirectorySoftDeletion,
    /// 10
    AccountEnabled,
    /// 11
    DeveloperCreator,
    /// 12 to 15
    SecurityGroup,
    /// Section 3
    Licence,
    /// Section 4: hold
    Hold,
    /// Section 4: disabled by hand
    DisabledByHand,
    /// Section 6: the cap of non-interactive users
    NonInteractiveCap,
    /// Section 6: non-interactive users have no web access
    WebAccess,
    /// Section 4: creation by the background sync
    BackgroundCreation,
    /// Section 4: the last System Administrator
    LastSystemAdministrator,
}

impl Gate {
    /// The name in verdicts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::ReservedIdentity => "reserved_identity",
            Self::ApplicationUser => "application_user",
            Self::Stub => "stub",
            Self::RowDeleted => "row_deleted",
            Self::DirectoryAnswer => "directory_answer",
            Self::UserPrincipalName => "user_principal_name",
            Self::DirectoryPresence => "directory_presence",
            Self::DirectorySoftDeletion => "directory_soft_deletion",
            Self::AccountEnabled => "account_enabled",
            Self::DeveloperCreator => "developer_creator",
            Self::SecurityGroup => "security_group",
            Self::Licence => "licence",
            Self::Hold => "hold",
            Self::DisabledByHand => "disabled_by_hand",
            Self::NonInteractiveCap => "non_interactive_cap",
            Self::WebAccess => "web_access",
            Self::BackgroundCreation => "background_creation",
            Self::LastSystemAdministrator => "last_system_administrator",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Passed.
    Pass,
    /// Failed.
    Fail,
    /// Does not apply.
    NotApplicable,
    /// Could not be found out.
    Unknown,
}

impl Status {
    /// The name in verdicts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable => "not_applicable",
            Self::Unknown => "unknown",
        }
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
    /// The primary reason: why the row is or stays disabled, why nothing happens, why the asker is refused.
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
}
