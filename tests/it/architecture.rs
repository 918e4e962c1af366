//! The arrows of the architecture: a module uses only what is to its right.

use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may use. `simulator` shares nothing with `graph`, so that one misreading of the
/// contract cannot hide in both.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("error", &[]),
    ("domain", &[]),
    ("rules", &["domain"]),
    ("plan", &["domain", "rules"]),
    ("telemetry", &["domain"]),
    ("graph", &["clock", "domain", "error", "telemetry"]),
    ("webhook", &["domain"]),
    ("store", &["domain", "plan", "rules"]),
    ("config", &["domain", "telemetry"]),
    (
        "sync",
        &[
            "clock",
            "domain",
            "error",
            "graph",
            "plan",
            "rules",
            "store",
            "telemetry",
            "webhook",
        ],
    ),
    (
        "http",
        &["clock", "domain", "error", "plan", "rules", "sync", "telemetry"],
    ),
    ("simulator", &["clock"]),
];

#[test]
fn every_module_uses_only_what_is_to_its_right() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        for file in files_of(&src, module) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for used in used_modules(line) {
                    if used != *module && !allowed.contains(&used.as_str()) {
                        wrong.push(format!("{}:{}: {module} uses {used}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// HTTP and the command line read what the engine answers (`sync::records`), and never past it: `cli/wire.rs` opens and
/// migrates the database, and hands it on.
#[test]
fn nobody_reads_past_the_engine() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = ["http", "cli"].into_iter().flat_map(|module| files_of(&src, module));
    for file in files.filter(|file| !file.ends_with("cli/wire.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        for way in ["crate::store", "store.read()", "store.begin()"] {
            assert!(!text.contains(way), "{}: {way}", file.display());
        }
    }
}

#[test]
fn only_the_edges_use_their_libraries() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for module in [
        "clock",
        "domain",
        "rules",
        "plan",
        "sync",
        "config",
        "http",
        "cli",
        "telemetry",
    ] {
        for file in files_of(&src, module) {
            let text = fs::read_to_string(&file).unwrap();
            for library in ["sqlx", "reqwest"] {
                let uses = |line: &str| line.trim_start().starts_with(&format!("use {library}"));
                let names = |line: &str| line.contains(&format!("{library}::")) && !line.contains('"');
                if text.lines().any(|line| uses(line) || names(line)) {
                    wrong.push(format!("{} uses {library}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever is decided about users is written in one place.
#[test]
fn rows_are_written_in_one_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let writers = |calls: &[&str]| -> Vec<PathBuf> {
        let files = ["sync", "http", "cli"]
            .into_iter()
            .flat_map(|module| files_of(&src, module));
        let writes = |file: &PathBuf| {
            let text = fs::read_to_string(file).unwrap();
            calls.iter().any(|call| text.contains(call))
        };
        let mut found: Vec<PathBuf> = files.filter(writes).collect();
        found.sort();
        found
    };
    let rows = [
        "rows::insert(",
        "rows::update(",
        "rows::write_each(",
        "rows::release_names(",
    ];
    let mut rows_written = writers(&rows);
    // Folding the names that other programs wrote is no evaluation.
    rows_written.retain(|file| !file.ends_with("sync/cycle/names.rs"));
    assert_eq!(rows_written, [src.join("sync/judge/write.rs")]);
    assert_eq!(
        writers(&["= write(tx"]),
        [src.join("sync/judge/apply.rs"), src.join("sync/judge/write.rs")]
    );
}

/// What callers of the API send as text is trimmed as it comes in, because its type does that.
#[test]
fn every_text_that_the_api_takes_is_trimmed() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut taken) = (Vec::new(), 0);
    for file in files_of(&src.join("http"), "api") {
        let text = fs::read_to_string(&file).unwrap();
        let mut is_input = false;
        for (number, line) in text.lines().enumerate() {
            is_input = (is_input || line.starts_with("#[derive(") && line.contains("Deserialize")) && line != "}";
            let type_of = line
                .split_once(": ")
                .filter(|_| is_input || line.contains("Path<"))
                .map_or("", |(_, kind)| kind);
            taken += usize::from(type_of.contains("Text"));
            if type_of.contains("String") {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken > 30, "the search finds what there is: {taken}");
}

/// sqlx takes text that is no constant only where somebody vouches for it: `AssertSqlSafe`. Nothing that is shipped
/// does, so no SQL is put together from what the program was told; values travel as parameters. Except for a schema's
/// name, which is a plain identifier by its type.
#[test]
fn no_sql_is_put_together_in_the_program() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // The first names databases of its own making, for the demo and the tests, each quoted; the other a schema.
    let checked = ["simulator/cluster.rs", "store/migrations.rs"].map(|file| src.join(file));
    let mut wrong = Vec::new();
    for module in fs::read_dir(&src).unwrap() {
        let name = module.unwrap().file_name().into_string().unwrap();
        for file in files_of(&src, name.trim_end_matches(".rs")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            for way in ["AssertSqlSafe", "QueryBuilder", "from_str_unchecked"] {
                if !checked.contains(&file) && text.contains(way) {
                    wrong.push(format!("{} uses {way}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for checked in checked {
        let text = fs::read_to_string(checked).unwrap();
        assert!(text.contains("AssertSqlSafe"), "the search finds what there is");
    }
}

/// Statements that the database puts together (for the columns that customers add) name identifiers by `%I` and values
/// by `%L` or `using`: nothing of them goes in as it is.
#[test]
fn statements_made_in_the_database_quote_every_part() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let text = text.replace("execute function", "");
        for made in text.split("execute ").skip(1) {
            let made = made.split(';').next().unwrap();
            found += 1;
            let names = "a_own_%1$s";
            // Assignments that the function before has made, by the same rule.
            let assignments = "update rollcall.system_user s set %s\n";
            assert!(made.starts_with("format(") && !made.contains("||"), "{made}");
            // A trigger's name, out of a list of ours.
            assert!(
                !made.replace(names, "").contains("$s") && !made.replace(assignments, "").contains("%s"),
                "{made}"
            );
        }
    }
    assert!(found >= 2, "{found}");
}

fn files_of(src: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The modules named after `crate::` in a line.
fn used_modules(line: &str) -> Vec<String> {
    line.split("crate::")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect()
        })
        .collect()
}
