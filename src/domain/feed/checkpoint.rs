//! How far a source of the directory has been read: one state for all feeds, and the one function that advances it.
//!
//! [`Checkpoint::step`] takes an input and returns what to do next. It fetches nothing and stores nothing: `sync::pull`
//! carries out what it returns, and `store::checkpoints` stores the state with the rows of the page that led to it.
//!
//! A round begins with the link of the changes, which contains no data, and a plain listing; then the changes since are
//! followed from the link. Listing first would lose the changes in between. In group scope the population is fetched
//! in place of the listing of users. Where the directory refuses the link or the listing for users, the round is a walk
//! through the delta feed instead. Absence is significant only after a round has ended, and only
//! then is a source swept. After a round its changes are followed indefinitely.

mod stats;
mod verification;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Asked, Link, Moment, Next};
use crate::domain::doubt::Doubt;
use crate::domain::source::Source;

pub use stats::PageStats;
pub use verification::{Stage, Verification, VerificationStep, Verifications};

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
    /// The population is being fetched, in group scope.
    Gathering {
        /// The link of the changes since it began.
        changes: Link,
    },
    /// A round has ended, and its changes are followed.
    Following {
        /// The link of the changes that are not followed yet.
        link: Link,
        /// The page of changes to continue with.
        next: Option<Link>,
        /// Users whom the round did not list must still be settled.
        unswept: bool,
    },
}

/// An input of the state machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A run begins, with this selection of properties, if there is one.
    Run(Option<Cow<'static, str>>),
    /// The link of the changes was received, at this time.
    Latest(Link, DateTime<Utc>),
    /// The link of the changes was received; the population has to be fetched.
    Gather {
        /// The link, and when it was requested.
        changes: Asked<Link>,
        /// The selection with which the round begins.
        selection: Cow<'static, str>,
        /// The current time.
        now: DateTime<Utc>,
    },
    /// The population has been fetched, with these statistics.
    Gathered(PageStats),
    /// Pages are being stored.
    Pages(PageStats, PageEnd),
    /// The directory refuses the link of the changes or the listing.
    Refused,
    /// What a round listed was counted. Only if everything could be read.
    Counted {
        /// The number of entries it listed.
        listed: u64,
        /// The number before a round of users; of a group, the number that it did not list any more.
        had: u64,
        /// The number that the directory counts, if it does.
        count: Option<u64>,
    },
    /// After a round, whoever it did not list was settled.
    Swept,
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
    /// The listing in progress is short: it has to be read once more.
    ListAgain,
    /// A step of its verification.
    Verification(VerificationStep),
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
    pub selection: Option<Cow<'static, str>>,
    /// The current time.
    pub now: DateTime<Utc>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Take the link of the changes.
    Latest,
    /// Read the plain listing, from a page or from its beginning.
    List(Option<Link>),
    /// Fetch the population.
    Gather,
    /// Walk through the delta feed, from a page or from its beginning.
    Walk(Option<Link>),
    /// Read the changes.
    Changes(Link),
    /// Continue with what is being read.
    GoOn,
    /// Settle the users whom the round did not list.
    Sweep,
    /// Nothing, until the next run.
    Rest,
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
    /// Its verification, if it is a feed.
    pub verification: Verification,
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
            verification: Verification::default(),
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

    /// The next state and the next step after an input.
    #[must_use]
    pub fn step(mut self, input: Input) -> (Self, Todo) {
        let mut todo = None;
        match input {
            Input::Run(selection) => {
                if selection.is_some_and(|selection| self.selection != selection) {
                    self.state = State::Begin;
                }
            }
            Input::Latest(changes, now) => {
                self.delta_since = Some(now);
                self.state = State::Listing { next: None, changes };
            }
            Input::Gather {
                changes,
                selection,
                now,
            } => {
                self.delta_since = Some(now);
                self.begin_round(changes.at, selection.into_owned());
                let changes = changes.value;
                self.state = State::Gathering { changes };
            }
            Input::Gathered(seen) => {
                self.seen.add_pages(seen, true);
                self.readable = true;
                if let State::Gathering { changes } = std::mem::take(&mut self.state) {
                    self.judge_users(true);
                    self.state = State::Following {
                        link: changes,
                        next: None,
                        unswept: true,
                    };
                }
            }
            Input::Refused => {
                self.state = State::Begin;
                todo = Some(Todo::Walk(None));
            }
            Input::Pages(seen, ending) => todo = Some(self.take(seen, ending)),
            Input::Counted { listed, had, count } => match self.source {
                Source::Users => self.note_counted(listed, had, count),
                Source::Group(group) => self.note_members_counted(group, listed, had, count),
                Source::Roles | Source::Skus => {}
            },
            Input::Swept => {
                if let State::Following { unswept, .. } = &mut self.state {
                    *unswept = false;
                }
            }
            Input::DeadLink => match &mut self.state {
                // The link of the changes may be alive although a page link is not.
                State::Listing { next, .. } | State::Following { next, .. } if next.is_some() => *next = None,
                state => *state = State::Begin,
            },
            // The next run tries the same page of users once more.
            Input::BadAnswer { is_first } if is_first || self.source != Source::Users => match &mut self.state {
                State::Begin | State::Gathering { .. } => {}
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
            Input::ListAgain => {
                if let State::Listing { next, .. } = &mut self.state {
                    *next = None;
                }
            }
            Input::Verification(step) => self.verification.step(step),
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
            State::Begin => Todo::Latest,
            State::Walk { next } => Todo::Walk(Some(next.clone())),
            State::Listing { next, .. } => Todo::List(next.clone()),
            State::Gathering { .. } => Todo::Gather,
            State::Following { link, next, .. } => Todo::Changes(next.as_ref().unwrap_or(link).clone()),
        }
    }

    /// What a listing should have had by a count, or by the last listing, if it has less than 99 % of it.
    #[must_use]
    pub fn expected_beyond(&self, listed: u64, count: Option<u64>) -> Option<u64> {
        count
            .or(self.seen.last_listing)
            .filter(|expected| stats::is_short(listed, *expected))
    }

    fn begin_round(&mut self, at: Moment, selection: String) {
        self.round = at;
        self.selection = selection;
        self.seen = self.seen.at_beginning();
        self.verification = Verification::default();
    }

    /// Applies the statistics of pages and the way they ended.
    fn take(&mut self, seen: PageStats, ending: PageEnd) -> Todo {
        let is_round = self.is_round();
        match &self.state {
            State::Begin | State::Listing { next: None, .. } => {
                self.begin_round(ending.asked, ending.selection.clone().unwrap_or_default().into_owned());
            }
            State::Following {
                next: None, unswept, ..
            } => self.seen = self.seen.at_changes(*unswept),
            _ => {}
        }
        self.seen.add_pages(seen, is_round);
        self.readable = true;
        let (state, todo) = match (std::mem::take(&mut self.state), ending.next) {
            (State::Begin | State::Walk { .. }, Next::Page(next)) => (State::Walk { next }, Todo::GoOn),
            (State::Listing { changes, .. }, Next::Page(next)) => {
                let next = Some(next);
                (State::Listing { next, changes }, Todo::GoOn)
            }
            (State::Listing { changes, .. }, Next::End | Next::Delta(_)) => self.end_listing(changes),
            (State::Following { link, unswept, .. }, Next::Page(next)) => {
                let next = Some(next);
                (State::Following { link, next, unswept }, Todo::GoOn)
            }
            (before, Next::Delta(link)) => self.reach(&before, link, ending.now),
            // No page of changes ends this way, and no page belongs to a state without pages.
            (before, Next::End | Next::Page(_)) => (before, Todo::GoOn),
        };
        self.state = state;
        todo
    }

    /// A plain listing has ended. Users are swept after the changes since it began, which tell of most who are absent.
    fn end_listing(&mut self, changes: Link) -> (State, Todo) {
        let todo = if self.source == Source::Users {
            self.seen.is_listing = true;
            self.judge_users(true);
            Todo::Changes(changes.clone())
        } else {
            Todo::Sweep
        };
        let state = State::Following {
            link: changes,
            next: None,
            unswept: true,
        };
        (state, todo)
    }

    /// Everything has been read.
    fn reach(&mut self, before: &State, link: Link, now: DateTime<Utc>) -> (State, Todo) {
        let is_round = !matches!(before, State::Following { .. });
        self.delta_since = Some(now);
        self.reached_at = Some(now);
        self.verification.listed_at.get_or_insert(now);
        if self.source == Source::Users {
            self.judge_users(is_round);
        } else if std::mem::take(&mut self.seen.missed) {
            return (State::Begin, Todo::Rest);
        }
        self.seen.had_plans = false;
        let unswept = is_round || matches!(before, State::Following { unswept: true, .. });
        let todo = if unswept { Todo::Sweep } else { Todo::Rest };
        let next = None;
        (State::Following { link, next, unswept }, todo)
    }

    /// Doubts users who lack what every user has, or trusts a round in which they have it.
    fn judge_users(&mut self, is_round: bool) {
        if let Some(doubt) = self.seen.doubt(is_round) {
            self.doubt = Some(doubt);
        } else if is_round && self.seen.with_account > 0 && self.seen.with_plans > 0 && self.seen.unreadable == 0 {
            self.trust();
        }
    }

    /// Compares a listing of a group with what it should have listed. `had`: how many it omits.
    fn note_members_counted(&mut self, group: Uuid, listed: u64, had: u64, count: Option<u64>) {
        let is_first = self.reached_at.is_none();
        let expected = self.expected_beyond(listed, count);
        if listed == 0 {
            // A group that is read for the first time has lost no members.
            if had > 0 && !is_first {
                self.doubt = Some(Doubt::GroupEmpty { group, had });
            }
        } else if let Some(expected) = expected {
            if had > 0 || is_first {
                self.doubt = Some(Doubt::GroupShort {
                    group,
                    listed,
                    expected,
                });
            }
        } else {
            self.trust();
            self.seen.last_listing = Some(listed);
        }
    }

    /// Compares a round of users with what it should have listed: a listing may break off without a sign.
    fn note_counted(&mut self, listed: u64, had: u64, count: Option<u64>) {
        self.seen.had = Some(had);
        let expected = self.expected_beyond(listed, count).filter(|_| self.seen.is_listing);
        if listed == 0 && had > 0 {
            self.doubt = Some(Doubt::NobodyListed { had });
        } else if let Some(expected) = expected {
            self.doubt = Some(Doubt::ListingShort { listed, expected });
        } else if self.seen.is_listing {
            self.seen.last_listing = Some(listed);
        }
    }
}

#[cfg(test)]
mod tests;
