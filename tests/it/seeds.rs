//! The two documents that everything begins with, sentence by sentence: `docs/seeds.md` names for each what shows it
//! or why it does not apply. Here is checked that what the list names exists, and here are the tests that only the
//! list asks for.

mod adding;
mod columns;
mod enabling;
mod kinds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rollcall::domain::environment::Environment;
use rollcall::rules::{Client, Trigger};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::sync::desk::Ask;
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::on_demand::said;
use crate::world::World;

const ENV: &str = "production";
const GROUP: Uuid = Uuid::from_u128(0x6060);

/// A stage whose tenant has no Marketing licence: with one, everybody could be let in on demand.
async fn stage(environments: Vec<Environment>) -> World {
    let world = World::new(environments).await;
    without_marketing(world.tenant());
    world
}

/// Adds a user with these licences.
fn employee(world: &World, given: &str, family: &str, profile: Profile) -> Uuid {
    let id = world.tenant().add_user(User::named(given, family));
    world.tenant().give_profile(id, profile);
    id
}

fn ask<'a>(environment: &'a str, user: &'a str) -> Ask<'a> {
    Ask {
        environment,
        user,
        actor: "helpdesk",
    }
}

/// What somebody is told who signs in on the web.
async fn access(world: &World, user: Uuid) -> String {
    let user = user.to_string();
    said(&world.engine.desk().access(ask(ENV, &user), Client::Interactive).await)
}

/// What somebody is told who adds a user.
async fn add(world: &World, user: Uuid, trigger: Trigger) -> String {
    said(&world.engine.desk().add(ask(ENV, &user.to_string()), trigger).await)
}

/// Why a row is disabled; none for an enabled one.
async fn disabled(world: &World, user: Uuid) -> Option<String> {
    let row = world.row(ENV, user).await.unwrap();
    assert_eq!(row.isdisabled, row.disabledreason.is_some(), "{row:?}");
    row.disabledreason
}

/// The roles of a user, `name provenance`.
async fn roles(world: &World, user: Uuid) -> Vec<String> {
    let user = user.to_string();
    let held = world
        .engine
        .desk()
        .role_holders(ENV, Some(&user), None, None, 10)
        .await
        .unwrap();
    held.iter()
        .map(|held| format!("{} {}", held.role, held.provenance))
        .collect()
}

/// So many words in a row are a copy.
const COPIED: usize = 8;

/// One sentence of a document in the list.
struct Row {
    /// `A1` and so on.
    number: String,
    /// What stands below it.
    answers: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn list() -> String {
    fs::read_to_string(root().join("docs/seeds.md")).unwrap()
}

/// The rows of the list: `- **A1** sentence`, below it `  - answer`; both go on in lines that are indented further.
fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in list().lines() {
        if let Some(row) = line.strip_prefix("- **") {
            let (number, sentence) = row.split_once("** ").unwrap();
            assert!(!sentence.trim().is_empty(), "{number} says nothing");
            rows.push(Row {
                number: number.to_owned(),
                answers: Vec::new(),
            });
        } else if let Some(answer) = line.strip_prefix("  - ") {
            rows.last_mut().unwrap().answers.push(answer.to_owned());
        }
    }
    rows
}

/// The file and the name of a test, where an answer names one.
fn named(answer: &str) -> Option<(&str, &str)> {
    answer.strip_prefix('`')?.strip_suffix('`')?.split_once("::")
}

/// Whether a source has a test of that name.
fn has_test(source: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.contains(&function) {
            return is_test;
        }
        // Other attributes and comments may stand between.
        is_test = line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
            || is_test && (line.starts_with('#') || line.starts_with("//"));
    }
    false
}

#[test]
fn every_sentence_has_an_answer_and_no_number_is_missing() {
    let rows = rows();
    for (document, least) in [('A', 20), ('B', 200)] {
        let numbers: Vec<&str> = rows
            .iter()
            .map(|row| row.number.as_str())
            .filter(|number| number.starts_with(document))
            .collect();
        let expected: Vec<String> = (1..=numbers.len()).map(|at| format!("{document}{at}")).collect();
        assert_eq!(numbers, expected);
        assert!(numbers.len() > least, "the whole of document {document}");
    }
    assert!(rows.iter().all(|row| row.number.starts_with(['A', 'B'])));
    for Row { number, answers } in &rows {
        assert!(!answers.is_empty(), "{number} has neither test nor reason");
        for answer in answers {
            let reason = ["not applicable: ", "later: "]
                .iter()
                .find_map(|kind| answer.strip_prefix(kind));
            let is_answer = named(answer).is_some() || reason.is_some_and(|reason| !reason.trim().is_empty());
            assert!(is_answer, "{number}: `{answer}` is neither test nor reason");
        }
    }
}

#[test]
fn every_test_that_the_list_names_is_there() {
    let mut missing = Vec::new();
    for Row { number, answers } in rows() {
        for (file, name) in answers.iter().filter_map(|answer| named(answer)) {
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !has_test(&source, name) {
                missing.push(format!("{number}: {file} has no test {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let source = "#[test]\n#[should_panic]\nfn one() {}\nfn two() {}\n#[tokio::test]\nasync fn three() {}\n";
    let found = ["one", "two", "three", "four"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false]);
}

/// The documents are not ours to hand on: the list says what they say, in words of its own.
#[test]
fn the_list_copies_nothing_from_the_documents() {
    let Some(folder) = documents() else {
        eprintln!("skipped: the founding documents are not beside this checkout (shared/seeds)");
        return;
    };
    let mut runs = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        // The names of fields are facts.
        let lines = text.lines().filter(|line| !line.starts_with("<tr>"));
        let text = without_targets(&lines.collect::<Vec<_>>().join("\n"));
        runs.extend(words(&text).windows(COPIED).map(<[String]>::to_vec));
    }
    assert!(!runs.is_empty(), "the documents are there");
    let list = words(&list());
    let copied: Vec<String> = list
        .windows(COPIED)
        .filter(|run| runs.contains(*run))
        .map(|run| run.join(" "))
        .collect();
    assert!(copied.is_empty(), "copied:\n{}", copied.join("\n"));
}

/// The folder of the two documents, in one of the folders around the checkout.
fn documents() -> Option<PathBuf> {
    root()
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("shared/seeds"))
        .find(|folder| folder.is_dir())
}

/// A text without the addresses behind its links, which would part the words around them.
fn without_targets(text: &str) -> String {
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once(')').map_or(part, |(_, rest)| rest)
    })
}

/// The words of a text, in small letters and without whatever stands between them.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
