//! Text from outside: how it is read, and how it is shown to people. It is data, whatever its content.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{self, Write};
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Whether a character affects the text around it instead of being visible: control characters (C0 and C1), line and
/// paragraph separators, marks that change the direction of writing, and zero-width characters.
#[must_use]
pub const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Soft hyphen, grapheme joiner, fillers, the Mongolian separators.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        // Zero-width characters, marks and overrides of direction, line and paragraph separators, isolates.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        // Variation selectors, the byte order mark, annotations, and the planes of tags.
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text as one line of a terminal or a log: hidden characters are escaped, as `\n` or `\u{1b}`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            hidden if is_hidden(hidden) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(hidden));
            }
            seen => shown.push(seen),
        }
    }
    Cow::Owned(shown)
}

/// An equivalent JSON document without hidden characters: those within its texts become JSON escapes.
#[must_use]
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_within_text = |character| character != '\n' && is_hidden(character);
    if !json.contains(is_within_text) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_within_text(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// A text without what editors, spreadsheets and dialogs leave around it: blanks, line ends, the byte order mark and
/// other invisible characters. A NUL stays, to be rejected.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || (is_hidden(character) && !character.is_control()))
}

/// An id as people paste it: in upper or lower case, with or without braces.
///
/// # Errors
/// A clause that says what is expected.
pub fn object_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(trimmed(text)).map_err(|_| "expected a GUID".to_owned())
}

/// The lines of a list, whatever its line ends: one entry each. Empty lines and comments, which begin with `#`, are
/// omitted.
pub fn entries(list: &str) -> impl Iterator<Item = &str> {
    let lines = list.split(['\n', '\r']).map(trimmed);
    lines.filter(|entry| !entry.is_empty() && !entry.starts_with('#'))
}

/// A text that a person typed, pasted or sent: it is trimmed on input, whatever the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text(String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(trimmed(text).to_owned())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl FromStr for Text {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Cow::<str>::deserialize(deserializer)?.as_ref().into())
    }
}

impl utoipa::PartialSchema for Text {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Text {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hidden characters, and how each is shown.
    const HIDDEN: [(&str, &str); 22] = [
        ("\0", "\\u{0}"),
        ("\u{7}", "\\u{7}"),
        ("\t", "\\t"),
        ("\n", "\\n"),
        ("\u{b}", "\\u{b}"),
        ("\r\n", "\\r\\n"),
        ("\u{1b}[2J", "\\u{1b}[2J"),
        ("\u{7f}", "\\u{7f}"),
        ("\u{85}", "\\u{85}"),
        ("\u{9b}31m", "\\u{9b}31m"),
        ("\u{ad}", "\\u{ad}"),
        ("\u{61c}", "\\u{61c}"),
        ("\u{200b}", "\\u{200b}"),
        ("\u{200e}", "\\u{200e}"),
        ("\u{2028}", "\\u{2028}"),
        ("\u{2029}", "\\u{2029}"),
        ("\u{202e}", "\\u{202e}"),
        ("\u{2066}", "\\u{2066}"),
        ("\u{2069}", "\\u{2069}"),
        ("\u{feff}", "\\u{feff}"),
        ("\u{e0041}", "\\u{e0041}"),
        ("\u{fe0f}", "\\u{fe0f}"),
    ];

    #[test]
    fn what_is_not_seen_is_shown_as_an_escape_and_everything_else_as_it_is() {
        for (text, shown) in HIDDEN {
            assert_eq!(escaped(&format!("A{text}B")), format!("A{shown}B"));
        }
        for plain in [
            "Ada Lovelace",
            "İpek",
            "山田太郎",
            "O’Brien",
            "e\u{301}",
            "שלום",
            "a\u{a0}b",
            "C:\\n",
            "😀",
            "",
        ] {
            assert!(
                matches!(escaped(plain), Cow::Borrowed(same) if same == plain),
                "{plain}"
            );
        }
        let all_controls: String = ('\0'..='\u{10ffff}')
            .filter(|character| character.is_control())
            .collect();
        assert!(
            escaped(&all_controls)
                .chars()
                .all(|character| character.is_ascii_graphic())
        );
    }

    #[test]
    fn json_says_the_same_with_escapes_of_its_own() {
        for (text, _) in HIDDEN {
            let document = serde_json::json!({ "name": format!("A{text}B 山"), "next": null });
            let exact = serde_json::to_string_pretty(&document).unwrap();
            let shown = escaped_json(&exact);
            assert!(!shown.replace('\n', "").contains(is_hidden), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), document);
        }
        assert!(matches!(escaped_json("{\n  \"a\": 1\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_around_a_text_goes_and_what_is_within_stays() {
        let around = [
            " ",
            "\t",
            "\n",
            "\r\n",
            "\u{feff}",
            "\u{a0}",
            "\u{85}",
            "\u{3000}",
            "\u{2003}",
            "\u{2028}",
            "\u{200b}",
            "\u{200e}",
            "\u{202a}",
            "\u{feff} \u{feff}",
        ];
        for blank in around {
            let text = format!("{blank}ada lovelace\u{feff}@contoso.example{blank}");
            assert_eq!(trimmed(&text), "ada lovelace\u{feff}@contoso.example", "{blank:?}");
            assert_eq!(trimmed(blank), "");
            assert_eq!(
                serde_json::from_value::<Text>(text.clone().into()).unwrap(),
                text.parse().unwrap()
            );
        }
        assert_eq!(trimmed("\0a\u{1b}"), "\0a\u{1b}");
    }

    #[test]
    fn an_id_is_taken_as_it_is_pasted() {
        let id = "62e90394-69f5-4237-9190-012177145e10";
        let upper = id.to_uppercase();
        for pasted in [
            id,
            &upper,
            &format!("{{{upper}}}"),
            &format!("\u{feff}{{{id}}}\r\n"),
            &id.replace('-', ""),
        ] {
            assert_eq!(
                object_id(pasted).map(|id| id.to_string()),
                Ok(id.to_owned()),
                "{pasted:?}"
            );
        }
        assert!(object_id("ada@contoso.example").is_err());
    }

    #[test]
    fn a_list_may_end_its_lines_in_any_way() {
        let list = "\u{feff}# New in May\r\nu1@contoso.example\r\n\r\n u2@contoso.example \n  # Not yet: u5@contoso.example\n\u{feff}u3@contoso.example\ru4#EXT#@contoso.example";
        let users = ["u1", "u2", "u3", "u4#EXT#"].map(|user| format!("{user}@contoso.example"));
        assert_eq!(entries(list).collect::<Vec<_>>(), users);
        assert_eq!(entries("\u{feff}\r\n \n").count(), 0);
    }
}
