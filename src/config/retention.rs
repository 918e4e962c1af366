//! Section `[retention]`: how long what is over is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::Issue;
use super::value::{DAY, FromText, HOUR, Parsed, SECOND, shown, within};
use crate::domain::retention::{Kept, Retention};

/// The shortest age of anything; the database refuses to delete younger history.
const SHORTEST: Duration = DAY;

/// The same for the change log: the guard counts its lines, and people look for last week's.
const SHORTEST_CHANGES: Duration = Duration::from_hours(7 * 24);

/// The longest that is not "forever".
const LONGEST: Duration = Duration::from_hours(36_500 * 24);

/// An age in the file; none is `"forever"`.
#[derive(Clone, Copy)]
pub(super) struct Age(Option<Duration>);

impl FromText for Age {
    const EXPECTED: &'static str = "a duration in quotes, such as \"90d\", or \"forever\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "forever" => Ok(Self(None)),
            _ => match Duration::from_text(text) {
                Ok(age) => Ok(Self(Some(age))),
                Err(problem) => Err(format!("{problem}; or \"forever\"")),
            },
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRetention {
    changes: Option<Parsed<Age>>,
    runs: Option<Parsed<Age>>,
    findings: Option<Parsed<Age>>,
    requests: Option<Parsed<Age>>,
    gone_users: Option<Parsed<Age>>,
    memberships: Option<Parsed<Age>>,
    every: Option<Parsed<Duration>>,
}

impl RawRetention {
    /// Nothing may go before a held set has expired: a person who decides it needs what led to it.
    pub(super) fn validate(self, hold_expiry: Duration) -> Result<Retention, Issue> {
        let every = self.every.map_or(HOUR, |every| every.0);
        let every = within("retention.every", every, &(SECOND..=7 * DAY))?;
        let mut ages = BTreeMap::new();
        for what in Kept::ALL {
            let (given, default, shortest) = match what {
                Kept::Changes => (self.changes, 400 * DAY, SHORTEST_CHANGES),
                Kept::Runs => (self.runs, 90 * DAY, SHORTEST),
                Kept::Findings => (self.findings, 90 * DAY, SHORTEST),
                Kept::Requests => (self.requests, 7 * DAY, SHORTEST),
                Kept::GoneUsers => (self.gone_users, 30 * DAY, SHORTEST),
                Kept::Memberships => (self.memberships, 30 * DAY, SHORTEST),
            };
            let age = match given {
                None => default.max(hold_expiry),
                Some(Parsed(Age(None))) => continue,
                Some(Parsed(Age(Some(age)))) => {
                    let path = format!("retention.{what}");
                    let age = within(&path, age, &(shortest..=LONGEST))?;
                    if age < hold_expiry {
                        let problem = format!(
                            "{} is shorter than guard.hold_expiry; expected {} or longer, or \"forever\"",
                            shown(age),
                            shown(hold_expiry)
                        );
                        return Err(Issue::new(&path, problem));
                    }
                    age
                }
            };
            ages.insert(what, age);
        }
        Ok(Retention { every, ages })
    }
}
