//! Files that somebody or something has spoilt: loading answers or refuses, never panics, shows no secret, and what
//! it shows of what it took loads again as the same.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Every section, and a secret wherever there can be one.
const WHOLE: &str = r#"
[tenant]
id = "11111111-1111-1111-1111-111111111111"
client_id = "22222222-2222-2222-2222-222222222222"
credential = { kind = "secret", file = "graph" }
cloud = "custom"
authority = "https://login.example"
graph_root = "https://graph.example"
[database]
url = "postgres://rollcall:s3cret-db@localhost:5432/rollcall?sslmode=require&password=s3cret-query"
max_connections = 8
[sync]
interval = "15m"
full_interval = "24h"
access_freshness = "60s"
[guard]
max_disables = 100
max_disable_percent = 10.0
hold_expiry = "72h"
[http]
listen = "127.0.0.1:8080"
metrics_listen = "[::1]:9090"
audience = "22222222-2222-2222-2222-222222222222"
[[http.token]]
name = "helpdesk"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
roles = ["Rollcall.Read", "Rollcall.Operate"]
[telemetry]
log = "info"
format = "text"
[licenses]
full = ["ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86"]
viral_counts_as = "free_m365"
tenant_marketing = true
[fields]
fullname = "always"
[[environment]]
name = "production"
kind = "production"
security_group = "33333333-3333-3333-3333-333333333333"
group_nesting = "full"
app_pass_capacity = 3
app_pass_lapse = "keep"
app_pass_grace = "7d"
pay_as_you_go = true
non_interactive_cap = 7
allow_role_assignment_on_disabled_users = true
license_role_management = false
roles = ["System Administrator", "Sales"]
license_roles = [{ plan = "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86", role = "Sales" }]
fields = { jobtitle = "until_edited" }
[[environment]]
name = "dev"
kind = "developer"
creator = "44444444-4444-4444-4444-444444444444"
"#;

/// What stands where something else should. Durations and numbers beyond what the program can count with among them.
const AWKWARD: [&str; 40] = [
    "0",
    "-1",
    "1",
    "4294967296",
    "9223372036854775807",
    "1e308",
    "-0.0",
    "nan",
    "inf",
    "-inf",
    "true",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"é\\u202e\"",
    "\"s\"",
    "\"0s\"",
    "\"1ns\"",
    "\"8\"",
    "\"1y\"",
    "\"99999999999999y\"",
    "\"18446744073709551615s\"",
    "\"5124095576030431h\"",
    "\"-5m\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[\"\", 1]",
    "{ a = 1 }",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "\"postgres://\"",
    "\"postgres://u:pa55word@h:99999/\"",
    "\"postgres://u:pa55word@[::1/\"",
    "\"https://user:pa55word@login.example\"",
    "\"http://127.0.0.1:0\"",
    "\"https://\"",
    "\"00000000-0000-0000-0000-000000000000\"",
    "\"../../etc/passwd\"",
];

/// What is done to the file.
#[derive(Clone, Debug)]
enum Deed {
    /// The value of a line's key is another one.
    Value(Index, &'static str),
    Remove(Index),
    Repeat(Index),
    /// A line stands elsewhere, and thus in another section.
    Move(Index, Index),
    /// Some text in the middle of everything.
    Insert(Index, String),
    Cut(Index),
}

fn deed() -> impl Strategy<Value = Deed> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), prop::sample::select(AWKWARD.to_vec())).prop_map(|(at, value)| Deed::Value(at, value)),
        1 => at().prop_map(Deed::Remove),
        1 => at().prop_map(Deed::Repeat),
        1 => (at(), at()).prop_map(|(from, to)| Deed::Move(from, to)),
        1 => (at(), "[\\[\\]{}\"'=#.,\\\\a-z0-9\\n é\u{0}]{1,8}").prop_map(|(at, text)| Deed::Insert(at, text)),
        1 => at().prop_map(Deed::Cut),
    ]
}

fn spoilt(deeds: &[Deed]) -> String {
    let mut lines: Vec<String> = WHOLE.trim().lines().map(str::to_owned).collect();
    for deed in deeds {
        let count = lines.len();
        if count == 0 {
            break;
        }
        match deed {
            Deed::Value(at, value) => {
                let line = &mut lines[at.index(count)];
                if let Some((key, _)) = line.split_once(" = ") {
                    *line = format!("{key} = {value}");
                }
            }
            Deed::Remove(at) => drop(lines.remove(at.index(count))),
            Deed::Repeat(at) => lines.push(lines[at.index(count)].clone()),
            Deed::Move(from, to) => {
                let line = lines.remove(from.index(count));
                lines.insert(to.index(count), line);
            }
            Deed::Insert(at, text) => {
                let line = &mut lines[at.index(count)];
                let middle = (0..=line.len() / 2).rev().find(|at| line.is_char_boundary(*at));
                line.insert_str(middle.unwrap_or(0), text);
            }
            Deed::Cut(at) => lines.truncate(at.index(count)),
        }
    }
    lines.join("\n")
}

/// Loads it, and looks at what is said about it.
fn load_and_look(folder: &Folder, text: &str, variables: &[(&str, &str)]) -> Result<(), TestCaseError> {
    match folder.load(text, variables) {
        Err(error) => {
            let line = error.to_string();
            prop_assert!(!line.contains("s3cret") && !line.contains("pa55word"), "{line}");
            prop_assert!(!line.contains("0123456789abcdef"), "{line}");
            prop_assert!(!line.contains('\n'), "one line: {line}");
            prop_assert!(
                line.contains("rollcall.toml") || line.contains("environment variable"),
                "{line}"
            );
        }
        Ok(config) => {
            let shown = config.show();
            for text in [
                &shown,
                &config.show_json().to_string(),
                &format!("{config:?}"),
                &config.warnings.join(" "),
            ] {
                prop_assert!(!text.contains("s3cret"), "{text}");
            }
            if config.database.at.has_password() || !config.http.tokens.is_empty() {
                return Ok(());
            }
            let again = folder.load(&shown, &[]);
            let again = again.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
            prop_assert_eq!(again.show(), shown);
        }
    }
    Ok(())
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("graph", "s3cret-of-graph\n", 0o600);
    folder
}

#[test]
fn the_file_that_is_spoilt_is_a_good_one() {
    folder().load(WHOLE, &[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_file_however_spoilt_panics_or_shows_a_secret(deeds in prop::collection::vec(deed(), 1..5)) {
        load_and_look(&folder(), &spoilt(&deeds), &[])?;
    }

    #[test]
    fn what_is_shown_of_a_file_without_secrets_loads_again_as_the_same(deeds in prop::collection::vec(deed(), 0..3)) {
        let without = |line: &&str| !line.contains("sha256") && !line.contains("[[http.token]]");
        let text: Vec<&str> = WHOLE.lines().filter(without).collect();
        let text = text
            .join("\n")
            .replace("name = \"helpdesk\"\nroles = [\"Rollcall.Read\", \"Rollcall.Operate\"]\n", "")
            .replace(":s3cret-db@", "@")
            .replace("&password=s3cret-query", "");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for deed in deeds {
            if let Deed::Value(at, value) = deed {
                let line = &mut lines[at.index(text.lines().count())];
                if let Some((key, _)) = line.split_once(" = ") {
                    *line = format!("{key} = {value}");
                }
            }
        }
        load_and_look(&folder(), &lines.join("\n"), &[])?;
    }

    #[test]
    fn no_variable_however_odd_panics_or_shows_a_secret(
        key in prop::sample::select(vec![
            "TENANT__ID", "TENANT__CLOUD", "TENANT__CREDENTIAL", "TENANT__CREDENTIAL__KIND", "TENANT__CREDENTIAL__FILE",
            "DATABASE__URL", "DATABASE__MAX_CONNECTIONS", "SYNC__INTERVAL", "GUARD__MAX_DISABLES",
            "GUARD__MAX_DISABLE_PERCENT", "HTTP__LISTEN", "HTTP__TOKEN", "ENVIRONMENT__0__NAME", "ENVIRONMENT", "LICENSES__FULL",
            "FIELDS__FULLNAME", "TELEMETRY__LOG", "", "_", "__", "TENANT", "A__B__C__D", "TENANT__ID__X",
        ]),
        text in prop_oneof![
            prop::sample::select(AWKWARD.to_vec()).prop_map(|text| text.trim_matches('"').to_owned()),
            "\\PC{0,30}",
        ],
    ) {
        let name = format!("ROLLCALL__{key}");
        load_and_look(&folder(), WHOLE, &[(name.as_str(), text.as_str())])?;
    }

    #[test]
    fn no_text_at_all_panics(text in "\\PC{0,200}|[\\[\\]{}=\"'.\\n a-z0-9-]{0,200}") {
        load_and_look(&folder(), &text, &[])?;
    }
}

/// Nesting that would take the stack of whoever follows it, and values at the edge of what can be counted.
#[test]
fn awkward_files_are_refused_in_a_line() {
    let deep =
        |open: &str, close: &str| format!("{MINIMAL}\nroles = {}{}\n", open.repeat(50_000), close.repeat(50_000));
    let folder = folder();
    for text in [
        deep("[", "]"),
        deep("{ a = ", " }"),
        format!("{MINIMAL}\n[{}]\nx = 1\n", vec!["a"; 50_000].join(".")),
        MINIMAL.replace("[database]", "[sync]\ninterval = \"584942417355y\"\n[database]"),
        MINIMAL.replace(
            "[database]",
            "[guard]\nhold_expiry = \"18446744073709551615s\"\n[database]",
        ),
        MINIMAL.replace("[database]", "[guard]\nmax_disable_percent = nan\n[database]"),
        format!("{MINIMAL}app_pass_grace = \"18446744073709551615s\"\n"),
        format!("{MINIMAL}non_interactive_cap = 4294967296\n"),
        "\u{feff}".to_owned(),
        "\0".to_owned(),
    ] {
        let line = folder.refusal(&text, &[]);
        assert!(line != "loaded" && !line.contains('\n'), "{line:.300} of {text:.100}");
        assert!(line.len() < 2_000, "{} characters: {line:.300}", line.len());
    }
}
