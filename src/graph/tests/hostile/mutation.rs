//! Spoils a JSON document in a few places: what a faulty or hostile service would make of a good answer.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// A place that no request may ever go to.
pub(super) const URL: &str = "https://evil.example/v1.0/users/delta?$skiptoken=1";

/// What is done to a document.
#[derive(Clone, Debug)]
pub(super) struct Spoiling {
    places: Vec<(Index, Deed)>,
    /// What becomes of the text.
    cut: Option<Index>,
    flip: Option<(Index, u8)>,
}

/// What is done to one place.
#[derive(Clone, Debug)]
enum Deed {
    Replace(Value),
    Remove,
    Repeat,
    Wrap,
    Rename(&'static str),
}

impl Spoiling {
    /// Whether it moves values to other names, or text across its boundaries: what was a message may be a code then.
    pub fn renames(&self) -> bool {
        self.flip.is_some() || self.places.iter().any(|(_, deed)| !matches!(deed, Deed::Remove))
    }
}

/// What stands where something else should.
fn awkward() -> impl Strategy<Value = Value> {
    let long = "Maria ".repeat(2_000);
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5e300),
        json!(-1.5e300),
        json!(""),
        json!(" "),
        json!("Maria"),
        json!("\u{0}Maria\u{0}"),
        json!("\u{202e}\u{fffe}"),
        json!(long),
        json!(URL),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("-99999999999999999999"),
        json!("1e400"),
        json!("Mon, 31 Feb 9999 25:61:61 GMT"),
        json!("9999-12-31T23:59:60+23:59"),
        json!([]),
        json!({}),
        json!([null, [], {}, "Maria"]),
        json!({"Maria": {"Maria": "Maria"}}),
    ])
}

/// Up to five places, and sometimes the text itself.
pub(super) fn spoiling() -> impl Strategy<Value = Spoiling> {
    let deed = prop_oneof![
        4 => awkward().prop_map(Deed::Replace),
        1 => Just(Deed::Remove),
        1 => Just(Deed::Repeat),
        1 => Just(Deed::Wrap),
        1 => prop::sample::select(vec!["Maria", "id", "ID", "value", "@removed", "error", "", "status"]).prop_map(Deed::Rename),
    ];
    (
        prop::collection::vec((any::<Index>(), deed), 0..5),
        prop::option::weighted(0.1, any::<Index>()),
        prop::option::weighted(0.1, (any::<Index>(), any::<u8>())),
    )
        .prop_map(|(places, cut, flip)| Spoiling { places, cut, flip })
}

/// The document, spoilt.
pub(super) fn spoilt(document: &Value, spoiling: &Spoiling) -> Vec<u8> {
    let mut document = document.clone();
    for (place, deed) in &spoiling.places {
        let place = place.index(count(&document));
        spoil(&mut document, &mut { place }, deed);
    }
    let mut text = document.to_string().into_bytes();
    if let Some((at, byte)) = &spoiling.flip {
        let at = at.index(text.len());
        text[at] = *byte;
    }
    if let Some(at) = &spoiling.cut {
        text.truncate(at.index(text.len() + 1));
    }
    text
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Spoils the value that comes `place` steps after this one, in the order of reading. Answers whether it has been found.
fn spoil(value: &mut Value, place: &mut usize, deed: &Deed) -> bool {
    if *place == 0 {
        match deed {
            Deed::Replace(other) => *value = other.clone(),
            Deed::Wrap => *value = json!([value.take()]),
            Deed::Remove | Deed::Repeat | Deed::Rename(_) => *value = Value::Null,
        }
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => {
            for at in 0..items.len() {
                let is_here = *place == 0;
                match deed {
                    Deed::Remove if is_here => drop(items.remove(at)),
                    Deed::Repeat if is_here => items.push(items[at].clone()),
                    _ if spoil(&mut items[at], place, deed) => {}
                    _ => continue,
                }
                return true;
            }
        }
        Value::Object(members) => {
            for name in members.keys().cloned().collect::<Vec<_>>() {
                let is_here = *place == 0;
                match deed {
                    Deed::Remove if is_here => drop(members.remove(&name)),
                    Deed::Rename(other) if is_here => {
                        let moved = members.remove(&name).unwrap_or_default();
                        members.insert((*other).to_owned(), moved);
                    }
                    _ if members.get_mut(&name).is_some_and(|member| spoil(member, place, deed)) => {}
                    _ => continue,
                }
                return true;
            }
        }
        _ => {}
    }
    false
}
