//! Why a user has or lacks access: the daemon's own evaluation, shown instead of applied.

pub(in crate::sync) mod headline;
mod security_role;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::as_of::{self, AsOf, since};
use super::{Desk, Ownership, not_found, ownership};
use crate::domain::directory_user::DirectoryUser;
use crate::domain::environment::{Environment, GroupNesting};
use crate::domain::reason::Code;
use crate::domain::removal::{Held, RemovalState};
use crate::domain::role::Assignment;
use crate::domain::run::ChangeLine;
use crate::domain::source::Source;
use crate::domain::system_user::SystemUser;
use crate::plan::{Candidate, EnvironmentView, Unasked};
use crate::rules::explain::{Words, accessmode_reason, exemption, words};
use crate::rules::{Trigger, Verdict};
use crate::store::{StoreResult, Transaction, changes, checkpoints, environments, quota, removals, roles, rows, runs};
use crate::sync::pull::LookUpResult;
use crate::sync::pull::climb::{NestedMembership, ParentGroups};
use crate::sync::{DeskError, Failure, judge};

/// Everything `explain` shows.
#[derive(Debug)]
pub struct Explanation {
    /// The environment.
    pub environment: Environment,
    /// The user as the caller named it.
    pub user: String,
    /// The mirror's record.
    pub directory_user: Option<DirectoryUser>,
    /// The row.
    pub row: Option<SystemUser>,
    /// The verdict for the requested trigger.
    pub verdict: Verdict,
    /// Its checks as text.
    pub words: Vec<Words>,
    /// What every trigger would do.
    pub triggers: Vec<(Trigger, Verdict)>,
    /// The held set that the row is in, or that a person rejected.
    pub held: Option<Held>,
    /// The name of the plan that licenses the user.
    pub plan: Option<String>,
    /// The last lines of the row's history.
    pub history: Vec<ChangeLine>,
    /// `fresh`, or why the mirror's data is used.
    pub directory: String,
    /// The exemption that admits the user against a rule.
    pub exemption: Option<String>,
    /// The reason for the access mode.
    pub accessmode_reason: String,
    /// The row's security roles with their provenance.
    pub roles: Vec<String>,
    /// Enabled non-interactive users, and the cap.
    pub non_interactive: (i64, i64),
    /// The nested groups through which the user is in the security group, innermost first.
    pub nested_through: Vec<Uuid>,
    /// When the environment was last evaluated.
    pub last_evaluation: Option<DateTime<Utc>>,
    /// When the user is next evaluated at the latest.
    pub next_evaluation: Option<DateTime<Utc>>,
}

/// A verdict as the API and the command line show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownVerdict {
    /// The environment.
    pub environment: String,
    /// The user as the caller named it.
    pub user: String,
    /// The trigger of the evaluation.
    pub trigger: &'static str,
    /// `create`, `enable`, `keep`, `disable`, `leave`, `skip`, `refuse`.
    pub outcome: &'static str,
    /// The primary reason, as reported to the caller.
    pub code: Option<&'static str>,
    /// `full`, `admin`, `non_interactive`, `on_demand_only`, `none`.
    pub entitlement: &'static str,
    /// The access mode that the row has or would have.
    pub accessmode: i16,
    /// Every check, in gate order.
    pub checks: Vec<ShownCheck>,
}

/// One check of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownCheck {
    /// The gate.
    pub gate: &'static str,
    /// `pass`, `fail`, `not_applicable`, `unknown`.
    pub status: &'static str,
    /// The reason code.
    pub code: Option<&'static str>,
    /// What was found.
    pub detail: String,
    /// The remedy, if the check failed.
    pub remedy: Option<&'static str>,
}

impl ShownVerdict {
    /// A verdict with its checks as text.
    #[must_use]
    pub fn new(environment: &Environment, user: &str, verdict: &Verdict, words: &[Words]) -> Self {
        let checks = verdict.checks.iter().zip(words).map(|(check, words)| ShownCheck {
            gate: check.gate.as_str(),
            status: check.status.as_str(),
            code: check.code.map(Code::as_str),
            detail: words.detail.clone(),
            remedy: words.remedy,
        });
        Self {
            environment: environment.name.clone(),
            user: user.to_owned(),
            trigger: verdict.trigger.as_str(),
            outcome: verdict.outcome.as_str(),
            code: verdict.asker_code().map(Code::as_str),
            entitlement: verdict.entitlement.as_str(),
            accessmode: verdict.accessmode,
            checks: checks.collect(),
        }
    }
}

/// The full diagnostic: the verdict and its context.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ShownExplanation {
    #[serde(flatten)]
    verdict: ShownVerdict,
    /// `fresh` if the directory was asked just now, otherwise why the mirror's data is used.
    directory: String,
    /// A summary in one sentence.
    headline: String,
    /// Without a row, what would create one: `background`, `on_demand` or `nobody`.
    created_by: Option<&'static str>,
    /// The row, if there is one.
    row: Option<SystemUser>,
    /// The set of held removals that the row is in.
    held: Option<Held>,
    /// The name of the plan that decided.
    plan: Option<String>,
    /// The exemption that admits the user against a rule.
    exemption: Option<String>,
    /// The reason for the access mode.
    accessmode_reason: String,
    /// The row's security roles; without one a user can sign in but use no data.
    roles: Vec<String>,
    /// Enabled non-interactive users, and the cap.
    non_interactive: (i64, i64),
    /// Why the row is on hold, if it is.
    hold: Option<String>,
    /// Who owns each column.
    ownership: Vec<Ownership>,
    /// The nested groups through which the user is in the security group, innermost first.
    nested_through: Vec<Uuid>,
    /// What every trigger would do.
    triggers: Vec<ShownTrigger>,
    /// When the environment was last evaluated.
    last_evaluation: Option<DateTime<Utc>>,
    /// When the user is next evaluated at the latest.
    next_evaluation: Option<DateTime<Utc>>,
}

/// What one trigger would do.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ShownTrigger {
    /// The trigger.
    trigger: &'static str,
    /// The outcome.
    outcome: &'static str,
    /// The reason code.
    code: Option<&'static str>,
}

impl Explanation {
    /// The explanation as shown to callers.
    #[must_use]
    pub fn shown(&self) -> ShownExplanation {
        let triggers = self.triggers.iter().map(|(trigger, verdict)| ShownTrigger {
            trigger: trigger.as_str(),
            outcome: verdict.outcome.as_str(),
            code: verdict.asker_code().map(Code::as_str),
        });
        let mut verdict = ShownVerdict::new(&self.environment, &self.user, &self.verdict, &self.words);
        verdict.checks.push(self.security_role());
        ShownExplanation {
            verdict,
            directory: self.directory.clone(),
            headline: self.headline(),
            created_by: self.created_by().map(headline::Creator::as_str),
            row: self.row.clone(),
            held: self.held.clone(),
            plan: self.plan.clone(),
            exemption: self.exemption.clone(),
            accessmode_reason: self.accessmode_reason.clone(),
            roles: self.roles.clone(),
            non_interactive: self.non_interactive,
            hold: self.hold(),
            ownership: self.ownership(),
            nested_through: self.nested_through.clone(),
            triggers: triggers.collect(),
            last_evaluation: self.last_evaluation,
            next_evaluation: self.next_evaluation,
        }
    }

    /// Why the row is on hold, if it is.
    #[must_use]
    pub fn hold(&self) -> Option<String> {
        let row = self.row.as_ref().filter(|row| row.onhold)?;
        Some(row.holdreason.clone().unwrap_or_default())
    }

    /// Who owns each column.
    #[must_use]
    pub fn ownership(&self) -> Vec<Ownership> {
        let row = self.row.as_ref();
        row.map_or_else(Vec::new, |row| {
            ownership(&self.environment, row, self.directory_user.as_ref())
        })
    }
}

impl Desk {
    /// Evaluates a user and shows the verdict instead of applying it. Asks the directory as for an access request; if
    /// it does not answer, uses the mirror, and the explanation says so. Writes no row.
    ///
    /// # Errors
    /// [`DeskError::Refused`] if nobody has that name, [`DeskError::UnknownEnvironment`], or when the database fails.
    pub async fn explain(&self, environment: &str, user: &str, trigger: Trigger) -> Result<Explanation, DeskError> {
        let environment = self.base.environment(environment)?;
        let name = &environment.name;
        // Directory users are looked up below; an application is not one of them, whichever id names it.
        let row = self.base.find_row(name, user).await?;
        if let Some(row) = row.filter(|row| row.applicationid.is_some()) {
            return self.explain_row(environment, user, row.systemuserid, trigger).await;
        }
        let fresh = self.puller.look_up(name, user).await?;
        let (id, directory) = match &fresh {
            LookUpResult::User(id, unasked) => (Some(*id), self.freshness(environment, *unasked).await?),
            LookUpResult::Row(row) => return self.explain_row(environment, user, *row, trigger).await,
            LookUpResult::Nobody | LookUpResult::Reserved => (None, String::new()),
            LookUpResult::Unanswered(id, problem) => {
                let mut db = self.base.store.read().await?;
                let users = checkpoints::read(&mut db, Source::Users).await?;
                (*id, format!("{}: {problem}", since(users.reached_at)))
            }
        };
        let Some(id) = id else {
            return Err(not_found(user, &fresh).into());
        };
        let view = self.base.present_view(environment).await?;
        let mut tx = self.base.begin(None).await?;
        let asked = match &fresh {
            LookUpResult::User(_, unasked) => Some(*unasked),
            _ => None,
        };
        let look = judge::look_at(&mut tx, &view, id, asked, self.base.clock.now()).await?;
        let candidate = Candidate { asked, ..look(trigger) };
        if candidate.user.is_none() && candidate.row.is_none() {
            return Err(not_found(user, &fresh).into());
        }
        let explanation = self
            .put_together(&mut tx, &view, candidate, look, user, trigger)
            .await?;
        tx.rollback().await?;
        let nested_through = self.nested_through(environment, id).await;
        Ok(Explanation {
            directory,
            nested_through,
            ..explanation
        })
    }

    /// How fresh an answer of the directory is.
    pub(in crate::sync) async fn freshness(
        &self,
        environment: &Environment,
        unasked: Unasked,
    ) -> Result<String, Failure> {
        let mut db = self.base.store.read().await?;
        let known_before = self.as_of(&mut db, environment, unasked).await?;
        if known_before.is_empty() {
            return Ok("fresh".to_owned());
        }
        let known_before: Vec<String> = known_before.iter().map(AsOf::text).collect();
        Ok(format!("fresh, but {}", known_before.join(", ")))
    }

    /// Explains a row that has no directory user.
    async fn explain_row(
        &self,
        environment: &Environment,
        user: &str,
        row: Uuid,
        trigger: Trigger,
    ) -> Result<Explanation, DeskError> {
        let view = self.base.present_view(environment).await?;
        let mut tx = self.base.begin(None).await?;
        let mut candidate = Candidate::nobody(None);
        candidate.row = rows::find_by_id(&mut tx, &environment.name, row).await?;
        candidate.assignments = roles::of_row(&mut tx, &environment.name, row).await?;
        let look = |_| candidate.clone();
        let explanation = self
            .put_together(&mut tx, &view, candidate.clone(), look, user, trigger)
            .await?;
        tx.rollback().await?;
        Ok(explanation)
    }

    async fn put_together(
        &self,
        tx: &mut Transaction,
        view: &EnvironmentView<'_>,
        candidate: Candidate,
        look: impl Fn(Trigger) -> Candidate,
        user: &str,
        trigger: Trigger,
    ) -> StoreResult<Explanation> {
        let environment = view.environment;
        let name = &environment.name;
        let now = self.base.clock.now();
        let history = match &candidate.row {
            Some(row) => changes::history(&mut *tx, name, row.systemuserid, None, 5).await?,
            None => Vec::new(),
        };
        let held = match &candidate.row {
            Some(row) if !row.isdisabled => removals::of_row(&mut *tx, name, row.systemuserid).await?,
            _ => None,
        };
        let judge = |trigger| predicted(look(trigger).evaluate(view, trigger, now), held.as_ref());
        let verdict = judge(trigger);
        let unasked = candidate.asked.unwrap_or_default();
        let known_before = self.as_of(&mut *tx, environment, unasked).await?;
        let subject = candidate.subject(view, now);
        let mut words = words(environment, &subject, &verdict);
        let exemption = exemption(environment, &subject, &verdict);
        let accessmode_reason = accessmode_reason(environment, &subject);
        as_of::note(&mut words, &verdict, &known_before);
        let triggers = Trigger::ALL
            .into_iter()
            .map(|trigger| (trigger, judge(trigger)))
            .collect();
        let plans = candidate
            .user
            .as_ref()
            .map_or(&[][..], |user| user.usable_plans.as_slice());
        let licences = self
            .base
            .settings
            .catalogue
            .judge(plans, self.base.settings.viral_counts_as);
        let plan = licences.full.or(licences.free_m365).map(|plan| {
            let known = self.base.settings.catalogue.name(plan);
            known.map_or_else(|| plan.to_string(), |name| format!("{name} ({plan})"))
        });
        let cap = i64::from(environment.non_interactive_cap);
        let free = quota::free_slots(&mut *tx, name, environment.non_interactive_cap).await?;
        let judged_at = environments::judged_at(&mut *tx, name).await?;
        let full_interval =
            chrono::Duration::from_std(self.base.settings.full_interval).unwrap_or(chrono::Duration::MAX);
        let due = candidate.row.as_ref().and_then(|row| row.due_at);
        let reconcile = judged_at.and_then(|at| at.checked_add_signed(full_interval));
        let given = candidate.assignments.iter().filter(|given| !given.revoked);
        let roles = given.map(Assignment::described);
        Ok(Explanation {
            environment: environment.clone(),
            user: user.to_owned(),
            verdict,
            words,
            triggers,
            held,
            plan,
            history,
            directory: String::new(),
            exemption,
            accessmode_reason,
            roles: roles.collect(),
            non_interactive: (cap - free, cap),
            nested_through: Vec::new(),
            last_evaluation: runs::last_success(&mut *tx).await?,
            next_evaluation: due.into_iter().chain(reconcile).min(),
            directory_user: candidate.user,
            row: candidate.row,
        })
    }

    /// The groups through which a user is in the security group, where nested groups do not count and so are not
    /// stored: read from the directory now. Empty if that fails.
    async fn nested_through(&self, environment: &Environment, id: Uuid) -> Vec<Uuid> {
        let Some(root) = environment
            .security_group
            .filter(|_| environment.group_nesting == GroupNesting::Ignore)
        else {
            return Vec::new();
        };
        let graph = self.puller.graph().for_someone_waiting().begun();
        let Ok(of_user) = graph.user_member_of(id).await else {
            return Vec::new();
        };
        let direct: Vec<Uuid> = of_user.value.items.into_iter().map(|group| group.id).collect();
        let mut ladder = ParentGroups::default();
        if direct.contains(&root) || ladder.climb(&graph, root, &[&direct], &BTreeSet::new()).await.is_err() {
            return Vec::new();
        }
        match ladder.place(root, &direct) {
            NestedMembership::Inside(path) => path,
            NestedMembership::Outside | NestedMembership::Unknown => Vec::new(),
        }
    }
}

/// What really happens to a row that a held set keeps enabled. A row that a person rejected goes to the guard again
/// when another rule disables it.
fn predicted(verdict: Verdict, held: Option<&Held>) -> Verdict {
    let Some(held) = held else { return verdict };
    let is_new_cause = held.state == RemovalState::Rejected && verdict.code != Some(held.reason);
    if verdict.trigger.is_background() && is_new_cause {
        verdict
    } else {
        verdict.while_held()
    }
}
