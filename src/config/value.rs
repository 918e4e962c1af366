//! Values that are text in the file and another type in the program: GUIDs, durations, enum words.
//!
//! An invalid text is refused with a sentence that shows the expected form. Each section checks its own bounds and
//! contradictions; this module holds only the shared helpers.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use uuid::Uuid;

use super::Issue;
use super::tenant::Cloud;
use crate::domain::environment::{AppPassLapse, GroupNesting, Kind};
use crate::domain::licence::ViralCountsAs;
use crate::domain::scope::ScopeSetting;
use crate::telemetry::logs::Format;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// A value that is text in the file.
pub(super) trait FromText: Sized {
    /// The expected type in the error for a value of another type.
    const EXPECTED: &'static str = "text in quotes";

    /// Parses the text, or returns a clause with the expected form.
    fn from_text(text: &str) -> Result<Self, String>;

    /// The value of the number 0, where it needs no unit.
    fn zero() -> Option<Self> {
        None
    }
}

/// A `T` parsed from text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<T>(pub T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::from_text(text)
                    .map(Parsed)
                    .map_err(|problem| E::custom(requoted(&problem, text)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                let zero = T::zero().filter(|_| number == 0).map(Parsed);
                zero.ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

impl FromText for Uuid {
    const EXPECTED: &'static str = "a GUID in quotes, such as \"0f8fad5b-d9cb-469f-a165-70867728950e\"";

    /// Only the hyphenated form, in either case: the other forms that Rust parses are more likely a mistake.
    fn from_text(text: &str) -> Result<Self, String> {
        let hyphenated = text.len() == 36;
        Uuid::try_parse(text).ok().filter(|_| hyphenated).ok_or_else(|| {
            "this is no GUID; expected 8-4-4-4-12 hexadecimal digits, such as 0f8fad5b-d9cb-469f-a165-70867728950e"
                .to_owned()
        })
    }
}

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration in quotes, such as \"15m\"";

    fn from_text(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| {
            "this is no duration; expected a number and a unit, such as \"60s\", \"15m\", \"24h\" or \"7d\"".to_owned()
        })
    }

    fn zero() -> Option<Self> {
        Some(Self::ZERO)
    }
}

impl FromText for ViralCountsAs {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!("viral plans cannot count as `{text}`; expected \"full\", \"free_m365\" or \"none\"")
        })
    }
}

/// Types whose `FromStr` error is already a sentence.
macro_rules! from_text_by_from_str {
    ($($type:ty),*) => {$(
        impl FromText for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

from_text_by_from_str!(Kind, GroupNesting, Format, Cloud, AppPassLapse, ScopeSetting);

/// The quoted length of a wrong value.
const LONGEST_QUOTE: usize = 32;

/// A wrong value for a message, so that a typing error shows. Leaves out what may be a misplaced secret, such as a URL
/// with a password, or a client secret.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= LONGEST_QUOTE && !may_be_secret(text) {
        format!("`{text}`")
    } else {
        "this".to_owned()
    }
}

/// A message that quotes a wrong value, with `quoted` in its place.
pub(super) fn requoted(problem: &str, text: &str) -> String {
    problem.replace(&format!("`{text}`"), &quoted(text))
}

/// Whether a text looks like a URL with a password, or like a client secret, which always has a `~`.
pub(super) fn may_be_secret(text: &str) -> bool {
    text.contains(['@', '~']) || text.contains("://") || text.chars().any(char::is_control)
}

/// Refuses a duration outside its bounds.
pub(super) fn within(path: &str, duration: Duration, bounds: &RangeInclusive<Duration>) -> Result<Duration, Issue> {
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(Issue::new(
        path,
        format!(
            "{} is out of bounds; expected {} to {}",
            shown(duration),
            shown(*bounds.start()),
            shown(*bounds.end())
        ),
    ))
}

/// A duration as in the file, in the largest unit that fits exactly.
pub(super) fn shown(duration: Duration) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let fitting = units
        .into_iter()
        .find(|(unit, _)| duration >= *unit && duration.as_nanos().is_multiple_of(unit.as_nanos()));
    match fitting {
        Some((unit, name)) => format!("{}{name}", duration.as_secs() / unit.as_secs()),
        None => humantime::format_duration(duration).to_string(),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
}
