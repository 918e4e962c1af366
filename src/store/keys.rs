//! Keys of users, rows or names in several environments, so that one statement serves them all.

use std::collections::HashMap;

use uuid::Uuid;

/// What a statement found, by environment.
pub type ByEnvironment<T> = HashMap<String, T>;

/// Keys, each in an environment: two columns of equal length for `unnest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys<T = Uuid> {
    /// The environments.
    pub environments: Vec<String>,
    /// The keys, in the same order.
    pub keys: Vec<T>,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            environments: Vec::new(),
            keys: Vec::new(),
        }
    }
}

impl<T> Keys<T> {
    /// Keys of one environment.
    #[must_use]
    pub fn of(environment: &str, keys: impl IntoIterator<Item = T>) -> Self {
        keys.into_iter().map(|key| (environment, key)).collect()
    }

    /// Adds keys of one environment.
    pub fn extend(&mut self, environment: &str, keys: impl IntoIterator<Item = T>) {
        for key in keys {
            self.environments.push(environment.to_owned());
            self.keys.push(key);
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl<'a, T> FromIterator<(&'a str, T)> for Keys<T> {
    fn from_iter<I: IntoIterator<Item = (&'a str, T)>>(keys: I) -> Self {
        let (environments, keys) = keys.into_iter().map(|(name, key)| (name.to_owned(), key)).unzip();
        Self { environments, keys }
    }
}

/// Collects what a statement found by environment.
pub(super) fn by_environment<T, C: Default + Extend<T>>(
    found: impl IntoIterator<Item = (String, T)>,
) -> ByEnvironment<C> {
    let mut all: ByEnvironment<C> = HashMap::new();
    for (environment, one) in found {
        all.entry(environment).or_default().extend([one]);
    }
    all
}
