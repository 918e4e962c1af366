//! How far a source of the directory has been read: one state for all feeds, and the one function that advances it.
//!
//! [`Checkpoint::step`] takes an input and returns what to do next. It fetches nothing and stores nothing: `sync::pull`
//! carries out what it returns, and `store::checkpoints` stores the state with the rows of the page that led to it.
//!
//! A round begins with a walk through the delta feed (users), or with a plain listing before which the link of the
//! changes is taken (groups). Absence is significant only after a round has ended, and only then is a source swept.
//! After a round its changes are followed indefinitely.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Link, Moment, Next, Patch, UserChange};
use crate::domain::doubt::Doubt;
use crate::domain::source::Source;

/// From this many users on, a property missing from all of them is not a coincidence.
const ALL_MISSING_COUNTS_FROM: u64 = 20;

/// Where a feed stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A round must begin.
    #[default]
    Begin,
    /// A walk through the delta feed from its beginning is in progress.
    Walk {
        /// The page to continue with.
        next: Link,
    },
    /// A plain listing is in progress.
    Listing {
        /// The page to continue with; none before the first.
        next: Option<Link>,
        /// The link of the changes since the listing began.
        changes: Link,
    },
    /// A round has ended, and its changes are followed.
    Following {
        /// The link of the changes that are not followed yet.
        link: Link,
        /// The page of changes to continue with.
        next: Option<Link>,
        /// Users whom the round did not list must still be looked up.
        unswept: bool,
    },
}

/// An input of the state machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A run begins, with this selection of properties, if there is one.
    Run(Option<&'static str>),
    /// The link of the changes was received, at this time.
    Latest(Link, DateTime<Utc>),
    /// Pages are being stored.
    Pages(PageStats, PageEnd),
    /// After a round, the users whom it did not list were looked up.
    Swept {
        /// The number of users it listed.
        listed: u64,
        /// The number of users before the round.
        had: u64,
        /// Everything could be read.
        is_whole: bool,
    },
    /// A stored link has expired.
    DeadLink,
    /// The answer is unusable. `is_first`: the first answer of the run, so that the page before it cannot be the cause.
    BadAnswer {
        /// See above.
        is_first: bool,
    },
    /// The object of the feed does not exist. Its content counts as known if it is only nested in another group.
    Gone {
        /// See above.
        is_nested: bool,
        /// The time.
        now: DateTime<Utc>,
    },
    /// The object may not be read.
    Forbidden,
    /// A new round is requested.
    Renew,
    /// A new round is requested, unless one is in progress.
    RenewUnlessUnderWay,
    /// Every environment has seen the doubt: what led to it is read again, since a feed of changes would never correct
    /// what was wrong.
    DoubtTold,
}

/// The end of pages that are being stored.
#[derive(Clone, Debug)]
pub struct PageEnd {
    /// When the first of them was requested.
    pub asked: Moment,
    /// Where the feed continues.
    pub next: Next,
    /// The selection with which a round begins.
    pub selection: Option<&'static str>,
    /// The current time.
    pub now: DateTime<Utc>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Take the link of the changes.
    Latest,
    /// Read the round, from a page or from its beginning.
    Round(Option<Link>),
    /// Read the changes.
    Changes(Link),
    /// Continue with what is being read.
    GoOn,
    /// Look up the users whom the round did not list.
    Sweep,
    /// Nothing, until the next run.
    Rest,
}

/// Statistics of a round, or of the changes after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageStats {
    /// Entries that exist.
    #[serde(alias = "members")]
    pub present: u64,
    /// Users whose account state could be read.
    pub with_account: u64,
    /// Users whose plans could be read.
    pub with_plans: u64,
    /// Whether any user had a plan when the round began.
    pub had_plans: bool,
    /// Entries that could not be read.
    pub unreadable: u64,
    /// The number of users before the round, once its sweep has begun.
    pub had: Option<u64>,
    /// Changes since the last round could not be read: only another round would report them again.
    pub missed: bool,
}

impl PageStats {
    /// Adds an entry of the users' feed.
    pub fn add(&mut self, change: &UserChange, is_round: bool) {
        if let UserChange::Present(patch) = change {
            self.present += 1;
            self.with_account += u64::from(is_readable(&patch.account_enabled, is_round));
            self.with_plans += u64::from(is_readable(&patch.usable_plans, is_round));
        }
    }

    /// The doubt under which users with these statistics are not evidence.
    fn doubt(self, is_round: bool) -> Option<Doubt> {
        // The plans of all users vanished at once: that indicates a withdrawn permission, not a change of licences.
        let enough = if is_round {
            self.had_plans
        } else {
            self.present >= ALL_MISSING_COUNTS_FROM
        };
        if self.present > 0 && self.with_account == 0 {
            Some(Doubt::NoAccountStates {})
        } else if enough && self.present > 0 && self.with_plans == 0 {
            Some(Doubt::NoPlans {})
        } else {
            None
        }
    }
}

/// Whether a property that every user has was sent, or is known from before.
fn is_readable<T>(patch: &Patch<T>, is_round: bool) -> bool {
    match patch {
        // The user's own finding reports a single value that cannot be decoded.
        Patch::Value(_) | Patch::Undecodable => true,
        Patch::Null => false,
        Patch::Absent => !is_round,
    }
}

/// How far one source has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The source.
    pub source: Source,
    /// Its state, if it is a feed.
    pub state: State,
    /// Statistics of the current round, or of the changes after the last one.
    pub seen: PageStats,
    /// The current or last round: the moment at which its first page was requested.
    pub round: Moment,
    /// When the link of the changes was received.
    pub delta_since: Option<DateTime<Utc>>,
    /// The selection with which the round began.
    pub selection: String,
    /// False while the source's object does not exist or may not be read.
    pub readable: bool,
    /// Why recent removals by the source are not evidence by themselves, until every environment has seen it.
    pub doubt: Option<Doubt>,
    /// The last doubt, after every environment has seen it, until the source gives an answer beyond doubt.
    pub suspicion: Option<Doubt>,
    /// The last value of a source without a feed.
    pub value: Option<Value>,
    /// When everything had last been read.
    pub reached_at: Option<DateTime<Utc>>,
}

impl Checkpoint {
    /// A source that was never read.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            state: State::Begin,
            seen: PageStats::default(),
            round: Moment::default(),
            delta_since: None,
            selection: String::new(),
            readable: true,
            doubt: None,
            suspicion: None,
            value: None,
            reached_at: None,
        }
    }

    /// Clears the doubts: the source gave an answer beyond doubt.
    pub fn trust(&mut self) {
        self.doubt = None;
        self.suspicion = None;
    }

    /// Whether the next entries belong to a round: a property that they omit is not set.
    #[must_use]
    pub fn is_round(&self) -> bool {
        !matches!(self.state, State::Following { .. })
    }

    /// Whether the rounds of a source begin with a plain listing.
    #[must_use]
    pub const fn lists(source: Source) -> bool {
        matches!(source, Source::Group(_))
    }

    /// The next state and the next step after an input.
    #[must_use]
    pub fn step(mut self, input: Input) -> (Self, Todo) {
        let mut todo = None;
        match input {
            Input::Run(selection) => {
                if !self.is_round() && selection.is_some_and(|selection| self.selection != selection) {
                    self.state = State::Begin;
                }
            }
            Input::Latest(changes, now) => {
                self.delta_since = Some(now);
                self.state = State::Listing { next: None, changes };
            }
            Input::Pages(seen, ending) => todo = Some(self.take(seen, ending)),
            Input::Swept { listed, had, is_whole } => self.note_swept(listed, had, is_whole),
            Input::DeadLink => match &mut self.state {
                // The link with which a listing began may have expired like its page.
                State::Following { next, .. } if next.is_some() && !Self::lists(self.source) => *next = None,
                state => *state = State::Begin,
            },
            // The next run tries the same page of a walk once more.
            Input::BadAnswer { is_first } if is_first || Self::lists(self.source) => match &mut self.state {
                State::Begin => {}
                State::Walk { .. } => self.state = State::Begin,
                State::Listing { next, .. } | State::Following { next, .. } => *next = None,
            },
            Input::BadAnswer { .. } => {}
            Input::Gone { is_nested, now } => {
                self.readable = is_nested;
                if is_nested {
                    self.reached_at.get_or_insert(now);
                }
                self.state = State::Begin;
            }
            Input::Forbidden => self.readable = false,
            Input::Renew => self.state = State::Begin,
            Input::RenewUnlessUnderWay => {
                if matches!(self.state, State::Following { unswept: false, .. }) {
                    self.state = State::Begin;
                }
            }
            Input::DoubtTold => {
                self.suspicion = self.doubt.take();
                self.state = State::Begin;
            }
        }
        let todo = todo.unwrap_or_else(|| self.todo());
        (self, todo)
    }

    /// What to do when nothing is being read.
    fn todo(&self) -> Todo {
        match &self.state {
            State::Begin if Self::lists(self.source) => Todo::Latest,
            State::Begin => Todo::Round(None),
            State::Walk { next } => Todo::Round(Some(next.clone())),
            State::Listing { next, .. } => Todo::Round(next.clone()),
            State::Following { link, next, .. } => Todo::Changes(next.as_ref().unwrap_or(link).clone()),
        }
    }

    /// Applies the statistics of pages and the way they ended.
    fn take(&mut self, seen: PageStats, ending: PageEnd) -> Todo {
        let is_round = self.is_round();
        match &self.state {
            State::Begin | State::Listing { next: None, .. } => {
                self.round = ending.asked;
                ending.selection.unwrap_or_default().clone_into(&mut self.selection);
                self.seen = PageStats {
                    // An interrupted round has overwritten part of what it is compared with.
                    had_plans: self.seen.had_plans,
                    ..PageStats::default()
                };
            }
            State::Following {
                next: None, unswept, ..
            } => {
                self.seen = PageStats {
                    missed: self.seen.missed,
                    // What the round could not read counts until the source is swept.
                    unreadable: if *unswept { self.seen.unreadable } else { 0 },
                    had: self.seen.had.filter(|_| *unswept),
                    ..PageStats::default()
                };
            }
            _ => {}
        }
        self.seen.present += seen.present;
        self.seen.with_account += seen.with_account;
        self.seen.with_plans += seen.with_plans;
        self.seen.had_plans |= seen.had_plans;
        self.seen.unreadable += seen.unreadable;
        self.seen.missed |= !is_round && seen.unreadable > 0;
        self.readable = true;
        let (state, todo) = match (std::mem::take(&mut self.state), ending.next) {
            (State::Begin | State::Walk { .. }, Next::Page(next)) => (State::Walk { next }, Todo::GoOn),
            (State::Listing { changes, .. }, Next::Page(next)) => {
                let next = Some(next);
                (State::Listing { next, changes }, Todo::GoOn)
            }
            (State::Listing { changes, .. }, Next::End | Next::Delta(_)) => {
                let (link, next) = (changes, None);
                let unswept = true;
                (State::Following { link, next, unswept }, Todo::Sweep)
            }
            (State::Following { link, unswept, .. }, Next::Page(next)) => {
                let next = Some(next);
                (State::Following { link, next, unswept }, Todo::GoOn)
            }
            (before, Next::Delta(link)) => self.reach(&before, link, ending.now),
            // No page of changes ends this way.
            (before, Next::End) => (before, Todo::GoOn),
        };
        self.state = state;
        todo
    }

    /// Everything has been read.
    fn reach(&mut self, before: &State, link: Link, now: DateTime<Utc>) -> (State, Todo) {
        let is_round = !matches!(before, State::Following { .. });
        self.delta_since = Some(now);
        self.reached_at = Some(now);
        if Self::lists(self.source) {
            if std::mem::take(&mut self.seen.missed) {
                return (State::Begin, Todo::Rest);
            }
        } else if let Some(doubt) = self.seen.doubt(is_round) {
            self.doubt = Some(doubt);
        } else if is_round && self.seen.with_account > 0 && self.seen.with_plans > 0 && self.seen.unreadable == 0 {
            self.trust();
        }
        self.seen.had_plans = false;
        let unswept = is_round || matches!(before, State::Following { unswept: true, .. });
        let todo = if unswept { Todo::Sweep } else { Todo::Rest };
        let next = None;
        (State::Following { link, next, unswept }, todo)
    }

    fn note_swept(&mut self, listed: u64, had: u64, is_whole: bool) {
        if let State::Following { unswept, .. } = &mut self.state {
            *unswept = false;
        }
        match self.source {
            _ if !is_whole => {}
            Source::Group(_) if listed > 0 => self.trust(),
            // A group that is read for the first time has lost no members.
            Source::Group(group) if had > 0 && self.reached_at.is_some() => {
                self.doubt = Some(Doubt::GroupEmpty { group, had });
            }
            Source::Users if listed == 0 && had > 0 => self.doubt = Some(Doubt::NobodyListed { had }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
