//! The database schema of an installation. One database may hold several, each for its own tenant.

use std::fmt;

/// A schema's name: a plain identifier, because it is inserted into the text of migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// The rule for names, as text.
    pub const EXPECTED: &str =
        "a lower-case letter, then at most 47 lower-case letters, digits or underscores; not public, not pg_…";

    /// The schema with this name, if the name is allowed.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_taken = name.starts_with("pg_") || ["public", "information_schema"].contains(&name);
        let is_good = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.len() <= 48
            && name.bytes().all(is_plain)
            && !is_taken;
        is_good.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self("rollcall".to_owned())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
