//! Many users judged at once on demand: the same verdict and plan as one at a time, read and written set-based.
//!
//! A batch is one transaction, with the results of an import job in it where there is one. Where the database refuses
//! a batch, it is halved until whoever is to blame stands alone: one bad user never blocks the others.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::batch::Scarce;
use super::case::{Case, View, blocked_names};
use super::import::ledger::Ledger;
use super::on_demand::Fresh;
use super::on_demand::judge::{reserved, unknown};
use super::on_demand::{Effect, Refusal, Unasked};
use super::write::{Care, Write};
use super::{Engine, SyncError};
use crate::domain::reason::Code;
use crate::plan::{Operation, Removals, RoleChange};
use crate::rules::{Outcome, Trigger, Verdict};
use crate::store::{Fault, StoreError, StoreResult, Transaction, candidates, pending, quota, removals, rows};

/// What is asked about all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub trigger: Trigger,
    pub actor: &'a str,
    /// The default company of whoever gets a row.
    pub company: Option<&'a str>,
    /// The directory was not asked about these users: what the mirror says counts.
    pub from_mirror: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Target {
    /// Its place in what was asked.
    pub at: usize,
    pub fresh: Fresh,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Decided {
    pub at: usize,
    pub decision: Decision,
}

#[derive(Debug)]
pub(super) enum Decision {
    /// The user has this row, at which an import stops.
    Present(Uuid),
    Judged(Box<Judgement>),
    /// The database does not take the row.
    Unwritable(Refusal),
}

/// One user with the verdict.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub case: Case,
    pub verdict: Verdict,
    /// What became of the row; none where nothing did.
    pub effect: Option<Effect>,
    /// The row as it is now, if there is one.
    pub row: Option<Uuid>,
}

/// What will be written.
#[derive(Default)]
struct Draft {
    writes: Vec<Write>,
    roles: Vec<RoleChange>,
    /// Whom the cycle looks at, too.
    again: Vec<Uuid>,
}

impl Engine {
    /// Judges some users and writes what follows, with the results of a job.
    pub(super) async fn judge_many(
        &self,
        view: &View<'_>,
        wish: Wish<'_>,
        targets: &[Target],
        ledger: Option<&Ledger<'_>>,
    ) -> Result<Vec<Decided>, SyncError> {
        let mut decided = Vec::with_capacity(targets.len());
        let mut open = vec![targets];
        while let Some(part) = open.pop() {
            let tried = self
                .with_care(|care| self.try_many(view, wish, part, ledger, care))
                .await;
            let fault = tried.as_ref().err().and_then(StoreError::fault);
            match (fault, part) {
                (Some(fault), [one]) => decided.push(self.give_up(one, &fault, ledger).await?),
                (Some(_), [_, _, ..]) => {
                    let (first, rest) = part.split_at(part.len() / 2);
                    open.extend([rest, first]);
                }
                _ => decided.extend(tried?),
            }
        }
        Ok(decided)
    }

    async fn try_many(
        &self,
        view: &View<'_>,
        wish: Wish<'_>,
        targets: &[Target],
        ledger: Option<&Ledger<'_>>,
        care: Care,
    ) -> StoreResult<Vec<Decided>> {
        let mut tx = self.begin(None).await?;
        let decided = self.decide_many(&mut tx, view, wish, targets, care).await?;
        if let Some(ledger) = ledger {
            ledger.record(&mut tx, &decided).await?;
        }
        tx.commit().await?;
        Ok(decided)
    }

    /// Somebody whose row the database does not take, alone.
    async fn give_up(&self, target: &Target, fault: &Fault, ledger: Option<&Ledger<'_>>) -> Result<Decided, SyncError> {
        let decided = Decided {
            at: target.at,
            decision: Decision::Unwritable(fault.into()),
        };
        if let Some(ledger) = ledger {
            let mut tx = self.begin(None).await?;
            ledger.record(&mut tx, std::slice::from_ref(&decided)).await?;
            tx.commit().await?;
        }
        Ok(decided)
    }

    async fn decide_many(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        wish: Wish<'_>,
        targets: &[Target],
        care: Care,
    ) -> StoreResult<Vec<Decided>> {
        let name = &view.environment.name;
        let mut answered: BTreeMap<Uuid, Option<Unasked>> = BTreeMap::new();
        for target in targets {
            match &target.fresh {
                Fresh::User(id, unasked) => answered.entry(*id).or_insert(Some(*unasked)),
                Fresh::Unanswered(Some(id), _) => answered.entry(*id).or_insert(None),
                _ => continue,
            };
        }
        let ids: Vec<Uuid> = answered.keys().copied().collect();
        // An import stops at a row: it is not even locked.
        let present = match wish.trigger {
            Trigger::Import => candidates::with_row(tx, name, &ids).await?,
            _ => HashMap::new(),
        };
        answered.retain(|id, _| !present.contains_key(id));
        let (mut cases, taken) = self.load_cases(tx, view, answered.keys().copied().collect()).await?;
        for case in &mut cases {
            match answered.get(&case.id) {
                Some(None) => case.user = None,
                Some(Some(_)) if case.user.is_none() => case.user = Some(unknown(case.id)),
                _ => {}
            }
            case.asked = answered.get(&case.id).copied().flatten().filter(|_| !wish.from_mirror);
        }
        let now = self.clock.now();
        let blocked = blocked_names(&cases, &taken, |case| {
            case.judge(self, view, wish.trigger, now).outcome == Outcome::Create
        });
        for case in &mut cases {
            case.name_is_taken = blocked.contains(&case.id);
        }
        let (asked, others): (Vec<Case>, Vec<Case>) =
            cases.into_iter().partition(|case| answered.contains_key(&case.id));

        let mut draft = Draft {
            writes: self.moves(view, &others),
            again: others.iter().map(|case| case.id).collect(),
            ..Draft::default()
        };
        let mut judged = self.judge_asked(tx, view, wish, asked, &mut draft).await?;
        let written = self
            .write_decided(tx, view.environment, wish.actor, draft.writes, &draft.roles, care)
            .await?;
        let refused = |judgement: &Judgement| judgement.row.and_then(|row| written.refused.get(&row));
        draft.again.retain(|id| judged.get(id).and_then(refused).is_none());
        pending::mark(tx, std::slice::from_ref(name), &draft.again).await?;

        let mut lone = self.load_lone(tx, name, targets).await?;
        let mut decided = Vec::with_capacity(targets.len());
        for target in targets {
            let decision = match &target.fresh {
                Fresh::User(id, _) | Fresh::Unanswered(Some(id), _) => {
                    match (present.get(id), judged.get_mut(id)) {
                        (Some(row), _) => Decision::Present(*row),
                        (None, Some(judgement)) if refused(judgement).is_some() => Decision::Unwritable(
                            refused(judgement).map_or(Refusal::new(Code::RowNotWritten), Refusal::from),
                        ),
                        (None, Some(judgement)) => {
                            let decision = decision(wish.trigger, judgement.clone());
                            // Whoever is named twice is found as the first time has left it.
                            judgement.effect = None;
                            decision
                        }
                        (None, None) => return Err(StoreError::Conflict),
                    }
                }
                Fresh::Row(_) | Fresh::Reserved | Fresh::Nobody | Fresh::Unanswered(None, _) => {
                    let alone = lone.remove(&target.at).ok_or(StoreError::Conflict)?;
                    let verdict = alone.judge(self, view, wish.trigger, now);
                    let row = alone.row.as_ref().map(|row| row.systemuserid);
                    decision(
                        wish.trigger,
                        Judgement {
                            case: alone,
                            verdict,
                            effect: None,
                            row,
                        },
                    )
                }
            };
            decided.push(Decided {
                at: target.at,
                decision,
            });
        }
        Ok(decided)
    }

    /// Verdicts and plans, in the order of keys, with what is scarce counted down.
    async fn judge_asked(
        &self,
        tx: &mut Transaction,
        view: &View<'_>,
        wish: Wish<'_>,
        asked: Vec<Case>,
        draft: &mut Draft,
    ) -> StoreResult<HashMap<Uuid, Judgement>> {
        let environment = view.environment;
        let mut scarce = Scarce::default();
        if asked
            .iter()
            .any(|case| case.wants_slot() || case.is_enabled_administrator())
        {
            scarce.slots = quota::lock(&mut *tx, &environment.name, environment.non_interactive_cap).await?;
            scarce.administrators = self.count_administrators(tx, view, &asked).await?;
        }
        let held = self.held(tx, &environment.name, &asked).await?;
        let mut judged = HashMap::with_capacity(asked.len());
        for mut case in asked {
            case.slot_is_free = scarce.slots > 0;
            case.is_last_administrator = scarce.administrators == 1 && case.is_enabled_administrator();
            let verdict = case.judge(self, view, wish.trigger, self.clock.now());
            let before = case.row.as_ref().map(|row| row.systemuserid);
            let is_held = before.is_some_and(|row| held.contains(&row));
            let handling = if is_held { Removals::Collect } else { Removals::Apply };
            let mut plan = case.plan(environment, &verdict, handling, self.writer(wish.actor));
            let given = case.plan_roles(environment, &plan);
            if verdict.outcome == Outcome::Enable && case.wants_slot() {
                scarce.slots -= 1;
            }
            scarce.administrators -= i64::from(case.stops_being_administrator(&plan, &given));
            plan.change = plan.change.map(|change| change.with_company(wish.company));
            let changed = plan.change.as_ref().filter(|change| !change.fields.is_empty());
            let mut effect = changed.map(|change| Effect::of(change.operation));
            if !given.changes.is_empty() {
                effect.get_or_insert(Effect::Updated);
            }
            if is_held || effect.is_some() || plan.change.is_some() {
                draft.again.push(case.id);
            }
            let made = plan
                .change
                .as_ref()
                .filter(|change| change.operation == Operation::Create);
            let row = before.or(made.map(|change| change.after.systemuserid));
            let verdict = if is_held { verdict.while_held() } else { verdict };
            draft.roles.extend(given.changes);
            draft
                .writes
                .extend(plan.change.map(|change| (case.row.clone(), change)));
            judged.insert(
                case.id,
                Judgement {
                    case,
                    verdict,
                    effect,
                    row,
                },
            );
        }
        Ok(judged)
    }

    /// Rows whose removal waits for a person, or a person has refused it.
    async fn held(&self, tx: &mut Transaction, environment: &str, asked: &[Case]) -> StoreResult<HashSet<Uuid>> {
        let enabled = asked
            .iter()
            .filter_map(|case| case.row.as_ref())
            .filter(|row| !row.isdisabled);
        let ids: Vec<Uuid> = enabled.map(|row| row.systemuserid).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let states = removals::states(tx, environment, &ids).await?.into_iter();
        Ok(states
            .filter(|(_, state)| state != "collected")
            .map(|(id, _)| id)
            .collect())
    }

    /// Those without an object id: rows that no directory user belongs to, and nobody at all.
    async fn load_lone(
        &self,
        tx: &mut Transaction,
        environment: &str,
        targets: &[Target],
    ) -> StoreResult<HashMap<usize, Case>> {
        let ids: Vec<Uuid> = targets
            .iter()
            .filter_map(|target| match target.fresh {
                Fresh::Row(row) => Some(row),
                _ => None,
            })
            .collect();
        let mut found = HashMap::new();
        if !ids.is_empty() {
            for row in rows::lock_by_ids(tx, environment, &ids).await? {
                found.insert(row.systemuserid, row);
            }
        }
        let case = |target: &Target| match &target.fresh {
            Fresh::Row(row) => {
                let mut case = Case::nobody(None);
                case.row = found.get(row).cloned();
                Some(case)
            }
            Fresh::Nobody => Some(Case::nobody(Some(unknown(Uuid::nil())))),
            Fresh::Reserved => Some(Case::nobody(Some(reserved()))),
            Fresh::Unanswered(None, _) => Some(Case::nobody(None)),
            _ => None,
        };
        Ok(targets
            .iter()
            .filter_map(|target| Some((target.at, case(target)?)))
            .collect())
    }
}

/// An import stops at a row, also where it has just been made.
fn decision(trigger: Trigger, judgement: Judgement) -> Decision {
    match judgement.row {
        Some(row) if trigger == Trigger::Import && judgement.effect != Some(Effect::Created) => Decision::Present(row),
        _ => Decision::Judged(Box::new(judgement)),
    }
}
