//! Texts that fit a width, as a terminal counts it.

use unicode_width::UnicodeWidthStr;

/// Words with which a line begins that a person may copy: it stays one line, so that it can be run.
const COMMANDS: [&str; 3] = ["rollcall ", "curl ", "psql "];

/// A line in as many lines as it needs. They begin under the text after a label and its blanks, or as far in as the
/// first.
pub fn flowed(line: &str, width: usize) -> Vec<String> {
    let text = line.trim_start();
    if line.width() <= width || COMMANDS.iter().any(|command| text.starts_with(command)) {
        return vec![line.to_owned()];
    }
    let indent = line.len() - text.len();
    let after_label = text.find("  ").map_or(indent, |end| {
        let gap = text[end..].len() - text[end..].trim_start().len();
        indent + end + gap
    });
    let (first, rest) = line.split_at(after_label);
    let margin = first.width();
    if margin > width / 2 {
        return wrapped(line, width);
    }
    let lines = wrapped(rest, width - margin).into_iter().enumerate();
    lines
        .map(|(at, rest)| match at {
            0 => format!("{first}{rest}"),
            _ => format!("{:margin$}{rest}", ""),
        })
        .collect()
}

/// A text, or its beginning with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let kept = beginning(text, width.saturating_sub(1));
    format!("{}…", kept.trim_end())
}

/// The longest beginning of a text that fits.
fn beginning(text: &str, width: usize) -> &str {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let fitting = ends.take_while(|end| text[..*end].width() <= width);
    &text[..fitting.last().unwrap_or(0)]
}

/// A text in lines, broken between words; a word that is too long is broken itself.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for mut word in text.split(' ') {
        let line = lines.last().map_or("", String::as_str);
        if line.width() + 1 + word.width() <= width && !line.is_empty() {
            if let Some(line) = lines.last_mut() {
                *line += " ";
                *line += word;
            }
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        while word.width() > width && !beginning(word, width).is_empty() {
            let (part, rest) = word.split_at(beginning(word, width).len());
            if let Some(line) = lines.last_mut() {
                *line += part;
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            *line += word;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_continues_under_its_text_and_a_command_stays_whole() {
        let cases: [(&str, usize, &[&str]); 6] = [
            ("a short line", 20, &["a short line"]),
            ("one two three four", 10, &["one two", "three four"]),
            ("  one two three", 11, &["  one two", "  three"]),
            (
                "  cap    0 of 7 users are enabled",
                20,
                &["  cap    0 of 7", "         users are", "         enabled"],
            ),
            ("名前  山田 太郎 さん", 14, &["名前  山田", "      太郎", "      さん"]),
            (
                "  rollcall explain ada@contoso.example",
                20,
                &["  rollcall explain ada@contoso.example"],
            ),
        ];
        for (line, width, expected) in cases {
            assert_eq!(flowed(line, width), expected);
        }
        assert_eq!(wrapped("山田太郎 abcdefg", 5), ["山田", "太郎", "abcde", "fg"]);
        assert_eq!(wrapped("山", 1), ["山"], "what fits nowhere stands all the same");
    }
}
