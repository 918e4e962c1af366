//! `migrations/README.md`, as far as reading the files can hold them to it.

use std::fs;
use std::path::{Path, PathBuf};

/// The migrations of the first release, before which nobody served.
const FIRST_RELEASE: usize = 3;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    files
}

#[test]
fn every_migration_after_the_first_release_leaves_the_version_before_serving() {
    let files = files();
    assert!(files.len() >= FIRST_RELEASE);
    for file in &files[FIRST_RELEASE..] {
        let faults = faults(&fs::read_to_string(file).unwrap());
        assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
    }
}

/// The statements that would break or block the version before, each with the reason.
fn faults(text: &str) -> Vec<String> {
    let contracts = text.lines().any(|line| {
        let reason = line.trim().strip_prefix("-- contract:");
        reason.is_some_and(|reason| reason.trim().len() > 10)
    });
    let no_transaction = text.starts_with("-- no-transaction");
    let without_comments = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let sql = without_bodies(&without_comments.collect::<Vec<_>>().join(" ").to_lowercase());
    let made: Vec<&str> = words_after(&sql, "create table");
    let mut faults = Vec::new();
    if sql.contains("lock_timeout") {
        faults.push("sets lock_timeout, which is the program's".to_owned());
    }
    if no_transaction && (sql.matches(';').count() > 1 || !sql.contains("concurrently")) {
        faults.push("without a transaction there may be one statement, which builds an index concurrently".to_owned());
    }
    for statement in sql.split(';') {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(why) = fault(&statement, &made, no_transaction)
            && !contracts
        {
            faults.push(format!("{why}: {statement}"));
        }
    }
    faults
}

/// What a function will do one day is not done by the migration that makes it; what a `do` block does is.
fn without_bodies(sql: &str) -> String {
    let mut parts = sql.split("$$");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    while let (Some(body), Some(after)) = (parts.next(), parts.next()) {
        if !kept.trim_end().ends_with(" as") {
            kept.push_str(body);
        }
        kept.push_str(after);
    }
    kept
}

/// The words that come after a phrase, `if not exists` left out.
fn words_after<'a>(sql: &'a str, phrase: &str) -> Vec<&'a str> {
    let rest = sql.match_indices(phrase).map(|(at, _)| &sql[at + phrase.len()..]);
    rest.filter_map(|rest| {
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("if not exists").unwrap_or(rest).trim_start();
        rest.split(|letter: char| letter.is_whitespace() || letter == '(')
            .next()
    })
    .collect()
}

fn fault(statement: &str, made: &[&str], no_transaction: bool) -> Option<&'static str> {
    let has = |phrase: &str| format!(" {statement} ").contains(&format!(" {phrase} "));
    let about_new = |phrase: &str| {
        let tables = words_after(statement, phrase);
        !tables.is_empty() && tables.iter().all(|table| made.contains(table))
    };
    if has("rename") {
        return Some("the version before knows the old name");
    }
    if has("drop") {
        return Some("the version before may use it");
    }
    if has("truncate") || has("cluster") || has("vacuum") || has("lock table") || has("reindex") {
        return Some("takes the table for itself");
    }
    if statement.starts_with("update ") || statement.starts_with("delete ") || has("do update") {
        return Some("locks rows of tables in use until the end");
    }
    if statement.starts_with("insert into") && !about_new("insert into") {
        return Some("writes into a table in use");
    }
    if statement.contains("index ") && statement.starts_with("create ") && !about_new(" on ") {
        if has("unique index") {
            return Some("refuses what the version before writes");
        }
        if !has("concurrently") || !no_transaction {
            return Some("keeps writers out while the index is built");
        }
    }
    if !statement.contains("alter table") || about_new("alter table") {
        return None;
    }
    if has("type") {
        return Some("rewrites the table, and the version before knows the old type");
    }
    if has("set not null") || (has("not null") && !has("default")) {
        return Some("the version before writes nothing there");
    }
    let computed = ["()", "nextval", "generated", "serial", "bigserial"];
    if has("add column") && computed.iter().any(|sign| statement.contains(sign)) {
        return Some("rewrites the table");
    }
    let constraint = [
        "add constraint",
        "add check",
        "add unique",
        "add foreign",
        "add primary",
        "references",
    ];
    if constraint.iter().any(|phrase| has(phrase)) && !has("not valid") {
        return Some("checks every row while the table is locked");
    }
    None
}

#[test]
fn what_would_break_or_block_the_version_before_is_found() {
    for bad in [
        "alter table rollcall.system_user drop column company",
        "drop table rollcall.finding",
        "alter table rollcall.finding rename to findings",
        "ALTER TABLE rollcall.finding\n  RENAME COLUMN code TO reason",
        "alter table rollcall.finding alter column code type varchar(10)",
        "alter table rollcall.finding alter column run_id set not null",
        "alter table rollcall.finding add column rank integer not null",
        "alter table rollcall.finding add column rank uuid default gen_random_uuid()",
        "alter table rollcall.finding add column rank bigint generated always as identity",
        "alter table rollcall.finding add constraint code_known check (code <> '')",
        "alter table rollcall.finding add column run bigint references rollcall.sync_run",
        "create index finding_code on rollcall.finding (code)",
        "create index concurrently finding_code on rollcall.finding (code)",
        "-- no-transaction\ncreate index concurrently a on rollcall.finding (code); create index concurrently b on rollcall.finding (run_id);",
        "-- no-transaction\ncreate unique index concurrently finding_code on rollcall.finding (code);",
        "update rollcall.finding set subject = 'a'",
        "insert into rollcall.finding (code) values ('a')",
        "truncate rollcall.finding",
        "set lock_timeout = 0",
        "do $$ begin alter table rollcall.finding drop column code; end $$",
        "create function rollcall.a() returns void language sql as $$ select 1 $$; update rollcall.finding set subject = 'a'",
        "create table rollcall.a (b text); create index c on rollcall.finding (code)",
        "-- contract: no\nalter table rollcall.finding drop column code",
    ] {
        assert!(!faults(bad).is_empty(), "{bad}");
    }
    for good in [
        "alter table rollcall.finding add column rank integer -- drop, says the comment",
        "alter table rollcall.finding add column rank integer not null default 7",
        "alter table rollcall.finding add constraint code_known check (code <> '') not valid",
        "alter table rollcall.finding validate constraint code_known",
        "create table rollcall.a (id bigint generated always as identity primary key, b text references rollcall.c);\n\
         create unique index d on rollcall.a (b); insert into rollcall.a (b) select name from rollcall.environment",
        "-- no-transaction\ncreate index concurrently finding_code on rollcall.finding (code);",
        "create function rollcall.a() returns void language sql as $$ update rollcall.finding set subject = 'a' $$;",
        "-- contract: the column code is not read since 1.4\nalter table rollcall.finding drop column code",
    ] {
        assert_eq!(faults(good), [""; 0], "{good}");
    }
}
