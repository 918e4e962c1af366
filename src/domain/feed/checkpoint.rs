//! How far a source of the directory has been read: one state for all feeds, and the one function that moves it.
//!
//! [`Checkpoint::step`] takes what happened and says what to do next. It fetches nothing and stores nothing: `sync::pull`
//! does what it says, and `store::checkpoints` keeps the state with the rows of the page that led to it.
//!
//! A round begins with a walk through the delta feed (users), or with a plain listing before which the link of the
//! changes is taken (groups). Absence means something only once a round has come to its end, and only then is a source
//! swept. After a round its changes are followed, for ever.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Link, Moment, Next, Patch, UserChange};
use crate::domain::doubt::Doubt;
use crate::domain::source::Source;

/// From so many users on, one property missing from all of them is no coincidence.
const ALL_MISSING_COUNTS_FROM: u64 = 20;

/// Where a feed stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A round has to begin.
    #[default]
    Begin,
    /// A walk through the delta feed from its beginning is under way.
    Walk {
        /// The page to go on with.
        next: Link,
    },
    /// A plain listing is under way.
    Listing {
        /// The page to go on with; none before the first.
        next: Option<Link>,
        /// Where the changes are that came since it began.
        changes: Link,
    },
    /// A round has come to its end, and its changes are followed.
    Following {
        /// Where the changes begin that are not followed yet.
        link: Link,
        /// The page of theirs to go on with.
        next: Option<Link>,
        /// Whoever the round did not list has still to be looked for.
        unswept: bool,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A run begins, with this selection of properties, where there is one.
    Run(Option<&'static str>),
    /// The link of the changes was taken, at a time.
    Latest(Link, DateTime<Utc>),
    /// Pages are being stored.
    Pages(PageStats, PageEnd),
    /// After a round, whoever it did not list was looked for.
    Swept {
        /// How many it listed.
        listed: u64,
        /// How many there had been.
        had: u64,
        /// Everything it said could be read.
        is_whole: bool,
    },
    /// A stored link is dead.
    DeadLink,
    /// The answer could not be used. `is_first`: the first of the run, so that the page before it cannot be the cause.
    BadAnswer {
        /// See above.
        is_first: bool,
    },
    /// What the feed is about does not exist. It counts as known where it is only nested in something else.
    Gone {
        /// See above.
        is_nested: bool,
        /// The time.
        now: DateTime<Utc>,
    },
    /// It may not be read.
    Forbidden,
    /// Somebody wants a new round.
    Renew,
    /// Somebody wants a new round, unless one is under way.
    RenewUnlessUnderWay,
    /// Every environment has been told of the doubt: what led to it is read anew, since a feed of changes would never
    /// take back what was wrong.
    DoubtTold,
}

/// How pages that are being stored end.
#[derive(Clone, Debug)]
pub struct PageEnd {
    /// When the first of them was asked for.
    pub asked: Moment,
    /// Where the feed goes on.
    pub next: Next,
    /// The selection that a round begins with.
    pub selection: Option<&'static str>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Take the link of the changes.
    Latest,
    /// Read the round, from a page or from its beginning.
    Round(Option<Link>),
    /// Read the changes.
    Changes(Link),
    /// Go on with what is being read.
    GoOn,
    /// Look for whoever the round did not list.
    Sweep,
    /// Nothing, until the next run.
    Rest,
}

/// What a round, or the changes after it, have shown so far.
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
    /// Whether anybody had a plan when the round began.
    pub had_plans: bool,
    /// Entries that could not be read.
    pub unreadable: u64,
    /// Changes since the last round could not be read: only another round would tell them again.
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

    /// What makes users that ended so no evidence.
    fn doubt(self, is_round: bool) -> Option<Doubt> {
        // The plans of everybody vanished at once: a withdrawn permission looks like that, not a change of licences.
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

/// Whether a property that every user has was told, or is known from before.
fn is_readable<T>(patch: &Patch<T>, is_round: bool) -> bool {
    match patch {
        // Of one value that cannot be decoded the user's own finding tells.
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
    /// Where it stands, if it is a feed.
    pub state: State,
    /// What the present round, or the changes after the last one, have shown.
    pub seen: PageStats,
    /// The present or last round: the moment at which its first page was asked for.
    pub round: Moment,
    /// When the link of the changes was received.
    pub delta_since: Option<DateTime<Utc>>,
    /// The selection that the round began with.
    pub selection: String,
    /// False while the object behind the source is gone or may not be read.
    pub readable: bool,
    /// Why what the source removed lately is no evidence by itself, until every environment has been told.
    pub doubt: Option<Doubt>,
    /// The last doubt, once they have, until the source says something beyond doubt.
    pub suspicion: Option<Doubt>,
    /// What a source without a feed said last.
    pub value: Option<Value>,
    /// When everything there was had last been read.
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

    /// The source says something beyond doubt.
    pub fn trust(&mut self) {
        self.doubt = None;
        self.suspicion = None;
    }

    /// Whether what comes next belongs to a round: what it does not mention is not set.
    #[must_use]
    pub fn is_round(&self) -> bool {
        !matches!(self.state, State::Following { .. })
    }

    /// Whether the rounds of a source begin with a plain listing.
    #[must_use]
    pub const fn lists(source: Source) -> bool {
        matches!(source, Source::Group(_))
    }

    /// What follows from what happened, and what to do.
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
                // What a listing began with may be as dead as its page.
                State::Following { next, .. } if next.is_some() && !Self::lists(self.source) => *next = None,
                state => *state = State::Begin,
            },
            // Of a walk the same page is tried once more, by the next run.
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

    /// What to do where nothing is being read.
    fn todo(&self) -> Todo {
        match &self.state {
            State::Begin if Self::lists(self.source) => Todo::Latest,
            State::Begin => Todo::Round(None),
            State::Walk { next } => Todo::Round(Some(next.clone())),
            State::Listing { next, .. } => Todo::Round(next.clone()),
            State::Following { link, next, .. } => Todo::Changes(next.as_ref().unwrap_or(link).clone()),
        }
    }

    /// Takes in what pages have shown, and how they ended.
    fn take(&mut self, seen: PageStats, ending: PageEnd) -> Todo {
        let is_round = self.is_round();
        match &self.state {
            State::Begin | State::Listing { next: None, .. } => {
                self.round = ending.asked;
                ending.selection.unwrap_or_default().clone_into(&mut self.selection);
                self.seen = PageStats {
                    // A round that was broken off has overwritten some of what it is compared with.
                    had_plans: self.seen.had_plans,
                    ..PageStats::default()
                };
            }
            State::Following {
                next: None, unswept, ..
            } => {
                self.seen = PageStats {
                    missed: self.seen.missed,
                    // What the round could not read counts until it is swept.
                    unreadable: if *unswept { self.seen.unreadable } else { 0 },
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
            // No page of changes ends so.
            (before, Next::End) => (before, Todo::GoOn),
        };
        self.state = state;
        todo
    }

    /// Everything there was has been read.
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
            // A group that is read for the first time has lost nobody.
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
