//! Group scope: the mirror holds the population and nobody else.
//!
//! Whoever is in the population and lacks a record is fetched: the members of a group together, the others by look-ups.
//! Whoever left it is forgotten. Membership comes from the groups' own feeds: the fetched pages may lag and never add or
//! remove a member.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::facts::{self, Origin};
use super::feed::{Feed, Pages, Start};
use super::{LookUpResult, Problem, PullError, Puller, survive, verify};
use crate::domain::environment::{Environment, Kind};
use crate::domain::feed::checkpoint::PageStats;
use crate::domain::feed::{Asked, Kept, Moment, Next, UserChange};
use crate::domain::source::Source;
use crate::graph::GraphError;
use crate::store::lease::Lease;
use crate::store::population::{self, Population};
use crate::store::{StoreResult, answers, differences, mirror, pending, recheck};
use crate::sync::{Failure, Settings};

/// The number of users looked at, and looked up, together.
const TOGETHER: i64 = 200;

/// The number of ids that one transaction forgets.
const FORGOTTEN_TOGETHER: i64 = 2000;

/// The users in a page of a group's users, and those whom one request looks up.
const PAGE: i64 = 999;
const LOOKED_UP_AT_ONCE: i64 = 8;

/// The population of the configured environments, with the groups nested in each security group where they count.
pub(super) fn population_of(settings: &Settings, nested: &HashMap<Uuid, Vec<Uuid>>, now: DateTime<Utc>) -> Population {
    let roots = settings.security_groups(|_| true);
    let counting = settings.security_groups(Environment::counts_nested);
    let within = counting.iter().filter_map(|root| nested.get(root)).flatten();
    let groups: BTreeSet<Uuid> = roots.iter().chain(within).copied().collect();
    let environments = settings.environments.iter().map(|(environment, _)| environment);
    let developers = environments.filter(|environment| environment.kind == Kind::Developer);
    Population {
        groups: groups.into_iter().collect(),
        roots,
        creators: developers.filter_map(|environment| environment.creator).collect(),
        now,
    }
}

/// Whom a fetch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole population: a round, with its moment, or an evaluation of everyone.
    Whole(Moment),
    /// Whoever may have entered or left it.
    Moved,
}

/// What the users of groups are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A round that began at a moment, or an evaluation of everyone.
    Reading(Moment),
    /// A verification that began at a moment: the mirror is compared, and does not change.
    Verification(Moment),
}

impl Purpose {
    /// A record that was asked for before this moment does not count.
    fn since(self) -> Moment {
        match self {
            Self::Reading(since) | Self::Verification(since) => since,
        }
    }
}

impl Reach {
    /// A record that was asked for before this moment does not count.
    fn since(self) -> Moment {
        match self {
            Self::Whole(round) => round,
            Self::Moved => Moment::default(),
        }
    }
}

impl Puller {
    /// How far to look outside a round: everyone, if everyone is to be evaluated in some environment.
    pub(super) async fn reach(&self) -> Result<Reach, Failure> {
        let mut db = self.base.store.read().await?;
        let is_whole = population::everyone_is_due(&mut db, &self.base.settings.names()).await?;
        Ok(if is_whole {
            Reach::Whole(Moment::default())
        } else {
            Reach::Moved
        })
    }

    /// After the users' changes: fetches whoever has entered the population meanwhile, and forgets whoever has left it.
    pub(super) async fn settle_population(
        &self,
        lease: &Lease,
        population: &Population,
    ) -> Result<Option<Problem>, Failure> {
        let fetched = survive(Source::Users, self.fetch_lacking(lease, population, Reach::Moved).await)?;
        self.forget_others(lease, population, Reach::Moved).await?;
        let mut tx = self.base.begin(lease).await?;
        population::purge_deleted(&mut tx, population.now).await?;
        tx.commit().await?;
        Ok(fetched.err())
    }

    /// Fetches whoever is in the population and lacks a record. Returns statistics of what the groups' pages had.
    pub(super) async fn fetch_lacking(
        &self,
        lease: &Lease,
        population: &Population,
        reach: Reach,
    ) -> Result<PageStats, PullError> {
        let seen = match reach {
            Reach::Whole(since) => self.fetch_groups(lease, population, Purpose::Reading(since)).await?,
            Reach::Moved => PageStats::default(),
        };
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let (lacking, last) = self.next_lacking(population, reach, after).await?;
            if !lacking.is_empty() {
                self.fetch_one_by_one(lease, &lacking, reach).await?;
            }
            if last.is_none() {
                return Ok(seen);
            }
            after = last;
        }
    }

    /// The next users who lack a record, and where to continue.
    async fn next_lacking(
        &self,
        population: &Population,
        reach: Reach,
        after: Option<Uuid>,
    ) -> Result<(Vec<Uuid>, Option<Uuid>), Failure> {
        let mut db = self.base.store.read().await?;
        let (ids, lacking) = match reach {
            Reach::Whole(since) => {
                let ids = population.next(&mut db, Some(since), after, TOGETHER).await?;
                (ids.clone(), ids)
            }
            Reach::Moved => {
                let ids = population.moved(&mut db, after, TOGETHER).await?;
                let inside = population.among(&mut db, &ids).await?;
                let inside: Vec<Uuid> = inside.into_iter().collect();
                let lacking = population::lacking_among(&mut db, &inside, reach.since()).await?;
                (ids, lacking)
            }
        };
        let is_full = i64::try_from(ids.len()) == Ok(TOGETHER);
        Ok((lacking, ids.last().copied().filter(|_| is_full)))
    }

    /// Looks up users. Nobody is left without a record but those who get no answer, who are asked for again. Whoever
    /// enters outside a round is asked for again too: a replica may not know yet what the feed told before.
    async fn fetch_one_by_one(&self, lease: &Lease, ids: &[Uuid], reach: Reach) -> Result<(), PullError> {
        let at = self.base.store.next_moment().await?;
        let results = self.look_up_ids(&self.directory(), ids).await?;
        if let Some(problem) = results.outage {
            return Err(PullError::Unavailable(problem));
        }
        let is_answered = |result: &LookUpResult| matches!(result, LookUpResult::User(..) | LookUpResult::Nobody);
        let (answered, open): (Vec<_>, Vec<_>) = ids
            .iter()
            .zip(&results.fresh)
            .partition(|(_, result)| is_answered(result));
        let answered: Vec<Uuid> = answered.into_iter().map(|(id, _)| *id).collect();
        let asked = |value: Uuid| Asked { at, value };
        let open: Vec<_> = open.into_iter().map(|(id, _)| asked(*id)).collect();
        let mut tx = self.base.begin(lease).await?;
        mirror::note_gone(&mut tx, &answered, at).await?;
        recheck::add(&mut tx, &open).await?;
        if reach.since() == Moment::default() {
            let entered: Vec<_> = answered.iter().copied().map(asked).collect();
            recheck::add_twice(&mut tx, &entered).await?;
        }
        tx.commit().await?;
        self.base.progress.add(ids.len());
        Ok(())
    }

    /// After a verification's pages of the groups' users: notes whoever is in the population and was on none of them.
    pub(super) async fn note_lacking(
        &self,
        lease: &Lease,
        population: &Population,
        began: Moment,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let mut tx = self.base.begin(lease).await?;
            let ids = population.next(&mut tx, Some(began), after, FORGOTTEN_TOGETHER).await?;
            let lacking = ids.iter().map(|id| Asked { at: began, value: *id });
            differences::add(&mut tx, Source::Users, &verify::users(lacking)).await?;
            tx.commit().await?;
            if i64::try_from(ids.len()) != Ok(FORGOTTEN_TOGETHER) {
                return Ok(());
            }
            after = ids.last().copied();
        }
    }

    /// Fetches the users of groups with many members who lack a record. Where the directory refuses that, or a page link
    /// dies, look-ups fetch whoever is left.
    pub(super) async fn fetch_groups(
        &self,
        lease: &Lease,
        population: &Population,
        purpose: Purpose,
    ) -> Result<PageStats, PullError> {
        let mut seen = PageStats::default();
        let groups = {
            let mut db = self.base.store.read().await?;
            seen.had_plans = mirror::any_plans(&mut db).await?;
            population.lacking_by_group(&mut db, purpose.since()).await?
        };
        let mut from_index = false;
        for (group, members, lacking) in groups {
            if lacking / LOOKED_UP_AT_ONCE <= members / PAGE + 1 {
                continue;
            }
            loop {
                match self.fetch_group(lease, population, group, from_index, purpose).await {
                    Ok(of_group) => {
                        seen.present += of_group.present;
                        seen.with_account += of_group.with_account;
                        seen.with_plans += of_group.with_plans;
                    }
                    Err(PullError::Graph(error)) if error.is_refusal() && !from_index => {
                        from_index = true;
                        continue;
                    }
                    Err(PullError::Graph(error)) if error.is_refusal() => {
                        tracing::info!(%group, "the directory does not list a group's users; they are looked up one by one");
                        return Ok(seen);
                    }
                    Err(PullError::Graph(
                        error @ (GraphError::NotFound { .. }
                        | GraphError::Forbidden { .. }
                        | GraphError::LinkExpired { .. }),
                    )) => tracing::info!(%group, %error, "a group's users are looked up one by one"),
                    Err(error) => return Err(error),
                }
                break;
            }
        }
        Ok(seen)
    }

    async fn fetch_group(
        &self,
        lease: &Lease,
        population: &Population,
        group: Uuid,
        from_index: bool,
        purpose: Purpose,
    ) -> Result<PageStats, PullError> {
        let graph = self.directory();
        let endpoint = "groups/{id}/members/microsoft.graph.user";
        let mut feed = Feed::begin(endpoint, Start::At(None), move |at| {
            let graph = graph.clone();
            async move { graph.group_users(group, at.as_ref(), from_index).await }
        });
        let mut seen = PageStats::default();
        loop {
            self.base.check_cancelled()?;
            let pages = feed.next().await?;
            for item in &pages.items {
                seen.add(&item.value, true);
            }
            let store = async || self.store_group_users(lease, population, &pages, purpose).await;
            self.base.retry(store).await?;
            self.base.progress.add(pages.items.len());
            if !matches!(pages.next, Next::Page(_)) {
                return Ok(seen);
            }
        }
    }

    /// Stores those on pages of a group's users who are in the population.
    async fn store_group_users(
        &self,
        lease: &Lease,
        population: &Population,
        pages: &Pages<UserChange>,
        purpose: Purpose,
    ) -> StoreResult<()> {
        let mut tx = self.base.begin(lease).await?;
        let ids: Vec<Uuid> = pages.items.iter().map(|item| item.value.id()).collect();
        let inside = population.among(&mut tx, &ids).await?;
        let items: Vec<_> = pages
            .items
            .iter()
            .filter(|item| inside.contains(&item.value.id()))
            .cloned()
            .collect();
        if matches!(purpose, Purpose::Verification(_)) {
            let differing = facts::compare(&mut tx, &items).await?;
            differences::add(&mut tx, Source::Users, &verify::users(differing)).await?;
            return tx.commit().await;
        }
        let taken = facts::take_in(&mut tx, &items, Origin::Round).await?;
        recheck::add_twice(&mut tx, &taken.older).await?;
        if purpose.since() == Moment::default() {
            pending::mark(&mut tx, &self.base.settings.names(), &taken.changed).await?;
        }
        let stored: BTreeSet<Moment> = items.iter().map(|item| item.at).collect();
        answers::note(&mut tx, &stored, false, population.now).await?;
        tx.commit().await
    }

    /// Forgets whoever is in the mirror and not in the population.
    pub(super) async fn forget_others(
        &self,
        lease: &Lease,
        population: &Population,
        reach: Reach,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let ids = {
                let mut db = self.base.store.read().await?;
                match reach {
                    Reach::Whole(_) => mirror::next_ids(&mut db, after, FORGOTTEN_TOGETHER).await?,
                    Reach::Moved => population.moved(&mut db, after, FORGOTTEN_TOGETHER).await?,
                }
            };
            let mut tx = self.base.begin(lease).await?;
            population.forget_others(&mut tx, &ids).await?;
            tx.commit().await?;
            if i64::try_from(ids.len()) != Ok(FORGOTTEN_TOGETHER) {
                return Ok(());
            }
            after = ids.last().copied();
        }
    }

    /// The users whose entries of the feed matter: in a walk also those of the population who have no record yet.
    pub(super) async fn kept(&self, population: &Population, is_walk: bool) -> Result<Kept, Failure> {
        let mut db = self.base.store.read().await?;
        let mut ids = population::noted_ids(&mut db).await?;
        if is_walk {
            ids.extend(population.next(&mut db, None, None, i64::MAX).await?);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Kept::Only(Arc::from(ids)))
    }
}
