//! Enums whose variants have names: in the database, the configuration, metrics, logs and answers.

/// Declares one. If it says how to describe a text that is no name (`"no log format"`), the enum can be parsed from
/// text.
macro_rules! words {
    ($(#[$about:meta])* $vis:vis enum $name:ident $(: $no:literal)? {
        $($(#[$of:meta])* $variant:ident $word:literal)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The variant with this name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        $(impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let names = Self::ALL.map(|one| format!("\"{one}\""));
                Self::parse(name).ok_or_else(|| {
                    format!("`{name}` is {}; expected {}", $no, $crate::domain::word::alternatives(&names))
                })
            }
        })?
    };
}
pub(crate) use words;

/// The names to choose from, as part of a sentence.
pub(crate) fn alternatives(names: &[String]) -> String {
    match names {
        [some @ .., last] if !some.is_empty() => format!("{} or {last}", some.join(", ")),
        names => names.concat(),
    }
}
