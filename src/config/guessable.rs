//! Guessable tokens: the empty one, and words that people leave in or copy from an example.
//!
//! A hash hides a token only if the token is hard to guess. This does not measure strength.

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

/// In lower case; upper case, a capital and every ending count too.
const WORDS: [&str; 19] = [
    "",
    "admin",
    "change-me",
    "change_me",
    "changeit",
    "changeme",
    "default",
    "example",
    "guest",
    "letmein",
    "passw0rd",
    "password",
    "qwerty",
    "rollcall",
    "root",
    "secret",
    "test",
    "token",
    "welcome",
];

/// Common endings of a word, or whole tokens. `echo` adds a line break.
const ENDINGS: [&str; 8] = ["", "!", "1", "12", "123", "1234", "12345", "12345678"];

/// Whether the token of this hash is guessable.
pub(super) fn is_guessable(sha256: &[u8; 32]) -> bool {
    let spellings = WORDS
        .into_iter()
        .flat_map(|word| [word.to_owned(), word.to_uppercase(), capital(word)]);
    let mut guesses = spellings.flat_map(|word| ENDINGS.map(|ending| word.clone() + ending));
    let is = |guess: &str| bool::from(digest(&SHA256, guess.as_bytes()).as_ref().ct_eq(sha256));
    guesses.any(|guess| is(&guess) || is(&(guess + "\n")))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(token: &str) -> bool {
        let hash = digest(&SHA256, token.as_bytes());
        is_guessable(hash.as_ref().try_into().unwrap())
    }

    #[test]
    fn nothing_and_the_words_of_examples_are_guessable() {
        for token in [
            "",
            "\n",
            "test",
            "Test",
            "TEST",
            "test\n",
            "password",
            "Password1",
            "secret",
            "changeme",
            "admin",
            "token",
            "rollcall",
            "123",
            "1234",
            "12345678",
        ] {
            assert!(is_refused(token), "{token}");
        }
    }

    #[test]
    fn what_somebody_thought_of_or_a_machine_made_is_not() {
        for token in ["0f9a3c6d2e8b4a17", "correct horse battery staple", "helpdesk-token"] {
            assert!(!is_refused(token), "{token}");
        }
    }
}
