//! What an output can show: how wide a line may be, and whether colours make sense.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The width of a terminal that does not tell its own.
const USUAL_WIDTH: usize = 80;

/// How tables are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The columns that a line may take; none where output is not for a terminal, so that nothing is cut.
    pub width: Option<usize>,
    /// Whether colours are shown.
    pub colours: bool,
}

impl Look {
    /// What suits an output.
    pub fn of(output: &(impl IsTerminal + AsFd)) -> Self {
        let size = terminal_size::terminal_size_of(output).map(|(width, _)| usize::from(width.0));
        Self::by(output.is_terminal(), size, |name| env::var(name).ok())
    }

    /// What suits an output: `COLUMNS` wins over the terminal's own size, and `NO_COLOR` and `TERM=dumb` forbid colours.
    fn by(is_terminal: bool, size: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        if !is_terminal {
            return Self::default();
        }
        let columns = variable("COLUMNS").and_then(|columns| columns.trim().parse().ok());
        let width = columns.or(size).filter(|width| *width > 0).unwrap_or(USUAL_WIDTH);
        let is_plain = variable("NO_COLOR").is_some_and(|it| !it.is_empty())
            || variable("TERM").is_none_or(|terminal| terminal == "dumb");
        Self {
            width: Some(width),
            colours: !is_plain,
        }
    }
}

/// A way to write a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A heading.
    Bold,
    /// Something is wrong or was taken away.
    Red,
    /// Something waits for a person.
    Yellow,
    /// All is well.
    Green,
}

impl Style {
    /// The style of a state; none for most words.
    pub fn of_state(word: &str) -> Option<Self> {
        Some(match word {
            "disabled" | "failed" | "refused" | "FAIL" => Self::Red,
            "held" | "warning" | "incomplete" => Self::Yellow,
            "ok" | "enabled" | "complete" | "pass" => Self::Green,
            _ => return None,
        })
    }

    /// A text in this style, by the codes that every terminal knows.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Bold => 1,
            Self::Red => 31,
            Self::Yellow => 33,
            Self::Green => 32,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_limits_lines_and_shows_colours_and_variables_have_a_say() {
        const fn look(width: usize, colours: bool) -> Look {
            Look {
                width: Some(width),
                colours,
            }
        }
        type Case<'a> = (bool, Option<usize>, &'a [(&'a str, &'a str)], Look);
        let xterm = ("TERM", "xterm");
        let cases: [Case<'_>; 10] = [
            (false, Some(100), &[xterm, ("COLUMNS", "40")], Look::default()),
            (true, Some(100), &[xterm], look(100, true)),
            (true, Some(100), &[xterm, ("COLUMNS", "40")], look(40, true)),
            (true, Some(100), &[xterm, ("COLUMNS", "many")], look(100, true)),
            (true, Some(0), &[xterm], look(80, true)),
            (true, None, &[xterm, ("COLUMNS", "0")], look(80, true)),
            (true, None, &[xterm, ("NO_COLOR", "1")], look(80, false)),
            (true, None, &[xterm, ("NO_COLOR", "")], look(80, true)),
            (true, None, &[("TERM", "dumb")], look(80, false)),
            (true, None, &[], look(80, false)),
        ];
        for (is_terminal, size, variables, expected) in cases {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(
                Look::by(is_terminal, size, variable),
                expected,
                "{size:?} {variables:?}"
            );
        }
    }
}
