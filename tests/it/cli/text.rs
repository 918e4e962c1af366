//! Text is data: what the directory or a caller puts into a name moves no cursor and makes no line, and what editors
//! and dialogs put around one is not part of it.

use rollcall::domain::text::is_hidden;
use rollcall::simulator::tenant::{Profile, User};
use uuid::Uuid;

use super::Stage;
use crate::binary::{Said, said};

/// Names from outside, each with something that a terminal would act upon.
const EVIL: [&str; 10] = [
    "A\nfake@contoso.example  Fake Row  enabled",
    "B\r\nfake@contoso.example",
    "C\u{1b}[2J\u{1b}]0;owned\u{7}",
    "D\u{9b}2J\u{85}fake@contoso.example",
    "E\u{202e}elpmaxe.osotnoc@ekaf",
    "F\u{2066}x\u{2069}\u{200e}",
    "G\u{2028}fake@contoso.example\u{2029}",
    "H\tI\u{b}J\u{c}K\u{7f}",
    "I\u{200b}\u{feff}\u{ad}\u{61c}",
    "J\u{e0041}\u{e0042}",
];

impl Stage {
    /// A user with a name in every place where one is shown.
    fn add_evil(&self, at: usize, evil: &str, profile: Profile) -> Uuid {
        let tenant = self.simulator.tenant();
        let id = tenant.add_user(User {
            user_principal_name: Some(format!("evil{at}{evil}@contoso.example")),
            given_name: Some(format!("Eve\u{1b}[2J\u{1b}]0;owned\u{7} {evil}")),
            surname: Some(evil.to_owned()),
            display_name: Some(evil.to_owned()),
            job_title: Some(evil.to_owned()),
            ..User::named("Eve", &format!("Number{at}"))
        });
        tenant.give_profile(id, profile);
        id
    }

    /// Runs a command with arguments that are not split.
    async fn run_with(&self, arguments: &str, exact: &[String]) -> Said {
        said(self.installation.command(arguments).args(exact).spawn().unwrap()).await
    }
}

/// Nothing that is said has a hidden character, and no line is made by a name.
fn is_harmless(what: &str, said: &Said) {
    for text in [&said.stdout, &said.stderr] {
        let hidden = text
            .chars()
            .find(|character| *character != '\n' && is_hidden(*character));
        assert_eq!(hidden, None, "{what}: {text}");
        let forged = text.lines().find(|line| line.trim_start().starts_with("fake"));
        assert_eq!(forged, None, "{what}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_1_a_row_is_one_line_whatever_is_in_its_names() {
    let stage = Stage::new().await;
    let all = EVIL.concat();
    let named = EVIL.iter().copied().chain([&*all]).enumerate();
    let rows: Vec<Uuid> = named
        .map(|(at, evil)| stage.add_evil(at, evil, Profile::E5PowerApps))
        .collect();
    let dry = stage.run("sync --environment sandbox --dry-run").await;
    is_harmless("dry run", &dry);
    let shown = dry
        .stdout
        .lines()
        .filter(|line| line.starts_with("sandbox") && line.contains("evil"))
        .count();
    assert_eq!(shown, rows.len(), "{dry:?}");
    stage.good("sync --environment sandbox").await;
    let guest = stage.add_evil(99, &EVIL.concat(), Profile::Unlicensed);
    stage.good("sync --environment sandbox").await;

    let list = stage
        .run("user list --environment sandbox --type regular --text @contoso.example")
        .await;
    is_harmless("list", &list);
    let rows_there = "select count(*) from rollcall.system_user where azureactivedirectoryobjectid is not null";
    assert_eq!(
        i64::try_from(list.stdout.lines().count()).unwrap(),
        1 + stage.number(rows_there).await,
        "{list:?}"
    );
    assert!(
        list.stdout
            .contains("Eve\\u{1b}[2J\\u{1b}]0;owned\\u{7} A\\nfake@contoso.example"),
        "{list:?}"
    );

    let of_one = [
        "user show",
        "explain",
        "user refresh",
        "user own",
        "user disable",
        "user enable",
    ];
    let mut commands: Vec<String> = of_one
        .iter()
        .map(|act| format!("{act} {} --environment sandbox", rows[EVIL.len()]))
        .collect();
    commands.extend([
        format!("explain {guest} --environment sandbox"),
        "candidates --environment sandbox".to_owned(),
        format!(
            "import --environment sandbox --company USMF --user {guest} {}",
            rows[EVIL.len()]
        ),
        "job show 1 --items".to_owned(),
        "job list".to_owned(),
        "runs list".to_owned(),
        "findings".to_owned(),
        "role list --environment sandbox".to_owned(),
        "user list --environment sandbox --output json".to_owned(),
        "candidates --environment sandbox --output json".to_owned(),
    ]);
    for command in &commands {
        let said = stage.run(command).await;
        assert!(matches!(said.code, Some(0 | 6)), "{command}: {said:?}");
        is_harmless(command, &said);
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_1_what_was_typed_is_repeated_in_one_line() {
    let stage = Stage::new().await;
    stage.good("sync --environment sandbox").await;
    let evil = EVIL.concat();
    let option = |name: &str| format!("--{name}={evil}");
    for (arguments, exact) in [
        ("user show --environment sandbox", vec![evil.clone()]),
        ("explain --environment sandbox", vec![evil.clone()]),
        ("user refresh --environment sandbox", vec![evil.clone()]),
        (
            "user add --environment sandbox",
            vec![evil.clone(), "second@contoso.example".to_owned()],
        ),
        ("user stub --environment sandbox", vec![evil.clone()]),
        ("user list", vec![option("environment")]),
        ("user list --environment sandbox", vec![option("reason")]),
        ("user list --environment sandbox", vec![option("state")]),
        ("import --environment sandbox --company USMF", vec![option("user")]),
        (
            "import --environment sandbox --user nobody@contoso.example --company USMF --background",
            vec![option("description")],
        ),
        (
            "user edit nobody@contoso.example --environment sandbox",
            vec![option("set")],
        ),
    ] {
        let said = stage.run_with(arguments, &exact).await;
        is_harmless(&format!("{arguments} {evil:?}"), &said);
    }
    is_harmless("job show", &stage.run("job show 2").await);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_2_what_is_around_a_name_is_no_part_of_it() {
    let stage = Stage::new().await;
    let tenant = stage.simulator.tenant();
    for n in 1..=4 {
        let id = tenant.add_user(User {
            user_principal_name: Some(format!("u{n}@contoso.example")),
            ..User::named("User", &format!("Number{n}"))
        });
        tenant.give_profile(id, Profile::E5PowerApps);
    }
    stage.good("sync --environment sandbox").await;
    let list = stage.installation.folder.join("users.txt");
    let file = list.display();
    let found = async |arguments: &str| {
        let said = stage.run(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments}: {said:?}");
        said.json()
    };
    for text in [
        "\u{feff}u1@contoso.example\r\n\r\nu2@contoso.example\r\n",
        "\u{feff}\u{feff} u1@contoso.example\t\n\u{a0}u2@contoso.example\u{3000}",
        "u1@contoso.example\ru2@contoso.example\r",
    ] {
        std::fs::write(&list, text).unwrap();
        let added = found(&format!("user add --file {file} --environment sandbox --output json")).await;
        let outcomes: Vec<&str> = added["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(outcomes, ["unchanged", "unchanged"], "{text:?}");
        let job = found(&format!(
            "import --file {file} --company USMF --environment sandbox --output json"
        ))
        .await;
        assert_eq!(
            (&job["total"], &job["already_present"]),
            (&2.into(), &2.into()),
            "{text:?}"
        );
    }
    std::fs::write(&list, b"\xff\xfeu\x001\x00").unwrap();
    let line = stage
        .bad(&format!("user add --file {file} --environment sandbox"), 2)
        .await;
    assert!(line.contains("users.txt: it is not UTF-8; save it as UTF-8"), "{line}");

    let id = stage
        .good("user show u1@contoso.example --environment sandbox --output json")
        .await;
    let id = serde_json::from_str::<serde_json::Value>(&id).unwrap()["user"]["azureactivedirectoryobjectid"].clone();
    let upper = format!("{{{}}}", id.as_str().unwrap().to_uppercase());
    let around = " \u{feff}\u{a0}\u{200b}\u{202a}\r\n";
    for (command, name) in [
        ("user show", &*upper),
        ("user add", "u1@contoso.example"),
        ("user access", "u1@contoso.example"),
        ("user refresh", &upper),
        ("explain", "u1@contoso.example"),
        ("user hold --reason why", "u1@contoso.example"),
        ("user release", &upper),
        ("user stub --company USMF", "stub@contoso.example"),
        ("user stub", "stub@contoso.example"),
    ] {
        let exact = [
            format!("--environment={around}sandbox"),
            format!("{around}{name}{around}"),
        ];
        let said = stage.run_with(&format!("{command} --output json"), &exact).await;
        assert_eq!(said.code, Some(0), "{command} {name:?}: {said:?}");
    }
    for within in [" ", "\u{feff}", "\u{200b}"] {
        let broken = [format!("st{within}ub@contoso.example")];
        let said = stage.run_with("user stub --environment sandbox", &broken).await;
        assert_eq!(said.code, Some(2), "{broken:?}: {said:?}");
    }
    let stubs = "select count(*) from rollcall.system_user where isstub and domainname = 'stub@contoso.example' and company = 'USMF'";
    assert_eq!(stage.number(stubs).await, 1);
    assert_eq!(
        stage
            .number("select count(*) from rollcall.system_user where isstub")
            .await,
        1
    );
    stage.end().await;
}
