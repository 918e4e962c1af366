//! One user, judged now: the evaluation of the cycle with another trigger, applied at once.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::desk::Named;
use super::fresh::Fresh;
use super::recall::Recalled;
use super::{Answer, Ask, Effect, Refusal, Ruled, as_of, reports_only};
use crate::domain::directory_user::{DirectoryState, DirectoryUser};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::system_user::{SYNC_ACTOR, SystemUser};
use crate::plan::{Removals, RoleChange, Writer};
use crate::rules::explain::words;
use crate::rules::{Client, Outcome, Trigger, Verdict};
use crate::store::changes::Author;
use crate::store::{StoreResult, Transaction, pending, quota, removals, roles, rows};
use crate::sync::batch::{Write, write_changes};
use crate::sync::case::{Case, View, blocked_names, held_name};
use crate::sync::explain::ShownVerdict;
use crate::sync::{Engine, SyncError};

/// What is done to the row in the same transaction, before it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    Nothing,
    /// A hold ends.
    Release(Uuid),
    /// A stub is bound to the user.
    Bind(Uuid),
}

/// The user to judge, and whom it moves.
struct Loaded {
    target: Case,
    others: Vec<Case>,
    /// Names that nobody among them can have.
    taken: BTreeSet<String>,
}

impl Loaded {
    fn alone(target: Case) -> Self {
        Self {
            target,
            others: Vec::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Finds out who can have the name it wants.
    fn settle_names(&mut self) {
        let all: Vec<Case> = self.others.iter().chain([&self.target]).cloned().collect();
        let blocked = blocked_names(&all, &self.taken, |_| true);
        for case in self.others.iter_mut().chain([&mut self.target]) {
            case.name_is_taken = blocked.contains(&case.id);
        }
    }
}

/// What came of judging somebody.
pub(super) struct Judged {
    pub verdict: Verdict,
    pub shown: ShownVerdict,
    /// What a refusal says in one sentence.
    pub detail: String,
    pub effect: Effect,
    pub row: Option<SystemUser>,
}

impl Engine {
    /// Someone signs in: the row is made or enabled if the rules allow it.
    ///
    /// # Errors
    /// [`SyncError::Refused`] with the verdict, or when the database fails.
    pub async fn access(&self, ask: Ask<'_>, client: Client) -> Result<Answer, SyncError> {
        let trigger = Trigger::Access(client);
        let fresh = match self.recall(ask, trigger).await? {
            Recalled::Answer(answer) => return Ok(*answer),
            Recalled::Fresh(fresh) => Some(fresh),
            Recalled::Nothing => None,
        };
        let judge = async {
            match &fresh {
                Some(fresh) => self.judge_as(ask, trigger, &First::Nothing, fresh).await,
                None => self.judge_now(ask, trigger, &First::Nothing).await,
            }
        };
        self.desk.share(ask, trigger, Box::pin(judge)).await
    }

    /// An administrator or a script adds a user; an existing one is synchronised.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn add(&self, ask: Ask<'_>, trigger: Trigger) -> Result<Answer, SyncError> {
        self.desk
            .share(ask, trigger, Box::pin(self.judge_now(ask, trigger, &First::Nothing)))
            .await
    }

    /// Synchronises an existing row now, which may disable it.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn refresh(&self, ask: Ask<'_>) -> Result<Answer, SyncError> {
        if let Some(row) = self.find_row(ask.environment, ask.user).await?
            && let Some(application) = row.applicationid
        {
            return self.refresh_application(ask, &row, application).await;
        }
        self.judge_now(ask, Trigger::Refresh, &First::Nothing).await
    }

    /// Looks somebody up, judges and applies.
    pub(super) async fn judge_now(&self, ask: Ask<'_>, trigger: Trigger, first: &First) -> Result<Answer, SyncError> {
        let environment = self.environment(ask.environment)?;
        // Boxed: both are large, and everybody who awaits an answer would carry them.
        let fresh = Box::pin(self.look_for(environment, ask.user)).await?;
        self.judge_as(ask, trigger, first, &fresh).await
    }

    /// Judges and applies by what the directory has said.
    async fn judge_as(
        &self,
        ask: Ask<'_>,
        trigger: Trigger,
        first: &First,
        fresh: &Fresh,
    ) -> Result<Answer, SyncError> {
        let environment = self.environment(ask.environment)?;
        let facts = self.facts_to_remember(environment, trigger, fresh).await?;
        let mut view = self.present_view(environment).await?;
        view.doubt(fresh.unasked());
        let judged = self
            .retry(|| Box::pin(self.try_judge(&view, ask, trigger, fresh, first)))
            .await??;
        let answer = answer(trigger, judged, fresh, *first != First::Nothing)?;
        if let Some(facts) = facts {
            self.remember_admission(ask.environment, trigger, facts, &answer);
        }
        Ok(answer)
    }

    /// Asks the directory, and remembers for accesses that it was asked.
    async fn look_for(&self, environment: &Environment, user: &str) -> Result<Fresh, SyncError> {
        if !environment.has_database {
            return Ok(Fresh::Nobody);
        }
        let environment = &environment.name;
        let now = self.clock.now();
        let fresh = self.look_up(environment, user).await?;
        self.look_up_holders(environment, &fresh).await?;
        match (&fresh, Named::new(user)) {
            (Fresh::User(id, unasked), _) => self.desk.remember_look(environment, *id, now, *unasked),
            (Fresh::Nobody, Named::Name(name)) => self.desk.remember_unknown(environment, &name, now),
            // Whatever is not the whole answer is asked for again.
            _ => {}
        }
        Ok(fresh)
    }

    async fn try_judge(
        &self,
        view: &View<'_>,
        ask: Ask<'_>,
        trigger: Trigger,
        fresh: &Fresh,
        first: &First,
    ) -> StoreResult<Ruled<Judged>> {
        let mut tx = self.begin(None).await?;
        let name = &view.environment.name;
        let prepared = match (first, fresh) {
            (First::Nothing, _) => Ok(false),
            (_, Fresh::Unanswered(_, problem)) => Err(Refusal::saying(Code::DirectoryUnavailable, problem)),
            (First::Release(row), _) => self.end_hold(&mut tx, ask, *row).await?,
            (First::Bind(stub), Fresh::User(id, _)) => self.bind_stub(&mut tx, ask, *stub, *id).await?,
            (First::Bind(_), Fresh::Reserved) => Err(Refusal::new(Code::ReservedUser)),
            (First::Bind(_), _) => Err(Refusal::new(Code::UserNotFound)),
        };
        let is_prepared = match prepared {
            Ok(is_prepared) => is_prepared,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut loaded = self.load_one(&mut tx, view, fresh).await?;
        let (verdict, changed) = self.decide_one(&mut tx, view, ask, trigger, &mut loaded).await?;
        let target = loaded.target;
        if let (First::Bind(_), Some(code)) = (first, keeps_from_binding(&verdict)) {
            return Ok(Err(Refusal::new(code)));
        }
        let detail = match verdict.code {
            Some(Code::NonInteractiveCap) => self.cap_is_reached(&mut tx, view.environment).await?.detail,
            Some(code) => verdict.asker_code().unwrap_or(code).sentence().to_owned(),
            None => String::new(),
        };
        let mut words = target.with_subject(self, view, self.clock.now(), |subject| {
            words(view.environment, subject, &verdict)
        });
        let known_before = self.as_of(&mut tx, view.environment, fresh.unasked()).await?;
        as_of::note(&mut words, &verdict, &known_before);
        let shown = ShownVerdict::new(view.environment, ask.user, &verdict, &words);
        let row = match target.row.as_ref().map(|row| row.systemuserid) {
            Some(id) => rows::find_by_id(&mut tx, name, id).await?,
            None => rows::find_by_object_id(&mut tx, name, target.id).await?,
        };
        tx.commit().await?;
        let effect = match changed {
            Some(effect) => effect,
            None if is_prepared => Effect::Updated,
            None => Effect::Unchanged,
        };
        Ok(Ok(Judged {
            verdict,
            shown,
            detail,
            effect,
            row,
        }))
    }

    /// The case to judge, and those that have to move with it so that it can have its name.
    async fn load_one(&self, tx: &mut Transaction, view: &View<'_>, fresh: &Fresh) -> StoreResult<Loaded> {
        let (id, is_answered) = match fresh {
            Fresh::User(id, _) => (*id, true),
            Fresh::Unanswered(Some(id), _) => (*id, false),
            Fresh::Unanswered(None, _) => return Ok(Loaded::alone(Case::nobody(None))),
            Fresh::Nobody => return Ok(Loaded::alone(Case::nobody(Some(unknown(Uuid::nil()))))),
            Fresh::Reserved => return Ok(Loaded::alone(Case::nobody(Some(reserved())))),
            Fresh::Row(row) => {
                let mut case = Case::nobody(None);
                case.row = rows::lock_by_ids(tx, &view.environment.name, &[*row]).await?.pop();
                return Ok(Loaded::alone(case));
            }
        };
        let (mut cases, taken) = self.load_cases(tx, view, vec![id]).await?;
        let at = cases.iter().position(|case| case.id == id).unwrap_or(0);
        let mut target = cases.swap_remove(at);
        if !is_answered {
            target.user = None;
        } else if target.user.is_none() {
            target.user = Some(unknown(id));
        }
        target.asked = is_answered.then(|| fresh.unasked());
        Ok(Loaded {
            target,
            others: cases,
            taken,
        })
    }

    /// Judges, plans and writes. Answers what changed.
    async fn decide_one(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        ask: Ask<'_>,
        trigger: Trigger,
        loaded: &mut Loaded,
    ) -> StoreResult<(Verdict, Option<Effect>)> {
        let environment = view.environment;
        self.count_scarce(tx, environment, view, &mut loaded.target).await?;
        loaded.settle_names();
        let target = &loaded.target;
        let verdict = target.judge(self, view, trigger, self.clock.now());
        let is_held = self.is_held(tx, environment, target).await?;
        let handling = if is_held { Removals::Collect } else { Removals::Apply };
        let plan = target.plan(environment, &verdict, handling, self.writer(ask.actor));
        let given = target.plan_roles(environment, &plan).changes;
        let mut writes = self.moves(view, &loaded.others);
        let mut effect = plan
            .change
            .as_ref()
            .filter(|change| !change.fields.is_empty())
            .map(|change| Effect::of(change.operation));
        if !given.is_empty() {
            effect.get_or_insert(Effect::Updated);
        }
        let is_open = is_held || effect.is_some() || plan.change.is_some();
        writes.extend(plan.change.map(|change| (target.row.clone(), change)));
        self.write_decided(tx, environment, ask.actor, writes, &given).await?;
        // The cycle looks at them, too: it keeps the findings and whatever else only it does.
        let mut again: Vec<Uuid> = loaded.others.iter().map(|case| case.id).collect();
        again.extend(is_open.then_some(target.id));
        pending::mark(tx, std::slice::from_ref(&environment.name), &again).await?;
        let verdict = if is_held { verdict.while_held() } else { verdict };
        Ok((verdict, effect))
    }

    /// Locks and counts what the environment has few of, where this user takes or leaves some of it.
    async fn count_scarce(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        view: &View<'_>,
        target: &mut Case,
    ) -> StoreResult<()> {
        if target.wants_slot() || target.is_enabled_administrator() {
            let slots = quota::lock(&mut *tx, &environment.name, environment.non_interactive_cap).await?;
            let administrators = self
                .count_administrators(tx, view, std::slice::from_ref(target))
                .await?;
            target.slot_is_free = slots > 0;
            target.is_last_administrator = administrators == 1 && target.is_enabled_administrator();
        }
        Ok(())
    }

    /// Whoever gives a name up moves with the one who takes it; everything else about them waits for the cycle.
    pub(in crate::sync) fn moves(&self, view: &View<'_>, others: &[Case]) -> Vec<Write> {
        let planned = others.iter().filter_map(|case| {
            let verdict = case.judge(self, view, Trigger::Background, self.clock.now());
            let plan = case.plan(view.environment, &verdict, Removals::Collect, self.writer(SYNC_ACTOR));
            Some((case.row.clone(), plan.change?))
        });
        planned
            .filter(|(before, change)| {
                before.as_ref().and_then(held_name) != change.after.upn_key_after(before.as_ref())
            })
            .collect()
    }

    pub(in crate::sync) fn writer<'a>(&self, actor: &'a str) -> Writer<'a> {
        Writer {
            actor,
            now: self.clock.now(),
            new_id: Uuid::now_v7(),
        }
    }

    /// Writes what was decided: rows under the name of whoever asked, roles under the sync's.
    pub(in crate::sync) async fn write_decided(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        actor: &str,
        writes: Vec<Write>,
        changes: &[RoleChange],
    ) -> StoreResult<()> {
        let author = Author {
            actor,
            run_id: None,
            by_rule: true,
            at: self.clock.now(),
        };
        write_changes(tx, &environment.name, writes, author).await?;
        let by_sync = Author {
            actor: SYNC_ACTOR,
            ..author
        };
        roles::apply(tx, &environment.name, changes, by_sync).await
    }

    /// Whether the row's removal waits for a person, or a person has refused it.
    async fn is_held(&self, tx: &mut Transaction, environment: &Environment, target: &Case) -> StoreResult<bool> {
        let Some(row) = target.row.as_ref().filter(|row| !row.isdisabled) else {
            return Ok(false);
        };
        let states = removals::states(tx, &environment.name, &[row.systemuserid]).await?;
        Ok(states.iter().any(|(_, state)| state != "collected"))
    }
}

/// Why a stub is not bound to a user although it could be: somebody else has the name (rules.md, gate 7, which looks
/// at users without a row, as this one was), the name is the system's, or the directory's answer is incomplete.
fn keeps_from_binding(verdict: &Verdict) -> Option<Code> {
    let failed = |code: Code| verdict.checks.iter().any(|check| check.code == Some(code));
    if verdict.follow {
        failed(Code::UpnConflict).then_some(Code::UpnConflict)
    } else {
        verdict.asker_code()
    }
}

/// Somebody of a name that belongs to the system.
pub(in crate::sync) fn reserved() -> DirectoryUser {
    DirectoryUser {
        user_principal_name: Some(SYNC_ACTOR.to_owned()),
        ..unknown(Uuid::nil())
    }
}

/// Somebody whom the directory does not know.
pub(in crate::sync) fn unknown(id: Uuid) -> DirectoryUser {
    DirectoryUser {
        id,
        state: DirectoryState::Gone,
        ..DirectoryUser::default()
    }
}

/// What the asker is told. What was done to the row before (a hold that ended, a stub that was bound) stands, whatever
/// the verdict says of access.
pub(super) fn answer(trigger: Trigger, judged: Judged, fresh: &Fresh, is_done: bool) -> Ruled<Answer> {
    let Judged {
        verdict,
        shown,
        detail,
        effect,
        row,
    } = judged;
    let is_refused = match (verdict.outcome, verdict.asker_code()) {
        (Outcome::Disable, _) => trigger != Trigger::Refresh,
        (Outcome::Refuse | Outcome::Skip, Some(code)) => !reports_only(trigger, code),
        _ => false,
    };
    let code = verdict.asker_code().filter(|_| is_refused && !is_done);
    let Some(code) = code else {
        return Ok(Answer {
            outcome: effect,
            user: row,
            verdict: Some(shown),
        });
    };
    let detail = match fresh {
        Fresh::Unanswered(_, problem) if code == Code::DirectoryUnavailable => problem.clone(),
        _ => detail,
    };
    Err(Refusal {
        code,
        detail,
        verdict: Some(Box::new(shown)),
    })
}
