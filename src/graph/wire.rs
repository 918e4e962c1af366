//! Decodes bytes into the domain's shapes, in one pass.
//!
//! Decoding is the largest single cost of a round, so a page is decoded from its bytes directly into the final types.
//! Only if that fails is the page read again entry by entry, and the failed entry value by value: an undecodable value
//! costs only itself (rules.md, section 2). Never puts a value of the page into an error or a complaint: they are
//! logged.

pub(super) mod batch;
pub(super) mod relation;
pub(super) mod user;

use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::feed::{Kept, Link, Moment, Next, Page};

/// Why a body cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// It is not JSON, or ends early: worth a retry.
    Broken,
    /// It is JSON, but not in the contract's shape.
    Shape(String),
}

/// A wire shape that becomes an item, or a complaint.
pub(super) trait Raw: DeserializeOwned {
    /// The type of the item.
    type Item;
    /// The same shape for an entry with an undecodable value. Itself if every value is read on its own.
    type Tolerant: Raw<Item = Self::Item>;
    /// Converts to the item; complaints about parts of the entry go to `unreadable`. An entry without a usable id is
    /// only a complaint, and returns nothing.
    fn finish(self, unreadable: &mut Vec<String>) -> Option<Self::Item>;
}

/// A list as received: its links are not checked yet.
#[derive(Debug)]
pub(super) struct Listing<T> {
    pub items: Vec<T>,
    pub unreadable: Vec<String>,
    pub dropped: Vec<Uuid>,
    bytes: usize,
    next_link: Option<String>,
    delta_link: Option<String>,
}

/// Decodes a list.
pub(super) fn decode_listing<R: Raw>(body: &[u8]) -> Result<Listing<R::Item>, Undecodable> {
    match serde_json::from_slice::<RawPage<Object<R>>>(body) {
        Ok(page) => {
            let mut unreadable = Vec::new();
            let entries = page.value.ok_or_else(no_value)?;
            let mut items = Vec::with_capacity(entries.len());
            items.extend(
                entries
                    .into_iter()
                    .filter_map(|Object(entry)| entry.finish(&mut unreadable)),
            );
            Ok(Listing {
                items,
                unreadable,
                dropped: Vec::new(),
                bytes: body.len(),
                next_link: page.next_link,
                delta_link: page.delta_link,
            })
        }
        Err(error) if error.is_eof() => Err(Undecodable::Broken),
        Err(_) => decode_mended::<R>(body, &Kept::All),
    }
}

/// Decodes a list as far as its entries are kept. Of the others only the id is read.
pub(super) fn decode_kept<R: Raw>(body: &[u8], kept: &Kept) -> Result<Listing<R::Item>, Undecodable> {
    if matches!(kept, Kept::All) {
        return decode_listing::<R>(body);
    }
    match serde_json::from_slice::<RawPage<&RawValue>>(body) {
        Ok(page) => decode_entry_by_entry::<R>(page, body.len(), kept),
        Err(error) if error.is_eof() => Err(Undecodable::Broken),
        Err(_) => decode_mended::<R>(body, kept),
    }
}

fn decode_mended<R: Raw>(body: &[u8], kept: &Kept) -> Result<Listing<R::Item>, Undecodable> {
    let mended = mended(body);
    decode_entry_by_entry::<R>(decode_with_path(&mended)?, body.len(), kept)
}

fn decode_entry_by_entry<R: Raw>(
    page: RawPage<&RawValue>,
    bytes: usize,
    kept: &Kept,
) -> Result<Listing<R::Item>, Undecodable> {
    let mut items = Vec::new();
    let mut unreadable = Vec::new();
    let mut dropped = Vec::new();
    for (index, entry) in page.value.ok_or_else(no_value)?.into_iter().enumerate() {
        if let Some(id) = dropped_id(entry.get(), kept) {
            dropped.push(id);
            continue;
        }
        match finish_entry::<R>(entry.get(), &mut unreadable) {
            Ok(item) => items.extend(item),
            Err(_) => unreadable.push(format!("entry {index} is no object that can be read")),
        }
    }
    Ok(Listing {
        items,
        unreadable,
        dropped,
        bytes,
        next_link: page.next_link,
        delta_link: page.delta_link,
    })
}

/// The id of an entry that is not kept. A tombstone, and an entry whose id cannot be read, is none.
fn dropped_id(entry: &str, kept: &Kept) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct EntryKey {
        #[serde(default)]
        id: RawId,
        #[serde(default, rename = "@removed")]
        removed: Option<IgnoredAny>,
    }
    if matches!(kept, Kept::All) {
        return None;
    }
    match serde_json::from_str(entry) {
        Ok(Object(EntryKey {
            id: RawId::Guid(id),
            removed: None,
        })) => Some(id).filter(|id| !kept.has(*id)),
        _ => None,
    }
}

/// Decodes a bare number, which may come with a byte order mark.
pub(super) fn decode_count(body: &[u8]) -> Result<u64, Undecodable> {
    let text = std::str::from_utf8(body).map_err(|_| Undecodable::Broken)?;
    let number = text.trim_start_matches('\u{feff}').trim().parse();
    number.map_err(|_| Undecodable::Broken)
}

/// Decodes one object, as far as possible; without a usable id it is no answer.
pub(super) fn decode_one<R: Raw>(body: &[u8]) -> Result<R::Item, Undecodable> {
    let mut complaints = Vec::new();
    let body = mended(body);
    let entry: &RawValue = serde_json::from_slice(&body).map_err(|_| Undecodable::Broken)?;
    let item = finish_entry::<R>(entry.get(), &mut complaints)
        .map_err(|_| Undecodable::Shape("it is no object that can be read".to_owned()))?;
    item.ok_or_else(|| Undecodable::Shape(complaints.join(", ")))
}

fn finish_entry<R: Raw>(entry: &str, unreadable: &mut Vec<String>) -> Result<Option<R::Item>, serde_json::Error> {
    match serde_json::from_str::<Object<R>>(entry) {
        Ok(Object(entry)) => Ok(entry.finish(unreadable)),
        Err(_) => Ok(serde_json::from_str::<Object<R::Tolerant>>(entry)?.0.finish(unreadable)),
    }
}

/// Replaces invalid UTF-8 and control characters within a text by half a surrogate pair, which no text can hold: they
/// spoil only their own value, not the page.
fn mended(body: &[u8]) -> Vec<u8> {
    const HALF: &[u8] = b"\\ud800 ";
    let mut mended = Vec::with_capacity(body.len() + 64);
    let (mut in_text, mut is_escaped) = (false, false);
    for chunk in body.utf8_chunks() {
        let invalid = (!chunk.invalid().is_empty()).then_some(None);
        for byte in chunk.valid().bytes().map(Some).chain(invalid) {
            match byte {
                Some(byte) if !in_text || byte >= b' ' => mended.push(byte),
                // After an unescaped backslash.
                _ => mended.extend_from_slice(&HALF[usize::from(is_escaped)..]),
            }
            in_text ^= byte == Some(b'"') && !is_escaped;
            is_escaped = in_text && byte == Some(b'\\') && !is_escaped;
        }
    }
    mended
}

/// An object, and nothing else. A derived shape alone would also accept a list, with its members in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

/// A value that is read on its own: none if it cannot be decoded. The rest of its entry is unaffected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerant<T>(pub Option<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Tolerant<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(value.get()).ok()))
    }
}

impl Tolerant<RawId> {
    /// A value that is not a string is not a GUID either.
    pub fn id(self) -> RawId {
        self.0.unwrap_or(RawId::Malformed)
    }
}

impl<T: Default> Default for Tolerant<T> {
    fn default() -> Self {
        Self(Some(T::default()))
    }
}

fn no_value() -> Undecodable {
    Undecodable::Shape("there is no `value`".to_owned())
}

/// Decodes one object; an error names the place, not the value.
pub(super) fn decode_with_path<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Undecodable> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if error.inner().classify() == Category::Data {
            Undecodable::Shape(format!("a wrong type at `{}`", error.path()))
        } else {
            Undecodable::Broken
        }
    })?;
    deserializer.end().map_err(|_| Undecodable::Broken)?;
    Ok(value)
}

impl<T> Listing<T> {
    /// As a page of a delta feed: exactly one link.
    pub fn into_delta_page(self, requested: &str, asked: Moment) -> Result<Page<T>, String> {
        let next = match (self.next_link, self.delta_link) {
            (Some(next), None) => Next::Page(unlike(requested, next)?),
            (None, Some(delta)) => Next::Delta(Link::new(delta)),
            (Some(_), Some(_)) => return Err("a delta page has both a next and a delta link".to_owned()),
            (None, None) => return Err("a delta page has neither a next nor a delta link".to_owned()),
        };
        Ok(Page {
            asked,
            items: self.items,
            unreadable: self.unreadable,
            dropped: self.dropped,
            bytes: self.bytes,
            next,
        })
    }

    /// As a page of a plain listing: a next link, or the end.
    pub fn into_plain_page(self, requested: &str, asked: Moment) -> Result<Page<T>, String> {
        let next = match self.next_link {
            Some(next) => Next::Page(unlike(requested, next)?),
            None => Next::End,
        };
        Ok(Page {
            asked,
            items: self.items,
            unreadable: self.unreadable,
            dropped: self.dropped,
            bytes: self.bytes,
            next,
        })
    }
}

/// A next link back to its own page would never end (graph.md, section 2.3).
fn unlike(requested: &str, next: String) -> Result<Link, String> {
    if next == requested {
        return Err("a next link leads back to its own page".to_owned());
    }
    Ok(Link::new(next))
}

/// A page before its entries are decoded.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct RawPage<T> {
    #[serde(default, rename = "@odata.nextLink")]
    next_link: Option<String>,
    #[serde(default, rename = "@odata.deltaLink")]
    delta_link: Option<String>,
    #[serde(default)]
    value: Option<Vec<T>>,
}

/// An expected id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RawId {
    /// Absent or null.
    #[default]
    Missing,
    /// Anything that is not a GUID.
    Malformed,
    /// A GUID.
    Guid(Uuid),
}

impl RawId {
    /// The GUID, or a complaint about the object that should have it.
    pub fn or_complain(self, what: &str, unreadable: &mut Vec<String>) -> Option<Uuid> {
        match self {
            Self::Guid(id) => return Some(id),
            Self::Missing => unreadable.push(format!("{what} has no id")),
            Self::Malformed => unreadable.push(format!("the id of {what} is no GUID")),
        }
        None
    }
}

/// GUIDs have either case and always hyphens.
const GUID_LENGTH: usize = 36;

impl<'de> Deserialize<'de> for RawId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawIdVisitor)
    }
}

struct RawIdVisitor;

impl serde::de::Visitor<'_> for RawIdVisitor {
    type Value = RawId;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawId, E> {
        let guid = if text.len() == GUID_LENGTH {
            Uuid::try_parse(text).ok()
        } else {
            None
        };
        Ok(guid.map_or(RawId::Malformed, RawId::Guid))
    }

    fn visit_unit<E>(self) -> Result<RawId, E> {
        Ok(RawId::Missing)
    }
}

/// A short text that is only compared: `T` parses it without an allocation. Null is the default.
pub(super) struct Compared<T>(pub T);

impl<'de, T: Default + for<'s> From<&'s str>> Deserialize<'de> for Compared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<T: Default + for<'s> From<&'s str>> serde::de::Visitor<'_> for Visitor<T> {
            type Value = Compared<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Compared(T::from(text)))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Compared(T::default()))
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

impl<T: Default> Default for Compared<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

/// The type in `@odata.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ObjectType {
    /// Absent, which means a user.
    #[default]
    Unnamed,
    User,
    AgentUser,
    Group,
    Other,
}

impl From<&str> for ObjectType {
    fn from(text: &str) -> Self {
        let name = text.rsplit(['.', '#']).next().unwrap_or_default();
        if name.is_empty() {
            Self::Unnamed
        } else if name.eq_ignore_ascii_case("user") {
            Self::User
        } else if name.eq_ignore_ascii_case("agentUser") {
            Self::AgentUser
        } else if name.eq_ignore_ascii_case("group") {
            Self::Group
        } else {
            Self::Other
        }
    }
}

/// The value of `capabilityStatus`: whether a plan or SKU is usable. Unknown words mean no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usable(pub bool);

impl From<&str> for Usable {
    fn from(text: &str) -> Self {
        Self(text.eq_ignore_ascii_case("Enabled") || text.eq_ignore_ascii_case("Warning"))
    }
}
