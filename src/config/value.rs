//! Values that are text in the file and something else in the program: GUIDs, durations, words of an enum.
//!
//! A text that does not parse is refused with a sentence that shows the expected shape. Bounds and contradictions
//! are the sections' own business; only the helpers that several sections share are here.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use uuid::Uuid;

use super::Issue;
use super::tenant::Cloud;
use crate::domain::environment::{AppPassLapse, GroupNesting, Kind};
use crate::domain::licence::ViralCountsAs;
use crate::telemetry::logs::Format;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// A value that the file writes as text.
pub(super) trait FromText: Sized {
    /// What a value of another type is told was expected.
    const EXPECTED: &'static str = "text in quotes";

    /// Reads the text, or says in a clause what it should have been.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// A text that was read into a `T`.
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
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

impl FromText for Uuid {
    const EXPECTED: &'static str = "a GUID in quotes, such as \"0f8fad5b-d9cb-469f-a165-70867728950e\"";

    /// Only the hyphenated form, in either case: the other spellings that Rust reads are more likely a mistake.
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
}

impl FromText for ViralCountsAs {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!("viral plans cannot count as `{text}`; expected \"full\", \"free_m365\" or \"none\"")
        })
    }
}

/// Types whose `FromStr` already answers in a sentence.
macro_rules! from_text_by_from_str {
    ($($type:ty),*) => {$(
        impl FromText for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

from_text_by_from_str!(Kind, GroupNesting, Format, Cloud, AppPassLapse);

/// So much of a wrong value is repeated.
const LONGEST_QUOTE: usize = 32;

/// A wrong value for a message, so that a typing error shows; but nothing that may be a secret in the wrong place, such
/// as a URL with a password, or the value of a client secret.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= LONGEST_QUOTE && !may_be_secret(text) {
        format!("`{text}`")
    } else {
        "this".to_owned()
    }
}

/// A message that quotes a wrong value, quoting it so.
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

/// A duration as the file would write it, in the largest unit that needs no other.
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
