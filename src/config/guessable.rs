//! Tokens that anybody guesses: nothing, the words that stand in examples, the name of whoever holds the token.
//!
//! A hash hides a token only as well as the token can be guessed. This finds what people leave in by mistake or copy
//! from an example; it is no measure of strength.

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

/// In lower case; each counts in upper case and with a capital, too, and with every ending.
const WORDS: [&str; 62] = [
    "",
    "$token",
    "${token}",
    "<token>",
    "0",
    "0000",
    "1",
    "12",
    "abc",
    "access",
    "admin",
    "administrator",
    "api",
    "api-key",
    "api_key",
    "apikey",
    "azure",
    "bearer",
    "change-me",
    "change_me",
    "changeit",
    "changeme",
    "default",
    "demo",
    "dev",
    "empty",
    "entra",
    "example",
    "false",
    "foo",
    "foobar",
    "guest",
    "hello",
    "helpdesk",
    "key",
    "letmein",
    "local",
    "my-secret",
    "my-token",
    "mysecret",
    "mytoken",
    "none",
    "null",
    "operator",
    "pass",
    "passw0rd",
    "password",
    "qwerty",
    "replace-me",
    "replaceme",
    "rollcall",
    "root",
    "s3cret",
    "s3cr3t",
    "secret",
    "test",
    "testing",
    "token",
    "true",
    "user",
    "welcome",
    "xxx",
];

/// What people put behind a word, `1234` alone among it. A line break comes by `echo`.
const ENDINGS: [&str; 14] = [
    "",
    "!",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "-token",
    "-secret",
];

/// Whether a token of this hash is one that anybody guesses.
pub(super) fn is_guessable(sha256: &[u8; 32], holder: &str) -> bool {
    let words = WORDS.into_iter().map(str::to_owned).chain([holder.to_lowercase()]);
    let mut guesses = words.flat_map(|word| {
        let spellings = [word.to_uppercase(), capital(&word), word];
        spellings
            .into_iter()
            .flat_map(|word| ENDINGS.map(|ending| word.clone() + ending))
    });
    let is = |guess: &str| bool::from(digest(&SHA256, guess.as_bytes()).as_ref().ct_eq(sha256));
    is(holder) || guesses.any(|guess| is(&guess) || is(&(guess + "\n")))
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
        is_guessable(hash.as_ref().try_into().unwrap(), "Grace")
    }

    #[test]
    fn nothing_words_of_examples_and_the_holder_s_name_are_guessable() {
        let tokens = [
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
            "Admin123!",
            "token",
            "rollcall",
            "123",
            "1234",
            "12345678",
            "1234567890",
            "Grace",
            "grace",
            "GRACE-token",
            "grace123",
        ];
        let missed: Vec<&str> = tokens.into_iter().filter(|token| !is_refused(token)).collect();
        assert_eq!(missed, ["Admin123!"], "two endings are no longer one of a few");
    }

    #[test]
    fn what_a_machine_made_is_not() {
        for token in ["0f9a3c6d2e8b4a17", "correct horse battery staple", "helpdesk-2f1c"] {
            assert!(!is_refused(token), "{token}");
        }
    }
}
