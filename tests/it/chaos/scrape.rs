//! Logs and metrics of the whole run hold no secret, no token, no delta link, and, as they are logged at `info`, nothing
//! about a person. Whatever was generated, here or in the tenant, is looked for.

use std::collections::HashSet;

use super::ledger::Wish;
use super::stage::{Member, Stage};

/// A shorter value could stand in any text by chance.
const SHORTEST: usize = 4;

pub async fn look_for_secrets(stage: &Stage) {
    for member in &stage.pair {
        let mut process = member.process.lock().await;
        // What it still says is a part of it.
        member.start(&mut process);
    }
    let mut told: Vec<String> = stage.pair.iter().map(Member::log).collect();
    assert!(
        told[0].contains(" INFO ") && told[1].contains("\"level\":\"INFO\""),
        "{told:?}"
    );
    told.extend(stage.metrics.lock().unwrap().iter().cloned());
    let told = told.join("\n");
    assert!(told.contains("rollcall_cycles_total"), "the metrics were read");

    let secrets = secrets(stage).await;
    let found: Vec<&String> = secrets.iter().filter(|secret| told.contains(*secret)).collect();
    assert!(found.is_empty(), "secrets: {found:?}");

    let words: HashSet<&str> = words(&told).collect();
    let values = personal_values(stage);
    let found: Vec<&String> = values.iter().filter(|value| stands_in(value, &told, &words)).collect();
    assert!(found.is_empty(), "personal data: {found:?}");
    println!(
        "{} secrets and {} personal values are nowhere in {} kB of logs and metrics",
        secrets.len(),
        values.len(),
        told.len() / 1000
    );
}

/// Whole secrets, and what every delta and page token of the simulator begins with.
async fn secrets(stage: &Stage) -> Vec<String> {
    let mut secrets = stage.simulator.given_access_tokens();
    secrets.push(stage.simulator.client_secret());
    secrets.push(stage.server.password().to_owned());
    secrets.push(stage.token.clone());
    let mut db = stage.sql().await;
    let links: Vec<String> =
        sqlx::query_scalar("select delta_link from rollcall.checkpoint where delta_link is not null")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let tokens = links.iter().map(|link| link.split_once("token=").unwrap().1);
    let beginnings: HashSet<&str> = tokens.map(|token| &token[..9]).collect();
    assert_eq!(
        beginnings.len(),
        1,
        "every token begins as a JSON object does: {beginnings:?}"
    );
    secrets.extend(beginnings.into_iter().map(str::to_owned));
    secrets.extend(["deltatoken=", "skiptoken=", "Bearer ", "client_secret", "eyJ"].map(str::to_owned));
    secrets
}

fn personal_values(stage: &Stage) -> Vec<String> {
    let mut values = stage.people.lock().unwrap().values.clone();
    let ledger = stage.ledger.lock().unwrap();
    for wish in ledger.asked.values().flatten() {
        match wish {
            Wish::Column("internalemailaddress", value) | Wish::Hold(value) => {
                values.insert(value.clone());
            }
            _ => {}
        }
    }
    values
        .into_iter()
        .filter(|value| value.chars().count() >= SHORTEST)
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Whether a text stands there as a word or as words, and not within others.
fn stands_in(value: &str, told: &str, words_told: &HashSet<&str>) -> bool {
    // Most are ruled out by a word that was never told.
    if !words(value).all(|word| words_told.contains(word)) {
        return false;
    }
    let is_outside = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    told.match_indices(value).any(|(at, _)| {
        is_outside(told[..at].chars().next_back()) && is_outside(told[at + value.len()..].chars().next())
    })
}

#[test]
fn a_value_is_found_as_a_word_and_not_within_one() {
    let told = "level=INFO user ada@contoso.example was Adamant, Anne Sophie";
    let words: HashSet<&str> = words(told).collect();
    for (value, found) in [
        ("ada@contoso.example", true),
        ("Adam", false),
        ("Anne Sophie", true),
        ("Sophie Anne", false),
        ("contoso", true),
    ] {
        assert_eq!(stands_in(value, told, &words), found, "{value}");
    }
}
