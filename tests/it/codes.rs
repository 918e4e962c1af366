//! Every reason code of rules.md, section 10, is asserted by a test. This reads the sources of the tests, because a
//! code that nothing asserts can vanish without any test noticing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rollcall::domain::reason::Code;

/// Files that name every code without asserting what leads to it.
const LISTS: [&str; 3] = [
    "tests/it/codes.rs",
    "src/plan/row/tests/codes.rs",
    "src/rules/tests/published.rs",
];

#[test]
fn every_code_is_asserted_by_a_test() {
    let sources = test_sources();
    assert!(sources.len() > 40, "the tests are found: {}", sources.len());
    let mut without = Vec::new();
    for code in Code::ALL {
        let files: Vec<&str> = sources
            .iter()
            .filter(|(_, text)| text.lines().any(|line| asserts(line, *code)))
            .map(|(file, _)| file.as_str())
            .collect();
        println!("{code}: {}", files.join(" "));
        if files.is_empty() {
            without.push(*code);
        }
    }
    assert!(without.is_empty(), "no test asserts {without:?}");
}

/// Whether a line names the code as a string of its own, behind the outcome that it explains, in the brackets in
/// which the command line prints it, or as the variant.
fn asserts(line: &str, code: Code) -> bool {
    let line = line.trim_start();
    if line.starts_with("//") {
        return false;
    }
    let name = code.as_str();
    let mut wanted = vec![format!("\"{name}\""), format!("({name})")];
    wanted.extend(["skip", "leave", "refuse", "disable"].map(|outcome| format!("{outcome} {name}")));
    wanted.push(format!("Code::{code:?}"));
    wanted.iter().any(|wanted| contains_whole(line, wanted))
}

/// Whether the text occurs where no name goes on behind it.
fn contains_whole(line: &str, wanted: &str) -> bool {
    line.match_indices(wanted).any(|(at, _)| {
        let next = line[at + wanted.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_') || wanted.ends_with(['"', ')'])
    })
}

/// The text of every test, by file: whole test files, and what follows `#[cfg(test)]` in the others.
fn test_sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    for file in ["src", "tests/it"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
    {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if LISTS.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let is_test = |part: &str| part == "tests" || part == "tests.rs";
        let whole = name.split('/').any(is_test);
        let text = if whole {
            text
        } else {
            text.split_once("#[cfg(test)]\nmod tests {")
                .map_or(String::new(), |(_, tests)| tests.to_owned())
        };
        if !text.is_empty() {
            sources.insert(name, text);
        }
    }
    sources
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_code_is_recognised_where_it_is_asserted_and_nowhere_else() {
    let code = Code::Unlicensed;
    for line in [
        r#"assert_eq!(reason, "unlicensed");"#,
        "    none | skip unlicensed | refuse unlicensed",
        "assert!(line.contains(\"(unlicensed)\"));",
        "Some(Code::Unlicensed)",
    ] {
        assert!(asserts(line, code), "{line}");
    }
    for line in [
        "// \"unlicensed\"",
        "let unlicensed = stage();",
        "Code::UnlicensedTwice",
        "leave unlicensed_or_so",
        r#""the unlicensed one""#,
    ] {
        assert!(!asserts(line, code), "{line}");
    }
}
