//! Reads a merged value tree without conversions: a number is not text, and `"8"` in the file is not a number.
//!
//! The `config` crate converts values to any requested type, so its own deserializer would accept `max_connections =
//! "8"` or `log = 5`. This one converts in a single case: the value of an environment variable, which is always text,
//! is parsed to the requested type. Errors never quote text from the file, because it could be a misplaced secret;
//! `source` adds where the value came from.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use config::{Value, ValueKind};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// A value that is read strictly. Its origin, if any, is the environment variable that set it.
pub(super) struct Strict(pub Value);

/// Why a value is invalid, as a clause that follows its path.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The clause.
    pub problem: String,
    /// The key that is missing below the path, if any.
    pub missing: Option<&'static str>,
}

impl Strict {
    /// The text, if it comes from an environment variable.
    fn variable_text(&self) -> Option<&str> {
        match (&self.0.kind, self.0.origin()) {
            (ValueKind::String(text), Some(_)) => Some(text.trim()),
            _ => None,
        }
    }

    fn refuse_variable(&self) -> Result<(), Refusal> {
        match self.variable_text() {
            Some(_) => Err(Refusal::custom(
                "a variable sets a single value; lists and tables are set in the configuration file",
            )),
            None => Ok(()),
        }
    }
}

/// Parses the text of a variable to the requested type; every other value keeps its own.
macro_rules! parse_variable {
    ($($method:ident => $type:ty, $visit:ident, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self.variable_text().map(str::parse::<$type>) {
                Some(Ok(value)) => visitor.$visit(value),
                Some(Err(_)) => Err(Refusal::custom(concat!("expected ", $expected))),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(value) => visitor.visit_i64(value),
            ValueKind::I128(value) => visitor.visit_i128(value),
            ValueKind::U64(value) => visitor.visit_u64(value),
            ValueKind::U128(value) => visitor.visit_u128(value),
            ValueKind::Float(value) => visitor.visit_f64(value),
            ValueKind::String(value) => visitor.visit_string(value),
            ValueKind::Array(values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Strict))),
            ValueKind::Table(table) => {
                // Sorted, so that of several errors the first is always the same.
                let sorted: BTreeMap<String, Value> = table.into_iter().collect();
                visitor.visit_map(MapDeserializer::new(
                    sorted.into_iter().map(|(key, value)| (key, Strict(value))),
                ))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.refuse_variable()?;
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.refuse_variable()?;
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_map(visitor)
    }

    parse_variable! {
        deserialize_bool => bool, visit_bool, "true or false";
        deserialize_u32 => u32, visit_u32, "a whole number from 0 to 4294967295";
        deserialize_f64 => f64, visit_f64, "a number";
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Refusal> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: Display>(problem: T) -> Self {
        Self {
            problem: problem.to_string(),
            missing: None,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        match found {
            Unexpected::Map if expected == "a sequence" => Self::custom(
                "expected a list, found a table; a repeated section is written in double brackets, like [[environment]]",
            ),
            _ => Self::custom(format_args!(
                "expected {}, found {}",
                in_plain_words(&expected),
                describe(found)
            )),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::custom(match field {
            "token" => "a token is never written into the configuration; give its SHA-256 as sha256".to_owned(),
            "secret" | "client_secret" | "password" => "a secret is never written into the configuration, \
                where backups, version control and `config show` would spread it; name the place that holds it"
                .to_owned(),
            _ => format!("unknown key; expected one of {}", known.join(", ")),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            problem: "missing".to_owned(),
            missing: Some(field),
        }
    }
}

/// The wording of serde and Rust, rephrased for an administrator.
fn in_plain_words(expected: &str) -> &str {
    match expected {
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "path string" => "a file name in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// The value found. Text is never quoted: it could be a secret under the wrong key.
fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(_) => "text in quotes".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Unit => "nothing".to_owned(),
        other => other.to_string(),
    }
}
