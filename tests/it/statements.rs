//! Every statement of the program, read: none names a schema, for the connection's search path does; and none that
//! updates or returns computes a time or a number, which are read in a statement of their own and passed in.
//!
//! What a function is, the server says. A migration's triggers and functions may assign such a value to a variable, and
//! defaults of columns may compute one: those are for other programs' writes. Their own UPDATE and RETURNING may not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::World;

/// What a statement begins with, where it is no macro's.
const BEGINNINGS: [&str; 10] = [
    "analyze", "begin", "create", "delete", "insert", "reset", "select", "set", "update", "with",
];

/// Times that are no functions.
const MOMENTS: [&str; 5] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}

fn without_comments(path: &Path, comment: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split(comment).next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The macros' statements, which `.sqlx` describes, and the other texts in `src/store` that begin as one.
fn statements() -> Vec<String> {
    let described = files(".sqlx", "json").into_iter().map(|path| {
        let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        file["query"].as_str().unwrap().to_owned()
    });
    let described: Vec<String> = described.collect();
    assert!(described.len() > 200, "{}", described.len());
    let mut texts = Vec::new();
    for path in files("src/store", "rs").into_iter().chain(files("src", "rs")) {
        if path.ends_with("src/store.rs") || path.components().any(|part| part.as_os_str() == "store") {
            let source = without_comments(&path, "//");
            texts.extend(source.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    texts.retain(|text| BEGINNINGS.contains(&words(text).next().unwrap_or_default()));
    assert!(
        texts.iter().any(|text| text.contains("write_as_sync")),
        "the search finds what there is"
    );
    [described, texts].concat()
}

/// The identifiers and keywords of a text, in their order.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(move |letter| !is_part(letter))
        .filter(|word| !word.is_empty())
}

/// The names before an opening parenthesis.
fn called(text: &str) -> BTreeSet<String> {
    let calls = text.split('(').filter_map(|before| {
        let name = words(before).last()?;
        before.ends_with(name).then(|| name.to_owned())
    });
    calls.collect()
}

/// Whether a statement changes rows by UPDATE, or answers what it wrote. A lock is no update.
fn writes(statement: &str) -> bool {
    let plain = statement.replace("for update", "").replace("for no key update", "");
    words(&plain).any(|word| word == "update" || word == "returning")
}

/// What follows each RETURNING, up to the end of its part of the statement.
fn returned(statement: &str) -> String {
    let parts = statement.split("returning").skip(1).map(|part| {
        let mut depth = 0;
        let end = part.find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth < 0
        });
        part.split_at(end.unwrap_or(part.len())).0
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// What a statement computes that it may not, by the server's word on functions.
async fn computed(world: &World, statement: &str) -> Vec<String> {
    let mut db = world.sql().await;
    let calls = |text: &str| called(text).into_iter().collect::<Vec<_>>();
    let is_bare = |name: &String| statement.contains(&format!("{name}()"));
    let mut wrong: Vec<String> = sqlx::query_scalar(
        "select distinct proname::text from pg_proc
         where pronamespace = 'pg_catalog'::regnamespace
           and (proname = any($1) and provolatile = 'v' or proname = any($2 || $3) and provolatile <> 'i')",
    )
    .bind(calls(statement))
    .bind(called(statement).into_iter().filter(is_bare).collect::<Vec<_>>())
    .bind(calls(&returned(statement)))
    .fetch_all(&mut db)
    .await
    .unwrap();
    wrong.extend(
        words(statement)
            .filter(|word| MOMENTS.contains(word))
            .map(str::to_owned),
    );
    wrong
}

#[test]
fn no_statement_names_a_schema() {
    for statement in statements() {
        assert!(!statement.contains("rollcall"), "{statement}");
        assert!(!statement.contains("public."), "{statement}");
    }
}

#[tokio::test]
async fn no_update_and_no_returning_computes_a_time_or_a_number() {
    let world = World::new(Vec::new()).await;
    for wrong in [
        "update lease set expires_at = clock_timestamp()",
        "update lease set expires_at = $1 where expires_at < now()",
        "insert into lease values ($1) on conflict do update set fence = nextval('round')",
        "insert into lease values ($1) returning fence, pg_postmaster_start_time()",
        "with taken as (delete from lease returning to_jsonb(lease.*)) select 1",
        "update lease set expires_at = current_timestamp",
    ] {
        assert!(writes(wrong) && !computed(&world, wrong).await.is_empty(), "{wrong}");
    }
    let mut found = 0;
    let of_migrations = files("migrations", "sql").into_iter().flat_map(|path| {
        let text = without_comments(&path, "--").replace("$$", ";");
        text.split(';').map(str::to_owned).collect::<Vec<_>>()
    });
    // The definition of a trigger says "update", too.
    let is_update = |piece: &String| words(piece).any(|word| word == "set" || word == "returning");
    for statement in statements().into_iter().chain(of_migrations.filter(is_update)) {
        if writes(&statement) {
            found += 1;
            let computed = computed(&world, &statement).await;
            assert!(computed.is_empty(), "{computed:?}: {statement}");
        }
    }
    assert!(found > 60, "{found}");
    world.end().await;
}
