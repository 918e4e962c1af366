//! The verification of a feed: its listing is read again and compared with the mirror, since a feed may omit a change and
//! a listing may lag.
//!
//! It stands beside the state of the feed. The changes are followed before and after the listing, so a listing that
//! fails delays nothing, and a page that fails is read again in the next run. Differences wait until the changes have
//! been followed past the end of the listing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, PageStats, State};
use crate::domain::feed::{Link, Moment};

/// When feeds are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verifications {
    /// The time from the end of a round to its first verification.
    pub first: Duration,
    /// The time between two verifications.
    pub every: Duration,
}

/// How far the verification of a feed is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// When the last round had ended.
    pub listed_at: Option<DateTime<Utc>>,
    /// When the last verification since then had ended.
    pub verified_at: Option<DateTime<Utc>>,
    /// Whether the next run has to verify, whatever the time.
    pub is_wanted: bool,
    /// The verification in progress.
    pub stage: Option<Stage>,
}

/// The stage of a verification in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The listing is being read.
    Listing {
        /// The moment at which the verification began.
        began: Moment,
        /// The page to continue with; none before the first.
        #[serde(with = "stored_link")]
        next: Option<Link>,
        /// What the listing contained so far.
        seen: PageStats,
    },
    /// The listing has ended. The changes have to be followed past its end.
    Listed {
        /// The moment at which the verification began.
        began: Moment,
        /// What the listing contained.
        seen: PageStats,
    },
    /// All differences are on the list of differences; look-ups confirm them.
    Confirming,
}

/// An input of a verification.
#[derive(Clone, Debug)]
pub enum VerificationStep {
    /// The next run has to verify. A round in progress lists everything anyway.
    Request,
    /// It begins at this moment.
    Begin(Moment),
    /// Pages of its listing were compared, with these statistics; no link follows the last one.
    Compared(PageStats, Option<Link>),
    /// The listing has to be read from its beginning: a link has expired.
    ListAgain,
    /// Everything in which the listing differs is on the list of differences.
    DifferencesNoted,
    /// It has ended at this time, or has been given up.
    End(DateTime<Utc>),
}

impl Verification {
    pub(super) fn step(&mut self, step: VerificationStep) {
        match step {
            VerificationStep::Request => self.is_wanted = true,
            VerificationStep::Begin(began) => {
                let seen = PageStats::default();
                self.stage = Some(Stage::Listing {
                    began,
                    next: None,
                    seen,
                });
            }
            VerificationStep::Compared(pages, following) => {
                if let Some(Stage::Listing { began, mut seen, .. }) = self.stage.take() {
                    seen.add_pages(pages, true);
                    self.stage = Some(match following {
                        next @ Some(_) => Stage::Listing { began, next, seen },
                        None => Stage::Listed { began, seen },
                    });
                }
            }
            VerificationStep::ListAgain => {
                if let Some(Stage::Listing { next, seen, .. }) = &mut self.stage {
                    (*next, *seen) = (None, PageStats::default());
                }
            }
            VerificationStep::DifferencesNoted => self.stage = Some(Stage::Confirming),
            VerificationStep::End(now) => {
                *self = Self {
                    listed_at: self.listed_at,
                    verified_at: Some(now),
                    ..Self::default()
                }
            }
        }
    }

    /// When the next one is due; none if never, or as soon as a round has ended.
    #[must_use]
    pub fn due_at(&self, verifications: Option<Verifications>) -> Option<DateTime<Utc>> {
        let Verifications { first, every } = verifications?;
        let (since, wait) = match (self.verified_at, self.listed_at) {
            (Some(verified_at), _) => (verified_at, every),
            (None, listed_at) => (listed_at?, first),
        };
        let wait = chrono::Duration::from_std(wait).ok()?;
        since.checked_add_signed(wait)
    }
}

impl Checkpoint {
    /// Whether the feed has to be verified now. Only what has been read completely is verified.
    #[must_use]
    pub fn needs_verification(&self, verifications: Option<Verifications>, now: DateTime<Utc>) -> bool {
        let is_settled = matches!(
            self.state,
            State::Following {
                next: None,
                unswept: false,
                ..
            }
        );
        let Verification { is_wanted, stage, .. } = &self.verification;
        let is_due = || self.verification.due_at(verifications).is_some_and(|due| due <= now);
        is_settled && (*is_wanted || stage.is_some() || is_due())
    }
}

/// A link in its stored form.
mod stored_link {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::feed::Link;

    #[expect(clippy::ref_option, reason = "serde passes it so")]
    pub(super) fn serialize<S: Serializer>(link: &Option<Link>, serializer: S) -> Result<S::Ok, S::Error> {
        link.as_ref().map(Link::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Link>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Link::new))
    }
}
