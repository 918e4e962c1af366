//! The rules as tables, for people and documents: the outcome at each gate and under each entitlement. Nothing here is
//! typed by hand: every cell is the evaluator's verdict on an example.

use crate::domain::word::words;
use std::fmt::Write;

use super::gate::Rule;
use super::situation::{PLAN, Situation, USER};
use super::{Entitlement, Outcome, Trigger, Verdict, evaluate};
use crate::domain::reason::Code;
use crate::domain::system_user::access_mode::NON_INTERACTIVE;
use crate::domain::system_user::{SYNC_ACTOR, SystemUser};
use crate::rules::Client;

impl Situation {
    /// The verdict for a trigger.
    pub(crate) fn judge(&self, trigger: Trigger) -> Verdict {
        evaluate(&self.environment, &self.subject(), trigger)
    }
}

words! {
    /// The state of a row before it is evaluated.
    pub enum RowState {
        /// There is no row.
        None "none"
        /// It is enabled.
        Enabled "enabled"
        /// The sync disabled it.
        DisabledBySync "disabled_by_sync"
        /// A person disabled it.
        DisabledByHand "disabled_by_hand"
        /// A person put it on hold.
        OnHold "on_hold"
    }
}

/// The outcome for a row in one state, for one trigger.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The state of the row before.
    pub row: RowState,
    /// The trigger; an access by a program represents all on-demand triggers.
    pub trigger: Trigger,
    /// The outcome.
    pub outcome: Outcome,
    /// The row's reason.
    pub code: Option<Code>,
    /// The reason reported to the caller.
    pub asker_code: Option<Code>,
    /// The access mode of a row that ends enabled.
    pub accessmode: i16,
    /// `setupuser` of a row that ends enabled.
    pub setupuser: bool,
}

impl RowState {
    /// A regular row in this state.
    fn row(self) -> Option<SystemUser> {
        let mut row = SystemUser::example(Some(USER));
        let (by, reason) = match self {
            Self::None => return None,
            Self::Enabled => return Some(row),
            Self::DisabledBySync => (SYNC_ACTOR, Code::Unlicensed),
            Self::DisabledByHand => ("somebody", Code::DisabledByHand),
            Self::OnHold => ("somebody", Code::OnHold),
        };
        row.onhold = self == Self::OnHold;
        Some(row.disabled(by, reason.as_str()))
    }
}

impl Cell {
    fn new(row: RowState, verdict: &Verdict) -> Self {
        Self {
            row,
            trigger: verdict.trigger,
            outcome: verdict.outcome,
            code: verdict.code,
            asker_code: verdict.asker_code(),
            accessmode: verdict.accessmode,
            setupuser: verdict.setupuser,
        }
    }

    /// Its column in the table: `background`, `on_demand`, `import` or `refresh`.
    #[must_use]
    pub const fn column(&self) -> &'static str {
        match self.trigger {
            Trigger::Background => "background",
            Trigger::Import => "import",
            Trigger::Refresh | Trigger::Diagnostics => "refresh",
            Trigger::Access(_) | Trigger::Api | Trigger::AdminAdd => "on_demand",
        }
    }

    /// Whether a creation is only reported: refresh and diagnostics say what an access would create, and create
    /// nothing.
    #[must_use]
    pub fn is_only_reported(&self) -> bool {
        self.outcome == Outcome::Create && !self.trigger.may_create()
    }

    /// Outcome and code, or outcome and access mode.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.outcome.as_str().to_owned();
        if self.outcome.ends_enabled() {
            let _ = write!(words, ", mode {}", self.accessmode);
            if self.setupuser {
                words += ", setupuser";
            }
        }
        if self.is_only_reported() {
            words = format!("nothing (access: {words})");
        }
        if let Some(code) = self.code {
            words = format!("{words} {code}");
        }
        if let Some(told) = self.asker_code.filter(|told| Some(*told) != self.code) {
            words = format!("{words} (asker: {told})");
        }
        words
    }
}

/// The outcomes where a line of the gates applies, by the state of the row and the trigger. States in which it cannot
/// apply are omitted.
#[must_use]
pub fn at_gate(rule: &Rule) -> Vec<Cell> {
    let mut cells = Vec::new();
    for trigger in [Trigger::Background, rule.on_demand(), Trigger::Refresh] {
        for state in [RowState::None, RowState::Enabled, RowState::DisabledBySync] {
            let mut situation = Situation::licensed().with(|it| it.row = state.row());
            (rule.example)(&mut situation);
            let verdict = situation.judge(trigger);
            let applies = verdict
                .checks
                .iter()
                .any(|check| check.gate == rule.gate && check.code.is_none_or(|code| rule.codes.contains(&code)));
            let passes = verdict
                .checks
                .iter()
                .any(|check| check.gate == rule.gate && check.code.is_none());
            if applies && (rule.codes.is_empty() || !passes) {
                cells.push(Cell::new(state, &verdict));
            }
        }
    }
    cells
}

/// The outcome table of rules.md, section 4: every state of the row, in the background, on demand, at an import
/// and at a refresh.
#[must_use]
pub fn of_entitlement(entitlement: Entitlement) -> Vec<Cell> {
    let mut cells = Vec::new();
    for trigger in [
        Trigger::Background,
        Trigger::Access(Client::Api),
        Trigger::Import,
        Trigger::Refresh,
    ] {
        for state in RowState::ALL {
            let situation = entitled(entitlement, state);
            // A user is non-interactive by its row.
            if entitlement != Entitlement::NonInteractive || situation.row.is_some() {
                cells.push(Cell::new(state, &situation.judge(trigger)));
            }
        }
    }
    cells
}

/// A user with this entitlement who passes every gate.
fn entitled(entitlement: Entitlement, state: RowState) -> Situation {
    Situation::new().with(|it| {
        it.row = state.row();
        match entitlement {
            Entitlement::NonInteractive => {
                if let Some(row) = &mut it.row {
                    row.accessmode = NON_INTERACTIVE;
                }
            }
            Entitlement::Full => it.licences.full = Some(PLAN),
            Entitlement::Admin => it.roles.global = true,
            Entitlement::OnDemandOnly => it.licences.free_m365 = Some(PLAN),
            Entitlement::None => {}
        }
    })
}
