//! An explanation in one sentence.

use super::Explanation;
use crate::domain::reason::Code;
use crate::domain::removal::RemovalState;
use crate::rules::{Client, Outcome, Trigger, Verdict};

/// What would create a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Creator {
    Background,
    OnDemand,
    Nobody,
}

impl Creator {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::OnDemand => "on_demand",
            Self::Nobody => "nobody",
        }
    }
}

/// What would create a row, by the verdict for each trigger.
pub(in crate::sync) fn creator(verdicts: &[(Trigger, Verdict)]) -> Creator {
    let creates = |(trigger, verdict): &(Trigger, Verdict)| {
        (verdict.outcome == Outcome::Create && trigger.may_create()).then_some(trigger.is_background())
    };
    let creators: Vec<bool> = verdicts.iter().filter_map(creates).collect();
    match creators[..] {
        [] => Creator::Nobody,
        _ if creators.contains(&true) => Creator::Background,
        _ => Creator::OnDemand,
    }
}

impl Explanation {
    fn verdict_for(&self, trigger: Trigger) -> Option<&Verdict> {
        let found = self.triggers.iter().find(|(one, _)| *one == trigger);
        found.map(|(_, verdict)| verdict)
    }

    /// What would create the row, if there is none.
    pub(in crate::sync) fn created_by(&self) -> Option<Creator> {
        self.row.is_none().then(|| creator(&self.triggers))
    }

    /// A summary in one sentence: whether the user has access, and what would change that.
    #[must_use]
    pub fn headline(&self) -> String {
        let because = |code: Option<Code>| code.map_or_else(String::new, |code| format!(": {}", code.sentence()));
        let of = |trigger| self.verdict_for(trigger).and_then(|verdict| verdict.code);
        if let Some(creator) = self.created_by() {
            let is_stopped = |verdict: &Verdict| verdict.outcome == Outcome::Refuse;
            return match creator {
                Creator::Background => "has no row; the background sync creates one in its next cycle".to_owned(),
                Creator::OnDemand => format!(
                    "has no row; an access or an add creates one, the background sync does not{}",
                    because(of(Trigger::Background))
                ),
                Creator::Nobody if is_stopped(&self.verdict) => {
                    format!("has no row, and nobody creates one{}", because(self.verdict.code))
                }
                Creator::Nobody => {
                    let access = of(Trigger::Access(Client::Interactive));
                    format!("has no row, and nobody creates one{}", because(access))
                }
            };
        }
        if let Some(held) = self.held.as_ref().filter(|_| self.would_go()) {
            let reason = Some(held.reason);
            return match held.state {
                RemovalState::Held => format!(
                    "stays enabled until somebody decides what run {} holds; an access is refused{}",
                    held.run,
                    because(reason)
                ),
                _ => format!(
                    "stays enabled because somebody rejected its removal by run {}; an access is refused{}",
                    held.run,
                    because(reason)
                ),
            };
        }
        let why = because(self.verdict.code);
        match self.verdict.outcome {
            Outcome::Create => format!("would get a row{why}"),
            Outcome::Enable => {
                let background = self.verdict_for(Trigger::Background).map(|verdict| verdict.outcome);
                if background == Some(Outcome::Enable) {
                    "is disabled; the background sync enables it in its next cycle".to_owned()
                } else {
                    let why = because(of(Trigger::Background));
                    format!("is disabled; an access or a refresh enables it, the background sync does not{why}")
                }
            }
            Outcome::Keep => format!("has access and keeps it{why}"),
            Outcome::Disable => format!("would be disabled{why}"),
            Outcome::Leave | Outcome::Skip => format!("stays as it is{why}"),
            Outcome::Refuse => format!("is refused{why}"),
        }
    }

    /// Whether the rules disable the row but a held set prevents it.
    fn would_go(&self) -> bool {
        self.verdict_for(Trigger::Api).is_some_and(Verdict::is_refusal)
    }
}
