//! Verification: the sources are listed again and compared with the mirror (rules.md, section 2, "Verification").
//!
//! A feed may omit a change, and the listing of a round may lag. Each feed is listed as in a round, but a listing changes
//! nothing: whoever differs, or is omitted, is put on the list of differences. Then the changes are followed past the end
//! of the listing, and what they tell is no difference any more. Look-ups settle the rest, and whatever they change is
//! drift. Absence has the meaning that it has after a round: it is no evidence.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::climb::ParentGroups;
use super::follow::{Followed, Follower, MAX_RESTARTS};
use super::{LookUpResult, Problem, PullError, Puller, survive};
use crate::domain::directory_user::DirectoryUser;
use crate::domain::drift::{Drift, RunVerification};
use crate::domain::feed::checkpoint::{Input, PageStats, Stage, Todo, VerificationStep};
use crate::domain::feed::{Asked, Link, Moment, Next};
use crate::domain::source::Source;
use crate::graph::{GraphError, describe};
use crate::store::differences::{self, Difference};
use crate::store::lease::Lease;
use crate::store::population::Population;
use crate::store::{StoreResult, checkpoints, groups, mirror, recheck};
use crate::sync::Failure;

/// The number of objects that are looked up together.
const TOGETHER: i64 = 200;

/// The number of absent users, or members, who are looked up after a listing that is too short.
const MOST_IN_DOUBT: i64 = 1000;

/// The result of verifying.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// What was found.
    pub result: RunVerification,
    /// Why a source is not verified, or only in part. No evaluation waits for it.
    pub problems: Vec<Problem>,
}

/// The records and memberships of some objects.
struct Snapshot {
    users: HashMap<Uuid, DirectoryUser>,
    members: HashSet<(Uuid, Uuid)>,
}

impl Puller {
    /// Verifies some feeds, each of which has been read to its end.
    pub(super) async fn verify(
        &self,
        lease: &Lease,
        feeds: &[Source],
        population: Option<&Population>,
    ) -> Result<Verified, Failure> {
        self.base.progress.verify(self.base.clock.now());
        tracing::info!(sources = feeds.len(), "verifying the mirror");
        let uses = self.group_uses().await?;
        let mut verified = Verified::default();
        for source in feeds {
            let noted = match source {
                Source::Users => self.verify_users(lease, population).await,
                Source::Group(group) => self.verify_group(lease, *group, &uses).await,
                Source::Roles | Source::Skus => continue,
            };
            match survive(*source, noted)? {
                Ok(None) => {}
                Ok(Some(detail)) => verified.problems.push(Problem::new(*source, detail)),
                Err(problem) => verified.problems.push(Problem {
                    detail: format!(
                        "it could not be verified, which the next run tries again: {}",
                        problem.detail
                    ),
                    ..problem
                }),
            }
        }
        if let Some(problem) = self.confirm(lease, population, &mut verified.result.drift).await? {
            verified.problems.push(problem);
        }
        verified.result.complete = self.end_verifications(lease, feeds).await?;
        tracing::info!(
            complete = verified.result.complete,
            users = verified.result.drift.users,
            members = verified.result.drift.members,
            "the mirror is verified"
        );
        Ok(verified)
    }

    /// Looks up everything on the list of differences, and adds what the look-ups change. Returns why the directory could
    /// not be asked about everything.
    async fn confirm(
        &self,
        lease: &Lease,
        population: Option<&Population>,
        drift: &mut Drift,
    ) -> Result<Option<Problem>, Failure> {
        self.drop_told(lease).await?;
        let followed = {
            let mut db = self.base.store.read().await?;
            groups::followed(&mut db).await?
        };
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let part = {
                let mut db = self.base.store.read().await?;
                differences::next(&mut db, after, TOGETHER).await?
            };
            let Some(last) = part.last() else {
                return Ok(None);
            };
            after = Some(last.id);
            let ids: Vec<Uuid> = part.iter().map(|object| object.id).collect();
            let before = self.snapshot(&ids, &followed).await?;
            let at = self.base.store.next_moment().await?;
            let (answered, outage) = self.look_up_differences(&part).await?;
            let mut tx = self.base.begin(lease).await?;
            if population.is_some() {
                mirror::note_gone(&mut tx, &answered, at).await?;
            }
            differences::settle(&mut tx, &answered).await?;
            tx.commit().await?;
            let now = self.snapshot(&ids, &followed).await?;
            for id in &answered {
                // In group scope nobody expected a user who joined a group unnoticed.
                if population.is_none() || before.users.contains_key(id) {
                    drift.add_user(before.users.get(id), now.users.get(id));
                }
            }
            let moved = before.members.symmetric_difference(&now.members);
            drift.members += moved.filter(|(_, id)| answered.contains(id)).count() as u64;
            self.base.progress.add(part.len());
            if let Some(outage) = outage {
                return Ok(Some(Problem::new(Source::Users, outage)));
            }
        }
    }

    /// Drops what the changes have told since the listings. What they have told just before waits: a listing and a look-up
    /// may lag behind them.
    async fn drop_told(&self, lease: &Lease) -> Result<(), Failure> {
        let now = self.base.clock.now();
        let mut tx = self.base.begin(lease).await?;
        differences::remove_told(&mut tx).await?;
        let waiting = differences::take_just_told(&mut tx, now - recheck::LAG).await?;
        recheck::add_later(&mut tx, &waiting, now + recheck::LAG).await?;
        Ok(tx.commit().await?)
    }

    async fn snapshot(&self, ids: &[Uuid], followed: &[Uuid]) -> Result<Snapshot, Failure> {
        let mut db = self.base.store.read().await?;
        Ok(Snapshot {
            users: mirror::read_users(&mut db, ids).await?,
            members: groups::memberships_of(&mut db, ids, followed).await?,
        })
    }

    /// Asks the directory about users and groups. Returns those with an answer, and why it could not be asked about more.
    async fn look_up_differences(&self, part: &[Difference]) -> Result<(Vec<Uuid>, Option<String>), Failure> {
        let (groups, users): (Vec<&Difference>, Vec<&Difference>) = part.iter().partition(|object| object.is_group);
        let users: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let groups: Vec<Uuid> = groups.iter().map(|group| group.id).collect();
        let results = self.look_up_ids(&self.directory(), &users).await?;
        let is_answered = |result: &LookUpResult| matches!(result, LookUpResult::User(..) | LookUpResult::Nobody);
        let mut answered: Vec<Uuid> = users
            .iter()
            .zip(&results.fresh)
            .filter(|(_, result)| is_answered(result))
            .map(|(id, _)| *id)
            .collect();
        let parents = ParentGroups::of(&self.directory(), &groups).await?;
        self.take_in_group(None, None, &parents).await?;
        answered.extend(groups.into_iter().filter(|group| parents.has(*group)));
        Ok((answered, results.outage))
    }

    /// Ends the verifications of feeds about which nothing is left on the list. Returns whether all have ended.
    async fn end_verifications(&self, lease: &Lease, feeds: &[Source]) -> Result<bool, Failure> {
        let now = self.base.clock.now();
        let mut tx = self.base.begin(lease).await?;
        let open: HashSet<Source> = differences::sources(&mut tx).await?.into_iter().collect();
        let mut ended = Vec::new();
        for checkpoint in checkpoints::read_all(&mut tx, feeds).await? {
            let is_confirmed = checkpoint.verification.stage == Some(Stage::Confirming);
            if is_confirmed && !open.contains(&checkpoint.source) {
                let (checkpoint, _) = checkpoint.step(Input::Verification(VerificationStep::End(now)));
                ended.push(checkpoint);
            } else if checkpoint.verification.stage.is_none() {
                ended.push(checkpoint);
            }
        }
        checkpoints::write(&mut tx, &ended).await?;
        tx.commit().await?;
        Ok(ended.len() == feeds.len())
    }
}

impl<S: Followed> Follower<'_, S> {
    /// Lists the source again, follows its changes past the end of the listing, and notes all differences. Continues
    /// where an earlier run was interrupted. Returns why the source is verified only in part.
    pub(super) async fn note_differences(&mut self) -> Result<Option<String>, PullError> {
        if self.checkpoint.verification.stage.is_none() {
            let began = self.puller.base.store.next_moment().await?;
            self.verification_step(VerificationStep::Begin(began), true).await?;
        }
        let mut restarts = 0;
        while let Some(Stage::Listing { began, next, .. }) = self.checkpoint.verification.stage.clone() {
            match self.compare_listing(began, next).await {
                Ok(()) => {}
                Err(PullError::Graph(GraphError::LinkExpired { .. })) if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    self.verification_step(VerificationStep::ListAgain, false).await?;
                }
                Err(PullError::Graph(error)) if error.is_refusal() => {
                    return self.give_up(&describe(&error)).await;
                }
                Err(error) => return Err(error),
            }
        }
        let Some(Stage::Listed { began, seen }) = self.checkpoint.verification.stage.clone() else {
            return Ok(None);
        };
        let todo = self.follow().await?;
        if todo != Todo::Rest || self.checkpoint.verification.stage.is_none() {
            // The link of the changes has died: a round began, which lists everything.
            return Ok(None);
        }
        if let Some(doubt) = seen.doubt(true).filter(|_| self.source.source() == Source::Users) {
            return self.give_up(&doubt.to_string()).await;
        }
        let listed = seen.present + seen.unreadable;
        let short = if self.source.gathers() {
            None
        } else {
            let count = self.count().await?;
            self.checkpoint.expected_beyond(listed, count)
        };
        let limit = short.map_or(i64::MAX, |_| MOST_IN_DOUBT);
        self.source.note_absent(began, limit).await?;
        self.verification_step(VerificationStep::DifferencesNoted, false)
            .await?;
        Ok(short.map(|expected| {
            format!(
                "the verification listed {listed} entries, where it should have listed {expected}: at most \
                 {MOST_IN_DOUBT} of the others are looked up"
            )
        }))
    }

    /// Ends a verification whose listing is no evidence.
    async fn give_up(&mut self, why: &str) -> Result<Option<String>, PullError> {
        let now = self.puller.base.clock.now();
        self.verification_step(VerificationStep::End(now), true).await?;
        Ok(Some(format!("it could not be verified: {why}")))
    }

    /// Steps the verification and writes it. `forgets`: the differences noted so far are dropped.
    async fn verification_step(&mut self, step: VerificationStep, forgets: bool) -> Result<(), Failure> {
        let (checkpoint, _) = self.checkpoint.clone().step(Input::Verification(step));
        let mut tx = self.puller.base.begin(self.lease).await?;
        if forgets {
            differences::forget(&mut tx, self.source.source()).await?;
        }
        checkpoints::write(&mut tx, std::slice::from_ref(&checkpoint)).await?;
        tx.commit().await?;
        self.checkpoint = checkpoint;
        self.is_unwritten = false;
        Ok(())
    }

    /// Reads the listing from a page, or the population, and compares it.
    async fn compare_listing(&mut self, began: Moment, next: Option<Link>) -> Result<(), PullError> {
        if self.source.gathers() {
            let seen = self.source.gather_again(began).await?;
            let compared = VerificationStep::Compared(seen, None);
            return Ok(self.verification_step(compared, false).await?);
        }
        let Some(mut feed) = self.source.read(Todo::List(next), None).await? else {
            return Ok(());
        };
        loop {
            self.puller.base.check_cancelled()?;
            let pages = feed.next().await?;
            self.puller.base.progress.add(pages.items.len());
            let following = match &pages.next {
                Next::Page(link) => Some(link.clone()),
                Next::Delta(_) | Next::End => None,
            };
            let has_ended = following.is_none();
            let compare = async || {
                let mut tx = self.puller.base.begin(self.lease).await?;
                let seen = PageStats {
                    unreadable: pages.unreadable.len() as u64,
                    ..self.source.compare(&mut tx, &pages).await?
                };
                let compared = VerificationStep::Compared(seen, following.clone());
                let (checkpoint, _) = self.checkpoint.clone().step(Input::Verification(compared));
                checkpoints::write(&mut tx, std::slice::from_ref(&checkpoint)).await?;
                tx.commit().await?;
                StoreResult::Ok(checkpoint)
            };
            self.checkpoint = self.puller.base.retry(compare).await?;
            self.is_unwritten = false;
            if has_ended {
                return Ok(());
            }
        }
    }
}

/// Users as objects on the list of differences.
pub(super) fn users(users: impl IntoIterator<Item = Asked<Uuid>>) -> Vec<Asked<Difference>> {
    let of = |user: Asked<Uuid>| user.map(|id| Difference { id, is_group: false });
    users.into_iter().map(of).collect()
}
